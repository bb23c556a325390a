"""Plain C, CMake and Arduino: each builds from an empty folder, runs, and equals TFLM."""

from __future__ import annotations

import json
import re
import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from arduino_core import ARDUINO, SKETCH
from saved_model import LABELS, files, run, saved
from two_models import SHARED, run_alone

import tflm_opt
from tflm_opt import boards, cli
from tflm_opt.boards import Board
from tflm_opt.errors import InvalidModel, OutputExists, TflmOptError, UnknownBoard
from tflm_opt.export import KINDS, export_saved, package
from tflm_opt.runtime import machine

QEMU = boards.get("qemu_m4")
WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror")

needs_arm = pytest.mark.skipif(
    not (shutil.which("arm-none-eabi-gcc") and shutil.which("qemu-system-arm")),
    reason="needs the Arm compiler and qemu-system-arm",
)


def passed(text: str) -> bool:
    return f"PASS: {package.VECTORS} of {package.VECTORS} vectors" in text


def in_qemu(board: Board, out: Path, *sources: Path | str, flags: tuple[str, ...] = ()) -> str:
    """Build a program from C sources and the emulated board's core; what it prints."""
    out.mkdir(parents=True, exist_ok=True)
    script, elf = out / "board.ld", out / "program.elf"
    script.write_text(machine.linker_script(board))
    core = sorted(machine.CORE.glob("*.c"))
    defines = [f"-D{macro}" for macro in machine.defines(board)]
    run(
        *("arm-none-eabi-gcc", *board.flags, "-O2", *defines, f"-I{machine.CORE}", *flags),
        *(*sources, *core, *machine.LINK_FLAGS, f"-T{script}", "-lm", "-o", elf),
    )
    return run("qemu-system-arm", *machine.arguments(board), "-kernel", elf, cwd=out)


@pytest.mark.parametrize("streamed", [False, True])
def test_plain_c_runs_on_this_computer(streamed: bool, tmp_path: Path) -> None:
    out = export_saved(saved(streamed), "c", tmp_path / "p", name="other", labels=LABELS)
    assert passed(run("make", "run", f"CFLAGS={' '.join(WARNINGS)}", cwd=out))
    export_saved(saved(streamed), "c", out)  # what was built doesn't make the folder not ours


@needs_arm
@pytest.mark.qemu
@pytest.mark.parametrize("streamed", [False, True])
def test_plain_c_runs_on_a_board(streamed: bool, tmp_path: Path) -> None:
    out = export_saved(saved(streamed), "c", tmp_path / "p")
    sources = [*out.rglob("src/**/*.c"), *out.glob("test/*.c")]
    said = in_qemu(QEMU, tmp_path / "build", *sources, flags=(f"-I{out / 'include'}",))
    assert passed(said)


@pytest.mark.skipif(not shutil.which("cmake"), reason="needs cmake")
def test_cmake_runs_on_this_computer_and_as_a_part(tmp_path: Path) -> None:
    out = export_saved(saved(), "cmake", tmp_path / "p", labels=LABELS)
    build = tmp_path / "build"
    run("cmake", "-S", out, "-B", build, f"-DCMAKE_C_FLAGS={' '.join(WARNINGS)}")
    run("cmake", "--build", build, "-j2")
    assert passed(run("ctest", "--test-dir", build, "-V"))
    app = tmp_path / "app"
    app.mkdir()
    (app / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.13)\nproject(app C)\n"
        f"add_subdirectory({out} model)\nadd_executable(app app.c)\n"
        "target_link_libraries(app PRIVATE small)\n"
    )
    (app / "app.c").write_text(
        '#include "small.h"\n#include "small_labels.h"\n#include <stdio.h>\n'
        "int main(void) { puts(small_labels[2]); puts(small_labels[5]); puts(small_labels[6]);\n"
        "    return small_init() + small_invoke(); }\n"
    )
    run("cmake", "-S", app, "-B", app / "build", "-DCMAKE_BUILD_TYPE=Debug")
    run("cmake", "--build", app / "build")
    assert run(app / "build" / "app").splitlines() == ['a "quoted" one', "fünf", "six?"]


@needs_arm
@pytest.mark.qemu
@pytest.mark.skipif(not shutil.which("cmake"), reason="needs cmake")
def test_cmake_presets_run_on_emulated_boards(tmp_path: Path) -> None:
    out = export_saved(saved(), "cmake", tmp_path / "p")
    presets = json.loads((out / "CMakePresets.json").read_text())
    names = [preset["name"] for preset in presets["configurePresets"]]
    assert names == [board.id for board in boards.all() if board.qemu]
    for name in ("qemu_m4", "qemu_m55", "qemu_rv32"):
        run("cmake", "--preset", name, cwd=out)
        run("cmake", "--build", "--preset", name, "-j2", cwd=out)
        assert passed(run("ctest", "--preset", name, cwd=out))


