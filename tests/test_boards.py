"""The table of boards: every row is complete and sane, and unknown names get near ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from tflm_opt import boards
from tflm_opt.errors import TflmOptError, UnknownBoard
from tflm_opt.measure import emulator
from tflm_opt.report.boards import page
from tflm_opt.runtime import machine

EMULATED = {
    "qemu_m0plus": "cortex-m0plus",
    "qemu_m3": "cortex-m3",
    "qemu_m4": "cortex-m4",
    "qemu_m7": "cortex-m7",
    "qemu_rv32": "rv32imc",
}


@pytest.mark.parametrize("board", boards.all(), ids=lambda b: b.id)
def test_row_is_sane(board: boards.Board) -> None:
    assert board.id.isidentifier()
    assert board.name
    assert 16 << 10 <= board.sram <= 16 << 20
    assert board.sram <= board.flash or board.qemu
    assert 10_000_000 <= board.clock_hz <= 1_000_000_000
    named = {f"-mcpu={board.core}", f"-march={board.core}"} & set(board.flags)
    assert named or board.toolchain.id == "xtensa"  # whose compiler is of one core
    assert board.flags[: len(board.toolchain.flags)] == board.toolchain.flags
    if board.qemu or board.emulated_by:
        assert (machine.CORE / board.toolchain.script).is_file()
        assert board.toolchain.emulator
    assert board.toolchain.install.startswith(("apt-get install ", "pio pkg install "))
    assert (board.platformio is None) != (board.qemu is None)
    flash = board.flash_reads
    assert 0 <= flash.wait_states <= 64
    assert flash.line <= flash.data_cache
    assert flash.data_cache % flash.line == 0
    assert flash.wait_states == 0 or board.qemu is None
    if board.platformio:
        assert board.platformio.framework in ("stm32cube", "arduino", "mbed")


@pytest.mark.parametrize("board", [b for b in boards.all() if b.qemu], ids=lambda b: b.id)
def test_emulated_memory_does_not_overlap(board: boards.Board) -> None:
    qemu = board.qemu
    assert qemu is not None
    flash = range(qemu.flash_origin, qemu.flash_origin + board.flash)
    ram = range(qemu.ram_origin, qemu.ram_origin + board.sram)
    vectors = range(qemu.vectors, qemu.vectors + 0x400)
    for a, b in ((flash, ram), (flash, vectors), (ram, vectors)):
        assert a.stop <= b.start or b.stop <= a.start
    assert (1 << 7) * qemu.timer_hz > 2 * 10**9  # over two ticks an instruction: see runtime.qemu


def test_cores_find_their_emulator() -> None:
    assert {b.id: b.core for b in boards.all() if b.id in EMULATED} == EMULATED
    assert boards.get("nucleo_f446re").emulated_by == "qemu_m4"
    assert boards.get("disco_f746ng").emulated_by == "qemu_m7"
    assert boards.get("qemu_m55").emulated_by == "qemu_m55"
    assert boards.get("pico").emulated_by == "qemu_m0plus"
    assert boards.get("esp32_c3_devkitm_1").emulated_by == "qemu_rv32"
    assert boards.get("nucleo_u575zi_q").emulated_by is None
    with pytest.raises(TflmOptError, match=r"esp32_s3_devkitc_1 \(xtensa-lx7\); there are qemu_m0"):
        emulator("esp32_s3_devkitc_1")


def test_the_page_is_up_to_date() -> None:
    kept = Path(__file__).resolve().parents[1] / "docs" / "boards.md"
    assert kept.read_text("utf-8") == page(), "run: tflm-opt boards --markdown > docs/boards.md"


def test_known_figures() -> None:
    assert boards.get("disco_f746ng").sram == 320 * 1024
    assert boards.get("nucleo_f446re").sram == 128 * 1024
    assert boards.get("nano33ble").clock_hz == 64_000_000
    assert sum(b.platformio is not None for b in boards.all()) >= 16
    names = [(b.platformio.platform, b.platformio.board) for b in boards.all() if b.platformio]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("nucleo_f446", "nucleo_f446re"),
        ("QEMU-M4", "qemu_m4"),
        ("f746", "disco_f746ng"),
        ("stm32h743", "nucleo_h743zi"),
        ("nano33", "nano33ble"),
        ("disko", "disco_f746ng"),
        ("teensie", "teensy41"),
        ("esp32s3", "esp32_s3_devkitc_1"),
        ("xiao", "xiao_nrf52840"),
        ("rp2350", "pico2"),
        ("pico_2", "pico2"),
    ],
)
def test_unknown_board_names_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(UnknownBoard, match=nearest) as caught:
        boards.get(name)
    assert caught.value.nearest[0] == nearest


def test_unknown_board_far_from_all() -> None:
    with pytest.raises(UnknownBoard, match="tflm-opt boards") as caught:
        boards.get("zzzz")
    assert caught.value.nearest == ()
