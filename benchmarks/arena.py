"""Peak, lower bound and time of the arena planner, on real models and on random problems.

    python benchmarks/arena.py ../shared/models/*.tflite [--random 1000] [--json]

Engine plans overlap as far as the portable kernels' access order allows; times are processor
seconds of planning alone, passes and reading left out.
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
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
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
        rows.append(
            {
                "model": path.name,
                "plan": label,
                "peak": plan.peak,
                "bound": plan.bound,
                "moves": len(plan.moves),
                "buffers": len(plan.problem.buffers),
                "seconds": round(time.process_time() - start, 4),
                "violations": len(arena.validate(plan.problem, plan.places, plan.peak)),
            }
        )
    return rows


def access(op: Op) -> str:
    try:
        return codegen.access(op)
    except UnsupportedModel:
        return "none"


def random_rows(count: int, seed: int) -> dict[str, Any]:
    """Random problems of 5 to 60 buffers, a third of them with overlaps."""
    rng = random.Random(seed)
    seconds, at_bound, violations, excess = [], 0, 0, []
    for _ in range(count):
        problem = random_problem(rng)
        start = time.process_time()
        solution = arena.solve(problem)
        seconds.append(time.process_time() - start)
        violations += len(arena.validate(problem, solution.offsets, solution.peak))
        at_bound += solution.is_optimal
        excess.append(solution.peak / solution.bound - 1 if solution.bound else 0.0)
    return {
        "problems": count,
        "at_bound": at_bound,
        "violations": violations,
        "mean_excess": round(sum(excess) / max(count, 1), 4),
        "worst_excess": round(max(excess, default=0.0), 4),
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
    lines = [f"{'model':24} {'plan':20} {'peak':>9} {'bound':>9} {'moves':>5} {'seconds':>8}"]
    lines += [
        f"{row['model']:24} {row['plan']:20} {row['peak']:9,} {row['bound']:9,} "
        f"{row['moves']:5} {row['seconds']:8.3f}"
        for row in result["models"]
    ]
    drawn = result["random"]
    lines.append(
        f"random: {drawn['at_bound']} of {drawn['problems']} at the bound, "
        f"{drawn['mean_excess']:.2%} above it on average, {drawn['worst_excess']:.2%} at worst; "
        f"{drawn['mean_seconds']} s on average, {drawn['worst_seconds']} s at worst; "
        f"{drawn['violations']} violations"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
