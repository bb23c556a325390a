"""Training of a supernet: each step trains several nets; `training` says which.

The largest net, the smallest, and some drawn ones are the sandwich of Yu & Huang ("Universally
Slimmable Networks", 2019), with in-place distillation: the labels teach the largest net, and its
outputs of the same step teach the others. Yu et al. ("BigNAS", 2020) train single-stage supernets
so. Where members are drawn of some nets alone, the labels teach them all.

Which subnet is trained is an *input* (`subnet.Subnet`'s sizes), so one traced function serves them
all. A step calls it once for each member, the largest first; the optimizer adds the gradients up,
and moves the weights after the last.

Importing this module imports Keras.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from .elastic import as_numpy, logits
from .net import Net
from .subnet import weight_shapes
from .training import Steps

ops: Any = keras.ops

_NAMES = ("kernels", "factors")  # of the variables; only kernels decay


class Sandwich(keras.Model):
    """The supernet, one member at a time: (n, classes) logits of the subnet that `sizes` says.

    Inputs are images, (n, rows, columns, channels), and "sizes", (n, layers × 3), and "teaches",
    (n, 1): what is the same for all images is repeated, so that batches can be split over devices.
    """

    def __init__(self, whole: Net, batch: int, smoothing: float) -> None:
        super().__init__(name="supernet")
        self.whole, self.smoothing = whole, smoothing
        # Two variables, not hundreds: the optimizer's part of the graph takes seconds to trace.
        shapes = weight_shapes(whole)
        self.packs = [
            _Pack({k: shape for k, shape in shapes.items() if k.endswith("/kernel") == kernels})
            for kernels in (True, False)
        ]
        self.packed = [
            self.add_weight(shape=(pack.length,), name=name)
            for pack, name in zip(self.packs, _NAMES, strict=True)
        ]
        classes = whole.shapes()[whole.layers[-1].name][0]
        self.taught = self.add_weight(shape=(batch, classes), trainable=False, name="taught")
        self.built = True

    def call(self, inputs: Mapping[str, Any]) -> Any:
        sizes = ops.reshape(inputs["sizes"][0], (len(self.whole.layers), 3))
        parts: dict[str, Any] = {}
        for pack, variable in zip(self.packs, self.packed, strict=True):
            parts.update(pack.parts(ops.convert_to_tensor(variable)))
        return logits(self.whole, parts, inputs["images"], sizes=sizes)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Cross-entropy with the labels where a net "teaches", else with the last one's outputs."""
        classes = self.taught.shape[-1]
        labels = ops.one_hot(y, classes) * (1 - self.smoothing) + self.smoothing / classes
        teaches = ops.cast(x["teaches"], "float32")
        targets = teaches * labels + (1 - teaches) * self.taught
        said = ops.stop_gradient(ops.softmax(y_pred))
        self.taught.assign(teaches * said + (1 - teaches) * self.taught)
        return -ops.mean(ops.sum(targets * ops.log_softmax(y_pred), axis=-1))

    def values(self) -> dict[str, np.ndarray]:
        """The weights by "layer/part", as numpy has them."""
        found: dict[str, np.ndarray] = {}
        for pack, variable in zip(self.packs, self.packed, strict=True):
            found.update(pack.arrays(as_numpy(variable)))
        return found

    def assign(self, weights: Mapping[str, np.ndarray]) -> None:
        """Take these weights."""
        for pack, variable in zip(self.packs, self.packed, strict=True):
            variable.assign(np.concatenate([np.ravel(weights[name]) for name in pack.shapes]))


class _Pack:
    """Weights one after another in a vector."""

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.shapes = dict(shapes)
        self.ends = np.cumsum([int(np.prod(shape)) for shape in shapes.values()]).tolist()
        self.length: int = self.ends[-1]

    def parts(self, vector: Any) -> dict[str, Any]:
        pieces = ops.split(vector, self.ends[:-1])
        named = zip(self.shapes.items(), pieces, strict=True)
        return {name: ops.reshape(piece, shape) for (name, shape), piece in named}

    def arrays(self, vector: np.ndarray) -> dict[str, np.ndarray]:
        pieces = np.split(vector, self.ends[:-1])
        named = zip(self.shapes.items(), pieces, strict=True)
        return {name: piece.reshape(shape) for (name, shape), piece in named}


def sandwich(steps: Steps) -> Sandwich:
    """A model that is ready to train, with untrained weights."""
    how = steps.how
    model = Sandwich(steps.whole, steps.batch, how.smoothing)
    optimizer = keras.optimizers.AdamW(
        how.rate, weight_decay=how.decay, gradient_accumulation_steps=how.members
    )
    optimizer.exclude_from_weight_decay(var_names=["factors"])
    # XLA needs sizes that are known when it compiles, and under TensorFlow slices have none.
    jit: Any = keras.backend.backend() == "jax"
    model.compile(optimizer, jit_compile=jit)
    optimizer.build(model.trainable_variables)
    return model


def run(
    model: Sandwich,
    steps: Steps,
    start: int,
    *,
    seconds: float,
    save: Callable[[int], None],
    report: Callable[[int, float], None],
) -> None:
    """Train from step `start` to the end.

    Args:
        model: as `sandwich` made it, or with the state of step `start`.
        steps: what to train on.
        start: number of the first step.
        seconds: between two calls of `save`.
        save: called with the number of steps done.
        report: called after each epoch, with the number of steps done and the mean loss.

    Raises:
        ValueError: the loss is no number any more.
    """
    saved, losses = time.monotonic(), []
    for step in range(start, steps.total):
        members, labels = steps(step)
        # Not a schedule of Keras's: those count calls, not steps, where gradients are added up.
        model.optimizer.learning_rate = steps.how.rate_at(step / steps.total)
        logs: list[Any] = [model.train_on_batch(x, labels, return_dict=True) for x in members]
        losses.append(float(np.mean([one["loss"] for one in logs])))
        if not np.isfinite(losses[-1]):
            raise ValueError(
                f"the loss of step {step} is {losses[-1]}: lower the rate ({steps.how.rate:g}), "
                "or look for values in the data that are far too large"
            )
        done = step + 1
        if done % steps.per_epoch == 0:
            report(done, float(np.mean(losses)))
            losses.clear()
        if done == steps.total or time.monotonic() - saved >= seconds:
            save(done)
            saved = time.monotonic()
