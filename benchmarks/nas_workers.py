"""Whether a study's end depends on who worked on it, and whether its firmware is what it recorded.

`compared` runs one small study of handwritten digits three times: with one worker; with two; and
with two of which all processes are killed (SIGKILL) in the middle, after which it is resumed.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import nas_tasks

from tflm_opt.measure import measure

TRIALS = 12
POPULATION = 4
KILLED_AT = 5  # trials that are finished then


def compared(directory: Path) -> dict[str, Any]:
    """The three studies' trials and fronts, as one record."""
    from tflm_opt import nas

    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    killed = directory / "killed"
    _begin(directory / "one", 1).wait()
    _begin(directory / "two", 2).wait()
    evaluated = _kill(_begin(killed, 2), killed)
    _begin(killed, 2).wait()
    studies = {name: nas.load(directory / name) for name in ("one", "two", "killed")}
    fronts = {name: _front(study) for name, study in studies.items()}
    keys = {name: [t.key for t in study.complete] for name, study in studies.items()}
    return {
        "trials": {name: len(found) for name, found in keys.items()},
        "evaluated twice": {n: len(found) - len(set(found)) for n, found in keys.items()},
        "finished when killed": evaluated,
        "same trials": keys["one"] == keys["two"] == keys["killed"],
        "same front": fronts["one"] == fronts["two"] == fronts["killed"],
        "front": fronts["one"],
        "attempts begun for the killed study's trials": _attempts(studies["killed"]),
    }


def _front(study: Any) -> list[tuple[str, float, int]]:
    return [(t.key, t.accuracy, t.cost.sram) for t in study.pareto(("accuracy", "sram"))]


def _attempts(study: Any) -> int:
    """How many evaluations were begun, those that were killed included: rows of Optuna's table."""
    with closing(sqlite3.connect(study.directory / "study.db")) as database:
        (count,) = database.execute("SELECT COUNT(*) FROM trials").fetchone()
    return count


def _begin(directory: Path, workers: int) -> subprocess.Popen[bytes]:
    """The study in a process group of its own, so that all of it can be killed."""
    command = [sys.executable, __file__, str(directory), str(workers)]
    return subprocess.Popen(command, start_new_session=True)


def _kill(process: subprocess.Popen[bytes], directory: Path) -> int:
    """Kill a study's processes, workers too, when some trials are finished; says how many are."""
    from tflm_opt import nas
    from tflm_opt.errors import TflmOptError

    while process.poll() is None:
        time.sleep(0.1)
        try:
            done = len(nas.load(directory).complete)
        except TflmOptError:
            continue  # not begun yet
        if done >= KILLED_AT:
            os.killpg(process.pid, signal.SIGKILL)
            for pid in _workers_of(directory):
                os.kill(pid, signal.SIGKILL)
            process.wait()
            return len(nas.load(directory).complete)
    raise RuntimeError("the study ended before it was killed")


def _workers_of(directory: Path) -> list[int]:
    """Processes whose command line names the study: workers may have groups of their own."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"tflm_opt.nas.worker" in words and os.fsencode(directory) in words:
                found.append(int(entry.name))
    return found


def study(directory: Path, workers: int) -> None:
    """Search among small nets for digits; each is trained for two epochs."""
    import tflm_opt

    task = nas_tasks.load("digits", 1000)
    tflm_opt.search(
        (task.x_train, task.y_train),
        (task.x_val, task.y_val),
        board=nas_tasks.BOARD,
        sram="24KiB",
        space=nas_tasks.space(task),
        directory=directory,
        trials=TRIALS,
        population=POPULATION,
        evaluator="train",
        options={"training": {"epochs": 2}},
        objectives=("accuracy", "sram"),
        workers=workers,
        threads=1,  # sums of floats differ with it
        verbose=0,
    )


def firmware(found: Any, task: nas_tasks.Task) -> dict[str, Any]:
    """The best net of a study, finished, built and run on an emulated board, beside its record."""
    began = time.monotonic()
    best = found.best
    result = best.optimize(test=(task.x_test, task.y_test), verbose=0)
    minutes = (time.monotonic() - began) / 60
    with tempfile.TemporaryDirectory() as folder:
        result.save(Path(folder) / "out")
        measured = measure(Path(folder) / "out", "qemu_m4", cycles=False)
    accuracy = json.loads((found.directory / "best" / "metrics.json").read_text("utf-8"))
    return {
        "minutes of training on, quantizing and optimizing": minutes,
        "nets evaluated": len(found.complete),
        "accuracy, by the supernet": best.accuracy,
        "accuracy on test images": {
            which: accuracy["accuracy"][which]["share"] for which in ("float", "int8", "engine")
        },
        "SRAM promised": best.cost.sram,
        "SRAM built": result.sram.total,
        "flash promised": best.cost.flash,
        "flash built": result.flash.total,
        "instructions promised": best.cost.instructions,
        "instructions emulated": measured["instructions"],
        "bit-exact with TFLM": measured["bit_exact"] and bool(result.bit_exact),
    }


if __name__ == "__main__":
    study(Path(sys.argv[1]), int(sys.argv[2]))
