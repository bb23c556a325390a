"""SVDF and LSTM layers, sums of weights and transposes with CMSIS-NN's names.

Layers run against TFLM: several steps of a state are several SVDF ops that share it in one model.
"""

from __future__ import annotations

import ctypes
import itertools
from dataclasses import dataclass
from functools import cache

import glue
import numpy as np
import pytest
from glue import Memory, ints, pointer
from opgraph import Cases

from tflm_opt import graph
from tflm_opt.graph.ir import Op, Quantization, Tensor
from tflm_opt.graph.options import Raw
from tflm_opt.graph.schema import fb
from tflm_opt.quant.numerics import product_multiplier, quantize_multiplier
from tflm_opt.runtime import tflm

STEPS = 5


def variable(name: str, shape: tuple[int, ...], dtype: str, scale: float, zero: int = 0) -> Tensor:
    return Tensor(name, shape, dtype, Quantization.per_tensor(scale, zero), variable=True)


def operand(op: Op, index: int) -> Tensor:
    tensor = op.inputs[index]
    assert tensor is not None
    return tensor


def constant(tensor: Tensor) -> np.ndarray:
    assert tensor.data is not None
    return tensor.data


@dataclass(slots=True, eq=False)
class Svdf:
    """A layer that is run STEPS times, on one input each."""

    batch: int
    size: int
    rank: int
    units: int
    memory: int
    dtype: str  # of the state and the time weights

    def build(self) -> Cases:
        cases, rng = Cases(), np.random.default_rng(self.size)
        filters = self.units * self.rank
        wide = self.dtype == "int16"
        feature = cases.constant(rng.integers(-127, 128, (filters, self.size)), "int8", scale=0.01)
        limit = 3000 if wide else 127
        time = cases.constant(
            rng.integers(-limit, limit + 1, (filters, self.memory)), self.dtype, scale=0.002
        )
        scale = 0.001 if wide else 0.15
        bias = cases.constant(rng.integers(-9000, 9000, self.units), "int32")
        bias = Tensor("b", bias.shape, "int32", Quantization.per_tensor(scale * 0.002), bias.data)
        state = variable("state", (self.batch, filters * self.memory), self.dtype, scale)
        table = fb.SVDFOptionsT()
        table.rank = self.rank
        options = Raw(fb.BuiltinOptions.SVDFOptions, table)
        for _ in range(STEPS):
            x = cases.input((self.batch, self.size), scale=0.05, zero_point=-7)
            y = cases.tensor((self.batch, self.units), scale=1.0 if wide else 0.1, zero_point=5)
            cases.op("SVDF", [x, feature, time, bias, state], [y], options)
        return cases

    def run(self, cases: Cases, sample: list[np.ndarray]) -> list[np.ndarray]:
        """All outputs, by the function for this state; the contexts hold nothing."""
        name = {"int8": "arm_svdf_s8", "int16": "arm_svdf_state_s16_s8"}[self.dtype]
        filters = self.units * self.rank
        memory = Memory()
        state = memory.put(np.zeros((self.batch, filters, self.memory), self.dtype))
        rows = []
        for op, x in zip(cases.ops, sample, strict=True):
            source, feature, time, bias, kept = (operand(op, i) for i in range(5))
            one = source.scale * feature.scale / kept.scale
            two = kept.scale * time.scale / op.output.scale
            bounds = -(2**15), 2**15 - 1, -128, 127  # the glue's, whatever the state's type
            params = ints(self.rank, source.zero_point, op.output.zero_point, *bounds)
            out = memory.put(np.zeros(op.output.shape, np.int8))
            arguments = (
                params, ints(*quantize_multiplier(one)),
                ints(*quantize_multiplier(two)),
                ints(self.batch, self.size), pointer(memory.put(x)), None, pointer(state),
                ints(filters, self.size), pointer(memory.put(constant(feature))),
                ints(filters, self.memory), pointer(memory.put(constant(time))),
                None, pointer(memory.put(constant(bias))), None, pointer(out),
            )  # fmt: skip
            contexts = (None,) * (3 if self.dtype == "int8" else 2)
            assert glue.run(name, *contexts, *arguments) == glue.SUCCESS
            values = np.frombuffer(ctypes.string_at(out, op.output.elements), np.int8)
            rows.append(values.reshape(op.output.shape))
        memory.free()
        return rows


