"""What stages cost by their nodes is what `patch_split` says of their walks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tflm_opt import codegen
from tflm_opt.graph.ir import Graph
from tflm_opt.nas import space, spaces
from tflm_opt.nas.lower import lower
from tflm_opt.nas.paths import Paths
from tflm_opt.nas.shared import Shared, SharedCosts
from tflm_opt.patch_split import cuts
from tflm_opt.patch_split.cost import Costs, Way


def gated() -> Any:
    """A space whose blocks have squeeze-and-excite gates."""
    plain = spaces.MobileNet.default((32, 32, 3), 4).to_json()
    for stage in plain["stages"]:
        stage["squeeze"] = [True]
    return spaces.MobileNet.from_json(plain)


SPACES: dict[str, Any] = {
    "mobilenet": spaces.MobileNet.default((48, 48, 3), 4),
    "odd": spaces.MobileNet.default((37, 29, 1), 4),
    "gates": gated(),
    "resnet": spaces.ResNet.default((32, 32, 3), 4),
    "separable": spaces.DsCnn.default((49, 10, 1), 4),
    "signal": spaces.Signal.default((64, 1, 3), 4),
}


def drawn(name: str, count: int, seed: int = 0) -> list[Graph]:
    rng = np.random.default_rng(seed)
    return [lower(SPACES[name].net(space.sample(SPACES[name], rng))) for _ in range(count)]


def stages(costs: Costs, rng: np.random.Generator, part: float) -> Iterator[tuple[int, int, Way]]:
    """Some of all stages of up to ten ops."""
    count = len(costs.graph.ops)
    for start in range(count):
        for stop in range(start + 1, min(start + 10, count) + 1):
            for family in costs.families(start, stop):
                yield from (
                    (start, stop, way) for way in family if rng.random() < part / (stop - start)
                )


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("name", SPACES)
def test_nodes_cost_what_walks_cost(name: str, streamed: bool) -> None:
    rng, shared, compared, by_nodes = np.random.default_rng(1), Shared("dsp"), 0, 0
    for graph in drawn(name, 2):
        walked = Costs(graph, streamed=streamed, scratch=codegen.scratch, access=codegen.access)
        costs = SharedCosts(graph, shared, streamed=streamed)
        for start, stop, way in stages(walked, rng, 0.4):
            assert costs.of(start, stop, way) == walked.of(start, stop, way), (start, stop, way)
            by_nodes += costs._stage(start, stop, way) is not None
            compared += 1
    assert by_nodes > compared // 2 > 20


@pytest.mark.parametrize("name", ["mobilenet", "resnet"])
def test_what_is_told_to_need_more_does(name: str) -> None:
    rng, refused, found = np.random.default_rng(2), 0, 0
    (graph,) = drawn(name, 1)
    whole = SharedCosts(graph, Shared("dsp"), streamed=False)
    asked = SharedCosts(graph, Shared("dsp"), streamed=False)
    for costs in (whole, asked):
        costs.bounds(10)
    for start, stop, way in stages(whole, rng, 0.5):
        price = whole.of(start, stop, way)
        if price is None:
            continue
        limit = int(price.peak * rng.choice([0.5, 0.9, 0.999, 1, 1.1]))
        within = asked.within(start, stop, way, limit)
        assert within == (price if price.peak <= limit else None)
        found += within is not None
        refused += (start, stop, way) not in asked._found
    assert refused > 20
    assert found > 20


@pytest.mark.parametrize("streamed", [False, True])
def test_paths_are_those_of_the_whole_search(streamed: bool) -> None:
    """As `cuts` finds them among all stages, of the same prices."""
    (graph,) = drawn("separable", 1, seed=3)
    costs, others = (SharedCosts(graph, Shared("dsp"), streamed=streamed) for _ in range(2))
    paths = Paths(costs)
    least, smallest = paths.least(), cuts.least(others)
    assert least is not None
    assert smallest is not None
    assert least == cuts.peak(smallest)
    for part in (1.0, 1.2, 2.0, 8.0):
        limit = int(least * part)
        one, other = paths.cheapest(limit), cuts.cheapest(others, limit)
        assert one is not None
        assert other is not None
        assert cuts.work(one) == cuts.work(other)
        assert cuts.peak(one) <= limit
