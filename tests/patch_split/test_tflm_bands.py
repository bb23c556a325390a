"""Bands in a stock `.tflite`: small nets, every style, run by TFLM and by LiteRT."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
from small_models import Net
from tflm_nets import Layer, net, random_net, with_output

from tflm_opt import graph as tflite
from tflm_opt.arena import offline
from tflm_opt.arena.tflm_scratch import tflm_scratch
from tflm_opt.errors import UnsupportedModel
from tflm_opt.graph import Graph, edit, geometry
from tflm_opt.passes import Legalize
from tflm_opt.patch_split import tflm_cost
from tflm_opt.patch_split.rewrite import allocations
from tflm_opt.patch_split.tflm_bands import STYLES, Unfit, body
from tflm_opt.patch_split.tflm_calls import mask_values, short_name
from tflm_opt.patch_split.tflm_check import violations
from tflm_opt.patch_split.tflm_cost import Part, Way
from tflm_opt.patch_split.tflm_stages import Candidate, candidate, candidates, up_to
from tflm_opt.runtime import tflm

NETS = {
    "3x3 twice": ((12, 10, 3), [Layer("conv"), Layer("conv")]),
    "stride 2, padded above": (
        (20, 20, 3),
        [Layer("conv", stride=(2, 2), padding=(1, 0, 1, 0)), Layer("depthwise"), Layer("point")],
    ),
    "inverted residual": (
        (16, 16, 8),
        [Layer("point", activation="NONE"), Layer("point", channels=24), Layer("depthwise"),
         Layer("point", channels=8, activation="NONE"), Layer("add"), Layer("point")],
    ),
    "stride 2 twice, padded below": (
        (32, 32, 3),
        [Layer("conv", stride=(2, 2)), Layer("depthwise", stride=(2, 2)), Layer("point")],
    ),
    "stride 2 twice, padded above": (
        (32, 32, 3),
        [Layer("conv", stride=(2, 2), padding=(1, 0, 1, 0)), Layer("point", channels=9),
         Layer("depthwise", stride=(2, 2), padding=(1, 0, 1, 0)), Layer("point")],
    ),
    "all padding on one side": (
        (21, 12, 4), [Layer("conv", padding=(2, 0, 1, 1)), Layer("conv", padding=(2, 0, 1, 1))],
    ),
    "7x7, stride 2": (
        (20, 20, 4),
        [Layer("point"), Layer("depthwise", (7, 7), (2, 2), (3, 2, 3, 2)), Layer("point")],
    ),
    "stride 3, tall kernel": (
        (23, 9, 2), [Layer("conv", (5, 1), (3, 1)), Layer("conv", (2, 4), (1, 2))],
    ),
    "dilation": (
        (15, 15, 4),
        [Layer("depthwise", dilation=(2, 2)), Layer("conv", (3, 3), dilation=(2, 1))],
    ),
    "pools": (
        (18, 18, 4),
        [Layer("conv"), Layer("max", (3, 3), (2, 2)), Layer("average", (2, 2), (1, 1))],
    ),
    "no columns padded": (
        (17, 11, 4), [Layer("conv", padding=(1, 1, 0, 0)), Layer("conv", padding=(2, 2, 0, 0))],
    ),
    "no padding": ((16, 16, 4), [Layer("conv", padding=(0, 0, 0, 0)), Layer("point")]),
    "rows of 16 bytes": ((26, 8, 2), [Layer("conv", channels=4), Layer("depthwise")]),
    "no relu before a window": (
        (12, 12, 4), [Layer("conv", activation="NONE"), Layer("conv"), Layer("conv")],
    ),
}  # fmt: skip


def staged(
    g: Graph,
    band: int,
    style: str,
    start: int = 0,
    stop: int | None = None,
    keep: str = "",
    copied: bool = False,
) -> Candidate:
    """All ops, or those of a range, as one stage."""
    made = replace(body(g.ops[start:stop], band, style, keep=keep), copied=copied)
    way = Way((Part(start, stop or len(g.ops), 0, 0, made.extra_macs, made),))
    return candidate(g, way, work=500)


def variants(g: Graph, count: int | None = None) -> list[Candidate]:
    """Stages from op 0 or 1 to the end, in all styles; or `count` of them."""
    rows = g.ops[-1].output.shape[1]
    bands = sorted({1, 3, -(-rows // 2)} & set(range(1, rows)))
    starts = range(min(2, len(g.ops)))
    chosen = [(s, b, i, "") for s in STYLES for b in bands for i in starts]
    chosen += [
        (s, b, i, k) for s in STYLES[:3] for b in bands for i in starts for k in ("down", "up")
    ]
    if count is not None:
        chosen = [chosen[i] for i in np.random.default_rng(0).permutation(len(chosen))]
    found: list[Candidate] = []
    for style, band, start, keep in chosen:
        with suppress(Unfit):
            if len(found) != count and (
                not keep or body(g.ops[start:], band, style, keep=keep).kept
            ):
                copied = (len(found) + band) % 3 == 0
                found.append(staged(g, band, style, start, keep=keep, copied=copied))
    return found


def images(g: Graph, count: int = 2) -> list[list[np.ndarray]]:
    """Noise, and a picture of slopes: noise alone hides rows that are swapped for their like."""
    rng = np.random.default_rng(5)
    shape = g.inputs[0].shape
    noise = [rng.integers(-128, 128, shape).astype(np.int8) for _ in range(count)]
    slope = np.add.outer(np.arange(shape[1]) * 9, np.arange(shape[2]) * 5)[None, :, :, None]
    return [[x] for x in (*noise, ((slope + np.zeros(shape)) % 256 - 128).astype(np.int8))]


def assert_equal_in_tflm(cases: list[tuple[Graph, list[Candidate]]]) -> None:
    """Outputs and stage boundaries of all candidates, in one child."""
    jobs = []
    for g, made in cases:
        samples = images(g)
        for c in made:
            for stage in c.stages:
                jobs.append((tflite.write(Legalize()(with_output(g, stage.result))), samples))
                jobs.append((up_to(c, stage.result), samples))
            jobs.append((tflite.write(Legalize()(g)), samples))
            jobs.append((c.tflite, samples))
    runs = tflm.run_many(jobs, timeout=600)
    for number in range(0, len(runs), 2):
        for want, got in zip(runs[number], runs[number + 1], strict=True):
            for a, b in zip(want, got, strict=True):
                np.testing.assert_array_equal(a, b, err_msg=f"job {number}")


def test_a_band_is_made_of_rows() -> None:
    g = net((20, 20, 3), [Layer("conv", stride=(2, 2), padding=(1, 0, 1, 0)), Layer("depthwise")])
    made = body(g.ops, band=2)
    assert [(s.kind, s.output.span.lo, s.output.span.hi) for s in made.steps] == [
        ("pad", -3, 6),
        ("op", -1, 3),
        ("mask", -1, 3),
        ("op", 0, 2),
    ]
    assert made.bands == 5
    # 4 rows of 12 columns instead of 2 of 10 for the first op; the second computes nothing twice.
    first = geometry.op_macs(g.ops[0])
    assert made.extra_macs == first * 5 * 4 * 12 // (10 * 10) - first


def test_masks_keep_what_lies_in_the_image() -> None:
    g = net((6, 5, 1), [Layer("conv"), Layer("conv")])
    (piece,) = body(g.ops, band=3).masks
    assert mask_values(piece, 0)[0, :, :, 0].tolist() == [
        [-128] * 7,
        *[[-128, *[127] * 5, -128]] * 4,
    ]
    assert mask_values(piece, 1)[0, :, 1, 0].tolist() == [127] * 4 + [-128]
    narrow = body(g.ops, band=3, style="pad").masks[0]
    assert mask_values(narrow, 0)[0, :, :, 0].tolist() == [[-128] * 5, *[[127] * 5] * 4]


@pytest.mark.parametrize("name", NETS)
def test_bands_are_bit_exact_in_tflm(name: str) -> None:
    g = net(*NETS[name])
    made = variants(g, 10)
    assert len(made) >= 4
    assert_equal_in_tflm([(g, made)])
    # Bands that do not lie in the result's place cost a second result: still as planned.
    sizes = tflm.allocations_many([c.tflite for c in made])
    assert [a.head for a in sizes] == [c.layout.peak for c in made]


def test_litert_runs_the_files() -> None:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    for name in ("inverted residual", "stride 2, padded above", "pools", "rows of 16 bytes"):
        g = net(*NETS[name])
        want = tflm.run(tflite.write(Legalize()(g)), images(g))
        for made in variants(g, 4):
            run = Interpreter(
                model_content=made.tflite,
                experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
            )
            run.allocate_tensors()
            for sample, expected in zip(images(g), want, strict=True):
                run.set_tensor(run.get_input_details()[0]["index"], sample[0])
                run.invoke()
                got = run.get_tensor(run.get_output_details()[0]["index"])
                np.testing.assert_array_equal(got, expected[0])


def test_two_stages_one_behind_the_other() -> None:
    g = net((24, 16, 4), [Layer("conv"), Layer("conv"), Layer("depthwise"), Layer("point")])
    bodies = [body(g.ops[:2], 4), body(g.ops[2:], 6)]
    parts = tuple(Part(2 * i, 2 * i + 2, 0, 0, b.extra_macs, b) for i, b in enumerate(bodies))
    made = candidate(g, Way(parts))
    assert len(made.graph.model.subgraphs) == 2
    assert_equal_in_tflm([(g, [made])])


def test_names_tell_the_rows() -> None:
    g = net((12, 8, 2), [Layer("conv"), Layer("conv")])
    made = staged(g, 4, "wide")
    names = [t.name for op in made.graph.ops for t in op.outputs]
    assert names == [
        "image [rows 0:6]",
        "image [rows -2:6]",
        "conv_2d1 [rows 0:4]",
        "image [rows 2:10]",
        "conv_2d1 [rows 4:8]",
        "image [rows 6:12]",
        "image [rows 6:14]",
        "conv_2d1 [rows 8:12]",
        "conv_2d1",
    ]


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("model/b3/dw/Relu6;model/b3/bn/FusedBatchNormV3;model/b3/dw/depthwise", "b3/dw"),
        ("model/activation/Relu;model/conv2d/BiasAdd", "activation"),
        ("input.11_te_transform", "input.11_te_transform"),
        ("model/image", "model/image"),
        ("", ""),
    ],
)
def test_names_are_those_of_layers(name: str, short: str) -> None:
    assert short_name(name) == short


def test_our_own_files_are_refused_as_input() -> None:
    g = net((12, 8, 2), [Layer("conv"), Layer("conv")])
    file = tflite.read(staged(g, 4, "wide").tflite)
    with pytest.raises(UnsupportedModel, match=r"already rewritten by tflm_opt.*made from"):
        tflite.check(file)
    tflite.check(Legalize()(g))


@pytest.mark.parametrize(
    ("layers", "reason"),
    [
        ([Layer("conv", activation="NONE"), Layer("conv")], "zero point is not -128"),
        ([Layer("max", padding=(1, 1, 1, 1)), Layer("conv")], "lowest value"),
    ],
)
def test_what_can_not_be_masked_is_refused(layers: list[Layer], reason: str) -> None:
    with pytest.raises(Unfit, match=reason):
        body(net((12, 12, 3), layers).ops, 3)


def test_a_tensor_used_outside_its_stage_is_refused() -> None:
    made = Net((1, 12, 12, 4))
    x = made.conv(made.input, 4)
    y = made.conv(x, 4)
    z = made.conv(y, 4)
    g = made.graph(made.add(z, x))
    with pytest.raises(Unfit, match="used outside"):
        staged(g, 3, "wide", 0, 3)


def test_graphs_with_subgraphs_have_no_candidates() -> None:
    g = net((12, 12, 3), [Layer("conv"), Layer("conv")])
    model = replace(g.model, subgraphs=(g,))
    assert candidates(replace(g, model=model), 1.0) == []


def test_an_input_read_after_its_stage_is_not_written_over() -> None:
    made = Net((1, 16, 16, 8))
    x = made.conv(made.input, 8, 1)
    y = made.conv(made.depthwise(x), 8, 1)
    g = made.graph(made.add(made.conv(y, 8, 1), x))
    files = [staged(g, band, "wide", 1, 3) for band in (2, 4, 5)]
    assert_equal_in_tflm([(g, files)])


@pytest.mark.parametrize(
    ("padding", "keep", "upwards"), [((1, 0, 1, 0), "down", False), ((0, 1, 0, 1), "up", True)]
)
def test_kept_rows_cost_no_macs(
    padding: tuple[int, int, int, int], keep: str, upwards: bool
) -> None:
    layers = [Layer("point", channels=16), Layer("depthwise", stride=(2, 2), padding=padding)]
    g = net((32, 32, 4), [*layers, Layer("point")])
    made = body(g.ops, 2, "pad", keep=keep)
    assert (made.extra_macs, made.upwards, made.bands) == (0, upwards, 8)
    assert [k.held.span.rows for k in made.kept] == [1]
    assert made.order[0] == (7 if upwards else 0)
    assert body(g.ops, 2, "pad").extra_macs > 0
    other = {"down": "up", "up": "down"}[keep]
    assert not body(g.ops, 2, "pad", keep=other).kept


def test_extra_macs_are_those_of_the_ops_in_the_file() -> None:
    for name in NETS:
        g = net(*NETS[name])
        for made in variants(g, 6):
            (stage,) = made.stages
            banded = sum(geometry.op_macs(op) for op in stage.ops)
            if stage.graph is not None:
                banded = geometry.macs(stage.graph) * stage.body.bands
            whole = sum(geometry.op_macs(op) for op in stage.body.ops)
            assert stage.body.extra_macs == banded - whole


def test_windows_outside_the_image_are_refused() -> None:
    """The last row reads padding only."""
    layers = [Layer("conv", (1, 3), (2, 1), (0, 2, 1, 1)), Layer("point")]
    g = net((11, 8, 2), layers)
    with pytest.raises(Unfit, match="outside the image"):
        body(g.ops, 1)
    assert_equal_in_tflm([(g, [*candidates(g, 1.0), staged(g, 4, "wide")])])


def test_ops_with_several_results_are_refused() -> None:
    g = net((12, 8, 2), [Layer("conv")])
    two = replace(g.ops[0], outputs=(g.outputs[0], replace(g.outputs[0], name="other")))
    with pytest.raises(Unfit, match="several results"):
        body((two,), 2)


# The checker.


def test_the_checker_sees_what_tflm_gets_wrong() -> None:
    """Tensors moved to the arena's start, one by one: no plan that gives other bits passes."""
    g = net((24, 16, 4), [Layer("conv"), Layer("depthwise"), Layer("point")])
    made = staged(g, 4, "wide")
    assert violations(tflite.read(made.tflite)) == ()
    files, clean = [], []
    moved = [t for t, offset in made.layout.offsets.items() if offset]
    for tensor in moved:
        file = tflite.write(offline_plan(made, {**made.layout.offsets, tensor: 0}))
        files.append(file)
        clean.append(not violations(tflite.read(file)))
    want, *got = tflm.run_many([(file, images(g)) for file in (made.tflite, *files)])
    equal = [all(np.array_equal(a[0], b[0]) for a, b in zip(want, run, strict=True)) for run in got]
    assert all(e for e, c in zip(equal, clean, strict=True) if c)
    assert clean.count(False) > len(moved) // 2
    assert equal.count(False) > len(moved) // 3


