"""Receptive fields in rows against taps counted one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tflm_opt.graph.ir import Op, Quantization, Tensor
from tflm_opt.graph.optable import OPS
from tflm_opt.graph.optable.lines import row_line
from tflm_opt.graph.options import (
    BandConvOptions,
    ConcatenationOptions,
    ConvOptions,
    MulOptions,
    Padding,
    ReducerOptions,
    ResizeBilinearOptions,
    ResizeNearestNeighborOptions,
    TransposeConvOptions,
    out_size,
)
from tflm_opt.patch_split.regions import NotStreamable, row_reaches
from tflm_opt.patch_split.slices import op_rows

QUANT = Quantization.per_tensor(0.1)


def image(rows: int, channels: int = 2, name: str = "x") -> Tensor:
    return Tensor(name, (1, rows, 3, channels), "int8", QUANT)


def conv(size: int, kernel: int, stride: int, dilation: int, top: int, bottom: int) -> Op | None:
    rows = out_size(size, kernel, stride, dilation, top, bottom)
    if rows < 1:
        return None
    weights = Tensor("w", (4, kernel, 1, 2), "int8", QUANT, np.ones((4, kernel, 1, 2), np.int8))
    options = ConvOptions((stride, 1), Padding(top, bottom, 0, 0), (dilation, 1))
    return Op("CONV_2D", (image(size), weights, None), (image(rows, 4, "y"),), options)


def taps(op: Op, row: int) -> set[int]:
    """Input rows that an output row multiplies, padding left out."""
    assert isinstance(op.options, ConvOptions)
    source, weights = op.inputs[0], op.inputs[1]
    assert source is not None
    assert weights is not None
    first = row * op.options.stride[0] - op.options.padding.top
    all_taps = {first + k * op.options.dilation[0] for k in range(weights.shape[1])}
    return {tap for tap in all_taps if 0 <= tap < source.shape[1]}


@st.composite
def cases(draw: st.DrawFn) -> tuple[Op, int, int]:
    kernel, dilation = draw(st.integers(1, 7)), draw(st.integers(1, 3))
    most = (kernel - 1) * dilation
    op = conv(
        draw(st.integers(1, 20)),
        kernel,
        draw(st.integers(1, 3)),
        dilation,
        draw(st.integers(0, most)),
        draw(st.integers(0, most)),
    )
    if op is None:
        op = conv(9, 3, 1, 1, 1, 1)
    assert op is not None
    rows = op.output.shape[1]
    a = draw(st.integers(0, rows - 1))
    return op, a, draw(st.integers(a + 1, rows))


@given(cases())
@settings(max_examples=400, deadline=None)
def test_needs_are_the_taps(case: tuple[Op, int, int]) -> None:
    op, a, b = case
    rows = op.output.shape[1]
    by_row = [taps(op, row) for row in range(rows)]
    try:
        (reach, none, _) = row_reaches(op)
    except NotStreamable:
        real = [row for row in range(rows) if by_row[row]]
        assert not real or len(real) != real[-1] - real[0] + 1
        return
    assert none is None
    assert reach is not None
    read = set().union(*by_row[a:b])
    if not read:
        assert reach.needs(a, b) == (0, 0)
        return
    assert reach.needs(a, b) == (min(read), max(read) + 1)
    below = set().union(*by_row[a:])
    assert reach.lowest_from(rows)[a] == min(below)
    assert reach.ahead(np.array([b]))[0] > max(set().union(*by_row[:b]) or {-1})


@given(cases())
@settings(max_examples=400, deadline=None)
def test_rows_of_an_op_have_its_taps(case: tuple[Op, int, int]) -> None:
    """The sliced op reads the same rows with the same taps, and pads where the whole op does."""
    op, a, b = case
    try:
        (reach, *_) = row_reaches(op)
    except NotStreamable:
        return
    assert reach is not None
    lo, hi = reach.needs(a, b)
    if lo == hi:
        return
    part = op_rows(op, a, b)
    assert isinstance(part.options, BandConvOptions)
    assert isinstance(op.options, ConvOptions)
    assert part.options.whole == op.options.padding
    assert part.inputs[0] is not None
    assert part.inputs[0].shape[1] == hi - lo
    for row in range(a, b):
        assert {lo + tap for tap in taps(part, row - a)} == taps(op, row)
    padding, weights = part.options.padding, op.inputs[1]
    assert weights is not None
    made = out_size(
        hi - lo,
        weights.shape[1],
        op.options.stride[0],
        op.options.dilation[0],
        padding.top,
        padding.bottom,
    )
    assert made == b - a


def stretching(kind: str, size: int, out: int, corners: bool, half: bool) -> Op:
    source, target = image(size), image(out, name="y")
    wanted = Tensor("size", (2,), "int32", None, np.array([out, 3], np.int32))
    record = {
        "RESIZE_BILINEAR": ResizeBilinearOptions(corners, half and not corners),
        "RESIZE_NEAREST_NEIGHBOR": ResizeNearestNeighborOptions(corners, half),
    }[kind]
    return Op(kind, (source, wanted), (target,), record)


def transposed(size: int, kernel: int, stride: int, top: int) -> Op | None:
    rows = (size - 1) * stride + kernel - top
    if rows < 1:
        return None
    filters = Tensor("w", (2, kernel, 1, 2), "int8", QUANT, np.ones((2, kernel, 1, 2), np.int8))
    target = image(rows, name="y")
    shape = Tensor("shape", (4,), "int32", None, np.array(target.shape, np.int32))
    options = TransposeConvOptions((stride, 1), Padding(top, 0, 0, 0))
    return Op("TRANSPOSE_CONV", (shape, filters, image(size)), (target,), options)


@st.composite
def stretches(draw: st.DrawFn) -> Op:
    kind = draw(st.sampled_from(["RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "TRANSPOSE_CONV"]))
    size = draw(st.integers(1, 16))
    if kind != "TRANSPOSE_CONV":
        flags = draw(st.booleans()), draw(st.booleans())
        return stretching(kind, size, draw(st.integers(1, 40)), *flags)
    kernel, top = draw(st.integers(1, 5)), draw(st.integers(0, 2))
    op = transposed(size, kernel, draw(st.integers(1, 3)), top)
    return op or stretching("RESIZE_BILINEAR", size, 2 * size, False, True)


@given(stretches(), st.data())
@settings(max_examples=400, deadline=None)
def test_a_band_of_a_stretched_image_reads_its_rows(op: Op, data: st.DataObject) -> None:
    """Row by row: what the band reads of its slice is what the whole op reads of its image."""
    rows = op.output.shape[1]
    try:
        at, reach = next((i, r) for i, r in enumerate(row_reaches(op)) if r is not None)
    except NotStreamable:
        line = row_line(op)
        assert line is None or (op.kind == "TRANSPOSE_CONV" and line.unit > 1)
        return
    every = [reach.needs(i, i + 1) for i in range(rows)]
    whole = OPS[op.kind].reach(op, at, 1)
    assert every == [whole.needs(i, i + 1) for i in range(rows)]
    a = data.draw(st.integers(0, rows - 1))
    b = data.draw(st.integers(a + 1, rows))
    low, high = reach.needs(a, b)
    assert reach.ahead(np.array([b]))[0] >= max(hi for _, hi in every[:b])
    assert reach.edge(np.array([a]))[0] <= min((lo for lo, hi in every[a:] if lo < hi), default=0)
    if low == high or every[a] == (0, 0):
        return
    part = op_rows(op, a, b)
    source = part.inputs[at]
    assert source is not None
    assert source.shape[1] == high - low
    shown = OPS[op.kind].reach(part, at, 1)
    for row in range(a, b):
        lo, hi = shown.needs(row - a, row - a + 1)
        assert (lo + low, hi + low) == every[row] or (lo, hi) == every[row] == (0, 0)


@pytest.mark.parametrize(
    ("op", "rows"),
    [
        (stretching("RESIZE_NEAREST_NEIGHBOR", 8, 16, False, False), [1, 1, 2, 2, 3, 3]),
        (stretching("RESIZE_NEAREST_NEIGHBOR", 8, 12, False, True), [1, 2, 2, 3, 4, 4]),
        (stretching("RESIZE_BILINEAR", 8, 16, False, True), [1, 2, 2, 3, 3, 4]),
        (stretching("RESIZE_BILINEAR", 8, 15, True, False), [1, 2, 2, 3, 3, 4]),
        (transposed(8, 2, 2, 0), [1, 1, 2, 2, 3, 3]),
        (transposed(8, 3, 2, 0), [1, 1, 2, 2, 3, 3]),
    ],
)
def test_a_stretched_image_asks_for_no_row_too_soon(op: Op, rows: list[int]) -> None:
    """By hand: input rows that must be there for the first 1, 2, ... rows."""
    reach = next(r for r in row_reaches(op) if r is not None)
    assert reach.ahead(np.arange(1, 7)).tolist() == rows


def mean(axes: list[int], keep: bool = True) -> Op:
    shape = tuple(1 if i in axes else n for i, n in enumerate((1, 5, 3, 2)))
    axis = Tensor("axes", (len(axes),), "int32", None, np.array(axes, np.int32))
    out = Tensor("m", shape, "int8", QUANT)
    return Op("MEAN", (image(5), axis), (out,), ReducerOptions(keep))


def test_what_ends_a_stage() -> None:
    join = Op("CONCATENATION", (image(5), image(4)), (image(9),), ConcatenationOptions(1))
    rows = Tensor("c", (1, 5, 3, 2), "int8", QUANT, np.zeros((1, 5, 3, 2), np.int8))
    multiplied = Op("MUL", (image(5), rows), (image(5),), MulOptions())
    turned = Tensor("p", (4,), "int32", None, np.array([0, 2, 1, 3], np.int32))
    transpose = Op("TRANSPOSE", (image(5), turned), (Tensor("t", (1, 3, 5, 2), "int8", QUANT),))
    for op, reason in [
        (mean([1, 2]), "all rows"),
        (join, "moves rows"),
        (multiplied, "rows of its own"),
        (transpose, "row by row"),
    ]:
        with pytest.raises(NotStreamable, match=reason) as caught:
            row_reaches(op)
        assert caught.value.at is op


def test_what_runs_on_rows_though_it_looks_like_a_reduction() -> None:
    assert row_reaches(mean([2]))[0] is not None
    gate = Tensor("g", (1, 1, 1, 2), "int8", QUANT)
    gated = Op("MUL", (image(5), gate), (image(5),), MulOptions())
    reach, whole = row_reaches(gated)
    assert reach is not None
    assert whole is None
