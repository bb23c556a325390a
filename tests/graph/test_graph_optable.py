"""The op table against TFLM: shapes that TFLM accepts, rows that its kernels really read."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from graph.one_op_cases import all_cases
from hypothesis import given
from hypothesis import strategies as st
from small_models import shared

from tflm_opt import graph
from tflm_opt.codegen.lower import registry
from tflm_opt.errors import UnsupportedModel
from tflm_opt.graph import optable
from tflm_opt.graph.check import check_op
from tflm_opt.graph.ir import Op, Tensor
from tflm_opt.graph.optable import reach as reaches
from tflm_opt.runtime import tflm


@pytest.fixture(scope="module")
def model() -> graph.Graph:
    return all_cases().graph()


def test_the_engine_lowers_exactly_the_ops_of_the_table() -> None:
    assert sorted(registry()) == sorted(optable.OPS)


def test_the_page_is_up_to_date() -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "ops.md"
    assert page.read_text(encoding="utf-8") == optable.page(), (
        "run: tflm-opt ops --markdown > docs/ops.md"
    )


def test_rows_cover_the_table() -> None:
    assert [row.kind for row in optable.rows()] == sorted(optable.OPS)
    assert all(len(row.constraints) >= 3 for row in optable.rows())


def test_cases_cover_the_table(model: graph.Graph) -> None:
    assert {op.kind for op in model.ops} == set(optable.OPS)


def test_every_case_passes(model: graph.Graph) -> None:
    """The shape rules agree with shapes that were written down by hand."""
    for index, op in enumerate(model.ops):
        check_op(index, op)


@pytest.mark.parametrize("delta", [1, -1])
def test_other_shapes_do_not_pass(model: graph.Graph, delta: int) -> None:
    """A rule that merely repeats the file's shape would not notice."""
    for op in model.ops:
        if not op.outputs[0].shape or op.kind == "RESHAPE":
            continue
        expected = optable.OPS[op.kind].shapes(op)
        wrong = tuple(n + delta for n in op.outputs[0].shape)
        assert expected == tuple(t.shape for t in op.outputs)
        assert expected[0] != wrong


def perturbed(model: graph.Graph, axis: int, repeats: int) -> dict[tuple[int, int], list]:
    """(place, repeat) -> the sample in which every input has fresh values at that place."""
    rng = np.random.default_rng(axis)
    base = all_cases().samples(1, seed=1)[0]
    longest = max(t.shape[axis] for t in model.inputs if len(t.shape) > axis)
    samples: dict[tuple[int, int], list] = {(-1, 0): base}
    for place in range(longest):
        for repeat in range(repeats):
            arrays = []
            for tensor, values in zip(model.inputs, base, strict=True):
                values = values.copy()
                if len(tensor.shape) > axis and place < tensor.shape[axis]:
                    at = (slice(None),) * axis + (place,)
                    values[at] = _fresh(rng, values[at])
                arrays.append(values)
            samples[(place, repeat)] = arrays
    return samples


def _fresh(rng: np.random.Generator, values: np.ndarray) -> np.ndarray:
    if values.dtype == np.float32:
        return (values + rng.choice([-20.0, 20.0], values.shape)).astype(np.float32)
    return rng.integers(-128, 128, values.shape).astype(values.dtype)


# Ops whose result may hide a change of one place, however the inputs are drawn: maxima, clamps.
LOOSE = {"MAX_POOL_2D", "REDUCE_MAX", "REDUCE_MIN", "MINIMUM", "MAXIMUM", "RELU", "RELU6"}


@pytest.mark.parametrize("axis", [1, 2])
def test_reach_is_what_tflm_reads(model: graph.Graph, axis: int) -> None:
    """Change one row of the input: TFLM changes the rows that reach it, and no other."""
    samples = perturbed(model, axis, repeats=3)
    results = dict(zip(samples, tflm.run(graph.write(model), list(samples.values())), strict=True))
    firsts, count = {}, 0
    for op in model.ops:
        firsts[op] = count
        count += len(op.outputs)
    tight = 0
    for op in model.ops:
        index, source = next((i, t) for i, t in enumerate(op.inputs) if t in model.inputs)
        out = op.outputs[0]
        others = [t for t in op.inputs if t is not source and t in model.inputs]
        if len(source.shape) <= axis or len(out.shape) <= axis or others:
            continue
        spec = optable.OPS[op.kind]
        field = spec.reach(op, index, axis)
        assert field.size in (source.shape[axis], 1), op
        for place in range(source.shape[axis]):
            changed = changed_places(results, firsts[op], place, axis)
            allowed = {o for o in range(out.shape[axis]) if place in range(*field.needs(o, o + 1))}
            assert changed <= allowed, (op, op.options, place, changed, allowed)
            if field.kind in ("window", "map", "elementwise") and op.kind not in LOOSE:
                missed = allowed - changed
                assert not missed or weightless(op, field), (op, op.options, place, missed)
                tight += 1
    assert tight > 500


def changed_places(
    results: dict[tuple[int, int], list[np.ndarray]], output: int, place: int, axis: int
) -> set[int]:
    base = results[(-1, 0)][output]
    found: set[int] = set()
    for (at, _), row in results.items():
        if at == place:
            different = np.moveaxis(row[output] != base, axis, 0)
            found |= {i for i, d in enumerate(different) if d.any()}
    return found


