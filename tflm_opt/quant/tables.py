"""Tables of 256 bytes for unary ops on 8-bit tensors: what TFLM computes for every input.

A unary op on int8 has 256 possible inputs, so the engine never computes it: the table is made
here, with exact integer arithmetic equal to TFLM's reference kernels, and the kernel looks it up.
`table(op)` is the whole interface; entry i belongs to the input byte i, read as unsigned.

    tables.table(op)          # 256 int8 (or uint8) values for LOGISTIC, TANH, RELU, QUANTIZE, ...
    tables.KINDS              # the kinds it knows

The arithmetic follows TFLM's kernels op by op; where TFLM refuses a model, so does this. Factors
between scales are float64 quotients of float32 scales, which is what the wheel of 2026-10 computes
(TFLM's sources of 2026-08 round some to float32: that changes one value in 400 000 of HARD_SWISH).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np

from tflm_opt.errors import UnsupportedModel
from tflm_opt.graph import operands
from tflm_opt.graph.ir import Op, Tensor
from tflm_opt.graph.options import LeakyReluOptions
from tflm_opt.quant import fixed_point as fp
from tflm_opt.quant.numerics import RANGES, quantize_multiplier

Ints = np.ndarray


def table(op: Op) -> np.ndarray:
    """The op's outputs for all inputs.

    >>> tables.table(relu_op)[[0, 1, 0x80, 0xFF]]        # inputs 0, 1, -128, -1
    array([0, 1, 0, 0], dtype=int8)

    Returns:
        (256,) in the output's dtype, indexed by the input byte read as unsigned.

    Raises:
        UnsupportedModel: a kind, dtype or quantization that TFLM does not run.
    """
    if op.kind not in _FUNCTIONS:
        raise UnsupportedModel(
            f"TFLM has no int8 kernel for {op.kind}", remedy="Remove or replace the op"
        )
    allowed = ("int8", "uint8") if op.kind == "QUANTIZE" else ("int8",)
    tensors = (operands.source(op), op.output)
    source, target = (
        operands.per_tensor(op, operands.of_type(op, tensor, *allowed)) for tensor in tensors
    )
    low, high = RANGES[source.dtype]
    index = np.arange(256, dtype=np.uint8)
    stored = index.view(np.int8) if low < 0 else index
    values = _FUNCTIONS[op.kind](op, stored.astype(np.int64), source, target)
    low, high = RANGES[target.dtype]
    return np.clip(values, low, high).astype(target.dtype)


def _sigmoid_input(op: Op, x: Ints, source: Tensor) -> tuple[Ints, Ints, int]:
    """(inputs in Q4.27, zero-based inputs, radius beyond which the output saturates)."""
    real = source.scale * 2.0**27
    fraction, shift = math.frexp(real)
    multiplier = math.floor(fraction * 2.0**31 + 0.5)
    if shift < 0 or multiplier >= 1 << 31:
        raise UnsupportedModel(
            f"TFLM does not define {op.kind} for an input scale of {source.scale!r}",
            tensor=source.name,
            remedy="Check the calibration of this tensor",
        )
    radius = math.floor(15 * 2.0**27 / 2.0**shift)
    x = x - source.zero_point
    inside = np.clip(x, 1 - radius, radius - 1) if radius > 0 else np.zeros_like(x)
    return fp.requantize(inside, multiplier, shift), x, radius


def _saturate(x: Ints, radius: int, inside: Ints) -> Ints:
    return np.where(x <= -radius, -128, np.where(x >= radius, 127, inside))


def _logistic(op: Op, x: Ints, source: Tensor, target: Tensor) -> Ints:
    if target.zero_point != -128:
        raise UnsupportedModel(
            f"TFLM wants the output's zero point to be -128, and it is {target.zero_point}",
            tensor=target.name,
            remedy="Convert the model with TFLite's int8 quantization, which fixes it",
        )
    q4, x, radius = _sigmoid_input(op, x, source)
    inside = fp.divide_by_pot(fp.logistic_q31(q4), 23) - 128
    return _saturate(x, radius, np.clip(inside, -128, 127))


def _tanh(op: Op, x: Ints, source: Tensor, target: Tensor) -> Ints:
    q4, x, radius = _sigmoid_input(op, x, source)
    inside = fp.divide_by_pot(fp.tanh_q31(q4), 24)
    return _saturate(x, radius, np.clip(inside, -128, 127))


def _int16_multiplier(real: float) -> tuple[int, int]:
    multiplier, exponent = quantize_multiplier(real)
    if multiplier >= fp.INT32_MAX - (1 << 15):
        return fp.INT16_MAX, exponent
    return (multiplier + (1 << 15)) >> 16, exponent


def _hard_swish(op: Op, x: Ints, source: Tensor, target: Tensor) -> Ints:
    # The fixed point that the input is moved to: 7 bits finer than it is.
    fine_scale = source.scale / 128
    out_multiplier, out_exponent = _int16_multiplier(fine_scale / target.scale)
    gate_multiplier, gate_exponent = _int16_multiplier(fine_scale / (3 / 32768))
    if out_exponent > 0:
        raise UnsupportedModel(
            f"TFLM does not run HARD_SWISH when the input's scale ({source.scale!r}) is more than "
            f"128 times the output's ({target.scale!r})",
            tensor=target.name,
            remedy="Check the calibration of this tensor",
        )
    fine = (x - source.zero_point) << 7
    unshifted = fp.high_mul16(fine, out_multiplier)
    gate = fine
    if gate_exponent > 0:
        gate = fp.shift_left16(gate, gate_exponent - 1)
    gate = fp.high_mul16(gate, gate_multiplier)
    if gate_exponent > 0:
        gate = fp.shift_left16(gate, 1)
    if gate_exponent < 0:
        gate = fp.divide_by_pot16(gate, -gate_exponent)
    gate = (gate + (1 << 15)) >> 1
    product = fp.high_mul16_truncating(gate, unshifted)
    return fp.divide_by_pot16(product, -out_exponent) + target.zero_point


def _leaky_relu(op: Op, x: Ints, source: Tensor, target: Tensor) -> Ints:
    alpha = float(np.float32(op.options.alpha)) if isinstance(op.options, LeakyReluOptions) else 0.0
    slope = source.scale * alpha / target.scale
    multiplier, shift = quantize_multiplier(abs(slope))
    below = fp.requantize(x - source.zero_point, multiplier, shift)
    above = fp.requantize(x - source.zero_point, *quantize_multiplier(source.scale / target.scale))
    below = -below if slope < 0 else below
    return np.where(x >= source.zero_point, above, below) + target.zero_point


def _relu(op: Op, x: Ints, source: Tensor, target: Tensor) -> Ints:
    multiplier, shift = quantize_multiplier(source.scale / target.scale)
    y = fp.wrap32(fp.requantize(x - source.zero_point, multiplier, shift) + target.zero_point)
    return np.maximum(y, target.zero_point)


def _relu6(op: Op, x: Ints, source: Tensor, target: Tensor) -> Ints:
    # TFLM does not look at the output's quantization here.
    six = float(np.float32(6) / np.float32(source.scale))
    high = min(math.floor(six + 0.5) + source.zero_point, 127)
    return np.where(x > high, high, np.maximum(x, source.zero_point))


def _abs(op: Op, x: Ints, source: Tensor, target: Tensor) -> Ints:
    magnitude = np.abs(x - source.zero_point)
    if np.float32(source.scale) != np.float32(target.scale):
        magnitude = fp.requantize(magnitude, *quantize_multiplier(source.scale / target.scale))
    return magnitude + target.zero_point


def _rsqrt(op: Op, x: Ints, source: Tensor, target: Tensor) -> Ints:
    """TFLM stops with an error on negative inputs; here they give the largest output, as 0 does."""
    real = 1.0 / (math.sqrt(source.scale) * target.scale)
    multiplier, shift = quantize_multiplier(real)
    if not -31 <= shift - 20 <= 31:
        raise UnsupportedModel(
            f"the factor between the scales ({real:g}) is outside what TFLM's kernel can shift by",
            tensor=target.name,
            remedy="Check the calibration of this tensor",
        )
    values = np.clip(x - source.zero_point, 0, 255)
    result = fp.requantize(inverse_roots()[values], multiplier, shift - 20) + target.zero_point
    return np.where(values == 0, 127, result)


@cache
def inverse_roots() -> Ints:
    """1 / sqrt(v) in 1/2^20 for v of 1..255, as TFLM approximates it; 0 for v = 0."""
    roots = [0]
    for value in range(1, 256):
        inverse, shift = fp.inverse_sqrt(value)
        roots.append(int(fp.requantize(np.ones(1, np.int64), inverse, shift + 20)[0]))
    return np.array(roots, np.int64)


def _elu(op: Op, x: Ints, source: Tensor, target: Tensor) -> Ints:
    """In float32, as TFLM makes its own table; the exponential is rounded once from float64."""
    inverse = np.float32(1) / np.float32(target.scale)
    real = np.float32(source.scale) * (x - source.zero_point).astype(np.float32)
    exponential = np.exp(np.minimum(real, np.float32(0)).astype(np.float64)).astype(np.float32)
    value = np.where(real < 0, exponential - np.float32(1), real) * inverse
    rounded = np.sign(value) * np.floor(np.abs(value).astype(np.float64) + 0.5)
    shifted = rounded.astype(np.float32) + np.float32(target.zero_point)
    # A float beyond int32 becomes INT32_MIN on the host that TFLM's truth comes from.
    return np.where(shifted >= 2.0**31, fp.INT32_MIN, np.trunc(shifted)).astype(np.int64)


def _quantize(op: Op, x: Ints, source: Tensor, target: Tensor) -> Ints:
    if source.dtype == target.dtype == "uint8":
        raise UnsupportedModel(
            "TFLM cannot requantize uint8 to uint8",
            tensor=target.name,
            remedy="Convert the model to int8",
        )
    multiplier, shift = quantize_multiplier(source.scale / target.scale)
    y = fp.requantize(x - source.zero_point, multiplier, shift)
    return fp.wrap32(y + target.zero_point)


_FUNCTIONS: dict[str, Callable[[Op, Ints, Tensor, Tensor], Ints]] = {
    "LOGISTIC": _logistic,
    "TANH": _tanh,
    "HARD_SWISH": _hard_swish,
    "LEAKY_RELU": _leaky_relu,
    "RELU": _relu,
    "RELU6": _relu6,
    "ABS": _abs,
    "RSQRT": _rsqrt,
    "ELU": _elu,
    "QUANTIZE": _quantize,
}
KINDS = tuple(_FUNCTIONS)
