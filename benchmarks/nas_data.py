"""Data for benchmarks of the search: shapes in clutter, digits, spoken words.

    python benchmarks/nas_data.py [--separate] [--json]      # what they are; with nets, how hard

`shapes64` are generated: ten shapes of many sizes, places and contrasts, turned by up to half a
radian, on a background that changes from dark to light, among pieces of lines and noise.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "examples")]
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

SIDE = 64
SHAPES = (
    *("circle", "triangle", "square", "pentagon", "hexagon"),
    *("star", "plus", "crescent", "heart", "arrow"),
)
_POINTS = 64  # of an outline
_CHUNK = 200  # images drawn at once

Part = tuple[np.ndarray, np.ndarray]


def shapes64(seed: int, n: int, *, side: int = SIDE) -> Part:
    """`n` grey images (n, 64, 64, 1), float32 in 0..1, and the shapes that they show, (n,).

    The same for the same seed; and images of `n` are the first of those of more.
    """
    x = np.empty((n, side, side, 1), np.float32)
    y = np.empty(n, np.int64)
    for number, start in enumerate(range(0, n, _CHUNK)):
        images, labels = _drawn(np.random.default_rng([seed, number]), side)
        end = min(n, start + _CHUNK)
        x[start:end, ..., 0], y[start:end] = images[: end - start], labels[: end - start]
    return x, y


def _drawn(rng: np.random.Generator, side: int) -> Part:
    """A chunk of images, and what they show."""
    labels = rng.integers(0, len(SHAPES), _CHUNK)
    radius = rng.uniform(*_RADIUS, _CHUNK) * side
    turn = rng.uniform(-_TURN, _TURN, _CHUNK)
    stretch = rng.uniform(0.8, 1, _CHUNK)
    outlines = np.stack([_OUTLINES[name] for name in SHAPES])[labels]
    points = _turned(outlines * np.stack([stretch, 1 / stretch], 1)[:, None], turn)
    room = side / 2 - radius * 1.1
    centre = side / 2 + rng.uniform(-1, 1, (_CHUNK, 2)) * np.maximum(room, 0)[:, None] * _PLACE
    points = points * radius[:, None, None] + centre[:, None]
    images = _background(rng, side)
    for _ in range(_DISTRACTORS):
        images += _strokes(rng, side)
    contrast = rng.uniform(*_CONTRAST, _CHUNK)
    images += contrast[:, None, None] * _areas(points, side)
    images += rng.normal(0, 1, images.shape) * rng.uniform(0.02, _NOISE, _CHUNK)[:, None, None]
    return np.clip(images, 0, 1).astype(np.float32), labels


# What makes it so hard that good nets of 8 KiB stay below 90% (`nas.py`), and so small that a
# smaller image isn't the way out.
_RADIUS = (0.10, 0.26)  # of the side
_CONTRAST = (0.2, 0.6)
_TURN = 0.5  # at most, either way
_PLACE = 0.7  # of the room that there is around a shape
_NOISE = 0.12
_DISTRACTORS = 5
_TEST = 8_000  # images that tell nets apart that differ by a point
_VAL = 6_000  # so that a search that asks about hundreds of nets doesn't choose by luck


def _background(rng: np.random.Generator, side: int) -> np.ndarray:
    """Slopes of grey."""
    axis = np.linspace(-0.5, 0.5, side)
    slope = rng.uniform(-0.35, 0.35, (2, _CHUNK, 1, 1))
    grey = rng.uniform(0.2, 0.5, (_CHUNK, 1, 1))
    return grey + slope[0] * axis[:, None] + slope[1] * axis[None, :]


def _strokes(rng: np.random.Generator, side: int) -> np.ndarray:
    """A piece of a line or an arc in each image: a part of what a shape might have."""
    bend = rng.uniform(-2.5, 2.5, _CHUNK) * rng.integers(0, 2, _CHUNK)
    length = rng.uniform(0.1, 0.35, _CHUNK) * side
    t = np.linspace(0, 1, _POINTS // 4)
    angle = rng.uniform(0, 2 * np.pi, _CHUNK)[:, None] + bend[:, None] * t
    steps = np.stack([np.sin(angle), np.cos(angle)], -1) * (length / len(t))[:, None, None]
    points = rng.uniform(0, side, (_CHUNK, 1, 2)) + np.cumsum(steps, 1)
    contrast = rng.uniform(0.2, 0.7, _CHUNK) * rng.choice([-1, 1], _CHUNK)
    return contrast[:, None, None] * _lines(
        points, rng.uniform(0.8, 1.5, _CHUNK), side, closed=False
    )


def _lines(points: np.ndarray, width: np.ndarray, side: int, *, closed: bool = True) -> np.ndarray:
    """How much of each pixel a line through the points covers, (n, side, side), with soft edges.

    Each segment is a row of dots closer than a pixel, spread over the four pixels around each by
    their distance; then the line is widened by a blur, and cut off at full cover.
    """
    dots, _ = _dots(points, closed)
    cover = np.minimum(_spread(dots, np.ones(dots.shape[:2]), side), 1)
    return np.minimum(_blurred(cover) * width[:, None, None], 1)


def _areas(points: np.ndarray, side: int) -> np.ndarray:
    """How much of each pixel lies inside of a closed line, (n, side, side), with soft edges.

    Each dot of the line opens (going down) or closes (going up) what is right of it, by as many
    rows as it goes: a running sum along the columns is the area.
    """
    dots, steps = _dots(points, True)
    inside = np.cumsum(_spread(dots, steps[..., 0], side), 2)
    turn = np.sign(inside.sum((1, 2), keepdims=True))  # clockwise or not
    return np.clip(turn * inside, 0, 1)


_DOTS = 4  # of a segment


def _dots(points: np.ndarray, closed: bool) -> Part:
    """Dots along the line, (n, dots, 2), and how far it is to the next, the same."""
    after = np.roll(points, -1, 1) if closed else np.concatenate([points[:, 1:], points[:, -1:]], 1)
    part = (np.arange(_DOTS) + 0.5)[None, None, :, None] / _DOTS
    steps = (after - points)[:, :, None]
    dots = points[:, :, None] + part * steps
    steps = np.broadcast_to(steps / _DOTS, dots.shape)
    return dots.reshape(len(points), -1, 2), steps.reshape(len(points), -1, 2)


def _spread(dots: np.ndarray, weights: np.ndarray, side: int) -> np.ndarray:
    """The sum of dots in each pixel, (n, side, side), each dot shared by the four around it."""
    low = np.floor(dots).astype(np.int64)
    rest = dots - low
    image = np.arange(len(dots))[:, None] * side * side
    total = np.zeros(len(dots) * side * side)
    for down in (0, 1):
        for right in (0, 1):
            row, column = low[..., 0] + down, low[..., 1] + right
            share = np.abs(1 - down - rest[..., 0]) * np.abs(1 - right - rest[..., 1])
            inside = (row >= 0) & (row < side) & (column >= 0) & (column < side)
            place = (image + row * side + column)[inside]
            total += np.bincount(place, (weights * share)[inside], len(total))
    return total.reshape(len(dots), side, side)


def _blurred(x: np.ndarray) -> np.ndarray:
    """By (1 2 1) / 2 along both axes and its half: a line of one pixel stays about one."""
    wide = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    tall = wide[:, :-2] / 4 + wide[:, 1:-1] / 2 + wide[:, 2:] / 4
    return (tall[..., :-2] / 4 + tall[..., 1:-1] / 2 + tall[..., 2:] / 4) * 2


def _turned(points: np.ndarray, angle: np.ndarray) -> np.ndarray:
    sin, cos = np.sin(angle)[:, None], np.cos(angle)[:, None]
    row, column = points[..., 0], points[..., 1]
    return np.stack([cos * row - sin * column, sin * row + cos * column], -1)


def _along(corners: Any) -> np.ndarray:
    """Points at even distances along a closed line through the corners, centred, radius 1."""
    corners = np.asarray(corners, float)
    closed = np.concatenate([corners, corners[:1]])
    lengths = np.r_[0, np.cumsum(np.linalg.norm(np.diff(closed, axis=0), axis=1))]
    at = np.linspace(0, lengths[-1], _POINTS, endpoint=False)
    points = np.stack([np.interp(at, lengths, closed[:, i]) for i in range(2)], 1)
    points -= points.mean(0)
    return points / np.linalg.norm(points, axis=1).max()


def _regular(corners: int, inner: float = 1.0) -> np.ndarray:
    """A regular polygon; with an inner radius, a star."""
    count = corners if inner == 1 else 2 * corners
    angle = np.arange(count) * 2 * np.pi / count
    radius = np.where(np.arange(count) % 2, inner, 1.0)
    return _along(np.stack([radius * np.sin(angle), radius * np.cos(angle)], 1))


def _crescent() -> np.ndarray:
    outer, inner = np.linspace(0.6, 2 * np.pi - 0.6, 40), np.linspace(2 * np.pi - 0.9, 0.9, 40)
    return _along(
        np.concatenate(
            [
                np.stack([np.sin(outer), np.cos(outer)], 1),
                np.stack([0.72 * np.sin(inner), 0.35 + 0.72 * np.cos(inner)], 1),
            ]
        )
    )


def _heart() -> np.ndarray:
    t = np.linspace(0, 2 * np.pi, 80, endpoint=False)
    row = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return _along(np.stack([-row, 16 * np.sin(t) ** 3], 1))


_PLUS = [(1, 3), (1, 1), (3, 1), (3, -1), (1, -1), (1, -3)]
_OUTLINES = {
    "circle": _regular(48),
    "triangle": _regular(3),
    "square": _regular(4),
    "pentagon": _regular(5),
    "hexagon": _regular(6),
    "star": _regular(5, 0.45),
    "plus": _along([*_PLUS, *((-r, -c) for r, c in _PLUS)]),
    "crescent": _crescent(),
    "heart": _heart(),
    "arrow": _along([(3, 0), (0, 3), (0, 1.2), (-3, 1.2), (-3, -1.2), (0, -1.2), (0, -3)]),
}


def digits(seed: int = 0) -> tuple[Part, Part, Part]:
    """Train, val and test of scikit-learn's digits, enlarged to 32×32, (n, 32, 32, 1) in 0..1."""
    import digits as example

    data = example.load(seed)
    val = len(data.x_train) // 5
    return (
        (data.x_train[val:], data.y_train[val:]),
        (data.x_train[:val], data.y_train[:val]),
        (data.x_test, data.y_test),
    )


