"""Which subspace to search: counts and quantiles by hand, on prices that take no time."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from toy import ToySpace
from toy import price as toy_price

from tflm_opt.errors import NothingFits, TflmOptError, UnsupportedModel
from tflm_opt.nas import Cost, Limits, spaces
from tflm_opt.nas.contest import Contest, decided
from tflm_opt.nas.net import Layer, Net
from tflm_opt.nas.space import sample
from tflm_opt.nas.survey import Row, Survey, survey
from tflm_opt.progress import Silent

FAMILY = spaces.MobileNet.default((64, 64, 3), 4)


def price(net: Net, sram: Any = None) -> Cost:
    return toy_price(net)


@dataclass(frozen=True)
class Rows:
    """A space with `nets` nets of one size, n·1000 MACs for the n-th."""

    nets: tuple[int, ...]

    @property
    def choices(self) -> Mapping[str, tuple[Any, ...]]:
        return {"n": self.nets}

    def net(self, architecture: Mapping[str, Any]) -> Net:
        layers = (
            Layer("image", "input", shape=(1, 1, 1000)),
            Layer("pool", "global_pool", ("image",)),
            Layer("scores", "dense", ("pool",), architecture["n"]),
        )
        return Net(layers)

    def canonical(self, architecture: Mapping[str, Any]) -> dict[str, Any]:
        return dict(architecture)

    def to_json(self) -> dict[str, Any]:
        return {"kind": f"{__name__}:Rows", "nets": list(self.nets)}


@dataclass(frozen=True)
class Cut(Rows):
    parts: dict[str, Rows] = field(default_factory=dict)

    def subspaces(self) -> list[tuple[dict[str, Any], Rows]]:
        return [({"part": name}, part) for name, part in self.parts.items()]


def cut(**parts: tuple[int, ...]) -> Cut:
    return Cut((1,), {name: Rows(nets) for name, nets in parts.items()})


def by_size(net: Net, sram: Any) -> Cost:
    """SRAM is a byte for each of the last layer's filters."""
    return replace(toy_price_like(net), sram=net.layers[-1].filters)


def toy_price_like(net: Net) -> Cost:
    return Cost(0, 0, 0, 10, 10, net.macs, net.macs, net.macs / 1e3, "resident", False)


def test_the_space_whose_fitting_nets_have_most_macs_is_chosen() -> None:
    """One has smaller nets that all fit, one larger ones of which half do, one none that fits."""
    family = cut(small=tuple(range(1, 11)), half=tuple(range(16, 26)), large=(30, 40))
    found = survey(family, Limits(sram=20), by_size, samples=400)
    small, half, large = found.rows
    assert found.chosen is half
    assert (small.fraction, large.fraction) == (1.0, 0.0)
    assert half.fraction == pytest.approx(0.5, abs=0.1)
    assert set(half.macs) == {n * 1000 for n in range(16, 21)}
    assert half.mean == pytest.approx(np.mean(half.macs))
    assert half.quantile(0.8) in (19_000, 20_000)
    assert (large.mean, large.quantile(0.8), large.macs) == (0.0, 0, ())
    assert [row.least["sram"] for row in found.rows] == [1, 16, 30]
    assert found.space == Rows(tuple(range(16, 26)))


def row(macs: tuple[int, ...], sampled: int = 10) -> Row:
    return Row({}, Rows((1,)), sampled, macs, {})


def test_the_top_fifth_is_read_off_a_net_that_was_drawn() -> None:
    ten = row(tuple(range(10, 110, 10)))
    assert (ten.quantile(0.5), ten.quantile(0.8), ten.quantile(1.0)) == (50, 80, 100)
    assert sum(macs > ten.quantile(0.8) for macs in ten.macs) == 2
    assert row((7,)).quantile(0.8) == 7


def test_mean_and_top_fifth_can_choose_differently() -> None:
    family = cut(even=(10,), split=(1, 12))
    limits = Limits(sram=20)
    assert survey(family, limits, by_size).chosen.fixed == {"part": "split"}
    assert survey(family, limits, by_size, by="mean").chosen.fixed == {"part": "even"}