def test_the_checker_sees_a_result_one_row_too_far() -> None:
    """The safe distance between a stage's result and its input is the least one."""
    g = net(
        (24, 16, 4), [Layer("conv", channels=4), Layer("depthwise"), Layer("point", channels=4)]
    )
    made = staged(g, 4, "wide")
    source, result = g.inputs[0], g.outputs[0]
    offsets = dict(made.layout.offsets)
    apart = offsets[source] - offsets[result]
    assert 0 < apart < result.nbytes
    rows = [t for t in offsets if t.name.startswith(result.name + " [rows")]
    shifted = {t: offsets[t] + 16 if t in rows or t is result else offsets[t] for t in offsets}
    graph = offline_plan(made, shifted)
    assert violations(graph) != ()


def offline_plan(made: Candidate, offsets: dict) -> Graph:  # type: ignore[type-arg]
    from tflm_opt.patch_split.tflm_layout import attach

    return attach(made.graph, offsets)


def test_the_checker_sees_plans_that_do_not_fit_the_file() -> None:
    g = net((12, 8, 2), [Layer("conv"), Layer("conv")])
    made = staged(g, 4, "wide")
    assert violations(made.graph) == ("there is no plan",)
    odd = offline_plan(made, {t: o + 8 for t, o in made.layout.offsets.items()})
    assert "lies at" in violations(odd)[0]
    short = replace(odd, model=replace(odd.model, metadata=((offline.NAME, offline.encode([0])),)))
    assert violations(short)[0].startswith("the plan is for 1 tensors")


