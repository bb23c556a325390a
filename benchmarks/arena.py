"""Peaks, lower bound and time of the arena planner, on real models and on random problems.

    python benchmarks/arena.py ../shared/models/*.tflite [--random 1000] [--json]

Engine plans overlap as far as the portable kernels' access order allows; times are processor
seconds of planning alone, passes and reading left out. `greedy` is the best of the planner's fixed
orders, `improved` what its local search makes of it, `exact` what comes of it with branch and bound
(a peak equal to `bound` is proved optimal), all for the same buffers.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from pathlib import Path
from typing import Any

from tflm_opt import arena, codegen, graph, passes
from tflm_opt.errors import UnsupportedModel
from tflm_opt.graph import Op
from tflm_opt.patch_split.schedule import layer_by_layer


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--random", type=int, default=200, metavar="N", help="random problems")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    result = {
        "models": [row for path in options.models for row in model_rows(path)],
        "random": random_rows(options.random, options.seed),
    }
    print(json.dumps(result, indent=2) if options.json else text(result))
    return 0


def model_rows(path: Path) -> list[dict[str, Any]]:
    """A row for each way to run the model: as it came in, after passes, and for which runtime."""
    original = graph.read(path.read_bytes(), str(path))
    optimized = passes.run(original, passes.default_pipeline())
    legal = passes.run(optimized, (passes.Legalize(),))
    cases = (
        ("tflm, as it came", original, "tflm"),
        ("tflm", legal, "tflm"),
        ("engine, no overlaps", optimized, "apart"),
        ("engine", optimized, "engine"),
    )
    rows = []
    for label, model, kind in cases:
        start = time.process_time()
        plan = arena.plan(
            model,
            layer_by_layer(model),
            target="tflm" if kind == "tflm" else "engine",
            access=access if kind == "engine" else None,
            moves=kind == "engine",
        )
        seconds = round(time.process_time() - start, 4)
        rows.append(
            {
                "model": path.name,
                "plan": label,
                "greedy": arena.solve(plan.problem, work=0, proof=0).peak,
                "improved": arena.solve(plan.problem, proof=0).peak,
                "exact": plan.peak,
                "bound": plan.bound,
                "moves": len(plan.moves),
                "buffers": len(plan.problem.buffers),
                "seconds": seconds,
                "violations": len(arena.validate(plan.problem, plan.places, plan.peak)),
            }
        )
    return rows


def access(op: Op) -> int | None:
    try:
        return codegen.access(op)
    except UnsupportedModel:
        return None


def random_rows(count: int, seed: int) -> dict[str, Any]:
    """Random problems of 5 to 60 buffers, a third of them with overlaps."""
    rng = random.Random(seed)
    seconds, optimal, violations = [], 0, 0
    excess: dict[str, list[float]] = {"greedy": [], "improved": [], "exact": []}
    for _ in range(count):
        problem = random_problem(rng)
        start = time.process_time()
        solution = arena.solve(problem)
        seconds.append(time.process_time() - start)
        violations += len(arena.validate(problem, solution.offsets, solution.peak))
        optimal += solution.is_optimal
        peaks = {
            "greedy": arena.solve(problem, work=0, proof=0).peak,
            "improved": arena.solve(problem, proof=0).peak,
            "exact": solution.peak,
        }
        for kind, peak in peaks.items():
            excess[kind].append(peak / solution.bound - 1 if solution.bound else 0.0)
    return {
        "problems": count,
        "optimal": optimal,
        "violations": violations,
        "mean_excess": {k: round(sum(v) / max(count, 1), 4) for k, v in excess.items()},
        "worst_excess": {k: round(max(v, default=0.0), 4) for k, v in excess.items()},
        "mean_seconds": round(sum(seconds) / max(count, 1), 4),
        "worst_seconds": round(max(seconds, default=0.0), 4),
    }


def random_problem(rng: random.Random) -> arena.Problem:
    steps = rng.randint(4, 60)
    buffers = []
    for index in range(rng.randint(5, 60)):
        start = rng.randrange(steps)
        stop = min(steps, start + 1 + int(rng.expovariate(0.5)))
        buffers.append(arena.Buffer(f"b{index}", rng.randint(1, 65536), start, stop))
    overlaps = {}
    for out, a in enumerate(buffers):
        for source, b in enumerate(buffers):
            if b.stop == a.start + 1 and b.start < a.start and rng.random() < 1 / 3:
                overlaps[out, source] = rng.randrange(a.size)
    return arena.Problem(tuple(buffers), 16, overlaps)


def text(result: dict[str, Any]) -> str:
    columns = ("greedy", "improved", "exact", "bound")
    heads = " ".join(f"{column:>9}" for column in columns)
    lines = [f"{'model':24} {'plan':20} {heads} {'moves':>5} {'seconds':>8}"]
    for row in result["models"]:
        peaks = " ".join(f"{row[column]:9,}" for column in columns)
        lines.append(
            f"{row['model']:24} {row['plan']:20} {peaks} {row['moves']:5} {row['seconds']:8.3f}"
        )
    drawn = result["random"]
    above = ", ".join(
        f"{kind} {mean:.2%} ({drawn['worst_excess'][kind]:.2%} at worst)"
        for kind, mean in drawn["mean_excess"].items()
    )
    lines.append(
        f"random: {drawn['optimal']} of {drawn['problems']} proved optimal; above the bound on "
        f"average: {above}; {drawn['mean_seconds']} s on average, {drawn['worst_seconds']} s at "
        f"worst; {drawn['violations']} violations"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
