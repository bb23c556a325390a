"""Thousands of random cases, with progress: what `make fuzz` runs.

    python tests/fuzz/run.py [--seed S] [--cases N]       # TFLM_OPT_FUZZ_SEED, TFLM_OPT_FUZZ_CASES
    python tests/fuzz/run.py --seed S --case K            # one case again: its net and schedule
    python tests/fuzz/run.py --board qemu_m4 ...          # emulated; TFLM_OPT_FUZZ_BOARD

Cases go in batches to child processes, one for each core, so that code which crashes takes only its
batch along; the cases of such a batch then run one by one. Exit status 1 if a case failed.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import astuple
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / room) for room in ("", "codegen", "kernels", "patch_split")]

from fuzz import battery, on_board  # noqa: E402
from fuzz.battery import Failure  # noqa: E402
from fuzz.cases import Case, drawn  # noqa: E402

from tflm_opt import boards  # noqa: E402
from tflm_opt.graph.text import dump  # noqa: E402

BATCH = 40
CASES = 4000
MOST_SHOWN = 10
PATIENCE = 900.0  # seconds for a batch


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 if all cases are equal to TFLM."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    cases, seed, board = (
        os.environ.get(f"TFLM_OPT_FUZZ_{word}") for word in ("CASES", "SEED", "BOARD")
    )
    parser.add_argument("--cases", type=int, default=int(cases or CASES))
    parser.add_argument("--seed", type=int, default=int(seed or secrets.randbelow(10**6)))
    parser.add_argument("--case", type=int, help="only this one, and show it")
    parser.add_argument("--board", default=board, help="an emulated one; by default this host")
    parser.add_argument("--batch", type=int, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.batch:
        print(json.dumps([astuple(f) for f in _batch(options, range(*options.batch))]))
        return 0
    if options.case is not None:
        return _one(options, options.case)
    return _many(options)


def again(seed: int, number: int, board: str | None = None) -> str:
    """The command that runs a case again."""
    where = f" --board {board}" if board else ""
    return f"{Path(sys.executable).name} tests/fuzz/run.py --seed {seed} --case {number}{where}"


def batches(count: int, size: int) -> list[range]:
    """Numbers below `count` in runs of `size`.

    >>> batches(5, 2)
    [range(0, 2), range(2, 4), range(4, 5)]
    """
    return [range(first, min(first + size, count)) for first in range(0, count, size)]


def text(case: Case) -> str:
    """The net, and how it runs."""
    place = {op: i for i, op in enumerate(case.graph.ops)}
    lines = [dump(case.graph).rstrip()]
    if case.bodies:
        for body in case.bodies:
            first, last = place[body.ops[0]], place[body.ops[-1]]
            lines.append(f"stage for TFLM: ops {first} to {last}, {body.bands} bands")
        return "\n".join(lines)
    lines.append(f"input {case.schedule.input}")
    for stage in case.schedule.stages:
        first, last = place[stage.ops[0]], place[stage.ops[-1]]
        lines.append(f"stage: ops {first} to {last}, band {stage.band}")
    return "\n".join(lines)


def _failures(cases: Sequence[Case], board: str | None) -> Iterator[Failure]:
    with tempfile.TemporaryDirectory() as folder:
        if board:
            yield from on_board.failures(cases, boards.get(board), Path(folder))
        else:
            yield from battery.failures(cases, Path(folder))


def _one(options: argparse.Namespace, number: int) -> int:
    case = drawn(options.seed, number)
    print(text(case))
    found = list(_failures([case], options.board))
    for failure in found:
        print(failure.what)
    if not found:
        print("equal to TFLM in every byte that a stage gives out")
    return int(any(not failure.refused for failure in found))


def _many(options: argparse.Namespace) -> int:
    seed, count = options.seed, options.cases
    began = time.monotonic()
    wrong: list[Failure] = []
    refused: list[Failure] = []
    done = 0
    print(f"{count:,} cases of seed {seed}" + (f" on {options.board}" if options.board else ""))
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        waiting = {
            pool.submit(_guarded, options, numbers): numbers for numbers in batches(count, BATCH)
        }
        for future in as_completed(waiting):
            found = future.result()
            done += len(waiting[future])
            refused += [failure for failure in found if failure.refused]
            for failure in (f for f in found if not f.refused):
                wrong.append(failure)
                if len(wrong) <= MOST_SHOWN:
                    print(f"\nFAILED: {again(seed, failure.number, options.board)}\n{failure.what}")
            _progress(done, count, len(wrong), began)
    equal = count - len(wrong) - len(refused)
    print(f"\n{equal:,} equal, {len(wrong)} failed, {len(refused)} refused, which is no failure")
    for failure in refused[:MOST_SHOWN]:
        print(f"refused: {again(seed, failure.number, options.board)}: {failure.what}")
    return int(bool(wrong))


def _progress(done: int, count: int, wrong: int, began: float) -> None:
    seconds = time.monotonic() - began
    left = seconds / done * (count - done)
    line = f"{done:,} of {count:,} cases, {wrong} failed, {seconds:.0f} s, {left:.0f} s to go"
    print(f"\r{line:<76}" if sys.stdout.isatty() else line, end="" if sys.stdout.isatty() else "\n")
    sys.stdout.flush()


def _guarded(options: argparse.Namespace, numbers: range) -> list[Failure]:
    """A batch in a child process; where that breaks, each of its cases in one of its own."""
    command = [sys.executable, str(Path(__file__)), "--seed", str(options.seed)]
    command += ["--board", options.board] if options.board else []
    command += ["--batch", str(numbers.start), str(numbers.stop)]
    try:
        child = subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        status, tail = child.returncode, child.stderr[-2000:]
    except subprocess.TimeoutExpired:
        status, tail = -1, f"still running after {PATIENCE:g} s"
    else:
        if status == 0:
            return [Failure(*row) for row in json.loads(child.stdout)]
    if len(numbers) == 1:
        return [Failure(numbers.start, f"the process ended with status {status}\n{tail}")]
    return [f for number in numbers for f in _guarded(options, range(number, number + 1))]


def _batch(options: argparse.Namespace, numbers: range) -> Iterator[Failure]:
    cases = []
    for number in numbers:
        try:
            cases.append(drawn(options.seed, number))
        except Exception:
            yield Failure(number, f"while it was drawn:\n{traceback.format_exc(limit=-6)}")
    yield from _failures(cases, options.board)


if __name__ == "__main__":
    sys.exit(main())
