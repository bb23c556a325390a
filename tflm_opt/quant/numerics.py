"""Quantized arithmetic as TFLM prepares it: multipliers, shifts, ranges, in the same precision.

A kernel is bit-exact only if its constants are, and they come from float scales: TFLM mixes
float32 and float64, op by op, and so do we (`np.float32` where it says `float`). Everything
here is a few lines of integer or IEEE arithmetic; nothing needs TensorFlow.

Sources: TFLite's `quantization_util.cc` (QuantizeMultiplier, PreprocessSoftmaxScaling),
`kernel_util.cc` (CalculateActivationRangeQuantized) and the Prepare functions of TFLM's kernels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from tflm_opt.errors import UnsupportedModel

RANGES: dict[str, tuple[int, int]] = {
    "int8": (-128, 127),
    "uint8": (0, 255),
    "int16": (-32768, 32767),
}
_INT32_MAX = 2**31 - 1


def round_half_away(value: float) -> int:
    """`std::round`: to nearest, halves away from zero.

    >>> round_half_away(2.5), round_half_away(-2.5), round_half_away(0.49999999999999994)
    (3, -3, 0)
    """
    whole = math.trunc(value)
    rest = value - whole
    return whole + (1 if rest >= 0.5 else -1 if rest <= -0.5 else 0)


def quantize_multiplier(real: float) -> tuple[int, int]:
    """A real factor as (multiplier, shift): real ≈ multiplier / 2^31 * 2^shift.

    >>> quantize_multiplier(0.75)
    (1610612736, 0)

    multiplier is 0 or in [2^30, 2^31); factors under about 2^-32 become (0, 0).

    Raises:
        UnsupportedModel: not a finite number, negative, or of 2^31 and more, where TFLM's
            shifts are undefined.
    Source: TFLite's QuantizeMultiplier.
    """
    if not math.isfinite(real) or real < 0:
        raise UnsupportedModel(
            f"the scales make a factor of {real}", remedy="Scales must be positive numbers"
        )
    if real == 0.0:
        return 0, 0
    fraction, shift = math.frexp(real)
    fixed = round_half_away(fraction * 2.0**31)
    if fixed == 2**31:
        fixed //= 2
        shift += 1
    if shift < -31:
        return 0, 0
    if shift > 31:
        raise UnsupportedModel(
            f"the scales make a factor of {real:g}, more than a 32-bit shift can hold",
            remedy="The input's scale is far too large for the output's: calibrate again",
        )
    return fixed, shift


def multiplier_below_one(real: float) -> tuple[int, int]:
    """`quantize_multiplier` of a factor that must lie between 0 and 1, or TFLM aborts.

    Raises: UnsupportedModel otherwise, also when rounding makes it 1.
    """
    multiplier, shift = quantize_multiplier(real) if 0.0 < real < 1.0 else (0, 1)
    if shift > 0:
        raise UnsupportedModel(
            f"the scales make a factor of {real:g} where TFLM takes only factors between 0 and 1",
            remedy="The output's scale is far too small for the inputs': calibrate again",
        )
    return multiplier, shift


def quantized_value(value: float, scale: float, zero_point: int) -> int:
    """A real bound on the scale of a tensor, unclamped; float32 division as TFLM's.

    Raises: UnsupportedModel if it does not fit an int32.
    """
    with np.errstate(all="ignore"):
        quotient = float(np.float32(value) / np.float32(scale))
    if not -(2.0**31) <= quotient <= 2.0**31:
        raise UnsupportedModel(f"the activation's bound {value} overflows at scale {scale:g}")
    return zero_point + round_half_away(quotient)


def activation_range(
    activation: str, scale: float, zero_point: int, dtype: str = "int8"
) -> tuple[int, int]:
    """The output's least and greatest stored value under a fused activation, both inclusive.

    >>> activation_range("RELU6", scale=0.05, zero_point=-128)
    (-128, -8)

    TANH and SIGN_BIT have no quantized form and don't clamp, as in TFLM.
    Source: CalculateActivationRangeQuantized.
    """
    low, high = RANGES[dtype]
    bounds: dict[str, tuple[float | None, float | None]] = {
        "RELU": (0.0, None),
        "RELU6": (0.0, 6.0),
        "RELU_N1_TO_1": (-1.0, 1.0),
    }
    least, greatest = bounds.get(activation, (None, None))
    if least is not None:
        low = max(low, quantized_value(least, scale, zero_point))
    if greatest is not None:
        high = min(high, quantized_value(greatest, scale, zero_point))
    return low, high


def channel_multipliers(
    input_scale: float, filter_scales: Iterable[float], output_scale: float, channels: int
) -> tuple[np.ndarray, np.ndarray]:
    """(multipliers, shifts), int32 of shape (channels,), of a convolution's output channels.

    One filter scale stands for all channels. Products in float64, as in
    PopulateConvolutionQuantizationParams.
    """
    scales = np.array([float(s) for s in filter_scales], np.float64)
    with np.errstate(all="ignore"):
        reals = float(input_scale) * scales / float(output_scale)
    multipliers, shifts = _quantize_multipliers(reals)
    if len(reals) == 1:
        multipliers, shifts = np.repeat(multipliers, channels), np.repeat(shifts, channels)
    return multipliers, shifts


def _quantize_multipliers(reals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`quantize_multiplier` of each, int32."""
    fractions, shifts = np.frexp(reals)
    with np.errstate(all="ignore"):
        fixed = np.floor(fractions * 2.0**31 + 0.5)  # exact: a fraction has 53 bits
    whole = fixed == 2.0**31
    fixed, shifts = np.where(whole, 2.0**30, fixed), shifts + whole
    odd = ~(np.isfinite(reals) & (reals > 0) & (shifts >= -31) & (shifts <= 31))
    fixed, shifts = np.where(odd, 0, fixed).astype(np.int32), shifts.astype(np.int32)
    for k in np.flatnonzero(odd).tolist():
        fixed[k], shifts[k] = quantize_multiplier(float(reals[k]))
    return fixed, shifts


