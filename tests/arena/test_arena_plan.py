"""Lifetimes and plans of small graphs, written by hand."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from tflm_opt import arena
from tflm_opt.arena import Buffer, Plan, Problem
from tflm_opt.arena.lifetimes import Lifetimes, lifetimes
from tflm_opt.arena.moves import peak, split, with_moves
from tflm_opt.graph.ir import Graph, Op, Tensor
from tflm_opt.graph.options import ConvOptions, Padding
from tflm_opt.patch_split.schedule import Schedule, Stage, layer_by_layer


def image(name: str, channels: int = 4, *, dtype: str = "int8", side: int = 8) -> Tensor:
    return Tensor(name, (1, side, side, channels), dtype)


def weights(out: int, source: int, kernel: int) -> Tensor:
    shape = (out, kernel, kernel, source)
    return Tensor("w", shape, "int8", data=np.zeros(shape, np.int8))


def conv(source: Tensor, out: Tensor, kernel: int = 1) -> Op:
    pad = Padding(*(kernel // 2,) * 4)
    filters = weights(out.shape[3], source.shape[3], kernel)
    return Op("CONV_2D", (source, filters), (out,), ConvOptions(padding=pad))


def lives(graph: Graph, **options: object) -> Lifetimes:
    return lifetimes(graph, layer_by_layer(graph), **options)  # type: ignore[arg-type]


def span(found: Lifetimes, tensor: Tensor) -> tuple[int, int]:
    buffer = found.buffers[found.tensors[tensor]]
    return buffer.start, buffer.stop


def element_plan(graph: Graph, **options: object) -> Plan:
    plan = arena.plan(graph, layer_by_layer(graph), access=lambda op: 1, **options)  # type: ignore[arg-type]
    assert arena.validate(plan.problem, plan.places, plan.peak) == ()
    return plan


def test_a_chain() -> None:
    x, t, y = image("x"), image("t"), image("y")
    found = lives(Graph((conv(x, t), conv(t, y)), (x,), (y,)))
    assert (span(found, x), span(found, t), span(found, y)) == ((0, 2), (1, 3), (2, 4))
    assert found.steps == ("inputs", "CONV_2D t", "CONV_2D y", "outputs")
    assert len(found.buffers) == 3  # constants have none


def test_several_readers_and_a_skip() -> None:
    x, a, b, y = (image(n) for n in "xaby")
    graph = Graph((conv(x, a), conv(a, b), Op("ADD", (x, b), (y,))), (x,), (y,))
    found = lives(graph)
    assert span(found, x) == (0, 4)
    assert span(found, a) == (1, 3)


def test_an_input_that_nobody_reads_and_an_output_that_nobody_consumes() -> None:
    x, idle, y, spare = (image(n) for n in ("x", "idle", "y", "spare"))
    graph = Graph((Op("SPLIT", (x,), (y, spare)), conv(x, image("lost"))), (x, idle), (y,))
    found = lives(graph)
    assert span(found, idle) == (0, 1)
    assert span(found, spare) == (1, 2)
    assert span(found, y) == (1, 4)


def test_an_output_that_is_read_too_and_one_that_is_an_input() -> None:
    x, a, y = (image(n) for n in "xay")
    found = lives(Graph((conv(x, a), conv(a, y)), (x,), (a, y, x)))
    assert span(found, a) == (1, 4)
    assert span(found, x) == (0, 4)


def test_an_output_that_the_last_op_reads_is_not_overwritten() -> None:
    x, a, y = (image(n) for n in "xay")
    graph = Graph((conv(x, a), Op("LOGISTIC", (a,), (y,))), (x,), (a, y))
    for target in ("engine", "tflm"):
        plan = arena.plan(graph, layer_by_layer(graph), target=target, access=lambda op: 1)
        assert abs(plan.offsets[a] - plan.offsets[y]) >= a.nbytes


def test_no_ops_at_all() -> None:
    x = image("x")
    plan = element_plan(Graph((), (x,), (x,)))
    assert (plan.peak, plan.offsets) == (256, {x: 0})


def test_constants_as_outputs_need_nothing() -> None:
    c = weights(1, 1, 1)
    assert element_plan(Graph((), (), (c,))).peak == 0


def test_views_share_a_buffer_through_a_chain_and_live_as_long_as_the_longest() -> None:
    x, a = image("x"), image("a")
    flat, square, y = Tensor("flat", (1, 256), "int8"), image("square"), image("y")
    graph = Graph(
        (
            conv(x, a),
            Op("RESHAPE", (a,), (flat,)),
            Op("EXPAND_DIMS", (flat,), (square,)),
            conv(square, y),
        ),
        (x,),
        (y, flat),
    )
    found = lives(graph)
    assert found.tensors[a] == found.tensors[flat] == found.tensors[square]
    assert span(found, a) == (1, 6)
    plan = element_plan(graph)
    assert plan.offsets[a] == plan.offsets[flat] == plan.offsets[square]


def test_squeeze_is_a_view_for_the_engine_and_a_copy_for_tflm() -> None:
    x, y = Tensor("x", (1, 1, 64), "int8"), Tensor("y", (1, 64), "int8")
    graph = Graph((Op("SQUEEZE", (x,), (y,)),), (x,), (y,))
    assert element_plan(graph).peak == 64
    assert arena.plan(graph, layer_by_layer(graph), target="tflm").peak == 128


def test_views_of_constants_and_variables_have_their_own_bytes() -> None:
    state = Tensor("state", (1, 64), "int8", variable=True)
    c = Tensor("c", (64,), "int8", data=np.zeros(64, np.int8))
    y, z = Tensor("y", (64,), "int8"), Tensor("z", (8, 8), "int8")
    graph = Graph((Op("RESHAPE", (state,), (y,)), Op("RESHAPE", (c,), (z,))), (), (y, z))
    found = lives(graph)
    assert found.tensors[state] != found.tensors[y]
    assert span(found, state) == (0, 4)
    assert c not in found.tensors
    stock = arena.plan(graph, layer_by_layer(graph), target="tflm")
    assert state not in stock.offsets
    assert stock.peak == 128


def test_scratch_lives_for_its_op_only() -> None:
    x, a, y = (image(n) for n in "xay")
    first, second = conv(x, a), conv(a, y)
    graph = Graph((first, second), (x,), (y,))
    plan = arena.plan(graph, layer_by_layer(graph), scratch=lambda op: 100 * (op is second))
    assert set(plan.scratch) == {second}
    assert (100, "scratch of CONV_2D y") in plan.live_at(2)
    assert plan.peak == plan.bound == 256 + 256 + 100
    assert arena.validate(plan.problem, plan.places, plan.peak) == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda ops: ops[:1], "holds 1 ops, and the graph 2"),
        (lambda ops: ops[::-1], "which nothing has made by then"),
        (lambda ops: (ops[0], ops[0]), "holds 2 ops, and the graph 2"),
    ],
)
def test_schedules_of_something_else_are_refused(change, message: str) -> None:  # type: ignore[no-untyped-def]
    x, a, y = (image(n) for n in "xay")
    graph = Graph((conv(x, a), conv(a, y)), (x,), (y,))
    schedule = Schedule(tuple(Stage((op,)) for op in change(graph.ops)))
    with pytest.raises(ValueError, match=message):
        arena.plan(graph, schedule)


def test_unknown_targets_are_refused() -> None:
    with pytest.raises(ValueError, match="engine, tflm"):
        arena.plan(Graph((), (), ()), Schedule(()), target="cuda")


def test_elementwise_works_in_place_and_only_where_nobody_reads_later() -> None:
    x, a, y = (image(n) for n in "xay")
    graph = Graph((Op("RELU", (x,), (a,)), Op("ADD", (x, a), (y,))), (x,), (y,))
    plan = element_plan(graph)
    assert plan.peak == 512
    assert plan.offsets[y] in (plan.offsets[x], plan.offsets[a])
    assert abs(plan.offsets[x] - plan.offsets[a]) >= 256


def test_the_same_buffer_twice_in_one_op() -> None:
    x, y = image("x"), image("y")
    assert element_plan(Graph((Op("MUL", (x, x), (y,)),), (x,), (y,))).peak == 256


def test_an_expanding_convolution_has_its_input_in_the_tail_of_its_output() -> None:
    x, y = image("x", 8), image("y", 16)
    assert element_plan(Graph((conv(x, y),), (x,), (y,))).peak == 1024 + 16


def test_access_orders() -> None:
    x, y = image("x"), image("y")
    graph = Graph((conv(x, y),), (x,), (y,))
    schedule = layer_by_layer(graph)
    peaks = [arena.plan(graph, schedule, access=lambda op, n=n: n).peak for n in (1, 8 * 4)]
    assert peaks == [256 + 16, 256 + 32]  # 3 bytes of a pixel, rounded up; a row of 8 × 4
    assert arena.plan(graph, schedule, access=lambda op: None).peak == 512
    assert arena.plan(graph, schedule).peak == 512


def test_binding_names_the_buffers_of_the_peak_largest_first() -> None:
    x, a, y = image("x", 1), image("a", 8), image("y", 4)
    graph = Graph((conv(x, a), conv(a, y)), (x,), (y,))
    plan = arena.plan(graph, layer_by_layer(graph))
    assert plan.peak_step() == 2
    assert plan.binding() == ((512, "a"), (256, "y"))
    assert plan.steps[2] == "CONV_2D y"


def test_element_sizes_count() -> None:
    x, y = image("x", dtype="float32"), image("y")
    graph = Graph((Op("QUANTIZE", (x,), (y,)),), (x,), (y,))
    assert element_plan(graph).peak == 1024
    back = Graph((Op("DEQUANTIZE", (y,), (x,)),), (y,), (x,))
    # Element i is written to bytes 4 i to 4 i + 3, so the bytes must lie at the tail: 765 up, 768
    # when aligned.
    assert element_plan(back).peak == 768 + 256


def test_moves_stop_a_chain_from_drifting() -> None:
    """A 3 × 3 convolution of 16 channels needs 10 pixels of distance: a row and two."""
    tensors = [image(f"t{i}", 16) for i in range(6)]
    ops = tuple(conv(a, b, 3) for a, b in pairwise(tensors))
    graph = Graph(ops, (tensors[0],), (tensors[-1],))
    still = element_plan(graph, moves=False)
    assert still.moves == {}
    assert still.peak == still.bound == 1024 + 5 * 160
    moved = element_plan(graph)
    assert moved.moves
    assert moved.peak < still.peak
    for op, (move,) in moved.moves.items():
        assert move.size == 1024
        assert op.inputs[0] in move.tensors
        assert move.source != move.target
    assert arena.plan(graph, layer_by_layer(graph), target="tflm").moves == {}


def test_split_keeps_overlaps_between_pieces_that_live_together() -> None:
    buffers = (Buffer("a", 64, 0, 4), Buffer("b", 64, 3, 6))
    parts = split(Problem(buffers, overlaps={(1, 0): 16}), ((0, 2), (1, 5)))
    spans = [(b.name, b.start, b.stop) for b in parts.problem.buffers]
    assert spans == [("a", 0, 2), ("b", 3, 5), ("a (moved)", 2, 4), ("b (moved)", 5, 6)]
    assert parts.pieces == ((0, 2), (1, 3))
    assert parts.problem.overlaps == {(1, 2): 16}


def test_one_move_a_step() -> None:
    """Two moves before one step could overwrite each other's source."""
    buffers = tuple(Buffer(f"b{i}", 1000 + 16 * i, i, i + 3) for i in range(12))
    overlaps = {(i + 2, i): 400 for i in range(10)}
    found = with_moves(Problem(buffers, overlaps=overlaps), steps=range(1, 13))
    steps = [step for _, step in found.cuts]
    assert len(steps) == len(set(steps))
    assert arena.validate(found.problem, found.solution.offsets, found.solution.peak) == ()


