"""A net inside a larger one: which part of the larger one's weights is its own. No framework.

Layers of the same name share weights. The smaller one uses the first filters, the middle of the
kernel, and of its input the channels that the net below has; an "add" or "multiply" that it lacks
lets its first input through. This is how Once-for-All nets are nested (Cai et al., 2020).

`locate` refuses nets that aren't nested so, for in a supernet such a net would silently compute
something other than what is built, trained and deployed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from .net import EPSILON, Layer, Net, Shape

# Layers that hand on their first input where a smaller net lacks them.
BYPASSED = ("add", "multiply")
WEIGHTED = ("conv", "depthwise", "dense")
Weights = Mapping[str, np.ndarray]  # by "layer/part"; parts: kernel, bias, gamma, beta


@dataclass(frozen=True, slots=True, eq=False)
class Subnet:
    """A net's place in a larger one.

    Attributes:
        net: the smaller net.
        sizes: int32, a row for each layer of the larger net: filters (1 where a layer has none of
            its own), kernel rows, kernel columns; zeros for a layer that the smaller net lacks.
        active: by layer of the smaller net, which output channels of the larger net's layer it has.
    """

    net: Net
    sizes: np.ndarray
    active: Mapping[str, np.ndarray]


def locate(whole: Net, net: Net) -> Subnet:
    """Where `net` lies in `whole`.

    Raises:
        ValueError: it isn't nested; names the layer, and what would have to be the same.
    """
    large, small = by_name(whole), by_name(net)
    if unknown := [name for name in small if name not in large]:
        raise ValueError(f"layer {unknown[0]!r} is not in the largest net of the space")
    if net.layers[-1].name != whole.layers[-1].name:
        raise ValueError(f"the output is {net.layers[-1].name!r}, not {whole.layers[-1].name!r}")
    shapes, active = net.shapes(), {}
    for layer in net.layers:
        _check_layer(large[layer.name], layer, [shapes[name] for name in layer.inputs])
        _check_inputs(large, small, layer)
        active[layer.name] = _active(large, layer, active)
    _check_lacking(large, small)
    sizes = np.zeros((len(whole.layers), 3), np.int32)
    for row, layer in zip(sizes, whole.layers, strict=True):
        if mine := small.get(layer.name):
            row[:] = (mine.filters or 1, *mine.kernel)
    return Subnet(net, sizes, active)


def by_name(net: Net) -> dict[str, Layer]:
    """The layers, in their order."""
    return {layer.name: layer for layer in net.layers}


def _check_layer(large: Layer, small: Layer, inputs: Sequence[Shape]) -> None:
    """Raise ValueError unless `small`, reading `inputs`, can be a part of `large`."""
    where = f"layer {small.name!r}"
    alike = replace(
        small, inputs=large.inputs, filters=large.filters, kernel=large.kernel, shape=large.shape
    )
    if alike != large:
        raise ValueError(
            f"{where} differs from the same layer of the largest net in more than filters and "
            f"kernel: {small.to_json()} and {large.to_json()}. Give it another name"
        )
    if small.activation == "softmax" and small.filters != large.filters:
        raise ValueError(f"{where} has {small.filters} filters, the largest {large.filters}")
    if small.filters > large.filters or small.shape[2:] != large.shape[2:]:
        raise ValueError(f"{where} has more channels than in the largest net")
    if small.kernel != large.kernel and small.kind not in ("conv", "depthwise"):
        raise ValueError(f"{where} pools over {small.kernel}, not {large.kernel} as the largest")
    if small.kind == "flatten" and inputs[0][:-1] not in ((), (1, 1)):
        raise ValueError(
            f"{where} flattens {inputs[0]}: what follows would depend on the resolution. "
            "Use 'global_pool' instead"
        )
    for size, step, ours, theirs in zip(
        inputs[0] if inputs else (), small.strides, small.kernel, large.kernel, strict=False
    ):
        if ours != theirs and not _centred(size, step, ours, theirs, small.padding):
            raise ValueError(
                f"{where}: a kernel of {ours} with stride {step} on {size} pixels is not the "
                f"middle of one of {theirs} with padding {small.padding!r}"
            )


def _centred(size: int, stride: int, small: int, large: int, padding: str) -> bool:
    """Whether the middle of the large kernel lies on the pixels that the small one reads."""
    if padding != "same" or small > large or (large - small) % 2:
        return False
    return _before(size, stride, large) - _before(size, stride, small) == (large - small) // 2


def _before(size: int, stride: int, kernel: int) -> int:
    """Pixels of padding before the first, with padding "same"."""
    return max((-(-size // stride) - 1) * stride + kernel - size, 0) // 2


def _check_inputs(large: Mapping[str, Layer], small: Mapping[str, Layer], layer: Layer) -> None:
    """Raise ValueError unless the layer reads in both nets the same, bypassing what is lacking."""
    expected = tuple(_through(large, small, name) for name in large[layer.name].inputs)
    if layer.inputs != expected:
        raise ValueError(
            f"layer {layer.name!r} reads {', '.join(layer.inputs)}; as part of the largest net it "
            f"would read {', '.join(expected)}"
        )


def _through(large: Mapping[str, Layer], small: Mapping[str, Layer], name: str) -> str:
    while name not in small and large[name].kind in BYPASSED:
        name = large[name].inputs[0]
    return name


def _check_lacking(large: Mapping[str, Layer], small: Mapping[str, Layer]) -> None:
    """Raise ValueError if a branch has lost its "add", and is computed all the same."""
    read = {name for layer in small.values() for name in layer.inputs}
    for layer in large.values():
        if layer.name in small or layer.kind not in BYPASSED:
            continue
        branch = layer.inputs[1]
        if branch in small and branch not in read:
            raise ValueError(f"nothing reads layer {branch!r}: the net has no {layer.name!r}")


def _active(
    large: Mapping[str, Layer], layer: Layer, active: Mapping[str, np.ndarray]
) -> np.ndarray:
    if layer.kind in ("conv", "dense"):
        return np.arange(layer.filters)
    if layer.kind == "input":
        return np.arange(layer.shape[2])
    if layer.kind == "concat":
        widths = [0, *(channels(large, name) for name in large[layer.name].inputs)]
        starts = np.cumsum(widths)
        return np.concatenate([active[n] + s for n, s in zip(layer.inputs, starts, strict=False)])
    first = active[layer.inputs[0]]
    for name in layer.inputs[1:]:
        if not np.array_equal(first, active[name]):
            raise ValueError(
                f"layer {layer.name!r} joins {layer.inputs[0]!r} and {name!r}, "
                "which use different channels of the largest net"
            )
    return first


def channels(layers: Mapping[str, Layer], name: str) -> int:
    """Output channels of a layer."""
    layer = layers[name]
    if layer.kind in ("conv", "dense"):
        return layer.filters
    if layer.kind == "input":
        return layer.shape[2]
    counts = [channels(layers, one) for one in layer.inputs]
    return sum(counts) if layer.kind == "concat" else counts[0]


def weight_shapes(net: Net) -> dict[str, tuple[int, ...]]:
    """What a net has to learn, by "layer/part", in Keras's layouts."""
    layers, found = by_name(net), {}
    for layer in net.layers:
        if layer.kind == "input":
            continue
        before, after = channels(layers, layer.inputs[0]), channels(layers, layer.name)
        if layer.kind in WEIGHTED:
            found[f"{layer.name}/kernel"] = {
                "conv": (*layer.kernel, before, after),
                "depthwise": (*layer.kernel, after, 1),
                "dense": (before, after),
            }[layer.kind]
            if not layer.norm:
                found[f"{layer.name}/bias"] = (after,)
        if layer.norm:
            found[f"{layer.name}/gamma"] = found[f"{layer.name}/beta"] = (after,)
    return found


