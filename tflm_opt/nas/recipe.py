"""Training of a net on a study's data, the same way for each net: so that accuracies compare.

Keras 3 alone, so any backend. The order of samples, and what augmentation does to them, comes from
a NumPy generator of the seed, not from the backend's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np

from ..errors import TflmOptError

AUGMENTATIONS = ("shift", "flip")
# What is done unless it is said otherwise. Even small nets learn small data by heart: one of 0.8
# million MACs, from a supernet, knew 99.9% of 5,657 images of shapes after 30 epochs and 69% of new
# ones, and 76% of new ones if it saw them moved and mirrored. Whether a mirrored image means the
# same, only the owner of the data knows.
AUGMENT = ("shift",)
_SHIFT = 0.1  # of the sides, at most
_MOMENTUM = 0.9  # of batch norm: 0.99 would need hundreds of steps to forget how it began
_WARM = 0.05  # of the steps, in which the rate rises
_PREDICT = 256


@dataclass(frozen=True, slots=True)
class Recipe:
    """How nets are trained: Adam, whose rate rises for a moment and then falls along a cosine.

    Attributes:
        epochs: passes over the data.
        batch: samples in a step.
        rate: the largest learning rate.
        smoothing: of labels; 0 for none.
        augment: some of "shift" (by up to a tenth of the sides; the edge is repeated) and "flip"
            (left to right, half of the time); () for none.
    """

    epochs: int = 10
    batch: int = 64
    rate: float = 2e-2
    smoothing: float = 0.0
    augment: tuple[str, ...] = AUGMENT

    def __post_init__(self) -> None:
        if isinstance(self.epochs, bool) or not isinstance(self.epochs, int) or self.epochs < 1:
            raise TflmOptError(f"{self.epochs!r} epochs: a whole number of at least 1 is needed")
        if isinstance(self.batch, bool) or not isinstance(self.batch, int) or self.batch < 1:
            raise TflmOptError(f"a batch of {self.batch!r}: a whole number of at least 1 is needed")
        if not 0 < self.rate < math.inf:
            raise TflmOptError(f"a learning rate of {self.rate!r}: write 0.02")
        if not 0 <= self.smoothing < 1:
            raise TflmOptError(f"a label smoothing of {self.smoothing!r} is not in 0..1")
        object.__setattr__(self, "augment", augmentations(self.augment))

    def to_json(self) -> dict[str, Any]:
        """Plain values; `from_json` reads them."""
        return {**asdict(self), "augment": list(self.augment)}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Recipe:
        """The inverse of `to_json`; what is missing has its default.

        Raises:
            TflmOptError: a key that no recipe has, or a value that can't be.
        """
        known = {f.name for f in fields(Recipe)}
        if unknown := sorted(set(data) - known):
            raise TflmOptError(
                f"training has no setting {unknown[0]!r}; known are {', '.join(sorted(known))}"
            )
        return Recipe(**data)

    def of(self, epochs: int) -> Recipe:
        """The same for another number of epochs."""
        return replace(self, epochs=epochs)


def augmentations(asked: str | Sequence[str]) -> tuple[str, ...]:
    """What is done to images, by name.

    >>> augmentations("shift"), augmentations(["shift", "flip"]), augmentations([])
    (('shift',), ('shift', 'flip'), ())

    Raises:
        TflmOptError: a name of nothing that is known.
    """
    names = (asked,) if isinstance(asked, str) or not isinstance(asked, Sequence) else tuple(asked)
    for one in names:
        if one not in AUGMENTATIONS:
            raise TflmOptError(f"augmentation {one!r} is not one of {', '.join(AUGMENTATIONS)}")
    return names


def train(
    model: Any,
    x: np.ndarray,
    y: np.ndarray,
    recipe: Recipe,
    *,
    seed: int,
    after: Callable[[int, float], object] = lambda epoch, loss: None,
) -> float:
    """Train a Keras classifier in place; returns the last loss, NaN where training broke down.

    Batch by batch, and not by Keras's `fit` of a generator: for that TensorFlow has glibc return
    all memory at once, and each tensor's pages are asked for anew, which doubles the time.

    Args:
        model: with as many outputs as there are classes, or one.
        x, y: inputs (n, ...) and class numbers (n,).
        seed: of the order, the augmentation, and what the model draws itself (dropout).
        after: called after each epoch, with its number from 1 and its mean loss.
    """
    import keras

    from .fused import fused_ops

    keras.utils.set_random_seed(seed % 2**31)
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = min(layer.momentum, _MOMENTUM)
    size = min(recipe.batch, len(x))
    steps = len(x) // size
    loss, targets = loss_of(model, recipe.smoothing)
    model.compile(_optimizer(recipe, steps), loss, jit_compile=False)
    model.optimizer.build(model.trainable_variables)  # or the step would be traced a second time
    feed = batches(x, targets(y), recipe, np.random.default_rng(seed))
    mean = math.nan
    with fused_ops(model):
        for epoch in range(1, recipe.epochs + 1):
            losses: list[float] = []
            while len(losses) < steps and (not losses or math.isfinite(losses[-1])):
                losses.append(float(model.train_on_batch(*next(feed))))
            mean = float(np.mean(losses))
            after(epoch, mean)
            if not math.isfinite(mean):
                return math.nan
    return mean


def accuracy(model: Any, x: np.ndarray, y: np.ndarray) -> float:
    """The fraction of samples whose largest output is the label's."""
    return float(np.mean(predicted(model, x) == y))