def test_what_is_alive_all_the_time_never_moves() -> None:
    """State has its place for the next invocation, even where it alone crosses a step."""
    drift = [Buffer(f"b{i}", 1000 + 16 * i, i, i + 2) for i in range(1, 11)]
    overlaps = {(i + 1, i): 400 for i in range(1, 10)}
    state = Buffer("state", 64, 0, 13)
    apart = [Buffer("later", 900, 12, 13)]
    found = with_moves(Problem((state, *drift, *apart), overlaps=overlaps), steps=range(1, 13))
    assert all(index != 0 for index, _ in found.cuts)


def drifting(seed: int) -> Problem:
    """A chain of overlapping buffers, of few or many, with some beside it."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(2, 14))
    buffers = [
        Buffer(f"b{i}", 16 * int(rng.integers(1, 60)), i, i + int(rng.integers(2, 4)))
        for i in range(count)
    ]
    overlaps = {(i + 1, i): 16 * int(rng.integers(1, 20)) for i in range(count - 1)}
    for i in range(int(rng.integers(0, 3))):
        start = int(rng.integers(0, count))
        buffers.append(Buffer(f"beside{i}", 16 * int(rng.integers(1, 20)), start, start + 2))
    return Problem(tuple(buffers), overlaps=overlaps)


def test_the_peak_is_known_without_the_plan() -> None:
    moved = 0
    for seed in range(40):
        problem = drifting(seed)
        steps = range(1, len(problem.buffers))
        found = with_moves(problem, steps=steps)
        moved += bool(found.cuts)
        whole = found.solution.peak
        assert peak(problem, steps=steps) == whole
        for enough in (whole - 1, whole - 16, whole // 2):
            assert peak(problem, steps=steps, enough=enough) == whole
        for enough in (whole, whole + 8, whole + 200):
            assert peak(problem, steps=steps, enough=enough) <= enough
    assert 2 < moved < 38
