"""The benchmark of kernels: its cases, its goals, and what the kernels of another commit cost."""

from __future__ import annotations

import importlib
import importlib.util
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

from tflm_opt import graph

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))


@pytest.fixture
def cases() -> ModuleType:
    return importlib.import_module("kernel_cases")


@pytest.fixture
def kernels() -> ModuleType:
    """By path: a folder of tests has the same name."""
    path = ROOT / "benchmarks" / "kernels.py"
    spec = importlib.util.spec_from_file_location("benchmarks_kernels", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("kind", "layer", "macs"),
    [
        ("CONV_2D", "40x40x8 to 48", 614_400),
        ("CONV_2D", "1x5x64 to 64", 20_480),
        ("CONV_2D", "80x80x3 to 16 3x3 stride 2", 40 * 40 * 16 * 27),
        ("CONV_2D", "49x10x1 to 64 10x4 stride 2", 25 * 5 * 64 * 40),
        ("CONV_2D", "16x16x32 to 32 3x3 valid", 14 * 14 * 32 * 288),
        ("DEPTHWISE_CONV_2D", "3x3x240 3x3 stride 2", 2 * 2 * 240 * 9),
        ("FULLY_CONNECTED", "640 to 128", 81_920),
        ("ADD", "20x20x16", 0),
    ],
)
def test_macs_of_a_case(cases: ModuleType, kind: str, layer: str, macs: int) -> None:
    (case,) = [c for c in cases.sweep() if (c.kind, c.name) == (kind, layer)]
    tflite, counted, outputs = cases.model(case)
    (op,) = graph.read(tflite).ops
    assert (op.kind, counted, outputs) == (kind, macs, op.output.elements)


def test_no_case_comes_twice(cases: ModuleType) -> None:
    names = [(case.kind, case.name) for case in cases.sweep()]
    assert len(names) == len(set(names)) > 90


@pytest.mark.parametrize(
    ("case", "board", "goal"),
    [
        (("conv", 20, 48, 16), "qemu_m4", 0.85),
        (("conv", 20, 24, 144), "qemu_m4", 1.1),
        (("conv", 20, 8, 48), "qemu_m4", None),
        (("conv", 20, 16, 16, 3), "qemu_m4", 0.85),
        (("conv", 80, 3, 16, 3), "qemu_m4", 1.1),
        (("depthwise", 20, 16, 3), "qemu_m4", 2.0),
        (("depthwise", 20, 16, 5), "qemu_m4", 1.6),
        (("depthwise", 20, 16, 7), "qemu_m4", 1.3),
        (("depthwise", 20, 16, 3), "qemu_m55", 1.5),
        (("conv", 20, 64, 64), "qemu_m55", 0.25),
        (("conv", 20, 64, 64), "qemu_m3", None),
        (("dense", 128, 8), "qemu_m4", 1.35),
    ],
)
def test_goals(cases: ModuleType, case: tuple, board: str, goal: float | None) -> None:
    make, *arguments = case
    assert cases.goal(getattr(cases, make)(*arguments), board) == goal


def test_rows_beside_those_of_before(kernels: ModuleType) -> None:
    now = [{"layer": "a", "instructions": 50, "cost": 0.5, "bit_exact": True, "met": False}]
    (row,) = kernels.compared(now, [{"layer": "a", "instructions": 200, "bit_exact": True}])
    assert list(row.items())[1:5] == [
        ("instructions", 50),
        ("before", 200),
        ("ratio", 0.25),
        ("cost", 0.5),
    ]
    assert "0 of 1 goals met" in kernels.table([row])


def test_peers_have_every_net_under_a_budget(kernels: ModuleType) -> None:
    for counted in kernels.COUNTED.values():
        assert set(counted) == set(kernels.BUDGETS)


@pytest.mark.qemu
@pytest.mark.skipif(
    not (shutil.which("arm-none-eabi-gcc") and shutil.which("qemu-system-arm")),
    reason="needs the Arm compiler and qemu-system-arm",
)
def test_the_library_of_a_commit_runs_the_same_cases(kernels: ModuleType) -> None:
    git = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, check=False)
    if git.returncode:
        pytest.skip("not a checkout")
    arguments = ["--only", "ADD 3x3", "--against", "HEAD", "--json"]
    (was,) = kernels.before("HEAD", arguments)
    assert was["layer"] == "3x3x16"
    assert was["bit_exact"]
    assert was["instructions"] > 144


def test_a_commit_that_does_not_exist(kernels: ModuleType) -> None:
    with pytest.raises(SystemExit, match="no commit v0-nothing"):
        kernels.before("v0-nothing", [])
