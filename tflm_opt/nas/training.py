"""What a supernet is trained on, step by step. No framework.

A *sandwich* trains the largest net, the smallest and a few drawn ones, for a search that may end
anywhere in the space. Under limits most of that is in vain: the largest net, far above them, takes
most of the time, and is a poor teacher until it is trained itself. Then the members of a step are
drawn of nets that fit (`members.fitting`), and the labels teach them all.

Everything that is drawn in a step depends on the seed and the step's number alone, so a training
that is resumed goes on as it would have.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .data import resized
from .net import Net
from .recipe import AUGMENT, Recipe, augmentations, augmented
from .space import Space, largest, sample, smallest
from .subnet import Subnet, locate

_WARM = 0.05  # of the steps: the rate rises


@dataclass(frozen=True, slots=True)
class Training:
    """How a supernet is trained.

    Attributes:
        epochs: passes over the training images.
        batch: images in a step.
        members: subnets in a step.
        rate: of learning, at its highest: it rises for a twentieth of the steps, then falls as
            the cosine does to 0.
        decay: of kernels, in each step, times the rate (AdamW).
        smoothing: of the labels.
        augment: what is done to images, as in `Recipe`.
        seed: of all that is random.
    """

    epochs: int = 120
    batch: int = 64
    members: int = 4
    rate: float = 2e-2
    decay: float = 1e-3
    smoothing: float = 0.1
    augment: tuple[str, ...] = AUGMENT
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "augment", augmentations(self.augment))
        if min(self.epochs, self.batch) < 1 or self.members < 2:
            raise ValueError("epochs and batch are at least 1, members at least 2")
        if not (self.rate > 0 and self.decay >= 0 and 0 <= self.smoothing < 1):
            raise ValueError("rate is above 0, decay at least 0, smoothing in 0..1 (1 excluded)")

    def alone(self, recipe: Recipe) -> Recipe:
        """The recipe for nets by themselves, with this training's labels and changes of images."""
        return replace(recipe, smoothing=self.smoothing, augment=self.augment)

    def rate_at(self, done: float) -> float:
        """The rate after this part of the training, 0 to 1."""
        if done < _WARM:
            return self.rate * (0.1 + 0.9 * done / _WARM)
        return self.rate * 0.5 * (1 + math.cos(math.pi * (done - _WARM) / (1 - _WARM)))


class Steps:
    """What each step trains on: step number to batch, a function of the seed.

    Args:
        space, x, y, how: as for `Supernet.train`.
        nets: that members are drawn of, all taught by the labels; None for a sandwich.
    """

    def __init__(
        self,
        space: Space,
        x: np.ndarray,
        y: np.ndarray,
        how: Training,
        nets: Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        self.space, self.x, self.y, self.how = space, x, y, how
        self.batch = min(how.batch, len(x))
        self.per_epoch = len(x) // self.batch
        self.total = self.per_epoch * how.epochs
        self.whole = space.net(largest(space))
        self.large = locate(self.whole, self.whole)
        self.small = locate(self.whole, space.net(smallest(space)))
        self.nets = None if nets is None else [locate(self.whole, space.net(n)) for n in nets]

    def __call__(self, step: int) -> tuple[list[dict[str, np.ndarray]], np.ndarray]:
        """Inputs of each member of the step, and labels, as `Sandwich` takes them."""
        epoch, at = divmod(step, self.per_epoch)
        order = np.random.default_rng((self.how.seed, 0, epoch)).permutation(len(self.x))
        chosen = order[at * self.batch : (at + 1) * self.batch]
        rng = np.random.default_rng((self.how.seed, 1, step))
        images = augmented(self.x[chosen], self.how.augment, rng)
        subnets, teachers = self._members(rng)
        found = [inputs(one, images, i < teachers) for i, one in enumerate(subnets)]
        return found, self.y[chosen]

    def _members(self, rng: np.random.Generator) -> tuple[list[Subnet], int]:
        """The members of a step, and how many of them the labels teach, the first ones."""
        count = self.how.members
        if self.nets is not None:
            return [self.nets[i] for i in rng.integers(len(self.nets), size=count)], count
        drawn = [self.space.net(sample(self.space, rng)) for _ in range(count - 2)]
        return [self.large, self.small, *(locate(self.whole, net) for net in drawn)], 1


def inputs(subnet: Subnet, images: np.ndarray, teaches: bool) -> dict[str, np.ndarray]:
    """What `Sandwich` reads. A row an image, though all are alike."""
    n = len(images)
    return {
        "images": resized(images, size_of(subnet.net)),
        "sizes": np.repeat(subnet.sizes.reshape(1, -1), n, axis=0),
        "teaches": np.full((n, 1), teaches, np.float32),
    }


def size_of(net: Net) -> tuple[int, int]:
    """Rows and columns of what the net reads."""
    return net.input_shape[0], net.input_shape[1]
