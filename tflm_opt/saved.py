"""A result as a folder, and back.

DIR/
  model.tflite     for stock TFLM, the arena plan inside
  src/, include/   the engine: generated C and the kernels it calls
  model.json       what the engine is, for tools
  vectors.npz      test inputs, and TFLM's outputs on the model that came in
  plan.svg         the arena: address against time
  front.svg        arena against estimated work: all schedules found, the chosen one marked
  report.json      every figure
  report.txt       the same for people
  report.html      the same as a page: pictures and tables, in one file
  report.csv       a row a layer
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import InvalidModel, TflmOptError

if TYPE_CHECKING:
    from .result import Result

TFLITE = "model.tflite"
VECTORS = "vectors.npz"
REPORT = "report.json"


def save(result: Result, directory: Path, *, force: bool = False) -> Path:
    """See `Result.save`."""
    from . import arena, codegen
    from .export.folder import atomic_folder
    from .report.layers import layers_csv

    with atomic_folder(directory, force=force) as folder:
        codegen.write(result.sources, folder)
        (folder / TFLITE).write_bytes(result.tflite)
        (folder / VECTORS).write_bytes(pack_vectors(result.samples, result.expected))
        (folder / "plan.svg").write_text(arena.picture.svg(result.plan), "utf-8")
        if result.front:
            (folder / "front.svg").write_text(result.plot(), "utf-8")
        (folder / REPORT).write_text(result.to_json(), "utf-8")
        (folder / "report.txt").write_text(str(result) + "\n", "utf-8")
        (folder / "report.html").write_text(result.to_html(), "utf-8", newline="\n")
        (folder / "report.csv").write_text(layers_csv(result.to_dict()), "utf-8", newline="")
    return directory


def pack_vectors(
    samples: Sequence[Sequence[np.ndarray]], expected: Sequence[Sequence[np.ndarray]]
) -> bytes:
    """Samples and expected outputs as an `.npz`: `input<i>` and `output<i>`, each (n, *shape)."""
    arrays: dict[str, Any] = {"count": np.array(len(samples))}
    for kind, rows in (("input", samples), ("output", expected)):
        for i, column in enumerate(zip(*rows, strict=True)):
            arrays[f"{kind}{i}"] = np.stack(column)
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def load_vectors(directory: Path) -> tuple[list[list[np.ndarray]], list[list[np.ndarray]]]:
    """The samples and expected outputs of a saved folder.

    Raises:
        InvalidModel: the folder is not one that `save` wrote.
    """
    path = directory / VECTORS
    try:
        with np.load(path, allow_pickle=False) as arrays:
            count = int(arrays["count"])
            return _rows(arrays, "input", count), _rows(arrays, "output", count)
    except (OSError, ValueError, KeyError) as error:
        raise InvalidModel(
            f"no test vectors ({error}): give a folder that `tflm-opt optimize -o` wrote",
            source=str(directory),
        ) from error


def _rows(arrays: Any, kind: str, count: int) -> list[list[np.ndarray]]:
    columns = []
    while f"{kind}{len(columns)}" in arrays:
        columns.append(arrays[f"{kind}{len(columns)}"])
    return [[column[i] for column in columns] for i in range(count)]


def load_report(directory: Path) -> dict[str, Any]:
    """The figures of a saved folder.

    Raises:
        InvalidModel: as `load_vectors`.
    """
    try:
        return json.loads((directory / REPORT).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidModel(
            f"no {REPORT} ({error}): give a folder that `tflm-opt optimize -o` wrote",
            source=str(directory),
        ) from error


def report_text(directory: Path, kind: str, board: str | None = None) -> str:
    """A saved folder's report once more: "html", "json" or "csv", with a profile if asked.

    Args:
        board: whose instructions to count, as for `tflm_opt.profile`; None for what is saved.

    Raises:
        InvalidModel: no folder of ours, or one of an older version.
    """
    from .report.data import FORMAT
    from .report.layers import layers_csv
    from .report.page import page

    data = load_report(directory)
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise InvalidModel(
            f"{REPORT} is of another version: make it again with `tflm-opt optimize -o`",
            source=str(directory),
        )
    if board is not None:
        from .profiling import profile

        data["profile"] = profile(directory, board).to_dict()
    try:
        match kind:
            case "html":
                return page(data)
            case "csv":
                return layers_csv(data)
            case "json":
                return json.dumps(data, indent=2) + "\n"
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidModel(
            f"{REPORT} is not what `tflm-opt optimize -o` wrote ({error!r}): make it again",
            source=str(directory),
        ) from error
    raise TflmOptError(f"a report is .html, .json or .csv, not {kind!r}")
