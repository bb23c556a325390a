"""The benchmark's generated data: the same for the same seed, all classes, areas that are right."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
import nas_data
import nas_experiments


def test_shapes_are_the_same_for_the_same_seed() -> None:
    x, y = nas_data.shapes64(3, 450)
    again, labels = nas_data.shapes64(3, 230)
    assert (again == x[:230]).all()
    assert (labels == y[:230]).all()
    assert not (nas_data.shapes64(4, 230)[0] == again).all((1, 2, 3)).any()


def test_shapes_are_pictures_of_all_classes() -> None:
    x, y = nas_data.shapes64(0, 400)
    assert x.shape == (400, 64, 64, 1)
    assert x.dtype == np.float32
    assert 0 <= x.min() < 0.05
    assert 0.95 < x.max() <= 1
    assert set(y) == set(range(len(nas_data.SHAPES)))
    assert len({image.tobytes() for image in x}) == 400


@pytest.mark.parametrize("name", nas_data.SHAPES)
def test_areas_are_those_of_the_outlines(name: str) -> None:
    """Against the shoelace formula."""
    points = nas_data._OUTLINES[name] * 20 + 31.3
    after = np.roll(points, -1, 0)
    area = abs(np.sum(points[:, 0] * after[:, 1] - after[:, 0] * points[:, 1])) / 2
    drawn = nas_data._areas(points[None], 64)
    assert drawn.sum() == pytest.approx(area, rel=0.03)
    assert np.median(drawn[drawn > 0.3]) == pytest.approx(1, abs=0.05)


def test_digits_are_split_in_three() -> None:
    parts = nas_data.digits()
    assert [x.shape[1:] for x, _ in parts] == [(32, 32, 1)] * 3
    images = [{image.tobytes() for image in x} for x, _ in parts]
    assert len(parts[0][0]) + len(parts[1][0]) + len(parts[2][0]) == 1797
    assert not images[0] & images[2]
    assert not images[1] & images[2]


def test_nets_are_drawn_until_no_other_fits() -> None:
    """And no further: a benchmark would never end."""
    from tflm_opt.nas.limits import Limits
    from tflm_opt.nas.spaces import MobileNet, Stage

    stages = (Stage(16, 2, (1, 2), (3, 5), (2, 3)),)
    space = MobileNet((16, 16, 1), 4, stages, width=(0.5, 1.0), resolution=(12, 16), stem=8)
    every = nas_experiments.drawn(space, Limits(), 10_000)
    few = nas_experiments.drawn(space, Limits(sram=min(one.cost.sram for one in every)), 10_000)
    assert len({one.label for one in every}) == len(every) == 80
    assert 1 <= len(few) < len(every)
    assert [one.label for one in nas_experiments.drawn(space, Limits(), 3)] == [
        one.label for one in every[:3]
    ]