def test_the_checker_knows_how_cmsis_nn_broadcasts() -> None:
    """A mask of one column for all gives other bits in `arm_minimum_s8`, seen on a Cortex-M4."""
    g = net((12, 8, 2), [Layer("conv", padding=(1, 1, 0, 0)), Layer("conv")])
    made = staged(g, 4, "wide")
    file = tflite.read(made.tflite)
    assert violations(file) == ()
    (body_graph,) = file.model.subgraphs
    (mask,) = [t for t in body_graph.inputs if t.name.startswith("mask")]
    narrow = replace(mask, shape=(1, mask.shape[1], 1, 1))
    body_graph = edit.rebuild(body_graph, tensors={mask: narrow})
    broken = replace(file, model=replace(file.model, subgraphs=(body_graph,)))
    assert any("CMSIS-NN reads other values" in sentence for sentence in violations(broken))


def test_room_is_left_for_scratch_of_bodies() -> None:
    """TFLM's allocator places all scratch of a body beside everything that its calls use."""
    larger = 0
    for name in ("7x7, stride 2", "pools"):
        g = net(*NETS[name])
        ways = [made.way for made in variants(g, 3)]
        for kernels in ("cmsis_nn_dsp", "cmsis_nn_mve"):
            plain = [candidate(g, way, work=500) for way in ways]
            roomy = [candidate(g, way, kernels=kernels, work=500) for way in ways]
            heads = allocations([c.tflite for c in (*plain, *roomy)], kernels)
            for tight, made, a, b in zip(plain, roomy, heads, heads[len(ways) :], strict=False):
                (stage,) = made.stages
                ops = stage.ops if stage.graph is None else stage.graph.ops
                scratch = sum(tflm_scratch(op, kernels) for op in ops)
                assert b.head <= made.layout.peak <= tight.layout.peak + scratch
                assert tight.layout.peak <= a.head
                larger += b.head > tight.layout.peak
    assert larger >= 4


