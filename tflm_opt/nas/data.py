"""Data of a search: checked once, before hours are spent on it, and kept in the study's directory.

Whatever a person may have (uint8 pictures, signals without a width, labels as a column) becomes
float32 (n, rows, columns, channels) and class numbers (n,). What can't be right is refused with the
place where it is; what may be right is taken, with a warning.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..errors import DataError
from ..export.folder import failing_as, mask

FILE = "data.npz"
KINDS = ("image", "signal")
_ARRAYS = ("x_train", "y_train", "x_val", "y_val")
_LARGE = 32.0  # inputs beyond it are hardly normalized
_LONG = 8  # times as many rows as columns: hardly a picture
_CHUNK = 256  # images that are resized at once


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Checked data: what each part of a search takes.

    Attributes:
        x_train, x_val: float32 (n, rows, columns, channels).
        y_train, y_val: class numbers, int64 (n,).
        classes: how many there are.
        warnings: what a person should know, a sentence each.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_val: np.ndarray
    y_val: np.ndarray
    classes: int
    warnings: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int, int]:
        """Rows, columns, channels of a sample."""
        rows, columns, channels = self.x_train.shape[1:]
        return rows, columns, channels

    def at(self, shape: tuple[int, ...]) -> Dataset:
        """The same with inputs resized to a net's: (rows, columns, channels).

        Raises:
            DataError: other channels, or more pixels than there are.
        """
        if tuple(shape) == self.shape:
            return self
        if len(shape) != 3 or shape[2] != self.shape[2]:
            raise DataError(
                f"the net takes {tuple(shape)}, the data are {self.shape}: give the space the "
                f"{self.shape[2]} channels of the data"
            )
        size = (shape[0], shape[1])
        x_train, x_val = (resized(x, size) for x in (self.x_train, self.x_val))
        return Dataset(x_train, self.y_train, x_val, self.y_val, self.classes)

    def save(self, directory: str | Path) -> Path:
        """Write `data.npz`, whole or not at all."""
        path = Path(directory) / FILE
        arrays: dict[str, Any] = {name: getattr(self, name) for name in _ARRAYS}
        with written(path) as file:
            arrays["classes"] = np.array(self.classes)
            arrays["warnings"] = np.array(self.warnings, dtype=np.str_)
            np.savez(file, **arrays)
        return path

    @staticmethod
    def load(directory: str | Path) -> Dataset:
        """What `save` wrote.

        Raises:
            DataError: no such file, or one that is damaged.
        """
        path = Path(directory) / FILE
        try:
            with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                x_train, y_train, x_val, y_val = (file[name] for name in _ARRAYS)
                warnings = tuple(str(one) for one in file["warnings"])
                classes = int(file["classes"])
            return Dataset(x_train, y_train, x_val, y_val, classes, warnings)
        except FileNotFoundError as error:
            raise DataError(f"{path} does not exist: is this a study's directory?") from error
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise DataError(
                f"{path} can't be read ({error}): start the search again with its data"
            ) from error


def checked(
    train: Any, val: Any, *, classes: int | None = None, kind: str | None = None
) -> Dataset:
    """Data that a search can use, or an error that says where they are not.

    Example:
        >>> data = checked((x_train, y_train), (x_val, y_val))
        >>> data.shape, data.classes, data.warnings
        ((64, 64, 1), 10, ())

    Args:
        train, val: (inputs, labels). Inputs are images (n, rows, columns, channels) or (n, rows,
            columns), or signals (n, samples) or (n, samples, channels), which get a width of 1.
            Pixels of 8 bits without sign are divided by 255, with sign by 128. Labels are
            class numbers from 0, (n,) or (n, 1).
        classes: how many there are; by default the largest label and one.
        kind: "image" or "signal", which three axes leave open; by default an image.

    Raises:
        DataError: no samples, images of different sizes, NaN, one class, labels that are none.
    """
    if kind is not None and kind not in KINDS:
        raise DataError(f"kind {kind!r} is not one of {', '.join(KINDS)}")
    notes: list[str] = []
    x_train, y_train = _pair(train, "train")
    x_val, y_val = _pair(val, "val")
    inputs = [_array(x, part) for x, part in ((x_train, "train"), (x_val, "val"))]
    if inputs[0].shape[1:] != inputs[1].shape[1:]:
        raise DataError(
            f"samples of train are {inputs[0].shape[1:]} and those of val {inputs[1].shape[1:]}: "
            "bring both to one size"
        )
    x_train, x_val = _scaled(inputs[0], inputs[1], notes)
    x_train, x_val = (_four_axes(x, kind, notes) for x in (x_train, x_val))
    y_train = _labels(y_train, len(x_train), "train", classes)
    y_val = _labels(y_val, len(x_val), "val", classes)
    found = int(max(y_train.max(), y_val.max())) + 1
    _compare_labels(y_train, y_val, classes or found, notes)
    _look_for_copies(x_train, x_val, notes)
    return Dataset(x_train, y_train, x_val, y_val, classes or found, tuple(dict.fromkeys(notes)))


def resized(x: np.ndarray, size: int | tuple[int, int]) -> np.ndarray:
    """Images of fewer pixels, each the mean of the area that it covers (so nothing aliases).

    Example:
        >>> resized(x, 32).shape  # of 64×64, means of 2×2
        (1000, 32, 32, 3)

    Args:
        x: (n, rows, columns, channels).
        size: rows and columns, or one number for both; for signals (of width 1) the rows alone.

    Returns:
        float32. Where a pixel is covered in part, that part of it counts.

    Raises:
        DataError: more pixels than `x` has, or none.
    """
    rows, columns = x.shape[1:3]
    if isinstance(size, (int, np.integer)):
        if columns != 1 and columns != rows:
            raise DataError(f"images of {rows}×{columns} need a size of rows and columns: (64, 32)")
        size = (int(size), 1 if columns == 1 else int(size))
    if not (1 <= size[0] <= rows and 1 <= size[1] <= columns):
        raise DataError(
            f"images of {rows}×{columns} can't become {size[0]}×{size[1]}: a search only makes "
            "them smaller; enlarge them before, or take away that resolution"
        )
    if (rows, columns) == tuple(size):
        return x.astype(np.float32, copy=False)
    out = np.empty((len(x), *size, x.shape[3]), np.float32)
    for start in range(0, len(x), _CHUNK):
        part = x[start : start + _CHUNK].astype(np.float32, copy=False)
        out[start : start + _CHUNK] = _along(_along(part, 1, size[0]), 2, size[1])
    return out


def _along(x: np.ndarray, axis: int, new: int) -> np.ndarray:
    """Area means along one axis."""
    old = x.shape[axis]
    if old == new:
        return x
    if old % new == 0:
        return x.reshape(*x.shape[:axis], new, old // new, *x.shape[axis + 1 :]).mean(axis + 1)
    rest = x.shape[axis + 1 :]
    flat = x.reshape(*x.shape[: axis + 1], -1)
    return (shares(old, new) @ flat).reshape(*x.shape[:axis], new, *rest)


def shares(old: int, new: int) -> np.ndarray:
    """(new, old) float32: the part of each new pixel's area that lies in each old pixel."""
    edges = np.arange(new + 1) * (old / new)
    low = np.maximum(edges[:-1, None], np.arange(old)[None, :])
    high = np.minimum(edges[1:, None], np.arange(1, old + 1)[None, :])
    return (np.maximum(0.0, high - low) * (new / old)).astype(np.float32)


