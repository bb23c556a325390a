"""One strided copy that serves every op that only moves values.

The idea: an op like TRANSPOSE, STRIDED_SLICE, REVERSE_V2 or nearest-neighbour RESIZE writes its
output in memory order, and says for each output position where in the input the value is. If that
place is a sum of one term an axis, the op is a walk: a list of `Axis`, each with a step (which may
be 0 or negative) or a table of places. `copy` shortens the walk (axes of size 1 go, axes that
continue each other merge, a contiguous last axis becomes the block) and returns the call of
`tflm_opt_copy_nd`. NumPy's strided arrays are the same idea, without tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tflm_opt.codegen.call import Call, Constant, Field, Null, Pointer, Struct
from tflm_opt.errors import UnsupportedModel
from tflm_opt.graph.ir import Tensor

MAX_AXES = 6  # TFLM_OPT_COPY_AXES of tflm_opt_movement.h


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis of the output: its size, and where in the input its positions are.

    Attributes:
        size: positions.
        step: input elements from one position to the next; unused if there is a table.
        table: input elements from the start, for each position.
    """

    size: int
    step: int = 0
    table: tuple[int, ...] | None = None

    @property
    def places(self) -> tuple[int, ...]:
        """Input elements from the start, for each position."""
        return self.table or tuple(i * self.step for i in range(self.size))


def steps(shape: Sequence[int]) -> list[int]:
    """Elements between neighbours along each axis of a dense tensor.

    >>> steps((2, 3, 4))
    [12, 4, 1]
    """
    result, step = [], 1
    for size in reversed(shape):
        result.append(step)
        step *= size
    return result[::-1]


def dense(shape: Sequence[int]) -> list[Axis]:
    """The walk that copies a tensor of this shape as it is."""
    return [Axis(size, step) for size, step in zip(shape, steps(shape), strict=True)]


def copy(source: Tensor, target: Tensor, axes: Sequence[Axis], offset: int = 0) -> Call:
    """The call that fills `target` from `source`.

    Args:
        axes: outermost first; the product of their sizes is the target's element count.
        offset: elements of the source before the walk's origin.

    Raises:
        UnsupportedModel: the walk leaves the source, does not fill the target, or has more
            than six axes that don't merge.
    """
    _check(source, target, axes, offset)
    offset, axes = shorten(axes, offset)
    block = 1
    if axes and axes[-1].table is None and axes[-1].step == 1:
        block, axes = axes[-1].size, axes[:-1]
    if len(axes) > MAX_AXES:
        raise UnsupportedModel(
            f"the copy has {len(axes)} independent axes, and the engine takes {MAX_AXES}",
            tensor=target.name,
            remedy="Split the op in two",
        )
    axes = [Axis(1)] * (MAX_AXES - len(axes)) + list(axes)
    item = source.itemsize
    fields: tuple[Field, ...] = (
        block * item,
        offset * item,
        tuple(axis.size for axis in axes),
        tuple(axis.step * item for axis in axes),
        tuple(_table(axis, item, f"places{number}") for number, axis in enumerate(axes)),
    )
    params = Struct("tflm_opt_copy_params", "walk", fields)
    return Call("tflm_opt_copy_nd", (params, Pointer(source), Pointer(target)), status=False)


def shorten(axes: Sequence[Axis], offset: int = 0) -> tuple[int, list[Axis]]:
    """(offset, axes) of an equal walk with as few axes as possible.

    >>> shorten([Axis(2, 12), Axis(3, 4), Axis(1, 9), Axis(4, 1)])
    (0, [Axis(size=24, step=1, table=None)])
    """
    kept: list[Axis] = []
    for axis in axes:
        start, axis = _straighten(axis)
        offset += start
        if axis.size == 1:
            continue
        before = kept[-1] if kept else None
        joins = before is not None and before.table is None and axis.table is None
        if joins and before is not None and before.step == axis.size * axis.step:
            kept[-1] = Axis(before.size * axis.size, axis.step)
        else:
            kept.append(axis)
    return offset, kept


def _straighten(axis: Axis) -> tuple[int, Axis]:
    """(elements to the first position, an equal axis): a table of even steps becomes a step."""
    if axis.table is None:
        return 0, axis
    places = np.array(axis.table)
    gaps = np.diff(places)
    if gaps.size == 0 or (gaps == gaps[0]).all():
        step = int(gaps[0]) if gaps.size else 0
        return int(places[0]), replace(axis, step=step, table=None)
    return 0, axis


def _check(source: Tensor, target: Tensor, axes: Sequence[Axis], offset: int) -> None:
    count, low, high = 1, offset, offset
    for axis in axes:
        count *= axis.size
        if axis.size:
            places = axis.places if axis.table else (0, (axis.size - 1) * axis.step)
            low += min(places)
            high += max(places)
    if count != target.elements or count == 0:
        raise UnsupportedModel(
            f"the op makes {count} values, and its output holds {target.elements}",
            tensor=target.name,
            remedy="Export the model again with fixed shapes",
        )
    if low < 0 or high >= source.elements:
        raise UnsupportedModel(
            f"the op reads outside its input of {source.elements} values ({low}..{high})",
            tensor=source.name,
        )


def _table(axis: Axis, item: int, role: str) -> Constant | Null:
    if axis.table is None:
        return Null()
    return Constant(role, np.array(axis.table, np.int32) * np.int32(item))