def cut(whole: Net, subnet: Subnet, weights: Weights) -> dict[str, np.ndarray]:
    """The subnet's own weights: copies of parts of the largest net's."""
    large, cuts = by_name(whole), {}
    for layer in subnet.net.layers:
        own = subnet.active[layer.name]
        for part in ("bias", "gamma", "beta"):
            if (name := f"{layer.name}/{part}") in weights:
                cuts[name] = weights[name][own]
        if layer.kind not in WEIGHTED:
            continue
        name, read = f"{layer.name}/kernel", subnet.active[layer.inputs[0]]
        kernel = weights[name]
        if layer.kind == "dense":
            cuts[name] = kernel[np.ix_(read, own)]
            continue
        ranges = [
            np.arange(n) + (of - n) // 2
            for n, of in zip(layer.kernel, large[layer.name].kernel, strict=True)
        ]
        last = np.arange(1) if layer.kind == "depthwise" else own
        cuts[name] = kernel[np.ix_(*ranges, read, last)]
    return cuts


def folded(
    net: Net, weights: Weights, moments: Mapping[str, tuple[np.ndarray, np.ndarray]]
) -> tuple[Net, Weights]:
    """The net without batch norm, and weights with which it computes the same.

    Args:
        net, weights: a subnet's own.
        moments: mean and variance of each layer with norm.
    """
    result = dict(weights)
    for layer in net.layers:
        if not layer.norm:
            continue
        mean, variance = moments[layer.name]
        scale = weights[f"{layer.name}/gamma"] / np.sqrt(variance + EPSILON)
        across = scale[:, None] if layer.kind == "depthwise" else scale
        result[f"{layer.name}/kernel"] = weights[f"{layer.name}/kernel"] * across
        result[f"{layer.name}/bias"] = weights[f"{layer.name}/beta"] - mean * scale
    return Net(tuple(replace(layer, norm=False) for layer in net.layers)), result
