"""PlatformIO projects of a hand-written model: what is written, and that it builds and runs."""

from __future__ import annotations

import configparser
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "runtime"))

from emulated import have_tools
from tiny_model import write_tiny

from tflm_opt import boards
from tflm_opt.errors import InvalidModel, OutputExists, UnknownBoard
from tflm_opt.export import platformio
from tflm_opt.export.folder import atomic_folder, is_ours
from tflm_opt.export.package import Package
from tflm_opt.runtime import firmware, qemu

ROOT = Path(__file__).resolve().parents[2]
X = np.arange(16, dtype=np.int8).reshape(1, 16)
VECTORS = [([X], [X + 1]), ([X - 90], [X - 89])]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("tiny") / "model")


EMULATED = [b for b in boards.all() if b.qemu]


def export(model: Path, out: Path, *, vectors=VECTORS, force=False, **options) -> Path:
    package = Package(model, firmware.read_interface(model), tuple(vectors))
    with atomic_folder(out, force=force) as folder:
        platformio.fill(package, folder, **options)
    return out


def test_project_is_complete(model: Path, tmp_path: Path) -> None:
    project = export(model, tmp_path / "p", board=["disco_f746ng", "nano33ble"])
    assert is_ours(project)
    ini = configparser.ConfigParser(interpolation=None)
    ini.read(project / "platformio.ini")
    emulated = {f"env:{b.id}" for b in EMULATED}
    named = {"env:disco_f746ng", "env:nano33ble"}
    assert set(ini.sections()) == {"platformio", "env", *emulated, *named}
    assert ini["env:nano33ble"]["platform"] == "nordicnrf52"
    assert ini["env:disco_f746ng"]["framework"] == "stm32cube"
    library = json.loads((project / "lib" / "tiny" / "library.json").read_text())
    assert library["name"] == "tiny"
    manifests = (project / "platforms" / "qemu" / "boards").glob("*.json")
    assert {f"env:{path.stem}" for path in manifests} == emulated
    left = [
        p for p in project.rglob("*") if p.is_file() and re.search(r"{{|}}|{%|@[A-Z_]+@", _text(p))
    ]
    assert left == []


def _text(path: Path) -> str:
    # Closing braces of a C initializer stand together; those of a template have words inside.
    return re.sub(r"}\s*}", "", path.read_text("utf-8"))


def test_same_input_same_bytes(model: Path, tmp_path: Path) -> None:
    one, two = (export(model, tmp_path / name) for name in ("one", "two"))
    files = sorted(p.relative_to(one) for p in one.rglob("*") if p.is_file())
    assert files == sorted(p.relative_to(two) for p in two.rglob("*") if p.is_file())
    for file in files:
        assert (one / file).read_bytes() == (two / file).read_bytes()
        assert str(tmp_path) not in (one / file).read_text("utf-8")


def test_edited_project_is_kept(model: Path, tmp_path: Path) -> None:
    project = export(model, tmp_path / "p")
    export(model, tmp_path / "p")
    (project / "src" / "main.c").write_text("int main(void) { return 42; }\n")
    with pytest.raises(OutputExists):
        export(model, tmp_path / "p")
    assert "42" in (project / "src" / "main.c").read_text()
    export(model, tmp_path / "p", force=True)
    assert "42" not in (project / "src" / "main.c").read_text()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"board": ["nano33"]}, UnknownBoard, "nano33ble"),
        ({"vectors": []}, InvalidModel, "at least one test vector"),
        ({"vectors": [([X], [X.astype(np.int16)])]}, InvalidModel, "int16"),
        ({"vectors": [([X, X], [X])]}, InvalidModel, "inputs"),
    ],
)
def test_bad_input_writes_nothing(options, error, message, model: Path, tmp_path: Path) -> None:
    with pytest.raises(error, match=message):
        export(model, tmp_path / "p", **options)
    assert list(tmp_path.iterdir()) == []


def test_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(InvalidModel, match=r"model\.json"):
        export(tmp_path, tmp_path / "p")