def words(seed: int = 0, voices: int | None = None) -> tuple[Part, Part, Part]:
    """Train, val and test of spoken words as log-mel features.

    The voices of test are in no other part. Val has voices of train, but other utterances of them:
    the noisy copies of one utterance are all in the same part.

    Raises:
        FileNotFoundError: no espeak-ng.
    """
    import speech

    data = speech.load(seed, voices)
    group = np.arange(len(data.x_train)) // speech.NOISY_COPIES
    val = np.random.default_rng(seed).permutation(int(group.max()) + 1) % 6 == 0
    held = val[group]
    return (
        (data.x_train[~held], data.y_train[~held]),
        (data.x_train[held], data.y_train[held]),
        (data.x_test, data.y_test),
    )


def shapes(seed: int = 0, n: int = 10_000) -> tuple[Part, Part, Part]:
    """Train (`n`), val (6,000) and test (8,000) of `shapes64`, of seeds of their own."""
    return shapes64(3 * seed, n), shapes64(3 * seed + 1, _VAL), shapes64(3 * seed + 2, _TEST)


DATA = {"shapes": shapes, "digits": digits, "words": words}


def separated(
    n: int, epochs: int, seed: int = 0, sizes: Any = ((32, 0.5), (64, 0.5), (64, 1.0))
) -> list[dict[str, Any]]:
    """Validation accuracy of MobileNetV2-like nets of three sizes after a short training."""
    from tflm_opt.intervals import wilson
    from tflm_opt.nas.data import checked
    from tflm_opt.nas.evaluate import TrainEvaluator
    from tflm_opt.nas.recipe import Recipe

    train, val, _ = shapes(seed, n)
    evaluator = TrainEvaluator(checked(train, val), Recipe(epochs=epochs, batch=32, augment=()))
    rows = []
    for side, width in sizes:
        net = family(side, width)
        started = time.perf_counter()
        judged = evaluator.evaluate({}, net, seed=seed)
        found = judged.accuracy
        interval = wilson(found, len(val[0]))
        rows.append(
            {
                "side": side,
                "width": width,
                "macs": net.macs,
                "accuracy": found,
                "low": interval.low,
                "high": interval.high,
                "loss": judged.detail.get("loss"),
                "seconds": time.perf_counter() - started,
            }
        )
        print(rows[-1], file=sys.stderr)
    return rows


