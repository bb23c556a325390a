"""How accurate a net will be, guessed from the nets that were evaluated.

An evaluation costs far more than a guess, so a search draws many children, guesses, and evaluates
the one that promises most. Once-for-All (Cai et al., 2020) trains a neural predictor for that on
thousands of nets; with the few hundred of a small study, kernel ridge regression does it: two nets
are alike as far as their choices are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .space import Architecture, Space

_SHARPNESS = (0.5, 2.0, 6.0)  # how fast likeness falls; fitted
_NOISE = (0.01, 0.1, 1.0)  # of results, as a part of their variance; fitted
_DIGITS = 6  # of a guess: sums differ in the last bits from machine to machine


class Predictor:
    """Guesses of accuracy.

    Example:
        >>> predictor = Predictor(space, architectures, accuracies)
        >>> predictor([one, other])
        array([0.8312, 0.7904])

    Args:
        space: of the architectures.
        architectures: that were evaluated, canonical; two or more.
        accuracies: theirs, (n,).
    """

    def __init__(
        self, space: Space, architectures: Sequence[Architecture], accuracies: Sequence[float]
    ) -> None:
        self._ranks = {
            name: {value: rank / (len(values) - 1) for rank, value in enumerate(values)}
            for name, values in space.choices.items()
            if len(values) > 1
        }
        self._known = self._rows(architectures)
        target = np.asarray(accuracies, float)
        self._mean = target.mean()
        apart = self._apart(self._known)
        fits = [
            (*_fitted(np.exp(-sharpness * apart), target - self._mean, noise), sharpness)
            for sharpness in _SHARPNESS
            for noise in _NOISE
        ]
        _, self._weights, self._sharpness = min(fits, key=lambda fit: fit[0])

    def __call__(self, architectures: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """Guesses, (n,), larger is better."""
        like = np.exp(-self._sharpness * self._apart(self._rows(architectures)))
        return np.round(self._mean + like @ self._weights, _DIGITS)

    def _rows(self, architectures: Sequence[Mapping[str, Any]]) -> np.ndarray:
        rows = [[rank[a[name]] for name, rank in self._ranks.items()] for a in architectures]
        return np.array(rows).reshape(len(rows), len(self._ranks))

    def _apart(self, rows: np.ndarray) -> np.ndarray:
        """How unlike each row is to each known one, (rows, known): 0 is the same.

        A choice counts half by whether it differs, half by how far.
        """
        far = np.abs(rows[:, None, :] - self._known[None])
        return ((far > 0) + far).sum(-1) / (2 * max(1, len(self._ranks)))


def _fitted(like: np.ndarray, target: np.ndarray, noise: float) -> tuple[float, np.ndarray]:
    """Weights of the known, and the mean square error when each is left out in turn."""
    inverse = np.linalg.inv(like + noise * np.eye(len(like)))
    weights = inverse @ target
    return float(np.mean((weights / np.diag(inverse)) ** 2)), weights
