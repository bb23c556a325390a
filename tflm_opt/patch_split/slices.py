"""Rows of an op as an op: what one step of a stage runs.

A convolution's rows [8, 16) are a convolution of the input rows that they read, with the padding
that is left at the top or bottom; so every step is an ordinary `Op` on smaller tensors, and
kernels, lowerings and safe distances need not know of stages. Most steps are alike: `turns` sorts
them into a few *variants*, typically the first, the steady one and the last.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import lru_cache

import numpy as np

from tflm_opt.graph.ir import Op, Tensor
from tflm_opt.graph.optable.lines import Line, row_line
from tflm_opt.graph.options import (
    AddOptions,
    BandAddOptions,
    BandConvOptions,
    BandMulOptions,
    BandResizeBilinearOptions,
    BandResizeNearestOptions,
    ConvOptions,
    MulOptions,
    Options,
    PoolOptions,
    RowSumOptions,
    TransposeConvOptions,
)
from tflm_opt.patch_split.regions import (
    PADS,
    ROW_AXIS,
    RowReach,
    row_reaches,
    stage_height,
    sum_reaches,
)
from tflm_opt.patch_split.walk import Walk

Rows = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Turn:
    """One op in one step.

    Attributes:
        step: of the stage.
        rows: output rows [a, b) that it makes; none until the last turn of an op that folds an
            image as running sums.
        needs: input rows [lo, hi) that it reads, one an input; None for inputs read whole.
        variant: position in `Turns.variants`.
    """

    step: int
    rows: Rows
    needs: tuple[Rows | None, ...]
    variant: int


@dataclass(frozen=True, slots=True, eq=False)
class Turns:
    """All that an op does in a stage.

    Attributes:
        op: the whole op.
        variants: ops on row slices, in order of first use; together they make all rows.
        turns: in order of steps; steps in which the op rests are left out.
    """

    op: Op
    variants: tuple[Op, ...]
    turns: tuple[Turn, ...]


def turns(walk: Walk, op: Op) -> Turns:
    """The turns of an op of a stage, and the distinct ops that they run.

    Example:
        >>> [v.output.shape[1] for v in turns(walk(graph, Stage((conv,), band=2)), conv).variants]
        [2, 2, 2]        # with padding at the top, without, with padding at the bottom
    """
    if op is walk.summed:
        return _sum_turns(walk, op)
    reaches = row_reaches(op)
    variants: list[Op] = []
    known: dict[tuple[object, ...], int] = {}
    found = []
    for step in range(walk.steps):
        a, b = walk.rows(op, step)
        if a == b:
            continue
        needs = tuple(None if reach is None else reach.needs(a, b) for reach in reaches)
        key = (b - a, tuple(_shape(op, reach, a, b) for reach in reaches))
        if key not in known:
            known[key] = len(variants)
            variants.append(op_rows(op, a, b))
        found.append(Turn(step, (a, b), needs, known[key]))
    return Turns(op, tuple(variants), tuple(found))


def _sum_turns(walk: Walk, op: Op) -> Turns:
    """The turns of an op that adds rows to running sums, and makes its output in the last one."""
    reaches = sum_reaches(op)
    assert reaches is not None
    others = (None,) * (len(reaches) - 1)
    variants: list[Op] = []
    known: dict[tuple[int, bool, bool], int] = {}
    found = []
    for step in range(walk.steps):
        a, b = walk.rows(op, step)
        if a == b:
            continue
        first, last = a == 0, b == stage_height(op)
        key = (b - a, first, last)
        if key not in known:
            known[key] = len(variants)
            variants.append(_sum_rows(op, a, b, first=first, last=last))
        found.append(Turn(step, (0, int(last)), ((a, b), *others), known[key]))
    return Turns(op, tuple(variants), tuple(found))


def _sum_rows(op: Op, a: int, b: int, *, first: bool, last: bool) -> Op:
    source = op.inputs[0]
    assert source is not None
    count = source.shape[ROW_AXIS] * source.shape[ROW_AXIS + 1]
    options = RowSumOptions(op.options, first, last, count)
    return replace(
        op, inputs=(rows_of(source, a, b), *op.inputs[1:]), options=options, carried=None
    )


def _shape(op: Op, reach: RowReach | None, a: int, b: int) -> tuple[int, ...]:
    """What tells one band's op from another's."""
    if reach is None:
        return ()
    lo, hi = reach.needs(a, b)
    line = row_line(op)
    return (hi - lo, *(reach.padding(a, b) if line is None else line.at(a, lo)))


@lru_cache(maxsize=8192)
def op_rows(op: Op, a: int, b: int) -> Op:
    """The op that makes output rows [a, b) of `op` from the input rows that they read.

    Example:
        >>> op_rows(conv_3x3_same, 0, 2).inputs[0].shape, op_rows(conv_3x3_same, 0, 2).options
        ((1, 3, 8, 4), BandConvOptions(..., padding=Padding(top=1, bottom=0, left=1, right=1)))

    Raises:
        NotStreamable: as `row_reaches`.
    """
    reaches = row_reaches(op)
    sliced: dict[tuple[Tensor, Rows], Tensor] = {}
    inputs: list[Tensor | None] = []
    for tensor, reach in zip(op.inputs, reaches, strict=True):
        if tensor is None or reach is None:
            inputs.append(tensor)
            continue
        rows = reach.needs(a, b)
        inputs.append(sliced.setdefault((tensor, rows), rows_of(tensor, *rows)))
    outputs = tuple(rows_of(tensor, a, b) for tensor in op.outputs)
    options = _broadcast(op.options) if None in reaches else op.options
    first = next(reach for reach in reaches if reach is not None)
    line = row_line(op)
    if line is not None:
        options = _at(op, line.at(a, first.needs(a, b)[0]))
        size = 0 if op.kind == "TRANSPOSE_CONV" else 1
        inputs[size] = _sizes(op, size, outputs[0])
    elif op.kind in PADS:
        inputs[1] = _paddings(op, *first.padding(a, b))
    else:
        options = _options(options, *first.padding(a, b))
    return replace(op, inputs=tuple(inputs), outputs=outputs, options=options, carried=None)


def rows_of(tensor: Tensor, a: int, b: int) -> Tensor:
    """A tensor of rows [a, b) of another."""
    shape = (*tensor.shape[:ROW_AXIS], b - a, *tensor.shape[ROW_AXIS + 1 :])
    return replace(tensor, shape=shape, shape_signature=None, carried=None)


def _options(options: Options | None, top: int, bottom: int) -> Options | None:
    if isinstance(options, ConvOptions):
        values = {f.name: getattr(options, f.name) for f in fields(ConvOptions)}
        whole = options.whole if isinstance(options, BandConvOptions) else options.padding
        values["padding"] = replace(options.padding, top=top, bottom=bottom)
        return BandConvOptions(**values, whole=whole)
    if isinstance(options, PoolOptions):
        return replace(options, padding=replace(options.padding, top=top, bottom=bottom))
    return options


def _at(op: Op, line: Line) -> Options | None:
    """The options of a band of an op that stretches its image, whose rows lie on `line`."""
    options = op.options
    corners = bool(getattr(options, "align_corners", False))
    half = bool(getattr(options, "half_pixel_centers", False))
    if op.kind == "RESIZE_NEAREST_NEIGHBOR":
        return BandResizeNearestOptions(corners, half, line.step, line.start, line.unit)
    if op.kind == "RESIZE_BILINEAR":
        source = op.inputs[0]
        assert source is not None
        whole = (source.shape[ROW_AXIS], op.output.shape[ROW_AXIS])
        if isinstance(options, BandResizeBilinearOptions):
            whole = options.whole
        return BandResizeBilinearOptions(corners, half, line.step, line.start, whole)
    assert isinstance(options, TransposeConvOptions)
    # Nothing reads what is cut at the bottom: it follows from the rows that are made.
    return replace(options, padding=replace(options.padding, top=line.start))


def _sizes(op: Op, position: int, output: Tensor) -> Tensor:
    """The constant that says how large the output is: [h, w], or [n, h, w, c]."""
    tensor = op.inputs[position]
    assert tensor is not None
    shape = output.shape if op.kind == "TRANSPOSE_CONV" else output.shape[1:3]
    return replace(tensor, data=np.array(shape, np.int32))


def _broadcast(options: Options | None) -> Options | None:
    """One row of an image one pixel wide has the shape of what is broadcast to it: told apart."""
    match options:
        case AddOptions(activation, pot_scale):
            return BandAddOptions(activation, pot_scale)
        case MulOptions(activation):
            return BandMulOptions(activation)
        case _:
            return options


def _paddings(op: Op, top: int, bottom: int) -> Tensor:
    """The constant widths of a PAD, with other ones above and below."""
    tensor = op.inputs[1]
    assert tensor is not None
    assert tensor.data is not None
    widths = np.array(tensor.data)
    widths.reshape(-1, 2)[ROW_AXIS] = (top, bottom)
    return replace(tensor, data=widths)
