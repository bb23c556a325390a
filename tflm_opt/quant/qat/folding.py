"""Batch norm, and other scalings of channels, as numbers in weights.

A norm behind a layer with weights is folded into those, with the statistics that it has: it is
frozen, and what is trained is what ships. Elsewhere it is the depthwise 1x1 convolution that it
amounts to, which has a scale for each channel and a bias of 32 bits; a product and a sum with int8
constants would be far coarser.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .rules import KERNELS, function_name, kind_of
from .trace import Call, Traced, Value

NORM = "BatchNormalization"
_SEPARABLE = ("SeparableConv1D", "SeparableConv2D")


def foldable(traced: Traced, readers: Mapping[Value, list[Call | None]]) -> dict[Call, Call]:
    """The batch norm that a layer with weights takes in: alone behind it, both called once."""
    uses: dict[int, int] = {}
    for call in traced.calls:
        uses[id(call.op)] = uses.get(id(call.op), 0) + 1
    found = {}
    for call in traced.calls:
        kind = kind_of(call.op)
        if (kind not in KERNELS and kind not in _SEPARABLE) or uses[id(call.op)] != 1:
            continue
        following = readers[call.outputs[0]]
        if len(following) != 1 or following[0] is None:
            continue
        norm = following[0]
        fits = kind_of(norm.op) == NORM and uses[id(norm.op)] == 1
        fits = fits and function_name(call.op.activation) == "linear"
        if fits and norm.op.axis in (-1, len(call.outputs[0].symbol.shape) - 1):
            found[call] = norm
    return found


def gain_and_shift(norm: Any) -> tuple[np.ndarray, np.ndarray]:
    """What a batch norm multiplies by and adds, with its moving statistics."""
    variance, mean = np.asarray(norm.moving_variance), np.asarray(norm.moving_mean)
    gain = 1 / np.sqrt(variance + norm.epsilon)
    if norm.scale:
        gain = gain * np.asarray(norm.gamma)
    shift = -mean * gain
    if norm.center:
        shift = shift + np.asarray(norm.beta)
    return gain.astype(np.float32), shift.astype(np.float32)


def fold(
    kernel: np.ndarray, bias: np.ndarray | None, norm: Any, axes: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """A kernel and bias that do what the norm does behind them."""
    gain, shift = gain_and_shift(norm)
    rank = kernel.ndim
    shape = [kernel.shape[axis] if axis - rank in axes else 1 for axis in range(rank)]
    folded = kernel * gain.reshape(shape)
    return folded.astype(np.float32), (shift if bias is None else bias * gain + shift)
