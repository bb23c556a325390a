"""Profiles: every instruction counted once, for the op that made the call; what can go wrong."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from emulated import EMULATED, needs_riscv
from small_models import residual_tflite
from tiny_model import LOOP, loop_instructions, write_tiny

import tflm_opt
from tflm_opt import boards, measure, profiling, saved
from tflm_opt.boards import Flash
from tflm_opt.errors import MissingTool, NoProfiler, ToolFailed
from tflm_opt.report.text import measurement_text
from tflm_opt.runtime import cycles, debugger, elf, firmware, host_build, profiler, qemu, tally
from tflm_opt.runtime.profiler import Range

pytestmark = [
    pytest.mark.qemu,
    pytest.mark.skipif(
        not (shutil.which("arm-none-eabi-gcc") and shutil.which("qemu-system-arm")),
        reason="needs the Arm compiler and qemu-system-arm",
    ),
    pytest.mark.skipif(not shutil.which("gcc"), reason="needs a compiler for the plugin"),
]

Profiles = Callable[..., profiling.Profile]
M4 = boards.get("qemu_m4")


def loop_sample(iterations: int) -> list[np.ndarray]:
    return [np.array([iterations, 0, 0, 0], np.uint32).view(np.int8).reshape(1, 16)]


@pytest.fixture(scope="module", params=EMULATED)
def loop(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> firmware.Firmware:
    folder = tmp_path_factory.mktemp("loop")
    return firmware.build(write_tiny(folder / "model", LOOP), request.param, folder / "out")


def test_a_loop_is_counted_to_the_last_instruction(loop: firmware.Firmware) -> None:
    """Branch to the loop, two loads; subtract and branch so many times; return."""
    trace = profiler.trace(loop, loop.board, loop_sample(12_345))
    assert trace.instructions == loop_instructions(12_345)
    again = [block for block in trace.blocks if block.runs == 12_344]
    assert [(block.instructions, block.fell) for block in again] == [(2, 1)]
    assert {block.context for block in trace.blocks} == {0}


@pytest.mark.parametrize("board", ["qemu_m3", "qemu_m4"])
def test_cycles_of_a_loop_by_hand(board: str, tmp_path: Path) -> None:
    """b 1 + P; ldr 2, and 2 as its address was loaded; subs 1, bne 1 or 1 + P; bx 1 + P: P is 2."""
    target = boards.get(board)
    built = firmware.build(write_tiny(tmp_path / "model", LOOP), target, tmp_path / "out")
    trace = profiler.trace(built, target, loop_sample(1000))
    one = tally.total(tally.tallies(trace, built.elf, tally.NOBODY, target).values())
    assert tally.cycles(one, target.core) == 3 + 2 + 2 + 1000 * 2 + 999 * 2 + 3
    assert one.counts["taken"] == 1 + 999 + 1


def test_a_context_reaches_into_what_is_called(loop: firmware.Firmware) -> None:
    symbols = elf.symbols(loop.elf)
    start = symbols["tiny_invoke"][0] & ~1
    trace = profiler.trace(loop, loop.board, loop_sample(10), [Range(start, start + 4, 1)])
    by_context = [
        sum(b.instructions * b.runs for b in trace.blocks if b.context == c) for c in range(2)
    ]
    assert by_context == [0, loop_instructions(10)]


# Reads 64 words twice: the literal of their address, then 16 lines of 16 bytes, twice.
READS = """\
#include "tiny.h"
#include <stdint.h>

static uint32_t arena[8];
__attribute__((used, aligned(256))) static const uint32_t words[64] = {1};
int tiny_init(void) { return 0; }
void *tiny_input(int index) { (void)index; return arena; }
const void *tiny_output(int index) { (void)index; return arena + 4; }

