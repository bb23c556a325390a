"""Projects made from an optimization's result: PlatformIO, with real and emulated boards."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tflm_opt.errors import TflmOptError

if TYPE_CHECKING:
    from tflm_opt.result import Result

KINDS = ("platformio",)
VECTORS = 4  # test vectors that a project stores: they cost flash


def export(
    result: Result, kind: str, directory: Path | str, *, force: bool = False, **options: Any
) -> Path:
    """See `Result.export`: `export(result, "platformio", "firmware", board="nucleo_f446re")`.

    Args:
        options: of "platformio": `board`, the id of a real board, or a list of them.

    Raises:
        TflmOptError: an unknown kind or option, or a result without test vectors.
        UnknownBoard, OutputExists.
    """
    if kind not in KINDS:
        raise TflmOptError(f"no export of kind {kind!r}; there is {', '.join(KINDS)}")
    return _platformio(result, directory, force=force, **_checked(options))


def _checked(options: dict[str, Any]) -> dict[str, Any]:
    unknown = sorted(set(options) - {"board"})
    if unknown:
        raise TflmOptError(f"no option {unknown[0]!r} of the PlatformIO export; there is 'board'")
    return options


def _platformio(
    result: Result, directory: Path | str, *, force: bool, board: str | list[str] | None = None
) -> Path:
    from tflm_opt import codegen
    from tflm_opt.export import platformio

    if not result.expected:
        raise TflmOptError("the result has no test vectors: optimize with verify=True to export")
    boards = platformio.DEFAULT_BOARDS if board is None else board
    vectors = list(zip(result.samples, result.expected, strict=True))[:VECTORS]
    with tempfile.TemporaryDirectory(prefix="tflm_opt-") as folder:
        codegen.write(result.sources, folder)
        return platformio.write(
            folder,
            directory,
            vectors=vectors,
            boards=[boards] if isinstance(boards, str) else boards,
            force=force,
        )
