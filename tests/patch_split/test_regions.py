"""Receptive fields in rows against taps counted one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tflm_opt.graph.ir import Op, Quantization, Tensor
from tflm_opt.graph.options import (
    BandConvOptions,
    ConcatenationOptions,
    ConvOptions,
    MulOptions,
    Padding,
    ReducerOptions,
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
