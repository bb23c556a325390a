"""Requantization in short form against TFLM's arithmetic."""

from __future__ import annotations

import numpy as np
import pytest

from tflm_opt.codegen import short_form
from tflm_opt.quant import fixed_point


def short(
    form: short_form.Form, sums: np.ndarray, multiplier: int, shift: int, offset: int, low: int
) -> np.ndarray:
    """As the instructions compute it."""
    right = -shift
    if form is short_form.FINE:  # SMMLA
        constant = 64 + (1 << (right + 6)) + offset * (1 << (right + 7))
        t = ((sums * 256 * multiplier) >> 32) + constant
        kink, right = 128, right + 7
    else:  # SMMLAR
        constant = (2 * offset + 1) * (1 << (right - 1))
        t = ((sums * 2 * multiplier + (1 << 31)) >> 32) + constant
        kink = 1
    if low < offset:
        t = t + (sums >> 63) * kink
    assert np.abs(t).max(initial=0) < 1 << 31
    return np.clip(t >> right, low, 127)


CASES = [
    (form, shift, offset)
    for form in short_form.FORMS
    for shift in form.shifts
    for offset in (-128, -3, 127)
]


@pytest.mark.parametrize(("form", "shift", "offset"), CASES)
def test_near_and_far_sums(form: short_form.Form, shift: int, offset: int) -> None:
    rng = np.random.default_rng(100_000 + shift * 1000 + offset)
    step = form.sums // 20_000 - shift
    sums = np.arange(-form.sums + 1, form.sums, step, dtype=np.int64)
    sums = np.concatenate([sums, np.arange(-(1 << 13), 1 << 13)])
    for low in {-128, max(offset, -128)}:
        multiplier = int(rng.integers(1 << 30, (1 << 31) - 1))
        expected = np.clip(fixed_point.requantize(sums, multiplier, shift) + offset, low, 127)
        assert (short(form, sums, multiplier, shift, offset, low) == expected).all()
        at = short_form._crossings(form, np.array([[multiplier]]), shift, offset, low)[0]
        outputs = np.arange(low + 1, 128)
        inside = (at > -form.sums) & (at < form.sums)
        found = at[inside]
        assert (short(form, found, multiplier, shift, offset, low) >= outputs[inside]).all()
        assert (short(form, found - 1, multiplier, shift, offset, low) < outputs[inside]).all()
        assert short_form.differing(np.array([multiplier]), np.array([shift]), offset, low) == ()


def test_many_channels_have_no_differing_one() -> None:
    rng = np.random.default_rng(5)
    multipliers = rng.integers(1 << 30, (1 << 31) - 1, 300)
    multipliers[:3] = (1 << 30, (1 << 31) - 1, 0)
    shifts = rng.integers(-22, 0, 300)
    for offset, low in ((-128, -128), (4, -128), (-100, -100), (127, -128)):
        assert short_form.differing(multipliers, shifts, offset, low) == ()


@pytest.mark.parametrize("form", short_form.FORMS)
def test_a_wrong_short_form_is_found(
    form: short_form.Form, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the kink left out, or a constant too small, the channel is named."""
    crossings = short_form._crossings

    def without_kink(f: short_form.Form, m: np.ndarray, s: int, o: int, low: int) -> np.ndarray:
        if f is not form:
            return crossings(f, m, s, o, low)
        return crossings(f, m, s, low, low) - crossings(f, m, s, low, low)[:, [o - low - 1]]

    def later(f: short_form.Form, m: np.ndarray, s: int, o: int, low: int) -> np.ndarray:
        return crossings(f, m, s, o, low) + (f is form)

    multipliers, shifts = np.array([1 << 30, 1518500250]), np.array([-9, -7])
    for wrong in (without_kink, later):
        monkeypatch.setattr(short_form, "_crossings", wrong)
        assert short_form.differing(multipliers, shifts, 0, -128) == (0, 1)


def test_shifts_without_a_short_form_are_left_to_tflms_steps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def differ(form: short_form.Form, m: np.ndarray, shift: int, *_: int) -> np.ndarray:
        asked.append((form, shift))
        return np.zeros(len(m), bool)

    monkeypatch.setattr(short_form, "_differ", differ)
    shifts = np.array([-23, -22, -16, -15, -1, 0, 1])
    assert short_form.differing(np.full(7, 1 << 30), shifts, 0, -128) == ()
    assert asked == [
        (short_form.COARSE, -22),
        (short_form.COARSE, -16),
        (short_form.FINE, -15),
        (short_form.COARSE, -15),
        (short_form.FINE, -1),
        (short_form.COARSE, -1),
    ]
