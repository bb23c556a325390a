"""Ways along a line of ops: of parts that cover some of them, the best that cover them all.

A way's head is that of its worst part, so for each limit of the head the ways below it with the
least tail and the least MACs come from one sweep along the line (labels that no other label
beats in both are kept); the limits tried are the heads that parts have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from .tflm_bands import Body

LIMITS = 24
LABELS = 12


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One way to run ops [start, stop) of a graph.

    Attributes:
        head: bytes of memory while they run, whatever lives beside them included.
        tail: bytes of tail beyond those of the ops as they are.
        macs: extra ones.
        body: of a stage; None for one op run whole.
        taps: whether that op gets zero taps instead of a `PAD`.
    """

    start: int
    stop: int
    head: int
    tail: int
    macs: int
    body: Body | None = None
    taps: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Way:
    """Parts for all ops of a graph, in order."""

    parts: tuple[Part, ...]

    @property
    def head(self) -> int:
        return max(part.head for part in self.parts)

    @property
    def tail(self) -> int:
        return sum(part.tail for part in self.parts)

    @property
    def macs(self) -> int:
        return sum(part.macs for part in self.parts)

    @property
    def bodies(self) -> tuple[Body, ...]:
        return tuple(part.body for part in self.parts if part.body is not None)


@dataclass(slots=True)
class _Label:
    """A way to some op: its tail, its MACs, and the parts, last first."""

    tail: int
    macs: int
    parts: tuple[Part, ...] = field(default=())


def sweep(parts: Sequence[Part], ops: int, limit: int) -> list[Way]:
    """Ways over all ops with at most `limit` extra MACs that no other one beats."""
    starting: dict[int, list[Part]] = {}
    for part in parts:
        starting.setdefault(part.start, []).append(part)
    labels: list[list[_Label]] = [[] for _ in range(ops + 1)]
    labels[0].append(_Label(0, 0))
    for step in range(ops):
        labels[step] = _best(labels[step])
        for label in labels[step]:
            for part in starting.get(step, ()):
                macs = label.macs + max(part.macs, 0)
                if macs <= limit:
                    new = _Label(label.tail + part.tail, macs, (*label.parts, part))
                    labels[part.stop].append(new)
    return [Way(label.parts) for label in _best(labels[ops])]


def _best(labels: list[_Label]) -> list[_Label]:
    kept: list[_Label] = []
    for label in sorted(labels, key=lambda x: (x.tail, x.macs)):
        if not kept or label.macs < kept[-1].macs:
            kept.append(label)
    return kept[:LABELS]


def limits(parts: Sequence[Part], ops: int, limit: int) -> list[int]:
    """Heads to try: from the least that any way has, upwards."""
    heads = sorted({part.head for part in parts})
    low, high = 0, len(heads) - 1
    while low < high:
        middle = (low + high) // 2
        if sweep([p for p in parts if p.head <= heads[middle]], ops, limit):
            high = middle
        else:
            low = middle + 1
    above = heads[low:]
    stride = max(1, len(above) // (4 * LIMITS))
    near = [h for h in above if h <= above[0] * 1.5]
    chosen = near[:: max(1, len(near) // LIMITS)]
    return sorted({*chosen, above[0], above[-1], *above[: 4 * stride]})