def product_multiplier(
    input_scale: float, filter_scale: float, output_scale: float
) -> tuple[int, int]:
    """The factor of a per-tensor fully connected, in float64.

    TFLM's sources of 2026-08 multiply the scales in float32; the wheel of 2026-10 does not, which
    shows where a sum falls on a rounding border.
    Source: GetQuantizedConvolutionMultipler.
    """
    return quantize_multiplier(float(input_scale) * float(filter_scale) / float(output_scale))


@dataclass(frozen=True, slots=True)
class SumParameters:
    """Factors of ADD and SUB: inputs to a common scale after `left_shift`, then to the output."""

    left_shift: int
    input1: tuple[int, int]
    input2: tuple[int, int]
    output: tuple[int, int]


def add_parameters(
    scale1: float, scale2: float, output_scale: float, left_shift: int = 20
) -> SumParameters:
    """ADD's factors, all in float64; for int16, `left_shift` is 15. Source: CalculateOpDataAdd.

    Raises: UnsupportedModel when a factor is not below one.
    """
    twice = 2.0 * max(scale1, scale2)
    return SumParameters(
        left_shift,
        multiplier_below_one(scale1 / twice),
        multiplier_below_one(scale2 / twice),
        multiplier_below_one(twice / (2.0**left_shift * output_scale)),
    )


def sub_parameters(
    scale1: float, scale2: float, output_scale: float, left_shift: int = 20
) -> SumParameters:
    """SUB's factors: as ADD's, in float64 (float32 in TFLM's sources of 2026-08, see above).

    Raises: UnsupportedModel when a factor is not below one. Source: CalculateOpDataSub.
    """
    return add_parameters(scale1, scale2, output_scale, left_shift)


def squared_difference_parameters(
    scale1: float, scale2: float, output_scale: float
) -> SumParameters:
    """SQUARED_DIFFERENCE's factors: both inputs to a common scale, its square to the output's.

    Raises: UnsupportedModel when an input's factor is not below one.
    Source: PrepareQuantized of TFLM's squared_difference.cc.
    """
    left_shift = 7
    twice = 2.0 * max(scale1, scale2)
    return SumParameters(
        left_shift,
        multiplier_below_one(scale1 / twice),
        multiplier_below_one(scale2 / twice),
        quantize_multiplier(twice * twice / (2.0 ** (2 * left_shift) * output_scale)),
    )


def mul_parameters(scale1: float, scale2: float, output_scale: float) -> tuple[int, int]:
    """MUL's factor, in float64. Source: CalculateOpDataMul."""
    return quantize_multiplier(float(scale1) * float(scale2) / float(output_scale))


def mean_multiplier(real: float, count: int) -> tuple[int, int]:
    """The factor of a mean over `count` elements: 1 / count folded into that of the scales.

    The multiplier is shifted left by the count's bits and divided, rounding down, so it may be
    less than 2^30. Source: QuantizedMeanOrSum.
    """
    multiplier, shift = quantize_multiplier(real)
    bits = min(count.bit_length() - 1, 32, 31 + shift)
    return (multiplier << bits) // count, shift - bits


@dataclass(frozen=True, slots=True)
class SoftmaxParameters:
    """Differences to the maximum are scaled by multiplier * 2^(shift - 31) into Q5.26.

    Attributes:
        diff_min: differences below it count as exp(-infinity) = 0.
    """

    multiplier: int
    shift: int
    diff_min: int


def softmax_parameters(beta: float, input_scale: float) -> SoftmaxParameters:
    """Source: PreprocessSoftmaxScaling and CalculateInputRadius, with 5 integer bits.

    Raises: UnsupportedModel when beta * scale is so small that TFLM aborts.
    """
    integer_bits = 5
    factor = min(float(beta) * float(input_scale) * 2.0 ** (31 - integer_bits), 2.0**31 - 1.0)
    if not factor > 1.0:
        raise UnsupportedModel(
            f"softmax's input scale {input_scale:g} times beta {beta:g} is too small for TFLM",
            remedy="Calibrate again: the logits' range is almost nothing",
        )
    multiplier, shift = quantize_multiplier(factor)
    radius = (2.0**integer_bits - 1) * 2.0 ** (31 - integer_bits) / 2.0**shift
    return SoftmaxParameters(multiplier, shift, -math.floor(radius))
