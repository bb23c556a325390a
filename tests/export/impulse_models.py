"""Models for tests of exports with Edge Impulse's interface, and what such exports say."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))

from small_models import Net

import tflm_opt
from tflm_opt import graph
from tflm_opt.graph import Graph, Op, Tensor

APPS = Path(__file__).resolve().parent / "edge_impulse_apps"
DOCS = Path(__file__).resolve().parents[2] / "docs" / "edge_impulse.md"
CXX = ("-std=c++11", "-O1", "-fno-exceptions", "-fno-rtti")
WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror")
_KEPT: list[TemporaryDirectory[str]] = []  # until the interpreter ends


def scratch() -> str:
    _KEPT.append(TemporaryDirectory(prefix="edge_impulse-"))
    return _KEPT[-1].name


def optimized(net: Graph, name: str, io: str = "int8") -> tflm_opt.Result:
    return tflm_opt.optimize(graph.write(net), name=name, io=io, verbose=0)


@cache
def sounds(io: str = "int8") -> tflm_opt.Result:
    """96 samples in, four scores out, from floats to floats or int8 ones."""
    net = Net((1, 96), 1)
    source, scores = net.input, net.softmax(net.dense(net.input, 4))
    given = Tensor("samples", source.shape, "float32", None)
    taken = Tensor("scores", scores.shape, "float32", None)
    ops = (
        Op("QUANTIZE", (given,), (source,)),
        *net.ops,
        Op("DEQUANTIZE", (scores,), (taken,)),
    )
    return optimized(Graph(ops, (given,), (taken,)), "sounds", io)


@cache
def dots() -> tflm_opt.Result:
    """A gray image of 24 by 16 in, a map of 6 by 4 out: the background and two labels."""
    net = Net((1, 16, 24, 1), 3)
    net.input = replace(net.input, quant=net.quant(1 / 255, -128))
    x = net.conv(net.conv(net.input, 8, stride=2), 8, stride=2)
    x = net.conv(x, 3, kernel=1, activation="NONE")
    return optimized(net.graph(net.softmax(x)), "dots")


def pixels(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def packed(image: np.ndarray) -> np.ndarray:
    """RGB pixels as an application delivers them."""
    red, green, blue = (image[..., c].astype(np.uint32) for c in range(3))
    return (red << 16 | green << 8 | blue).astype(np.float32)


def real(image: np.ndarray) -> np.ndarray:
    """What training did to the pixels of the residual net."""
    return image.astype(np.float32) / np.float32(127.5) - np.float32(1)


def macros(folder: Path) -> dict[str, str]:
    text = (folder / "model-parameters" / "model_metadata.h").read_text("utf-8")
    lines = [line.split(None, 2)[1:] for line in text.splitlines() if line.startswith("#define")]
    return {words[0]: words[1] if len(words) > 1 else "" for words in lines}


def in_docs(language: str) -> str:
    """The code block of a language in docs/edge_impulse.md."""
    return DOCS.read_text("utf-8").split(f"```{language}\n")[1].split("```")[0]
