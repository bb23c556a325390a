"""Pictures with and without people, and a net that tells them apart: the model of
platformio_projects/person_detection.

No Python package brings a data set of people, so these are drawn: figures with jointed limbs,
clothes, and faces that are photographs (100 of Labeled Faces in the Wild, which scikit-image
ships). They stand, walk, sit, wave, near and far, partly hidden, before photographs. Pictures
without people have trees, lamps, tables, animals and heaps of limbs in their place. Photographs and
faces are held out: no training step and no calibration sees those of the test.

    data = people.load()                 # a minute
    data = people.load_photos("photos")  # or your own: photos/person/*.jpg, photos/other/*.jpg
    model = people.train(data)           # a Keras 3 model, some minutes on two cores

A net that learned from drawings knows drawings: what it scores here says that the chain from camera
to firmware is whole, not how it does with people. For that, give it photographs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import digits
import numpy as np

CAMERA = (144, 176)  # rows and columns of a frame: QCIF, 8 bits of grey
SIDE = 96  # of the net's input
LABELS = ("other", "person")
TRAIN, TEST = 8000, 1000
BATCH = 64
EPOCHS = 24
SCENES = (  # of scikit-image, nobody on them
    *("brick", "gravel", "cat", "motorcycle_left", "rocket", "coins", "page"),
    *("retina", "moon", "immunohistochemistry", "hubble_deep_field"),
)
HELD_OUT = ("coffee", "grass", "text", "china", "flower")  # the last two are scikit-learn's

Rng = np.random.Generator
Point = np.ndarray  # y and x, in pixels of a frame or in body heights


@dataclass(frozen=True, slots=True)
class People:
    """What the net sees (n, 96, 96, 1), float32 in 0..1, and labels (n,), by LABELS.

    `frames` are uint8 (n, 144, 176): what `x_test` was scaled from.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    frames: np.ndarray


def load(seed: int = 0, train: int = TRAIN, test: int = TEST) -> People:
    """Draw the pictures: the same for the same seed.

    Args:
        train, test: how many of each; half of them have people.
    """
    rng = np.random.default_rng(seed)
    faces = _faces()
    known, new = _draw(train, SCENES, faces[::2], rng), _draw(test, HELD_OUT, faces[1::2], rng)
    y_train, y_test = np.arange(train) % 2, np.arange(test) % 2
    return People(seen(known), y_train, seen(new), y_test, new)


def load_photos(folder: Path | str, held_out: float = 0.2, seed: int = 0) -> People:
    """Photographs of `folder/person` and `folder/other`, any size, cut to a frame's shape.

    Raises:
        FileNotFoundError: fewer than ten of one kind, or no such folder.
    """
    frames, labels = [], []
    for label, name in enumerate(LABELS):
        paths = sorted(p for p in (Path(folder) / name).glob("*") if p.suffix.lower() in _SUFFIXES)
        if len(paths) < 10:
            raise FileNotFoundError(
                f"{Path(folder) / name} has {len(paths)} photographs ({', '.join(_SUFFIXES)}); "
                "at least ten are needed, and hundreds to learn from"
            )
        frames += [_cut(_read(path), np.random.default_rng(0), whole=True) for path in paths]
        labels += [label] * len(paths)
    order = np.random.default_rng(seed).permutation(len(frames))
    frames, labels = np.stack(frames)[order].round().astype(np.uint8), np.array(labels)[order]
    new = max(2, int(len(order) * held_out))
    return People(seen(frames[new:]), labels[new:], seen(frames[:new]), labels[:new], frames[:new])


