"""Requantization in few instructions, proved for every channel when a model is compiled.

Kernels for cores with the DSP extension end a sum in one of two *short forms*, which add TFLM's two
roundings up to one shift (`tflm_opt_dsp.h`, `tflm_opt_gemm.h`, `tflm_opt_scale.h`):

    fine    t = floor(sum * multiplier / 2^24) + constant           less 2^7 for negative sums
    coarse  t = floor(sum * multiplier / 2^31 + 1/2) + constant     less 1 for negative sums
    output = clamp(t >> shift)

The first one is SMMLA's and serves depthwise convolutions, the second one SMMLAR's (or SMMULR's)
and serves other convolutions and fully connected layers. A channel is short if its shift and its
sums are in a form's range; elsewhere, and on other cores, kernels do TFLM's own steps one by one.

A short form and TFLM's double rounding both never fall as the sum rises, so they are the same
function if they cross from below `k` to `k` or above at the same sum, for each of the 255 outputs
that may be crossed into. Where a short form crosses is a quotient in closed form; that TFLM's
arithmetic crosses there too is looked up on both sides of it, with the implementation of
`quant.fixed_point`, which shares nothing with it.

That the kernels' instructions compute these forms is tested, not proved; so is what they do with
multipliers of 0 and shifts below a form's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tflm_opt.codegen.call import Constant, Lowered, Struct
from tflm_opt.codegen.rooms import lowered
from tflm_opt.errors import UnsupportedModel
from tflm_opt.graph.ir import Graph
from tflm_opt.quant import fixed_point


@dataclass(frozen=True, slots=True)
class Form:
    """A way to requantize, and what it is for.

    Attributes:
        fraction: bits that the first rounding keeps behind the point. With none it rounds to
            nearest, as TFLM's does; with some it rounds down, and the constant makes up for it.
        sums: true sums are smaller than this, or the kernels do without the form.
        shifts: that it takes.
    """

    fraction: int
    sums: int
    shifts: range


FINE = Form(7, 1 << 23, range(-15, 0))
COARSE = Form(0, 1 << 30, range(-22, 0))
FORMS = (FINE, COARSE)
# Where the output's zero point is among the fields of the kernels' parameters.
_OFFSETS = {"cmsis_nn_conv_params": 1, "cmsis_nn_dw_conv_params": 1, "cmsis_nn_fc_params": 2}


def check(graph: Graph) -> None:
    """Prove the short form of every channel of a graph that has one.

    Raises:
        UnsupportedModel: a channel's is not TFLM's requantization; none is known.
    """
    for index, op in enumerate(graph.ops):
        for multipliers, shifts, offset, low in _channels(lowered(op)):
            wrong = differing(multipliers, shifts, offset, low)
            if wrong:
                channel = wrong[0]
                raise UnsupportedModel(
                    f"no short form for a multiplier of {multipliers[channel]} and a shift of "
                    f"{shifts[channel]} rounds as TFLM does (channel {channel})",
                    op=f"{index}:{op.kind}",
                    remedy="Please report this; with TFLM_OPT_PORTABLE defined, the kernels do "
                    "without",
                )


def _channels(found: Lowered) -> Iterator[tuple[np.ndarray, np.ndarray, int, int]]:
    """Multipliers, shifts, zero point and lower bound of the calls that end sums by channel."""
    for call in found.calls:
        if call.function.endswith("_s16"):
            continue  # another rounding, without a short form
        structs = {a.role: a for a in call.arguments if isinstance(a, Struct)}
        quant, params = structs.get("quant"), structs.get("params")
        if quant is None or params is None or params.type not in _OFFSETS:
            continue
        multipliers, shifts = (
            f.data if isinstance(f, Constant) else np.array([f]) for f in quant.fields[:2]
        )
        bounds = params.fields[-1]
        offset = params.fields[_OFFSETS[params.type]]
        assert isinstance(bounds, tuple)
        yield multipliers, shifts, int(offset), int(bounds[0])  # type: ignore[arg-type]


def differing(
    multipliers: np.ndarray, shifts: np.ndarray, offset: int, low: int
) -> tuple[int, ...]:
    """Channels of which a short form is not TFLM's requantization for every sum; none are known.

    Example:
        >>> differing(np.array([1 << 30]), np.array([-9]), offset=-128, low=-128)
        ()

    Args:
        multipliers, shifts: int32, one pair a channel.
        offset: the output's zero point.
        low: the lower bound of the activation; the upper one changes nothing.
    """
    different = np.zeros(len(shifts), bool)
    wide = multipliers.astype(np.int64)[:, None]
    for shift in np.unique(shifts).tolist():
        alike = shifts == shift
        for form in FORMS:
            if shift in form.shifts:
                different[alike] |= _differ(form, wide[alike], shift, offset, low)
    return tuple(np.flatnonzero(different).tolist())


def _differ(form: Form, multipliers: np.ndarray, shift: int, offset: int, low: int) -> np.ndarray:
    """For channels of one shift, multipliers (n, 1): whether the two are different functions."""

    def made(sums: np.ndarray) -> np.ndarray:
        """What TFLM makes of sums."""
        scaled = fixed_point.requantize(sums, multipliers, shift)  # type: ignore[arg-type]
        return np.clip(scaled + offset, low, 127)

    outputs = np.arange(low + 1, 128)[None, :]
    at = _crossings(form, multipliers, shift, offset, low)
    # A crossing out of reach must be out of TFLM's reach as well.
    inside = (at > -form.sums) & (at < form.sums)
    near = np.where(inside, at, 0)
    wrong = inside & ((made(near) < outputs) | (made(near - 1) >= outputs))
    ends = np.array([[-form.sums + 1, form.sums - 1]])
    expected = low + (at[:, :, None] <= ends[None, :, :]).sum(axis=1)
    result: np.ndarray = wrong.any(axis=1) | (made(ends) != expected).any(axis=1)
    return result


def _crossings(
    form: Form, multipliers: np.ndarray, shift: int, offset: int, low: int
) -> np.ndarray:
    """The lowest sum whose short form is `k` or more, for every output `k` above `low`: (n, k)."""
    unit = 1 << form.fraction
    right = form.fraction - shift
    constant = unit // 2 + (1 << (right - 1)) + offset * (1 << right)
    kink = unit if low < offset else 0
    least = (np.arange(low + 1, 128, dtype=np.int64)[None, :] << right) - constant
    below, above = _first(form, least + kink, multipliers), _first(form, least, multipliers)
    return np.where(below < 0, below, np.maximum(above, 0))


def _first(form: Form, least: np.ndarray, multipliers: np.ndarray) -> np.ndarray:
    """The lowest sum that a form's first rounding makes `least` or more of."""
    half = 0 if form.fraction else 1 << 30
    products = (least << (31 - form.fraction)) - half
    never = np.where(least <= 0, -form.sums, form.sums)
    quotients = -(-products // np.maximum(multipliers, 1))
    return np.where(multipliers == 0, never, quotients)