__attribute__((naked)) int tiny_invoke(void)
{
    __asm volatile(
        "ldr r0, =%c0\\n"
        "movs r1, #2\\n"
        "1: movs r2, #0\\n"
        "2: ldr r3, [r0, r2]\\n"
        "adds r2, #4\\n"
        "cmp r2, #255\\n"
        "blo 2b\\n"
        "subs r1, #1\\n"
        "bne 1b\\n"
        "movs r0, #0\\n"
        "bx lr\\n"
        : : "i"(words));
}
"""


@pytest.mark.parametrize(
    ("kept", "lines"),
    [(16, 1 + 32), (128, 1 + 32), (1024, 1 + 16)],
    ids=["last line", "too small a cache", "a cache that holds all"],
)
def test_lines_of_flash_that_are_read(kept: int, lines: int, tmp_path: Path) -> None:
    built = firmware.build(write_tiny(tmp_path / "model", READS), M4, tmp_path / "out")
    flash = Flash(wait_states=5, line=16, data_cache=kept)
    trace = profiler.trace(built, M4, loop_sample(0), flash=flash)
    assert trace.lines == {0: lines}
    assert profiler.trace(built, M4, loop_sample(0)).lines == {}


@pytest.fixture(scope="module")
def result() -> tflm_opt.Result:
    return tflm_opt.optimize(residual_tflite(), vectors=1, name="small", verbose=0)


@pytest.fixture(scope="module")
def optimized(result: tflm_opt.Result, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return result.save(tmp_path_factory.mktemp("profile") / "whole")


@pytest.fixture(scope="module")
def streamed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("profile")
    result = tflm_opt.optimize(
        residual_tflite(16), input="streamed", vectors=1, name="small", verbose=0
    )
    assert any(stage.band is not None for stage in result.schedule.stages)
    return result.save(folder / "streamed")


@pytest.fixture(scope="module")
def profiles(request: pytest.FixtureRequest) -> Callable[[str, str], profiling.Profile]:
    """The profile of one of the folders on a board, made once."""

    @cache
    def made(form: str, board: str = "qemu_m4") -> profiling.Profile:
        return tflm_opt.profile(request.getfixturevalue(form), board)

    return made


def plain_count(folder: Path, board: boards.Board, tmp_path: Path) -> int:
    """Instructions of the first vector, without anything that watches."""
    built = firmware.build(folder, board, tmp_path / "plain")
    samples, _ = saved.load_vectors(folder)
    return qemu.run(built, board, samples[:1]).instructions[0]


@pytest.mark.parametrize(("form", "board"), [("optimized", "qemu_m4"), ("streamed", "qemu_m55")])
def test_every_instruction_has_one_owner(
    form: str, board: str, request: pytest.FixtureRequest, profiles: Profiles, tmp_path: Path
) -> None:
    folder: Path = request.getfixturevalue(form)
    profile = profiles(form, board)
    assert profile.instructions == plain_count(folder, boards.get(board), tmp_path)
    layers = sum(layer.instructions for layer in profile.layers)
    rest = sum(share.instructions for _, share in profile.rest)
    assert layers + rest == profile.instructions
    assert sum(share.instructions for _, share in profile.functions) == profile.instructions
    for layer in profile.layers:
        assert sum(count for _, count in layer.functions) == layer.instructions
    parts = [layer.share for layer in profile.layers] + [share for _, share in profile.rest]
    assert sum(part.cycles or 0 for part in parts) == pytest.approx(profile.cycles)
    assert rest < 0.05 * profile.instructions
    assert profile.notes == ()


def test_layers_are_the_graph_s(optimized: Path, profiles: Profiles) -> None:
    profile = profiles("optimized")
    report = saved.load_report(optimized)
    known = {layer["index"]: layer for layer in report["layers"]}
    staged = {op for stage in report["schedule"]["streamed"] for op in stage["ops"]}
    for layer in profile.layers:
        assert layer.kind == known[layer.index]["kind"]
        assert list(layer.shape) == known[layer.index]["shape"]
        assert layer.macs == known[layer.index]["macs"]
        assert (layer.stage is not None) == (layer.index in staged)
    assert profile.macs == report["macs"]
    # Each works where its own kernels do, and nowhere else.
    for kind, kernel in (("SOFTMAX", "arm_softmax_s8"), ("ADD", "tflm_opt_add_s8")):
        where = {layer.kind for layer in profile.layers if kernel in dict(layer.functions)}
        assert where == {kind}


def test_stages_and_rows_of_the_input_are_told_apart(profiles: Profiles) -> None:
    profile = profiles("streamed")
    stages = {layer.stage for layer in profile.layers}
    assert len(stages - {None}) >= 1
    rest = dict(profile.rest)
    assert "input: rows from the caller" in rest
    assert any(what.startswith("stage 0") for what in rest)


def test_a_real_board_has_its_own_clock_and_flash(profiles: Profiles) -> None:
    ideal = profiles("optimized")
    real = profiles("optimized", "nucleo_f446re")
    assert real.instructions == ideal.instructions
    assert real.total.waits > 0
    assert real.cycles == pytest.approx((ideal.cycles or 0) + real.total.waits)
    data = real.to_dict()["cycles_estimate"]
    assert data["ms"] == pytest.approx((real.cycles or 0) / 180_000)
    assert (data["core"], data["wait_states"]) == ("cortex-m4", 5)


@pytest.mark.parametrize("board", ["pico", "nucleo_u575zi_q"])
def test_cores_without_a_machine_run_on_one_that_executes_their_code(
    board: str, optimized: Path
) -> None:
    data = measure.measure(optimized, board)
    assert data["bit_exact"] is True
    assert data["core"] == boards.get(board).core
    assert data["cycles_estimate"]["board"] == board
    assert data["cycles_estimate"]["cycles"] > data["instructions"] / 2


def test_a_result_s_own_profile(result: tflm_opt.Result, profiles: Profiles) -> None:
    assert result.profile("qemu_m4").to_dict() == profiles("optimized").to_dict()


def test_data_text_and_page(profiles: Profiles) -> None:
    profile = profiles("optimized")
    data = json.loads(profile.to_json())
    assert data["method"] == "plugin"
    assert data["instructions"] == profile.instructions
    assert sum(layer["share"] for layer in data["layers"]) <= 1
    assert set(data["classes"]) <= set(cycles.rows())
    for one in (data, *data["functions"]):
        assert round(cycles.estimate(one["classes"], "cortex-m4")) == one["cycles"]
    summed = Counter[str]()
    for function in data["functions"]:
        summed.update(function["classes"])
    assert {name: n for name, n in summed.items() if n} == {
        k: n for k, n in data["classes"].items() if n
    }
    text = str(profile)
    assert f"{profile.instructions:,} instructions" in text
    assert "ESTIMATE" in text
    page = profile.to_html()
    assert page.startswith("<!doctype html>")
    assert "http" not in page, "nothing from outside"
    assert page.count("<tr>") == 3 + len(data["layers"]) + len(data["rest"]) + len(
        data["functions"]
    ) + len(data["classes"])


def test_the_page_is_safe_whatever_a_tensor_is_called(profiles: Profiles) -> None:
    from tflm_opt.report.profile import profile_page

    data = profiles("optimized").to_dict()
    data["layers"][0]["name"] = "<script>alert('\"&\x00')</script>"
    page = profile_page(data)
    assert "<script>alert" not in page
    assert "\x00" not in page


# ---- where QEMU can't be watched -----------------------------------------------------------


@pytest.fixture
def fresh_plugin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """No plugin is built or known yet."""
    profiler._plugin.cache_clear()
    monkeypatch.setattr(host_build, "folder", lambda: tmp_path)
    yield tmp_path
    profiler._plugin.cache_clear()


def test_the_plugin_compiles_without_a_warning(tmp_path: Path) -> None:
    flags = [
        "-std=gnu11",
        "-O2",
        "-fPIC",
        "-shared",
        "-Wall",
        "-Wextra",
        "-Wconversion",
        "-Wshadow",
    ]
    command = ["gcc", *flags, "-Wpedantic", "-Werror", str(profiler.PLUGIN), "-o", "plugin.so"]
    subprocess.run(command, cwd=tmp_path, check=True)


def test_another_version_of_qemu_s_interface(
    fresh_plugin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """QEMU says which versions it takes, and the plugin is built again for one of these."""
    monkeypatch.setattr(profiler, "_FIRST_VERSION", 99)
    assert profiler.plugin().name != "qemu_profiler_99.so"
    assert (fresh_plugin / "qemu_profiler_99.so").is_file()


def _fake_qemu(folder: Path, says: str) -> Path:
    path = folder / "qemu"
    path.write_text(f"#!/bin/sh\necho '{says}' >&2\nexit 1\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.mark.parametrize(
    "says",
    [
        "qemu-system-arm: -plugin: invalid option",
        "Could not load plugin: plugin requires API version 1, but this QEMU supports only a "
        "minimum version of 7",
    ],
)
def test_a_qemu_without_our_plugins_is_named(
    says: str, fresh_plugin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QEMU_SYSTEM_ARM", str(_fake_qemu(fresh_plugin, says)))
    with pytest.raises(NoProfiler, match=says[:30]):
        profiler.plugin()


@pytest.mark.parametrize(("form", "board"), [("streamed", "qemu_m4"), ("streamed", "qemu_m55")])
def test_without_a_compiler_the_debugger_counts_the_same(
    form: str,
    board: str,
    profiles: Profiles,
    request: pytest.FixtureRequest,
    fresh_plugin: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two ways that share neither counter nor attribution agree to the last instruction."""
    want = profiles(form, board)
    profiler._plugin.cache_clear()
    for library in fresh_plugin.glob("*.so"):
        library.unlink()

    def missing() -> str:
        raise MissingTool("a C compiler", needed_for="to test", install="apt-get install gcc")

    monkeypatch.setattr(host_build, "compiler", missing)
    have = profiling.profile(request.getfixturevalue(form), board)
    assert have.instructions == want.instructions
    assert [(x.index, x.stage, x.instructions) for x in have.layers] == [
        (x.index, x.stage, x.instructions) for x in want.layers
    ]
    assert [(what, share.instructions) for what, share in have.rest] == [
        (what, share.instructions) for what, share in want.rest
    ]
    assert (have.functions, have.cycles) == ((), None)
    assert "apt-get install gcc" in have.notes[0]
    assert " ".join(str(have).split()).endswith(f"! {have.notes[0]}")
    assert have.to_dict()["method"] == "debugger"
    assert "<table" in have.to_html()


