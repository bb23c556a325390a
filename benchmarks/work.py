"""What bands add to the instructions of a model, measured, and the search's estimate of it.

    python benchmarks/work.py [MODEL.tflite ...] [--board qemu_m4] [--json]

Schedules of real models run on an emulated board: layer by layer, those on the search's front, and
blind ones (every stage as long as it can be, at one band). What each runs beyond layer by layer is
explained by how many kernel calls there are beyond one an op, apart for calls on rows and for
calls on a few pixels of a row, how many bytes of kept rows move within stages, and how many bytes
of whole tensors move between stages (`Plan.moves`, which layer by layer has too): a least squares
fit says what one of each costs. `cost.CALL_WORK`, `cost.BYTE_WORK` and `cost.PIXELS_WORK` are its
constants, rounded. Instructions, not cycles.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from tflm_opt import arena, boards, codegen, graph, passes
from tflm_opt.graph import Graph
from tflm_opt.patch_split import cost
from tflm_opt.patch_split.column_cost import column_calls, column_moves
from tflm_opt.patch_split.columns import column_walk
from tflm_opt.patch_split.regions import NotStreamable
from tflm_opt.patch_split.row_cost import extra_calls, moved_bytes
from tflm_opt.patch_split.schedule import Schedule, Stage, layer_by_layer
from tflm_opt.patch_split.search import search
from tflm_opt.patch_split.walk import walk, walks
from tflm_opt.runtime import firmware, qemu, vectors

SHARED = Path(__file__).resolve().parents[2] / "shared" / "models"
SMALL = ("mlperf_tiny_ic", "mlperf_tiny_kws", "mlperf_tiny_vww")
BANDS = (Fraction(1, 8), Fraction(1, 2), 1, 2, 4, 8)


@dataclass(frozen=True, slots=True)
class Row:
    """One schedule that ran.

    Attributes:
        instructions: beyond layer by layer, measured.
        calls, pixel_calls: kernel calls beyond one an op, on rows and on a few pixels.
        moved: bytes of kept rows.
        between: bytes of whole tensors, beyond layer by layer.
    """

    model: str
    schedule: str
    whole: int
    instructions: int
    calls: int
    pixel_calls: int
    moved: int
    between: int

    @property
    def estimate(self) -> int:
        """By the constants of the search."""
        calls = self.calls * cost.CALL_WORK + self.pixel_calls * cost.PIXELS_WORK
        return round(calls + self.moved * cost.BYTE_WORK)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--board", default="qemu_m4")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    models = arguments.models or [SHARED / f"{name}.tflite" for name in SMALL]
    rows = [row for path in models for row in model_rows(path, boards.get(arguments.board))]
    found = fitted(rows)
    if arguments.json:
        values = [{**asdict(row), "estimate": row.estimate} for row in rows]
        print(json.dumps({"rows": values, "fit": found}, indent=2))
        return
    print(
        "| model | schedule | calls | pixel calls | moved | between | added | estimate | of all |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for row in rows:
        error = (row.estimate - row.instructions) / row.whole
        counts = f"{row.calls:,} | {row.pixel_calls:,} | {row.moved:,} | {row.between:,}"
        added = f"{row.instructions:,} | {row.estimate:,} | {error:+.2%}"
        print(f"| {row.model} | {row.schedule} | {counts} | {added} |")
    print(", ".join(f"{name} {value:.3g}" for name, value in found.items()))


def model_rows(path: Path, board: boards.Board) -> Iterator[Row]:
    """All schedules of a model, but for the one that all are compared with."""
    model = passes.run(graph.read(path.read_bytes(), str(path)), passes.default_pipeline())
    layers = planned(model, layer_by_layer(model))
    whole, between = instructions(model, layers, board), moved_between(layers)
    for name, schedule in schedules(model):
        plan = planned(model, schedule)
        calls, pixels, moved = counts(model, schedule)
        added = instructions(model, plan, board) - whole
        further = moved_between(plan) - between
        yield Row(path.stem, name, whole, added, calls, pixels, moved, further)


def planned(model: Graph, schedule: Schedule) -> arena.Plan:
    return arena.plan(model, schedule, scratch=codegen.scratch, access=codegen.access)


def moved_between(plan: arena.Plan) -> int:
    """Bytes of tensors that the plan moves before an op."""
    return sum(move.size for moves in plan.moves.values() for move in moves)


def schedules(model: Graph) -> Iterator[tuple[str, Schedule]]:
    """Distinct schedules with bands, by name."""
    found: dict[Schedule, str] = {}
    front = search(model, scratch=codegen.scratch, access=codegen.access).front
    for number, point in enumerate(front):
        found.setdefault(point.schedule, f"front {number}")
    for band in BANDS:
        found.setdefault(blind(model, band), f"band {band}")
    for schedule, name in found.items():
        if any(stage.band is not None for stage in schedule.stages):
            yield name, schedule


def blind(model: Graph, band: int | Fraction) -> Schedule:
    """Every stage as long as its ops allow."""
    stages: list[Stage] = []
    at = 0
    while at < len(model.ops):
        ops = model.ops[at:]
        stage = Stage(ops[:1])
        while ops:
            try:
                walk(model, Stage(ops, band))
            except NotStreamable as error:
                ops = ops[: ops.index(error.at)]
            else:
                stage = Stage(ops, band)
                break
        stages.append(stage)
        at += len(stage.ops)
    return Schedule(tuple(stages))


def counts(model: Graph, schedule: Schedule) -> tuple[int, int, int]:
    """(calls on rows, calls on pixels, bytes moved) beyond layer by layer."""
    calls = pixels = moved = 0
    for stage, steps in walks(model, schedule).items():
        if stage.columns is None:
            calls += extra_calls(steps)
            moved += moved_bytes(steps)
        else:
            parts = column_walk(steps)
            pixels += column_calls(parts)
            moved += column_moves(parts)
    return calls, pixels, moved


def instructions(model: Graph, plan: arena.Plan, board: boards.Board) -> int:
    """Of one inference on an emulated board."""
    with tempfile.TemporaryDirectory() as folder:
        codegen.write(codegen.generate(model, plan), Path(folder) / "model")
        program = firmware.build(Path(folder) / "model", board, Path(folder) / "build")
        return qemu.run(program, board, vectors.seeded(model.inputs, 1, seed=1)).instructions[0]


def fitted(rows: list[Row]) -> dict[str, Any]:
    """Instructions of one call, of one call on pixels and of one byte; and what is left over.

    The errors are fractions of the instructions layer by layer; that of the estimate leaves out
    what whole tensors move, which the search does not know.
    """
    terms = np.array([[r.calls, r.pixel_calls, r.moved, r.between] for r in rows], np.float64)
    used = np.abs(terms).max(axis=0) > 0
    added = np.array([row.instructions for row in rows], np.float64)
    # Every model counts alike, whatever its size.
    weights = 1 / np.array([row.whole for row in rows], np.float64)
    solved, *_ = np.linalg.lstsq(terms[:, used] * weights[:, None], added * weights, rcond=None)
    every = ("call", "pixel_call", "byte", "between")
    names = [name for name, one in zip(every, used.tolist(), strict=True) if one]
    found = dict(zip(names, solved, strict=True))
    left = (terms[:, used] @ solved - added) * weights
    estimates = np.array([row.estimate - row.instructions for row in rows]) * weights
    return {
        **{name: float(value) for name, value in found.items()},
        "largest_error_of_fit": float(np.abs(left).max()),
        "largest_error_of_estimate": float(np.abs(estimates).max()),
    }


if __name__ == "__main__":
    main()
