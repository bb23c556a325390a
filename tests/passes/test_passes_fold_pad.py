"""Folding PAD, and undoing it for TFLite: cases, all small geometries, and TFLM as the judge."""

from __future__ import annotations

import itertools
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pass_nets import Net, Tensor, built, kinds, same_in_tflm

from tflm_opt import graph as tg
from tflm_opt.errors import UnsupportedModel
from tflm_opt.graph import options
from tflm_opt.graph.options import Padding
from tflm_opt.passes import FoldPad, Legalize
from tflm_opt.passes.legalize import smallest_pad
from tflm_opt.passes.rewrite import padding_of

X = (1, 8, 7, 3)


def _relu(net: Net, zero: int) -> Tensor:
    return net.conv(net.input(X), 4, 1, activation="RELU", zero=zero)


# name: (what is built, how many PADs are left, PADs after legalizing)
CASES = {
    "both sides, stride 2, even": (
        lambda n: n.conv(n.pad(n.input((1, 8, 8, 3)), 1, 1), 4, stride=2),
        0,
        1,
    ),
    "becomes SAME": (lambda n: n.conv(n.pad(n.input(X), 1, 1), 4), 0, 0),
    "becomes SAME, stride 2, odd": (
        lambda n: n.conv(n.pad(n.input((1, 7, 7, 3)), 1, 1), 4, stride=2),
        0,
        0,
    ),
    "four different sides": (lambda n: n.conv(n.pad(n.input(X), (0, 3), (2, 1)), 4), 0, 1),
    "one side": (lambda n: n.conv(n.pad(n.input(X), (0, 1), (0, 0)), 4, (2, 3)), 0, 1),
    "oblong kernel and stride": (
        lambda n: n.conv(n.pad(n.input(X), (2, 2), (1, 0)), 4, (5, 2), stride=(2, 3)),
        0,
        1,
    ),
    "dilation": (lambda n: n.conv(n.pad(n.input(X), (2, 1), (2, 3)), 4, dilation=(2, 2)), 0, 1),
    "wider than the kernel": (lambda n: n.conv(n.pad(n.input(X), 4, (0, 5)), 4), 0, 1),
    "on top of SAME": (lambda n: n.conv(n.pad(n.input(X), 1, 2), 4, padding="SAME"), 0, 1),
    "on top of SAME, stride 2": (
        lambda n: n.conv(n.pad(n.input((1, 8, 8, 2)), (1, 0), (0, 1)), 4, stride=2, padding="SAME"),
        0,
        1,
    ),
    "depthwise": (lambda n: n.depthwise(n.pad(n.input(X), (1, 2), (0, 1))), 0, 1),
    "depthwise, multiplier 2, 7x7": (
        lambda n: n.depthwise(n.pad(n.input(X), 3, 3), 7, multiplier=2, stride=2),
        0,
        1,
    ),
    "PADV2 of the zero point": (lambda n: n.conv(n.pad(n.input(X), 1, 2, value=-3), 4), 0, 1),
    "PADV2 of another value": (lambda n: n.conv(n.pad(n.input(X), 1, 2, value=5), 4), 1, 1),
    "PAD of a PAD": (lambda n: n.conv(n.pad(n.pad(n.input(X), 1, (0, 1)), (0, 1), 1), 4), 0, 1),
    "PAD of a PAD of another value": (
        lambda n: n.conv(n.pad(n.pad(n.input(X), 1, 1, value=9), 1, 1), 4),
        1,
        1,
    ),
    "channels too": (lambda n: n.conv(n.pad(n.input(X), 1, 1, channels=(0, 1)), 4), 1, 1),
    "max pool, least value": (lambda n: n.pool(n.pad(_relu(n, -128), (1, 1), 1), "MAX", 3), 0, 1),
    "max pool, zero point may win": (lambda n: n.pool(n.pad(n.input(X), 1, 1), "MAX", 3), 1, 1),
    "max pool after RELU": (lambda n: n.pool(n.pad(_relu(n, -20), 1, (1, 0)), "MAX", 3), 0, 1),
    "max pool with RELU": (
        lambda n: n.pool(n.pad(n.input(X), 1, (1, 0)), "MAX", 3, activation="RELU"),
        0,
        1,
    ),
    "max pool, PADV2 of the least": (
        lambda n: n.pool(n.pad(n.input(X), 1, (1, 0), value=-128), "MAX", 3),
        0,
        1,
    ),
    "max pool, a window of padding alone": (
        lambda n: n.pool(n.pad(_relu(n, -128), (2, 0), 0), "MAX", 2),
        1,
        1,
    ),
    "average pool": (lambda n: n.pool(n.pad(n.input(X), 1, 1), "AVERAGE", 3), 1, 1),
    "average pool, PAD never read": (
        lambda n: n.pool(n.pad(n.input((1, 8, 8, 3)), (0, 1), (0, 1)), "AVERAGE", 2),
        0,
        0,
    ),
}


