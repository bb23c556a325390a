"""What `tflm-opt search` reads: a TOML file of the arguments of `tflm_opt.search`.

    [data]
    train = "train.npz"        # arrays x and y; or both from = "module:function" of your own
    val = "val.npz"

    [limits]
    board = "disco_f746ng"
    sram = "256KiB"
    flash = "1MiB"
    latency_ms = 200

    [search]
    directory = "faces"        # of the study; beside this file
    trials = 1000
    workers = 2

    [space]                    # optional: what `spaces.complete` reads; the rest suits the data
    kind = "mobilenet"

    [finish]                   # optional: what `Trial.optimize` takes
    epochs = 30

Paths are relative to the file. A word that nobody reads is an error, not silence.
"""

from __future__ import annotations

import difflib
import inspect
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import TflmOptError
from .parts import named
from .space import Space

_LIMITS = ("board", "sram", "flash", "latency_ms")
_OWN = ("data", "limits", "search", "space", "finish")
_FINISH = ("epochs", "qat", "seed")
# What a file can't hold, or has a table for.
_NOT_SEARCH = {*_LIMITS, "train", "val", "space", "callbacks", "verbose"}


@dataclass(frozen=True, slots=True)
class Config:
    """A search as a file describes it.

    Attributes:
        path: of the file.
        data: the table, as it is: `arrays` reads what it names.
        search: arguments of `tflm_opt.search` but for the data and the space.
        space: the table, as it is; None: the space is chosen for the data.
        finish: arguments of `Trial.optimize`; None: nothing is finished.
    """

    path: Path
    data: Mapping[str, Any]
    search: Mapping[str, Any]
    space: Mapping[str, Any] | None = field(default=None)
    finish: Mapping[str, Any] | None = field(default=None)

    def arguments(self) -> dict[str, Any]:
        """Those of `tflm_opt.search`: data are read, and what a space leaves open is made to suit.

        Raises:
            TflmOptError: as `arrays`, or a space that can't be.
            DataError: data that nothing can be learned from.
        """
        train, val = self.arrays()
        found = {**self.search, "train": train, "val": val}
        if self.space is not None:
            found["space"] = _space(self.path, self.space, train, val)
        return found

    def arrays(self) -> tuple[Any, Any]:
        """Training and validation data, each (inputs, labels).

        Raises:
            TflmOptError: a file that can't be read or lacks x or y, or a function that gives
                something else.
        """
        if "from" in self.data:
            found = named(self.data["from"], "data function")()
            if not isinstance(found, (tuple, list)) or len(found) != 2:
                raise TflmOptError(
                    f"{self.path}: {self.data['from']} gave {type(found).__name__}: return "
                    "((x_train, y_train), (x_val, y_val))"
                )
            return tuple(found)
        return self._pair("train"), self._pair("val")

    def _pair(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        path = self.path.parent / self.data[name]
        try:
            with np.load(path, allow_pickle=False) as file:
                return file["x"], file["y"]
        except KeyError as error:
            raise TflmOptError(
                f"{path} has no array {error.args[0].split()[0]}: save inputs and labels by "
                "np.savez(path, x=..., y=...)"
            ) from error
        except (OSError, ValueError, AttributeError, TypeError) as error:
            reason = error.strerror if isinstance(error, OSError) else None
            raise TflmOptError(
                f"{path}: {reason or 'no .npz file of plain arrays'}. It is the {name} data of "
                f"{self.path}"
            ) from error


def read(path: Path) -> Config:
    """The search that a file describes.

    Raises:
        TflmOptError: no such file, no TOML, tables or words that nobody reads, no data.
    """
    text = _toml(path)
    _check_words(path, "", text, _OWN)
    data, limits, search = (_table(path, text, name) for name in ("data", "limits", "search"))
    _check_words(path, "data", data, ("train", "val", "from"))
    if "from" not in data and not {"train", "val"} <= set(data):
        raise TflmOptError(
            f"{path}: [data] needs train and val, .npz files of x and y; or from, a "
            '"module:function" that returns both'
        )
    _check_words(path, "limits", limits, _LIMITS)
    _check_words(path, "search", search, _arguments())
    arguments = {**limits, **search}
    where = arguments.get("directory", path.stem)
    arguments["directory"] = path.parent / where
    space = _table(path, text, "space") if "space" in text else None
    _check_kind(path, space or {})
    finish = _table(path, text, "finish") if "finish" in text else None
    _check_words(path, "finish", finish or {}, _FINISH)
    return Config(path, data, arguments, space, finish)


def _toml(path: Path) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise TflmOptError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TflmOptError(f"{path} is no TOML: {error}") from error


def _arguments() -> tuple[str, ...]:
    from .search import search

    return tuple(n for n in inspect.signature(search).parameters if n not in _NOT_SEARCH)


def _table(path: Path, text: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = text.get(name, {})
    if not isinstance(found, dict):
        raise TflmOptError(f"{path}: {name} is a table: write [{name}] on a line of its own")
    return dict(found)


def _check_words(path: Path, table: str, found: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for word in found:
        if word not in known:
            near = difflib.get_close_matches(word, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
            where = f"[{table}] has" if table else "there is"
            raise TflmOptError(f"{path}: {where} no {word!r}: {hint}")


def _check_kind(path: Path, table: Mapping[str, Any]) -> None:
    """A kind that isn't known is said before any data are read."""
    from .spaces import KINDS, from_json

    if "kind" in table and table["kind"] not in KINDS:
        with _told(path):
            from_json(table)


def _space(path: Path, table: Mapping[str, Any], train: Any, val: Any) -> Space:
    from .data import checked
    from .spaces import complete

    data = checked(train, val)
    with _told(path):
        return complete(table, data.shape, data.classes)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Say where a space that can't be is written."""
    try:
        yield
    except ValueError as error:
        raise TflmOptError(f"{path}: [space]: {error}") from error
