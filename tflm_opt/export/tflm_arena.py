"""interim"""
from dataclasses import dataclass
from tflm_opt.graph.ir import Graph
@dataclass
class Needs:
    total: int
    def comment(self): return ["/* Bytes */"]
def arena(g: Graph):
    return Needs(20000)
