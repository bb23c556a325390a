"""Applications in Edge Impulse's style build on our library, unchanged, and get our scores.

The applications are in edge_impulse_apps/. They use what Edge Impulse documents of its SDK.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from functools import cache
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from impulse_models import (
    APPS,
    CXX,
    WARNINGS,
    dots,
    in_docs,
    macros,
    packed,
    pixels,
    real,
    scratch,
    sounds,
)
from saved_model import LABELS, kept, result, run, saved

from tflm_opt import boards
from tflm_opt.export import export_saved
from tflm_opt.runtime import machine

QEMU = boards.get("qemu_m4")
PORTING = "edge-impulse-sdk/porting/posix/ei_classifier_porting.cpp"
SOUNDS = ("%s%n", '"*/', "no\\", "??/")


def _has_arm() -> bool:
    """The compiler with its C++ library, which Debian has in a package of its own, and QEMU."""
    compiler = shutil.which("arm-none-eabi-g++")
    if not (compiler and shutil.which("qemu-system-arm")):
        return False
    command = [compiler, "-xc++", "-E", "-"]
    asked = subprocess.run(
        command, input=b"#include <functional>", capture_output=True, check=False
    )
    return asked.returncode == 0


needs_arm = pytest.mark.skipif(
    not _has_arm(), reason="needs the Arm compiler with libstdc++, and qemu-system-arm"
)


def paste(app: str, numbers: np.ndarray, target: Path) -> Path:
    """An application with features pasted into it, as a person does."""
    text = (APPS / app).read_text("utf-8")
    words = ", ".join(str(float(number)) for number in numbers.ravel())
    assert "// paste features here" in text
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text.replace("// paste features here", words))
    return target


def printed_scores(said: str) -> np.ndarray:
    lines = [line for line in said.splitlines() if line.startswith("score ")]
    bits = [int(line.rsplit(" = ", 1)[1], 16) for line in lines]
    return np.array(bits, np.uint32).view(np.float32)


# What Makefiles for Edge Impulse's library compile: files by name and by pattern.
MAKEFILE = """\
CXXFLAGS += -std=c++11 -I. -Os -DNDEBUG
SDK = edge-impulse-sdk
C = $(SDK)/tensorflow/lite/c/common.c $(wildcard $(SDK)/CMSIS/DSP/Source/*/*.c)
CPP = $(wildcard source/*.cpp) $(wildcard tflite-model/*.cpp) $(wildcard $(SDK)/dsp/*/*.cpp)
CPP += $(wildcard $(SDK)/porting/posix/*.c*)
app: $(C:.c=.o) $(CPP:.cpp=.o)
	$(CXX) $^ -lm -o $@
"""
IMAGE = pixels((12, 12, 3), seed=4)


@cache
def project() -> Path:
    """A project with such a Makefile, the streamed model's zip unpacked in it, built."""
    archive = export_saved(saved(True), "edge-impulse", scratch() + "/small.zip", labels=LABELS)
    out = Path(scratch())
    with zipfile.ZipFile(archive) as whole:
        whole.extractall(out)
    paste("standalone.cpp", packed(IMAGE), out / "source" / "main.cpp")
    (out / "Makefile").write_text(MAKEFILE)
    run("make", "-j2", "app", cwd=out)
    run("ar", "rcs", out / "lib.a", *out.rglob("tflite-model/*.o"), *out.rglob("posix/*.o"))
    return out


@cache
def library(kind: str) -> Path:
    """An exported library, and lib.a made of it for this computer with all warnings."""
    out = Path(scratch()) / kind
    if kind == "dots":
        names = ("background", "left", "right")
        source = kept(dots())
        export_saved(source, "edge-impulse", out, sensor="camera", labels=names, threshold=0.37)
    elif kind == "floats":
        export_saved(kept(sounds("float32")), "edge-impulse", out)
    else:
        export_saved(saved(), "edge-impulse", out, labels=LABELS)
    objects = Path(scratch())
    sources = [*sorted(out.glob("tflite-model/*.cpp")), out / PORTING]
    run("g++", *CXX, *WARNINGS, f"-I{out}", "-c", *sources, cwd=objects)
    run("ar", "rcs", out / "lib.a", *sorted(objects.glob("*.o")))
    return out


@cache
def exact(kind: str) -> Path:
    """exact.cpp built on a library."""
    out = project() if kind == "streamed" else library(kind)
    program = Path(scratch()) / "exact"
    flags = (*CXX, "-Wall", "-Wextra", "-Werror", f"-I{out}")
    sources = (APPS / "exact.cpp", APPS / "second.cpp")
    run("g++", *flags, *sources, out / "lib.a", "-lm", "-o", program)
    return program


def answers(program: Path, data: np.ndarray, *words: str) -> list[list[str]]:
    """What a program prints, words of lines, with float32 numbers on its standard input."""
    done = subprocess.run(
        [str(program), *words],
        input=data.tobytes(),
        stdout=subprocess.PIPE,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout
    return [line.split() for line in done.stdout.decode().splitlines()]


def scores(line: Sequence[str]) -> np.ndarray:
    assert line[0] == "0", line
    return np.array([float.fromhex(word) for word in line[1:]], np.float32)


@pytest.mark.parametrize("kind", ["resident", "streamed"])
def test_scores_are_those_of_predict(kind: str) -> None:
    images = pixels((12, 12, 12, 3))
    images[-1], images[-2] = 0, 255
    words = ["buffer", "callback", "second"] * 4
    wanted = result(kind == "streamed").predict(real(images))
    found = [scores(line) for line in answers(exact(kind), packed(images), *words)]
    assert np.array_equal(np.array(found), wanted)
    assert np.unique(wanted).size > 8


@pytest.mark.parametrize("kind", ["resident", "streamed"])
def test_a_callback_that_fails_and_a_call_that_is_canceled(kind: str) -> None:
    """Nothing of a failed call is left in the next one."""
    images = pixels((4, 12, 12, 3))
    wanted = result(kind == "streamed").predict(real(images))
    words = ("fail", "buffer", "cancel", "short")
    found = answers(exact(kind), packed(images), *words)
    assert [line[0] for line in found] == ["-5", "0", "-2", "-1"]
    assert np.array_equal(scores(found[1]), wanted[1])


@pytest.mark.parametrize("kind", ["resident", "streamed"])
def test_features_of_ones_own(kind: str) -> None:
    values = np.random.default_rng(1).uniform(-1.1, 1.1, (3, 12, 12, 3)).astype(np.float32)
    (found,) = answers(exact(kind), values[:1], "features")
    assert np.array_equal(scores(found), result(kind == "streamed").predict(values)[0])


def test_floats_stay_floats() -> None:
    values = np.random.default_rng(1).uniform(-1.1, 1.1, (4, 96)).astype(np.float32)
    found = answers(exact("floats"), values, "callback", "features", "second", "buffer")
    wanted = sounds("float32").predict(values)
    assert wanted.dtype == np.float32
    assert np.array_equal([scores(line) for line in found], wanted)
    assert macros(library("floats"))["EI_CLASSIFIER_TFLITE_INPUT_QUANTIZED"] == "0"


def test_slices_that_fail() -> None:
    """A window with a hole is none: it starts anew. What is too long is refused."""
    values = np.random.default_rng(2).uniform(-1, 1, (6, 96)).astype(np.float32)
    words = ("slices", "broken", "slices", "long", "again", "slices")
    found = answers(exact("floats"), values, *words)
    wanted = sounds("float32").predict(values)
    assert [line[0] for line in found] == ["0", "0", "0", "-24", "0", "0"]
    for at in (0, 2, 5):
        assert np.array_equal(scores(found[at]), wanted[at])
    for at in (1, 4):  # one slice is in the new window
        assert not scores(found[at]).any()
    said, code = answers(exact("dots"), np.zeros(384, np.float32), "slices")
    assert "camera" in said
    assert code == ["-8"]  # exact.cpp's word for an error that was not asked for


def luma(image: np.ndarray) -> np.ndarray:
    """ITU-R 601-2 as image libraries compute it."""
    red, green, blue = (image[..., c].astype(np.int64) for c in range(3))
    return (red * 19595 + green * 38470 + blue * 7471 + 32768) >> 16


Box = tuple[int, int, int, int, float]  # left, top, right, bottom in cells; value


def touch(a: Box, b: Box) -> bool:
    return a[0] <= b[2] and b[0] <= a[2] and a[1] <= b[3] and b[1] <= a[3]


def boxes(values: np.ndarray, threshold: float) -> list[Box]:
    """Cells at the threshold, joined pair by pair while any two touch."""
    parts: list[Box] = [
        (x, y, x + 1, y + 1, float(values[y, x]))
        for y, x in np.argwhere(values >= np.float32(threshold)).tolist()
    ]
    while near := next((pair for pair in combinations(parts, 2) if touch(*pair)), None):
        a, b = near
        parts.remove(a)
        parts.remove(b)
        corner, end = (min(a[0], b[0]), min(a[1], b[1])), (max(a[2], b[2]), max(a[3], b[3]))
        parts.append((*corner, *end, max(a[4], b[4])))
    return sorted(parts)


def test_boxes_of_a_map() -> None:
    count = 24
    images = pixels((count, 16, 24, 3), seed=2)
    images[:4, ..., 1:] = images[:4, ..., :1]  # gray stays what it is
    assert np.array_equal(luma(images[:4]), images[:4, ..., 0])
    gray = luma(images).astype(np.float32)[..., np.newaxis] / np.float32(255)
    maps = dots().predict(gray)
    lines = answers(exact("dots"), packed(images), *["run"] * count)
    seen = set()
    for line, values in zip(lines, maps, strict=True):
        found: dict[str, list[Box]] = {"left": [], "right": []}
        for word in line[1:]:
            name, *rectangle, value = word.split(",")
            x, y, width, height = (int(number) // 4 for number in rectangle)
            assert [4 * x, 4 * y, 4 * width, 4 * height] == [int(number) for number in rectangle]
            found[name].append((x, y, x + width, y + height, float.fromhex(value)))
        assert sorted(found["left"]) == boxes(values[..., 1], 0.37)
        assert sorted(found["right"]) == boxes(values[..., 2], 0.37)
        seen.add(len(line) - 1)
    assert len(seen) > 2


def test_the_program_in_the_docs() -> None:
    main = Path(scratch()) / "main.cpp"
    main.write_text(in_docs("cpp"))
    out = library("resident")
    run("g++", *CXX, *WARNINGS, f"-I{out}", main, out / "lib.a", "-o", main.with_suffix(""))
    said = run(main.with_suffix(""))
    black = result().predict(np.full((1, 12, 12, 3), -1, np.float32))[0]
    assert f"  {LABELS[3]}: {black[3]:.6f}\n" in said


@pytest.mark.parametrize("pointer", [0, 1])
def test_the_plain_function(pointer: int) -> None:
    """ei_run_classifier, whatever signal_t is in the source that calls it."""
    out, folder = library("resident"), Path(scratch())
    main = paste("plain.cpp", packed(IMAGE), folder / "plain.cpp")
    macro = f"-DEIDSP_SIGNAL_C_FN_POINTER={pointer}"
    run("g++", *CXX, *WARNINGS, macro, f"-I{out}", main, out / "lib.a", "-o", folder / "plain")
    scores = printed_scores(run(folder / "plain"))
    assert np.array_equal(scores, result().predict(real(IMAGE))[0])


def test_a_makefile_for_edge_impulse_builds_the_zip() -> None:
    out = project()
    assert {path.name for path in out.iterdir() if not path.name.startswith(".")} == {
        *("edge-impulse-sdk", "model-parameters", "tflite-model", "CMakeLists.txt", "README.md"),
        *("Makefile", "source", "app", "lib.a"),
    }
    said = run(out / "app")
    assert "run_classifier returned: 0\nTiming: DSP " in said
    assert "Classification predictions:\n  zero: 0." in said
    assert np.array_equal(printed_scores(said), result(True).predict(real(IMAGE))[0])
    assert f"score {LABELS[2]} = " in said
    assert f"score {LABELS[5]} = " in said


@pytest.mark.skipif(not shutil.which("cmake"), reason="needs cmake")
def test_continuous_audio_with_cmake(tmp_path: Path) -> None:
    """Windows of the last four slices; values are means of the last two results."""
    out = tmp_path / "model"
    export_saved(
        *(kept(sounds()), "edge-impulse", out),
        sensor="microphone",
        frequency=16000,
        labels=SOUNDS,
    )
    (tmp_path / "CMakeLists.txt").write_text(in_docs("cmake"))
    shutil.copy(APPS / "microphone.cpp", tmp_path / "main.cpp")
    build = tmp_path / "build"
    run("cmake", "-S", tmp_path, "-B", build)
    run("cmake", "--build", build, "-j2")
    slices = np.random.default_rng(5).integers(-32768, 32768, (11, 24), dtype=np.int16)
    first, *lines = answers(build / "app", slices)
    assert " ".join(first) == "interval: 0.0625 ms, rate: 16000, window: 96, classes: 4"
    assert len(lines) == 11
    windows = [slices[at - 3 : at + 1].reshape(96) for at in range(3, 11)]
    each = sounds().predict(np.array(windows, np.float32) / np.float32(32768))
    means = np.array([(each[max(at - 1, 0)] + each[at]) / np.float32(2) for at in range(8)])
    found = np.array([[float.fromhex(word) for word in line[:4]] for line in lines], np.float32)
    assert not found[:3].any()
    assert np.array_equal(found[3:], means)
    assert [line[4] for line in lines] == smoothed([np.zeros(4)] * 3 + list(means))
    assert len({line[4] for line in lines}) > 1


def smoothed(values: Sequence[np.ndarray]) -> list[str]:
    """A label once two of the last three results have it at 0.4 or more."""
    sure = [[*np.flatnonzero(v >= np.float32(0.4)), -1] for v in values]
    last = [int(labels[-2]) if len(labels) > 1 else -1 for labels in sure]
    said = []
    for at in range(len(last)):
        recent = last[max(at - 2, 0) : at + 1]
        agreed = [label for label in set(recent) if label >= 0 and recent.count(label) >= 2]
        said.append(SOUNDS[agreed[0]] if agreed else "uncertain")
    return said


def in_qemu(build: Path, *parts: Path | str) -> str:
    """Link C++ with the emulated board's core, and run it: what it prints."""
    script, elf = build / "board.ld", build / "program.elf"
    script.write_text(machine.linker_script(QEMU))
    defines = [f"-D{macro}" for macro in machine.defines(QEMU)]
    for source in sorted(machine.CORE.glob("*.c")):
        target = build / f"core_{source.stem}.o"
        run("arm-none-eabi-gcc", *QEMU.flags, *defines, "-O1", "-c", source, "-o", target)
    run(
        *("arm-none-eabi-g++", *QEMU.flags, *parts, *sorted(build.glob("core_*.o"))),
        *(*machine.LINK_FLAGS, f"-T{script}", "-lm", "-o", elf),
    )
    return run("qemu-system-arm", *machine.arguments(QEMU), "-kernel", elf, cwd=build)


def compiled(build: Path, *arguments: Path | str) -> list[Path]:
    """Objects of C++ for the emulated board."""
    build.mkdir(parents=True, exist_ok=True)
    flags = ("-fno-exceptions", "-fno-rtti", "-fno-threadsafe-statics", "-ffunction-sections")
    run("arm-none-eabi-g++", *QEMU.flags, *flags, "-c", *arguments, cwd=build)
    return sorted(build.glob("*.o"))


@needs_arm
@pytest.mark.qemu
def test_standalone_on_a_board(tmp_path: Path) -> None:
    """The streamed model, on the DSP extension's kernels."""
    root = tmp_path / "p"
    export_saved(saved(True), "edge-impulse", root, labels=LABELS)
    (image,) = pixels((1, 12, 12, 3), seed=6)
    app = paste("standalone.cpp", packed(image), tmp_path / "main.cpp")
    objects = compiled(
        *(tmp_path / "o", "-std=c++11", "-O2", *WARNINGS, f"-I{root}", app),
        *(*root.glob("tflite-model/*.cpp"), root / PORTING),
    )
    library = [path for path in objects if path.name != "main.o"]
    sizes = run("arm-none-eabi-size", *library).splitlines()[1:]
    ram = sum(int(number) for line in sizes for number in line.split()[1:3])
    assert result(True).plan.peak <= ram <= result(True).plan.peak + 64  # no frame, no rows
    said = in_qemu(tmp_path, *objects)
    assert np.array_equal(printed_scores(said), result(True).predict(real(image))[0])


@needs_arm
@pytest.mark.qemu
def test_a_camera_sketch_for_arduino(tmp_path: Path) -> None:
    """As the IDE builds: everything in src/, into an archive, with its flags and its macros."""
    archive = export_saved(saved(), "edge-impulse-arduino", tmp_path / "small.zip", labels=LABELS)
    with zipfile.ZipFile(archive) as whole:
        whole.extractall(tmp_path)
        assert {name.split("/")[0] for name in whole.namelist()} == {"small_inferencing"}
    root = tmp_path / "small_inferencing"
    properties = (root / "library.properties").read_text("utf-8").splitlines()
    assert {"name=small_inferencing", "includes=small_inferencing.h"} <= set(properties)
    sources = [*root.rglob("src/**/*.cpp")]
    assert len({source.name for source in sources}) == len(sources)
    assert not [*root.rglob("src/**/*.c")]
    flags = ("-std=gnu++11", "-Os", "-DARDUINO=10819", f"-I{root / 'src'}", f"-I{APPS}")
    objects = compiled(tmp_path / "o", *flags, *WARNINGS, *sources)
    run("arm-none-eabi-ar", "rcs", tmp_path / "lib.a", *objects)
    board = compiled(
        *(tmp_path / "s", *flags, "-include", "Arduino.h", "-Wall", "-Wextra", "-Werror"),
        *(APPS / "board.cpp", "-x", "c++", APPS / "camera.ino"),
    )
    said = in_qemu(tmp_path, *board, tmp_path / "lib.a")
    x, y, c = np.arange(12)[None, :, None], np.arange(12)[:, None, None], np.arange(3)
    image = ((x * 37 + y * 101 + c * 59) & 255).astype(np.uint8)
    wanted = result().predict(real(image))[0]
    # The clock moves by 4 ms at each reading.
    assert [line.strip() for line in said.splitlines()] == [
        "Starting inference",
        "Predictions (DSP: 4 ms., Classification: 8 ms., Anomaly: 0 ms.):",
        *(f"{name}: {score:.6f}" for name, score in zip(LABELS, wanted, strict=True)),
    ]
    example = root / "examples" / "static_buffer" / "static_buffer.ino"
    compiled(tmp_path / "e", *flags, "-include", "Arduino.h", *WARNINGS, "-x", "c++", example)
