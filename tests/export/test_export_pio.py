"""What PlatformIO's commands say of an exported project: test, check, ci, project config."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "runtime"))

from emulated import have_tools
from saved_model import files, run, saved
from tiny_model import write_tiny

from tflm_opt import boards
from tflm_opt.export import export_saved, platformio
from tflm_opt.export.package import Package, open_saved
from tflm_opt.runtime import firmware, machine

X = np.arange(16, dtype=np.int8).reshape(1, 16)
REAL = [board for board in boards.all() if board.platformio]

needs_tools = pytest.mark.skipif(
    not have_tools(boards.get("qemu_m4")), reason="needs the Arm compiler and qemu-system-arm"
)


def tiny_project(folder: Path, *outputs: np.ndarray) -> Path:
    """A project of a hand-written model that adds one; `outputs` are what it shall give for X."""
    model = write_tiny(folder / "model")
    package = Package(model, firmware.read_interface(model), tuple(([X], [y]) for y in outputs))
    (folder / "p").mkdir()
    platformio.fill(package, folder / "p")
    return folder / "p"


def pio(environment: dict[str, str], folder: Path, *words: str | Path) -> tuple[int, str]:
    """Exit status and output of a command of PlatformIO's."""
    done = subprocess.run(
        [sys.executable, "-m", "platformio", *map(str, words)],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=120,
    )
    return done.returncode, done.stdout


@needs_tools
@pytest.mark.qemu
def test_pio_test_reports_vectors(tmp_path: Path, pio_environment: dict[str, str]) -> None:
    wrong = X + 1
    wrong[0, 3] += 1
    project = tiny_project(tmp_path, X + 1, X + 1, wrong)
    report = tmp_path / "report.json"
    command = ("test", "-e", "qemu_m4", "--json-output-path", report)
    status, said = pio(pio_environment, project, *command)
    assert status == 1, said
    suites = json.loads(report.read_text())["test_suites"]
    (suite,) = [suite for suite in suites if suite["env_name"] == "qemu_m4"]
    cases = [(case["name"], case["status"]) for case in suite["test_cases"]]
    assert cases == [("vector 0", "PASSED"), ("vector 1", "PASSED"), ("vector 2", "FAILED")]
    assert suite["test_cases"][2]["message"] == "1 bytes differ"
    vectors = project / "src" / "vectors.c"
    vectors.write_text(vectors.read_text().replace("1, 2, 3, 5, 5,", "1, 2, 3, 4, 5,"))
    status, said = pio(pio_environment, project, *command)
    assert status == 0, said
    assert "3 test cases: 3 succeeded" in said


@needs_tools
@pytest.mark.qemu
def test_pio_test_fails_where_the_program_stops(
    tmp_path: Path, pio_environment: dict[str, str]
) -> None:
    project = tiny_project(tmp_path, X + 1)
    check = project / "src" / "check.c"
    text = check.read_text().replace("int wrong = 0;", "int wrong = 0;\n    exit(0);")
    check.write_text(f"#include <stdlib.h>\n{text}")
    status, said = pio(pio_environment, project, "test", "-e", "qemu_m4")
    assert status == 1, said
    assert "the program stopped before its last line" in said


@needs_tools
@pytest.mark.skipif(not shutil.which("cppcheck"), reason="needs cppcheck")
def test_pio_check_finds_nothing_but_what_is_there(
    tmp_path: Path, pio_environment: dict[str, str]
) -> None:
    project = export_saved(saved(), "platformio", tmp_path / "p")
    limits = [f"--fail-on-defect={severity}" for severity in ("low", "medium", "high")]
    status, said = pio(pio_environment, project, "check", "-e", "qemu_m4", *limits)
    assert status == 0, said
    assert "No defects found" in said
    seen = tiny_project(tmp_path / "bad", X + 1)
    bad = seen / "lib" / "tiny" / "src" / "bad.c"
    bad.write_text("int bad(void);\nint bad(void)\n{\n    int a[2];\n    return a[2];\n}\n")
    status, said = pio(pio_environment, seen, "check", "-e", "qemu_m4", *limits)
    assert status == 1, said
    assert "bad.c:5: [high:error] Array 'a[2]' accessed at index 2" in said


@needs_tools
def test_pio_ci_builds_the_library_alone(tmp_path: Path, pio_environment: dict[str, str]) -> None:
    project = tiny_project(tmp_path, X + 1)
    source = tmp_path / "app.c"
    source.write_text('#include "tiny.h"\nint main(void) { return tiny_init(); }\n')
    ini = tmp_path / "ci.ini"
    platform = f"symlink://{project / 'platforms' / 'qemu'}"
    ini.write_text(f"[env:qemu_m4]\nplatform = {platform}\nboard = qemu_m4\n")
    options = ("--project-conf", ini)
    library = f"--lib={project / 'lib' / 'tiny'}"
    status, said = pio(pio_environment, tmp_path, "ci", source, library, *options)
    assert status == 0, said
    assert re.search(r"Archiving .*libtiny\.a", said)
    source.write_text('#include "tiny.h"\nint main(void) { return tiny_unknown(); }\n')
    assert pio(pio_environment, tmp_path, "ci", source, library, *options)[0] == 1