class Gate(ctypes.Structure):
    """cmsis_nn_lstm_gate"""

    _fields_ = (
        ("input_multiplier", glue.INT),
        ("input_shift", glue.INT),
        ("input_weights", ctypes.c_void_p),
        ("input_effective_bias", ctypes.c_void_p),
        ("hidden_multiplier", glue.INT),
        ("hidden_shift", glue.INT),
        ("hidden_weights", ctypes.c_void_p),
        ("hidden_effective_bias", ctypes.c_void_p),
        ("bias", ctypes.c_void_p),
        ("activation_type", glue.INT),
    )


class LstmParams(ctypes.Structure):
    """cmsis_nn_lstm_params: 15 numbers, then the forget, input, cell and output gate."""

    _fields_ = (("numbers", glue.INT * 15), ("gates", Gate * 4))


GATES = ("input", "forget", "cell", "output")  # TFLite's order
STRUCT_ORDER = (1, 0, 2, 3)
Q12, Q15 = 2.0**-12, 2.0**-15


@dataclass(slots=True, eq=False)
class Lstm:
    """A layer of one input [batch, time, size] or [time, batch, size]."""

    dtype: str
    time_major: bool
    batch: int
    steps: int
    size: int
    hidden: int
    clip: float = 0.0

    def build(self) -> Cases:
        cases, rng = Cases(), np.random.default_rng(self.hidden)
        wide = self.dtype == "int16"
        zero_in, zero_out = (0, 0) if wide else (-3, 11)
        lead = (self.steps, self.batch) if self.time_major else (self.batch, self.steps)
        scale = Q15 * 4 if wide else 0.02
        x = cases.input((*lead, self.size), self.dtype, scale=scale, zero_point=zero_in)
        out_scale = Q15 if wide else 1 / 128
        hidden = variable("hidden", (self.batch, self.hidden), self.dtype, out_scale, zero_out)
        cell = variable("cell", (self.batch, self.hidden), "int16", 2.0**-11)

        def weights(columns: int) -> list[Tensor]:
            return [
                cases.constant(
                    rng.integers(-127, 128, (self.hidden, columns)),
                    "int8",
                    scale=float(np.float32(rng.uniform(0.002, 0.02))),
                )
                for _ in GATES
            ]

        forward, recurrent = weights(self.size), weights(self.hidden)
        bias_type = "int64" if wide else "int32"
        biases = []
        for tensor in forward:
            spread = 0.3 / (scale * tensor.scale)
            values = np.round(rng.normal(0, spread, self.hidden)).astype(bias_type)
            quant = Quantization.per_tensor(scale * tensor.scale)
            biases.append(Tensor("b", (self.hidden,), bias_type, quant, values))
        inputs = [
            x, *forward, *recurrent, None, None, None, *biases, None, None, hidden, cell,
            None, None, None, None,
        ]  # fmt: skip
        table = fb.UnidirectionalSequenceLSTMOptionsT()
        table.fusedActivationFunction = fb.ActivationFunctionType.TANH
        table.timeMajor = self.time_major
        table.cellClip = self.clip
        y = cases.tensor((*lead, self.hidden), self.dtype, scale=out_scale, zero_point=zero_out)
        options = Raw(fb.BuiltinOptions.UnidirectionalSequenceLSTMOptions, table)
        cases.op("UNIDIRECTIONAL_SEQUENCE_LSTM", inputs, [y], options)  # type: ignore[arg-type]
        return cases

    def run(self, cases: Cases, x: np.ndarray, *, kept: bool = False) -> np.ndarray:
        """The output, with effective biases from the library as the glue has them.

        kept: steps come one at a time, the state in between in buffers of the caller.
        """
        op = cases.ops[0]
        memory = Memory()
        params = self._params(cases, memory)
        suffix = {"int8": "s8", "int16": "s16"}[self.dtype]
        cell = memory.put(np.zeros((self.batch, self.hidden), np.int16))
        zero = op.output.zero_point
        hidden = memory.put(np.full((self.batch, self.hidden), zero, self.dtype)) if kept else None
        parts = [x]
        if kept:
            params.numbers[2] = 1
            parts = np.split(x, self.steps, 0 if self.time_major else 1)
        made = []
        for part in parts:
            shape = (*part.shape[:2], self.hidden)
            out = memory.put(np.zeros(shape, self.dtype))
            context = (ctypes.c_void_p * 4)(None, None, cell, hidden)
            status = glue.run(
                f"arm_lstm_unidirectional_{suffix}", pointer(memory.put(part)), pointer(out),
                params, context,
            )  # fmt: skip
            assert status == glue.SUCCESS
            size = int(np.prod(shape)) * np.dtype(self.dtype).itemsize
            made.append(np.frombuffer(ctypes.string_at(out, size), self.dtype).reshape(shape))
        memory.free()
        return np.concatenate(made, 0 if self.time_major else 1)

    def _params(self, cases: Cases, memory: Memory) -> LstmParams:
        op = cases.ops[0]
        x, hidden, cell = (operand(op, i) for i in (0, 18, 19))
        keep = quantize_multiplier(Q15)
        add = quantize_multiplier(Q15 * Q15 / cell.scale)
        show = quantize_multiplier(Q15 * Q15 / hidden.scale)
        clip = min(self.clip / cell.scale, 32767)
        params = LstmParams()
        numbers = (
            self.time_major, self.batch, self.steps, self.size, self.hidden, -x.zero_point,
            *keep, *add, clip, round(np.log2(cell.scale)), *show, hidden.zero_point,
        )  # fmt: skip
        params.numbers[:] = [int(n) for n in numbers]
        for place, number in enumerate(STRUCT_ORDER):
            forward, recurrent, bias = (operand(op, i + number) for i in (1, 5, 12))
            first = product_multiplier(x.scale, forward.scale, Q12)
            second = product_multiplier(hidden.scale, recurrent.scale, Q12)
            gate = params.gates[place]
            gate.input_multiplier, gate.input_shift = first
            gate.hidden_multiplier, gate.hidden_shift = second
            gate.input_weights = memory.put(constant(forward))
            gate.hidden_weights = memory.put(constant(recurrent))
            added = constant(bias)
            gate.input_effective_bias = self._sums(memory, forward, -x.zero_point, added)
            gate.hidden_effective_bias = self._sums(memory, recurrent, -hidden.zero_point, None)
            gate.activation_type = 1 if GATES[number] == "cell" else 0
        return params

    def _sums(self, memory: Memory, filters: Tensor, offset: int, bias: np.ndarray | None) -> int:
        wide = self.dtype == "int16"
        out = memory.put(np.full(self.hidden, 77, np.int64 if wide else np.int32))
        name = "arm_vector_sum_s8_s64" if wide else "arm_vector_sum_s8"
        rest = (offset,) if wide else (offset, 0)
        status = glue.run(
            name, pointer(out), filters.shape[1], self.hidden,
            pointer(memory.put(constant(filters))), *rest,
            pointer(None if bias is None else memory.put(bias)),
        )  # fmt: skip
        assert status == glue.SUCCESS
        return out


