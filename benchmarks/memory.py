"""Arena of real models, beside what others publish: resident and streamed input.

    python benchmarks/memory.py [MODEL.tflite ...] [--json]

Without arguments: the real models at hand. Ours is the whole arena with all kernel scratch of the
schedule of least memory, planned, at no extra MACs; `optimize` proves such schedules bit-exact.
The peers' figures are bytes that they publish or that were measured with their tools: TFLM with
CMSIS-NN (tensors and persistent state), TinyEngine and X-CUBE-AI (from TinyEngine's README,
thousands of bytes), TinyTS (arenas in its published code, HPCA 2024). `goal` is what this project
set out to reach.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from tflm_opt import codegen, graph, passes
from tflm_opt.errors import UnsupportedModel
from tflm_opt.patch_split.orders import search

SHARED = Path(__file__).resolve().parents[2] / "shared" / "models"
INPUTS = ("resident", "streamed")

# Bytes; pairs are (input resident, input streamed or not counted).
PEERS: dict[str, dict[str, Any]] = {
    "mcunet_vww1": {
        "tflm": 161_472 + 58_448,
        "tinyengine": 92_000,
        "x_cube_ai": 113_000,
        "tinyts": (36_960, 34_448),
        "goal": (26_000, 17_000),
    },
    "mcunet_in4": {
        "tinyengine": 416_000,
        "x_cube_ai": 342_000,
        "goal": (95_000, 60_000),
    },
    "mobilenet_v2_035_144": {
        "tflm": 311_040,
        "tinyengine": 308_000,
        "tinyts": (80_640, 52_672),
        "goal": (70_000, 38_000),
    },
    "mlperf_tiny_vww": {
        "tflm": 73_728 + 27_076,
        "x_cube_ai": 71_900,
        "tinyts": (29_568, 13_824),
        "goal": (28_700, 13_800),
    },
    "mlperf_tiny_ic": {
        "tflm": 49_728 + 5_364,
        "x_cube_ai": 63_800,
        "tinyts": (14_272, 13_568),
        "goal": (14_200, 13_500),
    },
    "mlperf_tiny_kws": {
        "tflm": 16_000 + 6_916,
        "x_cube_ai": 28_600,
        "tinyts": (9_920, 9_920),
        "goal": (9_000, 9_000),
    },
    "mlperf_tiny_ad": {"tflm": 768 + 1_908, "x_cube_ai": 6_500},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--json", action="store_true", help="print one JSON array")
    arguments = parser.parse_args()
    models = arguments.models or sorted(SHARED.glob("*.tflite"))
    rows = [row for path in models for row in model_rows(path)]
    print(json.dumps(rows, indent=2) if arguments.json else table(rows))


def model_rows(path: Path) -> list[dict[str, Any]]:
    """A row for each kind of input."""
    model = passes.run(graph.read(path.read_bytes(), str(path)), passes.default_pipeline())
    return [model_row(path.stem, model, kind) for kind in INPUTS]


def model_row(name: str, model: graph.Graph, kind: str) -> dict[str, Any]:
    """Ours and the peers' for one kind of input; ours is None where it can't be."""
    peers = PEERS.get(name, {})
    began = time.process_time()
    try:
        found = search(model, input=kind, scratch=codegen.scratch, access=codegen.access)
    except UnsupportedModel as error:
        found, reason = None, error.reason
    else:
        reason = None
    row: dict[str, Any] = {"model": name, "input": kind}
    row["arena"] = None if found is None else found.peak
    row["bound"] = None if found is None else found.bound
    row["goal"] = _side(peers.get("goal"), kind)
    row["layer_by_layer"] = None if found is None else found.front[0].peak
    row["tinyts"] = _side(peers.get("tinyts"), kind)
    for tool in ("tinyengine", "x_cube_ai", "tflm"):
        row[tool] = peers.get(tool) if kind == "resident" else None
    row["extra_macs"] = None if found is None else found.chosen.extra_macs
    row["seconds"] = round(time.process_time() - began, 1)
    row["reason"] = reason
    return row


def _side(pair: tuple[int, int] | None, kind: str) -> int | None:
    return None if pair is None else pair[INPUTS.index(kind)]


def table(rows: list[dict[str, Any]]) -> str:
    """A Markdown table."""
    columns = [column for column in rows[0] if column != "reason"] if rows else []
    cells = [[_cell(row[column]) for column in columns] for row in rows]
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]

    def line(texts: list[str]) -> str:
        return "| " + " | ".join(t.ljust(w) for t, w in zip(texts, widths, strict=True)) + " |"

    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    notes = [f"{row['model']}, {row['input']}: {row['reason']}" for row in rows if row["reason"]]
    return "\n".join([line(columns), rule, *map(line, cells), *notes])


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else str(value)


if __name__ == "__main__":
    main()