def test_a_space_in_which_hardly_anything_fits_is_not_chosen() -> None:
    rare = (19, *range(100, 200))
    family = cut(rare=rare, common=(5,))
    limits = Limits(sram=20)
    found = survey(family, limits, by_size, samples=200)
    assert 0 < found.rows[0].fraction < 0.05
    assert found.chosen.fixed == {"part": "common"}
    # Where no other has more, it is.
    alone = survey(cut(rare=rare), limits, by_size, samples=200)
    assert alone.chosen.fixed == {"part": "rare"}


def test_the_smallest_nets_are_tried_where_no_sample_fits() -> None:
    family = cut(one=tuple(range(20, 2000)), two=tuple(range(30, 2000)))
    found = survey(family, Limits(sram=20), by_size, samples=5)
    assert found.chosen.fixed == {"part": "one"}
    assert (found.chosen.macs, found.chosen.sampled) == ((20_000,), 6)


def test_nothing_fits_says_the_least_need_and_what_binds() -> None:
    family = cut(one=tuple(range(20, 2000)), two=tuple(range(30, 2000)))
    with pytest.raises(NothingFits) as caught:
        survey(family, Limits(sram=19, flash=100), by_size, samples=5)
    error = caught.value
    assert error.tried == 12
    assert (error.least, error.binding) == ({"sram": 20, "flash": 10}, ("sram",))
    assert error.nearest == {"sram": 20, "flash": 10}
    text = str(error)
    assert "the limit is 19, the least found 20" in text
    assert "raise sram to 20:" in text
    assert "begins at part one" in text
    assert "input='streamed'" in text


def test_limits_that_bind_only_together_are_said_to() -> None:
    needs = [{"sram": 10, "latency_ms": 5.004}, {"sram": 30, "latency_ms": 1.0}]
    error = NothingFits(needs, {"sram": 20, "latency_ms": 4.0})
    assert error.least == {"sram": 10, "latency_ms": 1.0}
    assert error.nearest == needs[0]
    assert error.binding == ("latency_ms",)
    assert "no net meets all of them" in str(error)
    assert "raise latency_ms to 5.01" in str(error)


def test_remedies_make_the_nearest_net_fit() -> None:
    needs = [{"sram": 31_000, "flash": 8}, {"sram": 35_000, "flash": 5}]
    error = NothingFits(needs, {"sram": 20_000, "flash": 4})
    assert error.binding == ("sram", "flash")
    assert "raise sram to 35,000 and flash to 5:" in str(error)


def test_the_price_is_asked_with_the_sram_and_once_a_net() -> None:
    asked = []

    def spy(net: Net, sram: Any) -> Cost:
        asked.append((net.layers[-1].filters, sram))
        return by_size(net, sram)

    survey(cut(one=(3, 4), two=(5,)), Limits(sram="1KiB"), spy, samples=50)
    assert sorted(asked) == [(3, 1024), (4, 1024), (5, 1024)]


def test_nets_that_cannot_run_do_not_fit() -> None:
    def some(net: Net, sram: Any) -> Cost:
        if net.layers[-1].filters == 4:
            raise UnsupportedModel("too odd")
        return by_size(net, sram)

    found = survey(cut(one=(3, 4), two=(4,)), Limits(sram=10), some, samples=100)
    assert found.rows[0].fraction == pytest.approx(0.5, abs=0.2)
    assert set(found.rows[0].macs) == {3000}
    assert found.rows[1].macs == ()
    assert "–" in str(found)
    with pytest.raises(TflmOptError, match="too odd"):
        survey(cut(two=(4,)), Limits(sram=10), some, samples=10)


def test_without_limits_all_fit() -> None:
    found = survey(cut(one=(1,), two=(2,)), Limits(), by_size, samples=10)
    assert found.chosen.fixed == {"part": "two"}
    assert [one.fraction for one in found.rows] == [1.0, 1.0]
    assert "no limits" in str(found)


