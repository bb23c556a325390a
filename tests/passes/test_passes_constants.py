"""Folding constants, fusing activations, pruning: what is left, and the same bytes in TFLM."""

from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np
import pytest
from pass_nets import Net, Tensor, built, kinds, same_in_tflm

from tflm_opt import graph as tg
from tflm_opt.graph import options
from tflm_opt.passes import FoldConstants, FuseActivation, Prune, run

X = (1, 6, 5, 4)
HALF = tg.Quantization.per_tensor(0.05, 3)


def _ints(net: Net, kind: str, a: Tensor, b: Tensor, record: options.Options) -> Tensor:
    return net.op(kind, [a, b], a.shape, dtype="int32", record=record)


def _shape_arithmetic(net: Net) -> Tensor:
    """What Keras exports for a flatten: RESHAPE to [SHAPE(x)[0], 2 * 3 - 1, -1]."""
    x = net.conv(net.input(X), 4, 1)
    shape = net.op("SHAPE", [x], (4,), dtype="int32")
    parts = [net.constant([0]), net.constant([1]), net.constant([1])]
    record = options.StridedSliceOptions(shrink_axis_mask=1)
    batch = net.op("STRIDED_SLICE", [shape, *parts], (), dtype="int32", record=record)
    parts = [net.constant([-2]), net.constant([-4]), net.constant([-1])]
    record = options.StridedSliceOptions()
    rows = net.op("STRIDED_SLICE", [shape, *parts], (2,), dtype="int32", record=record)
    five = _ints(net, "SUB", net.constant([6]), net.constant([1]), options.SubOptions())
    five = net.op("SQUEEZE", [five], (), dtype="int32", record=options.SqueezeOptions())
    record = options.PackOptions(2, 0)
    packed = net.op("PACK", [batch, five], (2,), dtype="int32", record=record)
    product = _ints(net, "MUL", rows, net.constant([0, 4]), options.MulOptions())
    last = net.op("SLICE", [product, net.constant([1]), net.constant([1])], (1,), dtype="int32")
    target = net.op(
        "CONCATENATION", [packed, last], (3,), dtype="int32", record=options.ConcatenationOptions()
    )
    return net.op("RESHAPE", [x, target], (1, 5, 24))


def _constant_operand(kind: str):
    def build(net: Net) -> Tensor:
        """An operand that is computed from constants, by one op."""
        x = net.input((1, 2, 3, 4), scale=0.05, zero=3)
        values = net.rng.integers(-128, 128, (1, 2, 3, 4))
        stored = net.constant(values, "int8", HALF)
        if kind == "QUANTIZE":
            real = net.constant(net.rng.normal(size=x.shape) * 3, "float32")
            other = net.op("QUANTIZE", [real], x.shape, quant=HALF, dtype="int8")
        elif kind == "requantize":
            other = net.quantize(stored, 0.031, -9)
        elif kind == "DEQUANTIZE":
            other = net.quantize(net.dequantize(stored), 0.029, 5)
        elif kind == "TRANSPOSE":
            turned = net.constant(values.reshape(1, 4, 3, 2), "int8", HALF)
            other = net.transpose(turned, 0, 3, 2, 1)
        else:
            other = net.op(kind, [stored], x.shape)
        return net.add(x, other)

    return build


FOLDED = {
    "shape arithmetic": (_shape_arithmetic, ["CONV_2D", "RESHAPE"]),
    **{
        kind: (_constant_operand(kind), ["ADD"])
        for kind in ("QUANTIZE", "requantize", "DEQUANTIZE", "TRANSPOSE", "RELU")
    },
}


@pytest.mark.parametrize("name", FOLDED)
def test_constants_are_folded(name: str) -> None:
    assert kinds(FoldConstants()(built(FOLDED[name][0]))) == FOLDED[name][1]


def test_tflm_sees_no_difference_in_folded_constants() -> None:
    graphs = [built(build, seed) for build, _ in FOLDED.values() for seed in range(4)]
    same_in_tflm([(g, FoldConstants()(g)) for g in graphs], count=2)


@pytest.mark.parametrize(
    ("value", "scale", "zero", "stored"),
    [
        (0.25, 0.5, 0, 1),
        (-0.25, 0.5, 0, -1),
        (0.2499, 0.5, 0, 0),
        (1.25, 0.5, -3, 0),
        (1e9, 0.001, 0, None),
        (1e4, 0.5, 0, 127),
        (-1e4, 0.5, 0, -128),
        (float("nan"), 0.5, 0, None),
    ],
)
def test_quantize_rounds_halves_away(value: float, scale: float, zero: int, stored) -> None:
    net = Net()
    real = net.constant([value], "float32")
    y = net.op(
        "QUANTIZE", [real], (1,), dtype="int8", quant=tg.Quantization.per_tensor(scale, zero)
    )
    net.add(y, y)
    folded = FoldConstants()(net.graph()).ops
    found = None if len(folded) > 1 else folded[0].inputs[0].data.tolist()
    assert found == (None if stored is None else [stored])


def test_gather_of_shapes_is_folded_though_tflm_has_none() -> None:
    net = Net()
    x = net.conv(net.input(X), 4, 1)
    shape = net.op("SHAPE", [x], (4,), dtype="int32")
    inputs = [shape, net.constant([0, 3, 2, 1])]
    turned = net.op("GATHER", inputs, (4,), dtype="int32", record=options.GatherOptions())
    net.op("RESHAPE", [x, turned], (1, 4, 5, 6))
    folded = FoldConstants()(net.graph())
    assert kinds(folded) == ["CONV_2D", "RESHAPE"]
    assert folded.ops[1].inputs[1].data.tolist() == [1, 4, 5, 6]


