"""Checks of spaces: that they keep to the protocol, and that their nets are parts of one.

A supernet holds the largest net and masks it. What it makes of the mask is the smaller net only if
the rules of `nas.space.Space` hold, and nothing fails if they don't: accuracies are just of other
nets than those that will be built. So a space of your own is checked before it is trained.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..net import Layer, Net, Shape
from ..space import Space, largest, sample, smallest

_JOINS = ("add", "multiply")
_SAME = ("kind", "strides", "padding", "norm", "activation", "keep")


def check_space(space: Space, *, nets: int = 50, seed: int = 0) -> None:
    """Raise ValueError unless the space keeps to the protocol, as far as so many nets show.

    Example:
        >>> from tflm_opt.nas import spaces
        >>> check_space(spaces.default((32, 32, 3), classes=10))

    Choices must be tuples of numbers and words, `to_json` plain values, `canonical` the same when
    done twice and of the same net, and each net valid.
    """
    _check_choices(space)
    try:
        json.dumps(space.to_json())
    except (TypeError, ValueError) as error:
        raise ValueError(f"to_json gives something that JSON can't hold: {error}") from error
    rng = np.random.default_rng(seed)
    for _ in range(nets):
        raw = {k: v[rng.integers(len(v))] for k, v in space.choices.items()}
        once = space.canonical(raw)
        if once.keys() != raw.keys():
            raise ValueError(f"canonical changes the names of choices: {_difference(raw, once)}")
        if (twice := space.canonical(once)) != once:
            raise ValueError(f"canonical done twice is another: {_difference(once, twice)}")
        if _net(space, once) != _net(space, raw):
            raise ValueError(f"canonical gives another net: {_difference(raw, once)}")


def _check_choices(space: Space) -> None:
    if not space.choices:
        raise ValueError("the space has no choices")
    for name, values in space.choices.items():
        if not isinstance(values, tuple) or not values:
            raise ValueError(f"choice {name!r} is {values!r}: a tuple of values, not an empty one")
        for value in values:
            if not isinstance(value, (int, float, str)):
                raise ValueError(f"choice {name!r} has {value!r}: numbers and words only")
        if len(set(values)) < len(values):
            raise ValueError(f"choice {name!r} has a value twice: {values!r}")


def _difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """Choices in which two architectures differ.

    >>> _difference({"a": 1, "b": 2}, {"a": 1, "b": 3})
    'b from 2 to 3'
    """
    names = sorted(n for n in {*one, *other} if one.get(n) != other.get(n))
    return ", ".join(f"{n} from {one.get(n)!r} to {other.get(n)!r}" for n in names)


def _net(space: Space, architecture: Mapping[str, Any]) -> Net:
    try:
        return space.net(architecture)
    except Exception as error:
        raise ValueError(f"no net comes of {dict(architecture)!r}: {error}") from error


def check_nested(space: Space, *, nets: int = 50, seed: int = 0) -> None:
    """Raise ValueError unless so many nets of the space are parts of its largest one.

    Example:
        >>> from tflm_opt.nas import spaces
        >>> check_nested(spaces.default((32, 32, 3), classes=10))

    Masked as a supernet does it, the largest net must be the smaller one: layers of the same name
    are alike but for filters and kernels, which are no larger and have the same middle; "add" and
    "multiply" layers that the smaller net lacks hand on their first input; what is left of the
    largest net are the smaller one's layers, connected as they are there.
    """
    whole = _net(space, largest(space))
    rng = np.random.default_rng(seed)
    for architecture in (smallest(space), *(sample(space, rng) for _ in range(nets))):
        found = _net(space, architecture)
        try:
            _check_part(found, whole)
        except ValueError as error:
            raise ValueError(f"{error}. The architecture is {architecture!r}") from error


def _check_part(part: Net, whole: Net) -> None:
    theirs = {layer.name: layer for layer in whole.layers}
    small, large = part.shapes(), whole.shapes()
    kept = set(small)
    for layer in part.layers:
        if layer.name not in theirs:
            raise ValueError(f"the largest net has no layer {layer.name!r}, a smaller one has it")
        other = theirs[layer.name]
        _check_layer(layer, other, last=layer is part.layers[-1])
        _check_kernel(layer, other, small[layer.inputs[0]] if layer.inputs else ())
        _check_channels(layer, small, large)
        masked = tuple(_masked(n, kept, theirs, layer) for n in theirs[layer.name].inputs)
        if masked != layer.inputs:
            raise ValueError(
                f"layer {layer.name!r} reads {_words(layer.inputs)}, and where the largest net is "
                f"masked {_words(masked)}"
            )
    if whole.layers[-1].name != part.layers[-1].name:
        raise ValueError(
            f"the largest net ends with {whole.layers[-1].name!r}, a smaller one with "
            f"{part.layers[-1].name!r}"
        )


def _words(names: tuple[str, ...]) -> str:
    return " and ".join(map(repr, names)) or "nothing"


def _masked(name: str, kept: set[str], theirs: Mapping[str, Layer], reader: Layer) -> str:
    """What a reader of a layer reads in the masked net: past the joins that aren't kept."""
    while name not in kept:
        if theirs[name].kind not in _JOINS:
            raise ValueError(
                f"a smaller net lacks {name!r}, which {reader.name!r} reads in the largest one: "
                'only branches that end in an "add" or "multiply" can drop out, along with it'
            )
        name = theirs[name].inputs[0]
    return name