# The choice.


def test_the_ways_keep_to_the_limit() -> None:
    first = [Layer("conv", channels=16), Layer("depthwise"), Layer("point")]
    g = net((48, 48, 3), [*first, Layer("depthwise", stride=(2, 2)), Layer("point", channels=4)])
    macs = geometry.macs(g)
    free = tflm_cost.ways(g, 0.0)
    assert all(way.macs <= 0 for way in free)
    heads = []
    for limit in (0.0, 0.05, 0.2, 1.0):
        ways = tflm_cost.ways(g, limit)
        assert all(way.macs <= limit * macs for way in ways)
        heads.append(min(way.head for way in ways))
    assert heads == sorted(heads, reverse=True)
    assert heads[-1] < heads[0] / 2


@pytest.mark.parametrize(
    ("layers", "rows", "cheaper"),
    [
        ([Layer("max", padding=(0, 0, 0, 0))], 2, "copies"),
        ([Layer("max", padding=(0, 0, 0, 0))], 4, "copies"),
        ([Layer("conv", padding=(0, 0, 0, 0), channels=8)], 2, "copies"),
        ([Layer("conv", padding=(0, 0, 0, 0), channels=16)], 2, "calls"),
        ([Layer("max", padding=(0, 0, 0, 0))], 8, "calls"),
        ([Layer("conv", channels=4), Layer("depthwise"), Layer("point")], 3, "calls"),
    ],
)
def test_the_tail_of_copies_and_calls(layers: list[Layer], rows: int, cheaper: str) -> None:
    """What the estimate says of one against the other, TFLM's allocator says too."""
    g = net((34, 34, 8), layers)
    band = -(-g.ops[-1].output.shape[1] // rows)
    both = [staged(g, band, "pad", copied=copied) for copied in (True, False)]
    copies, calls = (a.tail for a in tflm.allocations_many([c.tflite for c in both]))
    assert (copies < calls) == (cheaper == "copies")
    estimate = [tflm_cost.tail_of(c.stages[0].body) for c in both]
    assert estimate[0] - estimate[1] == pytest.approx(copies - calls, rel=0.1, abs=64)


def test_a_small_pool_runs_as_copies() -> None:
    g = net((20, 20, 8), [Layer("max", padding=(0, 0, 0, 0))])
    bodies = [b for way in tflm_cost.ways(g, 0.0) for b in way.bodies]
    assert any(b.copied for b in bodies)
    assert_equal_in_tflm([(g, candidates(g, 0.0))])


def test_candidates_are_bit_exact_and_planned_as_said() -> None:
    cases = []
    for seed in range(6):
        g = random_net(100 + seed)
        cases.append((g, candidates(g, 0.5, seed=seed)))
    assert sum(len(made) for _, made in cases) >= 5
    assert_equal_in_tflm(cases)


def test_zero_taps_make_same_of_other_padding() -> None:
    g = net((20, 20, 4), [Layer("depthwise", (7, 7), (2, 2), (3, 2, 3, 2)), Layer("point")])
    wider = tflm_cost.widened(g.ops[0])
    assert wider is not None
    assert wider.inputs[1] is not None
    assert wider.inputs[1].shape == (1, 8, 8, 4)
    part = Part(0, 1, 0, 0, 0, taps=True)
    made = candidate(g, Way((part, Part(1, 2, 0, 0, 0))))
    assert [op.kind for op in made.graph.ops] == ["DEPTHWISE_CONV_2D", "CONV_2D"]
    assert_equal_in_tflm([(g, [made])])
