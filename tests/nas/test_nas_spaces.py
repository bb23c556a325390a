"""Spaces: every architecture is a net, names are of different nets, all are parts of one."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tflm_opt.nas import spaces
from tflm_opt.nas.space import Space, key, largest, sample, smallest

SHAPES = ((64, 64, 3), (28, 28, 1), (8, 8, 1))


def drawn(space: Space, count: int = 60, seed: int = 0) -> list[dict]:
    rng = np.random.default_rng(seed)
    return [largest(space), smallest(space), *(sample(space, rng) for _ in range(count))]


@pytest.mark.parametrize("shape", SHAPES)
def test_canonical_names_are_of_different_nets(shape: tuple[int, int, int]) -> None:
    space = spaces.default(shape, 10)
    nets = {}
    for architecture in drawn(space):
        assert space.canonical(architecture) == architecture
        nets[key(architecture)] = json.dumps(space.net(architecture).to_json())
    assert len(set(nets.values())) == len(nets) > 40


@pytest.mark.parametrize("shape", SHAPES)
def test_a_space_comes_back_from_json(shape: tuple[int, int, int]) -> None:
    space = spaces.default(shape, 10)
    assert spaces.from_json(json.loads(json.dumps(space.to_json()))) == space
