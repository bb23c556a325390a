"""The input's zero point, folded into the bias.

    sum((x + offset) * w) + bias  =  sum(x * w) + (offset * sum(w) + bias)

holds wherever every tap of a window lies inside the input, so a kernel without padding needs no
offset in its inner loop. Sums are exact integers, so the bits stay the same.
"""

from __future__ import annotations

import numpy as np


def folded(
    weights: np.ndarray, axis: int, bias: np.ndarray | None, offset: int
) -> tuple[np.ndarray | None, int]:
    """(bias, offset) to use: with the offset folded and 0, or as they were if that overflows.

    >>> folded(np.array([[1, 2], [3, 4]]), 0, None, 10)
    (array([30, 70], dtype=int32), 0)

    Args:
        weights: filter values; `axis` is the output channel's.
        bias: int32, one a channel, or None.
        offset: minus the input's zero point.
    """
    if offset == 0:
        return bias, 0
    others = tuple(i for i in range(weights.ndim) if i != axis)
    total = weights.sum(axis=others, dtype=np.int64) * offset
    if bias is not None:
        total = total + bias
    reach = np.abs(weights.astype(np.int64)).sum(axis=others) * 128
    if (np.abs(total) + reach).max() >= 2**31:  # a partial sum might not fit
        return bias, offset
    return total.astype(np.int32), 0
