"""The code of a model as a library: what is the same in every export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tflm_opt.export import program
from tflm_opt.export.package import Package
from tflm_opt.export.render import write_all
from tflm_opt.runtime import machine


def write(package: Package, folder: Path, *, include: str = "include") -> list[str]:
    """Write a model's code into a folder: its sources, by their paths in the folder.

    Args:
        include: where headers go, beside `src/`; `src` for build systems that look nowhere else.
    """
    from tflm_opt import codegen

    codegen.copy(package.folder, folder)
    (folder / codegen.RECORD).unlink()
    if include != "include":
        for header in (folder / "include").iterdir():
            header.rename(folder / include / header.name)
        (folder / "include").rmdir()
    if package.labels:
        write_all("library", folder / include, program.values(package))
    return sorted(path.relative_to(folder).as_posix() for path in (folder / "src").rglob("*.c"))


def write_for_arduino(package: Package, folder: Path) -> None:
    """The same as the Arduino IDE takes libraries: all in `src/`, and `library.properties`."""
    write(package, folder, include="src")
    _name_apart(folder / "src")
    write_all("library_properties", folder, values(package))


def _name_apart(sources: Path) -> None:
    """Give sources of faster tiers names of their own: `dsp/add.c` becomes `dsp/add_dsp.c`.

    The IDE puts objects into an archive one at a time, where a second one of the same name takes
    the first one's place.
    """
    for path in sources.glob("*/*.c"):
        path.rename(path.with_name(f"{path.stem}_{path.parent.name}.c"))


def flags() -> list[str]:
    """The compiler's flags for it, but those that leave out unused functions."""
    return list(machine.ENGINE_FLAGS)


def values(package: Package) -> dict[str, Any]:
    """What templates are filled with: the program's values, and the library's."""
    return {**program.values(package), "flags": flags()}
