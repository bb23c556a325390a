"""Checks of spaces: that they keep to the protocol, and that their nets are parts of one.

A space of your own is best checked before a search begins: a net that isn't valid, or a choice
that has no effect and isn't at its first value, would show up hours later or not at all.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..net import Net
from ..space import Space, largest, sample, smallest
from ..subnet import locate


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

    The rules are those of `subnet.locate`, which a supernet goes by. The error names the layer, and
    the architecture.
    """
    whole = _net(space, largest(space))
    rng = np.random.default_rng(seed)
    for architecture in (smallest(space), *(sample(space, rng) for _ in range(nets))):
        found = _net(space, architecture)
        try:
            locate(whole, found)
        except ValueError as error:
            raise ValueError(f"{error}. The architecture is {architecture!r}") from error
