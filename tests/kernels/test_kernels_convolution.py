"""Convolutions, fully connected, matrix products: bit for bit TFLM, on shapes drawn from a seed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from drawn import (
    CHANNELS,
    add_batch_matmul,
    add_convolution,
    add_fully_connected,
    add_transpose_conv,
    bias,
    weights,
)
from opgraph import Cases, engine

from tflm_opt import graph
from tflm_opt.codegen.lower import lower
from tflm_opt.errors import ToolFailed, UnsupportedModel
from tflm_opt.graph.ir import Graph, Op, Quantization
from tflm_opt.graph.options import (
    ConvOptions,
    FullyConnectedOptions,
    Padding,
)
from tflm_opt.runtime import tflm

Rng = np.random.Generator


@pytest.mark.parametrize("seed", range(3))
def test_convolutions(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    cases = Cases()
    for _ in range(40):
        add_convolution(cases, rng)
    cases.check(tmp_path, samples=2, seed=seed)


def test_pointwise_convolutions_take_the_fast_kernel(tmp_path: Path) -> None:
    rng = np.random.default_rng(10)
    cases = Cases()
    for depth in CHANNELS:
        add_convolution(cases, rng, kernel=(1, 1), channels=depth)
    cases.check(tmp_path, samples=2)


def test_grouped_convolutions(tmp_path: Path) -> None:
    rng = np.random.default_rng(20)
    cases = Cases()
    for groups in (2, 3, 4, 8):
        for _ in range(6):
            add_convolution(cases, rng, groups=groups)
    cases.check(tmp_path, samples=2)


@pytest.mark.parametrize("seed", range(3))
def test_depthwise_convolutions(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(100 + seed)
    cases = Cases()
    for _ in range(40):
        add_convolution(cases, rng, depthwise=True)
    cases.check(tmp_path, samples=2, seed=seed)


def padded_apart(cases: Cases, op: Op) -> list[Op]:
    """The same as a PAD and an op without padding: what TFLM can run."""
    source, options = op.inputs[0], op.options
    assert source is not None
    assert isinstance(options, ConvOptions)
    pad = options.padding
    _, h, w, c = source.shape
    wide = cases.tensor(
        (1, h + pad.top + pad.bottom, w + pad.left + pad.right, c),
        scale=source.scale,
        zero_point=source.zero_point,
    )
    widths = [[0, 0], [pad.top, pad.bottom], [pad.left, pad.right], [0, 0]]
    pad_op = Op("PAD", (source, cases.constant(widths)), (wide,))
    return [
        pad_op,
        replace(op, inputs=(wide, *op.inputs[1:]), options=replace(options, padding=Padding())),
    ]


@pytest.mark.parametrize("depthwise", [False, True])
def test_any_explicit_padding_equals_a_pad_before(tmp_path: Path, depthwise: bool) -> None:
    rng = np.random.default_rng(30 + depthwise)
    cases = Cases()
    reference: list[Op] = []
    while len(cases.ops) < 40:
        padding = Padding(*(int(v) for v in rng.integers(0, 6, 4)))
        kernel = tuple(int(v) for v in rng.integers(1, 5, 2))
        before = len(cases.inputs)
        op = add_convolution(cases, rng, depthwise=depthwise, kernel=kernel, padding=padding)
        if min(op.output.shape) < 1:  # the window does not fit once
            cases.ops.pop()
            del cases.inputs[before:]
            continue
        reference += padded_apart(cases, op)
    outputs = tuple(op.output for op in cases.ops)
    stock = Graph(tuple(reference), tuple(cases.inputs), outputs)
    data = cases.samples(2, seed=7)
    expected = tflm.run(graph.write(stock), data)
    got = engine(cases.graph(), tmp_path).run(data)
    for want_row, have_row in zip(expected, got, strict=True):
        for op, want, have in zip(cases.ops, want_row, have_row, strict=True):
            np.testing.assert_array_equal(have, want, str(op))


@pytest.mark.parametrize("seed", range(2))
def test_transpose_convolutions(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(200 + seed)
    cases = Cases()
    for _ in range(30):
        add_transpose_conv(cases, rng)
    cases.check(tmp_path, samples=2)


def test_fully_connected(tmp_path: Path) -> None:
    rng = np.random.default_rng(300)
    cases = Cases()
    for _ in range(60):
        add_fully_connected(cases, rng)
    cases.check(tmp_path, samples=2)


def test_batch_matmul(tmp_path: Path) -> None:
    rng = np.random.default_rng(400)
    cases = Cases()
    for _ in range(40):
        add_batch_matmul(cases, rng)
    cases.check(tmp_path, samples=2)


class TestRefusals:
    """What TFLM refuses or the engine lacks ends in a reason, not in wrong code."""

    def conv(self) -> Op:
        return add_convolution(Cases(), np.random.default_rng(1), kernel=(1, 1), channels=4)

    def refused(self, op: Op) -> str:
        with pytest.raises(UnsupportedModel) as caught:
            lower(op)
        return caught.value.reason

    def test_filter_computed_at_run_time(self) -> None:
        op = self.conv()
        assert op.inputs[1] is not None
        moving = replace(op.inputs[1], data=None)
        assert "run time" in self.refused(replace(op, inputs=(op.inputs[0], moving)))

    def test_filter_with_a_zero_point(self) -> None:
        op = self.conv()
        tensor = op.inputs[1]
        assert tensor is not None
        quant = Quantization(np.array([0.1], np.float32), np.array([3]), 0)
        shifted = replace(tensor, quant=quant)
        assert "zero point" in self.refused(replace(op, inputs=(op.inputs[0], shifted)))

    def test_float_input(self) -> None:
        op = self.conv()
        tensor = op.inputs[0]
        assert tensor is not None
        other = replace(tensor, dtype="float32", quant=None)
        assert "float32" in self.refused(replace(op, inputs=(other, *op.inputs[1:])))

    def test_wrong_output_size(self) -> None:
        op = self.conv()
        n, h, w, c = op.output.shape
        other = replace(op.output, shape=(n, h + 1, w, c))
        assert "rows and columns" in self.refused(replace(op, outputs=(other,)))

    def test_an_activation_bound_that_overflows(self) -> None:
        cases = Cases()
        op = add_convolution(cases, np.random.default_rng(1), kernel=(1, 1), channels=4)
        quant = Quantization.per_tensor(1e-9)
        options = replace(op.options, activation="RELU6")  # type: ignore[type-var]
        cases.ops[0] = replace(op, outputs=(replace(op.output, quant=quant),), options=options)
        assert "overflows" in self.refused(cases.ops[0])
        with pytest.raises(ToolFailed):
            tflm.run(graph.write(cases.graph()), cases.samples(1))

    def test_fully_connected_bias_of_another_scale(self) -> None:
        cases = Cases()
        rng = np.random.default_rng(4)
        source = cases.input((1, 8), scale=0.5)
        filters = weights(rng, (3, 8), None)
        target = cases.tensor((1, 3), scale=0.5)
        wrong = bias(rng, 3, np.array([0.9]), 100)
        cases.op("FULLY_CONNECTED", [source, filters, wrong], [target], FullyConnectedOptions())
        assert "TFLM refuses" in self.refused(cases.ops[0])
        with pytest.raises(ToolFailed):
            tflm.run(graph.write(cases.graph()), cases.samples(1))
