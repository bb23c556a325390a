"""Kept rows and new ones, made where they are joined: which pieces of a body share one place.

A body joins the rows that it is given with those that it makes. Both lie where the joined ones
do, so that the `CONCATENATION` moves nothing; and so does whatever the new rows are made of in
place, back to a window if the ops allow it:

    step                  windows   IF      ADD     MINIMUM   join
    window                |######|##|#######|
    sum of it and others            |       |#######|
    the same, masked                |               |#########|
    held                            |#########################|
    joined                                                    |####…

All of these are one buffer, of the joined rows' size: the new rows' part of it is free until they
are made, and one tensor after the other lies there. None of them may be planned as in place by
itself, since the kept rows beside it are alive already, and would be written over its input.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..arena.overlap import in_place_in_tflm
from ..arena.tflm_scratch import ALIGNMENT
from .tflm_bands import Body, Kept, Piece, Step


@dataclass(frozen=True, slots=True, eq=False)
class Join:
    """Pieces that lie where kept rows and new ones are joined.

    Attributes:
        kept: the rows.
        line: pieces that lie where the new rows do, one after the other, each made over the one
            before; the first may be a window, the last is `kept.fresh`.
        fresh: bytes from the start of the joined rows to the new ones.
        held: the same to the kept ones.
    """

    kept: Kept
    line: tuple[Piece, ...]
    fresh: int
    held: int


def joins(body: Body) -> tuple[Join, ...]:
    """Those kept rows of a body that can lie where they are joined: at aligned addresses.

    Example:
        >>> [piece.note for piece in joins(made)[0].line]
        ['', 'masked']
    """
    found = []
    for kept in body.kept:
        fresh, held = (0, kept.fresh.nbytes) if body.upwards else (kept.held.nbytes, 0)
        if max(fresh, held) % ALIGNMENT == 0:
            found.append(Join(kept, _line(body, kept.fresh), fresh, held))
    return tuple(found)


def in_place(step: Step) -> tuple[Piece, ...]:
    """Inputs of a step whose bytes its output may take, where nothing reads them later."""
    if step.kind == "mask":
        return step.inputs
    if step.op is None:
        return ()
    computed = [i for i, t in enumerate(step.op.inputs) if t is not None and t.data is None]
    pairs = zip(computed, step.inputs, strict=True)
    return tuple(piece for i, piece in pairs if in_place_in_tflm(step.op, i))


def _line(body: Body, last: Piece) -> tuple[Piece, ...]:
    """What becomes `last` in place; of several inputs a window, since it is there the longest."""
    line, later = [last], set[Piece]()
    for step in reversed(body.steps):
        if step.output is line[0]:
            over = [piece for piece in in_place(step) if piece not in later]
            if over:
                line.insert(0, max(over, key=lambda piece: piece in body.windows))
        later.update(step.inputs)
    return tuple(line)
