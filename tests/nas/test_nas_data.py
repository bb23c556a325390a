"""Data of a search: what is taken and how, what is refused and where, and means of areas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tflm_opt.errors import DataError
from tflm_opt.nas.data import FILE, Dataset, checked, resized, shares

RNG = np.random.default_rng(0)
X = RNG.random((40, 8, 8, 1), dtype=np.float32)
Y = np.arange(40) % 4
X_VAL = RNG.random((40, 8, 8, 1), dtype=np.float32)


def area_mean(image: np.ndarray, top: float, bottom: float, left: float, right: float) -> float:
    """The mean over a rectangle, pixel by pixel."""
    total = area = 0.0
    for row in range(image.shape[0]):
        for column in range(image.shape[1]):
            high = max(0.0, min(bottom, row + 1) - max(top, row))
            wide = max(0.0, min(right, column + 1) - max(left, column))
            total += image[row, column] * high * wide
            area += high * wide
    return total / area


@pytest.mark.parametrize(
    ("shape", "size"), [((6, 6), (4, 4)), ((9, 7), (5, 3)), ((8, 8), (4, 2)), ((10, 4), (1, 3))]
)
def test_a_resized_pixel_is_the_mean_of_its_area(
    shape: tuple[int, int], size: tuple[int, int]
) -> None:
    x = RNG.random((2, *shape, 2), dtype=np.float32)
    small = resized(x, size)
    high, wide = shape[0] / size[0], shape[1] / size[1]
    for n, r, c, k in np.ndindex(small.shape):
        wanted = area_mean(x[n, :, :, k], r * high, (r + 1) * high, c * wide, (c + 1) * wide)
        assert small[n, r, c, k] == pytest.approx(wanted, abs=1e-6)


def test_whole_factors_are_exact() -> None:
    x = RNG.integers(0, 256, (300, 12, 8, 3)).astype(np.float32)
    small = resized(x, (3, 2))
    assert small.dtype == np.float32
    assert (small == x.reshape(300, 3, 4, 2, 4, 3).mean((2, 4))).all()


@given(st.integers(1, 40), st.integers(1, 40))
def test_shares_lose_nothing(old: int, new: int) -> None:
    new = min(old, new)
    part = shares(old, new)
    assert part.sum(1) == pytest.approx(1, abs=1e-5)
    assert part.sum(0) == pytest.approx(new / old, abs=1e-5)


def test_fine_stripes_become_grey() -> None:
    x = np.zeros((1, 12, 12, 1), np.float32)
    x[:, ::2] = 1
    assert np.abs(resized(x, 6) - 0.5).max() == 0
    assert np.abs(resized(x, 5) - 0.5).max() < 0.2  # every other row would be 0 or 1


@pytest.mark.parametrize("size", [9, 0, (8, 9)])
def test_images_are_never_enlarged(size: Any) -> None:
    with pytest.raises(DataError, match="can't become"):
        resized(X, size)


def test_a_number_means_the_length_of_signals_and_the_sides_of_squares() -> None:
    assert resized(np.zeros((2, 100, 1, 3), np.float32), 50).shape == (2, 50, 1, 3)
    with pytest.raises(DataError, match="rows and columns"):
        resized(np.zeros((2, 10, 8, 3), np.float32), 5)


def test_good_data_come_back_as_they_are() -> None:
    data = checked((X, Y), (X_VAL, Y))
    assert (data.x_train == X).all()
    assert data.y_val.dtype == np.int64
    assert (data.shape, data.classes, data.warnings) == ((8, 8, 1), 4, ())


@pytest.mark.parametrize(
    ("shape", "kind", "becomes"),
    [
        ((8, 6), None, (8, 6, 1)),
        ((8, 6, 3), None, (8, 6, 3)),
        ((50,), None, (50, 1, 1)),
        ((50, 3), "signal", (50, 1, 3)),
        ((50, 3), "image", (50, 3, 1)),
        ((50, 1, 3), "signal", (50, 1, 3)),
    ],
)
def test_axes(shape: tuple[int, ...], kind: str | None, becomes: tuple[int, ...]) -> None:
    train, val = RNG.random((40, *shape)), RNG.random((40, *shape))
    data = checked((train, Y), (val, Y[:, None]), kind=kind)
    assert data.shape == becomes
    assert data.x_train.ravel() == pytest.approx(train.ravel(), abs=1e-6)
    assert data.warnings == ()


def test_long_images_may_be_signals() -> None:
    x = RNG.random((40, 50, 3))
    assert 'kind="signal"' in checked((x, Y), (x + 1, Y)).warnings[0]


@pytest.mark.parametrize(
    ("dtype", "low", "high", "divisor"),
    [(np.uint8, 0, 255, 255), (np.int8, -128, 127, 128), (np.int64, 0, 255, 255)],
)
def test_whole_numbers_are_scaled_and_it_is_said(
    dtype: Any, low: int, high: int, divisor: int
) -> None:
    train, val = (RNG.integers(low, high + 1, (40, 8, 8)).astype(dtype) for _ in range(2))
    data = checked((train, Y), (val, Y))
    assert data.x_train[..., 0] == pytest.approx(train / divisor, abs=1e-6)
    assert f"divided by {divisor}" in data.warnings[0]


def test_black_and_white_stays() -> None:
    train, val = (RNG.integers(0, 2, (40, 8, 8)) for _ in range(2))
    data = checked((train, Y), (val, Y))
    assert (data.x_train[..., 0] == train).all()
    assert data.warnings == ()


def nan(x: np.ndarray) -> np.ndarray:
    x = x.copy()
    x[7, 2, 2, 0] = np.nan
    return x


MIXED = [np.zeros((8, 8)), np.zeros((8, 8)), np.zeros((6, 8))]
RAGGED = np.empty(3, object)
RAGGED[:] = MIXED


@pytest.mark.parametrize(
    ("train", "val", "says"),
    [
        ((X, Y * 0), (X_VAL, Y), "all 40 samples of train are of class 0"),
        ((X, Y), (X_VAL, Y * 0 + 2), "all 40 samples of val are of class 2"),
        ((MIXED, Y[:3]), (X_VAL, Y), r"number 0 is \(8, 8\), number 2 is \(6, 8\)"),
        ((RAGGED, Y[:3]), (X_VAL, Y), r"number 0 is \(8, 8\), number 2 is \(6, 8\)"),
        ((X, Y), (X_VAL[:, :6], Y), "bring both to one size"),
        ((nan(X), Y), (X_VAL, Y), "the first is number 7"),
        ((X, Y), (X_VAL * np.float32(np.nan), Y), "40 samples of val hold NaN"),
        ((X[:0], Y[:0]), (X_VAL, Y), "train holds no samples"),
        ((X, Y[:39]), (X_VAL, Y), "40 samples and 39 labels"),
        ((X, np.eye(4)[Y]), (X_VAL, Y), "argmax"),
        ((X, Y + 0.5), (X_VAL, Y), "label number 0 of train is 0.5"),
        ((X, Y - 1), (X_VAL, Y), "label number 0 of train is -1"),
        ((X, Y), (X_VAL, Y + 1), "label number 3 of val is 4: classes are whole .* 0 to 3"),
        ((X, ["a"] * 40), (X_VAL, Y), "number the classes"),
        ((X, [[1], [1, 2]]), (X_VAL, Y), "labels of train are no array"),
        (X, (X_VAL, Y), r"give \(inputs, labels\)"),
        ((X, Y), ((X_VAL * 255).astype(np.uint8), Y), "give the same"),
        ((X.astype("U4"), Y), (X_VAL, Y), "give numbers"),
        ((X[:, 0, 0, 0], Y), (X_VAL, Y), "have the shape"),
        (((X * 9000).astype(int), Y), ((X_VAL * 9000).astype(int), Y), "scale them to floats"),
        ((X * 0, Y), (X_VAL * 0, Y), "nothing to learn"),
    ],
)
def test_bad_data_are_refused(train: Any, val: Any, says: str) -> None:
    with pytest.raises(DataError, match=says):
        checked(train, val, classes=4)


def test_a_kind_that_is_none() -> None:
    with pytest.raises(DataError, match="image, signal"):
        checked((X, Y), (X_VAL, Y), kind="video")
    with pytest.raises(DataError, match="width of 1"):
        checked((X, Y), (X_VAL, Y), kind="signal")
    with pytest.raises(DataError, match="signals, not images"):
        checked((X[:, :, 0, 0], Y), (X_VAL[:, :, 0, 0], Y), kind="image")


@pytest.mark.parametrize(
    ("train", "val", "says"),
    [
        ((X, Y % 2), (X_VAL, Y), "val holds samples of classes 2, 3, train none"),
        ((X, Y * 2), (X_VAL, Y * 2), "there are no samples of classes 1, 3, 5"),
        ((X, Y), (np.concatenate([X_VAL, X[:3]]), np.r_[Y, Y[:3]]), "3 of the 43 samples of val"),
        ((X * 255, Y), (X_VAL * 255, Y), "divide pixels by 255"),
        ((X, Y), (X_VAL[:8], Y[:8]), "mostly noise"),
    ],
)
def test_odd_data_are_taken_with_a_warning(train: Any, val: Any, says: str) -> None:
    (warning,) = checked(train, val).warnings
    assert says in warning


def test_saved_and_loaded(tmp_path: Path) -> None:
    data = checked((X, Y), (X_VAL[:8], Y[:8]))
    data.save(tmp_path / "new")
    again = Dataset.load(tmp_path / "new")
    for name in ("x_train", "y_train", "x_val", "y_val"):
        assert np.array_equal(getattr(again, name), getattr(data, name))
    assert (again.classes, again.warnings) == (data.classes, data.warnings)
    assert [path.name for path in (tmp_path / "new").iterdir()] == [FILE]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = checked((X, Y), (X_VAL, Y))
    data.save(tmp_path)
    before = (tmp_path / FILE).read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match=FILE) as caught:
        data.save(tmp_path)
    assert caught.value.errno == 28
    assert (tmp_path / FILE).read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="study's directory"):
        Dataset.load(tmp_path)
    data = checked((X, Y), (X_VAL, Y))
    path = data.save(tmp_path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(DataError, match="can't be read"):
        Dataset.load(tmp_path)


def test_data_for_a_net() -> None:
    data = checked((X, Y), (X_VAL, Y))
    assert data.at((8, 8, 1)) is data
    small = data.at((4, 4, 1))
    assert (small.x_val == resized(X_VAL, 4)).all()
    assert (small.y_train == data.y_train).all()
    with pytest.raises(DataError, match="1 channels"):
        data.at((8, 8, 3))
