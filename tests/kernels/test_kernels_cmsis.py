"""Functions with CMSIS-NN's names against TFLM: 16-bit activations, 4-bit weights, and int8.

Ops come from the generators of the other kernels' tests, turned into other types; TFLM runs them as
a model, the library's functions are called with what TFLM's glue for CMSIS-NN would pass.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

import drawn
import glue
import numpy as np
import pytest
from opgraph import Cases

from tflm_opt import graph
from tflm_opt.errors import UnsupportedModel
from tflm_opt.graph.ir import Op, Quantization, Tensor
from tflm_opt.graph.options import SoftmaxOptions
from tflm_opt.runtime import tflm
from tflm_opt.runtime.host import compiler

Rng = np.random.Generator
WIDER = 256  # int16 covers an int8's range in steps of a 256th


def widened(cases: Cases, rng: Rng) -> Cases:
    """The same ops on int16 activations, with int64 biases, or int32 ones where TFLM has them."""
    made = Cases(count=cases.count)
    new: dict[Tensor, Tensor] = {}

    def wide(tensor: Tensor, op: Op) -> Tensor:
        if tensor not in new:
            new[tensor] = tensor
            if tensor.dtype == "int8" and not tensor.constant:
                scale = float(np.float32(tensor.scale / WIDER))
                new[tensor] = replace(
                    tensor, dtype="int16", quant=Quantization.per_tensor(scale, 0)
                )
            elif tensor.dtype == "int32" and tensor.name == "b":
                assert tensor.quant is not None
                assert tensor.data is not None
                quant = replace(tensor.quant, scale=tensor.quant.scale / np.float32(WIDER))
                narrow = op.kind == "CONV_2D" and rng.random() < 0.4
                dtype = "int32" if narrow else "int64"
                data = (tensor.data.astype(np.int64) * WIDER).astype(dtype)
                new[tensor] = replace(tensor, dtype=dtype, quant=quant, data=data)
        return new[tensor]

    for op in cases.ops:
        inputs = [t and wide(t, op) for t in op.inputs]
        made.op(op.kind, inputs, [wide(t, op) for t in op.outputs], op.options)  # type: ignore[arg-type]
        if not has_range(made.ops[-1]):
            made.ops.pop()
    made.inputs = [new[t] for t in cases.inputs]
    return made


def has_range(op: Op) -> bool:
    """Whether the bounds of its activation fit an int32 at its output's scale: TFLM wants that."""
    try:
        glue.bounds(op)
    except UnsupportedModel:
        return False
    return True


def narrowed(cases: Cases) -> Cases:
    """The same ops with weights of -8 to 7, which the functions get packed."""
    made = Cases(count=cases.count)
    made.inputs = cases.inputs
    for number, op in enumerate(cases.ops):
        filters = op.inputs[1]
        assert filters is not None
        assert filters.data is not None
        name, data = f"int4 {number}", (filters.data >> 4).astype(np.int8)
        inputs = [op.inputs[0], replace(filters, name=name, data=data), *op.inputs[2:]]
        made.op(op.kind, inputs, op.outputs, op.options)  # type: ignore[arg-type]
    return made


def many(count: int, add: Callable[[Cases, Rng], object], seed: int) -> Cases:
    """That many random ops."""
    cases, rng = Cases(), np.random.default_rng(seed)
    for _ in range(count):
        add(cases, rng)
    return cases


def shape(rng: Rng) -> tuple[int, ...]:
    return tuple(int(v) for v in rng.integers(1, 7, int(rng.integers(1, 5))))


def add_same(kind: str) -> Callable[[Cases, Rng], object]:
    def add(cases: Cases, rng: Rng) -> None:
        size = shape(rng)
        drawn.add_pair(cases, rng, kind, size, size)

    return add


def add_softmax(source: str, target: str) -> Callable[[Cases, Rng], object]:
    def add(cases: Cases, rng: Rng) -> None:
        size = (*shape(rng)[:2], int(rng.choice([1, 2, 10, 67, 300])))
        scale = 10 ** rng.uniform(-3, 0) / (WIDER if source == "int16" else 1)
        logits = cases.input(size, source, scale=float(np.float32(scale)), zero_point=0)
        quant = {
            ("int8", "int8"): (1 / 256, -128),
            ("int8", "int16"): (1 / 65536, -32768),
            ("int16", "int16"): (1 / 32768, 0),
        }[source, target]
        out = cases.tensor(size, target, scale=quant[0], zero_point=quant[1])
        beta = float(rng.choice([1.0, 1.0, 0.5]))
        cases.op("SOFTMAX", [logits], [out], SoftmaxOptions(beta))

    return add


def add_groups(cases: Cases, rng: Rng) -> None:
    drawn.add_convolution(cases, rng, groups=int(rng.choice([2, 3])))


def add_depthwise(cases: Cases, rng: Rng) -> None:
    drawn.add_convolution(cases, rng, depthwise=True)


