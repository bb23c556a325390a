"""The memory benchmark: which goal counts, what is told of a goal that is missed, and the page."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from small_models import SHARED_MODELS, residual_tflite, shared

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("memory")


def row(**changes: Any) -> dict[str, Any]:
    return {
        "model": "net",
        "input": "resident",
        "max_extra_macs": 0.0,
        "arena": 1000,
        "extra_macs": 0.0,
        "goal": 1000,
        "bound": 990,
        "fastest": 4000,
        "peers": [{"tool": "Other", "arena": 2000, "extra_macs": 0.35}],
        "seconds": 1.5,
        "binding": {
            "stage": "stage 1 of 2 (op 0:CONV_2D, run whole)",
            "buffers": ["9 bytes of a;b"],
            "alive": None,
        },
        "reason": None,
        **changes,
    }


@pytest.mark.parametrize(
    ("model", "kind", "extra", "goal"),
    [
        ("mcunet_vww1", "resident", 0.0, 26_000),
        ("mcunet_vww1", "resident", 0.1, None),
        ("mcunet_vww1", "streamed", 0.0, 17_000),
        ("mcunet_vww1", "streamed", 0.4, 12_000),
        ("mcunet_vww1", "streamed", 0.5, None),
        ("mobilenet_v2_100_224", "streamed", 0.0, 120_000),
        ("mobilenet_v2_100_224", "resident", 0.0, None),
    ],
)
def test_goals_hold_for_so_much_recomputation(
    memory: ModuleType, model: str, kind: str, extra: float, goal: int | None
) -> None:
    found = memory.PEERS[model].goal(kind, extra)
    assert (None if found is None else found.arena) == goal


def test_the_page_tells_how_it_was_made_and_what_stops_a_goal(memory: ModuleType) -> None:
    page = memory.memory_page.page
    text = page([row(), row(input="streamed", goal=None)], "python benchmarks/memory.py --all")
    assert "\n    python benchmarks/memory.py --all\n" in text
    assert text.endswith("None.\n")
    assert "Other 2,000 at +35%" in text
    assert "- net, resident: stage 1 of 2 (op 0:CONV_2D, run whole): 9 bytes of a.\n" in text
    stopped = page([row(goal=900, bound=950)], "x")
    assert "1,000 is 100 too many. The bound stops it: stage 1 of 2" in stopped
    held = row(goal=900, bound=950)
    held["binding"] = {**held["binding"], "alive": 920}
    assert "at least 920 bytes are alive at once" in page([held], "x")
    held["binding"]["alive"] = 880
    assert "The bound stops it" in page([held], "x")
    open_ = page([row(goal=970, bound=950)], "x")
    assert "30 too many. The bound of 950 would allow it" in open_
    assert "970 missed" in open_
    more = row(
        arena=None, extra_macs=None, binding=None, bound=None, fastest=None, reason="two inputs"
    )
    assert "- net, resident: two inputs." in page([more], "x")
    limited = page([row(max_extra_macs=0.4, extra_macs=0.25)], "x")
    assert "25.0% of 40%" in limited
    assert "- net, resident, up to 40% extra MACs: stage 1" in limited


def test_the_command(
    memory: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "small.tflite"
    model.write_bytes(residual_tflite(24))
    page = tmp_path / "memory.md"
    memory.main([str(model), "--json", "--write", str(page)])
    rows = json.loads(capsys.readouterr().out)
    assert [r["input"] for r in rows] == ["resident", "streamed"]
    assert all(r["arena"] >= r["bound"] > 0 for r in rows)
    assert rows[1]["arena"] < rows[0]["arena"] <= rows[0]["fastest"]
    assert rows[0]["binding"]["stage"].startswith("stage ")
    assert all(0 < r["binding"]["alive"] <= r["arena"] for r in rows)
    text = page.read_text("utf-8")
    assert "    python benchmarks/memory.py small.tflite --write docs/memory.md\n" in text
    assert str(tmp_path) not in text
    assert f"| {rows[0]['arena']:,} " in text


def test_a_real_model_reaches_its_goals(memory: ModuleType) -> None:
    data = shared("mlperf_tiny_kws")
    assert (SHARED_MODELS / "mlperf_tiny_kws.tflite").is_file()
    for found in memory.model_rows("mlperf_tiny_kws", data, [0.0]):
        assert found["arena"] <= found["goal"] == 9_000
        assert {peer["tool"] for peer in found["peers"]} >= {"TinyTS"}
