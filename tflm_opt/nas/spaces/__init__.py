"""Spaces of nets that come with the package, and how any space is named in a file."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from typing import Any

from ..net import Shape
from ..space import Space
from .mobilenet import MobileNet
from .nesting import check_nested, check_space
from .resnet import ResNet
from .separable import DsCnn, Signal
from .staged import Stage, Staged

__all__ = [
    "DsCnn",
    "MobileNet",
    "ResNet",
    "Signal",
    "Stage",
    "Staged",
    "check_nested",
    "check_space",
    "complete",
    "default",
    "from_json",
]

KINDS: dict[str, type[Staged]] = {one.kind: one for one in (MobileNet, DsCnn, Signal, ResNet)}


def default(input_shape: Shape, classes: int) -> MobileNet | DsCnn | Signal:
    """A space for data of this shape: rows, columns, channels.

    Example:
        >>> default((64, 64, 3), 4).kind, default((49, 10, 1), 12).kind, default((99, 1, 9), 6).kind
        ('mobilenet', 'ds_cnn', 'signal')

    One column is a signal, one channel that isn't square a spectrogram with time in its rows; all
    else are images. Name the class where that is wrong: `MobileNet.default((96, 128, 1), 2)`.

    Raises:
        ValueError: a shape that isn't one, time in columns, or fewer than two classes.
    """
    shape = tuple(input_shape)
    if len(shape) != 3:
        raise ValueError(
            f"data of the shape {shape}: a space is for rows, columns and channels. A signal is "
            "samples × 1 × channels, a grey image rows × columns × 1"
        )
    rows, columns, channels = shape
    if rows == 1 and columns > 1:
        raise ValueError(
            f"data of the shape {shape} has a single row: time is in rows here, {columns} × 1 × "
            f"{channels}. Swap the axes"
        )
    if columns == 1:
        return Signal.default(shape, classes)
    if channels == 1 and rows != columns:
        return DsCnn.default(shape, classes)
    return MobileNet.default(shape, classes)


def from_json(data: Mapping[str, Any]) -> Space:
    """The space that `to_json` described.

    Example:
        >>> space = default((32, 32, 3), classes=10)
        >>> from_json(space.to_json()) == space
        True

    "kind" is one of `KINDS`, or "module:Class" of your own: the class is called with the other
    entries, or its `from_json` with all of them where it has one. Importing a module runs it, so
    read no file that you wouldn't run.

    Raises:
        ValueError: no such kind, module or class, a parameter that it doesn't take, or something
            that isn't a space.
    """
    kind = data.get("kind") if isinstance(data, Mapping) else None
    if not isinstance(kind, str):
        raise ValueError(f"a space needs a kind: {', '.join(KINDS)}, or your own 'module:Class'")
    if kind in KINDS:
        return KINDS[kind].from_json(data)
    if ":" not in kind:
        near = difflib.get_close_matches(kind, KINDS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(KINDS)}"
        raise ValueError(f"no kind of space is called {kind!r}: {hint}")
    return _own(kind, data)


def complete(data: Mapping[str, Any], input_shape: Shape, classes: int) -> Space:
    """A space of which only some is said, as in a configuration; the rest suits the data.

    Example:
        >>> complete({"kind": "resnet", "width": [0.5]}, (32, 32, 3), 10).choices["width"]
        (0.5,)
        >>> complete({}, (32, 32, 3), 10) == default((32, 32, 3), 10)
        True

    What isn't said is that of the kind's own default, and the kind that of `default`. A space of
    your own has to be said whole.

    Raises: ValueError, as `from_json` and `default`.
    """
    kind = data.get("kind")
    if kind is None:
        plain: Staged = default(input_shape, classes)
    elif kind in KINDS:
        plain = KINDS[kind].default(input_shape, classes)
    else:
        return from_json(data)
    return plain.from_json({**plain.to_json(), **data})


def _own(kind: str, data: Mapping[str, Any]) -> Space:
    module, _, name = kind.partition(":")
    try:
        made: Any = importlib.import_module(module)
        for part in name.split("."):
            made = getattr(made, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"the space {kind!r} can't be imported: {error}. Its module must be on PYTHONPATH"
        ) from error
    try:
        if hasattr(made, "from_json"):
            space = made.from_json(data)
        else:
            space = made(**{k: v for k, v in data.items() if k != "kind"})
    except TypeError as error:
        raise ValueError(f"the space {kind!r} can't be made of its parameters: {error}") from error
    if not isinstance(space, Space):
        missing = [n for n in ("choices", "net", "canonical", "to_json") if not hasattr(space, n)]
        raise ValueError(f"{kind!r} makes no space: it lacks {', '.join(missing)}")
    return space