SVDFS = [
    Svdf(*sizes, dtype)
    for dtype in ("int8", "int16")
    for sizes in ((1, 16, 1, 8, 10), (2, 5, 2, 3, 4), (3, 1, 4, 1, 1), (1, 33, 2, 17, 7))
]
LSTMS = [
    Lstm(dtype, time_major, *sizes, clip)
    for dtype, time_major in itertools.product(("int8", "int16"), (False, True))
    for sizes, clip in (((1, 4, 3, 2), 0.0), ((3, 5, 7, 9), 0.0), ((2, 3, 17, 1), 0.6))
]


@cache
def runs() -> dict[Svdf | Lstm, tuple[Cases, list[list[np.ndarray]], list[list[np.ndarray]]]]:
    """Each layer as ops, its samples, and TFLM's outputs; one child for all of them."""
    layers = [*SVDFS, *LSTMS]
    built = [layer.build() for layer in layers]
    samples = [cases.samples(2, seed=number) for number, cases in enumerate(built)]
    jobs = [(graph.write(c.graph()), s) for c, s in zip(built, samples, strict=True)]
    made = zip(built, samples, tflm.run_many(jobs), strict=True)
    return dict(zip(layers, made, strict=True))


@pytest.mark.parametrize("layer", SVDFS, ids=str)
def test_svdf(layer: Svdf) -> None:
    cases, samples, want = runs()[layer]
    seen: set[int] = set()
    for sample, row in zip(samples, want, strict=True):
        for one, other in zip(row, layer.run(cases, sample), strict=True):
            assert np.array_equal(one, other)
            seen |= set(one.ravel().tolist())
    assert len(seen) > 5


