"""The tasks of `nas.py`: data, space, budgets, and how nets are trained on them."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import nas_data
import numpy as np

from tflm_opt.nas import spaces
from tflm_opt.nas.data import resized
from tflm_opt.nas.limits import Limits
from tflm_opt.nas.spaces import DsCnn, MobileNet

BOARD = "nucleo_f446re"  # a Cortex-M4 at 180 MHz
TASKS = tuple(nas_data.DATA)
# SRAM and milliseconds: tight, middling, loose for each task's nets.
BUDGETS = {
    "shapes": (("6KiB", 15), ("8KiB", 30), ("10KiB", 60)),
    "digits": (("4KiB", 6), ("5KiB", 10), ("6KiB", 20)),
    "words": (("6KiB", 15), ("9KiB", 30), ("14KiB", 60)),
}
# Of the space that TinyNAS's first stage chooses from.
WIDTHS, RESOLUTIONS = [0.15, 0.25, 0.35, 0.5], [32, 48, 64]
AUGMENT = {"shapes": ("shift", "flip"), "digits": ("shift",), "words": ("shift",)}
# Images to train with at an effort of 60 minutes.
_SAMPLES = 8_000


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """Images (n, rows, columns, channels), float32, and class numbers (n,)."""

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_val: np.ndarray
    y_val: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray

    @property
    def shape(self) -> tuple[int, int, int]:
        rows, columns, channels = self.x_train.shape[1:]
        return rows, columns, channels

    @property
    def classes(self) -> int:
        return int(self.y_train.max()) + 1

    @property
    def budgets(self) -> tuple[Limits, ...]:
        return tuple(Limits(sram=sram, latency_ms=ms) for sram, ms in BUDGETS[self.name])

    @property
    def augment(self) -> tuple[str, ...]:
        return AUGMENT[self.name]

    def resized(self, net: Any) -> np.ndarray:
        """The test images as a net takes them."""
        return resized(self.x_test, net.input_shape[:2])


def samples(minutes: float) -> int:
    """Training images of shapes, of which there are as many as one likes."""
    return max(1_000, min(_SAMPLES, round(_SAMPLES * (minutes / 60) ** 0.5)))


@functools.lru_cache(1)
def load(name: str, count: int) -> Task:
    """A task; of shapes `count` images to train with, of the others all there are."""
    make: Any = nas_data.DATA[name]
    train, val, test = make(n=count) if name == "shapes" else make()
    return Task(name, *train, *val, *test)


def space(task: Task) -> Any:
    """What is searched, after a survey has chosen a width and a resolution."""
    if task.name == "words":
        return DsCnn.default(task.shape, task.classes)
    if task.name == "digits":
        return MobileNet.default(task.shape, task.classes)
    chosen = {"width": WIDTHS, "resolution": RESOLUTIONS}
    return spaces.complete({"kind": "mobilenet", **chosen}, task.shape, task.classes)


def training(task: Task, epochs: int) -> dict[str, Any]:
    """How the supernet is trained, as `Training` takes it."""
    return {"epochs": epochs, "augment": task.augment}
