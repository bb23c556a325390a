"""Claims and results of a search in Optuna's storage, as many workers write them at once.

What must not happen twice is done by creating a trial: Optuna's storage gives each a number in a
transaction. Everything else may be written twice, and says the same each time.
"""

from __future__ import annotations

import errno
import logging
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from ..errors import MissingTool, SearchFailed, StudyError
from .evolution import Candidate
from .processes import here, is_dead
from .trials import DEATHS, RUNNING, Slot, candidate_to, slots

BEAT = 10.0  # seconds between signs of life
SILENCE = 120.0  # without one, seconds after which a worker on another machine counts as dead
_BUSY = 60.0  # seconds that SQLite waits for another's lock
_FULL = ("database or disk is full", "no space left", "disk i/o error", "disk quota", "disk full")

_at_work: set[str] = set()  # claims of this process


@dataclass(frozen=True, slots=True)
class Claim:
    """A trial that is ours to evaluate: its id in the storage, its number, and its slot."""

    trial_id: int
    number: int
    slot: int
    label: str


class Ledger:
    """One study of a storage.

    Args:
        url: of the database, as SQLAlchemy takes it.
        name: of the study in it.
        path: of the study's directory, for messages.
        directions: of the objectives, to create it where it isn't there yet: "maximize", ….

    Raises:
        StudyError: no such study, or a database that can't be used.
        MissingTool: Optuna isn't installed.
    """

    def __init__(
        self, url: str, name: str, path: str, *, directions: Sequence[str] | None = None
    ) -> None:
        self._optuna = _optuna()
        self._path = path
        self._silent: dict[int, tuple[int, float]] = {}
        engine: dict[str, Any] = {}
        if url.startswith("sqlite"):
            from sqlalchemy.pool import NullPool  # a file is open while it is used, and no longer

            engine = {"connect_args": {"timeout": _BUSY}, "poolclass": NullPool}
        with self._told(), _quiet():
            existing = directions is None
            self._storage = self._optuna.storages.RDBStorage(
                url,
                engine_kwargs=engine,
                skip_table_creation=existing,
                skip_compatibility_check=existing,
            )
            try:
                if directions is not None:
                    self._optuna.create_study(
                        study_name=name,
                        storage=self._storage,
                        directions=list(directions),
                        load_if_exists=True,
                    )
                self._study = self._optuna.load_study(study_name=name, storage=self._storage)
            except KeyError:
                raise StudyError(
                    path, f"its database has no study {name!r}: it is that of another study"
                ) from None
            self._id = self._storage.get_study_id_from_name(name)

    def close(self) -> None:
        """Give the connections back."""
        self._storage.engine.dispose()

    def facts(self) -> dict[str, Any]:
        """What was said of the study as a whole."""
        with self._told():
            return self._study.user_attrs

    def note(self, name: str, value: Any) -> None:
        """Say something of the study as a whole."""
        with self._told():
            self._study.set_user_attr(name, value)

    def slots(self) -> list[Slot]:
        """All slots that were ever claimed."""
        with self._told():
            stored = self._study.get_trials(deepcopy=False)
            return slots(stored, forgiven=self._forgiven())

    def _forgiven(self) -> int:
        return self._study.user_attrs.get("forgiven", -1)

    def forgive(self) -> None:
        """Have all failures so far tried again."""
        with self._told():
            numbers = [trial.number for trial in self._study.get_trials(deepcopy=False)]
            self._study.set_user_attr("forgiven", max(numbers, default=-1))

    def claim(self) -> Claim:
        """The next slot that nobody has claimed."""
        return self._claimed({})

    def retry(self, slot: Slot) -> Claim | None:
        """Take over a slot whose trial is open or stale; None if another was faster."""
        number = slot.trial.number
        if slot.state == RUNNING and not self._end(slot.trial._trial_id, "FAIL"):
            return None
        deaths = slot.deaths + (slot.state == RUNNING)
        if deaths >= DEATHS:
            error = f"its worker died, {deaths} times"
            self._create("FAIL", {"retry_of": number, "error": error})
            return None
        claim = self._claimed({"retry_of": number}, slot.number)
        if self.slots()[claim.slot].trial.number == claim.number:
            return claim
        self.release(claim)
        return None

    def _claimed(self, attributes: dict[str, Any], slot: int | None = None) -> Claim:
        label = uuid.uuid4().hex
        _at_work.add(label)
        attributes = {**attributes, "worker": {**here(), "label": label}}
        try:
            trial_id = self._create("RUNNING", attributes)
            with self._told():
                number = self._storage.get_trial(trial_id).number
                if slot is None:
                    stored = self._study.get_trials(deepcopy=False)
                    slot = sum("retry_of" not in t.user_attrs for t in stored if t.number < number)
        except BaseException:
            _at_work.discard(label)
            raise
        return Claim(trial_id, number, slot, label)

    def _create(self, state: str, attributes: dict[str, Any]) -> int:
        states = self._optuna.trial.TrialState
        template = self._optuna.trial.create_trial(state=states[state], user_attrs=attributes)
        with self._told():
            return self._storage.create_new_trial(self._id, template)

    def stale(self, slot: Slot) -> bool:
        """Whether the worker of a running trial is dead, as far as can be known from here."""
        worker = slot.trial.user_attrs.get("worker")
        if worker is None:
            return True
        dead = is_dead(worker)
        if dead is None:  # on another machine
            return self._went_silent(slot)
        ours = {k: worker.get(k) for k in here()} == here()
        return dead or (ours and worker.get("label") not in _at_work)

    def _went_silent(self, slot: Slot) -> bool:
        """By our clock alone: those of two machines may differ."""
        now = time.monotonic()
        beat = slot.trial.user_attrs.get("beat", 0)
        last, since = self._silent.get(slot.trial.number, (-1, now))
        if last != beat:
            since = now
        self._silent[slot.trial.number] = (beat, since)
        return now - since > SILENCE

    def describe(self, claim: Claim, candidate: Candidate) -> None:
        """Say what is evaluated."""
        self._set(claim, "candidate", candidate_to(candidate))

    def complete(self, claim: Claim, values: Sequence[float], result: dict[str, Any]) -> bool:
        """Record an evaluation; False if the trial was taken away in the meantime."""
        return self._set(claim, "result", result) and self._finish(claim, "COMPLETE", values)

    def fail(self, claim: Claim, error: str) -> bool:
        """Record that an evaluation raised; False as above."""
        return self._set(claim, "error", error) and self._finish(claim, "FAIL")

    def exhaust(self, claim: Claim) -> bool:
        """Record that nothing is left to evaluate; False as above."""
        self._set(claim, "exhausted", True)
        return self.fail(claim, "nothing that fits is left in the space")

    def release(self, claim: Claim) -> None:
        """Give a claim back, for others or for later."""
        self._set(claim, "released", True)
        self._finish(claim, "FAIL")

    def _set(self, claim: Claim, name: str, value: Any) -> bool:
        with self._told(), suppress(self._optuna.exceptions.UpdateFinishedTrialError):
            self._storage.set_trial_user_attr(claim.trial_id, name, value)
            return True
        return False

    def _finish(self, claim: Claim, state: str, values: Sequence[float] | None = None) -> bool:
        _at_work.discard(claim.label)
        return self._end(claim.trial_id, state, values)

    def _end(self, trial_id: int, state: str, values: Sequence[float] | None = None) -> bool:
        ended = self._optuna.trial.TrialState[state]
        with self._told(), suppress(self._optuna.exceptions.UpdateFinishedTrialError):
            return self._storage.set_trial_state_values(trial_id, ended, values)
        return False

    @contextmanager
    def beating(self, claim: Claim) -> Iterator[None]:
        """Show signs of life of a claim while the block runs."""
        ended = threading.Event()

        def beat() -> None:
            count = 0
            while not ended.wait(BEAT):
                count += 1
                with suppress(StudyError, SearchFailed):  # the block will find out, too
                    self._set(claim, "beat", count)

        thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Say what a database's error means, and what to do."""
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except (
            SQLAlchemyError,
            self._optuna.exceptions.StorageInternalError,
            ImportError,
            RuntimeError,
        ) as error:
            if isinstance(error, self._optuna.exceptions.UpdateFinishedTrialError):
                raise
            if is_full(error):
                raise full(self._path) from error
            said = " ".join(str(error.__cause__ or error).split("\n")[0].split())
            raise StudyError(self._path, f"its database can't be used: {said}") from error


def is_full(error: BaseException) -> bool:
    """Whether an error, or what caused it, is that nothing more can be written."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return True
        if any(words in str(seen).lower() for words in _FULL):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def full(path: str) -> SearchFailed:
    """What a full disk means for a study."""
    return SearchFailed(
        path,
        f"the disk that holds {path} is full: the study has every trial that was finished; free "
        "some space, then resume the search with the same directory",
        reason="disk",
    )


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        install = "pip install 'tflm-opt[search]'"
        raise MissingTool("optuna", needed_for="to keep trials", install=install) from error
    return optuna


@contextmanager
def _quiet() -> Iterator[None]:
    """Optuna's messages on what it creates are not for our users; its settings stay theirs."""
    logger = logging.getLogger("optuna")
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)
