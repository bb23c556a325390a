"""Scratch as a choice: how much of it a kernel may get, and what follows from it.

Faster kernels first write weights or pixels into scratch in the order that their inner loops read.
They work with whatever they are given: the more, the fewer times the same is written again. So
each op has some *rooms*, from none to all that helps, and the arena decides which one it gets
(`patch_split.furnish`).

What follows from a room is the same on every core, so that code made for one runs on any: a room
is of use to all tiers or not offered, and the *block*, how many output elements are written before
the reads of the first of them are done (see `arena.overlap`), is the largest of all tiers.

The sizes are those of the kernels' headers; the tests compare both. Work is an estimate of
instructions, fitted to counts of emulated cores by `benchmarks/rooms.py`: it ranks, and is never
shown as a measurement.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from tflm_opt.codegen.call import Lowered
from tflm_opt.codegen.forms import FORMS, Form
from tflm_opt.codegen.lower import lower
from tflm_opt.graph.ir import Op, Tensor
from tflm_opt.kernels import table

# Estimated instructions of calling a kernel, and how much less work a larger room must make.
CALL = 250.0
_WORTH = 0.99


@dataclass(frozen=True, slots=True)
class Room:
    """One choice of scratch for an op.

    Attributes:
        size: bytes; 0 for none.
        block: output elements that its kernel writes together, in any order; None: no promise.
        work: estimated instructions.
    """

    size: int
    block: int | None
    work: float


@dataclass(frozen=True, slots=True, eq=False)
class Kernels:
    """How the ops of a graph use kernels: for which tier, and which op gets how much scratch.

    Example:
        >>> kernels = Kernels("dsp")
        >>> arena.plan(graph, schedule, scratch=kernels.scratch, access=kernels.access)

    Attributes:
        tier: of the core that it is meant for, of `kernels.table.TIERS`. It changes what is fast,
            not what is right.
        sizes: bytes by op's `key`; ops that are not in it get what they can't do without.
    """

    tier: str = "portable"
    sizes: Mapping[Tensor, int] = field(default_factory=dict)

    def size(self, op: Op) -> int:
        """Bytes of optional scratch that an op gets, or any slice of it."""
        return self.sizes.get(key(op), 0) if self.sizes else 0  # type: ignore[arg-type]

    def scratch(self, op: Op) -> int:
        """Bytes of working memory beside inputs and outputs. Raises: UnsupportedModel."""
        return needed(op) or self.size(op)

    def access(self, op: Op) -> int | None:
        """Output elements that the op's kernels write together; None: they promise nothing.

        Several calls for one op promise nothing together. Raises: UnsupportedModel.
        """
        return block(op, self.size(op))

    def work(self, op: Op) -> float:
        """Estimated instructions of the op's kernels."""
        return work(op, self.size(op), self.tier)


def key(op: Op) -> Tensor | None:
    """What an op and all its slices share, and no other op: its weights."""
    weights = op.inputs[1] if len(op.inputs) > 1 else None
    return weights if weights is not None and weights.constant else None


@lru_cache(maxsize=8192)
def _lowered(op: Op) -> Lowered:
    return lower(op)


def needed(op: Op) -> int:
    """Bytes of working memory that the op's kernels can't do without. Raises: UnsupportedModel."""
    return _lowered(op).scratch


def rooms(op: Op, tier: str) -> tuple[Room, ...]:
    """The choices for an op, by rising size and falling work; the first takes no scratch.

    Example:
        >>> [room.size for room in rooms(pointwise_16_to_96, "dsp")]
        [0, 352, 736, 1632, 4704]

    Raises: UnsupportedModel, as `codegen.generate`.
    """
    found = [Room(0, block(op, 0), work(op, 0, tier))]
    form = _form(op)
    if form is None or key(op) is None or needed(op):
        return tuple(found)
    for size in sorted(set(form.sizes())):
        room = Room(size, block(op, size), work(op, size, tier))
        if size >= form.least and room.work < found[-1].work * _WORTH:
            found.append(room)
    return tuple(found)


@lru_cache(maxsize=65536)
def block(op: Op, size: int) -> int | None:
    """Output elements that are written before the reads of the first of them are done.

    The most of all tiers, with `size` bytes of optional scratch.
    """
    lowered = _lowered(op)
    if lowered.view:
        return 1
    if len(lowered.calls) != 1 or table.kernels()[lowered.calls[0].function].access == "none":
        return None
    form = _form(op)
    return 1 if form is None else form.block(size)


@lru_cache(maxsize=65536)
def work(op: Op, size: int, tier: str) -> float:
    """Estimated instructions of an op with `size` bytes of optional scratch."""
    form = _form(op)
    return 0.0 if form is None else CALL + form.work(size, tier)


@lru_cache(maxsize=8192)
def _form(op: Op) -> Form | None:
    calls = _lowered(op).calls
    found = FORMS.get(calls[0].function) if len(calls) == 1 else None
    return None if found is None else found(op)
