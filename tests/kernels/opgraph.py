"""Graphs of single ops, run by TFLM and by the generated C on this host, compared byte by byte.

    cases = Cases()
    x = cases.input((1, 4, 4, 3))
    cases.op("RELU", [x], [cases.tensor((1, 4, 4, 3))])
    cases.check(samples=3, folder=tmp_path)

All ops of one `Cases` share one model: one start of TFLM, one run of the compiler.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from tflm_opt import codegen, graph
from tflm_opt.graph.ir import NUMPY_DTYPES, Graph, Op, Quantization, Tensor
from tflm_opt.graph.options import Options
from tflm_opt.runtime import host, tflm


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """A plan in which nothing overlaps, with gaps of different sizes between buffers."""

    schedule: Any  # with what code generation asks of one
    offsets: Mapping[Tensor, int]
    scratch: Mapping[Op, tuple[int, int]]
    peak: int
    moves: Mapping[Op, tuple[()]] = field(default_factory=dict)
    fronts: Mapping[Tensor, int] = field(default_factory=dict)


def layout(g: Graph, kernels: codegen.Kernels | None = None) -> Layout:
    """Every tensor at an address of its own, of any alignment that its type allows.

    Args:
        kernels: which op gets how much scratch; by default what it can't do without.
    """
    kernels = kernels or codegen.Kernels()
    offsets: dict[Tensor, int] = {}
    scratch: dict[Op, tuple[int, int]] = {}
    end = 0
    tensors = [*g.inputs, *(t for op in g.ops for t in op.outputs)]
    for number, tensor in enumerate(tensors):
        offsets[tensor] = _after(end, number, tensor.itemsize)
        end = offsets[tensor] + tensor.nbytes
    for number, op in enumerate(g.ops):
        size = kernels.scratch(op)
        if size:
            scratch[op] = _after(end, number, 4), size
            end = scratch[op][0] + size
    stages = [SimpleNamespace(ops=(op,), band=None) for op in g.ops]
    return Layout(SimpleNamespace(stages=stages), offsets, scratch, _after(end, 0, 1))


def _after(end: int, number: int, alignment: int) -> int:
    """The place of buffer `number`: a gap of 16 to 47 bytes behind the one before."""
    start = (end + 31) // 16 * 16
    return start + 5 * number % 16 // alignment * alignment


def draw(tensor: Tensor, rng: np.random.Generator) -> np.ndarray:
    """Values over the dtype's whole range; floats around the quantized range of int8."""
    dtype = np.dtype(NUMPY_DTYPES[tensor.dtype])
    if dtype.kind == "f":
        return rng.normal(0, 40, tensor.shape).astype(dtype)
    if dtype.kind == "b":
        return rng.integers(0, 2, tensor.shape).astype(dtype)
    limits = np.iinfo(dtype.name)
    low, high = limits.min, limits.max
    values = rng.integers(low, high, tensor.shape, dtype=dtype, endpoint=True)
    edge = rng.random(tensor.shape)
    values = np.where(edge < 0.03, dtype.type(low), values)
    return np.where(edge > 0.97, dtype.type(high), values).astype(dtype)


@dataclass(slots=True)
class Cases:
    """Ops under test, collected into one model."""

    ops: list[Op] = field(default_factory=list)
    inputs: list[Tensor] = field(default_factory=list)
    count: int = 0

    def tensor(
        self,
        shape: Sequence[int],
        dtype: str = "int8",
        scale: float = 0.5,
        zero_point: int = 0,
        data: np.ndarray | None = None,
    ) -> Tensor:
        """A tensor with per-tensor quantization where its type has one."""
        self.count += 1
        quant = None
        if dtype in ("int8", "uint8", "int16") or (dtype == "int32" and data is None):
            quant = Quantization.per_tensor(scale, zero_point)
        return Tensor(f"t{self.count}", tuple(shape), dtype, quant, data)

    def input(self, shape: Sequence[int], dtype: str = "int8", **quant: float | int) -> Tensor:
        """A model input."""
        tensor = self.tensor(shape, dtype, **quant)  # type: ignore[arg-type]
        self.inputs.append(tensor)
        return tensor

    def constant(self, values: object, dtype: str = "int32", **quant: float | int) -> Tensor:
        """A constant."""
        data = np.array(values, NUMPY_DTYPES[dtype])
        return self.tensor(data.shape, dtype, data=data, **quant)  # type: ignore[arg-type]

    def op(
        self,
        kind: str,
        inputs: Sequence[Tensor],
        outputs: Sequence[Tensor],
        options: Options | None = None,
    ) -> None:
        """An op under test; all its outputs are outputs of the model."""
        self.ops.append(Op(kind, tuple(inputs), tuple(outputs), options))

    def graph(self) -> Graph:
        outputs = tuple(t for op in self.ops for t in op.outputs)
        return Graph(tuple(self.ops), tuple(self.inputs), outputs)

    def samples(self, count: int, seed: int = 0) -> list[list[np.ndarray]]:
        rng = np.random.default_rng(seed)
        return [[draw(t, rng) for t in self.inputs] for _ in range(count)]

    def check(
        self,
        folder: Path,
        samples: int | list[list[np.ndarray]] = 2,
        *,
        seed: int = 0,
        sanitize: bool = False,
    ) -> None:
        """Fail unless the engine gives TFLM's bytes for every output of every sample."""
        g = self.graph()
        data = self.samples(samples, seed) if isinstance(samples, int) else samples
        expected = tflm.run(graph.write(g), data)
        got = engine(g, folder, sanitize=sanitize).run(data)
        places = [(op, t) for op in g.ops for t in op.outputs]
        assert len(expected) == len(data) > 0
        for want_row, got_row in zip(expected, got, strict=True):
            for (op, tensor), want, have in zip(places, want_row, got_row, strict=True):
                assert have.shape == tuple(want.shape), (op, tensor)
                assert have.dtype == want.dtype, (op, tensor)
                if have.tobytes() != want.tobytes():
                    wrong = np.argwhere(have != want)
                    at = tuple(wrong[0]) if len(wrong) else ()
                    raise AssertionError(
                        f"{op} {op.options} {[t and t.shape for t in op.inputs]}: {len(wrong)} of "
                        f"{have.size} differ, first at {at}: {have[at]} != {want[at]} (TFLM)"
                    )


def engine(g: Graph, folder: Path, *, sanitize: bool = False) -> host.Engine:
    """The graph as C, compiled for this host."""
    codegen.write(codegen.generate(g, layout(g), name="cases"), folder)
    return host.Engine(folder, sanitize=sanitize)
