"""int4 values, two in a byte, as TFLite packs them: the first of a pair is the lower half.

In memory a tensor of type int4 has one int8 a value, so that passes treat it as any filter; only
files have it packed.
"""

from __future__ import annotations

import numpy as np


def packed(values: np.ndarray) -> np.ndarray:
    """Values from -8 to 7 as bytes; an odd one out has 0 beside it.

    >>> packed(np.array([2, 1, -1])).tolist()
    [18, 15]

    Raises:
        ValueError: a value that 4 bits don't hold.
    """
    if values.size and not (values.min() >= -8 and values.max() <= 7):
        raise ValueError(f"int4 values from {values.min()} to {values.max()}: they end at -8 and 7")
    low = np.zeros(values.size + values.size % 2, np.uint8)
    low[: values.size] = values.ravel().astype(np.int8).view(np.uint8) & 15
    return low[0::2] | low[1::2] << 4


def unpacked(content: np.ndarray, count: int) -> np.ndarray:
    """The first `count` values of packed bytes, int8.

    >>> unpacked(np.array([18, 15], np.uint8), 3).tolist()
    [2, 1, -1]
    """
    pairs = np.stack((content << 4, content & 0xF0), axis=1).astype(np.uint8).view(np.int8)
    return (pairs.reshape(-1)[:count] >> 4).astype(np.int8)