def predicted(model: Any, x: np.ndarray) -> np.ndarray:
    """The class numbers that a model gives, (n,); of one output, whether it is the larger half."""
    import keras

    # Called, not `predict`, which traces and compiles the net anew for each model.
    parts = [model(x[i : i + _PREDICT], training=False) for i in range(0, len(x), _PREDICT)]
    outputs = np.concatenate([np.asarray(keras.ops.convert_to_numpy(part)) for part in parts])
    outputs = outputs.reshape(len(x), -1)
    if outputs.shape[1] > 1:
        return outputs.argmax(1)
    return (outputs[:, 0] > threshold(model)).astype(np.int64)


def threshold(model: Any) -> float:
    """What a single output must exceed for class 1: half as a probability, zero as a logit."""
    return 0.5 if _activation(model) == "sigmoid" else 0.0


def batches(
    x: np.ndarray, y: np.ndarray, recipe: Recipe, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Batches of one size without end, each pass in a new order; a pass may leave a few out."""
    size = min(recipe.batch, len(x))
    while True:
        order = rng.permutation(len(x))
        for start in range(0, len(x) - size + 1, size):
            chosen = order[start : start + size]
            yield augmented(x[chosen], recipe.augment, rng), y[chosen]


def augmented(x: np.ndarray, how: tuple[str, ...], rng: np.random.Generator) -> np.ndarray:
    """Each image moved by a few pixels (its border is repeated), or turned left to right."""
    count, rows, columns = x.shape[:3]
    row, column = (np.broadcast_to(np.arange(n), (count, n)) for n in (rows, columns))
    if "flip" in how:
        column = np.where(rng.random((count, 1)) < 0.5, column[:, ::-1], column)
    if "shift" in how:
        row = _moved(row, rows, rng)
        column = _moved(column, columns, rng)
    if not how:
        return x
    return x[np.arange(count)[:, None, None], row[:, :, None], column[:, None, :]]


def _moved(index: np.ndarray, length: int, rng: np.random.Generator) -> np.ndarray:
    most = int(length * _SHIFT)
    return np.clip(index + rng.integers(-most, most + 1, (len(index), 1)), 0, length - 1)


def _optimizer(recipe: Recipe, steps: int) -> Any:
    import keras

    from .fused import adam

    total = recipe.epochs * steps
    warm = max(1, int(total * _WARM))
    schedule: Any = keras.optimizers.schedules.CosineDecay(
        recipe.rate / 10, max(1, total - warm), warmup_target=recipe.rate, warmup_steps=warm
    )
    return adam(schedule)


def loss_of(model: Any, smoothing: float = 0.0) -> tuple[Any, Callable[[np.ndarray], np.ndarray]]:
    """What suits the outputs, and what makes class numbers its targets."""
    import keras

    last = _activation(model)
    classes = int(math.prod(model.output_shape[1:]))
    if classes == 1:
        return (
            keras.losses.BinaryCrossentropy(
                from_logits=last != "sigmoid", label_smoothing=smoothing
            ),
            lambda y: y[:, None].astype(np.float32),
        )
    loss = keras.losses.CategoricalCrossentropy(
        from_logits=last != "softmax", label_smoothing=smoothing
    )
    return loss, lambda y: np.eye(classes, dtype=np.float32)[y]


def _activation(model: Any) -> str:
    """The name of the last activation: "softmax", "sigmoid", "linear"."""
    last = model.layers[-1]
    return getattr(getattr(last, "activation", None), "__name__", type(last).__name__).lower()
