"""What kernels cost on emulated cores: instructions per multiply-accumulate, or per output.

    python benchmarks/kernels.py [--board qemu_m4] [--only CONV_2D] [--smallest] [--json]
    python benchmarks/kernels.py --against REV       # and what the kernels of that commit cost
    python benchmarks/kernels.py --models            # whole nets, beside what others reach

Every row is a model of one op with seeded weights (`kernel_cases`), optimized and run like any
other model over several vectors, and compared with TFLM byte for byte. The count is of one whole
inference: instructions, not cycles, with the call from the harness, requantization and whatever
is prepared in scratch. Ops get the scratch that makes them fastest, or with --smallest none; whole
nets are those of a budget, or with --smallest what `optimize` makes for a Cortex-M4 without one.
Boards stand for tiers: qemu_m3 has the portable kernels, qemu_m4 those for DSP instructions,
qemu_m55 those for vectors. Multiply-accumulates are counted in the padding too, as everywhere.

`arena` is input, output and scratch; `code` and `stack` are of the linked model, and include the
small part that is generated. Goals that are missed are marked.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from kernel_cases import Case, goal, model, sweep
from peers import BUDGETS, COUNTED, SMALLEST

import tflm_opt
from tflm_opt import api
from tflm_opt.errors import DoesNotFit
from tflm_opt.measure import measure

ROOT = Path(__file__).resolve().parents[1]
MODELS = ROOT.parent / "shared" / "models"
VECTORS = 3


def main() -> int:
    """Exit status: 0 if every row is equal to TFLM."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--board", default="qemu_m4", help="an emulated board")
    parser.add_argument("--only", default="", help="only rows that have this in kind or layer")
    parser.add_argument("--models", action="store_true", help="whole nets")
    parser.add_argument("--smallest", action="store_true", help="the least memory, not a budget")
    parser.add_argument("--against", metavar="REV", help="a commit to compare with")
    parser.add_argument("--json", action="store_true", help="print one JSON array")
    options = parser.parse_args()
    if options.models and options.smallest and options.board != api.DEFAULT_BOARD:
        parser.error(f"without a budget, nets are made for {api.DEFAULT_BOARD}")
    make = model_rows if options.models else kernel_rows
    rows = list(make(options.board, options.only, options.smallest))
    if options.against:
        rows = compared(rows, before(options.against, sys.argv[1:]))
    print(json.dumps(rows, indent=2) if options.json else table(rows))
    return int(not all(row["bit_exact"] for row in rows))


def kernel_rows(board: str, only: str, smallest: bool) -> Iterator[dict[str, Any]]:
    for case in sweep():
        if only in f"{case.kind} {case.name}":
            yield kernel_row(case, board, smallest)


def kernel_row(case: Case, board: str, smallest: bool) -> dict[str, Any]:
    data, macs, outputs = model(case)
    counted = inference(data, board, 1 if smallest else None, target=board)
    cost = counted["instructions"] / (macs or outputs)
    most = goal(case, board)
    return {
        "kind": case.kind,
        "layer": case.name,
        "per": "mac" if macs else "output",
        "units": macs or outputs,
        "instructions": counted["instructions"],
        "cost": round(cost, 3),
        "goal": most,
        "met": None if most is None else cost <= most,
        **{key: counted[key] for key in ("arena", "code", "stack", "bit_exact")},
    }


def model_rows(board: str, only: str, smallest: bool) -> Iterator[dict[str, Any]]:
    for name, budget in BUDGETS.items():
        if only in name:
            yield model_row(name, board, None if smallest else budget)


def model_row(name: str, board: str, budget: int | None) -> dict[str, Any]:
    path = MODELS / f"{name}.tflite"
    # Without a budget; an emulated board's memory would be one, and none means a Cortex-M4.
    counted = inference(path, board, budget, target=None if budget is None else board)
    return {
        "model": name,
        "budget": budget,
        **compared_with_others(counted["instructions"], board, name, budget is None),
        "macs": counted["macs"],
        "cost": round(counted["instructions"] / counted["macs"], 3),
        **{key: counted[key] for key in ("sram", "arena", "code", "stack", "bit_exact")},
    }


