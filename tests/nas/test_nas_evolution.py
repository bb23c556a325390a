"""Candidates hang on seed, slot and earlier results alone; what is over a limit isn't proposed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from toy import ToySpace, accuracy, price

from tflm_opt.errors import NothingFits
from tflm_opt.nas import Limits, evolution
from tflm_opt.nas import space as spaces
from tflm_opt.nas.cost import Cost, Pricer
from tflm_opt.nas.evolution import (
    Candidate,
    Evolution,
    Rated,
    crowding,
    every,
    nondominated,
    ranked,
    scores,
)
from tflm_opt.nas.least import require_fit
from tflm_opt.nas.net import Net
from tflm_opt.nas.predictor import Predictor
from tflm_opt.nas.spaces import complete

LIMITS = Limits(sram=30_000, flash=20_000, latency_ms=400)
OBJECTIVES = ("accuracy", "sram")


def run(evolution: Evolution, slots: int) -> list[Candidate]:
    """What one worker finds."""
    found: list[Candidate] = []
    rated: list[Rated] = []
    for slot in range(slots):
        past = slot // evolution.population * evolution.population
        candidate = evolution.candidate(slot, rated[:past], {c.key for c in found})
        if candidate is None:
            break
        found.append(candidate)
        got = accuracy(candidate.architecture, evolution.space.net(candidate.architecture), seed=0)
        rated.append(Rated(candidate.architecture, scores(got, candidate.cost, OBJECTIVES)))
    return found


def new(limits: Limits = LIMITS, *, population: int = 8, seed: int = 0) -> Evolution:
    return Evolution(ToySpace(), price, limits, population=population, seed=seed)


def test_the_list_is_the_same_again_and_another_of_another_seed() -> None:
    first = [c.key for c in run(new(), 32)]
    assert first == [c.key for c in run(new(), 32)]
    assert first != [c.key for c in run(new(seed=1), 32)]


def test_nothing_is_proposed_twice_and_all_of_it_fits() -> None:
    found = run(new(), 64)
    assert len({c.key for c in found}) == len(found) == 64
    assert not any(LIMITS.broken(c.cost) for c in found)
    assert sum(c.rejected for c in found) > 0


def test_a_slot_can_be_asked_alone_by_someone_who_saw_nothing_before() -> None:
    found = run(new(), 20)
    rated = [
        Rated(
            c.architecture,
            scores(
                accuracy(c.architecture, ToySpace().net(c.architecture), seed=0), c.cost, OBJECTIVES
            ),
        )
        for c in found
    ]
    alone = new().candidate(19, rated[:16], {c.key for c in found[:19]})
    assert alone is not None
    assert (alone.key, alone.rejected) == (found[19].key, found[19].rejected)


def best(candidates: list[Candidate]) -> float:
    space = ToySpace()
    return max(accuracy(c.architecture, space.net(c.architecture), seed=0) for c in candidates)


def test_later_generations_are_better_than_random_ones() -> None:
    evolved = [best(run(new(population=25, seed=seed), 100)) for seed in range(10)]
    drawn = [best(run(new(population=100, seed=seed), 100)) for seed in range(10)]
    assert np.mean(evolved) - np.mean(drawn) > 0.01
    assert min(evolved) > np.median(drawn)


def test_children_that_promise_most_are_tried_first(monkeypatch: pytest.MonkeyPatch) -> None:
    guided = [best(run(new(population=25, seed=seed), 100)) for seed in range(10)]
    monkeypatch.setattr(evolution, "_CHILDREN", 1)
    plain = [best(run(new(population=25, seed=seed), 100)) for seed in range(10)]
    assert np.mean(guided) > np.mean(plain) + 0.003


def test_guesses_order_nets_that_were_not_evaluated() -> None:
    space, rng = ToySpace(), np.random.default_rng(0)
    drawn = {spaces.key(a): a for a in (spaces.sample(space, rng) for _ in range(400))}
    known, unknown = list(drawn.values())[:100], list(drawn.values())[100:]

    def measured(some: list[spaces.Architecture]) -> list[float]:
        return [accuracy(one, space.net(one), seed=0) for one in some]

    guesses = Predictor(space, known, measured(known))(unknown)
    assert np.corrcoef(guesses, measured(unknown))[0, 1] > 0.7
    again = Predictor(space, known[:3], [0.5, 0.5, 0.5])(unknown)  # nothing to learn from
    assert np.all(again == 0.5)


def test_guesses_of_a_space_without_a_choice() -> None:
    space = ToySpace((4,))
    space.choices = {name: values[:1] for name, values in space.choices.items()}
    only = spaces.smallest(space)
    assert Predictor(space, [only, only], [0.25, 0.75])([only]) == pytest.approx([0.5])


def test_limits_that_one_net_in_hundreds_meets_are_met() -> None:
    tight = Limits(sram=5_000, flash=11_000, latency_ms=40)
    space = ToySpace()
    rng = np.random.default_rng(0)
    drawn = [price(space.net(spaces.sample(space, rng))) for _ in range(400)]
    assert sum(not tight.broken(cost) for cost in drawn) <= 4
    assert len(run(new(tight), 16)) == 16


def test_a_space_ends_when_all_that_fits_is_taken() -> None:
    space = ToySpace(widths=(4, 8))
    limits = Limits(sram=5_000)
    fitting = {spaces.key(a) for a in every(space) if not limits.broken(price(space.net(a)))}
    evolution = Evolution(space, price, limits, population=4, seed=0)
    assert {c.key for c in run(evolution, 1000)} == fitting
    assert 4 < len(fitting) < 50


def test_nondominated_and_crowded() -> None:
    points = np.array([[1, 9], [2, 5], [3, 4], [9, 1], [3, 5], [9, 9]], dtype=float)
    assert nondominated(points).tolist() == [True, True, True, True, False, False]
    gaps = crowding(points[:4])
    assert np.isinf(gaps[[0, 3]]).all()
    assert gaps[1] == pytest.approx(2 / 8 + 5 / 8)
    assert gaps[2] == pytest.approx(7 / 8 + 4 / 8)
    order = ranked([Rated({"i": i}, tuple(p)) for i, p in enumerate(points)], 5)
    assert [one.architecture["i"] for one in order] == [0, 3, 2, 1, 4]


def test_equal_results_do_not_dominate_each_other() -> None:
    assert nondominated(np.array([[1.0, 2.0], [1.0, 2.0]])).all()
    assert crowding(np.array([[1.0, 2.0]])).tolist() == [np.inf]


def test_one_price_is_enough_where_the_smallest_fits() -> None:
    asked = []

    def counted(net):  # type: ignore[no-untyped-def]
        asked.append(net)
        return price(net)

    require_fit(ToySpace(), counted, LIMITS)
    assert len(asked) == 1


def test_what_nothing_fits_is_told_with_the_least() -> None:
    limits = Limits(sram=2_000, flash=20_000)
    with pytest.raises(NothingFits, match="binds") as caught:
        require_fit(ToySpace(), price, limits)
    space = ToySpace(widths=(4, 8, 12))
    assert caught.value.least["sram"] == min(price(space.net(a)).sram for a in every(space))
    assert caught.value.binding == ("sram",)


def test_what_the_error_says_is_planned() -> None:
    """Prices may be too low; a net that seemed the least by little isn't any more."""

    def low(net: Net) -> Cost:
        exact = price(net)
        return replace(exact, sram=exact.sram - 100 * (net.macs % 3))

    planned = []

    def plan(net: Net, sram: int) -> Cost:
        assert sram == low(net).sram
        planned.append(net)
        return price(net)

    limits = Limits(sram=2_000)
    nets = [ToySpace(widths=(4, 8, 12)).net(a) for a in every(ToySpace(widths=(4, 8, 12)))]
    least = min(price(net).sram for net in nets)
    assert min(low(net).sram for net in nets) < least
    with pytest.raises(NothingFits) as caught:
        require_fit(ToySpace(), low, limits, plan=plan)
    assert caught.value.least["sram"] == caught.value.nearest["sram"] == least
    assert 1 < len(planned) < 50
    assert len(planned) == len({str(net.to_json()) for net in planned})


