"""Budgets and kinds of input through `optimize`, `tradeoffs` and the command line."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
from small_models import shared

import tflm_opt
from tflm_opt import api
from tflm_opt.errors import DoesNotFit, TflmOptError

MODEL = "mlperf_tiny_vww"


@pytest.fixture(scope="module")
def streamed() -> tflm_opt.Result:
    return tflm_opt.optimize(
        shared(MODEL), input="streamed", max_slowdown=math.inf, vectors=2, verbose=0
    )


def test_a_streamed_input_is_proved_and_reported(streamed: tflm_opt.Result) -> None:
    assert streamed.bit_exact is True
    assert streamed.schedule.input == "streamed"
    assert streamed.sram.arena == streamed.plan.peak == streamed.front[-1].peak
    data = json.loads(streamed.to_json())
    assert data["schedule"]["input"] == "streamed"
    bands = data["schedule"]["streamed"]
    assert bands[0]["ops"][0] == 0
    assert bands[0]["steps"] > 1
    assert [point["arena"] for point in data["front"]] == [p.peak for p in streamed.front]
    assert "streamed input" in str(streamed)


def test_budgets_are_met_by_what_is_measured(streamed: tflm_opt.Result) -> None:
    rest = streamed.sram.total - streamed.sram.arena
    budget = (streamed.front[0].peak + streamed.front[-1].peak) // 2 + rest + 64
    result = tflm_opt.optimize(shared(MODEL), budget, input="streamed", vectors=1, verbose=0)
    assert result.fits
    assert result.sram.total <= budget
    assert streamed.front[-1].peak < result.sram.arena < streamed.front[0].peak


def test_what_streaming_the_input_would_save_is_searched(streamed: tflm_opt.Result) -> None:
    with pytest.raises(DoesNotFit) as caught:
        tflm_opt.optimize(shared(MODEL), 20_000, verify=False, verbose=0)
    best = caught.value.best
    assert best.sram.arena == min(point.peak for point in best.front)
    saved = best.sram.arena - streamed.sram.arena
    told = next(text for text in caught.value.remedies if "input='streamed'" in text)
    assert f"{saved:,} bytes" in told


def test_stock_tflm_takes_whole_inputs() -> None:
    with pytest.raises(TflmOptError, match="runtime='engine'"):
        tflm_opt.optimize(shared(MODEL), runtime="tflm", input="streamed", verbose=0)
    with pytest.raises(TflmOptError, match="input 'drawn'"):
        tflm_opt.optimize(shared(MODEL), input="drawn", verbose=0)


def test_tradeoffs_on_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "vww.tflite"
    path.write_bytes(shared(MODEL))
    command = [sys.executable, "-m", "tflm_opt", "tradeoffs", str(path), "-q"]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    data = json.loads(done.stdout)
    expected = [point.peak for point in api.tradeoffs(path, verbose=0)]
    assert [point["arena"] for point in data["front"]] == expected
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert all(f"{peak:,}" in text for peak in expected)


def test_without_a_budget_the_result_is_not_much_slower() -> None:
    result = tflm_opt.optimize(shared(MODEL), vectors=1, verbose=0)
    works = {point.peak: point.work for point in result.front}
    assert works[result.sram.arena] <= 1.3 * min(works.values())
    assert result.sram.arena < result.front[0].peak
    with pytest.raises(TflmOptError, match="below 1"):
        tflm_opt.optimize(shared(MODEL), max_slowdown=0.5, verbose=0)
