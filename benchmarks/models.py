"""What `optimize` makes of real models: memory, flash and instructions, all measured.

    python benchmarks/models.py MODEL.tflite ... [--board qemu_m4] [--json]

Without arguments: the six models that the project's tests use, where they are at hand. Arena and
flash are those of the linked engine, instructions those of one inference on the emulated board
(instructions, not cycles), TFLM's memory that of its own allocator on this 64-bit computer.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import tflm_opt
from tflm_opt.measure import measure

SHARED = Path(__file__).resolve().parents[2] / "shared" / "models"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--board", default="qemu_m4", help="an emulated board")
    parser.add_argument("--json", action="store_true", help="print one JSON array")
    arguments = parser.parse_args()
    models = arguments.models or sorted(SHARED.glob("*.tflite"))
    rows = [row(path, arguments.board) for path in models]
    print(json.dumps(rows, indent=2) if arguments.json else table(rows))


def row(path: Path, board: str) -> dict[str, Any]:
    began = time.monotonic()
    result = tflm_opt.optimize(path, board=board, verbose=0)
    seconds = time.monotonic() - began
    with tempfile.TemporaryDirectory() as folder:
        result.save(Path(folder) / "out")
        measured = measure(Path(folder) / "out", board)
    assert result.tflm is not None
    return {
        "model": path.stem,
        "arena": result.sram.arena,
        "arena_bound": result.plan.bound,
        "sram": result.sram.total,
        "flash": result.flash.total,
        "macs": result.macs,
        "instructions": measured["instructions"],
        "tflm_before": result.tflm.before.total,
        "tflm_after": result.tflm.after.total,
        "bit_exact": bool(result.bit_exact and measured["bit_exact"]),
        "seconds": round(seconds, 1),
    }


def table(rows: list[dict[str, Any]]) -> str:
    columns = list(rows[0]) if rows else []
    cells = [[_cell(row[column]) for column in columns] for row in rows]
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]

    def line(texts: list[str]) -> str:
        return "| " + " | ".join(t.ljust(w) for t, w in zip(texts, widths, strict=True)) + " |"

    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([line(columns), rule, *map(line, cells)])


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "NO"
    return f"{value:,}" if isinstance(value, int) else str(value)


if __name__ == "__main__":
    main()
