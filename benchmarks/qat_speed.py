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


def measured(size: int, alpha: float, batch: int, steps: int) -> dict[str, float]:
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
    return {
        "prepare_s": prepare,
        "prepare_calibrated_s": calibrated,
        "float_step_s": statistics.median(times["float"]),
        "prepared_step_s": statistics.median(times["prepared"]),
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
    factor = found["prepared_step_s"] / found["float_step_s"]
    if args.json:
        print(json.dumps({**found, "factor": factor}))
    else:
        print(f"| MobileNetV2-{args.alpha:g}-{args.size} | seconds | to reach |")
        print("|---|---|---|")
        print(f"| prepare | {found['prepare_s']:.1f} | < {PREPARE_SECONDS:g} |")
        print(
            f"| prepare, {args.batch} calibration images | {found['prepare_calibrated_s']:.1f} | |"
        )
        print(f"| training step of {args.batch}, float | {found['float_step_s']:.3f} | |")
        print(f"| the same, prepared | {found['prepared_step_s']:.3f} | |")
        print(f"| factor | {factor:.2f} | ≤ {STEP_FACTOR:g} |")
    return 0 if found["prepare_s"] < PREPARE_SECONDS and factor <= STEP_FACTOR else 1


if __name__ == "__main__":
    raise SystemExit(main())
