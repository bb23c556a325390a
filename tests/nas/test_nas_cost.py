"""A candidate's cost is that of the artifact that is built from it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from small_models import residual_net, residual_tflite

import tflm_opt
from tflm_opt import boards, graph
from tflm_opt.errors import TflmOptError, UnknownBoard, UnsupportedModel
from tflm_opt.nas import Cost, Limits, Pricer, exact_cost
from tflm_opt.nas.lower import lower
from tflm_opt.nas.net import Layer, Net
from tflm_opt.nas.quick import Choosers
from tflm_opt.nas.shared import Shared, SharedCosts
from tflm_opt.nas.space import largest, sample
from tflm_opt.nas.spaces import MobileNet, Stage


def blocks(size: int = 16, *, filters: int = 8, kernel: int = 3, expansion: int = 3) -> Net:
    """A stem, two inverted residual blocks, one of them with a sum, and a head."""
    found = [
        Layer("image", "input", shape=(size, size, 3)),
        Layer("stem", "conv", ("image",), filters, (3, 3), (2, 2), norm=True, activation="relu6"),
    ]
    source = "stem"
    for name, stride in (("a", 1), ("b", 2)):
        inner = filters * expansion
        steps = (kernel, kernel), (stride, stride)
        found += [
            Layer(f"{name}/e", "conv", (source,), inner, norm=True, activation="relu6"),
            Layer(f"{name}/d", "depthwise", (f"{name}/e",), 0, *steps, norm=True),
            Layer(f"{name}/p", "conv", (f"{name}/d",), filters, norm=True),
        ]
        if stride == 1:
            found.append(Layer(f"{name}/sum", "add", (source, f"{name}/p")))
        source = found[-1].name
    found.append(Layer("pool", "global_pool", (source,)))
    found.append(Layer("scores", "dense", ("pool",), 4, activation="softmax"))
    return Net(tuple(found))


@pytest.mark.parametrize("mode", ["resident", "streamed"])
def test_exact_cost_is_what_ships(mode: str) -> None:
    data = residual_tflite(size=12)
    predicted = exact_cost(data, input=mode)
    result = tflm_opt.optimize(data, input=mode, verify=False, verbose=0)
    assert predicted.arena == result.sram.arena
    assert predicted.macs == result.macs


@pytest.mark.parametrize("mode", ["resident", "streamed"])
def test_a_price_is_near_the_exact_cost(mode: str) -> None:
    """With and without budgets. Here, plans reach what their worst steps need within 4%."""
    net = blocks(24)
    lowered = lower(net)
    pricer = Pricer(input=mode)
    least = exact_cost(lowered, input=mode)
    for budget in (None, int(least.sram * 1.2)):
        price = pricer.price(net, sram=budget)
        exact = least if budget is None else exact_cost(lowered, input=mode, sram=budget)
        assert price.arena == pytest.approx(exact.arena, rel=0.04)
        assert price.instructions == pytest.approx(exact.instructions, rel=0.05)
        assert (price.macs, price.weights, price.input) == (exact.macs, exact.weights, mode)
        assert price.flash == pytest.approx(exact.flash, rel=0.02)


@pytest.mark.parametrize("part", [1.2, 1.3])
def test_flash_is_that_of_the_kernels_that_the_budget_leaves(part: float) -> None:
    """Where no scratch is left, slower kernels run, and are linked beside the faster ones."""
    net = blocks(24)
    budget = int(Pricer().price(net, sram=1).sram * part)
    price = Pricer().price(net, sram=budget)
    result = tflm_opt.optimize(graph.write(lower(net)), sram=budget, verify=False, verbose=0)
    assert price.flash == pytest.approx(result.flash.total, rel=0.01)


def test_a_price_does_not_depend_on_what_was_priced_before() -> None:
    nets = [blocks(), blocks(filters=16), blocks(kernel=5)]
    warm = Pricer()
    for net in nets:
        warm.price(net)
    for net in nets:
        assert warm.price(net) == Pricer().price(net)


def test_alike_nets_share_prices() -> None:
    shared = Shared("dsp")

    def added(net: Net) -> tuple[int, int]:
        before = len(shared.estimates), len(shared.tails)
        Choosers(lower(net), shared, streamed=False, slowdown=1.3).chosen(None)
        return len(shared.estimates) - before[0], len(shared.tails) - before[1]

    first = added(blocks())
    assert min(first) > 0
    assert added(blocks()) == (0, 0)
    other = added(blocks(expansion=4))
    assert other[0] > 0
    assert other[1] < first[1] // 2  # rows are those of the net with fewer channels


@pytest.mark.parametrize("streamed", [False, True])
def test_bounds_of_all_stages_are_those_of_single_ones(streamed: bool) -> None:
    costs = SharedCosts(lower(blocks()), Shared("dsp"), streamed=streamed)
    count = len(costs.graph.ops)
    bounds = costs.bounds(count)
    compared = 0
    for start in range(count):
        for stop in range(start + 1, count + 1):
            families = costs.families(start, stop)
            if families:
                least = min(costs.least(start, stop, family) for family in families)
                assert bounds[start, stop - start - 1] == least
                compared += 1
    assert compared > count


def test_prices_fall_in_time_with_more_memory() -> None:
    pricer = Pricer()
    least = pricer.price(blocks(), sram=1)
    costs = [pricer.price(blocks(), sram=int(least.sram * part)) for part in (1.05, 1.3, 2, 8)]
    assert all(c.sram <= int(least.sram * p) for c, p in zip(costs, (1.05, 1.3, 2, 8), strict=True))
    times = [c.instructions for c in (least, *costs)]
    assert times == sorted(times, reverse=True)
    assert times[-1] < times[0]


def test_the_least_is_exact_where_two_ways_of_a_stage_are_nearly_equal() -> None:
    """A stage's second way was an estimate when its first had turned out to need more."""
    stage = Stage(16, 2, (1,), (3,), (2,))
    space = MobileNet((12, 12, 1), 4, (stage,), width=(1.0,), resolution=(12,), stem=8)
    net = space.net(largest(space))
    least = Pricer(input="streamed").price(net, sram=1)
    assert least.arena == exact_cost(net, input="streamed", sram=1).arena
    assert least.arena < Pricer(input="streamed").price(net).arena