@needs_arm
@pytest.mark.qemu
def test_arduino_library_builds_as_the_ide_does(tmp_path: Path) -> None:
    """Only src/ is searched; C and C++ with the IDE's flags; objects archived one by one."""
    archive = export_saved(saved(), "arduino", tmp_path / "small.zip", labels=LABELS)
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(tmp_path)
        assert {name.split("/")[0] for name in packed.namelist()} == {"small"}
    root, build = tmp_path / "small", tmp_path / "build"
    build.mkdir()
    words = (root / "library.properties").read_text("utf-8")
    properties = dict(line.split("=", 1) for line in words.splitlines())
    assert properties["dot_a_linkage"] == "true"
    assert properties["includes"] == "small.h"
    flags = [*QEMU.flags, "-Os", "-DARDUINO=10819", f"-I{root / 'src'}", f"-I{machine.CORE}"]
    sources = sorted((root / "src").rglob("*.c"))
    for number, source in enumerate(sources):
        target = build / f"{number}" / f"{source.name}.o"
        target.parent.mkdir()
        run("arm-none-eabi-gcc", *flags, "-std=gnu11", *WARNINGS, "-c", source, "-o", target)
        run("arm-none-eabi-ar", "rcs", build / "library.a", target)
    (build / "Arduino.h").write_text(ARDUINO)
    (build / "sketch.cpp").write_text(SKETCH)
    sketch = root / "examples" / "self_test"
    run(
        *("arm-none-eabi-g++", *flags, "-std=gnu++11", "-fno-exceptions", "-fno-rtti"),
        *("-fno-threadsafe-statics", f"-I{sketch}", f"-I{build}", *WARNINGS),
        *("-c", build / "sketch.cpp", "-o", build / "sketch.o"),
    )
    said = in_qemu(
        *(QEMU, build, build / "sketch.o", *sketch.glob("*.c"), build / "library.a"),
        flags=(f"-I{root / 'src'}",),
    )
    assert said.startswith("PASS, microseconds per inference: ")


@needs_arm
@pytest.mark.qemu
def test_two_models_share_an_arena(tmp_path: Path) -> None:
    """Two libraries of the same kernels in one program; both arenas are one array of its own."""
    parts = []
    for name, seed in (("one", 0), ("two", 1)):
        out = export_saved(saved(seed=seed), "c", tmp_path / name, name=name)
        run(
            *("make", "lib", "CC=arm-none-eabi-gcc", "AR=arm-none-eabi-ar", "-j2"),
            f"CFLAGS={' '.join([*QEMU.flags, *WARNINGS])} -D{name.upper()}_ARENA=shared",
            cwd=out,
        )
        parts.append(out)
    (tmp_path / "main.c").write_text(SHARED)
    said = in_qemu(
        *(QEMU, tmp_path / "build", tmp_path / "main.c"),
        *(part / "build" / f"lib{part.name}.a" for part in parts),
        flags=tuple(f"-I{part / 'include'}" for part in parts),
    )
    first, second = said.split("\n")[:2]
    assert first == second
    assert re.fullmatch(r"-?\d+ -?\d+", first)
    one, two = (run_alone(part, tmp_path / f"alone_{part.name}") for part in parts)
    assert first == f"{one} {two}"


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("suffix", ["", ".zip"])
def test_exporting_twice_gives_the_same_bytes(kind: str, suffix: str, tmp_path: Path) -> None:
    for turn in ("one", "two"):
        folder = tmp_path / turn
        export_saved(saved(), kind, folder / f"out{suffix}", labels=LABELS)
    assert files(tmp_path / "one") == files(tmp_path / "two")
    text = b"".join(files(tmp_path / "one").values())
    assert str(tmp_path).encode() not in text
    assert str(saved()).encode() not in text


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_no_template_is_left_unfilled(kind: str, tmp_path: Path) -> None:
    out = export_saved(saved(True), kind, tmp_path / "out", labels=LABELS)
    for place, data in files(out).items():
        assert "NAME" not in place
        if Path(place).name.startswith(("arm_", "tflm_opt_")):
            continue  # kernels are no templates
        text = re.sub(r"}\s*}", "", data.decode("utf-8"))  # ends of C initializers
        assert not re.search(r"{{|}}|{%|@[A-Z_]+@", text), place


def test_a_result_exports_as_its_folder_does(tmp_path: Path) -> None:
    from small_models import residual_tflite

    result = tflm_opt.optimize(residual_tflite(), name="small", board="qemu_m4", verbose=0)
    assert result.export("c", tmp_path / "a", labels=LABELS) == tmp_path / "a"
    export_saved(saved(), "c", tmp_path / "b", labels=LABELS)
    assert files(tmp_path / "a") == files(tmp_path / "b")
    unproved = tflm_opt.optimize(residual_tflite(), verify=False, verbose=0)
    with pytest.raises(TflmOptError, match="no test vectors"):
        unproved.export("c", tmp_path / "c")
    with pytest.raises(InvalidModel, match="no test vectors"):
        export_saved(unproved.save(tmp_path / "saved"), "c", tmp_path / "c")


