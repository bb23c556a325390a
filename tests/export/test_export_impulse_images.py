"""Camera frames to a model's size, by the library with Edge Impulse's interface."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from impulse_models import APPS, CXX, WARNINGS, pixels, scratch
from saved_model import run

from tflm_opt.export.render import TEMPLATES


@cache
def images() -> Path:
    program = Path(scratch()) / "images"
    run(
        "g++",
        *CXX,
        *WARNINGS,
        f"-I{TEMPLATES / 'edge_impulse'}",
        APPS / "images.cpp",
        "-o",
        program,
    )
    return program


def processed(function: str, image: np.ndarray, shape: tuple[int, int], place: bool) -> Any:
    """What images.cpp makes of an image [h, w, c], or None where it refuses."""
    height, width, depth = image.shape
    words = [str(number) for number in (width, height, shape[1], shape[0], depth, int(place))]
    done = subprocess.run(
        [str(images()), function, *words], input=image.tobytes(), capture_output=True, check=False
    )
    if done.returncode == 3:
        return None
    assert done.returncode == 0
    return np.frombuffer(done.stdout, np.uint8).reshape(*shape, depth)


def bilinear(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Resized about the centers of pixels, in floats."""
    values = image.astype(np.float64)
    for axis in (0, 1):
        size, count = values.shape[axis], shape[axis]
        at = np.clip((np.arange(count) + 0.5) * size / count - 0.5, 0, size - 1)
        low = np.floor(at).astype(int)
        part = (at - low).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        high = np.minimum(low + 1, size - 1)
        values = values.take(low, axis) * (1 - part) + values.take(high, axis) * part
    return values


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("shape", [(12, 12), (7, 31), (5, 3), (24, 32), (40, 50), (30, 4), (1, 1)])
def test_images_are_resized(shape: tuple[int, int], depth: int) -> None:
    image = pixels((24, 32, depth), seed=8)
    for function in ("resize", "fit"):
        part = image
        if function == "fit":  # the middle, in the new proportions
            height = 24 if 32 * shape[0] > 24 * shape[1] else 32 * shape[0] // shape[1]
            width = 32 if height < 24 else 24 * shape[1] // shape[0]
            top, left = (24 - height) // 2, (32 - width) // 2
            part = image[top : top + height, left : left + width]
        found = processed(function, image, shape, False)
        off = np.abs(found.astype(float) - bilinear(part, shape))
        assert off.max() <= 3  # weights are of 256ths
        assert off.mean() < 0.75
        smaller = shape[0] <= part.shape[0] and shape[1] <= part.shape[1]
        again = processed(function, image, shape, True)
        assert np.array_equal(again, found) if smaller else again is None


def test_images_are_cropped_and_get_colors() -> None:
    image = pixels((24, 32, 3), seed=9)
    for place in (False, True):
        assert np.array_equal(processed("crop", image, (9, 11), place), image[1:10, 2:13])
    assert processed("crop", image, (24, 11), False) is None
    # Y, Cb, Y, Cr: black and white, gray twice, red twice, blue twice
    words = [(16, 128, 235, 128), (126, 128, 126, 128), (81, 90, 81, 240), (41, 240, 41, 110)]
    found = processed("yuv", np.array(words, np.uint8).reshape(2, 8, 1), (2, 12), True)
    wanted = [(0,) * 3, (255,) * 3, (128,) * 3, (128,) * 3, *[(254, 0, 0)] * 2, *[(0, 0, 255)] * 2]
    assert np.abs(found.reshape(8, 3).astype(int) - wanted).max() <= 2
