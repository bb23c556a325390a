"""Calibration data of every kind, read without TensorFlow."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tflm_opt import quant
from tflm_opt.errors import CalibrationError
from tflm_opt.quant import calibration, draw
from tflm_opt.quant.floatmodel import FloatModel, ModelInput

IMAGE = ModelInput("image", (4, 5, 2))
LEFT, RIGHT = ModelInput("left", (3, 4)), ModelInput("right", (3, 4), keys=("r/1",))


def rows(count: int, shape: tuple[int, ...], start: float = 0.0) -> np.ndarray:
    """An array whose every element is different, so that a mix-up shows."""
    size = count * int(np.prod(shape))
    return (start + np.arange(size, dtype=np.float32)).reshape(count, *shape)


X = rows(6, IMAGE.shape)
Y = np.arange(6)


class Batches:
    """What a `PyDataset` looks like: a length, and batches by index."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        if not 0 <= index < 3:
            raise IndexError(index)
        return X[2 * index : 2 * index + 2], Y[2 * index : 2 * index + 2]


class Endless:
    """Has `__getitem__`, and no length."""

    def __getitem__(self, index: int) -> np.ndarray:
        return X

    def __len__(self) -> int:
        raise TypeError("unknown length")

    def __iter__(self):
        while True:
            yield X


SINGLE = {
    "array": X,
    "list of arrays with a batch axis": [X[:2], X[2:]],
    "list of samples": list(X),
    "tuple of samples": tuple(X),
    "one array in a list": [X],
    "nested python lists": X.tolist(),
    "array and labels": (X, Y),
    "array, labels, weights": (X, Y, Y),
    "dict": {"image": X},
    "dict and labels": ({"image": X}, Y),
    "list of dicts": [{"image": one} for one in X],
    "list of (x, y)": list(zip(X, Y, strict=True)),
    "generator of samples": (one for one in X),
    "generator of (x, y) batches": ((X[i : i + 2], Y[i : i + 2]) for i in (0, 2, 4)),
    "generator of uneven batches": (part for part in (X[:1], X[1:6])),
    "TFLite's function": lambda: ([one[np.newaxis]] for one in X),
    "indexable batches": Batches(),
    "map": map(np.asarray, X),
    "float64": X.astype(np.float64),
    "int16": X.astype(np.int16),
}


@pytest.mark.parametrize("kind", SINGLE)
def test_every_kind_gives_the_same_samples(kind: str) -> None:
    samples = calibration.gather(SINGLE[kind], [IMAGE])
    assert all(len(sample) == 1 and sample[0].shape == IMAGE.shape for sample in samples)
    found = sorted((sample[0] for sample in samples), key=lambda one: float(one.flat[0]))
    np.testing.assert_array_equal(np.stack(found), X)


L, R = rows(4, (3, 4)), rows(4, (3, 4), start=1000.0)
DOUBLE = {
    "list": [L, R],
    "tuple": (L, R),
    "list and labels": ([L, R], np.arange(4)),
    "dict in another order": {"right": R, "left": L},
    "dict by another key": {"r/1": R, "left": L},
    "dict and labels": ({"right": R, "left": L}, np.arange(4)),
    "list of samples": list(zip(L, R, strict=True)),
    "list of dicts": [{"right": r, "left": one} for one, r in zip(L, R, strict=True)],
    "generator of ((a, b), y)": (((one, r), 0) for one, r in zip(L, R, strict=True)),
    "generator of batches": ([L[i : i + 2], R[i : i + 2]] for i in (0, 2)),
}


@pytest.mark.parametrize("kind", DOUBLE)
def test_two_inputs_of_one_shape_are_not_mixed_up(kind: str) -> None:
    samples = calibration.gather(DOUBLE[kind], [LEFT, RIGHT])
    samples.sort(key=lambda sample: float(sample[0].flat[0]))
    np.testing.assert_array_equal(np.stack([sample[0] for sample in samples]), L)
    np.testing.assert_array_equal(np.stack([sample[1] for sample in samples]), R)


def test_endless_data_is_cut_off() -> None:
    assert len(calibration.gather(Endless(), [IMAGE], samples=8)) == 8