def _shared(net: Net) -> tuple[Tensor, ...]:
    """One PAD, read by two convolutions of different stride."""
    x = net.pad(net.input((1, 8, 8, 3)), 2, 2)
    return net.conv(x, 4), net.conv(x, 5, stride=2)


def _partly(net: Net) -> tuple[Tensor, ...]:
    """One PAD, read by a convolution and by an op that can't take it."""
    x = net.pad(net.input((1, 8, 8, 3)), 1, 1)
    return net.conv(x, 4), net.add(x, x)


def _shown(net: Net) -> tuple[Tensor, ...]:
    """A PAD that is an output of the graph too."""
    x = net.pad(net.input(X), 1, 1)
    return net.conv(x, 4), x


def _requantized(net: Net) -> Tensor:
    """TFLM's PAD copies stored values even if it declares another scale."""
    x = net.input(X)
    quant = tg.Quantization.per_tensor(0.07, -3)
    return net.conv(net.pad(x, 1, 1, quant=quant), 4)


CASES |= {
    "two strides": (_shared, 0, 1),
    "one reader can't": (_partly, 1, 1),
    "an output too": (_shown, 1, 1),
    "other scale": (_requantized, 1, 1),
}


@cache
def _case(name: str) -> tuple[tg.Graph, tg.Graph, tg.Graph]:
    before = built(CASES[name][0])
    folded = FoldPad()(before)
    return before, folded, Legalize()(folded)


def _pads(graph: tg.Graph) -> int:
    return sum(kind.startswith("PAD") for kind in kinds(graph))


@pytest.mark.parametrize("name", CASES)
def test_what_is_folded(name: str) -> None:
    _, folded, legal = _case(name)
    assert (_pads(folded), _pads(legal)) == CASES[name][1:]


def test_tflm_sees_no_difference() -> None:
    same_in_tflm([(_case(name)[0], _case(name)[2]) for name in CASES])


@pytest.mark.parametrize("name", CASES)
def test_padded_tensors_do_not_grow(name: str) -> None:
    def elements(graph: tg.Graph) -> int:
        return sum(op.output.elements for op in graph.ops if op.kind.startswith("PAD"))

    before, _, legal = _case(name)
    assert elements(legal) <= elements(before)


@pytest.mark.parametrize("name", CASES)
def test_both_passes_are_idempotent(name: str) -> None:
    _, folded, legal = _case(name)
    assert FoldPad()(folded) is folded
    assert Legalize()(legal) is legal
    again = Legalize()(FoldPad()(legal))
    assert kinds(again) == kinds(legal)


def test_rows_no_window_reaches_are_not_kept() -> None:
    _, folded, _ = _case("both sides, stride 2, even")
    assert padding_of(folded.ops[0]) == Padding(1, 0, 1, 0)


