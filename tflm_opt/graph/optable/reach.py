"""Which places of an input the places of an output read, along one axis.

    reach.needs(a, b)   # half-open: to make output rows [a, b), input rows [lo, hi) are read

This is the receptive field, one axis at a time, clipped to the input: padding is not part of it.
A window op of kernel k, stride s, dilation d and padding p before reads, for output row i,

    [i·s - p, i·s - p + (k-1)·d + 1)    clipped to [0, size)

Whatever the op, the answer is kept as two tuples, so that resizes and slices need no formula of
their own and a search can ask often. `kind` tells windows, elementwise and the rest apart.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reach:
    """Input places [starts[i], stops[i]) that output place i reads; empty where start ≥ stop.

    Attributes:
        kind: "elementwise" (place i reads place i), "window" (a sliding window), "map" (places
            that don't depend on the data: slices, resizes, …), "all" (every place reads every
            place), "none" (constants that no place of the axis tells apart: weights).
        size: places of the input along the axis.
        kernel, stride, dilation, before: of a "window".
    """

    kind: str
    size: int
    starts: tuple[int, ...]
    stops: tuple[int, ...]
    kernel: int = 1
    stride: int = 1
    dilation: int = 1
    before: int = 0

    def needs(self, a: int, b: int) -> tuple[int, int]:
        """Input places that output places [a, b) read, as a half-open interval; (0, 0) if none.

        >>> window(size=10, out=5, kernel=3, stride=2, before=1).needs(1, 3)
        (1, 6)
        """
        pairs = [
            (lo, hi) for lo, hi in zip(self.starts[a:b], self.stops[a:b], strict=True) if lo < hi
        ]
        if not pairs:
            return 0, 0
        return min(lo for lo, _ in pairs), max(hi for _, hi in pairs)


def elementwise(size: int) -> Reach:
    return Reach("elementwise", size, tuple(range(size)), tuple(range(1, size + 1)))


def everything(size: int, out: int) -> Reach:
    return Reach("all", size, (0,) * out, (size,) * out)


def nothing(size: int, out: int) -> Reach:
    return Reach("none", size, (0,) * out, (0,) * out)


def window(
    *, size: int, out: int, kernel: int, stride: int = 1, dilation: int = 1, before: int = 0
) -> Reach:
    """A sliding window over `size` places; the taps that fall outside read padding."""
    extent = (kernel - 1) * dilation + 1
    firsts = [i * stride - before for i in range(out)]
    return Reach(
        "window",
        size,
        tuple(_first_tap(first, dilation) for first in firsts),
        tuple(_last_tap(first, extent, size, dilation) for first in firsts),
        kernel,
        stride,
        dilation,
        before,
    )


def _first_tap(first: int, dilation: int) -> int:
    """The first tap at or after 0; with dilation, taps skip places."""
    return first if first >= 0 else first % dilation


def _last_tap(first: int, extent: int, size: int, dilation: int) -> int:
    """One past the last tap that lies before `size`."""
    last = first + extent - 1
    if last >= size:
        last -= -(-(last - size + 1) // dilation) * dilation
    return last + 1


def mapped(size: int, places: Iterable[tuple[int, int]]) -> Reach:
    """Given [start, stop) for each output place."""
    pairs = tuple(places)
    return Reach("map", size, tuple(lo for lo, _ in pairs), tuple(hi for _, hi in pairs))


def shifted(size: int, out: int, offset: int, step: int = 1) -> Reach:
    """Output place i is input place `offset + i·step`, where there is one."""
    at = [offset + i * step for i in range(out)]
    return mapped(size, ((i, i + 1) if 0 <= i < size else (0, 0) for i in at))


def transposed(*, size: int, out: int, kernel: int, stride: int, before: int) -> Reach:
    """A transposed convolution: input place i writes outputs i·s - before + [0, kernel)."""
    places = []
    for o in range(out):
        lo = max(0, -(-(o + before - kernel + 1) // stride))
        hi = min(size, (o + before) // stride + 1)
        places.append((lo, hi) if lo < hi else (0, 0))
    return mapped(size, places)
