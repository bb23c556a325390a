"""Dead channels: what goes, what must stay, and that TFLM sees no difference."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pass_nets import Net, Tensor, built, kinds, macs, run_all, same_in_tflm

from tflm_opt import graph as tg
from tflm_opt.graph import options
from tflm_opt.passes import DeadChannels
from tflm_opt.passes.constant_channels import Channels, value_of

# Bias -9000 is below zero after any rescaling: RELU makes it the zero point. 2000 is not.
ZERO, HIGH = -9000, 2000
DEAD = {1: ZERO, 4: HIGH}


def _first(net: Net, dead: dict[int, int] = DEAD, **more) -> Tensor:
    return net.conv(net.input((1, 7, 6, 3)), 6, 3, dead=dead, activation="RELU", **more)


def _plain(net: Net) -> Tensor:
    return net.conv(_first(net), 4, 1)


def _padded_reader(net: Net) -> Tensor:
    return net.conv(_first(net), 4, 3, padding="SAME")


def _valid_reader(net: Net) -> Tensor:
    return net.conv(_first(net), 4, (2, 3), stride=2)


def _no_bias(net: Net) -> Tensor:
    return net.conv(_first(net), 4, 1, bias=False)


def _depthwise(net: Net) -> Tensor:
    return net.conv(net.depthwise(_first(net), 3, padding="SAME", activation="RELU6"), 4, 1)


def _depthwise_valid(net: Net) -> Tensor:
    return net.conv(net.depthwise(_first(net), 3), 4, 1)


def _multiplier(net: Net) -> Tensor:
    return net.conv(net.depthwise(_first(net), 2, multiplier=3), 4, 1)


def _dead_in_depthwise(net: Net) -> Tensor:
    x = net.conv(net.input((1, 7, 6, 3)), 6, 3)
    return net.conv(net.depthwise(x, 3, dead={2: HIGH}, padding="SAME"), 4, 1)


def _half_dead_multiplier(net: Net) -> Tensor:
    x = net.conv(net.input((1, 7, 6, 3)), 3, 3)
    return net.conv(net.depthwise(x, 3, multiplier=2, dead={2: HIGH, 4: ZERO, 5: HIGH}), 4, 1)


def _unread(net: Net) -> Tensor:
    x = net.depthwise(net.conv(net.input((1, 7, 6, 3)), 6, 3), 3)
    return net.conv(x, 4, 3, unread=[0, 5], padding="SAME")


def _unread_by_one(net: Net) -> tuple[Tensor, Tensor]:
    x = net.conv(net.input((1, 7, 6, 3)), 6, 3)
    return net.conv(x, 4, 1, unread=[0, 5]), net.conv(x, 4, 1, unread=[5])


def _max_pool(net: Net) -> Tensor:
    return net.conv(net.pool(_first(net), "MAX", 2, padding="SAME"), 4, 1)


def _average_pool(net: Net) -> Tensor:
    return net.conv(net.pool(_first(net, zero=-5), "AVERAGE", 3, padding="SAME"), 4, 1)


def _tables(net: Net) -> Tensor:
    x = _first(net, zero=-60)
    x = net.op("LOGISTIC", [x], x.shape, quant=tg.Quantization.per_tensor(1 / 256, -128))
    x = net.op(
        "LEAKY_RELU",
        [x],
        x.shape,
        quant=tg.Quantization.per_tensor(0.006, -128),
        record=options.LeakyReluOptions(0.2),
    )
    return net.conv(net.quantize(x, 0.0123, -7), 4, 1)


def _added(net: Net) -> Tensor:
    x = net.conv(net.input((1, 7, 6, 3)), 6, 1)
    y = net.conv(x, 6, 1, dead=DEAD)
    return net.conv(net.add(x, y), 4, 1)


def _added_unread(net: Net) -> Tensor:
    x = net.input((1, 7, 6, 3))
    y = net.add(net.conv(x, 6, 1), net.conv(x, 6, 1))
    return net.conv(y, 4, 1, unread=[3])


def _gated(net: Net) -> Tensor:
    """Squeeze and excitation: the gate's channels are the gated tensor's."""
    x = net.conv(net.input((1, 7, 6, 3)), 6, 1)
    gate = net.conv(net.mean(x, keep=True), 6, 1)
    quant = tg.Quantization.per_tensor(0.2, 3)
    y = net.op("MUL", [x, gate], x.shape, quant=quant, record=options.MulOptions())
    return net.conv(y, 4, 1, unread=[3])


def _constant_operand(net: Net) -> Tensor:
    x = net.conv(net.input((1, 7, 6, 3)), 6, 1)
    other = net.constant([1, -20, 30, 40, 50, 60], "int8", tg.Quantization.per_tensor(0.02, 1))
    y = net.add(x, other)
    return net.conv(y, 4, 1, unread=[3])


def _concatenated(net: Net) -> Tensor:
    x = net.input((1, 7, 6, 3))
    a, b = net.conv(x, 5, 1, dead=DEAD), net.conv(x, 5, 1, dead={0: HIGH})
    b = net.quantize(b, a.scale, a.zero_point)
    return net.conv(net.concat([a, b]), 4, 1)


def _stacked(net: Net) -> Tensor:
    x = net.input((1, 7, 6, 3))
    a = net.conv(x, 5, 1, dead=DEAD)
    return net.conv(net.concat([a, a], 1), 4, 1)


def _flattened(net: Net) -> Tensor:
    x = net.pool(_first(net), "MAX", 2)
    return net.dense(net.reshape(x, 1, x.elements), 5)


def _mean(net: Net) -> Tensor:
    return net.dense(net.mean(_first(net, zero=-20), scale=0.013), 5)


def _dense(net: Net) -> Tensor:
    x = net.dense(net.input((1, 20)), 10, dead={3: HIGH, 9: ZERO}, activation="RELU")
    return net.dense(x, 4, per_channel=True)


def _dense_without_bias(net: Net) -> Tensor:
    return net.dense(net.dense(net.input((1, 20)), 10, dead={3: HIGH}), 4, bias=False)


def _dense_to_one(net: Net) -> Tensor:
    """Per channel, and only one neuron is alive."""
    x = net.dense(net.input((1, 20)), 3, dead={0: HIGH, 2: ZERO}, per_channel=True)
    return net.dense(x, 4)


def _padded_explicitly(net: Net) -> Tensor:
    return net.conv(net.pad(_first(net), 1, (0, 2)), 4, 3)


def _resized(net: Net) -> Tensor:
    x = _first(net)
    shape = (1, 10, 8, 6)
    record = options.ResizeNearestNeighborOptions()
    x = net.op("RESIZE_NEAREST_NEIGHBOR", [x, net.constant([10, 8])], shape, record=record)
    return net.conv(x, 4, 1)


def _sliced(net: Net) -> Tensor:
    """SLICE may cut channels: what it reads stays."""
    x = _first(net)
    cut = net.op("SLICE", [x, net.constant([0, 0, 0, 1]), net.constant([1, 5, 4, 5])], (1, 5, 4, 5))
    return net.conv(cut, 4, 1)


def _shown(net: Net) -> tuple[Tensor, Tensor]:
    x = _first(net)
    return net.conv(x, 4, 1), x


def _all_dead(net: Net) -> Tensor:
    x = net.conv(net.input((1, 7, 6, 3)), 4, 1, dead=dict.fromkeys(range(4), HIGH))
    return net.conv(net.depthwise(x, 3), 4, 1)


def _chain(net: Net) -> Tensor:
    """A channel that only becomes constant since all it reads is."""
    x = net.conv(net.input((1, 7, 6, 3)), 6, 1, dead={0: HIGH, 1: HIGH})
    y = net.conv(x, 5, 1, unread=[2, 3, 4, 5])
    return net.conv(y, 4, 1)


# name: (what is built, the channels of every op's output after the pass)
CASES = {
    "next is pointwise": (_plain, [4, 4]),
    "next pads": (_padded_reader, [5, 4]),
    "next is valid, strided": (_valid_reader, [4, 4]),
    "next has no bias": (_no_bias, [4, 4]),
    "through depthwise, padded": (_depthwise, [5, 5, 4]),
    "through depthwise, valid": (_depthwise_valid, [4, 4, 4]),
    "through depthwise, multiplier 3": (_multiplier, [4, 12, 4]),
    "dead in depthwise only": (_dead_in_depthwise, [5, 5, 4]),
    "dead in half of a multiplier": (_half_dead_multiplier, [2, 4, 4]),
    "unread": (_unread, [4, 4, 4]),
    "unread by one of two": (_unread_by_one, [5, 4, 4]),
    "through max pool": (_max_pool, [4, 4, 4]),
    "through average pool": (_average_pool, [4, 4, 4]),
    "through tables": (_tables, [4, 4, 4, 4, 4]),
    "one side of an addition": (_added, [6, 6, 6, 4]),
    "unread after an addition": (_added_unread, [5, 5, 5, 4]),
    "unread after a gate": (_gated, [6, 6, 6, 6, 4]),
    "added to a constant": (_constant_operand, [5, 5, 4]),
    "through concatenation": (_concatenated, [3, 4, 4, 7, 4]),
    "stacked with itself": (_stacked, [3, 3, 4]),
    "through flatten": (_flattened, [4, 4, 16, 5]),
    "through a mean": (_mean, [4, 4, 5]),
    "dense": (_dense, [8, 4]),
    "dense without bias": (_dense_without_bias, [9, 4]),
    "dense, one left": (_dense_to_one, [2, 4]),
    "through a PAD": (_padded_explicitly, [5, 5, 4]),
    "through nearest": (_resized, [4, 4, 4]),
    "sliced": (_sliced, [6, 5, 4]),
    "an output": (_shown, [6, 4]),
    "all dead": (_all_dead, [1, 1, 4]),
    "dead by reading the dead": (_chain, [1, 1, 4]),
}


@cache
def _case(name: str) -> tuple[tg.Graph, tg.Graph]:
    before = built(CASES[name][0])
    return before, DeadChannels()(before)


@pytest.mark.parametrize("name", CASES)
def test_what_goes(name: str) -> None:
    before, after = _case(name)
    assert kinds(after) == kinds(before)
    assert [op.output.shape[-1] for op in after.ops] == CASES[name][1]


def test_tflm_sees_no_difference() -> None:
    same_in_tflm([_case(name) for name in CASES], count=4)


@pytest.mark.parametrize("name", CASES)
def test_idempotent_and_never_more_work(name: str) -> None:
    before, after = _case(name)
    assert macs(after) <= macs(before)
    again = DeadChannels()(after)
    assert DeadChannels()(again) is again


def test_nothing_to_do_returns_the_graph() -> None:
    before = built(lambda net: net.conv(net.input((1, 5, 5, 3)), 4, 1))
    assert DeadChannels()(before) is before


@pytest.mark.parametrize(("bias", "left"), [(2**31 - 5, 4), (-(2**31) + 5, 4), (2**30, 3)])
def test_a_share_that_would_overflow_the_bias_stays(bias: int, left: int) -> None:
    def build(net: Net) -> Tensor:
        x = net.conv(net.input((1, 3, 3, 3)), 4, 1, dead={2: HIGH})
        return net.conv(x, 2, 1, biases={0: bias})

    assert DeadChannels()(built(build)).ops[0].output.shape[-1] == left


def test_means_of_constants_are_tflms() -> None:
    """All 256 values at once, at scales where halves occur, over counts that don't divide."""
    graphs = []
    for size, ratio, zero in [((2, 3), 2, 0), ((7, 6), 2, 5), ((5, 7), 4, -9), ((3, 3), 0.7, 100)]:
        net = Net()
        x = net.input((1, *size, 256), scale=0.05, zero=zero)
        graphs.append(net.graph(net.mean(x, scale=0.05 * ratio)))
    values = np.arange(-128, 128)
    samples = [[[np.broadcast_to(values, g.inputs[0].shape).astype(np.int8)]] for g in graphs]
    for graph, found in zip(graphs, run_all(graphs, samples), strict=True):
        known = value_of(graph.ops[0], [Channels(values, np.ones(256, np.bool_))])
        assert known is not None
        assert known.known.all()
        np.testing.assert_array_equal(known.values, found[0][0].reshape(-1))


