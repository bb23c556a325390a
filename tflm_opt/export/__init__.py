"""Projects made from an optimization's result, or from the folder that it was saved to."""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tflm_opt.errors import TflmOptError

if TYPE_CHECKING:
    from tflm_opt.result import Result


RUNTIMES = ("engine", "tflm")  # generated C; or stock TFLM, see `export.tflm`


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of export.

    Attributes:
        module: in this package, with `fill(package, folder, **options)`.
        options: that `fill` takes.
        top: the folder that everything is in, inside its zip file; `{name}` is filled in.
        then: what a person does next; `{out}` and `{name}` are filled in.
        runtimes: that it is made for.
    """

    module: str
    options: frozenset[str] = frozenset()
    top: str = "{name}"
    then: str = ""
    runtimes: tuple[str, ...] = RUNTIMES


_IMPULSE = frozenset({"sensor", "frequency", "axes", "scaling", "threshold"})

KINDS = {
    "platformio": Kind(
        "platformio", frozenset({"board"}), then="pio run -d {out} -e qemu_m4 -t run"
    ),
    "c": Kind("c", then="make -C {out} run"),
    "cmake": Kind(
        "cmake", then="cmake -S {out} -B build && cmake --build build && ctest --test-dir build"
    ),
    "arduino": Kind("arduino", then="Sketch > Include Library > Add .ZIP Library: {out}"),
    "edge-impulse": Kind(
        "edge_impulse",
        _IMPULSE,
        top="",
        then="put {out} where Edge Impulse's C++ library was",
        runtimes=("engine",),
    ),
    "edge-impulse-arduino": Kind(
        "edge_impulse_arduino",
        _IMPULSE,
        top="{name}_inferencing",
        then="Sketch > Include Library > Add .ZIP Library: {out}",
        runtimes=("engine",),
    ),
}


def export(
    result: Result, kind: str, out: Path | str, *, force: bool = False, **options: Any
) -> Path:
    """See `Result.export`: `export(result, "platformio", "firmware", board="nucleo_f446re")`."""
    if not result.expected:
        raise TflmOptError("the result has no test vectors: optimize with verify=True to export")
    _check(kind, {key: options[key] for key in options.keys() - {"name", "labels"}})
    _check_out(out, force)
    with tempfile.TemporaryDirectory(prefix="tflm_opt-") as scratch:
        folder = result.save(Path(scratch) / "result")
        return export_saved(folder, kind, out, force=force, **options)


def export_saved(
    directory: Path | str,
    kind: str,
    out: Path | str,
    *,
    name: str | None = None,
    labels: Sequence[str] = (),
    force: bool = False,
    **options: Any,
) -> Path:
    """Write a project from a folder that `Result.save` or `tflm-opt optimize -o` wrote.

        export_saved("out", "arduino", "digits.zip", name="digits")

    Args:
        kind: of `KINDS`.
        out: a folder, or a zip file where it ends in ".zip"; it appears complete or not at all.
        name, labels: see `package.open_saved`.
        force: replace other files that are there.
        options: `runtime`, "engine" or "tflm" (see `export.tflm`), and those of that kind: `board`,
            the id of a real board, or a list of them ("platformio"); `sensor`, `frequency`,
            `axes`, `scaling` and `threshold` ("edge-impulse" and "edge-impulse-arduino": see
            `edge_impulse.fill`).

    Returns: `out`.

    Raises:
        TflmOptError: an unknown kind or option, a bad name, labels that don't match, a board that
            is too small.
        InvalidModel: the folder is something else. UnknownBoard, OutputExists.
    """
    from tflm_opt.export.package import open_saved

    _check(kind, options)
    _check_out(out, force)
    given = {option: value for option, value in options.items() if value is not None}
    runtime = given.pop("runtime", "engine")
    with (
        open_saved(directory, name=name, labels=labels) as package,
        _new(out, force, KINDS[kind].top.format(name=package.name)) as folder,
    ):
        if runtime == "tflm":
            from tflm_opt.export import tflm

            tflm.fill(kind, package, folder, **given)
        else:
            module = importlib.import_module(f"tflm_opt.export.{KINDS[kind].module}")
            module.fill(package, folder, **given)
    return Path(out)


def _check(kind: str, options: dict[str, Any]) -> None:
    if kind not in KINDS:
        raise TflmOptError(f"no export of kind {kind!r}; there is {', '.join(KINDS)}")
    runtime = options.get("runtime")
    if runtime is not None and runtime not in RUNTIMES:
        raise TflmOptError(f"no runtime {runtime!r}; there is {', '.join(RUNTIMES)}")
    if runtime is not None and runtime not in KINDS[kind].runtimes:
        raise TflmOptError(f"the {kind} export is for the engine alone, not runtime={runtime!r}")
    takes = KINDS[kind].options | {"runtime"}
    for option in sorted(option for option, value in options.items() if value is not None):
        if option not in takes:
            there = f"there is {', '.join(sorted(takes))}" if takes else "it has none"
            raise TflmOptError(f"no option {option!r} of the {kind} export; {there}")


def _is_archive(out: Path | str) -> bool:
    return str(out).lower().endswith(".zip")


def _check_out(out: Path | str, force: bool) -> None:
    from tflm_opt.export.archive import check_archive
    from tflm_opt.export.folder import check_folder

    (check_archive if _is_archive(out) else check_folder)(out, force=force)


def _new(out: Path | str, force: bool, top: str) -> AbstractContextManager[Path]:
    from tflm_opt.export.archive import atomic_archive
    from tflm_opt.export.folder import atomic_folder

    if _is_archive(out):
        return atomic_archive(out, force=force, top=top)
    return atomic_folder(out, force=force)