def _check_layer(layer: Layer, other: Layer, *, last: bool) -> None:
    for what in _SAME:
        mine, whole = getattr(layer, what), getattr(other, what)
        if mine != whole:
            raise ValueError(f"layer {layer.name!r} has {what} {mine!r}, and {whole!r} elsewhere")
    if layer.filters > other.filters or (last and layer.filters != other.filters):
        raise ValueError(
            f"layer {layer.name!r} has {layer.filters} filters, and the largest net {other.filters}"
        )


def _check_kernel(layer: Layer, other: Layer, source: Shape) -> None:
    """A smaller kernel must see the middle of what the larger one sees."""
    for axis, (mine, whole) in enumerate(zip(layer.kernel, other.kernel, strict=True)):
        if mine == whole:
            continue
        shift = 0
        if layer.padding == "same":
            shift = _before(source, axis, layer) - _before(source, axis, other)
        if mine > whole or 2 * shift != mine - whole:
            raise ValueError(
                f"layer {layer.name!r} has the kernel {layer.kernel}, which is not the middle of "
                f"the largest net's {other.kernel} where the input is {source[:2]} and the stride "
                f"{layer.strides}"
            )


def _before(source: Shape, axis: int, layer: Layer) -> int:
    """Rows or columns of padding before the first, as TensorFlow pads for "same"."""
    size, kernel, stride = source[axis], layer.kernel[axis], layer.strides[axis]
    return max(0, (-(-size // stride) - 1) * stride + kernel - size) // 2


def _check_channels(layer: Layer, small: Mapping[str, Shape], large: Mapping[str, Shape]) -> None:
    """The first channels of a layer's output must be made of the first of its inputs."""
    if layer.kind == "input" and small[layer.name][-1] != large[layer.name][-1]:
        raise ValueError(f"input {layer.name!r} has other channels than in the largest net")
    if layer.kind == "concat":
        uneven = [n for n in layer.inputs[:-1] if small[n][-1] != large.get(n, small[n])[-1]]
        if uneven:
            raise ValueError(
                f"layer {layer.name!r} joins {uneven[0]!r}, whose channels vary, before others: "
                "theirs move along, and no longer meet their weights"
            )
    if layer.kind == "flatten":
        mine, whole = small[layer.inputs[0]], large.get(layer.inputs[0])
        if whole is not None and mine != whole and (*mine[:-1], *whole[:-1]) != (1,) * 4:
            raise ValueError(
                f"layer {layer.name!r} flattens {mine}, and {whole} in the largest net: values "
                "move, and no longer meet their weights. Pool before it"
            )