def _pair(data: Any, part: str) -> tuple[Any, Any]:
    if not isinstance(data, (tuple, list)) or len(data) != 2:
        raise DataError(f"{part} of type {type(data).__name__}: give (inputs, labels)")
    return data[0], data[1]


def _array(x: Any, part: str) -> np.ndarray:
    """One array of samples of one shape, finite."""
    if isinstance(x, np.ndarray) and x.dtype.kind == "O":
        x = list(x)
    if isinstance(x, (list, tuple)):
        _check_alike(x, part)
    array = np.asarray(x)
    if not array.size:
        raise DataError(f"{part} holds no samples (its shape is {array.shape})")
    if array.dtype.kind not in "fiub":
        raise DataError(f"inputs of {part} are {array.dtype}: give numbers")
    if array.ndim < 2 or array.ndim > 4:
        raise DataError(
            f"inputs of {part} have the shape {array.shape}: give images (n, rows, columns, "
            "channels) or (n, rows, columns), or signals (n, samples)"
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        bad = ~np.isfinite(array).reshape(len(array), -1).all(axis=1)
        raise DataError(
            f"{np.count_nonzero(bad)} samples of {part} hold NaN or infinity, the first is "
            f"number {int(bad.argmax())}: leave them out"
        )
    return array


def _check_alike(samples: Any, part: str) -> None:
    first = None
    for i, sample in enumerate(samples):
        shape = np.shape(sample)
        if first is None:
            first = shape
        elif shape != first:
            raise DataError(
                f"samples of {part} differ in size: number 0 is {first}, number {i} is {shape}. "
                "Bring them to one size"
            )


def _scaled(
    x_train: np.ndarray, x_val: np.ndarray, notes: list[str]
) -> tuple[np.ndarray, np.ndarray]:
    """As float32, train and val alike."""
    kinds = {x.dtype.kind for x in (x_train, x_val)}
    if len(kinds - {"b"}) > 1 and "f" in kinds:
        raise DataError(
            f"inputs of train are {x_train.dtype} and those of val {x_val.dtype}: give the same"
        )
    low = float(min(x_train.min(), x_val.min()))
    high = float(max(x_train.max(), x_val.max()))
    divisor = 1.0
    if kinds <= {"u", "i"}:
        divisor = _divisor(low, high, x_train.dtype, x_val.dtype)
        if divisor != 1:
            notes.append(
                f"inputs are whole numbers from {low:.0f} to {high:.0f} and were divided by "
                f"{divisor:.0f}: firmware must do the same"
            )
    elif max(-low, high) > _LARGE:
        notes.append(
            f"inputs reach from {low:g} to {high:g}, which nets train badly on: scale them to 0..1 "
            "(divide pixels by 255)"
        )
    if low == high:
        raise DataError(f"all inputs are {low:g}: there is nothing to learn from")
    scale = np.float32(1 / divisor)
    return tuple(  # type: ignore[return-value]
        x.astype(np.float32) * scale if divisor != 1 else np.ascontiguousarray(x, np.float32)
        for x in (x_train, x_val)
    )


def _divisor(low: float, high: float, *dtypes: np.dtype) -> float:
    """What brings whole numbers to 0..1 or -1..1; 1 where they are in 0..1."""
    if all(dtype == np.int8 for dtype in dtypes):
        return 128.0
    if low >= 0 and high <= 1 and not all(dtype == np.uint8 for dtype in dtypes):
        return 1.0
    if low >= 0 and high <= 255:
        return 255.0
    raise DataError(
        f"inputs are whole numbers from {low:.0f} to {high:.0f}: scale them to floats "
        "yourself, as the firmware will"
    )


def _four_axes(x: np.ndarray, kind: str | None, notes: list[str]) -> np.ndarray:
    if x.ndim == 4:
        if kind == "signal" and x.shape[2] != 1:
            raise DataError(f"signals have a width of 1, these {x.shape[2]}: leave kind away")
        return x
    if x.ndim == 2:
        if kind == "image":
            raise DataError(f"inputs of the shape {x.shape} are signals, not images")
        return x[:, :, None, None]
    if kind == "signal":
        return x[:, :, None, :]
    if kind is None and x.shape[1] >= _LONG * x.shape[2]:
        notes.append(
            f"inputs of {x.shape[1]}×{x.shape[2]} were taken as images of one channel; if they are "
            f'signals of {x.shape[2]} channels, say kind="signal"'
        )
    return x[..., None]


def _labels(labels: Any, count: int, part: str, classes: int | None) -> np.ndarray:
    try:
        array = np.asarray(labels)
    except ValueError as error:
        raise DataError(f"labels of {part} are no array ({error}): give class numbers") from error
    if array.dtype.kind not in "iufb":
        raise DataError(f"labels of {part} are {array.dtype}: number the classes from 0")
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        hint = ": one-hot labels become class numbers by argmax(axis=1)" if array.ndim == 2 else ""
        raise DataError(f"labels of {part} have the shape {array.shape}, not ({count},){hint}")
    if len(array) != count:
        raise DataError(f"{part} holds {count} samples and {len(array)} labels")
    wrong = ~np.isfinite(array) | (array != np.floor(array)) | (array < 0)
    if classes is not None:
        wrong |= array >= classes
    if wrong.any():
        at = int(wrong.argmax())
        upper = "" if classes is None else f" to {classes - 1}"
        raise DataError(
            f"label number {at} of {part} is {array[at]}: classes are whole numbers from 0{upper}"
        )
    return array.astype(np.int64)


def _compare_labels(y_train: np.ndarray, y_val: np.ndarray, classes: int, notes: list[str]) -> None:
    trained, judged = np.unique(y_train), np.unique(y_val)
    if len(trained) < 2:
        raise DataError(
            f"all {len(y_train)} samples of train are of class {trained[0]}: at least two classes "
            "are needed to tell them apart"
        )
    if len(judged) < 2:
        raise DataError(
            f"all {len(y_val)} samples of val are of class {judged[0]}: accuracy on them says "
            "nothing; shuffle before you split"
        )
    if len(y_val) < len(judged) * 10:
        notes.append(f"val holds {len(y_val)} samples: accuracy on so few is mostly noise")
    if unseen := sorted(set(judged.tolist()) - set(trained.tolist())):
        notes.append(f"val holds samples of {_classes(unseen)}, train none: shuffle before a split")
    known = set(trained.tolist()) | set(judged.tolist())
    if unused := [c for c in range(classes) if c not in known]:
        notes.append(f"there are no samples of {_classes(unused)}: number classes from 0, no gaps")


def _classes(numbers: list[int]) -> str:
    some = ", ".join(map(str, numbers[:5])) + (", …" if len(numbers) > 5 else "")
    return f"class {some}" if len(numbers) == 1 else f"classes {some}"


def _look_for_copies(x_train: np.ndarray, x_val: np.ndarray, notes: list[str]) -> None:
    seen = set(_digests(x_train))
    copies = sum(digest in seen for digest in _digests(x_val))
    if copies:
        notes.append(
            f"{copies} of the {len(x_val)} samples of val are in train too: accuracy on them is "
            "memory; leave them out of one"
        )


def _digests(x: np.ndarray) -> Iterator[bytes]:
    for sample in x:
        yield hashlib.blake2b(sample.tobytes(), digest_size=12).digest()


@contextmanager
def written(path: Path) -> Iterator[BinaryIO]:
    """A file under another name, which takes the place of `path` if the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with failing_as(path):
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o666 & ~mask())  # workers may be another user's
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
