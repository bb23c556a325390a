"""A plan as metadata that stock TFLM honours: `OfflineMemoryAllocation`.

The metadata's buffer is little-endian int32: a version, the number of subgraphs, the number of
tensors of all subgraphs, then one offset a tensor, in the file's order: -1 lets TFLM place that
tensor at run time, around the others. TFLM checks the count and nothing else.

Format: tflite-micro, "Memory management", section on the offline planned tensor allocations, and
`AllocationInfoBuilder::GetOfflinePlannedOffsets`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tflm_opt.arena.plan import Plan
from tflm_opt.errors import InvalidModel, UnsupportedModel
from tflm_opt.graph import tensor_order
from tflm_opt.graph.ir import Graph, Tensor

NAME = "OfflineMemoryAllocation"
VERSION = 1
AT_RUN_TIME = -1


@dataclass(frozen=True, slots=True)
class OfflinePlan:
    """What the metadata says.

    Attributes:
        offsets: bytes from the start of TFLM's head, a tensor of the file each; -1 for those
            that TFLM places itself.
        subgraphs: as stated in the metadata; TFLM does not read it.
        version: likewise.
    """

    offsets: tuple[int, ...]
    subgraphs: int = 1
    version: int = VERSION


def encode(offsets: Sequence[int], subgraphs: int = 1) -> bytes:
    """The metadata of one offset a tensor.

    Example:
        >>> encode([0, -1]).hex(" ", 4)
        '01000000 01000000 02000000 00000000 ffffffff'
    """
    return np.array([VERSION, subgraphs, len(offsets), *offsets], "<i4").tobytes()


def decode(data: bytes) -> OfflinePlan:
    """The inverse of `encode`.

    Raises:
        InvalidModel: too short, not whole int32s, or a count that does not match.
    """
    if len(data) < 12 or len(data) % 4:
        raise InvalidModel(f"the metadata {NAME} has {len(data)} bytes; 12 + 4 n are needed")
    version, subgraphs, count, *offsets = np.frombuffer(data, "<i4").tolist()
    if count > len(offsets) or count < 0:
        raise InvalidModel(f"the metadata {NAME} announces {count} offsets, holds {len(offsets)}")
    return OfflinePlan(tuple(offsets[:count]), subgraphs, version)


def attach(graph: Graph, plan: Plan) -> Graph:
    """The graph with the plan in its metadata; a plan that was there is replaced.

    Tensors of other subgraphs, constants and variables are left to TFLM (-1), which places them
    around those that are planned: with several subgraphs, or with kernels that ask for scratch,
    its head may be larger than the plan's peak.

    Example:
        >>> tflite = graph.write(attach(g, plan(g, layer_by_layer(g), target="tflm")))

    Raises:
        UnsupportedModel: the plan is for the engine, whose overlaps TFLM's kernels don't allow, or
            is not a plan of this graph.
    """
    if plan.target != "tflm":
        raise UnsupportedModel(
            "a plan for the engine can't be given to TFLM, whose kernels read and write in other "
            "orders",
            remedy='Plan with target="tflm"',
        )
    graphs = (graph, *graph.model.subgraphs)
    order = [tensor for g in graphs for tensor in tensor_order(g)]
    missing = [t for t in tensor_order(graph) if _needs_offset(t) and t not in plan.offsets]
    strangers = set(plan.offsets) - set(tensor_order(graph))
    if strangers or _used(graph) & set(missing):
        raise UnsupportedModel("the plan was made for another graph", remedy="Plan this one")
    data = encode([_offset(t, plan.offsets) for t in order], len(graphs))
    return _with_metadata(graph, data)


def detach(graph: Graph) -> Graph:
    """The graph without an offline plan. Do this to every graph whose tensors have changed: TFLM
    refuses a file whose plan counts other tensors, and believes one that counts as many.
    """
    return _with_metadata(graph, None)


def read(graph: Graph) -> OfflinePlan | None:
    """The offline plan in a graph's metadata, or None. Raises InvalidModel as `decode`."""
    for name, data in graph.model.metadata:
        if name == NAME:
            return decode(data)
    return None


def _with_metadata(graph: Graph, data: bytes | None) -> Graph:
    kept = tuple(row for row in graph.model.metadata if row[0] != NAME)
    rows = kept if data is None else (*kept, (NAME, data))
    return replace(graph, model=replace(graph.model, metadata=rows))


def _needs_offset(tensor: Tensor) -> bool:
    return tensor.data is None and not tensor.variable and tensor.nbytes > 0


def _offset(tensor: Tensor, offsets: Mapping[Tensor, int]) -> int:
    return offsets.get(tensor, AT_RUN_TIME) if _needs_offset(tensor) else AT_RUN_TIME


def _used(graph: Graph) -> set[Tensor]:
    inner = {t for op in graph.ops for t in (*op.inputs, *op.outputs) if t is not None}
    return inner | set(graph.inputs) | set(graph.outputs)
