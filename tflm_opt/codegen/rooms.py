"""How ops use kernels: which get scratch to be faster, and what follows from it.

Faster kernels first write weights or pixels into scratch in the order that their inner loops read.
They work with whatever they are given: the more, the fewer times the same is written again. How
much each op gets is chosen when the arena is planned (`tflm_opt.furnish`).

What follows from it is the same on every core, so that code made for one runs on any: sizes are of
use to all tiers, and the *block*, how many output elements are written before the reads of the
first of them are done (see `arena.overlap`), is the largest of all tiers.
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
CALL = 600.0
WORTH = 0.99


@dataclass(frozen=True, slots=True, eq=False)
class Kernels:
    """Which ops of a graph get how much scratch.

    Example:
        >>> kernels = Kernels({weights: 1632})
        >>> arena.plan(graph, schedule, scratch=kernels.scratch, access=kernels.access)

    Attributes:
        sizes: bytes by op's `key`; ops that are not in it get what they can't do without.
    """

    sizes: Mapping[Tensor, int] = field(default_factory=dict)

    def size(self, op: Op) -> int:
        """Bytes of optional scratch that an op gets, or any slice of it."""
        weights = key(op)
        return 0 if weights is None else self.sizes.get(weights, 0)

    def scratch(self, op: Op) -> int:
        """Bytes of working memory beside inputs and outputs. Raises: UnsupportedModel."""
        least = needed(op)
        return max(least, self.size(op)) if lowered(op).more else least or self.size(op)

    def access(self, op: Op) -> int | None:
        """Output elements that the op's kernels write together; None: they promise nothing.

        Several calls for one op promise nothing together. Raises: UnsupportedModel.
        """
        return block(op, self.size(op))


def key(op: Op) -> Tensor | None:
    """What an op and all its slices share, and no other op: its weights."""
    weights = op.inputs[1] if len(op.inputs) > 1 else None
    return weights if weights is not None and weights.constant else None


@lru_cache(maxsize=8192)
def lowered(op: Op) -> Lowered:
    """The op's kernel calls. Raises: UnsupportedModel."""
    return lower(op)


def needed(op: Op) -> int:
    """Bytes of working memory that the op's kernels can't do without. Raises: UnsupportedModel."""
    return lowered(op).scratch


@lru_cache(maxsize=65536)
def block(op: Op, size: int) -> int | None:
    """Output elements that are written before the reads of the first of them are done.

    The most of all tiers, with `size` bytes of optional scratch.
    """
    calls = lowered(op)
    if calls.view:
        return 1
    if len(calls.calls) != 1 or table.kernels()[calls.calls[0].function].access == "none":
        return None
    one = form(op)
    return 1 if one is None else one.block(size)


@lru_cache(maxsize=8192)
def form(op: Op) -> Form | None:
    """The op's kernel at work; None where scratch is of no use to it."""
    calls = lowered(op).calls
    found = FORMS.get(calls[0].function) if len(calls) == 1 else None
    return None if found is None else found(op)
