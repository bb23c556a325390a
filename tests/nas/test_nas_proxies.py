"""Proxies: a net that can't learn scores lowest, models stay as they are, ranks add up."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from test_nas_evaluate import net, stripes

from tflm_opt.nas.build import build
from tflm_opt.nas.proxies import PROXIES, correlation, rank, scores

X, Y = stripes(32)


def dead() -> Any:
    """A net whose ReLUs are all off: nothing of its input gets to its output."""
    model = build(net(12, filters=12), seed=0)
    norm = model.get_layer("a_norm")
    norm.gamma.assign(np.zeros(12))
    norm.beta.assign(np.full(12, -1))
    return model


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", sorted(PROXIES))
def test_a_dead_net_scores_lowest(name: str) -> None:
    alive = [PROXIES[name](build(net(12, filters=n), seed=0), X, Y) for n in (2, 12)]
    assert all(math.isfinite(score) for score in alive)
    assert PROXIES[name](dead(), X, Y) < min(alive)


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", ["naswot", "synflow"])
def test_a_wider_net_scores_higher(name: str) -> None:
    small, large = (PROXIES[name](build(net(12, filters=n), seed=0), X, Y) for n in (2, 24))
    assert small < large


@pytest.mark.tensorflow
def test_models_stay_as_they_are() -> None:
    model = build(net(12), seed=0)
    before = model.get_weights()
    first = scores(model, X, Y, sorted(PROXIES))
    for one, other in zip(model.get_weights(), before, strict=True):
        assert np.array_equal(one, other)
    assert scores(model, X, Y, sorted(PROXIES)) == pytest.approx(first)


@pytest.mark.tensorflow
def test_the_gradient_is_the_gradient() -> None:
    """Of the norm of a linear net, against a difference quotient of its loss."""
    import keras

    from tflm_opt.nas.proxies import grad_norm

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, activation="softmax")])
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(5, 3)).astype(np.float32), rng.integers(0, 2, 5)
    kernel, bias = (w.astype(np.float64) for w in model.get_weights())

    def loss(kernel: np.ndarray, bias: np.ndarray) -> float:
        logits = x @ kernel + bias
        logs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        return float(-logs[np.arange(5), y].mean())

    norms = []
    for i, weights in enumerate((kernel, bias)):
        slopes = []
        for place in np.ndindex(weights.shape):
            step = np.zeros_like(weights)
            step[place] = 1e-5
            ends = [[kernel, bias], [kernel, bias]]
            ends[0][i], ends[1][i] = weights + step, weights - step
            slopes.append((loss(*ends[0]) - loss(*ends[1])) / 2e-5)
        norms.append(np.linalg.norm(slopes))
    assert grad_norm(model, x, y) == pytest.approx(sum(norms), rel=1e-3)


def test_unknown_proxies() -> None:
    with pytest.raises(ValueError, match="no proxy 'luck'; known are grad_norm"):
        scores(None, X, Y, ["luck"])


def test_ranks_add_up() -> None:
    table = [{"a": 1.0, "b": 30.0}, {"a": 2.0, "b": -math.inf}, {"a": math.nan, "b": 40.0}]
    assert rank(table) == pytest.approx([0.5, 0.5, 0.5])
    assert rank([{"a": 3.0}, {"a": 3.0}, {"a": 9.0}]) == [0.25, 0.25, 1.0]
    assert rank([]) == []
    assert rank([{"a": 1.0}]) == [0.0]


def test_rank_correlation() -> None:
    from scipy.stats import spearmanr

    rng = np.random.default_rng(0)
    one, other = rng.integers(0, 6, 20), rng.integers(0, 6, 20)
    assert correlation(one.tolist(), other.tolist()) == pytest.approx(spearmanr(one, other)[0])
    assert correlation([1, 2, 3], [10, 200, 3000]) == pytest.approx(1)
    assert math.isnan(correlation([1, 1], [1, 2]))
