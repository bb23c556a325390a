"""The project in platformio_projects/person_detection: drawn, (barely) trained, built, run."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from export import projects

PROJECT = projects.ROOT / "platformio_projects" / "person_detection"
WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wpedantic", "-Werror")

pytest.importorskip("skimage")
pytest.importorskip("sklearn")


@pytest.fixture(scope="module")
def people() -> ModuleType:
    return projects.load("examples/people.py")


@pytest.fixture(scope="module")
def data(people: ModuleType) -> Any:
    return people.load(train=64, test=24)


# ---- the scaler ------------------------------------------------------------------------------


class Camera(ctypes.Structure):
    """`struct camera`; its lines come from `lines`, and it stops before line `fails`."""

    def __init__(self, frame: np.ndarray, fails: int = 1 << 30) -> None:
        self.asked: list[int] = []
        self.kept = np.ascontiguousarray(frame)

        def line(_: object, y: int) -> int:
            self.asked.append(y)
            return 0 if y >= fails else self.kept[y].ctypes.data

        self.callback = _LINE(line)
        height, width = frame.shape
        super().__init__(width, height, self.callback, None)


_LINE = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int)
Camera._fields_ = [
    ("width", ctypes.c_int),
    ("height", ctypes.c_int),
    ("line", _LINE),
    ("frame", ctypes.c_void_p),
]


class Scaler:
    """scaler.c, built for this computer with the undefined-behaviour sanitizer."""

    def __init__(self, folder: Path) -> None:
        library = folder / "scaler.so"
        flags = ["-std=c99", "-O1", *WARNINGS, "-fsanitize=undefined", "-fno-sanitize-recover"]
        source = str(PROJECT / "src" / "scaler.c")
        command = ["gcc", *flags, "-shared", "-fPIC", source, "-o", str(library)]
        subprocess.run(command, check=True)
        self.library = ctypes.CDLL(str(library))
        self.state = ctypes.create_string_buffer(4 * (96 * 2 + 16))

    def start(self, camera: Camera) -> int:
        return self.library.scaler_start(self.state, ctypes.byref(camera))

    def rows(self, first: int, count: int) -> np.ndarray | None:
        rows = np.full((count, 96), 77, np.int8)
        pointer = rows.ctypes.data_as(ctypes.c_void_p)
        failed = self.library.scaler_rows(self.state, pointer, first, count)
        return None if failed else rows.astype(np.int16) + 128


@pytest.fixture(scope="module")
def scaler(tmp_path_factory: pytest.TempPathFactory) -> Scaler:
    if not shutil.which("gcc"):
        pytest.skip("needs gcc")
    return Scaler(tmp_path_factory.mktemp("scaler"))


SIZES = [
    (144, 176),
    (240, 320),
    (96, 96),
    (97, 96),
    (95, 131),
    (1, 1),
    (3, 500),
    (480, 640),
    (193, 192),
]


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_scaler_has_the_bits_of_its_twin(
    people: ModuleType, scaler: Scaler, size: tuple[int, int]
) -> None:
    rng = np.random.default_rng(size)
    frames = [
        rng.integers(0, 256, size),
        rng.choice([0, 255], size),
        np.full(size, 255),
        np.zeros(size),
        np.add.outer(np.arange(size[0]), np.arange(size[1])) % 256,
    ]
    for frame in np.array(frames).astype(np.uint8):
        camera = Camera(frame)
        assert scaler.start(camera) == 0
        some, rest = scaler.rows(0, 5), scaler.rows(5, 91)
        assert some is not None
        assert rest is not None
        np.testing.assert_array_equal(np.concatenate([some, rest]), people.scale(frame))
        square = min(size)
        first = (size[0] - square) // 2
        assert camera.asked == list(range(first, first + square))  # each line once, from the top


def test_scaling_is_the_mean_of_an_area(people: ModuleType) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (192, 200)).astype(np.uint8)
    square = frame[:, 4:196].reshape(96, 2, 96, 2).mean((1, 3))
    np.testing.assert_array_equal(people.scale(frame), np.floor(square + 0.5))
    assert (people.scale(np.full((130, 99), 201, np.uint8)) == 201).all()
    same = frame[:96, :96]
    np.testing.assert_array_equal(people.scale(same), same)


def test_a_camera_that_stops_is_an_error_and_the_next_frame_works(
    people: ModuleType, scaler: Scaler
) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (144, 176)).astype(np.uint8)
    camera = Camera(frame, fails=60)
    assert scaler.start(camera) == 0
    assert scaler.rows(0, 40) is not None
    assert scaler.rows(40, 1) is None
    camera = Camera(frame)
    assert scaler.start(camera) == 0
    np.testing.assert_array_equal(scaler.rows(0, 96), people.scale(frame))


@pytest.mark.parametrize("size", [(0, 10), (10, 0), (4097, 4), (4, 5000)], ids=str)
def test_frames_of_no_use_are_refused(scaler: Scaler, size: tuple[int, int]) -> None:
    camera = Camera(np.zeros((1, 1), np.uint8))
    camera.height, camera.width = size
    assert scaler.start(camera) == 1


# ---- the data --------------------------------------------------------------------------------


def test_pictures_are_drawn_the_same_each_time(people: ModuleType, data: Any) -> None:
    again = people.load(train=64, test=24)
    np.testing.assert_array_equal(again.frames, data.frames)
    np.testing.assert_array_equal(again.x_train, data.x_train)
    assert (people.load(seed=1, train=64, test=24).frames != data.frames).any()
    assert data.x_train.shape == (64, 96, 96, 1)
    assert data.y_train.mean() == data.y_test.mean() == 0.5
    np.testing.assert_array_equal(people.seen(data.frames), data.x_test)
    assert not set(people.SCENES) & set(people.HELD_OUT)
    assert data.frames.std((1, 2)).min() > 5


def test_photographs_take_their_place(people: ModuleType, data: Any, tmp_path: Path) -> None:
    from skimage import io

    for label, name in enumerate(people.LABELS):
        (tmp_path / name).mkdir()
        for i, frame in enumerate(data.frames[data.y_test == label]):
            grey = frame[:, :101] if i % 2 else np.stack([frame] * 3, -1)
            io.imsave(tmp_path / name / f"{i}.png", grey, check_contrast=False)
    photos = people.load_photos(tmp_path)
    assert len(photos.x_train) == 20
    assert len(photos.x_test) == 4
    assert photos.frames.dtype == np.uint8
    whole = [people.scale(frame)[..., np.newaxis] for frame in data.frames]
    found = [any(np.abs(x * 255 - one).max() < 2 for one in whole) for x in photos.x_train]
    assert sum(found) >= 6  # those of a frame's shape come through as they are
    with pytest.raises(FileNotFoundError, match="has 0 photographs"):
        people.load_photos(tmp_path / "nothing")


def test_photographs_are_named_on_the_command_line(
    people: ModuleType, data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generate = projects.load("platformio_projects/person_detection/generate.py")
    given: list[Any] = []

    def photographs(folder: str) -> Any:
        given.append(folder)
        return data

    def enough(data: Any, epochs: int) -> Any:
        given.append(data)
        raise InterruptedError

    monkeypatch.setattr(people, "load_photos", photographs)
    monkeypatch.setattr(people, "train", enough)
    monkeypatch.setattr(generate, "people", people)
    monkeypatch.setattr(sys, "argv", ["generate.py", "--photos", str(tmp_path)])
    with pytest.raises(InterruptedError):
        generate.main()
    assert given == [str(tmp_path), data]


# ---- the project -----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.qemu
@pytest.mark.tensorflow
@projects.needs_arm
@pytest.mark.filterwarnings("ignore")
def test_project_builds_and_agrees_with_tflm(
    people: ModuleType, data: Any, tmp_path: Path, pio_environment: dict[str, str]
) -> None:
    """A camera's lines to scores on a Cortex-M4 equal TFLM's for Python's picture."""
    pytest.importorskip("tensorflow")
    generate = projects.load("platformio_projects/person_detection/generate.py")
    result = generate.optimize(people.train(data, epochs=1), data)
    said = projects.built_and_run(
        "person_detection",
        lambda project: generate.write(result, data, project),
        tmp_path,
        pio_environment,
    )
    assert "PASS: 6 of 6 frames" in said
