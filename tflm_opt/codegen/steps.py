"""What changes from step to step of a stage, told apart from what does not.

Each step of an op is lowered like an op of its own (`patch_split.slices`). The lowered calls of
all variants have one skeleton and differ in a few numbers: rows, padding, places. `merged` joins
them into one call, in which a number that is the same in all steps stays a literal and any other
becomes `Vary`, a column of a small table with one row for each distinct step:

    static const int16_t op4_rows[3 * 2] = {3, 1,  4, 0,  3, 0};      rows in, padding above
    static const uint8_t op4_when[40] = {0, 1, 1, 1, ..., 2};         the table's row, by step
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from tflm_opt.codegen.call import (
    Call,
    Constant,
    Lowered,
    Null,
    Pointer,
    Pointers,
    Scratch,
    Struct,
    Vary,
)
from tflm_opt.graph.ir import Op
from tflm_opt.kernels import table
from tflm_opt.patch_split.regions import NotStreamable

REST = 255  # in the table of steps: the op makes no rows in this step


@dataclass(slots=True)
class Cells:
    """The numbers of one op's turns, column by column.

    `cell` takes one number for each turn and gives back what stands for them in the code.
    """

    columns: list[tuple[int, ...]] = field(default_factory=list)

    def cell(self, values: Sequence[int]) -> int | Vary:
        """The number itself if all turns have the same, else a column.

        >>> cells = Cells(); cells.cell([4, 4]), cells.cell([3, 4]), cells.cell([3, 4])
        (4, Vary(column=0), Vary(column=0))
        """
        row = tuple(int(value) for value in values)
        if len(set(row)) == 1:
            return row[0]
        if row not in self.columns:
            self.columns.append(row)
        return Vary(self.columns.index(row))

    def table(self) -> tuple[np.ndarray | None, list[int]]:
        """(distinct rows of all columns as one flat array, the row that each turn has).

        No array, and a row 0 for every turn, where nothing varies.
        """
        if not self.columns:
            return None, []
        rows = list(zip(*self.columns, strict=True))
        distinct = list(dict.fromkeys(rows))
        values = np.array(distinct, np.int64).ravel()
        fits = values.min() >= -(1 << 15) and values.max() < 1 << 15
        return values.astype(np.int16 if fits else np.int32), [distinct.index(r) for r in rows]


def merged(op: Op, variants: Sequence[Lowered], order: Sequence[int], cells: Cells) -> Lowered:
    """One lowering for all turns of an op.

    Args:
        op: for errors.
        variants: lowerings of its variants. Pointers of the first one stand in the result.
        order: the variant of each turn.
        cells: takes the numbers that differ.

    Raises:
        NotStreamable: the variants differ in more than numbers.
    """
    first = variants[0]
    if first.view or any(len(v.calls) != len(first.calls) for v in variants):
        raise NotStreamable(op, "its bands run different kernels")
    joiner = _Joiner(op, order, cells)
    calls = tuple(
        joiner.call([v.calls[number] for v in variants]) for number in range(len(first.calls))
    )
    return Lowered(calls, max(v.scratch for v in variants), more=first.more)


@dataclass(frozen=True, slots=True)
class _Joiner:
    op: Op
    order: Sequence[int]
    cells: Cells

    def call(self, calls: Sequence[Call]) -> Call:
        first = calls[0]
        functions = {c.function for c in calls}
        if len(functions) > 1:
            functions = {table.kernels()[name].general or name for name in functions}
        if len(functions) > 1 or any(len(c.arguments) != len(first.arguments) for c in calls):
            raise NotStreamable(self.op, "its bands run different kernels")
        arguments = tuple(
            self.one(same) for same in zip(*(c.arguments for c in calls), strict=True)
        )
        return Call(functions.pop(), arguments, first.status)  # type: ignore[arg-type]

    def one(self, items: Sequence[object]) -> object:
        """One argument or field from those of all variants."""
        first = items[0]
        if any(type(item) is not type(first) for item in items):
            raise self.differ()
        match first:
            case Struct(type=ctype, role=role):
                fields = self.one([item.fields for item in items])  # type: ignore[attr-defined]
                return Struct(ctype, role, fields)  # type: ignore[arg-type]
            case tuple():
                if len({len(item) for item in items}) != 1:  # type: ignore[arg-type]
                    raise self.differ()
                return tuple(self.one(same) for same in zip(*items, strict=True))  # type: ignore[call-overload]
            case Constant(data=data):
                if not all(np.array_equal(data, item.data) for item in items):  # type: ignore[attr-defined]
                    raise self.differ()
                return first
            case Pointer() | Pointers() | Scratch() | Null():
                return first
            case int() | np.integer():
                return self.cells.cell([items[i] for i in self.order])  # type: ignore[misc]
            case _:
                if any(item != first for item in items):
                    raise self.differ()
                return first

    def differ(self) -> NotStreamable:
        return NotStreamable(self.op, "its bands need different constants")
