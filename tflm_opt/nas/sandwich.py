"""Training of a supernet: each step trains the largest net, the smallest, and some drawn ones.

This is the sandwich rule of Yu & Huang ("Universally Slimmable Networks", 2019), with in-place
distillation: the labels teach the largest net, and its outputs of the same step teach the others.
Yu et al. ("BigNAS", 2020) train single-stage supernets so.

All members of a step are one graph. Which subnets they are is an *input* of it (`subnet.Subnet`'s
sizes), so there is one trace for each resolution and no other.

Importing this module imports Keras.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from .elastic import logits
from .net import Net
from .subnet import weight_shapes
from .training import Steps, Training

ops: Any = keras.ops


class Sandwich(keras.Model):
    """The members of a step, as one model: (n, members, classes) logits, the largest net first."""

    def __init__(self, whole: Net, members: int, smoothing: float) -> None:
        super().__init__(name="supernet")
        self.whole, self.members, self.smoothing = whole, members, smoothing
        self.parts = {
            name: self.add_weight(shape=shape, name=name.replace("/", "_"))
            for name, shape in weight_shapes(whole).items()
        }
        self.built = True

    def call(self, inputs: Mapping[str, Any]) -> Any:
        sizes = ops.reshape(inputs["sizes"][0], (self.members, len(self.whole.layers), 3))
        found = [logits(self.whole, self.parts, inputs["largest"])]
        for i in range(self.members):
            x = inputs["drawn" if i else "smallest"]
            found.append(logits(self.whole, self.parts, x, sizes=sizes[i]))
        return ops.stack(found, axis=1)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Cross-entropy with the labels for the largest net, with its outputs for the others."""
        classes = y_pred.shape[-1]
        labels = ops.one_hot(y, classes) * (1 - self.smoothing) + self.smoothing / classes
        loss = _cross_entropy(labels, y_pred[:, 0])
        if self.members:
            taught = ops.stop_gradient(ops.softmax(y_pred[:, :1]))
            loss = loss + self.members * _cross_entropy(taught, y_pred[:, 1:])
        return loss

    def values(self) -> dict[str, np.ndarray]:
        """The weights, as numpy has them."""
        return {name: np.array(ops.convert_to_numpy(v)) for name, v in self.parts.items()}

    def assign(self, weights: Mapping[str, np.ndarray]) -> None:
        """Take these weights."""
        for name, variable in self.parts.items():
            variable.assign(weights[name])


def _cross_entropy(targets: Any, scores: Any) -> Any:
    return -ops.mean(ops.sum(targets * ops.log_softmax(scores), axis=-1))


def sandwich(whole: Net, how: Training, steps: int) -> Sandwich:
    """A model that is ready to train, with untrained weights."""
    model = Sandwich(whole, how.drawn + 1, how.smoothing)
    warm = max(1, steps // 20)
    rate: Any = keras.optimizers.schedules.CosineDecay(
        how.rate / warm, max(1, steps - warm), warmup_target=how.rate, warmup_steps=warm
    )
    optimizer = keras.optimizers.AdamW(rate, weight_decay=how.decay)
    optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    # TensorFlow would compile for minutes what it then runs no faster; JAX always compiles.
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
        inputs, labels = steps(step)
        logs: Any = model.train_on_batch(inputs, labels, return_dict=True)
        losses.append(float(logs["loss"]))
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
