"""The audio front end: Python and C agree bit for bit, and both with floating point."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tflm_opt import audio, boards
from tflm_opt.audio import MelFrontEnd
from tflm_opt.errors import TflmOptError
from tflm_opt.runtime import machine

FRONT_ENDS = {
    "default": MelFrontEnd(),
    "telephone": MelFrontEnd(8_000, 256, 128, 16, 50, 4_000),
    "odd": MelFrontEnd(16_000, 999, 333, 37, 101, 7_999, levels=16, middle=30),
    "tiny": MelFrontEnd(1_000, 16, 5, 3, 0, 500, levels=1, middle=20),
    "largest": MelFrontEnd(44_100, 4_096, 4_096, 128, 0, 22_050, levels=256, middle=34),
}
WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wpedantic", "-Werror")


def signals(window: int, count: int, seed: int = 0) -> np.ndarray:
    """Frames of all kinds at all levels, then the extreme ones: int16 (count + 5, window)."""
    rng = np.random.default_rng(seed)
    t = np.arange(window)
    kinds = (
        lambda loud: rng.normal(0, loud / 3, window),
        lambda loud: loud * np.sin(t * rng.uniform(0, np.pi) + rng.uniform(0, 7)),
        lambda loud: np.full(window, loud * rng.choice([-1, 1])),
        lambda loud: loud * np.sign(np.sin(t * rng.uniform(0, np.pi))),
        lambda _: rng.choice([-32768.0, 32767.0], window),
        lambda loud: (rng.random(window) < 0.01) * loud,
        lambda loud: np.cumsum(rng.normal(0, loud / 20, window)),
        lambda _: rng.integers(-2, 3, window).astype(float),
    )
    frames = [kinds[i % len(kinds)](2 ** rng.uniform(0, 15)) for i in range(count)]
    frames += [np.zeros(window), np.full(window, -32768), np.full(window, 32767)]
    frames += [np.where(t % 2, 32767, -32768), np.where(t == window // 2, -32768, 0)]
    return np.clip(np.rint(np.stack(frames)), -32768, 32767).astype(np.int16)


class Compiled:
    """The generated C, built for this computer with the undefined-behaviour sanitizer."""

    def __init__(self, mel: MelFrontEnd, folder: Path) -> None:
        _, source = audio.write_c(mel, folder)
        library = folder / "mel.so"
        flags = ["-std=c99", "-O1", *WARNINGS, "-fsanitize=undefined", "-fno-sanitize-recover"]
        command = ["gcc", *flags, "-shared", "-fPIC", str(source), "-o", str(library)]
        subprocess.run(command, check=True)
        self.mel = mel
        self.library = ctypes.CDLL(str(library))
        self.state = ctypes.create_string_buffer(2 * mel.window + 2 * mel.size + 64)

    def row(self, frame: np.ndarray) -> np.ndarray:
        row = np.zeros(self.mel.bands, np.int8)
        self.library.mel_row(self.state, _pointer(frame), _pointer(row))
        return row

    def push(self, samples: np.ndarray) -> tuple[int, np.ndarray | None]:
        row, ready = np.zeros(self.mel.bands, np.int8), ctypes.c_int(-1)
        taken = self.library.mel_push(
            self.state, _pointer(samples), len(samples), _pointer(row), ctypes.byref(ready)
        )
        assert ready.value in (0, 1)
        return taken, row if ready.value else None


def _pointer(array: np.ndarray) -> ctypes.c_void_p:
    return array.ctypes.data_as(ctypes.c_void_p)


def rows(mel: MelFrontEnd, frames: np.ndarray) -> np.ndarray:
    """Features of frames that don't overlap."""
    return np.concatenate([mel.features(frame) for frame in frames])


