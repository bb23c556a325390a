"""TFLM's fixed-point arithmetic on arrays of int32 values, for tables made offline.

Values are held in int64 arrays and every step lands in the int32 range, exactly as the C++ does
it: rounding twice, wrapping where a left shift overflows, saturating where the reference
saturates. A name ends in `_q31` where the result stands for value / 2^31.

The algorithms are those of gemmlowp's `fixedpoint.h` (exponential by a Taylor step and a chain of
constant factors, division by Newton's method), which TFLite's reference kernels call. Constants
are written as the real numbers they stand for.
"""

from __future__ import annotations

import math

import numpy as np

INT32_MIN, INT32_MAX = -(1 << 31), (1 << 31) - 1
INT16_MIN, INT16_MAX = -(1 << 15), (1 << 15) - 1

Ints = np.ndarray  # int64 values


def wrap32(x: Ints) -> Ints:
    """The low 32 bits of each value, as signed numbers.

    >>> wrap32(np.array([1 << 31]))
    array([-2147483648])
    """
    return ((x + (1 << 31)) & 0xFFFFFFFF) - (1 << 31)


def clip32(x: Ints) -> Ints:
    """Values outside the int32 range become its nearest end."""
    return np.clip(x, INT32_MIN, INT32_MAX)


def high_mul(a: Ints, b: Ints | int) -> Ints:
    """round(a * b / 2^31), halves up; the one product that does not fit saturates."""
    return np.minimum((a * b + (1 << 30)) >> 31, INT32_MAX)


def divide_by_pot(x: Ints, exponent: int) -> Ints:
    """x / 2^exponent to nearest, halves away from zero; 0 <= exponent <= 31."""
    mask = (1 << exponent) - 1
    if exponent == 31:
        mask = INT32_MAX
    threshold = (mask >> 1) + (x < 0)
    return (x >> exponent) + ((x & mask) > threshold)


def requantize(x: Ints, multiplier: int, shift: int) -> Ints:
    """x * multiplier * 2^(shift - 31), rounded twice: TFLM's MultiplyByQuantizedMultiplier.

    Args:
        x: values in the int32 range.
        multiplier: at least 0.
        shift: -31..31; a left shift that overflows wraps, as it does in the reference.
    """
    left, right = max(shift, 0), max(-shift, 0)
    return divide_by_pot(high_mul(wrap32(x << left), multiplier), right)


def exp_of_negative_q31(a: Ints, integer_bits: int) -> Ints:
    """exp(a) in Q0.31 for a <= 0.

    Args:
        a: fixed-point numbers with `integer_bits` (4 or 5) bits before the point.
    """
    fraction_bits = 31 - integer_bits
    quarter = 1 << (fraction_bits - 2)
    # a = a_mod - remainder, with a_mod in [-1/4, 0) and a remainder of whole quarters.
    a_mod = (a & (quarter - 1)) - quarter
    remainder = a_mod - a
    result = _exp_near_zero_q31(a_mod << integer_bits)
    for exponent in range(-2, integer_bits):
        factor = round(math.exp(-(2.0**exponent)) * 2.0**31)
        chosen = (remainder >> (fraction_bits + exponent)) & 1
        result = np.where(chosen == 1, high_mul(result, factor), result)
    return np.where(a == 0, INT32_MAX, result)


def _exp_near_zero_q31(a: Ints) -> Ints:
    """exp(a) for a in [-1/4, 0), both in Q0.31: Taylor's series around -1/8 to the 4th power."""
    centre = round(math.exp(-1 / 8) * 2.0**31)
    third = round(2.0**31 / 3)
    x = a + (1 << 28)
    x2 = high_mul(x, x)
    x3 = high_mul(x2, x)
    x4 = high_mul(x2, x2)
    higher = divide_by_pot(high_mul(divide_by_pot(x4, 2) + x3, third) + x2, 1)
    return centre + high_mul(x + higher, centre)


def _inverse_of_half_q29(half: Ints) -> Ints:
    """1 / half for half in [1/2, 1), from Q0.31 to Q2.29, by three steps of Newton's method."""
    x = round(48 / 17 * 2.0**29) + high_mul(half, round(-32 / 17 * 2.0**29))
    for _ in range(3):
        error = (1 << 29) - high_mul(half, x)
        x = x + clip32(high_mul(x, error) << 2)
    return x


def logistic_q31(a: Ints) -> Ints:
    """1 / (1 + exp(-a)) in Q0.31, for `a` in Q4.27."""
    half = (exp_of_negative_q31(-np.abs(a), 4) + INT32_MAX + 1) >> 1
    positive = clip32(_inverse_of_half_q29(half) << 1)
    return np.where(a > 0, positive, np.where(a == 0, 1 << 30, INT32_MAX - positive))


def tanh_q31(a: Ints) -> Ints:
    """tanh(a) in Q0.31, for `a` in Q4.27."""
    # exp(-2|a|): the same bits read with one more integer bit are twice the value.
    half = (exp_of_negative_q31(-np.abs(a), 5) + INT32_MAX + 1) >> 1
    magnitude = clip32((_inverse_of_half_q29(half) - (1 << 29)) << 2)
    return np.where(a == 0, 0, np.sign(a) * magnitude)


def high_mul16(a: Ints, b: Ints | int) -> Ints:
    """round(a * b / 2^15) for int16 values, halves up, saturating."""
    return np.minimum((a * b + (1 << 14)) >> 15, INT16_MAX)


def high_mul16_truncating(a: Ints, b: Ints) -> Ints:
    """a * b / 2^15 for int16 values, towards zero, saturating."""
    product = a * b
    return np.minimum(np.sign(product) * (np.abs(product) >> 15), INT16_MAX)


def divide_by_pot16(x: Ints, exponent: int) -> Ints:
    """As `divide_by_pot` on int16 values. The mask is an int16 too: from 16 up it is all ones."""
    mask = (1 << exponent) - 1 if exponent < 16 else -1
    threshold = (mask >> 1) + (x < 0)
    return (x >> exponent) + ((x & mask) > threshold)


def shift_left16(x: Ints, amount: int) -> Ints:
    """x * 2^amount for int16 values, saturating."""
    return np.clip(x << amount, INT16_MIN, INT16_MAX)


def inverse_sqrt(value: int) -> tuple[int, int]:
    """(multiplier, shift) with multiplier * 2^(shift - 31) near 1 / sqrt(value), for value > 0.

    Five steps of Newton's method from 1, on value scaled by a power of four into [1/4, 1).
    """
    if value <= 1:
        return INT32_MAX, 0
    pairs = (32 - value.bit_length() - 1) // 2 - 1
    shift = 11 - pairs
    scaled = np.array([(value << (2 * pairs)) >> 1], np.int64)  # Q3.28
    half = divide_by_pot(scaled, 1)
    x = np.array([1 << 28], np.int64)
    for _ in range(5):
        cube = clip32(high_mul(high_mul(x, x), x) << 6)  # Q9.22 to Q3.28
        x = clip32((high_mul(x, (1 << 28) + (1 << 27)) - high_mul(half, cube)) << 3)
    multiplier = int(high_mul(x, round(math.sqrt(0.5) * 2.0**31))[0])
    return (multiplier << -shift, 0) if shift < 0 else (multiplier, -shift)
