"""Channels of a tensor brought to like ranges before training, which changes nothing in float.

int8 gives a tensor one scale. Where some channels span a hundredth of what others do, they are left
with a few codes, and training moves out of that slowly: a rate that suits one channel suits no
other. A ReLU passes positive factors on, so a channel may be divided where it is made, and
multiplied where it is read. How far a channel reaches is taken from its batch norm.

Source of the idea: Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias
Correction", 2019; there it is the weights that are made alike, of which each channel has its own
scale here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .rules import function_name, kind_of
from .trace import Call, Traced, Value

_MAKERS = {"Conv1D": -1, "Conv2D": -1, "Dense": -1, "DepthwiseConv1D": -2, "DepthwiseConv2D": -2}
_READERS = dict.fromkeys(_MAKERS, -2)
_BETWEEN = (
    *("MaxPooling1D", "MaxPooling2D", "AveragePooling1D", "AveragePooling2D", "ZeroPadding1D"),
    *("ZeroPadding2D", "Dropout", "SpatialDropout2D", "GlobalAveragePooling2D", "Relu"),
)
_MOST = 256.0


def equalize(traced: Traced, reach: Mapping[int, np.ndarray]) -> int:
    """Rescale channels between layers; the new layers' weights are changed.

    Args:
        traced: a model as `expanded` leaves it.
        reach: how far each channel of an op's output goes, by the op's id.

    Returns:
        How many tensors were equalized.
    """
    readers = traced.readers()
    uses: dict[int, int] = {}
    for call in traced.calls:
        uses[id(call.op)] = uses.get(id(call.op), 0) + 1
    done = 0
    for call in traced.calls:
        following = _reader(call, readers)
        if id(call.op) not in reach or following is None:
            continue
        if all(_fits(one, uses) for one in (call, following)):
            done += _rescale(call.op, following.op, reach[id(call.op)])
    return done


def _reader(call: Call, readers: Mapping[Value, list[Call | None]]) -> Call | None:
    """The one layer with weights that reads a call's output, through what passes factors on."""
    value = call.outputs[0]
    while True:
        found = readers[value]
        if len(found) != 1 or found[0] is None:
            return None
        following = found[0]
        kind = kind_of(following.op)
        if kind in _READERS:
            return following
        relu = kind == "Activation" and function_name(following.op.activation) == "relu"
        if kind not in _BETWEEN and not relu:
            return None
        value = following.outputs[0]


def _fits(call: Call, uses: Mapping[int, int]) -> bool:
    op = call.op
    plain = getattr(op, "groups", 1) == 1 and getattr(op, "depth_multiplier", 1) == 1
    return kind_of(op) in _MAKERS and uses[id(op)] == 1 and plain


def _rescale(maker: Any, reader: Any, reach: np.ndarray) -> bool:
    first, second = np.asarray(maker.kernel), np.asarray(reader.kernel)
    axis = _MAKERS[kind_of(maker)] % first.ndim
    rest = tuple(i for i in range(second.ndim) if i != second.ndim - 2)
    weights = np.abs(second).max(rest)
    if kind_of(reader).startswith("Depthwise"):
        wanted = reach  # whose channels have a scale of their own in the reader's weights
    else:
        wanted = np.sqrt(reach / np.maximum(weights, 1e-3 * weights.max() + 1e-12))
    alive = reach > 1e-3 * reach.max()
    if alive.sum() < 2 or len(reach) != len(weights):
        return False
    middle = np.exp(np.log(wanted[alive]).mean())
    factor = np.where(alive, np.clip(wanted / middle, 1 / _MOST, _MOST), 1.0)
    shape = [1] * first.ndim
    shape[axis] = -1
    values = [first / factor.reshape(shape)]
    if maker.use_bias:
        values.append(np.asarray(maker.bias) / factor)
    maker.set_weights(values)
    more = [np.asarray(reader.bias)] if reader.use_bias else []
    reader.set_weights([second * factor.reshape(-1, 1), *more])
    return True


def reach_of(norm: Any) -> np.ndarray:
    """How far each channel behind a batch norm goes: four deviations from its mean."""
    size = np.asarray(norm.moving_mean).shape
    gamma = np.abs(np.asarray(norm.gamma)) if norm.scale else np.ones(size)
    beta = np.asarray(norm.beta) if norm.center else np.zeros(size)
    return np.maximum(beta + 4 * gamma, 0.0)
