"""The set-up script where something is missing: one clear line, and nothing broken left behind.

It runs in a copy of the scripts, with a PATH of stand-ins, so nothing is installed.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BASICS = ["bash", "cat", "sha256sum", "mkdir", "tr", "dirname", "rm", "mv", "env", "flock", "touch"]
TOOLS = ("arm-none-eabi-gcc", "qemu-system-arm", "cc", "make")
RISCV = ("riscv64-unknown-elf-gcc", "qemu-system-riscv32")
OPTIONAL = {  # by program, the packages
    "cmake": "cmake",
    "espeak-ng": "espeak-ng",
    "cppcheck": "cppcheck",
    "chromium": "chromium",
    "chromedriver": "chromium-driver",
    "xtensa-lx106-elf-gcc": "gcc-xtensa-lx106 picolibc-xtensa-lx106-elf",
}

# A Python whose `-m venv` makes a `.venv` whose own Python logs what it is asked to do.
PYTHON = """\
#!{bash}
if [ "$1" = -m ] && [ "$2" = venv ]; then
    mkdir -p "$3/bin"
    printf '#!{bash}\\necho "$@" >>"{log}"\\n{fail}' >"$3/bin/python"
    {chmod} +x "$3/bin/python"
elif [ "$1" = -c ]; then
    exec {python} "$@"
else
    echo "Python 3.11"
fi
"""


class Machine:
    """A folder with the scripts, and a PATH with only what the test puts there."""

    def __init__(self, root: Path) -> None:
        self.root, self.bin, self.log = root / "checkout", root / "bin", root / "log"
        (self.root / "scripts").mkdir(parents=True)
        self.bin.mkdir()
        for name in ("setup.sh", "bootstrap_platformio.py"):
            shutil.copy(ROOT / "scripts" / name, self.root / "scripts" / name)
        shutil.copy(ROOT / "pyproject.toml", self.root)
        for name in BASICS:
            found = shutil.which(name)
            if found:
                (self.bin / name).symlink_to(found)

    def add(self, name: str, text: str = "exit 0") -> None:
        path = self.bin / name
        path.unlink(missing_ok=True)
        path.write_text(f"#!{shutil.which('bash')}\n{text}\n")
        path.chmod(0o755)

    def add_python(self, name: str = "python3", *, fail: str = "") -> None:
        text = PYTHON.format(
            bash=shutil.which("bash"),
            chmod=shutil.which("chmod"),
            log=self.log,
            python=sys.executable,
            fail=fail,
        )
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def run(self) -> tuple[int, str]:
        done = subprocess.run(
            [str(self.bin / "bash"), "scripts/setup.sh"],
            cwd=self.root,
            env={"PATH": str(self.bin), "HOME": str(self.root)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return done.returncode, done.stderr

    def asked(self, what: str) -> int:
        return self.log.read_text().count(what) if self.log.exists() else 0


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    made.add("id", "echo 1000")
    return made


def with_tools(machine: Machine) -> None:
    for tool in (*TOOLS, *RISCV, *OPTIONAL):
        machine.add(tool, "cat >/dev/null; exit 0" if tool.endswith("gcc") else "exit 0")


def test_no_root_and_no_sudo(machine: Machine) -> None:
    machine.add("apt-get")
    machine.add_python()
    status, said = machine.run()
    assert status != 0
    assert len(said.strip().splitlines()) == 1
    assert "apt-get install gcc-arm-none-eabi libnewlib-arm-none-eabi" in said


def test_no_apt(machine: Machine) -> None:
    status, said = machine.run()
    assert status != 0
    assert len(said.strip().splitlines()) == 1
    assert "arm-none-eabi-gcc qemu-system-arm" in said


def test_compiler_without_its_library(machine: Machine) -> None:
    with_tools(machine)
    machine.add("arm-none-eabi-gcc", "cat >/dev/null; exit 1")
    status, said = machine.run()
    assert status != 0
    assert "missing: newlib" in said


def test_no_riscv_tools_and_no_right_to_install_them(machine: Machine) -> None:
    """All but one board does without them: a line says which, and the set-up goes on."""
    with_tools(machine)
    (machine.bin / "qemu-system-riscv32").unlink()
    machine.add("riscv64-unknown-elf-gcc", "cat >/dev/null; exit 1")
    machine.add_python()
    status, said = machine.run()
    assert status == 0, said
    assert "no board qemu_rv32: missing: qemu-system-riscv32 picolibc" in said
    assert "apt-get install gcc-riscv64-unknown-elf picolibc-riscv64-unknown-elf" in said


@pytest.mark.parametrize(("tool", "packages"), OPTIONAL.items())
def test_optional_tools(tool: str, packages: str, machine: Machine) -> None:
    """Where they can't be installed, the set-up goes on; where they can, they are."""
    with_tools(machine)
    (machine.bin / tool).unlink()
    machine.add_python()
    status, said = machine.run()
    assert status == 0, said
    message = f"no {tool}: what needs it is not tested. As root: apt-get install {packages}\n"
    assert message in said
    machine.add("id", "echo 0")
    machine.add("apt-get", f'echo "apt $@" >>{machine.log}')
    status, said = machine.run()
    assert status == 0, said
    assert f"no {tool}" not in said
    assert machine.asked(f"--no-install-recommends {packages}\n")