def _without(name: str) -> Callable[[Path], Path]:
    def damaged(tmp_path: Path) -> Path:
        copy = shutil.copytree(saved(), tmp_path / "damaged")
        (copy / name).unlink()
        return copy

    return damaged


@pytest.mark.parametrize(
    ("kind", "options", "error", "message"),
    [
        ("pio", {}, TflmOptError, "platformio"),
        ("c", {"board": "pico"}, TflmOptError, "no option 'board'"),
        ("c", {"labels": ["a", "b"]}, TflmOptError, r"2 labels \(a, b\) for an output of 10"),
        ("c", {"labels": ["a"] * 10}, TflmOptError, "'a' is there more than once"),
        ("c", {"labels": [*"012345678", "\n"]}, TflmOptError, "can't be a label"),
        ("c", {"labels": [*"012345678", ""]}, TflmOptError, "can't be a label"),
        ("arduino", {"name": "My Net"}, TflmOptError, "my_net"),
        ("cmake", {"name": "int"}, TflmOptError, "int_model"),
        ("c", {"name": "../x"}, TflmOptError, "can't name"),
        ("platformio", {"board": "nano33"}, UnknownBoard, "nano33ble"),
    ],
)
def test_bad_input_writes_nothing(kind, options, error, message, tmp_path: Path) -> None:
    for out in ("out", "out.zip"):
        with pytest.raises(error, match=message):
            export_saved(saved(), kind, tmp_path / out, **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["model.json", "model.tflite", "vectors.npz", "report.json", "src/small.c"]
)
def test_a_folder_with_something_missing(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidModel, match=re.escape(name)):
        export_saved(_without(name)(tmp_path), "c", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_record_that_names_files_elsewhere(tmp_path: Path) -> None:
    """`model.json` may come from anywhere: nothing outside its folder is read or written."""
    copy = shutil.copytree(saved(), tmp_path / "hostile")
    record = json.loads((copy / "model.json").read_text())
    (tmp_path / "secret").write_text("secret")
    record["files"] += ["../secret", "/etc/passwd", "src/../../secret"]
    (copy / "model.json").write_text(json.dumps(record))
    out = export_saved(copy, "c", tmp_path / "out")
    assert b"secret" not in b"".join(files(out).values())
    assert not any("passwd" in place for place in files(out))


@pytest.mark.parametrize(
    ("what", "message"), [("sram", "bytes of SRAM and the board has"), ("flash", "bytes of flash")]
)
def test_a_board_too_small(what: str, message: str, tmp_path: Path) -> None:
    copy = shutil.copytree(saved(), tmp_path / "large")
    report = json.loads((copy / "report.json").read_text())
    report[what]["total"] = 50_000_000
    (copy / "report.json").write_text(json.dumps(report))
    with pytest.raises(TflmOptError, match=f"pico is too small for small.*{message}"):
        export_saved(copy, "platformio", tmp_path / "out", board=["nano33ble", "pico"][1:])
    assert not (tmp_path / "out").exists()


def test_zip_of_others_is_kept(tmp_path: Path) -> None:
    target = tmp_path / "small.zip"
    with zipfile.ZipFile(target, "w") as packed:
        packed.writestr("thesis.txt", "mine")
    before = target.read_bytes()
    with pytest.raises(OutputExists):
        export_saved(saved(), "arduino", target)
    assert target.read_bytes() == before
    export_saved(saved(), "arduino", target, force=True)
    export_saved(saved(), "arduino", target, name="again")  # our own
    with zipfile.ZipFile(target, "a") as packed:
        packed.writestr("again/notes.txt", "mine")
    with pytest.raises(OutputExists):
        export_saved(saved(), "arduino", target)
    (tmp_path / "folder.zip").mkdir()
    with pytest.raises(OutputExists):
        export_saved(saved(), "arduino", tmp_path / "folder.zip", force=True)


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "p"
    arguments = ["export", "platformio", str(saved()), "-o", str(out), "--board", "pico"]
    cli.main([*arguments, "--board", "nano33ble", "--labels", ", ".join(LABELS), "--name", "net"])
    assert f"pio run -d {out}" in capsys.readouterr().out
    ini = (out / "platformio.ini").read_text()
    assert "[env:pico]" in ini
    assert "[env:nano33ble]" in ini
    assert (out / "lib" / "net" / "src" / "net_labels.h").is_file()
    (out / "notes.txt").write_text("mine")
    with pytest.raises(SystemExit) as stopped:
        cli.main(arguments)
    assert stopped.value.code == cli.BAD_INPUT
    assert "--force" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stopped:
        cli.main([*arguments[:3], "-o", str(tmp_path / "x"), "--labels", "a,b"])
    assert stopped.value.code == cli.BAD_INPUT
    assert "2 labels (a, b)" in capsys.readouterr().err


def test_the_command_line_knows_every_kind() -> None:
    kinds = next(p for p in cli.export.params if p.name == "kind").type
    assert set(kinds.choices) == set(KINDS)  # type: ignore[attr-defined]
