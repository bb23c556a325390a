"""Budgets between the least arena and that of layer by layer: is each met, and at what cost?

    python benchmarks/budgets.py [MODEL.tflite ...] [--budgets 20] [--max-extra-macs F] [--json]

Without arguments: the real models at hand. For each model and kind of input, budgets are spread
evenly from the least arena to that of the fastest schedule. One is *met* if the schedule found
for it needs no more; it is *dear* if the front has a point within the budget with fewer extra MACs,
or with as many and less estimated work. `unused` is the share of a budget that was left over, at
most. Exit status 1 if a budget was missed, or was met by a dearer schedule than the front's.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tflm_opt import codegen, graph, passes
from tflm_opt.errors import UnsupportedModel
from tflm_opt.patch_split.search import Point, Search

SHARED = Path(__file__).resolve().parents[2] / "shared" / "models"
INPUTS = ("resident", "streamed")


@dataclass(frozen=True, slots=True)
class Trial:
    """One budget.

    Attributes:
        budget: bytes of arena.
        peak: of the schedule found for it.
        extra_macs: of that schedule, as a fraction of all; `front_macs`: of the front's best
            point within the budget.
        work: estimated instructions beyond layer by layer; `front_work`: likewise.
    """

    budget: int
    peak: int
    extra_macs: float
    front_macs: float
    work: int
    front_work: int

    @property
    def met(self) -> bool:
        return self.peak <= self.budget

    @property
    def dear(self) -> bool:
        return (self.extra_macs, self.work) > (self.front_macs, self.front_work)


def trials(runs: Search, count: int) -> list[Trial]:
    """`count` budgets from the least arena to the fastest schedule's, both included.

    The front is the one known before any budget was asked for.
    """
    front = runs.found().front
    least, most = front[-1].peak, front[0].peak
    return [_trial(runs, front, int(b)) for b in np.linspace(least, most, count).round()]


def _trial(runs: Search, front: Sequence[Point], budget: int) -> Trial:
    chosen = runs.found(budget).chosen
    best = min((p for p in front if p.peak <= budget), key=_cost)
    return Trial(budget, chosen.peak, *_pair(chosen, best))


def _cost(point: Point) -> tuple[float, int]:
    return point.extra_macs, point.work


def _pair(chosen: Point, best: Point) -> tuple[float, float, int, int]:
    return chosen.extra_macs, best.extra_macs, chosen.work, best.work


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--budgets", type=int, default=20, metavar="N", help="a model and input")
    parser.add_argument("--max-extra-macs", type=float, metavar="F", help="as `optimize` has it")
    parser.add_argument("--json", action="store_true", help="print one JSON array")
    options = parser.parse_args(arguments)
    more = {} if options.max_extra_macs is None else {"max_extra_macs": options.max_extra_macs}
    rows = [
        row
        for path in options.models or sorted(SHARED.glob("*.tflite"))
        for row in model_rows(path, options.budgets, more)
    ]
    print(json.dumps(rows, indent=2) if options.json else text(rows))
    return int(any(row["missed"] or row["dear"] for row in rows))


def model_rows(path: Path, count: int, more: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each kind of input that the model can have."""
    model = passes.run(graph.read(path.read_bytes(), str(path)), passes.default_pipeline())
    rows = []
    for kind in INPUTS:
        began = time.process_time()
        try:
            found = trials(searching(model, kind, more), count)
        except UnsupportedModel:
            continue
        rows.append(row(path.stem, kind, found, time.process_time() - began))
    return rows


def searching(model: graph.Graph, kind: str, more: dict[str, Any]) -> Search:
    """The search that `optimize` asks."""
    return Search(model, input=kind, scratch=codegen.scratch, access=codegen.access, **more)


def row(name: str, kind: str, found: Sequence[Trial], seconds: float) -> dict[str, Any]:
    return {
        "model": name,
        "input": kind,
        "least": found[0].budget,
        "fastest": found[-1].budget,
        "budgets": len(found),
        "missed": sum(not trial.met for trial in found),
        "dear": sum(trial.met and trial.dear for trial in found),
        "unused": max(round(1 - trial.peak / trial.budget, 3) for trial in found),
        "extra_macs": max(round(trial.extra_macs, 4) for trial in found),
        "seconds": round(seconds, 1),
        "trials": [asdict(trial) | {"met": trial.met, "dear": trial.dear} for trial in found],
    }


def text(rows: Sequence[dict[str, Any]]) -> str:
    """A Markdown table, and a line for each budget that was missed or met dearly."""
    columns = [column for column in (rows[0] if rows else ()) if column != "trials"]
    cells = [[_cell(row[column]) for column in columns] for row in rows]
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]

    def line(texts: Sequence[str]) -> str:
        return "| " + " | ".join(t.ljust(w) for t, w in zip(texts, widths, strict=True)) + " |"

    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([line(columns), rule, *map(line, cells), *_notes(rows)])


def _notes(rows: Sequence[dict[str, Any]]) -> list[str]:
    return [
        f"{row['model']}, {row['input']}: budget {t['budget']:,} got {t['peak']:,} at "
        f"{t['extra_macs']:.1%} extra MACs and {t['work']:,} instructions; the front has "
        f"{t['front_macs']:.1%} and {t['front_work']:,}"
        for row in rows
        for t in row["trials"]
        if not t["met"] or t["dear"]
    ]


def _cell(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


if __name__ == "__main__":
    sys.exit(main())
