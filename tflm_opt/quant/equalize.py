"""Cross-layer equalization: move scale between channels of one tensor, in float, for free.

Where one layer's output goes to one other layer through nothing but ReLU, pooling or a mean, the
channel i of it may be divided by any s_i > 0 if the weights that read it are multiplied by s_i:
the float function stays the same, and int8, with one scale for the whole tensor, profits from
channels of equal range. After Nagel et al., "Data-free quantization through weight equalization
and bias correction" (2019).

"data-free" is the paper's rule: s_i = sqrt(r1_i / r2_i), of the ranges of the weights that make
and read channel i. "data" takes the channel's largest activation on calibration data for r1, since
weights with a scale for each output channel don't need equal ranges there; a depthwise
convolution's don't in its input either, so before one all channels get one range.

ReLU6 is a joint for "data" alone, and within bounds: a channel that reached 6 on the calibration
data keeps its scale, and no other is brought above 6. So on that data the clip cuts what it cut
before, and the function is the same; beyond, such a channel is cut at its calibrated peak, which
int8 ranges do to a ReLU's channels too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .calibration import Sample
from .float_graph import FloatGraph, watch

_THROUGH = ("RELU", "LEAKY_RELU", "MAX_POOL_2D", "AVERAGE_POOL_2D", "MEAN", "PAD")
_MOST = 2.0**12
_CAP = {"NONE": None, "RELU": None, "RELU6": 6.0}
_ROUNDING = 1e-5  # by which a channel stays below its cap
_ROUNDS = {"data": 4, "data-free": 20}


@dataclass(frozen=True, slots=True)
class Pair:
    """Two layers (ops), the tensor between them that the first one makes, and where it is cut."""

    first: int
    second: int
    tensor: int
    cap: float | None = None


def pairs(graph: FloatGraph) -> list[Pair]:
    """All joints, in the order of the ops."""
    found = []
    for op in range(len(graph.kinds)):
        if not graph.has_weights(op) or graph.activation(op) not in _CAP:
            continue
        second = _reader(graph, graph.outputs(op)[0])
        channels = graph.bias(op).shape[0]
        if second is not None and _read(graph, second).shape == (channels,):
            cap = _CAP[graph.activation(op)]
            found.append(Pair(op, second, graph.outputs(op)[0], cap))
    return found


def equalize(
    graph: FloatGraph,
    rule: str,
    samples: Sequence[Sample],
    tick: Callable[[float], None] = lambda fraction: None,
) -> int:
    """Equalize all joints in place; how many there are. `rule`: "data" or "data-free".

    One pass over the samples, of which `tick` gets the fraction that is done: a channel's extremes
    tell both what it should be divided by and the tensor's range afterwards.
    """
    joints = [pair for pair in pairs(graph) if rule == "data" or pair.cap is None]
    if not joints:
        return 0
    spans = _spans(graph, joints, samples, tick)
    peaks = None
    if rule == "data":
        peaks = {pair.tensor: np.abs(spans[pair.tensor]).max(axis=0) for pair in joints}
    total = {pair: np.ones(len(graph.bias(pair.first))) for pair in joints}
    for _ in range(_ROUNDS[rule]):
        for pair in joints:
            made = _made(graph, pair.first) if peaks is None else peaks[pair.tensor]
            read = _read(graph, pair.second)
            if peaks is not None and graph.kinds[pair.second] == "DEPTHWISE_CONV_2D":
                scale = _sane(made)
            else:
                scale = np.sqrt(_sane(made) / _sane(read))
            alive = (made > 0) & (read > 0)
            if pair.cap is None:
                scale = np.where(alive, scale, 1.0)
                scale = np.clip(scale / _middle(scale), 1 / _MOST, _MOST)
            else:
                scale = _below(pair.cap, made, scale, alive)
            _apply(graph, pair, scale)
            total[pair] = total[pair] * scale
            if peaks is not None:
                peaks[pair.tensor] = made / scale
    for pair in joints:
        for tensor in _between(graph, pair):
            low, high = spans[tensor] / total[pair]
            graph.set_range(tensor, float(low.min()), float(high.max()))
    return len(joints)


def _below(cap: float, peaks: np.ndarray, scale: np.ndarray, alive: np.ndarray) -> np.ndarray:
    """The scales as far as no channel is brought to the cap, nor one away that is there."""
    cut = peaks >= cap * (1 - _ROUNDING)
    free = alive & ~cut
    if not free.any():
        return np.ones_like(scale)
    scale = scale / (_middle(scale[cut & alive]) if (cut & alive).any() else scale[free].max())
    scale = np.clip(np.maximum(scale, peaks / cap * (1 + 2 * _ROUNDING)), 1 / _MOST, _MOST)
    return np.where(free, scale, 1.0)


def _between(graph: FloatGraph, pair: Pair) -> list[int]:
    """The tensors from one layer to the other, all with its channels."""
    found = [pair.tensor]
    while (op := graph.readers(found[-1])[0]) != pair.second:
        found.append(graph.outputs(op)[0])
    return found


def _sane(ranges: np.ndarray) -> np.ndarray:
    """Without zeros, and not so small that a dead channel would be blown up."""
    return np.maximum(ranges, max(float(ranges.max()) / _MOST, 1e-30))


def _middle(scale: np.ndarray) -> float:
    return float(np.exp(np.log(scale).mean()))


def _reader(graph: FloatGraph, tensor: int) -> int | None:
    """The one layer that reads a tensor, directly or through ops that keep channels apart."""
    readers = graph.readers(tensor)
    if graph.leaves(tensor) or len(readers) != 1:
        return None
    (op,) = readers
    if graph.has_weights(op):
        return op if graph.inputs(op)[0] == tensor else None
    if graph.kinds[op] not in _THROUGH or graph.activation(op) not in ("NONE", "RELU"):
        return None
    return _reader(graph, graph.outputs(op)[0])


def _made(graph: FloatGraph, op: int) -> np.ndarray:
    """The range of the weights that make each channel."""
    weights = np.abs(graph.values(graph.inputs(op)[1]))
    axis = weights.ndim - 1 if graph.kinds[op] == "DEPTHWISE_CONV_2D" else 0
    return np.moveaxis(weights, axis, 0).reshape(weights.shape[axis], -1).max(axis=1)


def _read(graph: FloatGraph, op: int) -> np.ndarray:
    """The range of the weights that read each channel, as shares of their output's range."""
    weights = np.abs(graph.values(graph.inputs(op)[1]))
    if graph.kinds[op] == "DEPTHWISE_CONV_2D":
        return weights.max(axis=(0, 1, 2)).reshape(-1, graph.multiplier(op)).max(axis=1)
    rows = weights.reshape(weights.shape[0], -1, weights.shape[-1]).max(axis=1)
    return (rows / np.maximum(rows.max(axis=1, keepdims=True), 1e-30)).max(axis=0)


