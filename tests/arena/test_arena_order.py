"""The order of a graph's ops: the planner's figures, all orders of small graphs, states."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest
from small_models import Net, branches_net, cell_net, model, residual_net

from tflm_opt import arena, codegen, graph, passes
from tflm_opt.arena.bound import step_bounds
from tflm_opt.arena.order import has_choice, order
from tflm_opt.graph import Graph, Op, Tensor
from tflm_opt.patch_split.schedule import layer_by_layer

KERNELS = {"scratch": codegen.scratch, "access": codegen.access}
TARGETS = {"engine": KERNELS, "tflm": {}}


def split_net(seed: int) -> Graph:
    """Branches of random depth and width, some seen through a view, all joined."""
    rng = np.random.default_rng(seed)
    net = Net((1, 4, 4, 8), seed)
    flat = net.flatten(net.input)
    ends = [net.input if rng.random() < 0.3 else flat]
    for _ in range(rng.integers(2, 5)):
        if rng.random() < 0.4:
            at = net.flatten(net.conv(net.input, int(rng.integers(1, 5)) * 4, kernel=3, stride=2))
        else:
            at = net.dense(flat, 16 * int(rng.integers(1, 30)))
        if rng.random() < 0.6:
            at = net.dense(at, 16 * int(rng.integers(1, 4)))
        ends.append(net.dense(at, 16))
    return net.graph(net.softmax(net.concat(*ends[1:])), *ends[2:3])


def planned(g: Graph, ops: tuple[Op, ...], target: str) -> int:
    """What the planner's bound says of an order, before its refinement for chains."""
    again = dataclasses.replace(g, ops=ops)
    made = arena.plan(
        again, layer_by_layer(again), target=target, moves=False, seconds=0, **TARGETS[target]
    )
    assert made.peak >= max(step_bounds(made.problem).values())
    return max(step_bounds(made.problem).values())


def all_orders(g: Graph) -> Iterator[tuple[Op, ...]]:
    """Every valid order of the ops, by trying."""
    maker = {t: op for op in g.ops for t in op.outputs}

    def visit(done: tuple[Op, ...]) -> Iterator[tuple[Op, ...]]:
        if len(done) == len(g.ops):
            yield done
        for op in g.ops:
            if op not in done and all(maker.get(t) in (None, *done) for t in op.inputs):  # type: ignore[arg-type]
                yield from visit((*done, op))

    return visit(())


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("seed", range(6))
def test_figures_are_those_of_the_planner(seed: int, target: str) -> None:
    """All sizes here are multiples of the alignment, so both count the same bytes."""
    g = split_net(seed)
    found = order(g, target=target, **TARGETS[target])
    assert found.before == planned(g, g.ops, target)
    assert found.peak == planned(g, found.ops, target) <= found.before
    assert found.is_optimal


@pytest.mark.parametrize("target", TARGETS)
def test_no_order_of_a_small_graph_is_better(target: str) -> None:
    net = Net((1, 4, 4, 4), 3)
    flat = net.flatten(net.input)
    wide = [net.dense(flat, 16 * n) for n in (9, 20, 14)]
    ends = [net.dense(x, 16) for x in wide[:2]]
    g = net.graph(net.concat(*ends, wide[2]))
    every = list(all_orders(g))
    assert len(every) > 20
    least = min(planned(g, ops, target) for ops in every)
    found = order(g, target=target, **TARGETS[target])
    assert found.peak == found.bound == planned(g, found.ops, target) == least < found.before


def test_every_op_stays_and_comes_after_what_it_reads() -> None:
    for g in (branches_net(), cell_net(), *map(split_net, range(4))):
        found = order(g, **KERNELS)
        assert sorted(map(id, found.ops)) == sorted(map(id, g.ops))
        made = set(g.inputs)
        for op in found.ops:
            assert all(t is None or t.constant or t in made for t in op.inputs)
            made.update(op.outputs)


def test_branches_run_one_after_the_other() -> None:
    found = order(branches_net(), **KERNELS)
    assert found.peak < 0.5 * found.before
    kinds = [op.output.shape[1] > 100 for op in found.ops if op.kind == "FULLY_CONNECTED"]
    assert kinds[:8] == [True, False] * 4


@pytest.mark.parametrize("name", ["mcunet_vww1", "mlperf_tiny_vww", "mlperf_tiny_kws"])
def test_nets_without_branches_have_no_choice(name: str) -> None:
    g = passes.run(graph.read(model(name)), passes.default_pipeline())
    found = order(g, **KERNELS)
    assert not has_choice(g)
    assert found.ops == g.ops
    assert found.peak == found.before == found.bound
    assert has_choice(branches_net())
    assert not has_choice(residual_net())


def test_ops_that_keep_a_state_keep_their_order() -> None:
    """Two readers of one variable: what the first leaves there, the second may see."""
    g = branches_net()
    state = Tensor("state", (1, 16), "int8", variable=True)
    wide = [op for op in g.ops if op.kind == "FULLY_CONNECTED" and op.output.shape[1] > 100]
    stateful = {op: dataclasses.replace(op, inputs=(*op.inputs, state)) for op in wide}
    changed = dataclasses.replace(g, ops=tuple(stateful.get(op, op) for op in g.ops))
    found = order(changed)
    assert [op for op in found.ops if op in stateful.values()] == list(stateful.values())
    custom = [dataclasses.replace(op, kind="CUSTOM", custom_code="x") for op in wide]
    swap = dict(zip(wide, custom, strict=True))
    backwards = dataclasses.replace(g, ops=tuple(swap.get(op, op) for op in g.ops))
    assert [op for op in order(backwards).ops if op in custom] == custom


def test_an_unknown_target_is_refused() -> None:
    with pytest.raises(ValueError, match="engine, tflm"):
        order(residual_net(), target="board")