@pytest.mark.parametrize("name", FRONT_ENDS)
def test_c_and_python_agree(name: str, tmp_path: Path) -> None:
    mel = FRONT_ENDS[name]
    frames = signals(mel.window, 1_000 if name == "default" else 100)
    compiled = Compiled(mel, tmp_path)
    expected = rows(mel, frames)
    for frame, row in zip(frames, expected, strict=True):
        np.testing.assert_array_equal(compiled.row(frame), row)
    assert len(np.unique(expected)) > min(20, 2 * mel.bands)


def test_samples_come_in_any_pieces(tmp_path: Path) -> None:
    mel = MelFrontEnd()
    samples = signals(16_000, 8)[1]
    compiled = Compiled(mel, tmp_path)
    rng = np.random.default_rng(1)
    for most in (1, 7, 320, 5_000, 16_000):
        compiled.library.mel_init(compiled.state)
        found, at = [], 0
        while at < samples.size:
            taken, row = compiled.push(samples[at : at + int(rng.integers(0, most + 1))])
            at += taken
            found += [] if row is None else [row]
        np.testing.assert_array_equal(found, mel.features(samples))


@pytest.mark.parametrize("name", ["default", "telephone", "odd"])
def test_loud_bands_are_what_floating_point_gives(name: str) -> None:
    """Within a level, where a band is at most 40 dB below the loudest bin.

    Not for lone impulses: their energy is in all bins alike, of which few bits are left in each.
    """
    mel = FRONT_ENDS[name]
    frames = signals(mel.window, 400, seed=2)
    frames = frames[np.arange(len(frames)) % 8 != 5]
    turn = 2 * np.pi * (np.arange(mel.window) + 0.5) / mel.window
    windowed = frames * np.rint((0.5 - 0.5 * np.cos(turn)) * 32767) / 32768
    power = np.abs(np.fft.rfft(windowed, mel.size)) ** 2 / (mel.size / 2) ** 2
    hertz = np.arange(mel.size // 2 + 1) * mel.rate / mel.size
    scale = 2595 * np.log10(1 + np.array([mel.low, mel.high]) / 700)
    edges = 700 * (10 ** (np.linspace(*scale, mel.bands + 2) / 2595) - 1)
    filters = [
        np.interp(2595 * np.log10(1 + hertz / 700), 2595 * np.log10(1 + edges[i : i + 3] / 700), t)
        for i, t in enumerate([(0.0, 1.0, 0.0)] * mel.bands)
    ]
    sums = power @ np.array(filters).T * 2**15
    real = (np.log2(np.maximum(sums, 1e-9)) - mel.middle) * mel.levels
    loudest = power.max(axis=1, keepdims=True) * 2**15
    loud = (sums > loudest * 10**-4.0) & (abs(real) < 127)
    difference = np.abs(rows(mel, frames) - real)[loud]
    assert loud.mean() > 0.15
    assert difference.max() < 1.0 + mel.levels / 16
    assert difference.mean() < 0.35


def test_louder_is_more_by_as_many_levels() -> None:
    mel = MelFrontEnd()
    noise = np.random.default_rng(3).normal(0, 500, 480)
    quiet, loud = (mel.features(np.rint(noise * f).astype(np.int16)) for f in (1, 4))
    np.testing.assert_allclose(loud.astype(int) - quiet, 4 * mel.levels, atol=1)


def test_a_tone_is_in_its_band() -> None:
    mel = MelFrontEnd()
    t = np.arange(480) / mel.rate
    tops = [
        int(mel.features(np.rint(8_000 * np.sin(2 * np.pi * hz * t)).astype(np.int16)).argmax())
        for hz in (300, 700, 1_500, 3_000, 6_000)
    ]
    assert tops == sorted(set(tops))


def test_frames_are_counted() -> None:
    mel = MelFrontEnd()
    assert [mel.frames(n) for n in (0, 479, 480, 799, 800, 16_000)] == [0, 0, 1, 1, 2, 49]
    assert mel.features(np.zeros(100, np.int16)).shape == (0, 40)
    assert (mel.features(np.zeros(480, np.int16)) == -128).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"window": 8}, "no front end"),
        ({"window": 5_000}, "no front end"),
        ({"stride": 481}, "no front end"),
        ({"high": 9_000}, "no front end"),
        ({"bands": 0}, "no front end"),
        ({"bands": 128}, "falls into band"),
        ({"levels": 3}, "power of two"),
    ],
)
def test_bad_front_ends(changes: dict[str, int], message: str) -> None:
    with pytest.raises(TflmOptError, match=message):
        MelFrontEnd(**changes)


