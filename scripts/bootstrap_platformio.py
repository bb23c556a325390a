"""Give PlatformIO its tools from elsewhere where its own registry is out of reach.

    python scripts/bootstrap_platformio.py      # with the Python that runs `pio`

PlatformIO drives SCons, which it fetches from its registry as the package `tool-scons`; PyPI has
the same SCons. `pio check` wants `tool-cppcheck`, for which a cppcheck on PATH does. This puts them
into PlatformIO's core directory (PLATFORMIO_CORE_DIR) with the metadata that PlatformIO looks for.
Where a suitable package is there, nothing is done, so a machine that has used the registry keeps
what it got from there.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

LAUNCHER = """\
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "scons-local"))

from SCons.Script import main

sys.exit(main())
"""


def package_version(scons: str) -> str:
    """The version under which PlatformIO knows a release of SCons: 4.11.1 is 4.41101.0."""
    major, minor, patch = (int(part) for part in scons.split(".")[:3])
    return f"{major}.{major}{minor:02d}{patch:02d}.0"


def main() -> int:
    add_cppcheck()
    return add_scons()


def add_scons() -> int:
    """Install SCons, whole, so that any other PlatformIO may use it too."""
    import SCons
    import semantic_version

    spec, manager = _wanted("tool-scons")
    if manager.get_package(spec):
        return 0
    version = package_version(SCons.__version__)
    if semantic_version.Version(version) not in spec.requirements:
        print(f"SCons {SCons.__version__} is not what this PlatformIO wants ({spec.requirements})")
        return 1

    def fill(folder: Path) -> None:
        source, target = Path(SCons.__file__).parent, folder / "scons-local" / "SCons"
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        (folder / "scons.py").write_text(LAUNCHER, "utf-8")

    _install(spec, manager, version, f"SCons {SCons.__version__}, from PyPI", fill)
    return 0


def add_cppcheck() -> None:
    """Install a script that starts the cppcheck on PATH; nothing where there is none."""
    spec, manager = _wanted("tool-cppcheck")
    program = shutil.which("cppcheck")
    if manager.get_package(spec) or not program:
        return
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    version = str(spec.requirements).lstrip("~^=")  # which this takes the place of

    def fill(folder: Path) -> None:
        (folder / "cppcheck").write_text(f'#!/bin/sh\nexec {shlex.quote(program)} "$@"\n', "utf-8")
        (folder / "cppcheck").chmod(0o755)

    _install(spec, manager, version, f"{done.stdout.strip()}, from PATH", fill)


def _wanted(name: str) -> tuple[Any, Any]:
    """What this PlatformIO asks for under a tool's name, and where it keeps tools."""
    from platformio.dependencies import get_core_dependencies
    from platformio.package.manager.tool import ToolPackageManager
    from platformio.package.meta import PackageSpec

    spec = PackageSpec(owner="platformio", name=name, requirements=get_core_dependencies()[name])
    return spec, ToolPackageManager()


def _install(
    spec: Any, manager: Any, version: str, description: str, fill: Callable[[Path], None]
) -> None:
    """Put a package, whole or not at all, where PlatformIO looks for it."""
    from platformio.package.meta import PackageMetadata

    packages = Path(manager.package_dir)
    packages.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{spec.name}", dir=packages) as scratch:
        work = Path(scratch) / spec.name
        work.mkdir()
        fill(work)
        record = {"name": spec.name, "version": version, "system": "*", "description": description}
        (work / "package.json").write_text(json.dumps(record, indent=1) + "\n", "utf-8")
        PackageMetadata("tool", spec.name, version, spec).dump(str(work / ".piopm"))
        shutil.rmtree(packages / spec.name, ignore_errors=True)  # an unsuitable or broken one
        os.rename(work, packages / spec.name)


if __name__ == "__main__":
    sys.exit(main())
