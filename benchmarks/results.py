"""What `optimize` makes of real models: memory, flash and instructions, all measured.

    python benchmarks/results.py [MODEL.tflite ...] [--net mobilenet_v2_035_96 ...]
                                 [--board qemu_m4] [--json]

Without arguments: the six models that the project's tests use, where they are at hand; `--net`
builds one of the tests' Keras nets and starts from that. `least` is the least arena that was found,
`arena` and all that follows of what `optimize` chooses by itself: the least that is not much slower
than the fastest. `layer_by_layer` is an arena without streamed stages, and without scratch. Flash
is that of the linked engine, instructions those of one inference on the emulated board
(instructions, not cycles), TFLM's memory that of its own allocator on this 64-bit computer, seconds
those of `optimize`, quantization included.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import tflm_opt
from tflm_opt import arena, codegen
from tflm_opt.measure import measure
from tflm_opt.patch_split.schedule import layer_by_layer

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "models"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--net", action="append", default=[], help="a Keras net of the tests")
    parser.add_argument("--board", default="qemu_m4", help="an emulated board")
    parser.add_argument("--json", action="store_true", help="print one JSON array")
    arguments = parser.parse_args()
    models = arguments.models
    if not models and not arguments.net:
        models = sorted(SHARED.glob("*.tflite"))
    rows = [row(path.stem, path, None, arguments.board) for path in models]
    rows += [row(name, *keras_net(name), arguments.board) for name in arguments.net]
    print(json.dumps(rows, indent=2) if arguments.json else table(rows))


def keras_net(name: str) -> tuple[Any, Any]:
    """A Keras net of the tests with calibrated batch-norm, and data to quantize it with."""
    sys.path.insert(0, str(ROOT / "tests"))
    from models import builders, large

    return (large if name in large.BUILDERS else builders).build(name)


def row(name: str, model: Any, calibration: Any, board: str) -> dict[str, Any]:
    began = time.monotonic()
    result = tflm_opt.optimize(model, calibration=calibration, verbose=0)
    seconds = time.monotonic() - began
    g = result.graph
    layers = arena.plan(g, layer_by_layer(g), scratch=codegen.scratch, access=codegen.access)
    with tempfile.TemporaryDirectory() as folder:
        result.save(Path(folder) / "out")
        measured = measure(Path(folder) / "out", board)
    assert result.tflm is not None
    return {
        "model": name,
        "least": result.front[-1].peak,
        "arena": result.sram.arena,
        "layer_by_layer": layers.peak,
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