def family(side: int, width: float) -> Any:
    """A small net of inverted residuals, scaled by width and resolution as people do by hand."""
    from tflm_opt.nas.net import Layer, Net

    def channels(full: int) -> int:
        return max(4, round(full * width / 4) * 4)

    layers = [Layer("image", "input", shape=(side, side, 1))]
    layers.append(
        Layer("stem", "conv", ("image",), channels(16), (3, 3), (2, 2), "same", True, "relu6")
    )
    last, before = "stem", channels(16)
    for i, (full, stride) in enumerate(((24, 2), (24, 1), (40, 2), (40, 1), (80, 2), (80, 1))):
        wide, out, of = 3 * before, channels(full), f"block{i}"
        layers += [
            Layer(f"{of}_e", "conv", (last,), wide, norm=True, activation="relu6"),
            Layer(
                f"{of}_d",
                "depthwise",
                (f"{of}_e",),
                kernel=(3, 3),
                strides=(stride, stride),
                norm=True,
                activation="relu6",
            ),
            Layer(f"{of}_p", "conv", (f"{of}_d",), out, norm=True),
        ]
        if stride == 1:
            layers.append(Layer(f"{of}_add", "add", (last, f"{of}_p")))
        last, before = layers[-1].name, out
    layers += [
        Layer("head", "conv", (last,), channels(160), norm=True, activation="relu6"),
        Layer("pool", "global_pool", ("head",)),
        Layer("scores", "dense", ("pool",), len(SHAPES), activation="softmax"),
    ]
    return Net(tuple(layers))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--separate", action="store_true", help="train nets of three sizes")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    started = time.perf_counter()
    x, y = shapes64(given.seed, given.images)
    seconds = time.perf_counter() - started
    report: dict[str, Any] = {
        "images": len(x),
        "seconds": seconds,
        "by class": np.bincount(y, minlength=len(SHAPES)).tolist(),
        "mean": float(x.mean()),
        "deviation": float(x.std()),
    }
    if given.separate:
        report["nets"] = separated(given.images, given.epochs, given.seed)
    if given.json:
        print(json.dumps(report))
        return
    print(f"{len(x)} images in {seconds:.1f} s")
    for row in report.get("nets", ()):
        print(
            f"{row['side']}×{row['side']}, width {row['width']}: {row['macs'] / 1e6:.2f}M MACs, "
            f"accuracy {row['accuracy']:.1%} ({row['low']:.1%} to {row['high']:.1%}), "
            f"{row['seconds']:.0f} s"
        )


if __name__ == "__main__":
    main()