@given(count=st.integers(1, 40), samples=st.integers(1, 50), seed=st.integers(0, 3))
@settings(max_examples=40, deadline=None)
def test_choice_is_seeded_distinct_and_no_more_than_asked(
    count: int, samples: int, seed: int
) -> None:
    data = rows(count, (3,))
    one = ModelInput("x", (3,))
    chosen = [s[0][0] for s in calibration.gather(data, [one], samples=samples, seed=seed)]
    again = [s[0][0] for s in calibration.gather(data, [one], samples=samples, seed=seed)]
    assert chosen == again
    assert len(set(chosen)) == len(chosen) == min(count, samples)


def test_choice_from_data_sorted_by_class_covers_it() -> None:
    data = rows(1000, (3,))
    chosen = calibration.gather(data, [ModelInput("x", (3,))], samples=50)
    assert max(float(s[0][0]) for s in chosen) > 2400  # the first 50 rows end at 149


NAN = X.copy()
NAN[3, 0, 0, 0] = np.nan
INF = X.copy()
INF[0, 0, 0, 1] = np.inf
BAD = {
    "NaN": (NAN, "sample 3 of input 'image' holds 1 values that are NaN"),
    "infinite": (INF, "sample 0 of input 'image'"),
    "constant": (np.full_like(X, 7), "constant: all 6 samples hold only the value 7"),
    "empty array": (X[:0], "empty"),
    "empty list": ([], "empty"),
    "empty generator": (iter(()), "empty"),
    "wrong shape": (X[:, :3], r"expected \(4, 5, 2\).*given \(6, 3, 5, 2\)"),
    "no channels": (X[..., 0], r"given \(6, 4, 5\)"),
    "two batch axes": (X[None], r"given \(1, 6, 4, 5, 2\)"),
    "scalar": (3.0, r"given \(\)"),
    "strings": (np.array(["a", "b"]), "no array of numbers"),
    "complex": (X * 1j, "no array of numbers"),
    "ragged": ([[1.0], [1.0, 2.0]], "item 0 .*wrong shape"),
    "a number that is no data": (object(), "can't be read"),
    "a path": ("calibration.npy", "can't be read"),
    "other name": ({"picture": X}, r"no value for input 'image'.*\['picture'\]"),
    "bad second item": ([X, X[:, :2]], "item 1"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_data_is_named(kind: str) -> None:
    data, message = BAD[kind]
    with pytest.raises(CalibrationError, match=message):
        calibration.gather(data, [IMAGE])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (L, "must hold 2 arrays"),
        ([L, R, L], "item 0 .* must hold 2 arrays"),
        ([(L, R, L, R)], "must hold 2 arrays.*given: 4"),
        ([L, R[:3]], "different number of samples"),
        ({"left": L}, "no value for input 'right'"),
        ([L, np.zeros_like(R)], "'right' is constant"),
    ],
)
def test_bad_data_for_two_inputs_is_named(data: object, message: str) -> None:
    with pytest.raises(CalibrationError, match=message):
        calibration.gather(data, [LEFT, RIGHT])


def test_no_samples_asked_for() -> None:
    with pytest.raises(CalibrationError, match="samples=0"):
        calibration.gather(X, [IMAGE], samples=0)


def test_an_error_in_the_users_generator_comes_through() -> None:
    def broken():
        yield X[0]
        raise RuntimeError("disk on fire")

    with pytest.raises(RuntimeError, match="disk on fire"):
        calibration.gather(broken(), [IMAGE])


def test_remarks_on_few_or_repeated_samples() -> None:
    few = calibration.gather(X, [IMAGE])
    assert ["samples (6)" in text for text in calibration.remarks(few, [IMAGE])] == [True]
    same = calibration.gather(np.repeat(X[:1], 20, axis=0), [IMAGE])
    assert ["the same" in text for text in calibration.remarks(same, [IMAGE])] == [True]
    many = calibration.gather(rows(20, IMAGE.shape), [IMAGE])
    assert calibration.remarks(many, [IMAGE]) == ()


class Rescaling:
    def __init__(self, scale: float, offset: float) -> None:
        self.scale, self.offset = scale, offset


class Normalization:
    mean, variance, invert = np.array([[10.0, -20.0, 30.0]]), np.array([[4.0, 9.0, 1.0]]), False


class Net:
    def __init__(self, *layers: object) -> None:
        self.layers = layers


def model_of(shape: tuple[int, ...], *layers: object) -> FloatModel:
    return FloatModel("net", (ModelInput("x", shape),), ("y",), lambda x: list(x), Net(*layers))