def test_measure_does_without_an_estimate(
    optimized: Path, fresh_plugin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QEMU_SYSTEM_ARM", shutil.which("qemu-system-arm") or "")
    monkeypatch.setattr(profiler, "_load", lambda program, version: (fresh_plugin, "no plugins"))
    data = measure.measure(optimized)
    assert data["instructions"] > 0
    assert data["cycles_estimate"] is None


@needs_riscv
@pytest.mark.parametrize("way", ["plugin", "debugger"])
def test_a_core_without_timings_gets_counts_and_no_cycles(
    way: str, streamed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = boards.get("qemu_rv32")
    if way == "debugger":
        monkeypatch.setattr(profiler, "_load", lambda program, version: (tmp_path, "no plugins"))
        profiler._plugin.cache_clear()
    have = profiling.profile(streamed, "qemu_rv32")
    profiler._plugin.cache_clear()
    assert have.instructions == plain_count(streamed, board, tmp_path)
    assert sum(layer.instructions for layer in have.layers) > have.instructions / 2
    assert have.cycles is None
    assert bool(have.functions) == (way == "plugin")
    assert ("no timings for rv32imc" if way == "plugin" else "no plugins") in have.notes[0]
    data = measure.measure(streamed, "qemu_rv32")
    assert data["bit_exact"]
    assert data["cycles_estimate"] is None
    assert "no estimate: no timings for rv32imc" in measurement_text(data)


def test_a_debugger_that_ends_early_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    loop = firmware.build(write_tiny(tmp_path / "model", LOOP), M4, tmp_path / "out")
    monkeypatch.setenv("QEMU_SYSTEM_ARM", str(_fake_qemu(tmp_path, "no such machine")))
    with pytest.raises(ToolFailed, match=r"takes no debugger(.|\n)*no such machine"):
        debugger.contexts(loop, loop.board, loop_sample(5), [])


def test_a_count_that_does_not_add_up_is_an_error(
    loop: firmware.Firmware, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = profiler._read
    monkeypatch.setattr(profiler, "_read", lambda path: (read(path)[0][1:], {}))
    with pytest.raises(ToolFailed, match="the machine counted"):
        profiler.trace(loop, loop.board, loop_sample(5))
