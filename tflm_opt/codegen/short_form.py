"""Requantization in four instructions, proved for every channel when a model is compiled.

Kernels for cores with the DSP extension end a sum in *short form* (`tflm_opt_dsp.h`):

    t = constant + floor(sum * 2^8 * multiplier / 2^32)    less 2^7 for negative sums, if they count
    output = clamp(t >> shift)

where a channel's shift is from -15 to -1; elsewhere they use TFLM's own steps. Short form and
TFLM's double rounding both never fall as the sum rises, so they are the same function if they
cross from below `k` to `k` or above at the same sum, for each of the 255 outputs that may be
crossed into. Where short form crosses is a quotient in closed form; that TFLM's arithmetic crosses
there too is looked up on both sides of it, with the implementation of `quant.fixed_point`, which
shares nothing with it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tflm_opt.codegen.call import Constant, Lowered, Struct
from tflm_opt.codegen.rooms import lowered
from tflm_opt.errors import UnsupportedModel
from tflm_opt.graph.ir import Graph
from tflm_opt.quant import fixed_point

# True sums are smaller than this, or the kernels don't take the short form.
SUMS = 1 << 23
SHIFTS = range(-15, 0)
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


def has_short_form(shifts: np.ndarray) -> np.ndarray:
    """Which channels the kernels end in short form, sums permitting.

    >>> has_short_form(np.array([-9, 0, 3]))
    array([ True, False, False])
    """
    return (shifts >= SHIFTS.start) & (shifts < SHIFTS.stop)


def differing(
    multipliers: np.ndarray, shifts: np.ndarray, offset: int, low: int
) -> tuple[int, ...]:
    """Channels whose short form is not TFLM's requantization for every sum; none are known.

    Example:
        >>> differing(np.array([1 << 30]), np.array([-9]), offset=-128, low=-128)
        ()

    Args:
        multipliers, shifts: int32, one pair a channel.
        offset: the output's zero point.
        low: the lower bound of the activation; the upper one changes nothing.
    """
    different = np.zeros(len(shifts), bool)
    for shift in np.unique(shifts[has_short_form(shifts)]).tolist():
        alike = shifts == shift
        different[alike] = _differ(multipliers[alike].astype(np.int64)[:, None], shift, offset, low)
    return tuple(np.flatnonzero(different).tolist())


def _differ(multipliers: np.ndarray, shift: int, offset: int, low: int) -> np.ndarray:
    """For channels of one shift, multipliers (n, 1): whether the two are different functions."""

    def made(sums: np.ndarray) -> np.ndarray:
        """What TFLM makes of sums."""
        scaled = fixed_point.requantize(sums, multipliers, shift)  # type: ignore[arg-type]
        return np.clip(scaled + offset, low, 127)

    outputs = np.arange(low + 1, 128)[None, :]
    at = _crossings(multipliers, shift, offset, low)
    # A crossing out of reach must be out of TFLM's reach as well.
    inside = (at > -SUMS) & (at < SUMS)
    near = np.where(inside, at, 0)
    wrong = inside & ((made(near) < outputs) | (made(near - 1) >= outputs))
    ends = np.array([[-SUMS + 1, SUMS - 1]])
    expected = low + (at[:, :, None] <= ends[None, :, :]).sum(axis=1)
    result: np.ndarray = wrong.any(axis=1) | (made(ends) != expected).any(axis=1)
    return result


def _crossings(multipliers: np.ndarray, shift: int, offset: int, low: int) -> np.ndarray:
    """The lowest sum whose short form is `k` or more, for every output `k` above `low`: (n, k)."""
    right = -shift
    constant = 64 + (1 << (right + 6)) + offset * (1 << (right + 7))
    kink = 128 if low < offset else 0
    least = (np.arange(low + 1, 128, dtype=np.int64)[None, :] << (right + 7)) - constant
    below, above = _first(least + kink, multipliers), _first(least, multipliers)
    return np.where(below < 0, below, np.maximum(above, 0))


def _first(least: np.ndarray, multipliers: np.ndarray) -> np.ndarray:
    """The lowest sum with floor(sum * multiplier / 2^24) >= least."""
    never = np.where(least <= 0, -SUMS, SUMS)
    quotients = -((-least << 24) // np.maximum(multipliers, 1))
    return np.where(multipliers == 0, never, quotients)
