"""A worker of a search: claims a candidate, evaluates it, records it, until none is left.

    python -m tflm_opt.nas.worker STUDY     # one more worker, here or on another machine

Workers know nothing of each other. Each works out the list of candidates for itself from what the
study's database holds, and a candidate is its own if the database says so (`ledger`).
"""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from ..errors import SearchFailed, StudyError, TflmOptError
from .child import ONEDNN
from .evolution import Candidate, Evolution, Rated, scores
from .finals import Finalists
from .folder import Setup, load
from .generations import Generations
from .ladder import Ladder
from .ledger import Claim, Ledger, full, is_full
from .trials import COMPLETE, FAILED, OPEN, RUNNING, Slot

_POLL = 0.2  # seconds between looks at the database, while there is nothing to do
_LOST = 3  # evaluations that fail before any succeeds, until a search gives up
_GRACE = 8.0  # seconds that an evaluation has to come to its end when it is stopped


class Stopped(BaseException):
    """The worker was told to stop; not an Exception, so that no evaluator catches it."""


class Worker:
    """One worker's loop.

    Args:
        ledger: where trials are.
        setup: what is searched.
        candidates: the list of them.
        evaluator: how good one is.
        path: the study's directory, for messages.
        interruptible: in this context, a signal may stop the worker; elsewhere that waits.
    """

    def __init__(
        self,
        ledger: Ledger,
        setup: Setup,
        candidates: Evolution | Finalists | Ladder,
        evaluator: Any,
        path: str,
        interruptible: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self.ledger = ledger
        self.setup = setup
        self.candidates = candidates
        self.evaluator = evaluator
        self.path = path
        self.interruptible = interruptible
        self.generations = setup.generations()
        self._proposed: dict[int, Candidate | None] = {}

    def run(
        self,
        *,
        trials: int | None = None,
        until: float | None = None,
        after: Callable[[], object] = lambda: None,
    ) -> None:
        """Work until all slots up to `trials` are finished, by anyone, or the space is exhausted.

        Args:
            trials: None for no end.
            until: no new evaluation begins after this time, in seconds of `time.time`.
            after: called after each trial.

        Raises:
            SearchFailed: all evaluations fail, or the disk is full.
            StudyError: the database can't be used.
        """
        last = math.inf if trials is None else trials
        while True:
            slots = self.ledger.slots()
            if is_done(slots, last, self.generations):
                return
            self._give_up(slots)
            if until is not None and time.time() >= until:
                return
            claim = self._next(slots, last)
            if claim is None:
                with self.interruptible():
                    time.sleep(_POLL)
                continue
            self._work(claim, last)
            after()

    def _give_up(self, slots: Sequence[Slot]) -> None:
        first = [s for s in slots[:_LOST] if s.state == FAILED and not s.exhausted]
        if len(first) == _LOST and not any(s.state == COMPLETE for s in slots):
            raise failing(self.path, slots)

    def _next(self, slots: Sequence[Slot], last: float) -> Claim | None:
        """A slot that somebody left, or else a new one; none while an earlier rung runs."""
        for slot in slots:
            if slot.number >= last or not self._ready(slot.number, slots):
                break
            if slot.state == OPEN or (slot.state == RUNNING and self.ledger.stale(slot)):
                return self.ledger.retry(slot)
        if len(slots) < last and self._ready(len(slots), slots):
            return self.ledger.claim()
        return None

    def _ready(self, number: int, slots: Sequence[Slot]) -> bool:
        before = self.generations.first(number)
        return len(slots) >= before and all(s.finished for s in slots[:before])

    def _work(self, claim: Claim, last: float) -> None:
        slots = self.ledger.slots()
        try:
            if claim.slot >= last or not self._ready(claim.slot, slots):
                self.ledger.release(claim)  # others were faster, and took what was left
                return
            candidate = self._candidate(claim.slot, slots)
            if candidate is None:
                self.ledger.exhaust(claim)
                return
            self.ledger.describe(claim, candidate)
            with self.ledger.beating(claim):
                self._evaluate(claim, candidate)
        except BaseException:
            with suppress(TflmOptError):  # a full disk, say: then others find out by themselves
                self.ledger.release(claim)
            raise

    def _candidate(self, number: int, slots: Sequence[Slot]) -> Candidate | None:
        """What the list has in a slot.

        That hangs on all before it in the rung, as nothing is evaluated twice. What others look for
        at this moment is waited for, while this slot's own search goes ahead without it: its prices
        are known when it is searched for again, which is needed only where both found the same.
        """
        first = self.generations.first(number)
        rated = [_rated(s, self.setup) for s in slots[:first] if s.state == COMPLETE]
        before = {s.candidate.key for s in slots[:first] if s.candidate is not None}
        searched: set[str] | None = None
        while self._sought(slots[first:number]):
            known = {s.candidate.key for s in slots[first:number] if s.candidate is not None}
            if known != searched:
                searched = known
                self.candidates.candidate(number, rated, before | known)
            with self.interruptible():
                time.sleep(_POLL / 2)
            slots = self.ledger.slots()
        taken = set(before)
        candidate = None
        for i in range(first, number + 1):
            candidate = slots[i].candidate or self._proposed.get(i)
            if candidate is None:
                candidate = self.candidates.candidate(i, rated, taken)
                self._proposed[i] = candidate
            if candidate is None:
                return None
            taken.add(candidate.key)
        return candidate

    def _sought(self, slots: Sequence[Slot]) -> bool:
        """Whether somebody is about to say what one of the slots has."""
        return any(
            slot.candidate is None
            and slot.number not in self._proposed
            and slot.state == RUNNING
            and not self.ledger.stale(slot)
            for slot in slots
        )

    def _evaluate(self, claim: Claim, candidate: Candidate) -> None:
        net = self.candidates.space.net(candidate.architecture)
        seed = self.setup.seed
        how = {"epochs": candidate.epochs} if candidate.epochs else {}
        began = time.monotonic()
        try:
            with self.interruptible():
                found = self.evaluator.evaluate(dict(candidate.architecture), net, seed=seed, **how)
            accuracy = float(found.accuracy)
            if not math.isfinite(accuracy):
                raise ValueError(f"the evaluator gave an accuracy of {accuracy}")
            detail = json.loads(json.dumps(found.detail, default=_plain))
        except Exception as error:
            if is_full(error):
                raise full(self.path) from error
            traceback.print_exc()
            self.ledger.fail(claim, last_line(error))
            return
        seconds = round(time.monotonic() - began, 3)
        values = [accuracy, *scores(accuracy, candidate.cost, self.setup.objectives)[1:]]
        result = {"accuracy": accuracy, "seconds": seconds, "seed": seed, "detail": detail}
        self.ledger.complete(claim, values, result)


def is_done(slots: Sequence[Slot], last: float, generations: Generations) -> bool:
    """Whether no slot up to `last` is left to do: a generation that has no candidate is the end."""
    for slot in slots:
        if slot.number >= last or (slot.exhausted and generations.begins(slot.number)):
            return True
        if not slot.finished:
            return False
    return len(slots) >= last


def failing(path: str, slots: Sequence[Slot]) -> SearchFailed:
    """That no evaluation succeeds."""
    failed = [s for s in slots if s.state == FAILED and not s.exhausted]
    return SearchFailed(
        path,
        f"all {len(failed)} evaluations failed, the first with: "
        f"{failed[0].trial.user_attrs['error']}. The traceback is in {path}/log; resuming tries "
        "them again",
        reason="evaluations",
    )


def _rated(slot: Slot, setup: Setup) -> Rated:
    assert slot.candidate is not None
    accuracy = slot.trial.user_attrs["result"]["accuracy"]
    cost = slot.candidate.cost
    found = scores(accuracy, cost, setup.objectives)
    return Rated(slot.candidate.architecture, found, slot.number)


def last_line(error: BaseException) -> str:
    """What a traceback ends with, on one line."""
    said = " ".join(str(error).split())
    return f"{type(error).__name__}: {said}"[:500] if said else type(error).__name__


def _plain(value: Any) -> Any:
    """NumPy's numbers and arrays as JSON has them, anything else as text."""
    return value.tolist() if hasattr(value, "tolist") else str(value)


def numerics(threads: int) -> dict[str, str]:
    """Variables of the environment for numerical libraries: their number of threads; glibc's
    memory, which it keeps for the next tensor (to return it each time took a third of an
    evaluation); and oneDNN.
    """
    names = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
    kept = {"MALLOC_TRIM_THRESHOLD_": str(4 << 30), "MALLOC_MMAP_THRESHOLD_": str(32 << 20)}
    return {**dict.fromkeys(names, str(threads)), **kept, **ONEDNN}


def opened(directory: Path, setup: Setup) -> Ledger:
    """The ledger of a study that exists.

    Raises:
        StudyError: the database is another study's, or isn't there.
    """
    from .folder import DATABASE

    if not setup.storage and not (directory / DATABASE).exists():
        raise StudyError(str(directory), f"holds no {DATABASE}: the study was never begun")
    ledger = Ledger(setup.database(directory), setup.name, str(directory))
    if ledger.facts().get("digest") != setup.digest():
        raise StudyError(str(directory), "its database is of a study with other settings")
    return ledger


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a worker; 0 when there is nothing left to do."""
    parser = argparse.ArgumentParser(prog="python -m tflm_opt.nas.worker", description=__doc__)
    parser.add_argument("directory", type=Path, help="the study's directory")
    parser.add_argument("--trials", type=int, help="when to stop (default: as the study says)")
    parser.add_argument("--until", type=float, help="begin nothing after this (seconds, Unix time)")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    stops = _Stops()
    say = _Child() if options.child else _by_hand
    try:
        _run(options, stops.interruptible)
    except Stopped:
        return 0
    except Exception as error:
        if not isinstance(error, TflmOptError):
            traceback.print_exc()
        reason = getattr(error, "reason", "")
        say({"message": str(error) or last_line(error), "reason": reason})
        return 1
    return 0


def _run(
    options: argparse.Namespace, interruptible: Callable[[], AbstractContextManager[object]]
) -> None:
    from .parts import candidates_of, evaluator_of

    directory: Path = options.directory
    setup = load(directory)
    for name, value in numerics(setup.threads).items():
        os.environ.setdefault(name, value)
    ledger = opened(directory, setup)
    with interruptible():
        evaluator = evaluator_of(directory, setup)
    candidates = candidates_of(directory, setup, evaluator)
    worker = Worker(ledger, setup, candidates, evaluator, str(directory), interruptible)
    trials = setup.trials if options.trials is None else options.trials
    worker.run(trials=trials, until=options.until)


class _Stops:
    """SIGTERM and Ctrl-C: the first one stops the worker where that may be, the rest is ignored.

    Between a claim and its evaluation nothing may be interrupted, or the claim would be lost.
    """

    def __init__(self) -> None:
        self._asked = False
        self._open = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)

    def _stop(self, number: int, frame: Any) -> None:
        if self._asked:
            return
        self._asked = True
        timer = threading.Timer(_GRACE, os._exit, (1,))  # an evaluation that doesn't end
        timer.daemon = True
        timer.start()
        if self._open:
            raise Stopped

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        self._open = True
        try:
            if self._asked:
                raise Stopped
            yield
        finally:
            self._open = False


def _by_hand(message: dict[str, str]) -> None:
    sys.stderr.write(f"{message['message']}\n")


class _Child:
    """The pipes to the process that started us: it ends, we end; what went wrong, it is told."""

    def __init__(self) -> None:
        # What evaluators print goes where errors go, or nobody would read it and the pipe fill up.
        self._pipe = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)
        threading.Thread(target=self._watch, name="parent", daemon=True).start()

    def _watch(self) -> None:
        while os.read(0, 1024):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    def __call__(self, message: dict[str, str]) -> None:
        with suppress(OSError):
            self._pipe.write(json.dumps(message) + "\n")
            self._pipe.flush()


if __name__ == "__main__":
    sys.exit(main())
