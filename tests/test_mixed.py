"""Which layers get int4 weights under a flash budget, and how `optimize` and the CLI say so."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace
from unittest import mock

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import Net, residual_tflite

import tflm_opt
from tflm_opt import api, graph, mixed
from tflm_opt.cli import cli
from tflm_opt.errors import DoesNotFit, MissingTool, TflmOptError
from tflm_opt.graph import Graph
from tflm_opt.quant import int4
from tflm_opt.runtime import tflm, vectors

ITEMS = st.lists(st.tuples(st.integers(1, 60), st.floats(0, 9)), min_size=1, max_size=8)


def wide() -> bytes:
    """A net with much more weights than code that unpacks them."""
    made = Net((1, 4, 4, 16))
    x = made.conv(made.input, 64, 3)
    x = made.conv(made.depthwise(x), 96, 1)
    return graph.write(made.graph(made.dense(made.flatten(x), 4)))


def sizes_of(data: bytes) -> list[int]:
    return [filters.nbytes for filters in int4.candidates(graph.read(data))]


def optimized(data: bytes, **asked: object) -> tflm_opt.Result:
    """Where there is no compiler for Arm: code is an estimate there, and quick to come by."""
    none = MissingTool("arm-none-eabi-gcc", needed_for="to build firmware", install="")
    with mock.patch("tflm_opt.runtime.machine.compiler", side_effect=none):
        return tflm_opt.optimize(data, **{"verbose": 0, "verify": False, **asked})  # type: ignore[arg-type]


class TestKnapsack:
    @settings(deadline=None, max_examples=60)
    @given(ITEMS, st.integers(1, 250))
    def test_against_all_sets(self, items: list[tuple[int, float]], save: int) -> None:
        chosen = mixed.knapsack(items, save)
        every = range(len(items))
        if sum(size for size, _ in items) <= save:
            assert chosen == frozenset(every)
            return
        enough = [
            sum(items[i][1] for i in some)
            for count in range(len(items) + 1)
            for some in itertools.combinations(every, count)
            if sum(items[i][0] for i in some) >= save
        ]
        assert sum(items[i][0] for i in chosen) >= save
        assert sum(items[i][1] for i in chosen) == pytest.approx(min(enough), abs=1e-9)

    def test_nothing_to_save(self) -> None:
        assert mixed.knapsack([(5, 1.0)], 0) == frozenset()

    def test_large_sizes_are_rounded_down(self) -> None:
        items = [(1_000_003, 1.0), (999_999, 1.0), (12_345, 0.0)]
        chosen = mixed.knapsack(items, 1_000_003 + 12_345)
        assert sum(items[i][0] for i in chosen) >= 1_000_003 + 12_345


class TestChoice:
    def test_harm_is_what_tflm_measures(self) -> None:
        data = residual_tflite()
        found = mixed.choose(data, 1)
        g = graph.read(data)
        layer = next(one for one in found.layers if one.kind == "DEPTHWISE_CONV_2D")
        filters = g.ops[layer.op].inputs[1]
        assert filters is not None
        shown = [graph.edit.with_outputs(x, _judged(x, g)) for x in (g, int4.rewrite(g, [filters]))]
        samples = vectors.seeded(g.inputs, mixed.SAMPLES)
        want, have = tflm.run_many([(graph.write(x), samples) for x in shown])
        ratios = []
        for i in range(len(want[0])):
            first, other = (
                np.stack([row[i] for row in rows]).astype(float) for rows in (want, have)
            )
            ratios.append(((first - other) ** 2).mean() / first.var())
        assert layer.harm == pytest.approx(float(np.mean(ratios)))
        assert layer.harm > 0

    def test_the_least_harm_for_the_bytes(self) -> None:
        data = wide()
        choices = mixed.Choices(data)
        saved = {layer.op: layer.saved for layer in choices.layers}
        for share in (0.1, 0.5, 0.9):
            save = int(choices.most * share)
            found = choices.choose(save)
            assert found.complete
            assert found.saved == sum(saved[one.op] for one in found.layers if one.chosen)
            made = graph.read(found.tflite)
            narrow = {i for i, op in enumerate(made.ops) if _is_int4(op)}
            assert narrow == {one.op for one in found.layers if one.chosen}

    def test_more_than_there_is(self) -> None:
        found = mixed.choose(wide(), 1 << 30)
        assert all(layer.chosen for layer in found.layers)
        assert not found.complete

    def test_given_samples_count(self) -> None:
        data = wide()
        samples = vectors.seeded(graph.read(data).inputs, 3, seed=9)
        found = mixed.choose(data, 1000, samples)
        assert (found.samples, found.data) == (3, mixed.GIVEN)
        assert "real data" in str(mixed.choose(data, 1000))

    def test_the_same_twice(self) -> None:
        assert mixed.choose(wide(), 3000).to_dict() == mixed.choose(wide(), 3000).to_dict()

    def test_text_names_every_layer(self) -> None:
        found = mixed.choose(wide(), 3000)
        lines = str(found).splitlines()
        assert len(lines) == 1 + len(found.layers) + 2
        assert sum(" int4 " in line for line in lines[1:-2]) == sum(o.chosen for o in found.layers)


def _judged(made: Graph, original: Graph) -> list[graph.Tensor]:
    names = [tensor.name for tensor in mixed.judged(original)]
    return [t for name in names for t in graph.edit.inner_tensors(made) if t.name == name]


def _is_int4(op: graph.Op) -> bool:
    return len(op.inputs) > 1 and op.inputs[1] is not None and op.inputs[1].dtype == "int4"


class TestOptimize:
    def test_a_budget_that_int8_meets_changes_nothing(self) -> None:
        data = residual_tflite()
        result = optimized(data, flash="1MiB")
        assert result.mixed is None
        assert result.original == data
        assert result.flash_budget == 1 << 20

    def test_a_budget_between_int8_and_int4(self) -> None:
        data = wide()
        whole = optimized(data)
        budget = whole.flash.total - sum(sizes_of(data)) // 4
        result = optimized(data, flash=budget, verify=True, vectors=2)
        assert result.fits
        assert result.bit_exact
        assert result.flash.total <= budget
        assert result.mixed is not None
        assert 0 < sum(layer.chosen for layer in result.mixed.layers) < len(result.mixed.layers)
        assert result.flash.weights < whole.flash.weights
        assert any("int4" in warning for warning in result.warnings)
        assert "int4 weights" in str(result)
        shown = json.loads(result.to_json())
        assert shown["mixed"]["saved"] == result.mixed.saved
        assert shown["request"]["flash"] == budget

    def test_a_budget_below_int4(self) -> None:
        data = wide()
        with pytest.raises(DoesNotFit) as missed:
            optimized(data, flash=sum(sizes_of(data)) // 3)
        error = missed.value
        assert error.what == "flash"
        assert error.best is not None
        assert all(layer.chosen for layer in error.best.mixed.layers)

    def test_calibration_samples_that_were_read_before_are_used(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        data = wide()
        (source,) = graph.read(data).inputs
        drawn = np.random.default_rng(0).normal(0, 1, (5, *source.shape[1:])).astype(np.float32)
        real = api.load
        monkeypatch.setattr(
            api, "load", lambda *a, **k: replace(real(*a, **k), examples=tuple((x,) for x in drawn))
        )
        # As `optimize` gets it from a generator that quantization has read to its end.
        result = optimized(data, flash=optimized(data).flash.total - 1000)
        assert result.mixed is not None
        assert (result.mixed.samples, result.mixed.data) == (5, mixed.GIVEN)

    def test_calibration_of_the_wrong_shape(self) -> None:
        data = wide()
        with pytest.raises(TflmOptError, match="calibration"):
            optimized(data, flash=1000, calibration=np.zeros((4, 5, 5, 3), np.float32))

    def test_bad_budget(self) -> None:
        with pytest.raises(TflmOptError, match="flash"):
            optimized(wide(), flash="many")


def test_the_command_line(tmp_path: object) -> None:
    from pathlib import Path

    path = Path(str(tmp_path)) / "wide.tflite"
    path.write_bytes(wide())
    whole = optimized(wide()).flash.total
    budget = whole - sum(sizes_of(wide())) // 5
    none = MissingTool("arm-none-eabi-gcc", needed_for="to build firmware", install="")
    with mock.patch("tflm_opt.runtime.machine.compiler", side_effect=none):
        asked = ["optimize", str(path), "--flash", str(budget), "--no-verify", "-q", "--json"]
        done = CliRunner().invoke(cli, asked)
    assert done.exit_code == 0, done.output
    shown = json.loads(done.stdout)
    assert shown["flash_budget"] == budget
    assert shown["flash"]["total"] <= budget
    assert math.isfinite(shown["mixed"]["harm"])
