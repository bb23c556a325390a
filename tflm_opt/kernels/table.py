"""The kernel table, `table.toml`: one row a kernel, from which code, tests and docs are made.

The shape of it is that of XNNPACK's and CMSIS-NN's kernel tables: no kernel without a row, so
no kernel without a test.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent
INCLUDE = ROOT / "include"
SOURCES = ROOT / "src"

TIERS = ("portable", "dsp", "mve")
ACCESS_ORDERS = ("element", "row", "none")


@dataclass(frozen=True, slots=True)
class Kernel:
    """One row.

    Attributes:
        function: the C function.
        file: its source, relative to `src/<tier>/`.
        tiers: the folders that have one, of `TIERS`. What a tier's macros in `tflm_opt_tier.h`
            don't call for is left out by the compiler. A kernel without a portable source is
            part of others' faster ones.
        header: the file of `include/` that declares it.
        needs: other kernels that it calls.
        scratch: how many bytes of working memory it takes, for people.
        access: the order in which it writes. "element": each output element once, in memory
            order, after reading only that element's own window. "row": the same with whole
            output rows for elements. "none": no promise, inputs and outputs must not overlap.
        lines: the kernel that makes parts of rows. It takes the same arguments, but for the input's
            rows as `tflm_opt_lines`, and a span before the output.
        pixels: of a convolution, the kernel that makes pixels of those at the same places, without
            scratch. It takes no context and no dims but the input's, and the output's channels.
        general: the kernel that takes the same arguments, and others that this one doesn't check.
        without: the kernel that takes the same arguments where there is no scratch for this one.
            None: this one does, if it has any use for scratch at all.
        ops: the TFLite ops it serves.
        engine: whether generated code may call it. Others serve code written for CMSIS-NN only
            (docs/cmsis_nn.md).
    """

    function: str
    file: str
    header: str
    access: str
    tiers: tuple[str, ...] = ("portable",)
    needs: tuple[str, ...] = ()
    scratch: str = "0"
    lines: str | None = None
    pixels: str | None = None
    general: str | None = None
    without: str | None = None
    ops: tuple[str, ...] = ()
    engine: bool = True


# What inline functions of `tflm_opt_math.h` call: any kernel may.
_COMMON = ("tflm_opt_requantize_up",)

_TIERS_OF_CORES = {
    "cortex-m4": "dsp",
    "cortex-m7": "dsp",
    "cortex-m33": "dsp",
    "cortex-m55": "mve",
    "cortex-m85": "mve",
}


def tier_of(core: str) -> str:
    """The tier of kernels that a core runs, as `tflm_opt_tier.h` finds it.

    >>> tier_of("cortex-m4"), tier_of("cortex-m3")
    ('dsp', 'portable')
    """
    return _TIERS_OF_CORES.get(core, "portable")


def pace_of(core: str) -> str:
    """What the work of kernels is estimated by: a core's tier, or what is special within it.

    >>> pace_of("cortex-m0plus"), pace_of("cortex-m3")
    ('thumb1', 'portable')
    """
    return "thumb1" if core in ("cortex-m0", "cortex-m0plus", "cortex-m23") else tier_of(core)


@cache
def kernels() -> Mapping[str, Kernel]:
    """All kernels by function name, in the table's order."""
    try:
        import tomllib
    except ModuleNotFoundError:  # Python 3.10
        import tomli as tomllib  # pyright: ignore[reportMissingImports]

    rows: list[dict[str, Any]]
    rows = tomllib.loads((ROOT / "table.toml").read_text(encoding="utf-8"))["kernel"]
    table: dict[str, Kernel] = {}
    for row in rows:
        fields: dict[str, Any] = {
            key: tuple(v) if isinstance(v, list) else v for key, v in row.items()
        }
        kernel = Kernel(**fields)
        if kernel.function in table:
            raise ValueError(f"table.toml: {kernel.function} has two rows")
        if kernel.access not in ACCESS_ORDERS:
            raise ValueError(f"table.toml: {kernel.function}: access {kernel.access!r}")
        if not set(kernel.tiers) <= set(TIERS):
            raise ValueError(f"table.toml: {kernel.function}: tiers {kernel.tiers!r}")
        table[kernel.function] = kernel
    return table


def closure(functions: Iterable[str]) -> tuple[Kernel, ...]:
    """The kernels of these names and all that they call, sorted by name."""
    found: dict[str, Kernel] = {}
    todo = [*functions, *_COMMON]
    while todo:
        name = todo.pop()
        if name not in found:
            found[name] = kernels()[name]
            todo.extend(found[name].needs)
    return tuple(found[name] for name in sorted(found))


def source(kernel: Kernel, tier: str = "portable") -> Path:
    """The C file of a kernel."""
    return SOURCES / tier / kernel.file


def headers() -> tuple[Path, ...]:
    """Every header of the library, sorted."""
    return tuple(sorted(INCLUDE.glob("*.h")))
