"""Give PlatformIO its build tool from PyPI where its own registry is out of reach.

    python scripts/bootstrap_platformio.py      # with the Python that runs `pio`

PlatformIO drives SCons, which it fetches from its registry as the package `tool-scons`. PyPI has
the same SCons. This puts that into PlatformIO's core directory (PLATFORMIO_CORE_DIR) with the
metadata that PlatformIO looks for. Where a suitable `tool-scons` is there, nothing is done, so a
machine that has used the registry keeps what it got from there.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

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
    import SCons
    import semantic_version
    from platformio.dependencies import get_core_dependencies
    from platformio.package.manager.tool import ToolPackageManager
    from platformio.package.meta import PackageMetadata, PackageSpec

    spec = PackageSpec(
        owner="platformio", name="tool-scons", requirements=get_core_dependencies()["tool-scons"]
    )
    manager = ToolPackageManager()
    if manager.get_package(spec):
        return 0
    version = package_version(SCons.__version__)
    if semantic_version.Version(version) not in spec.requirements:
        print(f"SCons {SCons.__version__} is not what this PlatformIO wants ({spec.requirements})")
        return 1
    packages = Path(manager.package_dir)
    packages.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".tool-scons", dir=packages))
    work = scratch / "tool-scons"
    shutil.copytree(
        Path(SCons.__file__).parent,
        work / "scons-local" / "SCons",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    (work / "scons.py").write_text(LAUNCHER, "utf-8")
    description = f"SCons {SCons.__version__}, from PyPI"
    record = {"name": "tool-scons", "version": version, "system": "*", "description": description}
    (work / "package.json").write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    PackageMetadata("tool", "tool-scons", version, spec).dump(str(work / ".piopm"))
    shutil.rmtree(packages / "tool-scons", ignore_errors=True)  # an unsuitable or broken one
    os.rename(work, packages / "tool-scons")
    scratch.rmdir()
    return 0


if __name__ == "__main__":
    sys.exit(main())