@pytest.mark.parametrize("bad", [np.zeros(9), np.zeros((2, 9), np.int16), np.zeros(9, np.int32)])
def test_bad_samples(bad: np.ndarray) -> None:
    with pytest.raises(TflmOptError, match="int16 of one dimension"):
        MelFrontEnd().features(bad)


def test_a_bad_name(tmp_path: Path) -> None:
    with pytest.raises(TflmOptError, match="can't name"):
        audio.write_c(MelFrontEnd(), tmp_path, "my mel")
    assert list(tmp_path.iterdir()) == []


def test_the_same_bytes_each_time(tmp_path: Path) -> None:
    one, two = (audio.write_c(MelFrontEnd(), tmp_path / name) for name in ("one", "two"))
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]


@pytest.mark.qemu
@pytest.mark.skipif(
    not (shutil.which("arm-none-eabi-gcc") and shutil.which("qemu-system-arm")),
    reason="needs the Arm compiler and qemu-system-arm",
)
def test_on_a_board(tmp_path: Path) -> None:
    """The same rows on a Cortex-M4, and as C++."""
    mel, board = MelFrontEnd(), boards.get("qemu_m4")
    header, source = audio.write_c(mel, tmp_path)
    frames = signals(mel.window, 16, seed=4)
    expected = rows(mel, frames)
    (tmp_path / "frames.h").write_text(
        f"static const int16_t frames[][480] = {{{_nested(frames)}}};\n"
        f"static const int8_t expected[][40] = {{{_nested(expected)}}};\n"
    )
    (tmp_path / "main.c").write_text(
        f'#include "{header.name}"\n#include "frames.h"\n#include <stdio.h>\n#include <string.h>\n'
        "static mel_state state;\n"
        "int main(void) { int8_t row[MEL_BANDS]; int wrong = 0; unsigned i;\n"
        f"    for (i = 0; i < {len(frames)}; i++) {{ mel_row(&state, frames[i], row);\n"
        "        wrong += memcmp(row, expected[i], sizeof row) != 0; }\n"
        '    printf("%d wrong\\n", wrong); return wrong; }\n'
    )
    (tmp_path / "board.ld").write_text(machine.linker_script(board))
    compiler = ["arm-none-eabi-gcc", *board.flags, "-O2", *WARNINGS, f"-I{machine.CORE}"]
    subprocess.run([*compiler, "-x", "c++", "-std=c++11", "-c", str(source), "-o",
                    str(tmp_path / "cpp.o")], check=True)  # fmt: skip
    core = [str(path) for path in sorted(machine.CORE.glob("*.c"))]
    command = [
        *("arm-none-eabi-gcc", *board.flags, "-O2", f"-I{machine.CORE}"),
        *(f"-D{macro}" for macro in machine.defines(board)),
        *(str(tmp_path / "main.c"), str(source), *core, *machine.LINK_FLAGS),
        *(f"-T{tmp_path / 'board.ld'}", "-o", str(tmp_path / "p.elf")),
    ]
    subprocess.run(command, check=True)
    run = ["qemu-system-arm", *machine.arguments(board), "-kernel", str(tmp_path / "p.elf")]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert "0 wrong" in done.stdout + done.stderr


def _nested(rows: np.ndarray) -> str:
    return ", ".join("{" + ", ".join(map(str, row)) + "}" for row in rows.tolist())
