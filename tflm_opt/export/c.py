"""A plain folder of C with a Makefile: for any build system, and to look at."""

from __future__ import annotations

from pathlib import Path

from tflm_opt.export import library, program
from tflm_opt.export.package import Package
from tflm_opt.export.render import write_all


def fill(package: Package, folder: Path) -> None:
    """Write `include/`, `src/`, `test/`, a Makefile and a README into an empty folder."""
    values = library.values(package)
    library.write(package, folder)
    program.write(package, folder / "test", values)
    write_all("c", folder, values)
