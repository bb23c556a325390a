"""What least memory costs in instructions: the schedule of least arena against layer by layer.

    python benchmarks/streaming.py [MODEL.tflite ...] [--board qemu_m4] [--json]

Both run on an emulated board, with kernels that get no scratch; `ratio` is of their instructions,
which are not cycles. Their outputs are compared with each other byte for byte (that they are what
TFLM gives, `optimize` proves each time).
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from work import SHARED, planned

from tflm_opt import boards, codegen, graph, passes
from tflm_opt.arena import Plan
from tflm_opt.errors import UnsupportedModel
from tflm_opt.graph import Graph
from tflm_opt.patch_split.orders import search
from tflm_opt.patch_split.schedule import layer_by_layer
from tflm_opt.runtime import firmware, qemu, vectors


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--board", default="qemu_m4")
    parser.add_argument("--json", action="store_true", help="print one JSON array")
    arguments = parser.parse_args()
    board = boards.get(arguments.board)
    models = arguments.models or sorted(SHARED.glob("*.tflite"))
    rows = [row for path in models for row in model_rows(path, board)]
    print(json.dumps(rows, indent=2) if arguments.json else table(rows))


def table(rows: list[dict[str, Any]]) -> str:
    """As Markdown."""
    names = list(rows[0]) if rows else []
    lines = [names, ["---"] * len(names), *([_cell(row[name]) for name in names] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "NO"
    return f"{value:,}" if isinstance(value, int) else str(value)


def model_rows(path: Path, board: boards.Board) -> Iterator[dict[str, Any]]:
    """A row for each kind of input that the model can have."""
    model = passes.run(graph.read(path.read_bytes(), str(path)), passes.default_pipeline())
    plain = planned(model, layer_by_layer(model))
    whole = _run(model, plain, board)
    for kind in ("resident", "streamed"):
        try:
            found = search(model, input=kind, scratch=codegen.scratch, access=codegen.access)
        except UnsupportedModel:
            continue
        run = _run(found.chosen.graph, found.chosen.plan, board)
        same = [a.tobytes() for a in run.outputs[0]] == [b.tobytes() for b in whole.outputs[0]]
        yield {
            "model": path.stem,
            "input": kind,
            "arena": found.peak,
            "layer_by_layer": plain.peak,
            "instructions": run.instructions[0],
            "of_layer_by_layer": whole.instructions[0],
            "ratio": round(run.instructions[0] / whole.instructions[0], 4),
            "stack": run.stack,
            "same_bits": same,
        }


def _run(model: Graph, plan: Plan, board: boards.Board) -> qemu.QemuRun:
    with tempfile.TemporaryDirectory() as folder:
        codegen.write(codegen.generate(model, plan), Path(folder) / "model")
        program = firmware.build(Path(folder) / "model", board, Path(folder) / "build")
        return qemu.run(program, board, vectors.seeded(model.inputs, 1, seed=1))


if __name__ == "__main__":
    main()