def test_legalize_shares_pads_and_their_amounts() -> None:
    def build(net: Net) -> tuple[Tensor, ...]:
        x = net.input((1, 8, 8, 3))
        a, b = net.pad(x, 1, 1), net.pad(x, 1, 1)
        y = net.conv(a, 3, stride=2)
        return net.conv(b, 3, stride=2), net.conv(net.pad(y, (0, 2), 1), 2, stride=2)

    legal = Legalize()(FoldPad()(built(build)))
    assert kinds(legal) == ["PAD", "CONV_2D", "CONV_2D", "PAD", "CONV_2D"]
    assert legal.ops[0].output.name == "input_0/pad"
    same_in_tflm([(built(build), legal)])


def test_an_inexpressible_average_is_refused() -> None:
    net = Net()
    net.pool(net.input(X), "AVERAGE", 3)
    (op,) = net.ops
    record = options.PoolOptions((3, 3), (2, 2), Padding(1, 0, 0, 0))
    odd = tg.Graph((tg.Op(op.kind, op.inputs, op.outputs, record),), tuple(net.inputs), op.outputs)
    with pytest.raises(UnsupportedModel, match="AVERAGE_POOL_2D"):
        Legalize()(odd)


AXES = list(itertools.product(range(1, 8), (1, 2, 3), (1, 2, 3), (1, 2), range(3), range(3)))


def _brute(size: int, kernel: int, stride: int, dilation: int, first: int, out: int) -> int | None:
    """The fewest padded elements by which TFLite makes these windows, trying everything."""
    span = (kernel - 1) * dilation + 1
    best = None
    for before, after in itertools.product(range(9), range(9)):
        padded = size + before + after
        if padded >= span and (padded - span) // stride + 1 == out and before == first:
            best = min(before + after, best if best is not None else 99)
    return best


@pytest.mark.parametrize("kernel", [1, 2, 3])
def test_smallest_pad_is_no_larger_than_any_valid_one(kernel: int) -> None:
    """Along one axis: never more than the best PAD with VALID, found by brute force."""
    for size, _, stride, dilation, before, after in AXES:
        out = options.out_size(size, kernel, stride, dilation, before, after)
        if out < 1:
            continue
        x = Tensor("x", (1, size, 1, 1), "int8", tg.Quantization.per_tensor(1.0))
        w = Tensor("w", (1, kernel, 1, 1), "int8")
        y = Tensor("y", (1, out, 1, 1), "int8", x.quant)
        record = options.ConvOptions((stride, 1), Padding(before, after, 0, 0), (dilation, 1))
        pad = smallest_pad(tg.Op("CONV_2D", (x, w), (y,), record))
        best = _brute(size, kernel, stride, dilation, before, out)
        assert best is not None
        assert pad.top + pad.bottom <= best


SIDES = st.tuples(st.integers(0, 3), st.integers(0, 3))


@st.composite
def padded_convolutions(draw: st.DrawFn) -> tg.Graph:
    net = Net(draw(st.integers(0, 99)))
    pair = st.tuples(st.integers(1, 3), st.integers(1, 3))
    x = net.input((1, draw(st.integers(3, 9)), draw(st.integers(3, 9)), 2))
    x = net.pad(x, draw(SIDES), draw(SIDES))
    outputs = []
    for _ in range(draw(st.integers(1, 3))):
        more = {
            "kernel": draw(pair),
            "stride": draw(pair),
            "padding": draw(st.sampled_from(["SAME", "VALID"])),
        }
        if draw(st.booleans()):
            outputs.append(net.depthwise(x, **more))
        else:
            outputs.append(net.conv(x, 3, **more))
    return net.graph(*outputs)


@settings(max_examples=12, deadline=None)
@given(st.lists(padded_convolutions(), min_size=8, max_size=16))
def test_random_padding(graphs: list[tg.Graph]) -> None:
    pairs = [(g, Legalize()(FoldPad()(g))) for g in graphs]
    for before, after in pairs:
        assert _pads(after) <= len(before.outputs)
    same_in_tflm(pairs, count=1)
