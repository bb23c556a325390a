"""Literals and arrays: what C reads is what Python wrote."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tflm_opt.codegen.axes import Axis, broadcast, join, reduction
from tflm_opt.codegen.emit import Constants, array_text, number
from tflm_opt.codegen.fold import folded
from tflm_opt.errors import UnsupportedModel


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (-7, "-7"),
        (2**31 - 1, "2147483647"),
        (-(2**31), "(-2147483647 - 1)"),
        (2**31, "2147483648LL"),
        (-(2**63), "(-9223372036854775807LL - 1)"),
        (True, "1"),
        (0.5, "0.5f"),
        (3.0, "3.0f"),
        (1e-30, "1e-30f"),
        (-0.0, "-0.0f"),
        (np.int32(5), "5"),
    ],
)
def test_literals(value: float, text: str) -> None:
    assert number(value) == text


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_float_literal_reads_back_exactly(value: float) -> None:
    assert np.float32(number(value).rstrip("f")) == np.float32(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_constant_that_is_no_number_is_refused(value: float) -> None:
    with pytest.raises(UnsupportedModel, match="finite"):
        number(value)


@given(st.binary(min_size=1, max_size=300), st.sampled_from(["int8", "uint8"]))
def test_byte_arrays_read_back(data: bytes, dtype: str) -> None:
    array = np.frombuffer(data, dtype)
    read = [int(word) for word in array_text(array).replace("\n", "").split(",")]
    assert read == array.tolist()


def test_lines_stay_short() -> None:
    array = np.full(1000, -(2**31), np.int32)
    assert max(map(len, array_text(array).splitlines())) <= 100


def test_equal_constants_are_stored_once() -> None:
    constants = Constants()
    first = constants.pointer("a", np.array([1, 2], np.int8), "a")
    again = constants.pointer("b", np.array([[1], [2]], np.int8), "b")
    wider = constants.pointer("c", np.array([1, 2], np.int32), "c")
    assert (first, again, wider) == ("a", "a", "c")
    assert constants.nbytes == 2 + 8


def test_constants_of_one_name_are_kept_apart() -> None:
    constants = Constants()
    arrays = [np.array([value], np.int8) for value in (1, 2, 3, 2)]
    names = [constants.pointer("op0_constant", array, "x") for array in arrays]
    assert names == ["op0_constant", "op0_constant_2", "op0_constant_3", "op0_constant_2"]
    assert [constants.arrays[name][1].tolist() for name in names] == [[1], [2], [3], [2]]


def test_constants_for_pairs_stand_beside_the_others_and_weigh_nothing() -> None:
    constants = Constants()
    array = np.array([1, 2], np.int32)
    same = constants.pointer("op0_bias", array, "x")
    pairs = constants.pointer("op1_bias", array, "x", np.array([-1, -2], np.int32))
    again = constants.pointer("op2_bias", array, "x", np.array([-1, -2], np.int32))
    assert (same, pairs, again) == ("op0_bias", "op1_bias", "op1_bias")
    assert constants.nbytes == 16
    both = "#if TFLM_OPT_PAIRED\n-1,-2\n#else\n1,2\n#endif\n"
    assert both in constants.definitions()


@pytest.mark.parametrize("array", [np.zeros(0, np.int8), np.zeros(1, np.complex64)])
def test_constants_without_a_place_in_c_are_refused(array: np.ndarray) -> None:
    with pytest.raises(UnsupportedModel):
        Constants().pointer("x", array, "x")


def test_four_megabytes_print_in_seconds() -> None:
    array = np.random.default_rng(0).integers(-128, 128, 4 << 20).astype(np.int8)
    start = time.process_time()
    array_text(array)
    assert time.process_time() - start < 3


AXES = st.lists(
    st.tuples(st.integers(1, 4), st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=5
)


@given(AXES)
def test_joined_axes_visit_the_same_elements(rows: list[tuple[int, int, int]]) -> None:
    axes = [Axis(size, (a, b)) for size, a, b in rows]
    assert visits(join(axes)) == visits(axes)


def visits(axes: list[Axis]) -> list[tuple[int, ...]]:
    places = [(0, 0)]
    for axis in axes:
        places = [
            (p[0] + i * axis.strides[0], p[1] + i * axis.strides[1])
            for p in places
            for i in range(axis.size)
        ]
    return places


@given(st.lists(st.tuples(st.integers(1, 4), st.booleans(), st.booleans()), min_size=1, max_size=5))
def test_broadcasts_visit_what_numpy_does(rows: list[tuple[int, bool, bool]]) -> None:
    first = tuple(1 if one else size for size, one, _ in rows)
    second = tuple(1 if one else size for size, _, one in rows)
    out = np.broadcast_shapes(first, second)
    size, stride1, stride2 = broadcast("shape", first, second, out).fields
    assert isinstance(size, tuple)
    assert isinstance(stride1, tuple)
    assert isinstance(stride2, tuple)
    got = visits([Axis(n, (a, b)) for n, a, b in zip(size, stride1, stride2, strict=True)])  # type: ignore[arg-type]
    grids = [
        np.broadcast_to(np.arange(np.prod(s)).reshape(s), out).ravel() for s in (first, second)
    ]
    assert got == list(zip(*(g.tolist() for g in grids), strict=True))


@given(
    st.integers(-128, 127),
    st.integers(1, 5),
    st.integers(1, 6),
    st.booleans(),
    st.integers(0, 2**31 - 1),
)
def test_folding_keeps_every_sum(
    zero_point: int, channels: int, depth: int, with_bias: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.integers(-128, 128, (channels, 2, depth)).astype(np.int8)
    bias = rng.integers(-(2**20), 2**20, channels).astype(np.int32) if with_bias else None
    x = rng.integers(-128, 128, (2, depth)).astype(np.int64)
    new_bias, offset = folded(weights, 0, bias, -zero_point)
    assert offset == 0
    before = ((x - zero_point) * weights).sum(axis=(1, 2)) + (0 if bias is None else bias)
    after = (x * weights).sum(axis=(1, 2)) + (0 if new_bias is None else new_bias)
    np.testing.assert_array_equal(before, after)


def test_a_bias_too_large_to_fold_into_stays() -> None:
    weights, bias = np.full((1, 4), 127, np.int8), np.array([2**31 - 1], np.int32)
    assert folded(weights, 0, bias, 128) == (bias, 128)


def test_a_reduction_of_alternating_axes_is_refused() -> None:
    reduction("shape", (2, 3, 2, 3, 2, 3), frozenset({0, 2, 4}))
    with pytest.raises(UnsupportedModel, match="nested loops"):
        reduction("shape", (2, 3, 2, 3, 2, 3, 2), frozenset({0, 2, 4, 6}))
