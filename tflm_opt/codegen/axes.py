"""Axes joined for the kernels: broadcasts, reductions and copies of any rank as few nested loops.

Neighbouring axes that step alike are one axis, and axes of size 1 are none; after that, nets
need two or three loops, whatever the rank was.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tflm_opt.codegen.call import Struct
from tflm_opt.errors import UnsupportedModel

BROADCAST_AXES = 6  # TFLM_OPT_BROADCAST_AXES
REDUCTION_AXES = 3


@dataclass(frozen=True, slots=True)
class Axis:
    """One loop: how often, and by how many elements each operand moves.

    Attributes:
        size: positions.
        strides: elements from one position to the next, for each operand.
        table: for one operand that does not step evenly, its elements from the start at each
            position; the stride is then unused.
    """

    size: int
    strides: tuple[int, ...]
    table: tuple[int, ...] | None = None


def join(axes: Iterable[Axis]) -> list[Axis]:
    """The same loops with as few axes as possible, outermost first.

    >>> join([Axis(2, (12, 0)), Axis(3, (4, 0)), Axis(4, (1, 1))])
    [Axis(size=6, strides=(4, 0), table=None), Axis(size=4, strides=(1, 1), table=None)]
    """
    joined: list[Axis] = []
    for axis in axes:
        if axis.size == 1:
            continue
        outer = joined[-1] if joined else axis
        even = outer.table is None and axis.table is None
        if joined and even and outer.strides == tuple(s * axis.size for s in axis.strides):
            joined[-1] = Axis(outer.size * axis.size, axis.strides)
        else:
            joined.append(axis)
    return joined


def strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Elements from one index to the next along each axis of a C-ordered array.

    >>> strides((2, 3, 4))
    (12, 4, 1)
    """
    steps: list[int] = []
    step = 1
    for size in reversed(shape):
        steps.append(step)
        step *= size
    return tuple(reversed(steps))


def broadcast_shape(first: tuple[int, ...], second: tuple[int, ...]) -> tuple[int, ...] | None:
    """The shape that two shapes broadcast to, or None if they don't.

    >>> broadcast_shape((1, 8, 8, 3), (3,))
    (1, 8, 8, 3)
    """
    rank = max(len(first), len(second))
    pairs = list(zip(_filled(first, rank), _filled(second, rank), strict=True))
    if any(a != b and 1 not in (a, b) for a, b in pairs):
        return None
    return tuple(max(pair) for pair in pairs)


def broadcast_axes(
    first: tuple[int, ...], second: tuple[int, ...], out: tuple[int, ...], most: int
) -> list[Axis]:
    """The loops over `out` with the strides of both inputs, 0 where one is repeated.

    Raises: UnsupportedModel if the shapes don't make `out`, or alternate too often for `most`.
    """
    shape = broadcast_shape(first, second)
    if shape is None or shape != out:
        raise UnsupportedModel(
            f"inputs of shapes {list(first)} and {list(second)} don't make an output of {list(out)}"
        )
    axes = join(
        Axis(size, (a, b))
        for size, a, b in zip(shape, _steps(first, shape), _steps(second, shape), strict=True)
    )
    if len(axes) > most:
        raise UnsupportedModel(
            f"inputs of shapes {list(first)} and {list(second)} broadcast over {len(axes)} groups "
            f"of axes, and the kernel takes {most}",
            remedy="Reshape them to fewer axes",
        )
    return axes


def broadcast(
    role: str, first: tuple[int, ...], second: tuple[int, ...], out: tuple[int, ...]
) -> Struct:
    """A `tflm_opt_broadcast` of two input shapes. Raises: as `broadcast_axes`."""
    axes = broadcast_axes(first, second, out, BROADCAST_AXES)
    axes = [Axis(1, (0, 0))] * (BROADCAST_AXES - len(axes)) + axes
    return Struct(
        "tflm_opt_broadcast",
        role,
        (
            tuple(axis.size for axis in axes),
            tuple(axis.strides[0] for axis in axes),
            tuple(axis.strides[1] for axis in axes),
        ),
    )


def reduction(role: str, shape: tuple[int, ...], reduced: frozenset[int]) -> Struct:
    """A `tflm_opt_reduction` that folds the axes `reduced` of an input.

    Raises: UnsupportedModel if kept and folded axes alternate too often.
    """
    steps = strides(shape)
    kept = join(Axis(shape[i], (steps[i],)) for i in range(len(shape)) if i not in reduced)
    folded = join(Axis(shape[i], (steps[i],)) for i in range(len(shape)) if i in reduced)
    if max(len(kept), len(folded)) > REDUCTION_AXES:
        raise UnsupportedModel(
            f"reducing the axes {sorted(reduced)} of {list(shape)} takes more than "
            f"{REDUCTION_AXES} nested loops",
            remedy="Transpose first, so that the reduced axes lie side by side",
        )
    kept = [Axis(1, (0,))] * (REDUCTION_AXES - len(kept)) + kept
    folded = [Axis(1, (0,))] * (REDUCTION_AXES - len(folded)) + folded
    return Struct(
        "tflm_opt_reduction",
        role,
        (
            tuple(axis.size for axis in kept),
            tuple(axis.strides[0] for axis in kept),
            tuple(axis.size for axis in folded),
            tuple(axis.strides[0] for axis in folded),
        ),
    )


def _filled(shape: tuple[int, ...], rank: int) -> tuple[int, ...]:
    return (1,) * (rank - len(shape)) + shape


def _steps(shape: tuple[int, ...], out: tuple[int, ...]) -> tuple[int, ...]:
    """Strides of an input along the output's axes: 0 where it is repeated."""
    full = _filled(shape, len(out))
    return tuple(0 if size == 1 else step for size, step in zip(full, strides(full), strict=True))
