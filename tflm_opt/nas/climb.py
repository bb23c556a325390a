"""Training from rung to rung: a net goes on with the weights that the rung before left on disk.

    STUDY/rungs/KEY-1.npz      after the first epoch
                KEY-2.npz      and after the second …

Each rung's learning rate falls to nothing by itself (a warm restart), so that accuracies of one
rung compare, and what is kept between rungs is weights alone. A file that is gone costs time and
nothing else: the rungs up to it are climbed again, and end with the same weights.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from . import proxies
from .data import written
from .evaluate import Evaluation, TrainEvaluator, fresh_session
from .finish import spread
from .net import Net
from .recipe import train
from .space import key

FOLDER = "rungs"  # in a study's directory


class ClimbEvaluator:
    """Trains a net up to a rung, from the last one that its weights are kept of.

    Example:
        >>> evaluator = ClimbEvaluator(TrainEvaluator(data), "faces/rungs")
        >>> evaluator.evaluate(architecture, net, seed=0, epochs=(1, 2, 4)).accuracy
        0.8125

    Args:
        trainer: its data and recipe; how many epochs is for the rungs to say.
        folder: for the weights.
        proxy: what `score` is, one of `proxies.PROXIES`.
    """

    def __init__(self, trainer: TrainEvaluator, folder: str | Path, *, proxy: str = "") -> None:
        self.trainer = trainer
        self.folder = Path(folder)
        self.proxy = proxy

    def evaluate(
        self, architecture: Mapping[str, Any], net: Net, *, seed: int, epochs: Sequence[int] = (1,)
    ) -> Evaluation:
        """The accuracy after the last rung. A training that breaks down (NaN) counts as 0.

        Args:
            epochs: that are behind a net after each of its rungs, up to this one.

        Raises:
            DataError, TflmOptError: as `TrainEvaluator.evaluate`.
        """
        data = self.trainer.sized(net)
        done, weights = self._kept(architecture, epochs)
        for before, after in pairwise([0, *epochs][done:]):
            with fresh_session():
                model = self._model(net, seed, weights)
                recipe = self.trainer.recipe.of(after - before)
                loss = train(model, data.x_train, data.y_train, recipe, seed=seed + before)
                if not math.isfinite(loss):
                    return Evaluation(0.0, {"diverged": True, "epochs": after})
                weights = model.get_weights()
            with written(weights_file(self.folder, architecture, after)) as file:
                np.savez(file, *weights)
        with fresh_session():
            found, detail = self.trainer.judged(self._model(net, seed, weights), data, seed=seed)
        return Evaluation(found, {"epochs": epochs[-1], **detail})

    def score(self, net: Net, *, seed: int) -> float:
        """What the proxy says of the untrained net, on a few samples."""
        data = self.trainer.sized(net)
        x, y = (spread(part, proxies.BATCH) for part in (data.x_train, data.y_train))
        with fresh_session():
            model = self.trainer.build(net, seed)
            return proxies.scores(model, x, y, [self.proxy])[self.proxy]

    def _kept(
        self, architecture: Mapping[str, Any], epochs: Sequence[int]
    ) -> tuple[int, list[np.ndarray] | None]:
        """How many rungs are behind a net, and its weights after them."""
        for done in range(len(epochs), 0, -1):
            weights = weights_after(self.folder, architecture, epochs[done - 1])
            if weights is not None:
                return done, weights
        return 0, None

    def _model(self, net: Net, seed: int, weights: list[np.ndarray] | None) -> Any:
        model = self.trainer.build(net, seed)
        if weights is not None:
            model.set_weights(weights)
        return model


def weights_after(
    folder: Path, architecture: Mapping[str, Any], epochs: int
) -> list[np.ndarray] | None:
    """What a rung left of a net; None where it is gone or damaged.

    Args:
        folder: of the weights.
        epochs: that were behind the net then.
    """
    path = weights_file(folder, architecture, epochs)
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            return [file[f"arr_{i}"] for i in range(len(file.files))]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def weights_file(folder: Path, architecture: Mapping[str, Any], epochs: int) -> Path:
    return folder / f"{key(architecture)}-{epochs}.npz"