def compared_with_others(count: int, board: str, name: str, smallest: bool) -> dict[str, Any]:
    """Our count between those of others on the same core, where anybody counted."""
    peers = COUNTED.get(board, {}).get(name)
    if peers is None:
        return {"instructions": count}
    most = int(peers.goal * SMALLEST) if smallest else peers.goal
    return {
        **peers.others,
        "goal": most,
        "instructions": count,
        "met": count <= most,
        "of_best": round(count / min(peers.others.values()), 3),
    }


def inference(data: Any, board: str, budget: int | None, *, target: str | None) -> dict[str, Any]:
    """Figures of one inference on an emulated board of a model optimized for a target."""
    try:
        result = tflm_opt.optimize(data, budget, board=target, vectors=VECTORS, verbose=0)
    except DoesNotFit as missed:  # by a byte or by far: the best there is
        result = missed.best
    with tempfile.TemporaryDirectory() as folder:
        result.save(Path(folder) / "out")
        measured = measure(Path(folder) / "out", board)
    return {
        "instructions": measured["instructions"],
        "macs": result.macs,
        "sram": result.sram.total,
        "arena": measured["arena"],
        "code": measured["flash"]["code"],
        "stack": measured["stack_worst_case"],
        "bit_exact": bool(result.bit_exact and measured["bit_exact"]),
    }


def before(revision: str, arguments: list[str]) -> list[dict[str, Any]]:
    """The same rows with the library and the kernels of a commit, by this script as it is now."""
    at = arguments.index("--against") if "--against" in arguments else None
    rest = arguments[:at] + arguments[at + 2 :] if at is not None else list(arguments)
    rest = [word for word in rest if not word.startswith("--against=") and word != "--json"]
    archive = subprocess.run(
        ["git", "archive", revision, "tflm_opt"], cwd=ROOT, capture_output=True, check=False
    )
    if archive.returncode:
        raise SystemExit(f"no commit {revision}: {archive.stderr.decode().strip()}")
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
            files.extractall(folder, filter="data")
        done = subprocess.run(
            [sys.executable, str(Path(__file__).resolve()), *rest, "--json"],
            env={**os.environ, "PYTHONPATH": folder},
            stdout=subprocess.PIPE,
            check=False,
        )
    if not done.stdout:
        raise SystemExit(f"the library of {revision} can't run these cases; see above")
    return json.loads(done.stdout)


def compared(rows: list[dict[str, Any]], old: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows with the counts of before, and what the new ones are of them."""
    made = []
    for row, was in zip(rows, old, strict=True):
        ratio = round(row["instructions"] / was["instructions"], 3)
        place = list(row).index("instructions") + 1
        items = list(row.items())
        more = [("before", was["instructions"]), ("ratio", ratio)]
        made.append(dict(items[:place] + more + items[place:]))
    return made


def table(rows: list[dict[str, Any]]) -> str:
    columns = list(dict.fromkeys(column for line in rows for column in line))
    cells = [[_cell(line.get(column)) for column in columns] for line in rows]
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]

    def line(texts: list[str], rule: Callable[[str, int], str] = str.ljust) -> str:
        return "| " + " | ".join(rule(t, w) for t, w in zip(texts, widths, strict=True)) + " |"

    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    missed = sum(line.get("met") is False for line in rows)
    goals = sum(line.get("met") is not None for line in rows)
    wrong = sum(not line["bit_exact"] for line in rows)
    tail = f"{len(rows)} rows, {goals - missed} of {goals} goals met, {wrong} not equal to TFLM"
    return "\n".join([line(columns), rule, *map(line, cells), tail])


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "NO"
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else str(value)


if __name__ == "__main__":
    sys.exit(main())
