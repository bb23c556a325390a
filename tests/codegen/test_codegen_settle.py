"""Other scales for channels that hardly matter: the same outputs for every sum."""

from __future__ import annotations

import numpy as np
import pytest

from tflm_opt.codegen.settle import settled, sums
from tflm_opt.quant import fixed_point


def outputs(
    at: np.ndarray, multiplier: int, shift: int, offset: int, bounds: tuple[int, int]
) -> np.ndarray:
    return np.clip(fixed_point.requantize(at, multiplier, shift) + offset, *bounds)


@pytest.mark.parametrize("offset", [-128, -5, 90])
def test_the_outputs_of_all_sums_stay(offset: int) -> None:
    rng = np.random.default_rng(7)
    count = 60
    multipliers = rng.integers(1 << 30, 1 << 31, count).astype(np.int32)
    shifts = rng.integers(-26, -13, count).astype(np.int32)
    middle = rng.integers(-(1 << 18), 1 << 18, count)
    reach = middle - rng.integers(1, 1 << 18, count), middle + rng.integers(1, 1 << 18, count)
    changed = 0
    for bounds in ((-128, 127), (max(offset, -128), 100)):
        found = settled(multipliers, shifts, reach, offset, bounds)
        for channel in range(count):
            at = np.arange(reach[0][channel], reach[1][channel] + 1)
            before = int(multipliers[channel]), int(shifts[channel])
            after = int(found.multipliers[channel]), int(found.shifts[channel])
            expected = outputs(at, *before, offset, bounds)
            made = outputs(at + found.added[channel], *after, offset, bounds)
            assert (made == expected).all()
            changed += before != after
        if bounds[0] == offset:  # negative sums don't count
            assert (found.shifts >= -15).mean() > 0.9
    assert changed > count // 2


def test_channels_that_need_nothing_stay() -> None:
    multipliers, shifts = np.array([1 << 30, 1518500250], np.int32), np.array([-9, -15], np.int32)
    reach = np.array([-9000, -80000]), np.array([9000, 80000])
    found = settled(multipliers, shifts, reach, 0, (-128, 127))
    assert found.multipliers.tolist() == multipliers.tolist()
    assert found.shifts.tolist() == shifts.tolist()
    assert not found.added.any()


def test_sums_too_large_for_short_form_are_left_alone() -> None:
    multipliers, shifts = np.array([2147480001], np.int32), np.array([-20], np.int32)
    found = settled(multipliers, shifts, (np.array([-(1 << 30)]), np.array([9])), 0, (-128, 127))
    assert found.shifts.tolist() == [-20]


def test_sums_are_those_of_the_worst_inputs() -> None:
    rng = np.random.default_rng(3)
    weights = rng.integers(-127, 128, (3, 2, 2, 5)).astype(np.int8)
    bias = rng.integers(-9999, 9999, 3).astype(np.int32)
    low, high = sums(weights, 0, bias, 7)
    for channel in range(3):
        flat = weights[channel].ravel().astype(int)
        extremes = [[w * (x + 7) for x in (-128, 127)] for w in flat]
        assert low[channel] == bias[channel] + sum(map(min, extremes))
        assert high[channel] == bias[channel] + sum(map(max, extremes))
