"""What a step of training takes with the ops that `tflm_opt.nas.fused` chooses, against Keras's.

    python benchmarks/nas_training.py [--steps 20] [--rounds 5] [--side 48] [--json]

A MobileNetV2 of width 0.15 for grey images of 48×48, 1.4 million MACs; batches of 64, Adam; one
thread. Each of four ways is a process, Keras's ops and ours, with TensorFlow's own kernels and with
those of oneDNN (TF_ENABLE_ONEDNN_OPTS). They take turns, a round each, and the figures are medians
of all rounds: other work on the machine changes their ratios less than any of them.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
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
    """Seconds a step, of the processor."""
    began = time.process_time()
    for _ in range(steps):
        step()
    return (time.process_time() - began) / steps


def rounds(side: int, steps: int, *, fused: bool) -> None:
    """Wait for lines; answer each with the seconds of a step."""
    import keras

    from tflm_opt.nas import zoo
    from tflm_opt.nas.build import build
    from tflm_opt.nas.fused import adam, fused_ops

    model = build(zoo.mobilenet_v2(0.15, side, 8, 1, 192, 4), seed=0)
    how = fused_ops(model) if fused else nullcontext()
    with stepping(how, model, adam(1e-3) if fused else keras.optimizers.Adam(1e-3)) as step:
        step()
        print("ready", flush=True)
        for _ in sys.stdin:
            print(timed(step, steps), flush=True)


def started(side: int, steps: int, *, fused: bool, onednn: bool) -> subprocess.Popen[str]:
    """A process of `rounds`."""
    settings = {"TF_ENABLE_ONEDNN_OPTS": str(int(onednn)), "TF_CPP_MIN_LOG_LEVEL": "3"}
    threads = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
    command = [sys.executable, __file__, "--side", str(side), "--steps", str(steps)]
    return subprocess.Popen(
        [*command, "--way", "fused" if fused else "keras"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **settings, **dict.fromkeys(threads, "1")},
    )


def answer(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    if not line:
        raise SystemExit(f"a process ended with status {process.wait()}")
    return line


def asked_once(process: subprocess.Popen[str]) -> float:
    """Seconds of a step."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
    return float(answer(process))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=20, help="of a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--side", type=int, default=48, help="of the images")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--way", choices=("keras", "fused"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.way is not None:
        return rounds(asked.side, asked.steps, fused=asked.way == "fused")
    ways = {
        f"{'ours' if fused else 'Keras'}, oneDNN {'on' if onednn else 'off'}": started(
            asked.side, asked.steps, fused=fused, onednn=onednn
        )
        for onednn, fused in itertools.product((False, True), repeat=2)
    }
    for process in ways.values():
        answer(process)  # "ready"
    turns = [{name: asked_once(one) for name, one in ways.items()} for _ in range(asked.rounds)]
    for process in ways.values():
        process.communicate()
    found = {name: 1000 * float(np.median([turn[name] for turn in turns])) for name in ways}
    if asked.json:
        print(json.dumps(found))
        return
    slowest = next(iter(found.values()))
    for name, ms in found.items():
        print(f"{name:18} {ms:6.1f} ms a step, {slowest / ms:.2f} times as fast as the first")


if __name__ == "__main__":
    main()