@pytest.mark.parametrize("value", [2**31 - 1, -(2**31)])
def test_arithmetic_that_overflows_is_left_to_the_runtime(value: int) -> None:
    net = Net()
    y = _ints(net, "ADD", net.constant([value]), net.constant([value]), options.AddOptions())
    net.op("RESHAPE", [net.input(X), y], X)
    assert kinds(FoldConstants()(net.graph())) == ["ADD", "RESHAPE"]


def test_a_constant_that_is_an_output_stays_an_op() -> None:
    net = Net()
    net.inputs.append(Tensor("x", (1,), "int8", HALF))
    y = net.quantize(net.constant([1, 2], "int8", HALF), 0.1, 0)
    before = net.graph(y)
    assert FoldConstants()(before) is before


def _relu(net: Net, kind: str, x: Tensor, quant: tg.Quantization | None = None) -> Tensor:
    return net.op(kind, [x], x.shape, quant=quant)


def _shared_relu(net: Net) -> tuple[Tensor, ...]:
    x = net.conv(net.input(X), 4, 1, zero=-10)
    return _relu(net, "RELU", x), net.conv(x, 2, 1)


def _conv(net: Net, activation: str = "NONE", zero: int = -10) -> Tensor:
    return net.conv(net.input(X), 4, 1, activation=activation, zero=zero)


# name: (what is built, the kinds that are left, the activation of the op before the last)
FUSED = {
    "RELU": (lambda n: _relu(n, "RELU", _conv(n)), ["CONV_2D"], "RELU"),
    "RELU6": (lambda n: _relu(n, "RELU6", _conv(n)), ["CONV_2D"], "RELU6"),
    "RELU6 of RELU": (lambda n: _relu(n, "RELU6", _conv(n, "RELU")), ["CONV_2D"], "RELU6"),
    "RELU of RELU6": (lambda n: _relu(n, "RELU", _conv(n, "RELU6")), ["CONV_2D"], "RELU6"),
    "RELU, RELU6": (
        lambda n: _relu(n, "RELU6", _relu(n, "RELU", _conv(n))),
        ["CONV_2D"],
        "RELU6",
    ),
    "RELU that can't act": (lambda n: _relu(n, "RELU", _conv(n, zero=-128)), ["CONV_2D"], "NONE"),
    "RELU of depthwise": (
        lambda n: _relu(n, "RELU", n.depthwise(n.input(X), zero=3)),
        ["DEPTHWISE_CONV_2D"],
        "RELU",
    ),
    "RELU of dense": (
        lambda n: _relu(n, "RELU6", n.dense(n.input((1, 9)), 5, zero=3)),
        ["FULLY_CONNECTED"],
        "RELU6",
    ),
    "RELU of ADD": (
        lambda n: _relu(n, "RELU", n.add(x := n.input(X), n.conv(x, 4, 1))),
        ["CONV_2D", "ADD"],
        "RELU",
    ),
    "RELU of pooling": (
        lambda n: _relu(n, "RELU", n.pool(n.input(X), "AVERAGE", 2)),
        ["AVERAGE_POOL_2D"],
        "RELU",
    ),
    "RELU to another scale": (
        lambda n: _relu(n, "RELU", _conv(n), tg.Quantization.per_tensor(0.5, -128)),
        ["CONV_2D", "RELU"],
        None,
    ),
    "RELU6 to another scale": (
        lambda n: _relu(n, "RELU6", _conv(n), tg.Quantization.per_tensor(0.5, -128)),
        ["CONV_2D", "RELU6"],
        None,
    ),
    "RELU of one of two readers": (_shared_relu, ["CONV_2D", "RELU", "CONV_2D"], None),
    "RELU of the input": (lambda n: _relu(n, "RELU", n.input(X)), ["RELU"], None),
    "RELU of a concatenation": (
        lambda n: _relu(n, "RELU", n.concat([x := n.input(X), x])),
        ["CONCATENATION", "RELU"],
        None,
    ),
}


@cache
def _fused(name: str) -> tuple[tg.Graph, tg.Graph]:
    before = built(FUSED[name][0])
    return before, run(before, (FuseActivation(),))


@pytest.mark.parametrize("name", FUSED)
def test_activations_are_fused(name: str) -> None:
    _, left, activation = FUSED[name]
    _, after = _fused(name)
    assert kinds(after) == left
    if activation is not None:
        assert after.ops[-1].options.activation == activation  # type: ignore[union-attr]


def test_tflm_sees_no_difference_in_fused_activations() -> None:
    same_in_tflm([_fused(name) for name in FUSED])


def test_prune_drops_dead_ops_and_shares_constants() -> None:
    net = Net()
    x = net.input(X)
    y = net.reshape(net.conv(x, 4, 1), 1, 120)
    z = net.reshape(net.conv(x, 4, 1), 1, 120)
    net.conv(x, 7, 1)
    unused = Tensor("unused", (3,), "int8")
    full = net.graph(y, z)
    before = dataclasses.replace(full, tensors=(*tg.tensor_order(full), unused))
    after = Prune()(before)
    assert kinds(after) == ["CONV_2D", "RESHAPE"] * 2
    assert unused not in after.tensors
    assert after.ops[1].inputs[1] is after.ops[3].inputs[1]
    assert Prune()(after) is after
    same_in_tflm([(before, after)])


def test_an_edit_drops_a_plan_that_no_longer_fits() -> None:
    net = Net()
    net.conv(net.input(X), 4, 1)
    plan = np.array([1, 0, 2, 0, 64], np.int32).tobytes()
    model = tg.Model(metadata=(("OfflineMemoryAllocation", plan), ("min_runtime_version", b"1")))
    before = dataclasses.replace(net.graph(), model=model)
    assert Prune()(before).model.metadata == (("min_runtime_version", b"1"),)