def _apply(graph: FloatGraph, pair: Pair, scale: np.ndarray) -> None:
    """Divide what makes each channel, multiply what reads it."""
    first, second = pair.first, pair.second
    weights = graph.values(graph.inputs(first)[1])
    axis = weights.ndim - 1 if graph.kinds[first] == "DEPTHWISE_CONV_2D" else 0
    shape = [-1 if place == axis else 1 for place in range(weights.ndim)]
    graph.set_constant(first, 1, weights / scale.reshape(shape))
    graph.set_constant(first, 2, graph.bias(first) / scale)
    reading = scale
    if graph.kinds[second] == "DEPTHWISE_CONV_2D":
        reading = np.repeat(scale, graph.multiplier(second))
    graph.set_constant(second, 1, graph.values(graph.inputs(second)[1]) * reading)


def _spans(
    graph: FloatGraph,
    joints: Sequence[Pair],
    samples: Sequence[Sample],
    tick: Callable[[float], None],
) -> dict[int, np.ndarray]:
    """Least and largest value of each channel of the tensors in the joints, as two rows."""
    names = {graph.name(t): t for pair in joints for t in _between(graph, pair)}
    found: dict[int, np.ndarray] = {}
    done = [0]

    def see(tensors: dict[str, np.ndarray]) -> None:
        for name, tensor in names.items():
            value = tensors[name].reshape(-1, tensors[name].shape[-1])
            low, high = value.min(axis=0), value.max(axis=0)
            if tensor in found:
                low, high = np.minimum(low, found[tensor][0]), np.maximum(high, found[tensor][1])
            found[tensor] = np.stack([low, high]).astype(np.float64)
        done[0] += 1
        tick(done[0] / len(samples))

    watch(graph.pack(), samples, see)
    return found