def test_riscv_tools_are_installed(machine: Machine) -> None:
    machine.add("id", "echo 0")
    with_tools(machine)
    (machine.bin / "qemu-system-riscv32").unlink()
    made = f"printf '#!/bin/sh\\n' >{machine.bin}/qemu-system-riscv32; "
    made += f"{shutil.which('chmod')} +x {machine.bin}/qemu-system-riscv32"
    machine.add("apt-get", f'echo "apt $@" >>{machine.log}\n{made}')
    machine.add_python()
    status, said = machine.run()
    assert status == 0, said
    assert "qemu_rv32" not in said
    assert machine.asked("gcc-riscv64-unknown-elf picolibc-riscv64-unknown-elf qemu-system-misc")
    assert not machine.asked("gcc-arm-none-eabi")


def test_apt_that_needs_an_update_first(machine: Machine) -> None:
    machine.add("id", "echo 0")
    with_tools(machine)
    (machine.bin / "qemu-system-arm").unlink()
    made = f"printf '#!/bin/sh\\n' >{machine.bin}/qemu-system-arm; "
    made += f"{shutil.which('chmod')} +x {machine.bin}/qemu-system-arm"
    machine.add(
        "apt-get",
        f'echo "apt $@" >>{machine.log}\n'
        f'if [ "$1" = update ]; then touch {machine.root}/updated; exit 0; fi\n'
        f"[ -f {machine.root}/updated ] || exit 100\n{made}",
    )
    machine.add_python()
    status, said = machine.run()
    assert status == 0, said
    assert machine.asked("apt install") == 2
    assert machine.asked("apt update") == 1


def test_no_suitable_python(machine: Machine) -> None:
    with_tools(machine)
    machine.add("python3", "exit 1")
    status, said = machine.run()
    assert status != 0
    assert "no Python 3.10 to 3.13 found" in said
    assert not (machine.root / ".venv").exists()


def test_second_run_installs_nothing(machine: Machine) -> None:
    with_tools(machine)
    machine.add_python()
    status, said = machine.run()
    assert status == 0, said
    assert machine.asked("pip install") == 1
    assert machine.asked("tflite-micro==") == 1
    assert machine.run()[0] == 0
    assert machine.asked("pip install") == 1
    assert machine.asked("bootstrap_platformio.py") == 2
    (machine.root / "pyproject.toml").write_text("# other requirements\n")
    assert machine.run()[0] == 0
    assert machine.asked("pip install") == 2


def test_failed_install_is_tried_again(machine: Machine) -> None:
    with_tools(machine)
    machine.add_python(fail='[ "$2" != pip ] || [ -f fixed ] || exit 1\\n')
    assert machine.run()[0] != 0
    assert machine.run()[0] != 0
    (machine.root / "fixed").touch()
    status, said = machine.run()
    assert status == 0, said
    assert machine.asked("pip install") == 3