def add_per_tensor(cases: Cases, rng: Rng) -> None:
    """Fully connected with one scale: what int16 and int4 have."""
    before = len(cases.ops), len(cases.inputs)
    while len(cases.ops) == before[0]:
        drawn.add_fully_connected(cases, rng)
        filters = cases.ops[-1].inputs[1]
        assert filters is not None
        assert filters.quant is not None
        if filters.quant.per_channel:
            cases.ops.pop()
            cases.inputs.pop()


def add_average(cases: Cases, rng: Rng) -> None:
    drawn.add_pool(cases, rng, "AVERAGE_POOL_2D")


def add_greatest(cases: Cases, rng: Rng) -> None:
    drawn.add_pool(cases, rng, "MAX_POOL_2D")


def wide(count: int, add: Callable[[Cases, Rng], object], seed: int) -> Cases:
    return widened(many(count, add, seed), np.random.default_rng(seed + 1))


CASES: dict[str, Callable[[], Cases]] = {
    "int16 convolution": lambda: wide(30, drawn.add_convolution, 1),
    "int16 convolution in groups": lambda: wide(10, add_groups, 2),
    "int16 depthwise": lambda: wide(30, add_depthwise, 3),
    "int16 fully connected": lambda: wide(30, add_per_tensor, 4),
    "int16 batch matmul": lambda: wide(30, drawn.add_batch_matmul, 5),
    "int16 add": lambda: wide(30, add_same("ADD"), 6),
    "int16 mul": lambda: wide(30, add_same("MUL"), 7),
    "int16 average pool": lambda: wide(30, add_average, 8),
    "int16 max pool": lambda: wide(30, add_greatest, 9),
    "int16 softmax": lambda: many(20, add_softmax("int16", "int16"), 10),
    "int8 to int16 softmax": lambda: many(20, add_softmax("int8", "int16"), 11),
    "int4 convolution": lambda: narrowed(many(30, drawn.add_convolution, 12)),
    "int4 convolution in groups": lambda: narrowed(many(10, add_groups, 13)),
    "int4 depthwise": lambda: narrowed(many(30, add_depthwise, 14)),
    "int4 fully connected": lambda: narrowed(many(30, add_per_tensor, 15)),
    "int8 convolution": lambda: many(20, drawn.add_convolution, 16),
    "int8 depthwise": lambda: many(20, add_depthwise, 17),
    "int8 transposed convolution": lambda: many(20, drawn.add_transpose_conv, 18),
    "int8 fully connected": lambda: many(20, drawn.add_fully_connected, 19),
    "int8 batch matmul": lambda: many(30, drawn.add_batch_matmul, 20),
    "int8 add": lambda: many(10, add_same("ADD"), 21),
    "int8 mul": lambda: many(10, add_same("MUL"), 22),
    "int8 average pool": lambda: many(10, add_average, 23),
    "int8 max pool": lambda: many(10, add_greatest, 24),
    "int8 softmax": lambda: many(10, add_softmax("int8", "int8"), 25),
}


@cache
def cases_of(name: str) -> Cases:
    return CASES[name]()


@cache
def expected() -> Mapping[str, list[list[list[np.ndarray]]]]:
    """What TFLM makes of all cases: [name][0][sample][output]; one child for all of them."""
    jobs = [(graph.write(cases_of(n).graph()), cases_of(n).samples(2)) for n in CASES]
    return dict(zip(CASES, ([r] for r in tflm.run_many(jobs)), strict=True))


def outputs(cases: Cases) -> list[list[np.ndarray]]:
    rows = []
    for sample in cases.samples(2):
        values = dict(zip(cases.inputs, sample, strict=True))
        rows.append([glue.call(op, values) for op in cases.ops])
    return rows


@pytest.mark.parametrize("name", CASES)
def test_as_tflm(name: str) -> None:
    cases = cases_of(name)
    want, got = expected()[name][0], outputs(cases)
    distinct = set()
    for want_row, got_row in zip(want, got, strict=True):
        for op, one, other in zip(cases.ops, want_row, got_row, strict=True):
            assert one.dtype == other.dtype
            assert one.shape == other.shape
            wrong = np.argwhere(one != other)
            assert not len(wrong), (op, op.options, wrong[0], one[tuple(wrong[0])])
            distinct |= set(np.unique(one)[:100].tolist())
    assert len(distinct) > 10


CHILD = """
from test_kernels_cmsis import CASES, cases_of, outputs
for name in CASES:
    if "int8" not in name:
        outputs(cases_of(name))
print("done")
"""


def test_nothing_outside_the_buffers_is_touched() -> None:
    """The same calls under AddressSanitizer and UBSan; buffers have just their size.

    Int8 kernels are left out: other tests run them so.
    """
    preload = subprocess.run(
        [compiler(), "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    ).stdout.strip()
    if not Path(preload).is_absolute():
        pytest.skip("the compiler has no AddressSanitizer")
    env = {**os.environ, "LD_PRELOAD": preload, "ASAN_OPTIONS": "detect_leaks=0"}
    env["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", CHILD], capture_output=True, text=True, check=False, env=env
    )
    assert done.stdout == "done\n", done.stderr[-3000:]