def weightless(op: Op, field: optable.Reach) -> bool:
    """Bilinear neighbours may have weight 0; dilated windows have holes that an interval spans."""
    return op.kind == "RESIZE_BILINEAR" or field.dilation > 1


windows = st.fixed_dictionaries(
    {
        "size": st.integers(1, 12),
        "out": st.integers(1, 8),
        "kernel": st.integers(1, 6),
        "stride": st.integers(1, 4),
        "dilation": st.integers(1, 3),
        "before": st.integers(0, 6),
    }
)


@given(windows)
def test_a_window_needs_what_its_taps_touch(window: dict[str, int]) -> None:
    found = reaches.window(**window)
    for i in range(window["out"]):
        taps = [
            i * window["stride"] - window["before"] + k * window["dilation"]
            for k in range(window["kernel"])
        ]
        inside = [tap for tap in taps if 0 <= tap < window["size"]]
        want = (min(inside), max(inside) + 1) if inside else (0, 0)
        assert found.needs(i, i + 1) == want


@given(windows, st.integers(0, 7), st.integers(1, 8))
def test_what_rows_need_is_what_each_needs(window: dict[str, int], a: int, length: int) -> None:
    found = reaches.window(**window)
    b = min(a + length, window["out"])
    single = [found.needs(i, i + 1) for i in range(a, b)]
    single = [(lo, hi) for lo, hi in single if lo < hi]
    want = (min(lo for lo, _ in single), max(hi for _, hi in single)) if single else (0, 0)
    assert found.needs(a, b) == want


@given(
    size=st.integers(1, 8),
    kernel=st.integers(1, 5),
    stride=st.integers(1, 4),
    before=st.integers(0, 4),
)
def test_transposed_reach_by_scattering(size: int, kernel: int, stride: int, before: int) -> None:
    out = max((size - 1) * stride + kernel - 2 * before, 1)
    readers: dict[int, set[int]] = {o: set() for o in range(out)}
    for i in range(size):
        for k in range(kernel):
            o = i * stride - before + k
            if 0 <= o < out:
                readers[o].add(i)
    found = reaches.transposed(size=size, out=out, kernel=kernel, stride=stride, before=before)
    for o, places in readers.items():
        want = (min(places), max(places) + 1) if places else (0, 0)
        assert found.needs(o, o + 1) == want


class TestMacs:
    def test_by_hand(self) -> None:
        ops = {op.kind: op for op in all_cases().graph().ops}
        counted = {
            # 3 channels of 3×3 outputs of the last, VALID, stride 3 case; kernel 3×3, 2 channels
            "CONV_2D": _product(ops["CONV_2D"].output) * 3 * 3 * 2,
            "DEPTHWISE_CONV_2D": _product(ops["DEPTHWISE_CONV_2D"].output) * 3 * 3,
            "TRANSPOSE_CONV": 4 * 3 * 2 * 4 * 4 * 3,
            "FULLY_CONNECTED": 15 * 4 * 6,
            "BATCH_MATMUL": 2 * 3 * 5 * 4,
            "ADD": 0,
            "AVERAGE_POOL_2D": 0,
            "MEAN": 0,
        }
        assert {kind: graph.geometry.op_macs(ops[kind]) for kind in counted} == counted

    @pytest.mark.parametrize(
        ("name", "macs"),
        [
            # Section 1 of the published figures, in millions, to their last digit.
            ("mcunet_vww1", 11.6),
            ("mcunet_in4", 125.9),
            ("mlperf_tiny_vww", 7.49),
            ("mlperf_tiny_kws", 2.66),
            ("mlperf_tiny_ic", 12.5),
            ("mlperf_tiny_ad", 0.26),
        ],
    )
    def test_published_figures(self, name: str, macs: float) -> None:
        found = graph.geometry.macs(graph.read(shared(name))) / 1e6
        digits = len(str(macs).split(".")[1])
        assert round(found, digits) == macs


def test_macs_of_shapes_that_do_not_fit_are_refused() -> None:
    op = next(op for op in all_cases().graph().ops if op.kind == "CONV_2D")
    for inputs in ((op.inputs[0],), (op.inputs[0], op.inputs[0]), (None, op.inputs[1])):
        with pytest.raises(UnsupportedModel, match="CONV_2D"):
            graph.geometry.op_macs(dataclasses.replace(op, inputs=inputs))
    with pytest.raises(UnsupportedModel, match="it makes"):
        graph.geometry.op_macs(dataclasses.replace(op, outputs=op.outputs * 2))


def _product(tensor: Tensor) -> int:
    return int(np.prod(tensor.shape))


def test_weights_count_once() -> None:
    cases = all_cases().graph()
    filters = [t for op in cases.ops for t in op.inputs if t is not None and t.data is not None]
    assert graph.geometry.weights_bytes(cases) == sum(t.nbytes for t in set(filters))


def test_the_engine_takes_every_case(model: graph.Graph) -> None:
    """What passes the table's constraints, the engine lowers."""
    for op in model.ops:
        registry()[op.kind](op)