@st.composite
def nets(draw: st.DrawFn) -> tg.Graph:
    """Chains with dead and unread channels, branches and every op that channels pass."""
    net = Net(draw(st.integers(0, 999)))
    x = net.input((1, 6, 5, draw(st.integers(1, 4))), zero=draw(st.integers(-128, 127)))
    shown = []

    def conv(x: Tensor) -> Tensor:
        filters = draw(st.integers(1, 6))
        channels = st.integers(0, filters - 1)
        return net.conv(
            x,
            filters,
            draw(st.sampled_from([1, 1, 2])) if min(x.shape[1:3]) > 1 else 1,
            padding=draw(st.sampled_from(["SAME", "VALID"])),
            activation=draw(st.sampled_from(["NONE", "RELU", "RELU6"])),
            zero=draw(st.sampled_from([-128, -128, 0, 17])),
            dead=draw(st.dictionaries(channels, st.sampled_from([ZERO, 0, HIGH, 70]))),
            unread=draw(st.lists(st.integers(0, x.shape[3] - 1), max_size=2)),
            bias=draw(st.booleans()),
        )

    for _ in range(draw(st.integers(2, 6))):
        step = draw(st.sampled_from(["conv", "conv", "depthwise", "pool", "add", "concat", "show"]))
        if step == "conv":
            x = conv(x)
        elif step == "depthwise":
            x = net.depthwise(
                x, 2, padding="SAME", multiplier=draw(st.integers(1, 2)),
                activation=draw(st.sampled_from(["NONE", "RELU"])),
            )  # fmt: skip
        elif step == "pool":
            kind = draw(st.sampled_from(["MAX", "AVERAGE"]))
            x = net.pool(x, kind, 2, stride=1, padding="SAME")
        elif step == "add":
            x = net.add(x, net.depthwise(x, 1))
        elif step == "concat":
            x = net.concat([x, net.quantize(conv_like(net, x), x.scale, x.zero_point)])
        else:
            shown.append(x)
    shown = [t for t in shown if t not in net.inputs]
    return net.graph(*dict.fromkeys([*shown, net.conv(x, 3, 1)]))


def conv_like(net: Net, x: Tensor) -> Tensor:
    return net.conv(x, 3, 1, dead={1: HIGH})


@settings(max_examples=12, deadline=None)
@given(st.lists(nets(), min_size=8, max_size=16))
def test_random_nets(graphs: list[tg.Graph]) -> None:
    same_in_tflm([(g, DeadChannels()(g)) for g in graphs], count=3)
