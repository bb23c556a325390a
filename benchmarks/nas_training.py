"""What a step of training takes with TensorFlow's fused batch norm and Adam, against Keras's.

    python benchmarks/nas_training.py [--steps 20] [--rounds 5] [--json]

A MobileNetV2 of 1.4 million MACs, batches of 64, Adam. Rounds of both alternate in one process,
and the figure is the ratio of the medians: other work on the machine changes it less than either.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np

BATCH = 64


@contextmanager
def stepping(how: AbstractContextManager[Any], model: Any, optimizer: Any) -> Iterator[Any]:
    """A compiled model whose first step, which traces, is behind it."""
    from tflm_opt.nas.recipe import loss_of

    rng = np.random.default_rng(0)
    x = rng.normal(size=(BATCH, *model.input_shape[1:])).astype(np.float32)
    loss, targets = loss_of(model)
    y = targets(rng.integers(0, model.output_shape[-1], BATCH))
    with how:
        model.compile(optimizer, loss, jit_compile=False)
        model.train_on_batch(x, y)
        yield lambda: model.train_on_batch(x, y)


def timed(step: Any, steps: int) -> float:
    """Seconds a step."""
    began = time.perf_counter()
    for _ in range(steps):
        step()
    return (time.perf_counter() - began) / steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=20, help="of a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    asked = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

    import keras

    from tflm_opt.nas import zoo
    from tflm_opt.nas.build import build
    from tflm_opt.nas.fused import adam, fused_ops

    net = zoo.mobilenet_v2(0.15, 48, 8, 1, 192, 4)
    ours, theirs = build(net, seed=0), build(net, seed=0)
    rounds: list[tuple[float, float]] = []
    with (
        stepping(fused_ops(ours), ours, adam(1e-3)) as fused,
        stepping(nullcontext(), theirs, keras.optimizers.Adam(1e-3)) as plain,
    ):
        for _ in range(asked.rounds):
            rounds.append((timed(plain, asked.steps), timed(fused, asked.steps)))
    keras_ms, fused_ms = (1000 * float(np.median(one)) for one in zip(*rounds, strict=True))
    found = {"keras_ms": keras_ms, "fused_ms": fused_ms, "ratio": keras_ms / fused_ms}
    if asked.json:
        print(json.dumps(found))
    else:
        print(f"a step: {keras_ms:.1f} ms by Keras's ops, {fused_ms:.1f} ms by fused ones")
        print(f"{found['ratio']:.2f} times as fast")


if __name__ == "__main__":
    main()