# ---- building it ---------------------------------------------------------------------------

needs_tools = pytest.mark.skipif(
    not (shutil.which("arm-none-eabi-gcc") and shutil.which("qemu-system-arm")),
    reason="needs the Arm compiler and qemu-system-arm",
)


def pio(project: Path, environment: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "platformio", *arguments],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


ARDUINO_STUB = """\
struct Serial_ {
    void begin(long);
    void print(const char *);
    void print(int);
    void println(const char *);
    void println(unsigned long);
};
extern struct Serial_ Serial;
unsigned long micros();
void delay(unsigned long);
"""


@needs_tools
@pytest.mark.parametrize("board_id", ["pico", "nano33ble", "disco_f746ng", "nucleo_u575zi_q"])
def test_sources_compile_for_real_boards(board_id: str, model: Path, tmp_path: Path) -> None:
    """Without QEMU's macro and headers, and for Arduino; PlatformIO's registry isn't needed."""
    source = export(model, tmp_path / "p", board=[board_id]) / "src"
    (tmp_path / "Arduino.h").write_text(ARDUINO_STUB)
    flags = [*boards.get(board_id).flags, "-Wall", "-Wextra", "-Werror", f"-I{tmp_path}"]
    flags += [f"-I{source.parent / 'lib' / 'tiny' / 'src'}", "-c", "-o", str(tmp_path / "o")]
    programs = [("gcc", [], p) for p in sorted(source.glob("*.c"))]
    programs.append(("g++", ["-DARDUINO=10819"], source / "arduino.cpp"))
    test = source.parent / "test" / "test_vectors"
    programs.append(("gcc", [f"-I{source}"], test / "test_main.c"))
    programs.append(("g++", [f"-I{source}", "-DARDUINO=10819"], test / "test_arduino.cpp"))
    for tool, extra, path in programs:
        subprocess.run([f"arm-none-eabi-{tool}", *flags, *extra, str(path)], check=True)
    assert (source / "main.c").stat().st_size > 0


@pytest.mark.qemu
@needs_tools
def test_builds_and_runs_on_every_emulated_board(
    model: Path, tmp_path: Path, pio_environment: dict[str, str]
) -> None:
    project = export(model, tmp_path / "p")
    interface = firmware.read_interface(model)
    for board in filter(have_tools, EMULATED):
        said = pio(project, pio_environment, "run", "-e", board.id, "-t", "run")
        assert "PASS: 2 of 2 vectors" in said
        assert "FAIL" not in said
        # The same program over samples from a file, and the same counts as our own build.
        elf = project / ".pio" / "build" / board.id / "firmware.elf"
        samples = [[X + i] for i in range(50)]
        run = qemu.run_elf(elf, interface, board, samples)
        for (given,), (output,) in zip(samples, run.outputs, strict=True):
            np.testing.assert_array_equal(output, given + 1)
        ours = firmware.build(model, board, tmp_path / "out")
        assert run.instructions == qemu.run(ours, board, samples).instructions
        # One number but where division is software: there it takes as long as its operands want.
        printed = re.search(r"^instructions: (\d+)$", said, re.M)
        assert printed is not None
        assert min(run.instructions) <= int(printed[1]) <= max(run.instructions)
        assert board.core == "cortex-m0plus" or len(set(run.instructions)) == 1


@pytest.mark.qemu
@needs_tools
def test_wrong_output_is_a_failure(
    model: Path, tmp_path: Path, pio_environment: dict[str, str]
) -> None:
    wrong = X + 1
    wrong[0, 3] += 1
    project = export(model, tmp_path / "p", vectors=[*VECTORS, ([X], [wrong])])
    pio(project, pio_environment, "run", "-e", "qemu_m4")
    program = project / ".pio" / "build" / "qemu_m4" / "program"
    done = subprocess.run([str(program)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "vector 2: FAIL, 1 bytes differ" in done.stdout
    assert "FAIL: 2 of 3 vectors" in done.stdout
