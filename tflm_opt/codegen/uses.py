"""How often a schedule runs the kernels, and on what: what their work adds up to.

An op of a stage runs once a step, on rows, or once a step, row and part, on some columns. Each of
these is a kernel at work (`codegen.forms`), and most are alike.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from tflm_opt.codegen.forms import Depthwise, Form, Products
from tflm_opt.codegen.rooms import CALL, WORTH, form, key, lowered, needed
from tflm_opt.graph.ir import Graph, Op
from tflm_opt.patch_split.columns import ColumnWalk, column_walk
from tflm_opt.patch_split.schedule import Schedule, Stage
from tflm_opt.patch_split.slices import turns
from tflm_opt.patch_split.walk import Walk, walks


@dataclass(frozen=True, slots=True, eq=False)
class Use:
    """An op under a schedule.

    Attributes:
        op: the whole op.
        forms: its kernel at work, and how often; empty where scratch is of no use to it.
    """

    op: Op
    forms: Mapping[Form, int]

    def work(self, size: int, tier: str) -> float:
        """Estimated instructions with `size` bytes of optional scratch."""
        return sum(times * (CALL + one.work(size, tier)) for one, times in self.forms.items())

    @property
    def least(self) -> int:
        """Bytes of scratch below which one of its kernels is given none."""
        return max((one.least for one in self.forms), default=0)

    def sizes(self, tier: str) -> tuple[int, ...]:
        """Bytes of scratch worth having, rising, each with less work than those before; 0 first."""
        found, work = [0], self.work(0, tier)
        if key(self.op) is None or (needed(self.op) and not lowered(self.op).more):
            return (0,)
        least = self.least
        for size in sorted({size for one in self.forms for size in one.sizes()}):
            less = self.work(size, tier)
            if size >= least and less < work * WORTH:
                found.append(size)
                work = less
        return tuple(found)


def uses(
    graph: Graph, schedule: Schedule, banded: Mapping[Stage, Walk] | None = None
) -> tuple[Use, ...]:
    """All ops of a schedule, in its order; `banded` are its `walks`, if they are known.

    Example:
        >>> [sum(use.forms.values()) for use in uses(graph, schedule)]
        [1, 40, 40, 20]
    """
    banded = walks(graph, schedule) if banded is None else banded
    found = []
    for stage in schedule.stages:
        walk = banded.get(stage)
        columns = column_walk(walk) if walk is not None and stage.columns is not None else None
        for op in stage.ops:
            if columns is not None:
                found.append(Use(op, _of_columns(columns, op)))
            elif walk is not None:
                found.append(Use(op, _of_rows(walk, op)))
            else:
                one = form(op)
                found.append(Use(op, {} if one is None else {one: 1}))
    return tuple(found)


def _of_rows(walk: Walk, op: Op) -> dict[Form, int]:
    if form(op) is None:
        return {}
    every = turns(walk, op)
    counts: Counter[Form] = Counter()
    for turn in every.turns:
        one = form(every.variants[turn.variant])
        if one is not None:
            counts[one] += 1
    return dict(counts)


def _of_columns(columns: ColumnWalk, op: Op) -> dict[Form, int]:
    whole = form(op)
    tensor = op.outputs[0]
    rows = int(columns.walk.made[tensor][-1])
    counts: Counter[Form] = Counter()
    for first, end in columns.made[tensor].tolist():
        if first < end and whole is not None:
            counts[_part(whole, end - first)] += rows
    return dict(counts)


def _part(whole: Form, pixels: int) -> Form:
    """A kernel at work on some pixels of a row."""
    if isinstance(whole, Products):
        return replace(whole, pixels=pixels)
    if isinstance(whole, Depthwise):
        height, width = whole.kernel
        return replace(whole, rows=1, columns=pixels, taps=(height, width * pixels))
    return whole
