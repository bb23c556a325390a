"""What each pass is for, as text: a small graph before and after, in `golden/`."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pass_nets import Build, Net, Tensor, built

from tflm_opt import graph as tg
from tflm_opt.graph import options
from tflm_opt.passes import (
    Borders,
    DeadChannels,
    FoldConstants,
    FoldPad,
    FuseActivation,
    Identities,
    Legalize,
    Pass,
    Prune,
    run,
)

X = (1, 6, 6, 2)


def _padded(net: Net) -> Tensor:
    return net.conv(net.pad(net.input(X), 1, (1, 2)), 3, stride=2)


def _float_borders(net: Net) -> Tensor:
    return net.dequantize(net.conv(net.quantize(net.input(X, dtype="float32"), 0.5, 1), 3, 1))


def _moves(net: Net) -> Tensor:
    x = net.transpose(net.reshape(net.conv(net.input(X), 2, 1), 1, 36, 1, 2), 0, 2, 1, 3)
    return net.reshape(net.quantize(x, x.scale, x.zero_point), 1, 72)


def _relu(net: Net) -> Tensor:
    x = net.conv(net.input(X), 3, 1, zero=-7)
    return net.op("RELU", [x], x.shape)


def _shape(net: Net) -> Tensor:
    x = net.conv(net.input(X), 2, 1)
    shape = net.op("SHAPE", [x], (4,), dtype="int32")
    parts = [net.constant([n]) for n in (0, 1, 1)]
    record = options.StridedSliceOptions()
    batch = net.op("STRIDED_SLICE", [shape, *parts], (1,), dtype="int32", record=record)
    record = options.ConcatenationOptions(0)
    parts = [batch, net.constant([72])]
    target = net.op("CONCATENATION", parts, (2,), dtype="int32", record=record)
    return net.op("RESHAPE", [x, target], (1, 72))


def _dead(net: Net) -> Tensor:
    x = net.conv(net.input(X), 4, 1, dead={1: -9000}, activation="RELU")
    return net.conv(net.depthwise(x, 3, padding="SAME", biases={1: 9000}), 2, 1)


def _twins(net: Net) -> Tensor:
    x = net.input(X)
    net.conv(x, 5, 1)
    a, b = net.reshape(x, 1, 72), net.reshape(x, 1, 72)
    return net.concat([a, b], 1)


def _legal(net: Net) -> Tensor:
    """A convolution whose explicit padding TFLite has no word for."""
    y = _padded(net)
    (folded,) = FoldPad()(net.graph(y)).ops
    net.ops = [folded]
    return y


CASES: dict[str, tuple[Pass, Build]] = {
    "fold_pad": (FoldPad(), _padded),
    "legalize": (Legalize(), _legal),
    "borders": (Borders(), _float_borders),
    "identities": (Identities(), _moves),
    "fuse_activation": (FuseActivation(), _relu),
    "fold_constants": (FoldConstants(), _shape),
    "dead_channels": (DeadChannels(), _dead),
    "prune": (Prune(), _twins),
}


def _texts(name: str) -> str:
    one, build = CASES[name]
    before = built(build)
    after = run(before, (one,))
    return f"before\n\n{tg.text.dump(before)}\nafter {one.name}\n\n{tg.text.dump(after)}"


@pytest.mark.parametrize("name", CASES)
def test_golden(name: str, golden: Callable[[str, str], None]) -> None:
    golden(f"{name}.txt", _texts(name))
