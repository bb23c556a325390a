"""What tests of platformio_projects share: loading a script, making a project, running it."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOT_KEPT = ("lib", "platforms", "examples.c", ".pio", "__pycache__")

needs_arm = pytest.mark.skipif(
    not (shutil.which("arm-none-eabi-gcc") and shutil.which("qemu-system-arm")),
    reason="needs the Arm compiler and qemu-system-arm",
)


def load(path: str) -> ModuleType:
    """A script of the repository, as a module: `load("examples/digits.py")`."""
    file = ROOT / path
    if str(ROOT / "examples") not in sys.path:
        sys.path.insert(0, str(ROOT / "examples"))
    name = path.removesuffix(".py").replace("/", "_")
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def built_and_run(
    name: str,
    write: Callable[[Path], None],
    folder: Path,
    environment: Mapping[str, str],
    board: str = "qemu_m4",
) -> str:
    """What a project prints on an emulated board, from what is kept of it and what it generates."""
    source, project = ROOT / "platformio_projects" / name, folder / name
    shutil.copytree(source, project, ignore=shutil.ignore_patterns(*NOT_KEPT))
    kept = {path.name for path in project.iterdir() if not path.name.startswith(".")}
    assert kept == {"README.md", "platformio.ini", "generate.py", "src"}
    write(project)
    write(project)  # what it wrote, it may replace
    command = [sys.executable, "-m", "platformio", "run", "-e", board, "-t", "run"]
    done = subprocess.run(
        command, cwd=project, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warning:" not in done.stdout + done.stderr
    return done.stdout