@pytest.mark.parametrize(
    ("options", "said"),
    [({"samples": 0}, "samples is 0"), ({"by": "median"}, "p80 or mean")],
)
def test_bad_parameters_are_named(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        survey(FAMILY, Limits(), price, **options)


def test_a_space_that_cannot_be_cut_is_refused() -> None:
    family: Any = ToySpace()
    with pytest.raises(ValueError, match=r"without subspaces\(\)"):
        survey(family, Limits(), price)
    with pytest.raises(TflmOptError, match="no subspaces"):
        survey(cut(), Limits(), price)


class Steps:
    def __init__(self) -> None:
        self.steps: list[str] = []
        self.details: list[tuple[int, int]] = []

    def step(self, text: str) -> None:
        self.steps.append(text)

    def detail(self, done: int, total: int) -> None:
        self.details.append((done, total))


@pytest.fixture(scope="module")
def found() -> Survey:
    return survey(FAMILY, Limits(sram=40_000, latency_ms=800.0), price, samples=20)


def test_a_family_of_images(found: Survey) -> None:
    """15 subspaces; the narrowest fits whole, the widest not at all; the chosen is a space."""
    assert len(found.rows) == 15
    assert found.rows[0].fixed == {"width": 0.25, "resolution": 32}
    assert found.rows[0].fraction == 1.0
    assert found.rows[-1].macs == ()
    assert found.chosen.fraction > 0
    fixed = found.chosen.fixed
    space = found.space
    assert (space.choices["width"], space.choices["resolution"]) == (
        (fixed["width"],),
        (fixed["resolution"],),
    )
    net = space.net(sample(space, np.random.default_rng(0)))
    assert net.input_shape == (fixed["resolution"], fixed["resolution"], 3)


def test_a_survey_is_the_same_again_and_of_another_seed_another(found: Survey) -> None:
    limits = Limits(sram=40_000, latency_ms=800.0)
    steps = Steps()
    again = survey(FAMILY, limits, price, samples=20, progress=steps)
    assert again.to_json() == found.to_json()
    assert steps.steps[0] == "survey 1 of 15: width 0.25, resolution 32"
    assert (len(steps.steps), steps.details[-1]) == (15, (20, 20))
    other = survey(FAMILY, limits, price, samples=20, seed=1)
    assert other.rows[0].macs != found.rows[0].macs


def test_json_has_the_figures_and_the_space(found: Survey) -> None:
    data = json.loads(json.dumps(found.to_json()))
    assert data["limits"] == {"sram": 40_000, "latency_ms": 800.0}
    assert data["rows"][data["chosen"]]["fixed"] == found.chosen.fixed
    assert [one["fitting"] for one in data["rows"]] == [len(one.macs) for one in found.rows]
    assert spaces.from_json(data["space"]) == found.space


def test_the_table_has_a_line_for_each_subspace(found: Survey) -> None:
    first, heads, *lines, last = str(found).splitlines()
    assert first == "sram ≤ 40,000 bytes, latency ≤ 800 ms; 20 nets in each subspace"
    assert heads.split()[:3] == ["width", "resolution", "fit"]
    assert [line for line in lines if line.endswith("<- chosen")] == [
        lines[found.rows.index(found.chosen)]
    ]
    assert lines[0].split()[:3] == ["0.25", "32", "100%"]
    assert len(lines) == 15
    assert max(map(len, (first, heads, *lines, last))) <= 100


def test_the_picture_has_a_curve_for_each_subspace_with_nets(found: Survey) -> None:
    root = ET.fromstring(found.svg())
    space = {"s": "http://www.w3.org/2000/svg"}
    curves = [p for p in root.findall("s:path", space) if p.find("s:title", space) is not None]
    assert len(curves) == sum(1 for one in found.rows if one.macs)
    thick = [c for c in curves if "chosen" in c.attrib["class"]]
    assert thick == curves[-1:]  # above the others
    assert found.chosen.name in (thick[0].findtext("s:title", "", space))
    words = [t.text for t in root.findall("s:text", space)]
    width, resolution = found.chosen.fixed.values()
    assert f"{width}, {resolution} (chosen)" in words
    assert "<style>" in found.svg()
    assert "<style>" not in found.svg(style=False)


def test_curves_end_at_the_top_and_lie_within_the_axes() -> None:
    one = survey(cut(one=(1, 2, 3, 4)), Limits(), by_size, samples=40)
    root = ET.fromstring(one.svg())
    space = {"s": "http://www.w3.org/2000/svg"}
    (curve,) = [p for p in root.findall("s:path", space) if p.find("s:title", space) is not None]
    path = curve.attrib["d"]
    heights = [float(part.split("H")[0]) for part in path.split("V")[1:]]
    assert heights == sorted(heights, reverse=True)
    assert heights[-1] == 44.0
    assert len(heights) == 40


def test_macs_choose_the_width_of_each_resolution(found: Survey) -> None:
    rows = found.contenders()
    assert [row.fixed["resolution"] for row in rows] == [32, 48, 64]
    assert found.chosen in rows
    for row in rows:
        others = [r for r in found.rows if r.fixed["resolution"] == row.fixed["resolution"]]
        assert row.score("p80") == max(r.score("p80") for r in others if r.fraction >= 0.1)
    assert len(survey(cut(one=(1,), two=(2,)), Limits(), by_size).contenders()) == 1


def test_typical_nets_are_below_the_top_fifth() -> None:
    (ten,) = survey(cut(ten=tuple(range(1, 11))), Limits(), by_size, samples=400).rows
    first, *rest = [net["n"] for net in ten.typical(3)]
    assert first * 1000 == ten.quantile(0.8)
    assert rest == [first - 1, first - 2]  # other ones, though each was drawn many times
    assert len(ten.typical(100)) == first


def test_nets_that_are_trained_decide_between_resolutions(found: Survey) -> None:
    worst, chosen, best = (0.5, 0.4), (0.6, 0.7), (0.9, 0.5)
    rows = sorted(found.contenders(), key=lambda row: row is found.chosen)
    accuracies = dict(
        zip((r.fixed["resolution"] for r in rows), (worst, best, chosen), strict=True)
    )
    asked: list[tuple[Any, Net]] = []

    def evaluate(architecture: Any, net: Net) -> float:
        asked.append((architecture, net))
        resolution = architecture["resolution"]
        return accuracies[resolution][[a["resolution"] for a, _ in asked].count(resolution) - 1]

    steps = Steps()
    after = decided(found, evaluate, Contest(nets=2, epochs=7), steps)
    assert after.chosen.fixed == rows[1].fixed != found.chosen.fixed
    assert after.space == rows[1].space
    assert after.chosen.accuracy == pytest.approx(0.7)
    assert len(asked) == 6
    for architecture, net in asked:
        (row,) = (r for r in rows if r.fixed["resolution"] == architecture["resolution"])
        assert net.macs <= row.quantile(0.8)
        assert net == row.space.net(architecture)
    assert steps.steps == [f"training nets of {r.name}, 7 epochs" for r in found.contenders()]
    assert steps.details[:3] == [(0, 2), (1, 2), (2, 2)]

    data = json.loads(json.dumps(after.to_json()))
    assert data["epochs"] == 7
    assert data["rows"][data["chosen"]]["accuracies"] == list(best)
    assert [bool(r["accuracies"]) for r in data["rows"]].count(True) == 3
    _, heads, *lines, last = str(after).splitlines()
    assert heads.endswith("trained")
    assert "after 7 epochs" in last
    assert [line for line in lines if "70.0%  <- chosen" in line]
    words = after.svg()
    width, resolution = after.chosen.fixed.values()
    assert f"{width}, {resolution} (70%, chosen)" in words
    assert "accuracy 45.0%" in words


def test_where_there_is_nothing_to_decide_nothing_is_trained(found: Survey) -> None:
    def evaluate(architecture: Any, net: Net) -> float:
        raise AssertionError

    assert decided(found, evaluate, Contest(nets=0), Silent()) is found
    one = survey(cut(one=(1,), two=(2,)), Limits(), by_size)
    assert decided(one, evaluate, Contest(), Silent()) is one
