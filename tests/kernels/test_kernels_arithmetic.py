"""Sums, products, pooling, reductions and softmax, bit for bit against TFLM."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from drawn import OPTIONS, PAIRS, add_pair, add_pool, add_reduction, scale, zero_point
from opgraph import Cases, engine

from tflm_opt import graph
from tflm_opt.codegen.lower import lower
from tflm_opt.errors import ToolFailed, UnsupportedModel
from tflm_opt.graph.ir import Graph, Op
from tflm_opt.graph.options import (
    AddOptions,
    Padding,
    PoolOptions,
    ReducerOptions,
    SoftmaxOptions,
)
from tflm_opt.runtime import tflm

Rng = np.random.Generator


@pytest.mark.parametrize("kind", PAIRS)
class TestPairs:
    def test_equal_shapes(self, tmp_path: Path, kind: str) -> None:
        rng = np.random.default_rng(1)
        cases = Cases()
        for i in range(60):
            shape = [(1, 5, 7, 3), (1, 64), (2, 3, 5), (97,), (1, 1, 1, 1)][i % 5]
            add_pair(cases, rng, kind, shape, shape, constant=i % 7 == 0)
        cases.check(tmp_path, samples=3)

    def test_every_pair_of_values(self, tmp_path: Path, kind: str) -> None:
        rng = np.random.default_rng(2)
        cases = Cases()
        for _ in range(4):
            add_pair(cases, rng, kind, (256, 256), (256, 256))
        column, row = np.meshgrid(np.arange(-128, 128), np.arange(-128, 128), indexing="ij")
        sample = [column.astype(np.int8), row.astype(np.int8)] * 4
        cases.check(tmp_path, samples=[sample])

    def test_broadcasting(self, tmp_path: Path, kind: str) -> None:
        rng = np.random.default_rng(3)
        cases = Cases()
        full = (2, 3, 4, 5)
        for ones in itertools.product([False, True], repeat=4):
            other = tuple(1 if one else size for one, size in zip(ones, full, strict=True))
            add_pair(cases, rng, kind, full, other)
        for first, second in [
            ((1, 6, 7, 5), (5,)),
            ((1, 6, 7, 5), (7, 1)),
            ((1, 6, 7, 5), (1,)),
            ((1, 6, 1, 5), (1, 1, 7, 5)),
            ((1, 6, 1, 1), (1, 1, 7, 5)),
            ((3, 1), (1, 4)),
            ((1, 1, 1, 9), (1, 8, 8, 9)),
        ]:
            add_pair(cases, rng, kind, first, second)
            add_pair(cases, rng, kind, first, second, constant=True)
        cases.check(tmp_path, samples=2)

    def test_five_and_six_axes(self, tmp_path: Path, kind: str) -> None:
        rng = np.random.default_rng(4)
        cases = Cases()
        add_pair(cases, rng, kind, (2, 3, 2, 3, 2), (2, 1, 2, 1, 2))
        add_pair(cases, rng, kind, (2, 3, 2, 3, 2, 2), (1, 3, 1, 3, 1, 2))
        cases.check(tmp_path, samples=2)


def test_activation_bounds_on_rounding_borders(tmp_path: Path) -> None:
    """Scales at which 6 / scale is a half, give or take a bit: float32 and float64 differ."""
    cases = Cases()
    apart = 0
    for bound in range(20, 110):
        near = np.float32(6 / (bound + 0.5))
        for value in (np.nextafter(near, np.float32(0)), near, np.nextafter(near, np.float32(9))):
            single, double = float(np.float32(6) / value), 6 / float(value)
            apart += math.floor(single + 0.5) != math.floor(double + 0.5)
            quant = {"scale": float(value), "zero_point": 0}
            x, y = cases.input((1, 1, 1, 1), **quant), cases.tensor((1, 1, 1, 1), **quant)
            cases.op("MAX_POOL_2D", [x], [y], PoolOptions((1, 1), activation="RELU6"))
    assert apart > 20
    cases.check(tmp_path, samples=[[np.full((1, 1, 1, 1), 127, np.int8)] * len(cases.inputs)])


@pytest.mark.parametrize("kind", ["ADD", "SUB"])
def test_a_sum_whose_output_scale_is_too_fine_is_refused_as_in_tflm(kind: str) -> None:
    cases = Cases()
    x, y = (cases.input((1, 4), scale=1.0) for _ in range(2))
    cases.op(kind, [x, y], [cases.tensor((1, 4), scale=1e-7)], OPTIONS[kind]())
    with pytest.raises(UnsupportedModel, match="between 0 and 1"):
        lower(cases.ops[0])
    with pytest.raises(ToolFailed):
        tflm.run(graph.write(cases.graph()), cases.samples(1))


@pytest.mark.parametrize("kind", ["AVERAGE_POOL_2D", "MAX_POOL_2D"])
class TestPools:
    def test_windows(self, tmp_path: Path, kind: str) -> None:
        rng = np.random.default_rng(5)
        cases = Cases()
        for _ in range(80):
            add_pool(cases, rng, kind)
        cases.check(tmp_path, samples=2)

    def test_explicit_padding_counts_only_what_is_inside(self, tmp_path: Path, kind: str) -> None:
        """Against plain numpy: TFLM has only SAME and VALID."""
        rng = np.random.default_rng(6)
        cases = Cases()
        quant = {"scale": 0.5, "zero_point": 3}
        pads = [Padding(2, 0, 1, 0), Padding(0, 2, 0, 2), Padding(1, 2, 2, 1)]
        for pad in pads:
            x = cases.input((1, 5, 6, 2), **quant)
            rows = 5 + pad.top + pad.bottom - 2
            columns = 6 + pad.left + pad.right - 2
            y = cases.tensor((1, rows, columns, 2), **quant)
            cases.op(kind, [x], [y], PoolOptions((3, 3), (1, 1), pad))
        data = cases.samples(2, seed=int(rng.integers(100)))
        got = engine(cases.graph(), tmp_path).run(data)
        for sample, have_row in zip(data, got, strict=True):
            for image, pad, have in zip(sample, pads, have_row, strict=True):
                for y, x, c in np.ndindex(have.shape[1:]):
                    top, left = max(y - pad.top, 0), max(x - pad.left, 0)
                    bottom, right = y - pad.top + 3, x - pad.left + 3
                    window = image[0, top:bottom, left:right, c].astype(int)
                    mean = math.floor(abs(window.sum()) / window.size + 0.5)
                    mean = mean if window.sum() > 0 else -mean
                    want = window.max() if kind == "MAX_POOL_2D" else mean
                    assert have[0, y, x, c] == want, (pad, y, x, c)

    def test_requantizing_is_refused_as_in_tflm(self, kind: str) -> None:
        cases = Cases()
        x = cases.input((1, 4, 4, 1), scale=0.5)
        y = cases.tensor((1, 2, 2, 1), scale=0.25)
        cases.op(kind, [x], [y], PoolOptions((2, 2), (2, 2)))
        with pytest.raises(UnsupportedModel, match="requantize"):
            lower(cases.ops[0])
        with pytest.raises(ToolFailed):
            tflm.run(graph.write(cases.graph()), cases.samples(1))


AXES = [
    [1, 2],
    [2, 1],
    [1],
    [2],
    [3],
    [-1],
    [1, 2, 3],
    [0, 3],
    [1, 3],
    [0, 1, 2, 3],
    [2, 2],
    [-3, 2],
]


@pytest.mark.parametrize("kind", ["MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN"])
class TestReductions:
    def test_any_axes(self, tmp_path: Path, kind: str) -> None:
        rng = np.random.default_rng(7)
        cases = Cases()
        for axes in AXES:
            add_reduction(cases, rng, kind, (1, 7, 5, 6), axes)
            add_reduction(cases, rng, kind, (2, 3, 4, 9), axes)
            add_reduction(cases, rng, kind, (1, 1, 1, 5), axes)
        for shape, axes in [((5, 7), [1]), ((5, 7), [0]), ((9,), [0]), ((2, 5, 3), [1])]:
            add_reduction(cases, rng, kind, shape, axes)
        cases.check(tmp_path, samples=3)

    def test_large_and_uneven_counts(self, tmp_path: Path, kind: str) -> None:
        rng = np.random.default_rng(8)
        cases = Cases()
        for size in (2, 3, 31, 32, 33, 63, 64, 65, 100):
            add_reduction(cases, rng, kind, (1, size, size, 2), [1, 2])
        cases.check(tmp_path, samples=2)

    def test_a_wrong_output_is_refused(self, kind: str) -> None:
        cases = Cases()
        x = cases.input((1, 4, 4, 3))
        axis = cases.constant(np.array([1, 2], np.int32))
        cases.op(kind, [x, axis], [cases.tensor((1, 4))], ReducerOptions())
        with pytest.raises(UnsupportedModel, match="axes make"):
            lower(cases.ops[0])

    def test_an_axis_outside_is_refused(self, kind: str) -> None:
        cases = Cases()
        x = cases.input((1, 4))
        axis = cases.constant(np.array([5], np.int32))
        cases.op(kind, [x, axis], [cases.tensor((1, 4))], ReducerOptions())
        with pytest.raises(UnsupportedModel, match="has axis 5"):
            lower(cases.ops[0])


class TestSoftmax:
    def test_rows_scales_and_betas(self, tmp_path: Path) -> None:
        rng = np.random.default_rng(9)
        cases = Cases()
        shapes = [(1, 1), (1, 2), (1, 10), (3, 12), (1, 4, 5, 7), (2, 3, 9), (1, 500), (17,)]
        for shape in shapes:
            for power in (-5, -3, -2, -1, 0, 1):
                beta = float(rng.choice([1.0, 0.5, 2.0]))
                x = cases.input(
                    shape, scale=scale(rng, power, power + 1), zero_point=zero_point(rng)
                )
                y = cases.tensor(shape, scale=1 / 256, zero_point=-128)
                cases.op("SOFTMAX", [x], [y], SoftmaxOptions(beta))
        cases.check(tmp_path, samples=3)

    def test_every_difference(self, tmp_path: Path) -> None:
        """Rows of two values with every difference, at many scales."""
        rng = np.random.default_rng(10)
        cases = Cases()
        for power in np.linspace(-4, 1.5, 23):
            x = cases.input((256, 2), scale=float(np.float32(10**power)))
            y = cases.tensor((256, 2), scale=1 / 256, zero_point=-128)
            cases.op("SOFTMAX", [x], [y], SoftmaxOptions(1.0))
        rows = np.stack([np.full(256, 127), np.arange(-128, 128)], axis=1).astype(np.int8)
        flipped = rng.permuted(rows, axis=1)
        cases.check(tmp_path, samples=[[rows] * 23, [flipped] * 23])

    def test_equal_values(self, tmp_path: Path) -> None:
        cases = Cases()
        for size in (1, 2, 3, 255, 256, 257, 511):
            x = cases.input((1, size), scale=0.1)
            y = cases.tensor((1, size), scale=1 / 256, zero_point=-128)
            cases.op("SOFTMAX", [x], [y], SoftmaxOptions(1.0))
        sample = [np.full(t.shape, 5, np.int8) for t in cases.inputs]
        cases.check(tmp_path, samples=[sample])

    def test_a_sum_of_512_and_more_is_zero_where_tflm_aborts(self, tmp_path: Path) -> None:
        cases = Cases()
        x = cases.input((1, 600), scale=0.1)
        y = cases.tensor((1, 600), scale=1 / 256, zero_point=-128)
        cases.op("SOFTMAX", [x], [y], SoftmaxOptions(1.0))
        sample = [np.zeros(x.shape, np.int8)]
        with pytest.raises(ToolFailed):
            tflm.run(graph.write(cases.graph()), [sample])
        (got,) = engine(cases.graph(), tmp_path, sanitize=True).run([sample])[0]
        assert np.all(got == -128)  # each is 256 / 600 of a step

    @pytest.mark.parametrize("quant", [(0.5, -128), (1 / 256, 0)])
    def test_another_output_scale_is_refused_as_in_tflm(self, quant: tuple[float, int]) -> None:
        cases = Cases()
        x = cases.input((1, 4), scale=0.5)
        y = cases.tensor((1, 4), scale=quant[0], zero_point=quant[1])
        cases.op("SOFTMAX", [x], [y], SoftmaxOptions(1.0))
        with pytest.raises(UnsupportedModel, match="1/256"):
            lower(cases.ops[0])
        with pytest.raises(ToolFailed):
            tflm.run(graph.write(cases.graph()), cases.samples(1))

    def test_a_scale_of_almost_nothing_is_refused_as_in_tflm(self) -> None:
        cases = Cases()
        x = cases.input((1, 4), scale=1e-9)
        y = cases.tensor((1, 4), scale=1 / 256, zero_point=-128)
        cases.op("SOFTMAX", [x], [y], SoftmaxOptions(1.0))
        with pytest.raises(UnsupportedModel, match="too small"):
            lower(cases.ops[0])
        with pytest.raises(ToolFailed):
            tflm.run(graph.write(cases.graph()), cases.samples(1))


def test_the_sanitizers_find_nothing(tmp_path: Path) -> None:
    """One of everything, under the address and undefined-behaviour sanitizers."""
    rng = np.random.default_rng(11)
    cases = Cases()
    for kind in PAIRS:
        add_pair(cases, rng, kind, (1, 5, 7, 3), (1, 5, 7, 3))
        add_pair(cases, rng, kind, (1, 5, 7, 3), (3,))
    for kind in ("AVERAGE_POOL_2D", "MAX_POOL_2D"):
        for _ in range(10):
            add_pool(cases, rng, kind)
    for kind in ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN"):
        add_reduction(cases, rng, kind, (1, 7, 5, 6), [1, 2])
    x = cases.input((3, 11), scale=3.0)
    y = cases.tensor((3, 11), scale=1 / 256, zero_point=-128)
    cases.op("SOFTMAX", [x], [y], SoftmaxOptions(1.0))
    cases.check(tmp_path, samples=3, sanitize=True)


def test_a_missing_option_record_is_refused() -> None:
    cases = Cases()
    x, y = cases.input((1, 4)), cases.input((1, 4))
    cases.op("ADD", [x, y], [cases.tensor((1, 4))], None)
    with pytest.raises(UnsupportedModel, match="options"):
        lower(cases.ops[0])


def test_shapes_that_do_not_broadcast_are_refused() -> None:
    cases = Cases()
    x, y = cases.input((1, 4)), cases.input((1, 3))
    op = Op("ADD", (x, y), (cases.tensor((1, 4)),), AddOptions())
    with pytest.raises(UnsupportedModel, match="don't make"):
        lower(op)
    assert isinstance(Graph((op,), (x, y), op.outputs), Graph)
    with pytest.raises(UnsupportedModel, match="int8"):
        lower(replace(op, inputs=(x, replace(y, dtype="int16"))))
