"""What training with quantization costs: preparing MobileNetV2, and a training step.

    python benchmarks/qat_speed.py [--size 96] [--alpha 0.35] [--batch 32] [--steps 10] [--json]

Steps of the float model and of the prepared one take turns, so that what else the machine does
falls on both alike; the table has the medians. The float model's batch norms are trained, which
costs more than all rounding does: in the prepared one they are folded.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

PREPARE_SECONDS = 10.0
STEP_FACTOR = 2.5


def measured(
    size: int = 96, alpha: float = 0.35, batch: int = 32, steps: int = 10
) -> dict[str, float]:
    """Seconds: to prepare, without and with calibration, and a step of each model."""
    import keras
    import numpy as np

    from tflm_opt.quant import qat

    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    model = keras.applications.MobileNetV2((size, size, 3), alpha=alpha, weights=None, classes=10)
    x = rng.normal(size=(batch, size, size, 3)).astype(np.float32)
    y = rng.integers(0, 10, batch)
    started = time.perf_counter()
    qat.prepare(model)
    prepare = time.perf_counter() - started
    started = time.perf_counter()
    prepared = qat.prepare(model, calibration=x)
    calibrated = time.perf_counter() - started
    times: dict[str, list[float]] = {"float": [], "prepared": []}
    nets: dict[str, Any] = {"float": model, "prepared": prepared}
    for net in nets.values():
        net.compile("adam", "sparse_categorical_crossentropy")
        net.train_on_batch(x, y)
        net.train_on_batch(x, y)
    for _ in range(steps):
        for name, net in nets.items():
            started = time.perf_counter()
            net.train_on_batch(x, y)
            times[name].append(time.perf_counter() - started)
    steps_s = {name: statistics.median(times[name]) for name in nets}
    return {
        "size": size,
        "alpha": alpha,
        "batch": batch,
        "prepare_s": prepare,
        "prepare_calibrated_s": calibrated,
        "float_step_s": steps_s["float"],
        "prepared_step_s": steps_s["prepared"],
        "factor": steps_s["prepared"] / steps_s["float"],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--alpha", type=float, default=0.35)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    found = measured(args.size, args.alpha, args.batch, args.steps)
    print(json.dumps(found) if args.json else table(found))
    return 0 if found["prepare_s"] < PREPARE_SECONDS and found["factor"] <= STEP_FACTOR else 1


def table(found: dict[str, float]) -> str:
    """Markdown."""
    rows = [
        (f"MobileNetV2-{found['alpha']:g}-{found['size']}", "seconds", "to reach"),
        ("---",) * 3,
        ("prepare", f"{found['prepare_s']:.1f}", f"< {PREPARE_SECONDS:g}"),
        (
            f"prepare, {found['batch']} calibration images",
            f"{found['prepare_calibrated_s']:.1f}",
            "",
        ),
        (f"training step of {found['batch']}, float", f"{found['float_step_s']:.3f}", ""),
        ("the same, prepared", f"{found['prepared_step_s']:.3f}", ""),
        ("factor", f"{found['factor']:.2f}", f"≤ {STEP_FACTOR:g}"),
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    raise SystemExit(main())
