"""The vocabulary of the arena planner: buffers, a problem, a solution, a broken rule.

A *buffer* is a number of bytes that must stay untouched during a half-open range of steps. A
*problem* is a set of buffers, the alignment of their offsets, and the pairs that may share
memory although both are alive. Nothing here knows of graphs, ops or files.

The vocabulary follows google/minimalloc (Moffitt, "MiniMalloc: A Lightweight Memory Allocator
for Hardware-Accelerated Machine Learning", ASPLOS 2023); *safe distances* between an op's output
and its input are the generalisation of in-place operation that vMCU (MLSys 2024) and DMO
(Blacker et al., 2021) describe.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Buffer:
    """`size` bytes, alive at the steps `start <= step < stop`.

    Example:
        >>> Buffer("conv1/out", size=1024, start=0, stop=2)
        Buffer(name='conv1/out', size=1024, start=0, stop=2, offset=None)

    Attributes:
        name: for people; need not be unique.
        size: bytes. A buffer of 0 bytes conflicts with nothing.
        start: first step at which it is alive.
        stop: first step at which it is no longer alive (half-open).
        offset: where it must lie, or None when the planner may choose.
    """

    name: str
    size: int
    start: int
    stop: int
    offset: int | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """Buffers to place, and what they may share.

    `overlaps[(out, in)] = d`, with positions in `buffers`, says that the two may be in memory at
    the same time although their bytes intersect, if `offset(in) - offset(out) >= d`. With any
    other pair whose lifetimes intersect, the bytes must not. A negative `d` lets the output start
    up to `-d` bytes above its input; from the input's size on, that allows every place.

    Example:
        >>> Problem((Buffer("x", 64, 0, 2), Buffer("y", 64, 1, 3)), overlaps={(1, 0): 0}).alignment
        16

    Raises:
        ValueError: an empty lifetime, a negative size, a position out of range, a pair that is
            declared in both directions, a fixed offset that is not aligned.
    """

    buffers: tuple[Buffer, ...]
    alignment: int = 16
    overlaps: Mapping[tuple[int, int], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.alignment < 1:
            raise ValueError(f"alignment is {self.alignment}; it must be 1 or more")
        for index, buffer in enumerate(self.buffers):
            _check_buffer(index, buffer, self.alignment)
        for out, source in self.overlaps:
            where = f"overlaps[({out}, {source})]"
            if out == source or not {out, source} <= set(range(len(self.buffers))):
                raise ValueError(f"{where}: two different positions in buffers are needed")
            if (source, out) in self.overlaps:
                raise ValueError(f"{where}: the pair is declared in both directions")


def _check_buffer(index: int, buffer: Buffer, alignment: int) -> None:
    where = f"buffer {index} {buffer.name!r}"
    if buffer.size < 0:
        raise ValueError(f"{where}: its size is {buffer.size}")
    if buffer.stop <= buffer.start:
        raise ValueError(f"{where}: it is never alive (steps {buffer.start} to {buffer.stop})")
    if buffer.offset is not None and (buffer.offset < 0 or buffer.offset % alignment):
        raise ValueError(f"{where}: its fixed offset {buffer.offset} is no multiple of {alignment}")


@dataclass(frozen=True, slots=True)
class Solution:
    """An offset for every buffer.

    Attributes:
        offsets: bytes from the arena's start, in the order of the problem's buffers.
        peak: bytes of arena: the highest end of a buffer.
        bound: no placement whatever has a lower peak than this.
    """

    offsets: tuple[int, ...]
    peak: int
    bound: int

    @property
    def is_optimal(self) -> bool:
        """True if the peak is known to be the least possible one."""
        return self.peak == self.bound


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken rule of a placement.

    Attributes:
        rule: "count", "negative", "alignment", "fixed", "overlap" or "peak".
        buffers: positions of the buffers that break it.
        message: what is wrong, with the figures.
    """

    rule: str
    buffers: tuple[int, ...]
    message: str


def align_up(size: int, alignment: int) -> int:
    """The least multiple of `alignment` that is not below `size`."""
    return -(-size // alignment) * alignment
