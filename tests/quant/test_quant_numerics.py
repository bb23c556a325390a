"""Multipliers and ranges against exact rational numbers and figures worked out by hand.

That they are TFLM's, to the bit, is shown by the kernel tests, which run TFLM.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tflm_opt.errors import UnsupportedModel
from tflm_opt.quant import numerics

SCALE = st.floats(2.0**-20, 2.0**10, width=32)


def real(multiplier: int, shift: int) -> Fraction:
    return Fraction(multiplier, 2**31) * Fraction(2) ** shift


@pytest.mark.parametrize(
    ("value", "pair"),
    [
        (0.0, (0, 0)),
        (1.0, (2**30, 1)),
        (0.5, (2**30, 0)),
        (0.75, (3 * 2**29, 0)),
        (2.0**-32, (2**30, -31)),
        (2.0**-33, (0, 0)),
        (2.0**30, (2**30, 31)),
        (math.nextafter(1.0, 0.0), (2**30, 1)),  # rounds up to the next power
    ],
)
def test_multipliers_by_hand(value: float, pair: tuple[int, int]) -> None:
    assert numerics.quantize_multiplier(value) == pair


@given(st.floats(2.0**-31, 2.0**30))
def test_a_multiplier_is_the_nearest(value: float) -> None:
    multiplier, shift = numerics.quantize_multiplier(value)
    assert 2**30 <= multiplier < 2**31
    error = abs(real(multiplier, shift) - Fraction(value))
    assert error <= Fraction(2) ** (shift - 31) / 2


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf"), 2.0**31])
def test_factors_that_have_no_multiplier(value: float) -> None:
    with pytest.raises(UnsupportedModel):
        numerics.quantize_multiplier(value)


@given(st.floats(-1e9, 1e9))
def test_rounding(value: float) -> None:
    exact = Fraction(value)
    want = math.floor(abs(exact) + Fraction(1, 2)) * (1 if exact >= 0 else -1)
    assert numerics.round_half_away(value) == want


@pytest.mark.parametrize(
    ("activation", "scale", "zero_point", "bounds"),
    [
        ("NONE", 0.1, 3, (-128, 127)),
        ("TANH", 0.1, 3, (-128, 127)),
        ("RELU", 0.1, 3, (3, 127)),
        ("RELU", 0.1, -128, (-128, 127)),
        ("RELU6", 0.1, -128, (-128, -68)),
        ("RELU6", 6.0 / 255, -128, (-128, 127)),
        ("RELU6", 0.01, 0, (0, 127)),
        ("RELU_N1_TO_1", 0.1, 0, (-10, 10)),
        ("RELU_N1_TO_1", 0.4, 0, (-3, 3)),  # 2.5 goes away from zero
    ],
)
def test_activation_ranges(
    activation: str, scale: float, zero_point: int, bounds: tuple[int, int]
) -> None:
    assert numerics.activation_range(activation, scale, zero_point) == bounds


@given(SCALE, st.lists(SCALE, min_size=1, max_size=5), SCALE)
def test_channel_multipliers(source: float, filters: list[float], output: float) -> None:
    count = len(filters) if len(filters) > 1 else 4
    try:
        multipliers, shifts = numerics.channel_multipliers(source, filters, output, count)
    except UnsupportedModel:
        assert max(filters) * source / output >= 2.0**30
        return
    assert multipliers.dtype == shifts.dtype == np.int32
    assert len(multipliers) == len(shifts) == count
    for i in range(count):
        scale = filters[i % len(filters)]
        want = Fraction(source) * Fraction(scale) / Fraction(output)
        got = real(int(multipliers[i]), int(shifts[i]))
        assert got == 0 or abs(got / want - 1) < Fraction(1, 2**29)


@given(SCALE, SCALE, SCALE)
def test_per_tensor_products(source: float, filters: float, output: float) -> None:
    try:
        multiplier, shift = numerics.product_multiplier(source, filters, output)
    except UnsupportedModel:
        assert source * filters / output >= 2.0**30
        return
    want = Fraction(source) * Fraction(filters) / Fraction(output)
    got = real(multiplier, shift)
    assert got == 0 or abs(got / want - 1) < Fraction(1, 2**30)


@given(SCALE, SCALE, SCALE)
def test_sum_factors_stay_below_one(first: float, second: float, output: float) -> None:
    for parameters in (numerics.add_parameters, numerics.sub_parameters):
        try:
            factors = parameters(first, second, output)
        except UnsupportedModel:
            assert max(first, second) / output > 2.0**18 or min(first, second) == 0
            continue
        assert factors.left_shift == 20
        for multiplier, shift in (factors.input1, factors.input2, factors.output):
            assert shift <= 0
            assert 0 <= multiplier < 2**31
        larger = factors.input1 if first >= second else factors.input2
        assert larger == (2**30, 0)  # half


@given(st.floats(1e-3, 1e3), st.integers(1, 10**6))
def test_mean_multipliers(value: float, count: int) -> None:
    multiplier, shift = numerics.mean_multiplier(value, count)
    got = real(multiplier, shift)
    assert abs(got / (Fraction(value) / count) - 1) < Fraction(1, 2**28)
    assert got <= real(*numerics.quantize_multiplier(value)) / count  # rounded down


@pytest.mark.parametrize(
    ("beta", "scale", "want"),
    [
        (1.0, 1.0, (2**30, 27, -15)),
        (1.0, 0.5, (2**30, 26, -31)),
        (2.0, 0.5, (2**30, 27, -15)),
        (1.0, 1e9, (2**31 - 1, 31, 0)),
    ],
)
def test_softmax_factors(beta: float, scale: float, want: tuple[int, int, int]) -> None:
    got = numerics.softmax_parameters(beta, scale)
    assert (got.multiplier, got.shift, got.diff_min) == want
