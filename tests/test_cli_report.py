"""`report`, `doctor` and `completion` as scripts and shells see them."""

from __future__ import annotations

import csv
import json
import os
import pty
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import report_data
from click.testing import CliRunner, Result

from tflm_opt import doctor
from tflm_opt.cli import cli
from tflm_opt.doctor import Check
from tflm_opt.errors import TflmOptError


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return report_data.result().save(tmp_path_factory.mktemp("saved") / "out")


def run(*arguments: object, status: int = 0) -> Result:
    done = CliRunner().invoke(cli, [*map(str, arguments)])
    assert done.exit_code == status, done.output
    return done


def fails(*arguments: object) -> str:
    """The error that `main` turns into a message."""
    done = CliRunner().invoke(cli, [*map(str, arguments)])
    assert isinstance(done.exception, (TflmOptError, OSError)), done.output
    return str(done.exception)


def test_a_saved_folder_has_its_reports(saved: Path) -> None:
    assert (saved / "report.html").read_text("utf-8") == report_data.result().to_html()
    layers = json.loads((saved / "report.json").read_text("utf-8"))["layers"]
    with (saved / "report.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == len(layers)


@pytest.mark.parametrize("kind", ["html", "json", "csv"])
def test_a_report_made_again_has_the_same_bytes(saved: Path, tmp_path: Path, kind: str) -> None:
    out = tmp_path / f"again.{kind}"
    run("report", saved, "-o", out)
    assert out.read_bytes() == (saved / f"report.{kind}").read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def test_saving_twice_gives_the_same_bytes(saved: Path, tmp_path: Path) -> None:
    again = report_data.result().save(tmp_path / "again")
    for name in ("report.html", "report.csv", "report.json"):
        assert (again / name).read_bytes() == (saved / name).read_bytes()


def test_a_report_with_a_profile(saved: Path, tmp_path: Path) -> None:
    """What `profile` returns for the folder and the board gets into every kind of report."""
    counted = report_data.full()["profile"]
    with mock.patch("tflm_opt.profiling.profile") as profile:
        profile.return_value.to_dict.return_value = counted
        for kind in ("html", "json", "csv"):
            run("report", saved, "-o", tmp_path / f"a.{kind}", "--profile", "nucleo_f446re")
        profile.assert_called_with(saved, "nucleo_f446re")
    assert json.loads((tmp_path / "a.json").read_text("utf-8"))["profile"] == counted
    assert f"{counted['instructions']:,}" in (tmp_path / "a.html").read_text("utf-8")
    with (tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert int(rows[0]["instructions"]) == counted["layers"][0]["instructions"]


def test_bad_input(saved: Path, tmp_path: Path) -> None:
    pdf = tmp_path / "report.pdf"
    assert ".html, .json or .csv" in fails("report", saved, "-o", pdf)
    assert "tflm-opt optimize -o" in fails("report", tmp_path, "-o", tmp_path / "a.html")
    nowhere = tmp_path / "none" / "a.html"
    assert "none" in fails("report", saved, "-o", nowhere)
    assert "nrf99" in fails("report", saved, "-o", tmp_path / "a.html", "--profile", "nrf99")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "change",
    [lambda d: d.pop("format"), lambda d: d.pop("sram"), lambda d: d.update(layers=[3])],
    ids=["older", "no sram", "layers of numbers"],
)
def test_a_broken_report(saved: Path, tmp_path: Path, change: Any) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(saved, folder)
    data = json.loads((folder / "report.json").read_text("utf-8"))
    change(data)
    (folder / "report.json").write_text(json.dumps(data))
    said = fails("report", folder, "-o", tmp_path / "report.html")
    assert "make it again" in said
    assert not (tmp_path / "report.html").exists()


def test_doctor_on_this_computer() -> None:
    """What runs these tests is found, with its version."""
    import numpy

    data = json.loads(run("doctor", "--json").output)
    found = {check["name"]: check for check in data["checks"]}
    assert found["numpy"]["state"] == "ok"
    assert found["numpy"]["found"] == numpy.__version__
    assert {check["state"] for check in data["checks"]} <= {"ok", "missing", "too old"}
    assert all(check["install"] for check in data["checks"] if check["state"] == "missing")
    assert data["ok"] == all(c["state"] == "ok" for c in data["checks"] if c["required"])


def test_doctor_without_programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PLATFORMIO_CORE_DIR", str(tmp_path))
    found = {check.name: check for check in doctor.examine()}
    for name in ("cmake", "espeak-ng", "chromium", "qemu-system-arm", "arm-none-eabi-gcc"):
        assert found[name].state == "missing", name
        assert found[name].install.startswith("apt-get install "), name
    assert found["C compiler"].required
    assert found["C compiler"].state == "missing"
    said = run("doctor", status=1).output
    assert "needed for every model: C compiler" in said
    assert "apt-get install cmake" in said


def test_doctor_of_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that is not there, and one that is older than what is asked for."""
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "tensorflow" else real(name)
    )
    monkeypatch.setattr(doctor, "least_versions", lambda: {"rich": "9999.1", "click": "1.0"})
    found = {check.name: check for check in doctor._packages()}
    assert found["tensorflow"].state == "missing"
    assert "tflm-opt[keras]" in found["tensorflow"].install
    assert found["rich"].state == "too old"
    assert "9999.1" in found["rich"].found
    assert found["click"].state == "ok"


@pytest.mark.parametrize(
    ("older", "newer"),
    [("2.9", "2.18.1"), ("0.dev20260801000000", "0.dev20261023182759"), ("1.26", "1.26.1")],
)
def test_versions_are_compared_as_numbers(older: str, newer: str) -> None:
    assert doctor._numbers(older) < doctor._numbers(newer)
    assert doctor._numbers("2.0") == doctor._numbers("2")


def test_doctor_loads_no_tensorflow() -> None:
    code = (
        "import sys; from tflm_opt import doctor; doctor.examine(); "
        "print(sorted({'tensorflow', 'keras', 'matplotlib', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_exit_status_says_whether_something_needed_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    optional = Check("cmake", "projects", doctor.MISSING, "", "apt-get install cmake")
    needed = Check("numpy", "everything", doctor.OK, "1", "", True)
    monkeypatch.setattr(doctor, "examine", lambda: (optional, needed))
    assert json.loads(run("doctor", "--json").output)["ok"] is True
    gone = Check("numpy", "everything", doctor.MISSING, "", "pip install numpy", True)
    monkeypatch.setattr(doctor, "examine", lambda: (optional, gone))
    assert json.loads(run("doctor", "--json", status=1).output)["ok"] is False


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_names_the_program(shell: str) -> None:
    said = run("completion", shell).output
    assert f"_TFLM_OPT_COMPLETE={shell}_complete" in said
    assert "tflm-opt" in said


def test_completion_in_bash(tmp_path: Path) -> None:
    """A real bash completes a command and an option through the script."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash: apt-get install bash")
    program = tmp_path / "tflm-opt"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tflm_opt "$@"\n')
    program.chmod(0o755)
    script = tmp_path / "complete.bash"
    script.write_text(run("completion", "bash").output)
    code = (
        f'PATH="{tmp_path}:$PATH"; source "{script}"; '
        "complete_it() { COMPREPLY=(); COMP_WORDS=($1); COMP_CWORD=$2; "
        '_tflm_opt_completion tflm-opt; echo "${COMPREPLY[@]}"; }; '
        'complete_it "tflm-opt doc" 1; complete_it "tflm-opt optimize --max-s" 2'
    )
    done = subprocess.run([bash, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["doctor", "--max-slowdown"], done.stderr


def on_a_terminal(*arguments: str, **environment: str) -> str:
    """What a command writes where standard output is a terminal of 80 columns."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "tflm_opt", *arguments]
    # Colours are the machine's own affair where a test runs: begin without its wishes.
    plain = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR")}
    plain |= {"TERM": "xterm-256color", "COLUMNS": "80", **environment}
    process = subprocess.Popen(command, stdout=theirs, stderr=theirs, env=plain)
    os.close(theirs)
    written = b""
    while True:
        try:
            chunk = os.read(ours, 65536)
        except OSError:  # the other end was closed
            break
        if not chunk:
            break
        written += chunk
    os.close(ours)
    assert process.wait() in (0, 1)
    return written.decode("utf-8")


COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-7]m")


def test_a_terminal_gets_colours_and_a_pipe_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert COLOUR.search(on_a_terminal("doctor"))
    assert "\x1b" not in run("doctor").output


def test_no_color_is_heeded() -> None:
    said = on_a_terminal("doctor", NO_COLOR="1")
    assert not COLOUR.search(said)
    assert "numpy" in said


def test_a_dumb_terminal_gets_plain_lines() -> None:
    said = on_a_terminal("boards", TERM="dumb")
    assert "\x1b" not in said
    assert said.replace("\r\n", "\n") == run("boards").output


def test_json_is_the_same_on_a_terminal() -> None:
    said = on_a_terminal("boards", "--json")
    assert said.replace("\r\n", "\n") == run("boards", "--json").output


def test_tables_are_as_wide_as_the_terminal() -> None:
    plain = re.sub(r"\x1b\[[0-9;]*m", "", on_a_terminal("boards"))
    assert max(map(len, plain.splitlines())) <= 80
    assert "disco_f746ng" in plain


@pytest.mark.parametrize(
    ("words", "style"),
    [
        ("48 of 50 bytes of SRAM: fits", "green"),
        ("51 of 50 bytes of SRAM: does NOT fit", "red"),
        ("bit-exact with TFLM            NO", "red"),
        ("! a warning that goes on\n  for two lines", "yellow"),
        ("SRAM  (estimate)", "dim"),
    ],
)
def test_summaries_have_weight(words: str, style: str) -> None:
    from tflm_opt.report import terminal

    text = terminal.styled(words)
    assert text.plain == words
    assert any(style in str(span.style) for span in text.spans)
    quiet = terminal.styled("net  engine on cortex-m4: 12 bytes of SRAM, no budget set")
    assert not any(colour in str(s.style) for s in quiet.spans for colour in ("green", "red"))
