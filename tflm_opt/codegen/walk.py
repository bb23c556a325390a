"""One strided copy that serves every op that only moves values.

The idea: an op like TRANSPOSE, STRIDED_SLICE, REVERSE_V2 or nearest-neighbour RESIZE writes its
output in memory order, and says for each output position where in the input the value is. If that
place is a sum of one term an axis, the op is a walk: a list of axes, each with a step (which may
be 0 or negative) or a table of places. `copy` shortens the walk (axes of size 1 go, axes that
continue each other merge, a contiguous last axis becomes the block) and returns the call of
`tflm_opt_copy_nd`, or of the smaller kernel that moves bytes along two axes. NumPy's strided arrays
are the same idea, without tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from tflm_opt.codegen.axes import Axis, join, strides
from tflm_opt.codegen.call import Call, Constant, Field, Null, Pointer, Struct
from tflm_opt.errors import UnsupportedModel
from tflm_opt.graph.ir import Tensor

MAX_AXES = 6  # TFLM_OPT_COPY_AXES of tflm_opt_movement.h


def along(size: int, step: int = 0) -> Axis:
    """An axis of the output whose positions lie `step` input elements apart."""
    return Axis(size, (step,))


def listed(places: Iterable[int]) -> Axis:
    """An axis of the output with the input elements from the start, for each position."""
    table = tuple(places)
    return Axis(len(table), (0,), table)


def dense(shape: tuple[int, ...]) -> list[Axis]:
    """The walk that copies a tensor of this shape as it is."""
    return [along(size, step) for size, step in zip(shape, strides(shape), strict=True)]


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
    if axes and axes[-1].table is None and axes[-1].strides == (1,):
        block, axes = axes[-1].size, axes[:-1]
    if len(axes) > MAX_AXES:
        raise UnsupportedModel(
            f"the copy has {len(axes)} independent axes, and the engine takes {MAX_AXES}",
            tensor=target.name,
            remedy="Split the op in two",
        )
    axes = [along(1)] * (MAX_AXES - len(axes)) + list(axes)
    item = source.itemsize
    fields: tuple[Field, ...] = (
        block * item,
        offset * item,
        tuple(axis.size for axis in axes),
        tuple(axis.strides[0] * item for axis in axes),
        tuple(_table(axis, item, f"places{number}") for number, axis in enumerate(axes)),
    )
    params = Struct("tflm_opt_copy_params", "walk", fields)
    plain = block * item == 1 and all(axis.table is None for axis in axes)
    short = plain and all(axis.size == 1 for axis in axes[:-2])
    function = "tflm_opt_copy_bytes" if short else "tflm_opt_copy_nd"
    return Call(function, (params, Pointer(source), Pointer(target)), status=False)


def shorten(axes: Sequence[Axis], offset: int = 0) -> tuple[int, list[Axis]]:
    """(offset, axes) of an equal walk with as few axes as possible.

    >>> shorten([along(2, 12), along(3, 4), along(1, 9), along(4, 1)])
    (0, [Axis(size=24, strides=(1,), table=None)])
    """
    straight = [_straighten(axis) for axis in axes]
    return offset + sum(start for start, _ in straight), join(axis for _, axis in straight)


def _straighten(axis: Axis) -> tuple[int, Axis]:
    """(elements to the first position, an equal axis): a table of even steps becomes a step."""
    if axis.table is None:
        return 0, axis
    places = np.array(axis.table)
    gaps = np.diff(places)
    if gaps.size == 0 or (gaps == gaps[0]).all():
        step = int(gaps[0]) if gaps.size else 0
        return int(places[0]), along(axis.size, step)
    return 0, axis


def _check(source: Tensor, target: Tensor, axes: Sequence[Axis], offset: int) -> None:
    count, low, high = 1, offset, offset
    for axis in axes:
        count *= axis.size
        if axis.size:
            places = axis.table or (0, (axis.size - 1) * axis.strides[0])
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