@pytest.mark.parametrize("layer", LSTMS, ids=str)
def test_lstm(layer: Lstm) -> None:
    cases, samples, want = runs()[layer]
    for sample, row in zip(samples, want, strict=True):
        assert np.array_equal(row[0], layer.run(cases, sample[0]))
        assert np.array_equal(row[0], layer.run(cases, sample[0], kept=True))
        assert len(np.unique(row[0])) > 3


@pytest.mark.parametrize(("kind", "name"), [("LOGISTIC", "sigmoid"), ("TANH", "tanh")])
@pytest.mark.parametrize("shift", [0, 1])
def test_functions_of_gates_for_all_inputs(kind: str, name: str, shift: int) -> None:
    """TFLM's own ops on int16, whose inputs of scale 2^-12 and 2^-11 are just those."""
    cases = Cases()
    every = np.arange(-(2**15), 2**15).astype(np.int16)[None]
    x = cases.input(every.shape, "int16", scale=2.0 ** (shift - 12))
    cases.op(kind, [x], [cases.tensor(every.shape, "int16", scale=Q15)])
    want = tflm.run(graph.write(cases.graph()), [[every]])[0][0]
    function = getattr(glue.library(), f"tflm_opt_{name}_s16")
    function.restype = ctypes.c_int16
    got = [function(int(value), shift) for value in every[0]]
    assert np.array_equal(want[0], got)
    assert len(np.unique(got)) > 10_000


@pytest.mark.parametrize(("rows", "columns", "left", "right"), [(1, 1, 3, 0), (5, 7, -128, 4)])
@pytest.mark.parametrize("with_bias", [False, True])
def test_vector_sums(rows: int, columns: int, left: int, right: int, with_bias: bool) -> None:
    rng = np.random.default_rng(rows)
    weights = rng.integers(-128, 128, (rows, columns)).astype(np.int8)
    bias = rng.integers(-(2**20), 2**20, rows)
    sums = weights.astype(np.int64).sum(1)
    added = bias if with_bias else np.zeros(rows, np.int64)
    memory = Memory()
    for dtype, name, rest in (
        (np.int32, "arm_vector_sum_s8", (left, right)),
        (np.int64, "arm_vector_sum_s8_s64", (left,)),
    ):
        out = memory.put(np.full(rows, -1, dtype))
        given = pointer(memory.put(bias.astype(dtype)) if with_bias else None)
        data = pointer(memory.put(weights))
        assert glue.run(name, pointer(out), columns, rows, data, *rest, given) == glue.SUCCESS
        got = np.frombuffer(ctypes.string_at(out, rows * np.dtype(dtype).itemsize), dtype)
        inner = sums + columns * right if dtype is np.int32 else sums
        assert np.array_equal(got, inner * left + added)
    memory.free()


@pytest.mark.parametrize("axes", [p for n in range(1, 5) for p in itertools.permutations(range(n))])
def test_transpose(axes: tuple[int, ...]) -> None:
    """What lies behind the axes that are there is anything: the glue passes it on unread."""
    rng = np.random.default_rng(len(axes))
    values = rng.integers(-128, 128, rng.integers(1, 6, len(axes))).astype(np.int8)
    want = np.transpose(values, axes)
    junk = [-(2**31)] * (4 - len(axes))
    memory = Memory()
    out = memory.put(np.zeros(values.size, np.int8))
    permutation = memory.put(np.array(axes, np.uint32))

    class Params(ctypes.Structure):
        _fields_ = (("num_dims", glue.INT), ("permutations", ctypes.c_void_p))

    status = glue.run(
        "arm_transpose_s8", pointer(memory.put(values)), pointer(out), ints(*values.shape, *junk),
        ints(*want.shape, *junk), Params(len(axes), permutation),
    )  # fmt: skip
    assert status == glue.SUCCESS
    assert ctypes.string_at(out, values.size) == np.ascontiguousarray(want).tobytes()
    memory.free()