def scale(frame: np.ndarray, side: int = SIDE) -> np.ndarray:
    """The middle square of frames (..., h, w), uint8, as (..., side, side), uint8.

    Each new pixel is the mean of the area that it covers, rounded half up: in integers, as
    `src/scaler.c` computes it row by row, with the same bits.
    """
    height, width = frame.shape[-2:]
    size = min(height, width)
    top, left = (height - size) // 2, (width - size) // 2
    square = frame[..., top : top + size, left : left + size].astype(np.int64)
    weights = _overlaps(size, side)
    sums = np.einsum("yi,...ij,xj->...yx", weights, square, weights, optimize=True)
    return ((sums + size * size // 2) // (size * size)).astype(np.uint8)


def seen(frames: np.ndarray) -> np.ndarray:
    """Frames as the net's input, float32 (n, 96, 96, 1), 0 to 1."""
    scaled = np.concatenate([scale(frames[at : at + 256]) for at in range(0, len(frames), 256)])
    return scaled[..., np.newaxis].astype(np.float32) / 255


def calibration(data: People, count: int = 200) -> np.ndarray:
    """Inputs to quantize by: real ones, and one that reaches both ends.

    With it the input's scale is 1/255 and its zero point -128: firmware's pixels go in less 128.
    """
    ends = np.zeros((1, SIDE, SIDE, 1), np.float32)
    ends[:, ::2] = 1
    return np.concatenate([ends, data.x_train[:: -(-len(data.x_train) // count)]])


def _overlaps(size: int, side: int) -> np.ndarray:
    """(side, size): how much of each old pixel a new one covers, in 1/side of an old one."""
    old, new = np.arange(size) * side, np.arange(side)[:, np.newaxis] * size
    return np.maximum(0, np.minimum(old + side, new + size) - np.maximum(old, new))


# ---- drawing ---------------------------------------------------------------------------------


def _draw(count: int, scenes: Sequence[str], faces: np.ndarray, rng: Rng) -> np.ndarray:
    photos = [_scene(name) for name in scenes]
    frames = np.empty((count, *CAMERA), np.uint8)
    for i in range(count):
        frame = _background(photos, rng)
        frame = (frame - 128) * rng.uniform(0.5, 1.1) + rng.uniform(80, 176)
        for _ in range(rng.integers(0, 3)):
            _thing(frame, rng)
        if i % 2:
            _person(frame, faces[rng.integers(len(faces))], rng)
        else:
            for _ in range(rng.integers(0, 3)):
                _thing(frame, rng)
        if rng.random() < 0.25:  # before everything, at one side
            _box(frame, rng, low=0.65)
        light = 1 + rng.uniform(-0.3, 0.3) * np.linspace(-1, 1, CAMERA[1])
        noisy = frame * light * rng.uniform(0.7, 1.2) + rng.normal(0, rng.uniform(0, 8), CAMERA)
        frames[i] = np.clip(noisy, 0, 255).round()
    return frames


def _background(photos: Sequence[np.ndarray], rng: Rng) -> np.ndarray:
    """A piece of a photograph or of noise; often two, side by side or one through the other."""

    def piece() -> np.ndarray:
        if rng.random() < 0.15:
            return _noise(rng)
        found = _cut(photos[rng.integers(len(photos))], rng)
        if rng.random() < 0.3:
            found = found[::-1]
        return 255 - found if rng.random() < 0.2 else found

    frame = piece()
    if rng.random() < 0.4:
        share = np.full(CAMERA, rng.uniform(0.3, 0.7))
        if rng.random() < 0.5:
            share = (np.arange(CAMERA[1]) < rng.uniform(0.2, 0.8) * CAMERA[1]) * np.ones(CAMERA)
        frame = frame * share + piece() * (1 - share)
    return frame.astype(np.float32)


def _noise(rng: Rng) -> np.ndarray:
    """As of walls, clouds, leaves: the larger its features the stronger, as in photographs."""
    spectrum = np.fft.rfft2(rng.normal(size=CAMERA))
    far = np.hypot(np.fft.fftfreq(CAMERA[0])[:, None], np.fft.rfftfreq(CAMERA[1])[None])
    noise = np.fft.irfft2(spectrum / np.maximum(far, 0.01) ** rng.uniform(0.3, 1.5), CAMERA)
    return 128 + 50 * (noise - noise.mean()) / noise.std()


@dataclass(frozen=True, slots=True)
class _Brush:
    """Draws limbs on a frame; `at` maps a body's coordinates (y down, x right) to pixels."""

    frame: np.ndarray
    at: Callable[[Any], Point]
    unit: float  # pixels of a height

    def limb(self, a: Any, b: Any, thick: float, tone: float, thin: float | None = None) -> Any:
        """A rounded stick from a to b, `thick` wide at a and `thin` at b; b, for the next one."""
        start, end = self.at(a), self.at(b)
        wide = thick / 2 * self.unit
        narrow = wide if thin is None else thin / 2 * self.unit
        low = np.maximum(np.floor(np.minimum(start, end) - max(wide, narrow) - 1), 0).astype(int)
        high = np.ceil(np.maximum(start, end) + max(wide, narrow) + 2).astype(int)
        patch = self.frame[low[0] : max(high[0], 0), low[1] : max(high[1], 0)]
        if patch.size == 0:
            return b
        y, x = np.mgrid[: patch.shape[0], : patch.shape[1]]
        y, x = y + low[0] - start[0], x + low[1] - start[1]
        along = end - start
        length = float(along @ along) or 1.0
        part = np.clip((y * along[0] + x * along[1]) / length, 0, 1)
        away = np.hypot(y - part * along[0], x - part * along[1])
        radius = wide + (narrow - wide) * part
        cover = np.clip(radius - away + 0.5, 0, 1)
        shade = tone * (1 - 0.25 * np.clip(away / np.maximum(radius, 1), 0, 1) ** 2)
        patch += cover * (shade - patch)
        return b

    def picture(self, middle: Any, image: np.ndarray, height: float) -> None:
        """An oval piece of a photograph."""
        centre, half = self.at(middle), height / 2 * self.unit
        rows = np.arange(max(0, int(centre[0] - half)), min(CAMERA[0], int(centre[0] + half) + 2))
        columns = np.arange(
            max(0, int(centre[1] - half)), min(CAMERA[1], int(centre[1] + half) + 2)
        )
        v, u = (rows - centre[0]) / half, (columns - centre[1]) / (0.8 * half)
        inside = np.clip((1 - np.hypot(v[:, None], u[None, :])) * half + 0.5, 0, 1)
        y = np.clip((v + 1) / 2 * len(image), 0, len(image) - 1).astype(int)
        x = np.clip((u + 1) / 2 * len(image), 0, len(image) - 1).astype(int)
        patch = self.frame[rows[:1].sum() : rows[:1].sum() + len(rows)]
        patch = patch[:, columns[:1].sum() : columns[:1].sum() + len(columns)]
        patch += inside * (image[np.ix_(y, x)] - patch)


def _person(frame: np.ndarray, face: np.ndarray, rng: Rng) -> None:
    """A figure of 0.6 to 3 frame heights; of a tall one, head and shoulders are in the frame."""
    height = CAMERA[0] * np.exp(rng.uniform(np.log(0.6), np.log(3.0)))
    middle = rng.uniform(0.3, 0.7) * CAMERA[1]
    top = rng.uniform(0.02, 0.15) * CAMERA[0]
    if height < CAMERA[0]:
        top = rng.uniform(0, CAMERA[0] - height)
    lean, side = rng.normal(0, 0.06), rng.choice([-1, 1])

    def at(point: Any) -> Point:
        y, x = point
        return np.array([top + y * height, middle + (side * x + lean * (1 - y)) * height])

    _figure(_Brush(frame, at, height), face, rng)


def _figure(brush: _Brush, face: np.ndarray, rng: Rng) -> None:
    skin, shirt, trousers, hair, shoes = rng.uniform(20, 235, 5)
    broad = rng.uniform(0.85, 1.25)
    turned = rng.uniform(0.35, 1)  # 1: from the front
    shoulder, hip = 0.105 * broad * turned, 0.06 * broad * turned
    sitting = rng.random() < 0.15
    stride = rng.uniform(0, 0.5)
    for sign in (-1, 1):  # legs
        swing = sign * stride + rng.normal(0, 0.08)
        if sitting:
            knee = brush.limb((0.5, sign * hip), (0.55, sign * hip + 0.2), 0.1 * broad, trousers)
            foot = brush.limb(knee, (0.78, knee[1]), 0.075 * broad, trousers, 0.06)
        else:
            knee = (0.5 + 0.24 * np.cos(swing), sign * hip + 0.24 * np.sin(swing))
            brush.limb((0.5, sign * hip), knee, 0.1 * broad, trousers, 0.075)
            bend = swing - abs(rng.normal(0, 0.2 + stride / 2))
            foot = (knee[0] + 0.22 * np.cos(bend), knee[1] + 0.22 * np.sin(bend))
            brush.limb(knee, foot, 0.075 * broad, trousers, 0.055)
        brush.limb(foot, (foot[0] + 0.01, foot[1] + 0.05), 0.045, shoes)
    arms = rng.normal(0.15, 0.25, 2) + (rng.random(2) < 0.25) * rng.uniform(1, 2.8, 2)
    bends = arms + rng.uniform(-0.2, 1.2, 2)
    sleeves = shirt if rng.random() < 0.6 else skin

    def arm(which: int) -> None:
        sign = 2 * which - 1
        begin = (0.2, sign * shoulder)
        elbow = (
            begin[0] + 0.16 * np.cos(arms[which]),
            begin[1] + sign * 0.16 * np.sin(arms[which]),
        )
        brush.limb(begin, elbow, 0.06 * broad, shirt, 0.05)
        hand = (
            elbow[0] + 0.15 * np.cos(bends[which]),
            elbow[1] + sign * 0.15 * np.sin(bends[which]),
        )
        brush.limb(elbow, hand, 0.05 * broad, sleeves, 0.04)
        brush.limb(hand, hand, 0.05, skin)

    arm(0)
    for part in np.linspace(-1, 1, 5):  # trunk
        brush.limb(
            (0.19, part * shoulder * 0.85), (0.5, part * hip), 0.08 * broad, shirt, 0.09 * broad
        )
    arm(1)
    brush.limb((0.12, 0), (0.18, 0), 0.055, skin * 0.9)
    brush.limb((0.055, 0), (0.085, 0), 0.125, hair)
    if rng.random() < 0.75:
        lit = np.clip((face - face.mean()) * rng.uniform(0.7, 1.1) + skin * 0.5 + 70, 0, 255)
        brush.picture((0.075, 0.0), lit, 0.145)
    else:  # from behind, or a profile
        brush.limb((0.06, 0.015), (0.1, 0.015), 0.1, skin if rng.random() < 0.5 else hair)


def _thing(frame: np.ndarray, rng: Rng) -> None:
    kind = rng.choice([_tree, _lamp, _box, _table, _animal, _heap])
    kind(frame, rng)


def _placed(frame: np.ndarray, rng: Rng) -> _Brush:
    unit = CAMERA[0] * np.exp(rng.uniform(np.log(0.4), np.log(1.5)))
    foot = np.array([rng.uniform(0.6, 1.2) * CAMERA[0], rng.uniform(0, 1) * CAMERA[1]])
    side = rng.choice([-1, 1])
    return _Brush(frame, lambda p: foot + (np.array(p) - (1, 0)) * (unit, side * unit), unit)


def _tree(frame: np.ndarray, rng: Rng) -> None:
    brush, bark, leaves = _placed(frame, rng), rng.uniform(20, 150), rng.uniform(30, 200)
    brush.limb((1, 0), (0.35, rng.normal(0, 0.03)), rng.uniform(0.05, 0.14), bark, 0.04)
    for _ in range(rng.integers(4, 14)):
        spot = (rng.uniform(0, 0.5), rng.normal(0, 0.15))
        brush.limb(spot, spot, rng.uniform(0.1, 0.3), leaves * rng.uniform(0.8, 1.2))


def _lamp(frame: np.ndarray, rng: Rng) -> None:
    brush, tone = _placed(frame, rng), rng.uniform(10, 230)
    brush.limb((1, 0), (0.1, 0), rng.uniform(0.02, 0.06), tone)
    if rng.random() < 0.7:
        brush.limb(
            (0.08, 0), (0.05, rng.uniform(0, 0.2)), rng.uniform(0.05, 0.15), rng.uniform(100, 255)
        )


def _box(frame: np.ndarray, rng: Rng, low: float = 0.2) -> None:
    y, x = int(rng.uniform(low, 0.95) * CAMERA[0]), int(rng.uniform(-0.2, 0.9) * CAMERA[1])
    h, w = rng.integers(15, 90, 2)
    patch = frame[y : y + h, max(x, 0) : max(x + w, 0)]
    patch[:] = 0.2 * patch + 0.8 * rng.uniform(10, 240)
    patch[:3] += rng.uniform(-40, 40)
    patch[:, :3] += rng.uniform(-40, 40)


def _table(frame: np.ndarray, rng: Rng) -> None:
    brush, tone, wide = _placed(frame, rng), rng.uniform(10, 230), rng.uniform(0.2, 0.5)
    for x in (-wide, -wide * 0.7, wide * 0.7, wide):
        brush.limb((0.6, x), (1, x), 0.04, tone * 0.9)
    brush.limb((0.6, -wide), (0.6, wide), rng.uniform(0.04, 0.12), tone)
    if rng.random() < 0.5:
        brush.limb((0.6, wide), (0.2, wide), 0.05, tone)  # a chair's back


def _animal(frame: np.ndarray, rng: Rng) -> None:
    brush, coat, long = _placed(frame, rng), rng.uniform(10, 235), rng.uniform(0.3, 0.5)
    for x in (-long / 2, -long / 2 + 0.06, long / 2 - 0.06, long / 2):
        brush.limb((0.65, x), (1, x + rng.normal(0, 0.05)), 0.07, coat * 0.9, 0.04)
    brush.limb((0.6, -long / 2), (0.6, long / 2), rng.uniform(0.16, 0.26), coat)
    head = brush.limb((0.55, long / 2), (rng.uniform(0.3, 0.55), long / 2 + 0.14), 0.1, coat)
    brush.limb(head, (head[0] + 0.03, head[1] + 0.09), 0.12, coat, 0.06)
    brush.limb((0.58, -long / 2), (0.45, -long / 2 - 0.15), 0.03, coat)


def _heap(frame: np.ndarray, rng: Rng) -> None:
    """A figure's limbs, but not as a figure."""
    brush, tones = _placed(frame, rng), rng.uniform(20, 235, 4)
    for _ in range(rng.integers(4, 12)):
        a, angle = rng.uniform(0.1, 1, 2) - (0, 0.5), rng.uniform(0, 2 * np.pi)
        b = a + rng.uniform(0.05, 0.3) * np.array([np.sin(angle), np.cos(angle)])
        brush.limb(a, b, rng.uniform(0.04, 0.12), rng.choice(tones))


# ---- photographs -----------------------------------------------------------------------------

_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".pgm")


def _scene(name: str) -> np.ndarray:
    if name in ("china", "flower"):
        from sklearn.datasets import load_sample_image

        return _grey(load_sample_image(f"{name}.jpg"))
    from skimage import data

    if name.startswith("motorcycle"):
        import skimage

        return _read(Path(skimage.__file__).parent / "data" / f"{name}.png")
    return _grey(getattr(data, name)())


def _faces() -> np.ndarray:
    """(100, 25, 25), 0 to 255."""
    from skimage import data

    return np.asarray(data.lfw_subset()[:100], np.float32) * 255


def _read(path: Path) -> np.ndarray:
    from skimage import io

    return _grey(io.imread(path))


def _grey(image: np.ndarray) -> np.ndarray:
    image = np.asarray(image, np.float32)
    return image[..., :3] @ np.float32([0.299, 0.587, 0.114]) if image.ndim == 3 else image


def _cut(photo: np.ndarray, rng: Rng, whole: bool = False) -> np.ndarray:
    """A piece of a frame's shape, float32: somewhere, or as much of the middle as there is."""
    from skimage.transform import resize

    rows, columns = CAMERA
    most = min(photo.shape[0] / rows, photo.shape[1] / columns)
    zoom = most if whole else most * rng.uniform(0.4, 1)
    h, w = int(rows * zoom), int(columns * zoom)
    room = np.array(photo.shape) - (h, w)
    y, x = room // 2 if whole else rng.integers(0, room + 1)
    piece = photo[y : y + h, x : x + w]
    if not whole and rng.random() < 0.5:
        piece = piece[:, ::-1]
    return resize(piece, CAMERA, order=1, anti_aliasing=whole).astype(np.float32)


# ---- the net ---------------------------------------------------------------------------------


def build(width: float = 0.25) -> Any:
    """The untrained net: MobileNetV1 (Howard et al., 2017), narrow and cut after 256 channels."""
    import keras
    from keras import layers

    def block(x: Any, wide: float, stride: int) -> Any:
        x = layers.DepthwiseConv2D(3, stride, padding="same", use_bias=False)(x)
        x = layers.ReLU(6.0)(layers.BatchNormalization(momentum=0.9)(x))
        x = layers.Conv2D(int(wide * width), 1, use_bias=False)(x)
        return layers.ReLU(6.0)(layers.BatchNormalization(momentum=0.9)(x))

    inputs = keras.Input((SIDE, SIDE, 1), name="picture")
    x = layers.Conv2D(int(32 * width), 3, 2, padding="same", use_bias=False)(inputs)
    x = layers.ReLU(6.0)(layers.BatchNormalization(momentum=0.9)(x))
    for wide, stride in (
        (64, 1),
        (128, 2),
        (128, 1),
        (256, 2),
        (256, 1),
        (512, 2),
        (512, 1),
        (512, 1),
    ):
        x = block(x, wide, stride)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(0.2)(x)
    outputs = layers.Dense(len(LABELS), activation="softmax", name="person")(x)
    return keras.Model(inputs, outputs, name="person_detection")


def train(data: People, seed: int = 0, epochs: int = EPOCHS) -> Any:
    """A trained net. Silent; seeds Keras's generators, so that each run gives the same net."""
    keras = digits.import_keras()
    keras.utils.set_random_seed(seed)
    model = build()
    steps = epochs * -(-len(data.x_train) // BATCH)
    model.compile(
        optimizer=keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(4e-3, steps)),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    flip = np.random.default_rng(seed).random(len(data.x_train)) < 0.5
    x = np.where(flip[:, None, None, None], data.x_train[:, :, ::-1], data.x_train)
    model.fit(x, data.y_train, batch_size=BATCH, epochs=epochs, verbose=0)
    return model
