"""What a stage of whole rows does, and the bands that it may run in: calls, moves, distances."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from tflm_opt.graph.ir import Tensor
from tflm_opt.patch_split.regions import ROW_AXIS
from tflm_opt.patch_split.walk import Walk, row_bytes


def candidate_bands(rows: int, tallest: int) -> tuple[int | Fraction, ...]:
    """Bands for a stage whose last output has `rows` rows and whose tallest tensor `tallest`.

    >>> candidate_bands(10, 40)
    (Fraction(1, 4), Fraction(1, 2), 1, 2, 3, 4, 6, 8)
    """
    deepest = max(1, round(tallest / rows))
    parts = {1 << k for k in range(1, deepest.bit_length())} | {deepest}
    fractions = [Fraction(1, part) for part in sorted(parts, reverse=True) if part > 1]
    whole = {band for k in range(12) for band in (1 << k, 3 << k)}
    return (*fractions, *sorted(band for band in whole if band < rows or band == 1))


def least_distance(steps: Walk, result: Tensor, source: Tensor) -> int:
    """Bytes that a result lies at least below an outside tensor, if it is written over it."""
    needed = steps.needed.get(source)
    if needed is None:
        return 0
    lowest = np.minimum(needed[1:], source.shape[ROW_AXIS])
    made = steps.made[result]
    works = made[1:] > made[:-1]
    gaps = made[1:] * row_bytes(result) - lowest * row_bytes(source)
    # What is still needed matters only while anything is.
    open_ = works & (needed[1:] < source.shape[ROW_AXIS])
    return max(int(gaps[open_].max(initial=0)), 0)


def extra_calls(steps: Walk) -> int:
    """Kernel calls of a stage beyond one an op."""
    made = [steps.made[op.outputs[0]] for op in steps.stage.ops]
    return sum(int((rows[1:] > rows[:-1]).sum()) - 1 for rows in made)


def moved_bytes(steps: Walk) -> int:
    """Bytes of kept rows that move to the start of their window."""
    return sum(window.moved * row_bytes(tensor) for tensor, window in steps.windows.items())