TWO = """\
#include "one.h"
#include "two.h"
#include <stdio.h>
#include <string.h>

__attribute__((aligned(16))) uint8_t shared[ONE_ARENA_SIZE > TWO_ARENA_SIZE ? ONE_ARENA_SIZE
                                                                            : TWO_ARENA_SIZE];
static const int8_t given[2][ONE_INPUT0_SIZE] = {%s};
static const int8_t wanted[2][ONE_OUTPUT0_SIZE] = {%s};

int main(void)
{
    for (int round = 0; round < 2; round++) {
        memcpy(one_input(0), given[0], sizeof given[0]);
        if (one_invoke() || memcmp(wanted[0], one_output(0), sizeof wanted[0])) return 1;
        memcpy(two_input(0), given[1], sizeof given[1]);
        if (two_invoke() || memcmp(wanted[1], two_output(0), sizeof wanted[1])) return 2;
    }
    if ((uint8_t *)one_input(0) < shared || (uint8_t *)two_input(0) < shared) return 3;
    puts("both as TFLM");
    return 0;
}
"""


@needs_tools
@pytest.mark.qemu
def test_two_models_share_an_arena(tmp_path: Path, pio_environment: dict[str, str]) -> None:
    """Two libraries in `lib/`, of the same kernels, whose arena is an array of the program's.

    The same net under two names: of two nets is the test with plain C.
    """
    project = export_saved(saved(), "platformio", tmp_path / "p", name="one")
    with open_saved(saved()) as one, open_saved(saved(), name="two") as two:
        platformio.write_library(two, project / "lib" / "two")
        pairs = (one.vectors[0], two.vectors[1])
    assert not np.array_equal(pairs[0][1][0], pairs[1][1][0])
    given, wanted = (
        ", ".join(f"{{{', '.join(map(str, pair[which][0].ravel()))}}}" for pair in pairs)
        for which in (0, 1)
    )
    ini = project / "platformio.ini"
    shared = "[env]\nbuild_flags = -DONE_ARENA=shared -DTWO_ARENA=shared\n"
    ini.write_text(ini.read_text().replace("[env]\n", shared))
    for path in (project / "src").iterdir():
        path.unlink()
    (project / "src" / "main.c").write_text(TWO % (given, wanted))
    status, said = pio(pio_environment, project, "run", "-e", "qemu_m4", "-t", "run")
    assert status == 0, said
    assert "both as TFLM" in said


def test_platformio_reads_every_board_as_it_is_meant(
    tmp_path: Path, pio_environment: dict[str, str]
) -> None:
    named = [board.id for board in REAL]
    with open_saved(saved()) as opened:
        report = {what: {"total": 0} for what in ("sram", "flash")}  # whatever it takes
        small = Package(opened.folder, opened.interface, opened.vectors, report=report)
        (tmp_path / "p").mkdir()
        platformio.fill(small, tmp_path / "p", board=named)
    status, said = pio(pio_environment, tmp_path / "p", "project", "config", "--json-output")
    assert status == 0, said
    sections = {name: dict(options) for name, options in json.loads(said)}
    assert sections["platformio"]["default_envs"] == ["qemu_m4"]
    for board in REAL:
        assert board.platformio is not None
        env = sections[f"env:{board.id}"]
        assert env["platform"] == board.platformio.platform
        assert env["board"] == board.platformio.board
        assert env["framework"] == [board.platformio.framework]
    for board in boards.all():
        if board.qemu:
            assert sections[f"env:{board.id}"]["board"] == board.id


def _by_flags() -> list[object]:
    """One board of each set of flags; the others are compiled as it is."""
    ones = {board.flags: board for board in reversed(REAL) if board.toolchain.id != "xtensa"}
    return [pytest.param(board, id=f"{board.core} as {board.id}") for board in ones.values()]


@pytest.mark.parametrize("board", _by_flags())
def test_the_library_compiles_for_real_boards(board: boards.Board, tmp_path: Path) -> None:
    """What the flags' code does is tested on emulated boards; C++11 with kernels and codegen."""
    gcc = shutil.which(board.toolchain.prefix + "gcc")
    if not gcc:
        pytest.skip(f"needs {board.toolchain.prefix}gcc")
    with open_saved(saved()) as package:
        platformio.write_library(package, tmp_path / "lib")
    record = json.loads((tmp_path / "lib" / "library.json").read_text())["build"]
    assert record["flags"] == list(machine.ENGINE_FLAGS)
    flags = [*board.flags, *record["flags"], f"-I{tmp_path / 'lib' / 'src'}", "-fsyntax-only"]
    flags += ["-Wall", "-Wextra", "-Wconversion", "-Werror"]
    run(gcc, *flags, *sorted((tmp_path / "lib").rglob("*.c")))


def test_the_library_is_arduinos_too(tmp_path: Path) -> None:
    """Headers in `src/`, no two objects of one name, and the same properties."""
    project = export_saved(saved(), "platformio", tmp_path / "p")
    arduino = files(export_saved(saved(), "arduino", tmp_path / "a"))
    library = files(project / "lib" / "small")
    assert set(library) == {name for name in arduino if name.startswith(("src/", "library."))} | {
        "library.json"
    }
    assert all(library[name] == arduino[name] for name in library if name != "library.json")
    stems = [Path(name).stem for name in library if name.endswith(".c")]
    assert len(set(stems)) == len(stems)
