"""Identity ops, chains of moves, and float borders: what goes, what stays, same bytes in TFLM."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pass_nets import Net, Tensor, built, kinds, run_all, same_in_tflm, samples_for

from tflm_opt import graph as tg
from tflm_opt.graph import options
from tflm_opt.passes import Borders, Identities, default_pipeline, run

X = (1, 6, 5, 4)


def _x(net: Net) -> Tensor:
    return net.conv(net.input(X), 4, 1)


def _split(net: Net) -> Tensor:
    x = _x(net)
    record = options.SplitOptions(1)
    return _use(net, net.op("SPLIT", [net.constant(3), x], x.shape, like=x, record=record))


def _use(net: Net, x: Tensor) -> Tensor:
    return net.quantize(x, 0.09, 7)


def _slice(net: Net, begin: tuple[int, ...], size: tuple[int, ...]) -> Tensor:
    inputs = [_x(net), net.constant(begin), net.constant(size)]
    return _use(net, net.op("SLICE", inputs, size))


def _strided(net: Net, stride: int) -> Tensor:
    x = _x(net)
    ends = [1, 6, 5, 4] if stride > 0 else [1, 6, 5, -5]
    begin = [0, 0, 0, 0] if stride > 0 else [0, 0, 0, 3]
    inputs = [x, net.constant(begin), net.constant(ends), net.constant([1, 1, 1, stride])]
    return _use(net, net.op("STRIDED_SLICE", inputs, X, record=options.StridedSliceOptions()))


def _through_float(net: Net, scale: float | None = None) -> Tensor:
    x = _x(net)
    return net.conv(net.quantize(net.dequantize(x), scale or x.scale, x.zero_point), 3, 1)


def _squeezed(net: Net) -> Tensor:
    x = net.mean(_x(net), keep=True)
    x = net.op("SQUEEZE", [x], (1, 4), record=options.SqueezeOptions((1, 2)))
    return _use(net, net.reshape(x, 2, 2))


def _expanded(net: Net) -> Tensor:
    x = net.reshape(_x(net), 1, 30, 4)
    return _use(net, net.op("EXPAND_DIMS", [x, net.constant(1)], (1, 1, 30, 4)))


# name: (what is built, the kinds that are left)
CASES = {
    "QUANTIZE to itself": (
        lambda n: _use(n, n.quantize(x := _x(n), x.scale, x.zero_point)),
        ["CONV_2D", "QUANTIZE"],
    ),
    "QUANTIZE to another zero point": (
        lambda n: _use(n, n.quantize(x := _x(n), x.scale, x.zero_point + 1)),
        ["CONV_2D", "QUANTIZE", "QUANTIZE"],
    ),
    "through float and back": (_through_float, ["CONV_2D", "CONV_2D"]),
    "through float to another scale": (
        lambda n: _through_float(n, 0.5),
        ["CONV_2D", "DEQUANTIZE", "QUANTIZE", "CONV_2D"],
    ),
    "RESHAPE to itself": (lambda n: _use(n, n.reshape(_x(n), *X)), ["CONV_2D", "QUANTIZE"]),
    "RESHAPE there and back": (
        lambda n: _use(n, n.reshape(n.reshape(_x(n), 1, 120), *X)),
        ["CONV_2D", "QUANTIZE"],
    ),
    "RESHAPE of RESHAPE": (
        lambda n: _use(n, n.reshape(n.reshape(_x(n), 1, 120), 8, 15)),
        ["CONV_2D", "RESHAPE", "QUANTIZE"],
    ),
    "RESHAPE of SQUEEZE": (_squeezed, ["CONV_2D", "MEAN", "RESHAPE", "QUANTIZE"]),
    "EXPAND_DIMS of RESHAPE": (_expanded, ["CONV_2D", "RESHAPE", "QUANTIZE"]),
    "TRANSPOSE to itself": (
        lambda n: _use(n, n.transpose(_x(n), 0, 1, 2, 3)),
        ["CONV_2D", "QUANTIZE"],
    ),
    "TRANSPOSE of ones": (
        lambda n: _use(n, n.transpose(_x(n), 1, 0, 2, 3)),
        ["CONV_2D", "RESHAPE", "QUANTIZE"],
    ),
    "TRANSPOSE there and back": (
        lambda n: _use(n, n.transpose(n.transpose(_x(n), 0, 3, 1, 2), 0, 2, 3, 1)),
        ["CONV_2D", "QUANTIZE"],
    ),
    "TRANSPOSE twice": (
        lambda n: _use(n, n.transpose(n.transpose(_x(n), 0, 3, 1, 2), 0, 3, 1, 2)),
        ["CONV_2D", "TRANSPOSE", "QUANTIZE"],
    ),
    "TRANSPOSE": (
        lambda n: _use(n, n.transpose(_x(n), 0, 2, 1, 3)),
        ["CONV_2D", "TRANSPOSE", "QUANTIZE"],
    ),
    "PAD by nothing": (lambda n: _use(n, n.pad(_x(n), 0, 0)), ["CONV_2D", "QUANTIZE"]),
    "SLICE of all": (lambda n: _slice(n, (0, 0, 0, 0), X), ["CONV_2D", "QUANTIZE"]),
    "SLICE of some": (
        lambda n: _slice(n, (0, 1, 0, 2), (1, 5, 5, 2)),
        ["CONV_2D", "SLICE", "QUANTIZE"],
    ),
    "STRIDED_SLICE of all": (lambda n: _strided(n, 1), ["CONV_2D", "QUANTIZE"]),
    "STRIDED_SLICE backwards": (
        lambda n: _strided(n, -1),
        ["CONV_2D", "STRIDED_SLICE", "QUANTIZE"],
    ),
    "SPLIT in one": (_split, ["CONV_2D", "QUANTIZE"]),
    "CONCATENATION of one": (lambda n: _use(n, n.concat([_x(n)])), ["CONV_2D", "QUANTIZE"]),
    "pooling by 1": (
        lambda n: _use(n, n.pool(n.pool(_x(n), "MAX", 1, stride=1), "AVERAGE", 1, stride=1)),
        ["CONV_2D", "QUANTIZE"],
    ),
    "pooling by 1 with RELU": (
        lambda n: _use(n, n.pool(_x(n), "MAX", 1, stride=1, activation="RELU")),
        ["CONV_2D", "MAX_POOL_2D", "QUANTIZE"],
    ),
    "an output": (lambda n: n.reshape(_x(n), *X), ["CONV_2D"]),
    "two outputs of one": (lambda n: (x := _x(n), n.reshape(x, *X)), ["CONV_2D", "RESHAPE"]),
    "an input that is an output": (lambda n: n.reshape(n.input(X), *X), ["RESHAPE"]),
    "chain into an output": (
        lambda n: n.reshape(n.pad(n.reshape(_x(n), *X), 0, 0), *X),
        ["CONV_2D"],
    ),
    "outputs along a chain": (
        lambda n: (x := n.reshape(_x(n), *X), n.reshape(x, *X)),
        ["CONV_2D", "RESHAPE"],
    ),
}


@cache
def _case(name: str) -> tuple[tg.Graph, tg.Graph]:
    before = built(CASES[name][0])
    return before, run(before, (Identities(),))


@pytest.mark.parametrize("name", CASES)
def test_what_is_left(name: str) -> None:
    before, after = _case(name)
    assert kinds(after) == CASES[name][1]
    assert [(t.name, t.shape) for t in after.outputs] == [(t.name, t.shape) for t in before.outputs]


def test_tflm_sees_no_difference() -> None:
    # TFLM runs no batch axis moved about: the outputs are those of the ops after it.
    same_in_tflm([_case(name) for name in CASES])


@pytest.mark.parametrize("name", CASES)
def test_idempotent(name: str) -> None:
    _, after = _case(name)
    assert Identities()(after) is after


VIEWS = st.sampled_from([(1, 6, 5, 4), (1, 120), (1, 1, 30, 4), (6, 20), (1, 5, 6, 4)])
ORDERS = st.permutations(range(4))


@st.composite
def moves(draw: st.DrawFn) -> tg.Graph:
    """A chain of moves with some tensors shown."""
    net = Net(draw(st.integers(0, 99)))
    x = net.input(X)
    shown: list[Tensor] = []
    for _ in range(draw(st.integers(1, 6))):
        if len(x.shape) == 4 and draw(st.booleans()):
            x = net.transpose(x, *draw(ORDERS))
        else:
            x = net.reshape(x, *draw(VIEWS))
        if draw(st.integers(0, 3)) == 0:
            shown.append(x)
    return net.graph(*dict.fromkeys([*shown, x]))


@settings(max_examples=10, deadline=None)
@given(st.lists(moves(), min_size=6, max_size=16))
def test_random_moves(graphs: list[tg.Graph]) -> None:
    pairs = [(g, run(g, (Identities(),))) for g in graphs]
    assert all(len(after.ops) <= len(before.ops) for before, after in pairs)
    same_in_tflm(pairs, count=1)


def _float_net(net: Net) -> Tensor:
    x = net.quantize(net.input(X, dtype="float32"), 0.04, -11)
    return net.dequantize(net.conv(x, 3, 1))


def test_float_borders_become_int8() -> None:
    before = built(_float_net)
    (x,), (y,) = before.inputs, before.outputs
    signature = tg.Signature("serve", (("image", x),), (("mask", y),))
    before = tg.Graph(
        before.ops, before.inputs, before.outputs, model=tg.Model(signatures=(signature,))
    )
    after = Borders()(before)
    assert kinds(after) == ["CONV_2D"]
    for old, new in ((x, after.inputs[0]), (y, after.outputs[0])):
        assert (new.name, new.shape, new.dtype) == (old.name, old.shape, "int8")
    (kept,) = after.model.signatures
    assert kept.inputs == (("image", after.inputs[0]),)
    assert kept.outputs == (("mask", after.outputs[0]),)
    assert tg.read(tg.write(after)).inputs[0].zero_point == -11


def test_codes_behind_the_borders_are_the_same() -> None:
    before = built(_float_net)
    after = Borders()(before)
    samples = samples_for(before)
    source, target = after.inputs[0], after.outputs[0]
    codes = [
        [np.clip(np.round(s[0] / np.float32(source.scale)) - 11, -128, 127).astype(np.int8)]
        for s in samples
    ]
    floats, stored = run_all([before, after], [samples, codes])
    for a, b in zip(floats, stored, strict=True):
        real = target.scale * (b[0].astype(np.float64) - target.zero_point)
        np.testing.assert_array_equal(a[0], real.astype(np.float32))


def _kept_borders() -> dict[str, object]:
    def two_scales(net: Net) -> tuple[Tensor, ...]:
        x = net.input(X, dtype="float32")
        return net.conv(net.quantize(x, 0.1, 0), 2, 1), net.conv(net.quantize(x, 0.2, 0), 2, 1)

    def codes_shown(net: Net) -> tuple[Tensor, ...]:
        x = net.quantize(net.input(X, dtype="float32"), 0.1, 0)
        return x, net.conv(x, 2, 1)

    def both_ways(net: Net) -> Tensor:
        return net.dequantize(net.quantize(net.input(X, dtype="float32"), 0.1, 0))

    def shown_twice(net: Net) -> tuple[Tensor, ...]:
        x = net.conv(net.input(X), 2, 1)
        return x, net.dequantize(x)

    def straight_through(net: Net) -> Tensor:
        return net.dequantize(net.input(X))

    return {
        "inputs of two scales": (two_scales, ["QUANTIZE", "CONV_2D", "QUANTIZE", "CONV_2D"]),
        "quantized input shown": (codes_shown, ["QUANTIZE", "CONV_2D"]),
        "float in, float out": (both_ways, ["DEQUANTIZE"]),
        "int8 shown too": (shown_twice, ["CONV_2D", "DEQUANTIZE"]),
        "input to output": (straight_through, ["DEQUANTIZE"]),
    }


@pytest.mark.parametrize("name", _kept_borders())
def test_borders_that_stay(name: str) -> None:
    build, left = _kept_borders()[name]  # type: ignore[misc]
    after = run(built(build), default_pipeline())
    assert kinds(after) == left
    assert len(tg.write(after)) > 0


def test_float_io_keeps_the_borders() -> None:
    before = built(_float_net)
    assert run(before, default_pipeline("float32")) is before
    with pytest.raises(ValueError, match="int8"):
        default_pipeline("int4")  # type: ignore[arg-type]
