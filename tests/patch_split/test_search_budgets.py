"""Budgets for many nets, by the benchmark that prints them: all met, none above the front."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from row_nets import row_net
from small_models import SHARED_MODELS, residual_net, shared

from tflm_opt import graph, passes
from tflm_opt.errors import UnsupportedModel

PATH = Path(__file__).resolve().parents[2] / "benchmarks" / "budgets.py"


@pytest.fixture(scope="module")
def budgets() -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmark_budgets", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


def check(budgets: ModuleType, model: graph.Graph, kind: str, count: int = 20) -> int:
    """How many different arenas the budgets got."""
    found = budgets.trials(budgets.searching(model, kind, {}), count)
    assert [t for t in found if not t.met] == []
    assert [t for t in found if t.dear] == []
    works = [t.work for t in found]
    assert works == sorted(works, reverse=True)
    return len({t.peak for t in found})


@pytest.mark.parametrize("kind", ["resident", "streamed"])
def test_small_nets(budgets: ModuleType, kind: str) -> None:
    nets = [row_net(np.random.default_rng([11, seed]), steps=4) for seed in range(5)]
    several = 0
    for model in (*nets, residual_net(24)):
        try:
            several += check(budgets, model, kind, 10) > 2
        except UnsupportedModel:
            assert kind == "streamed"
    assert several


def test_a_real_model(budgets: ModuleType) -> None:
    model = passes.run(graph.read(shared("mlperf_tiny_kws")), passes.default_pipeline())
    assert check(budgets, model, "resident") > 2


def test_what_is_missed_or_dear_is_told(
    budgets: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    good = budgets.Trial(100, 96, 0.0, 0.0, 500, 500)
    more_macs = budgets.Trial(100, 96, 0.1, 0.0, 500, 500)
    more_work = budgets.Trial(100, 96, 0.0, 0.0, 501, 500)
    fewer_macs = budgets.Trial(100, 96, 0.0, 0.1, 900, 500)
    missed = budgets.Trial(100, 101, 0.0, 0.0, 500, 500)
    assert [t.met for t in (good, more_macs, missed)] == [True, True, False]
    assert [t.dear for t in (good, more_macs, more_work, fewer_macs)] == [False, True, True, False]
    for found, status in ((good, 0), (more_work, 1), (missed, 1)):
        rows = [budgets.row("net", "resident", [good, found, good], 0.1)]
        monkeypatch.setattr(budgets, "model_rows", lambda *_, rows=rows: rows)
        assert budgets.main(["net.tflite"]) == status
        assert ("budget 100 got" in capsys.readouterr().out) == bool(status)


def test_the_command(budgets: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    shared("mlperf_tiny_ad")
    assert budgets.main([str(SHARED_MODELS / "mlperf_tiny_ad.tflite"), "--budgets", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3  # its input can't be streamed
    assert "mlperf_tiny_ad" in lines[2]