@pytest.mark.parametrize(("size", "kernel"), [(16, 7), (24, 5), (24, 7)])
@pytest.mark.parametrize("mode", ["resident", "streamed"])
def test_at_the_very_least_a_price_is_that_of_a_plan(size: int, kernel: int, mode: str) -> None:
    """Where the worst step alone would fit, and no plan does: up to 4% less than is built."""
    last = Stage(24, 2, (1,), (3,), (3,))
    stages = Stage(16, 1, (1,), (3,), (1,)), Stage(16, 2, (1,), (kernel,), (3,)), last
    space = MobileNet((size, size, 1), 4, stages, width=(0.25,), resolution=(size,))
    net = space.net(largest(space))
    pricer = Pricer(input=mode)
    budget = pricer.price(net, sram=1).sram
    built = exact_cost(net, input=mode, sram=budget).sram
    assert built > budget
    priced = pricer.price(net, sram=budget).sram
    assert priced > budget
    assert priced == pytest.approx(built, rel=0.03)
    within = pricer.price(net, sram=priced)
    assert within.sram <= priced


def test_any_input_takes_the_smaller_and_with_a_budget_the_faster() -> None:
    both = {mode: Pricer(input=mode).price(blocks()) for mode in ("resident", "streamed")}
    assert Pricer(input="any").price(blocks()) == min(both.values(), key=lambda c: c.sram)
    within = [Pricer(input=mode).price(blocks(), sram="1MiB") for mode in both]
    best = min(c.instructions for c in within)
    assert Pricer(input="any").price(blocks(), sram="1MiB").instructions == best


def test_a_limit_of_latency_changes_no_price_of_a_net_that_keeps_it() -> None:
    """And none is taken for one that keeps it."""
    space, rng = MobileNet.default((24, 24, 1), 4), np.random.default_rng(0)
    limits = Limits(sram=12_000, latency_ms=500)
    pricer, seen = Pricer(input="any"), set()
    for net in (space.net(sample(space, rng)) for _ in range(12)):
        whole = pricer.price(net, sram=limits.sram)
        price = pricer.price(net, sram=limits.sram, latency_ms=limits.latency_ms)
        fits = not limits.broken(whole)
        assert fits == (not limits.broken(price))
        assert price == whole or not fits
        slow = pricer.price(net, sram="1MiB").latency_ms > 500
        seen.add("fits" if fits else "slow" if slow else "slow in this memory")
    assert seen == {"fits", "slow", "slow in this memory"}