@pytest.mark.parametrize(
    ("layers", "shape", "low", "high"),
    [
        ((), (16, 16, 3), -1, 1),
        ((Rescaling(1 / 255, 0.0),), (16, 16, 3), 0, 255),
        ((Rescaling(1 / 127.5, -1.0),), (16, 16, 1), 0, 255),
        ((Net(Rescaling(2.0, 0.0)),), (16, 16, 3), 0, 0.5),
        ((Rescaling(-1.0, 1.0),), (16, 16, 3), 0, 1),
    ],
)
def test_drawn_images_fill_the_range(layers, shape, low: float, high: float) -> None:
    drawn, _ = draw.draw(model_of(shape, *layers), samples=40)
    values = np.stack([sample[0] for sample in drawn])
    width = high - low
    assert low - 1e-3 * width <= values.min() <= low + 0.05 * width
    assert high - 0.05 * width <= values.max() <= high + 1e-3 * width
    assert values.dtype == np.float32


def test_drawn_data_follows_a_normalization_layer() -> None:
    drawn, why = draw.draw(model_of((12, 12, 3), Normalization()), samples=300)
    values = np.stack([sample[0] for sample in drawn]).reshape(-1, 3)
    np.testing.assert_allclose(values.mean(axis=0), [10, -20, 30], atol=0.3)
    np.testing.assert_allclose(values.std(axis=0), [2, 3, 1], rtol=0.1)
    assert "Normalization" in why[0]


@pytest.mark.parametrize("shape", [(), (1,), (7,), (49, 1), (1, 1, 8), (5, 6, 7, 2)])
def test_drawn_data_of_any_rank_is_seeded(shape: tuple[int, ...]) -> None:
    net = model_of(shape)
    first, again = draw.draw(net, samples=5, seed=3)[0], draw.draw(net, samples=5, seed=3)[0]
    other = draw.draw(net, samples=5, seed=4)[0]
    assert all(sample[0].shape == shape for sample in first)
    np.testing.assert_array_equal([s[0] for s in first], [s[0] for s in again])
    assert not np.array_equal([s[0] for s in first], [s[0] for s in other])


DETECTED = [
    ("model.keras", b"", quant.Source.KERAS_FILE),
    ("model.h5", b"", quant.Source.H5_FILE),
    ("model.HDF5", b"", quant.Source.H5_FILE),
    ("model.tflite", b"", quant.Source.TFLITE_FILE),
    ("model.bin", b"\x1c\0\0\0TFL3....", quant.Source.TFLITE_FILE),
    ("misnamed.keras", b"\x1c\0\0\0TFL3....", quant.Source.TFLITE_FILE),
    ("misnamed.tflite", b"\x89HDF\r\n\x1a\n....", quant.Source.H5_FILE),
    ("model.onnx", b"....", quant.Source.UNKNOWN),
]


@pytest.mark.parametrize(("name", "content", "source"), DETECTED)
def test_files_are_detected(tmp_path: Path, name: str, content: bytes, source) -> None:
    path = tmp_path / name
    if content:
        path.write_bytes(content)
    assert quant.detect(path) is quant.detect(str(path)) is source
    assert quant.is_keras(path) == (source in (quant.Source.KERAS_FILE, quant.Source.H5_FILE))


def test_bytes_objects_and_folders_are_detected(tmp_path: Path) -> None:
    assert quant.detect(b"\x1c\0\0\0TFL3") is quant.Source.TFLITE_BYTES
    assert quant.detect(b"") is quant.Source.UNKNOWN
    assert quant.detect(None) is quant.Source.UNKNOWN
    assert quant.detect(tmp_path) is quant.Source.UNKNOWN
    (tmp_path / "saved_model.pb").touch()
    assert quant.detect(tmp_path) is quant.Source.SAVED_MODEL


def test_importing_and_detecting_load_no_tensorflow() -> None:
    code = (
        "import sys; from tflm_opt import quant; quant.is_keras('x.keras'); quant.is_keras(b'');"
        "quant.quantize; quant.CalibrationWarning;"
        "print(sorted({'tensorflow', 'keras', 'tf_keras'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="no attribute 'quantise'"):
        quant.quantise  # noqa: B018
    assert set(quant.__all__) <= set(dir(quant))


def test_warning_category_can_be_silenced() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", quant.CalibrationWarning)
        warnings.warn("drawn", quant.CalibrationWarning, stacklevel=1)
