"""Run a `.tflite` in TFLM itself: the first of our truths.

The wheel `tflite-micro` holds TFLM's interpreter with its reference kernels and its real
allocator. TFLM trusts its models, and a bad one may abort the process, so every call here works
in a child process (`tflm_child.py`) that gets the models and all their samples at once: starting
it costs about 0.2 s, a sample almost nothing.

    outputs = tflm.run(tflite, [[image] for image in images])    # outputs[sample][output]
    tflm.allocations(tflite).total                                # bytes of arena
    tflm.run_many([(tflite_a, samples), (tflite_b, samples)])     # two models, one child

Sizes are those of this 64-bit host: TFLM's tail holds pointers, so it is larger here than on a
32-bit target. The head is the same. Neither depends on the arena that is offered.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from tflm_opt.errors import MissingTool, ToolFailed
from tflm_opt.runtime import process, tflm_child

Samples = Sequence[Sequence[np.ndarray]]

INSTALL = "pip install --pre tflite-micro"
ARENA = 256 << 20  # bytes offered to TFLM; the host maps only the pages that are touched
_TAIL_LINES = 15


@dataclass(frozen=True, slots=True)
class Allocations:
    """What TFLM's allocator used, in bytes: exact, from its own record, on this 64-bit host.

    Attributes:
        head: the planned tensors and scratch (the "non-persistent" section).
        tail: TFLM's own state for this model (the "persistent" section).
        total: head + tail: the smallest arena that this model runs in.
        parts: the tail by kind, under TFLM's names for them.
    """

    head: int
    tail: int
    total: int
    parts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TflmRun:
    """One model's outputs, `outputs[sample][output]`, and its allocations."""

    outputs: list[list[np.ndarray]]
    allocations: Allocations


def run(tflite: bytes, samples: Samples, *, timeout: float = 300.0) -> list[list[np.ndarray]]:
    """Run a model over samples: `run(tflite, [[x0], [x1]])[1][0]` is the output for `x1`.

    A sample is a list with one array for each input of the model, in the model's order, of
    exactly its shapes and dtypes (int8, uint8, int16, int32, int64, float32, bool). Variables
    (of LSTM and the like) are reset before each sample, so samples don't depend on their order.

    Raises:
        ToolFailed: TFLM refused the model or a sample, crashed, or ran past `timeout` seconds.
        MissingTool: the wheel `tflite-micro` is not installed.
    """
    return run_many([(tflite, samples)], timeout=timeout)[0]


def run_many(
    jobs: Sequence[tuple[bytes, Samples]], *, timeout: float = 300.0
) -> list[list[list[np.ndarray]]]:
    """Run several models in one child: `run_many([(tflite, samples), ...])[job][sample][output]`.

    All or nothing: an error names the first job that failed. `timeout` covers all jobs.
    Raises as `run`.
    """
    return [result.outputs for result in _serve(jobs, timeout=timeout, allocations=False)]


def allocations(tflite: bytes, *, timeout: float = 300.0) -> Allocations:
    """What TFLM's allocator uses for a model, in bytes: `allocations(tflite).head`.

    Exact and read from TFLM; an `OfflineMemoryAllocation` plan in the file is honoured, so
    `head` is then that plan's. Raises as `run`.
    """
    return allocations_many([tflite], timeout=timeout)[0]


def allocations_many(models: Sequence[bytes], *, timeout: float = 300.0) -> list[Allocations]:
    """`allocations` of several models in one child. Raises as `run_many`."""
    jobs = [(model, ()) for model in models]
    return [result.allocations for result in _serve(jobs, timeout=timeout, allocations=True)]


def measure(tflite: bytes, samples: Samples, *, timeout: float = 300.0) -> TflmRun:
    """`run` and `allocations` in one child. Raises as `run`."""
    return _serve([(tflite, samples)], timeout=timeout, allocations=True)[0]


def available() -> bool:
    """True if the wheel `tflite-micro` is installed."""
    from importlib.util import find_spec

    return find_spec("tflite_micro") is not None


def _serve(
    jobs: Sequence[tuple[bytes, Samples]], *, timeout: float, allocations: bool
) -> list[TflmRun]:
    if not jobs:
        return []
    if not available():
        raise MissingTool("the wheel tflite-micro", needed_for="to run TFLM", install=INSTALL)
    with tempfile.TemporaryDirectory(prefix="tflm_opt-") as name:
        folder = Path(name)
        _write_request(folder, jobs, allocations)
        _run_child(folder, len(jobs), timeout)
        return _read_reply(folder, jobs)


def _write_request(folder: Path, jobs: Sequence[tuple[bytes, Samples]], allocations: bool) -> None:
    records = []
    with open(folder / "request.npy", "wb") as stream:
        for number, (tflite, samples) in enumerate(jobs):
            (folder / f"{number}.tflite").write_bytes(tflite)
            counts = [_write_sample(stream, sample) for sample in samples]
            records.append({"arena": ARENA, "allocations": allocations, "samples": counts})
    (folder / "request.json").write_text(json.dumps(records), "utf-8")


def _write_sample(stream: BinaryIO, sample: Sequence[np.ndarray]) -> int:
    if isinstance(sample, np.ndarray):
        raise TypeError("a sample is a list with one array per model input: write [array]")
    for array in sample:
        np.save(stream, np.asarray(array), allow_pickle=False)
    return len(sample)


def _run_child(folder: Path, jobs: int, timeout: float) -> None:
    command = [sys.executable, str(Path(tflm_child.__file__).resolve()), str(folder)]
    with open(folder / "log", "w+b") as log:
        try:
            done = process.run(command, timeout=timeout, stdout=log, stderr=log)
        except subprocess.TimeoutExpired:
            message = f"still running after {timeout:g} s{_at(folder, jobs)}; it was stopped"
            raise ToolFailed("TFLM", message, output=_last_lines(folder)) from None
    if done.returncode:
        raise _failure(folder, jobs, done.returncode)


def _failure(folder: Path, jobs: int, status: int) -> Exception:
    output = _last_lines(folder)
    if status == tflm_child.NO_WHEEL:
        return MissingTool(
            f"the wheel tflite-micro ({output})", needed_for="to run TFLM", install=INSTALL
        )
    if status == tflm_child.BAD_SAMPLE:
        return ToolFailed("TFLM", output)
    if status < 0:
        return ToolFailed(
            "TFLM",
            f"crashed ({_signal_name(-status)}) on the model{_at(folder, jobs)}",
            output=output,
        )
    return ToolFailed("TFLM", f"refused the model{_at(folder, jobs)}", output=output)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _at(folder: Path, jobs: int) -> str:
    """Which of several models was being run, from the child's own mark."""
    mark = folder / "at"
    return f" (model {mark.read_text('ascii')} of {jobs})" if jobs > 1 and mark.exists() else ""


def _last_lines(folder: Path) -> str:
    text = (folder / "log").read_text("utf-8", "replace")
    return "\n".join(text.strip().splitlines()[-_TAIL_LINES:])


def _read_reply(folder: Path, jobs: Sequence[tuple[bytes, Samples]]) -> list[TflmRun]:
    records: list[dict[str, Any]] = json.loads((folder / "reply.json").read_text("utf-8"))
    runs = []
    with open(folder / "reply.npy", "rb") as stream:
        for record, (_, samples) in zip(records, jobs, strict=True):
            outputs = [
                [np.load(stream, allow_pickle=False) for _ in range(record["outputs"])]
                for _ in samples
            ]
            used = record.get("allocations", {"head": 0, "tail": 0, "total": 0})
            runs.append(TflmRun(outputs, Allocations(**used)))
    return runs