def test_a_net_that_is_too_slow_in_any_memory_costs_the_least_of_both() -> None:
    pricer = Pricer()
    least, fastest = pricer.price(blocks(24), sram=1), pricer.price(blocks(24), sram="1MiB")
    assert least.latency_ms > fastest.latency_ms
    assert least.sram < fastest.sram
    price = pricer.price(blocks(24), sram="64KiB", latency_ms=0.9 * fastest.latency_ms)
    assert price.latency_ms == fastest.latency_ms
    assert price.arena == pytest.approx(least.arena, rel=0.04)
    assert pricer.price(blocks(24), latency_ms=0.9 * fastest.latency_ms) == price


def test_a_file_and_its_graph_cost_the_same() -> None:
    assert Pricer().price(residual_net()) == Pricer().price(residual_tflite())


def test_latency_is_at_the_boards_clock() -> None:
    slow, fast = (Pricer(b).price(blocks()) for b in ("qemu_m4", "nucleo_f446re"))
    assert slow.instructions == fast.instructions
    ratio = boards.get("nucleo_f446re").clock_hz / boards.get("qemu_m4").clock_hz
    assert slow.latency_ms == pytest.approx(fast.latency_ms * ratio)


def test_what_can_not_be_priced() -> None:
    with pytest.raises(TflmOptError, match="'both' is not one of resident, streamed, any"):
        Pricer(input="both")
    with pytest.raises(UnknownBoard):
        Pricer("nucleo_f446")
    model: Any = "model.tflite"
    with pytest.raises(TflmOptError, match="a str has no cost"):
        Pricer().price(model)
    with pytest.raises(TflmOptError, match="not a positive number of bytes"):
        Pricer().price(blocks(), sram="much")
    with pytest.raises(TflmOptError, match="latency of -1 ms: give a positive number"):
        Pricer().price(blocks(), latency_ms=-1)
    vector = Net((Layer("x", "input", shape=(1, 1, 8)), Layer("f", "flatten", ("x",)),
                  Layer("d", "dense", ("f",), 4)))  # fmt: skip
    with pytest.raises(UnsupportedModel, match="can't be streamed"):
        Pricer(input="streamed").price(vector)
    assert Pricer(input="any").price(vector).input == "resident"


def cost(**fields: float) -> Cost:
    plain = dict.fromkeys(("sram", "arena", "stack", "flash", "weights", "macs", "instructions"), 1)
    return Cost(**{**plain, "latency_ms": 1.0, "input": "resident", "rows": False, **fields})  # type: ignore[arg-type]


def test_limits_say_what_is_broken_and_by_how_much() -> None:
    limits = Limits(sram="64KiB", flash=1000, latency_ms=50)
    assert limits.broken(cost(sram=65_536, flash=1000, latency_ms=50.0)) == []
    broken = limits.broken(cost(sram=98_304, flash=1100, latency_ms=100.0))
    assert [one.what for one in broken] == ["latency_ms", "sram", "flash"]
    assert [one.over for one in broken] == pytest.approx([1.0, 0.5, 0.1])
    assert "98,304 B of sram, 50.0% above the limit of 65,536 B" in map(str, broken)
    assert Limits().broken(cost(sram=1 << 40)) == []
    assert Limits(**limits.to_json()) == limits  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [0, -1, math.nan, math.inf, True, "50"])
def test_limits_of_time_that_are_none(wrong: Any) -> None:
    with pytest.raises(TflmOptError, match="no positive number of ms"):
        Limits(latency_ms=wrong)


@pytest.mark.parametrize("what", ["sram", "flash"])
def test_limits_of_size_that_are_none(what: str) -> None:
    with pytest.raises(TflmOptError, match=f"a limit of {what}"):
        Limits(**{what: "64 apples"})  # type: ignore[arg-type]
