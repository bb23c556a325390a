"""Requantization in short form against TFLM's arithmetic."""

from __future__ import annotations

import numpy as np
import pytest

from tflm_opt.codegen import short_form
from tflm_opt.quant import fixed_point


def short(sums: np.ndarray, multiplier: int, shift: int, offset: int, low: int) -> np.ndarray:
    """As the instructions compute it."""
    constant = 64 + (1 << (6 - shift)) + offset * (1 << (7 - shift))
    t = ((sums * 256 * multiplier) >> 32) + constant
    if low < offset:
        t = t + (sums >> 63) * 128
    assert np.abs(t).max() < 1 << 31
    return np.clip(t >> (7 - shift), low, 127)


@pytest.mark.parametrize("shift", short_form.SHIFTS)
@pytest.mark.parametrize("offset", [-128, -3, 0, 127])
def test_near_and_far_sums(shift: int, offset: int) -> None:
    rng = np.random.default_rng(100_000 + shift * 1000 + offset)
    sums = np.arange(-short_form.SUMS + 1, short_form.SUMS, 97 - shift, dtype=np.int64)
    sums = np.concatenate([sums, np.arange(-(1 << 16), 1 << 16)])
    for low in {-128, max(offset, -128)}:
        multiplier = int(rng.integers(1 << 30, 1 << 31))
        expected = fixed_point.requantize(sums, multiplier, shift) + offset
        made = short(sums, multiplier, shift, offset, low)
        assert (made == np.clip(expected, low, 127)).all()
        found = short_form.differing(np.array([multiplier]), np.array([shift]), offset, low)
        assert found == ()


def test_many_channels_have_no_differing_one() -> None:
    rng = np.random.default_rng(5)
    multipliers = rng.integers(1 << 30, 1 << 31, 300)
    multipliers[:3] = (1 << 30, (1 << 31) - 1, 0)
    shifts = rng.integers(-15, 0, 300)
    for offset, low in ((-128, -128), (4, -128), (-100, -100), (127, -128)):
        assert short_form.differing(multipliers, shifts, offset, low) == ()


def test_a_wrong_short_form_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the kink left out, or a constant too small, the channel is named."""
    crossings = short_form._crossings

    def without_kink(m: np.ndarray, s: int, o: int, low: int) -> np.ndarray:
        return crossings(m, s, low, low) - crossings(m, s, low, low)[:, [o - low - 1]]

    monkeypatch.setattr(short_form, "_crossings", without_kink)
    multipliers, shifts = np.array([1 << 30, 1518500250]), np.array([-9, -7])
    assert short_form.differing(multipliers, shifts, 0, -128) == (0, 1)
    monkeypatch.setattr(
        short_form,
        "_crossings",
        lambda m, s, o, low: crossings(m, s, o, low) + 1,
    )
    assert short_form.differing(multipliers, shifts, 0, -128) == (0, 1)


def test_shifts_without_a_short_form_are_left_to_tflms_steps() -> None:
    shifts = np.array([-16, -15, -1, 0, 1])
    assert short_form.has_short_form(shifts).tolist() == [False, True, True, False, False]
    assert short_form.differing(np.full(5, 1 << 30), shifts, 0, -128) == ()