def test_the_least_that_the_error_says_is_enough() -> None:
    plain = {"kernels": [3], "expansions": [3], "widths": [1.0], "squeeze": [False]}
    stages = [
        {**plain, "filters": 16, "stride": 1, "depths": [1], "expansions": [1]},
        {**plain, "filters": 24, "stride": 2, "depths": [1], "kernels": [3, 5]},
        {**plain, "filters": 40, "stride": 2, "depths": [1, 2]},
    ]
    given = {"kind": "mobilenet", "width": [0.25], "resolution": [24], "stages": stages}
    space = complete(given, (24, 24, 1), 4)
    pricer = Pricer("nucleo_f446re", input="any")
    with pytest.raises(NothingFits) as caught:
        require_fit(
            space, lambda net: pricer.price(net, sram=1000), Limits(sram=1000), plan=pricer.price
        )
    enough = int(caught.value.least["sram"])
    found = require_fit(space, lambda net: pricer.price(net, sram=enough), Limits(sram=enough))
    assert found.cost.sram == enough  # without plans it was 40 B less, and refused


class Inverted(ToySpace):
    """Its first values are the most expensive."""

    def __init__(self) -> None:
        super().__init__((32, 24, 16, 12, 8, 4))


def test_a_net_that_fits_is_found_where_the_first_values_are_not_the_cheapest() -> None:
    limits = Limits(sram=3_500)
    assert limits.broken(price(Inverted().net(spaces.smallest(Inverted()))))
    found = require_fit(Inverted(), price, limits)
    assert not limits.broken(found.cost)


class Broken(ToySpace):
    def net(self, architecture):  # type: ignore[no-untyped-def]
        raise ValueError("layer 'conv0' has 0 filters")


def test_a_space_without_any_net_says_why() -> None:
    with pytest.raises(ValueError, match="0 filters"):
        require_fit(Broken(), price, LIMITS)
