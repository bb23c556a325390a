"""Trials of a search, read from Optuna's: which slot each stands for, and what became of it.

    Optuna's number   0    1    2    3 (retry of 1)   4    5 (retry of 3)   …
    slot              0    1    2    1                3    1

Optuna hands out numbers in a transaction, each once and without gaps, and that is all the
coordination that workers need. A trial that its worker created for a new slot has the slot "number
less the retries before it"; retries say at their creation which trial they take the place of, so
the slots of others never move. Of two retries of one trial the first counts.

A trial is *finished* when Optuna has it complete, or failed with what its evaluation raised; it is
*open* when it failed without that: its worker was stopped, or died and somebody noticed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import TflmOptError
from .cost import Cost
from .evolution import Candidate, scores
from .generations import Generations
from .space import Architecture

if TYPE_CHECKING:
    from ..result import Result
    from .study import Study

COMPLETE, FAILED, RUNNING, OPEN = "complete", "failed", "running", "open"
DEATHS = 3  # of workers in one slot, until it counts as failed


@dataclass(frozen=True, slots=True)
class Trial:
    """A candidate and what is known of it.

    Example:
        >>> trial = study.best
        >>> trial.accuracy, trial.cost.sram, trial.architecture["resolution"]
        (0.934, 61440, 48)

    Attributes:
        number: its slot, from 0: the same whoever evaluated it, and however often it was begun.
        state: "complete", "failed" (`error` says why), or "running".
        architecture, key: what was evaluated; empty if no worker has said so yet.
        cost: what it needs on the board, under the schedule that would ship; None as above.
        accuracy: on the validation data, as its evaluator measured it; None unless complete.
        seed: of the evaluation.
        seconds: that the evaluation took.
        generation: of the evolution that proposed it; with halving, the number of its ladder.
        rung: of that ladder: a net has a trial on each rung that it got to. 1 in finals, where its
            accuracy is that after a training by itself.
        rejected: candidates that were over a limit when this one was looked for.
        error: the last line of what was raised.
        worker: "host:process" that evaluated it.
        detail: what else the evaluator said.
    """

    number: int
    state: str
    architecture: Architecture = field(default_factory=dict)
    key: str = ""
    cost: Cost | None = None
    accuracy: float | None = None
    seed: int = 0
    seconds: float | None = None
    generation: int = 0
    rung: int = 0
    rejected: int = 0
    error: str = ""
    worker: str = ""
    detail: dict[str, Any] = field(default_factory=dict)
    study: Study | None = field(default=None, repr=False, compare=False)

    def scores(self, objectives: Sequence[str]) -> tuple[float, ...]:
        """Of a complete trial: what it is compared by; smaller is better."""
        if self.accuracy is None or self.cost is None:
            raise TflmOptError(f"trial {self.number} is {self.state}: it has no results")
        return scores(self.accuracy, self.cost, objectives)

    def optimize(self, **options: Any) -> Result:
        """Fine-tune, quantize and optimize this net: the `Result` that ships.

        Example:
            >>> study.best.optimize().export("platformio", "firmware", board="disco_f746ng")

        The net comes out of the supernet, if that is what judged it, or has the weights that its
        finals or last rung left, and is trained on; otherwise it is trained from scratch. Board,
        limits and input are the study's; `best/` in its directory gets the model, the `.tflite` and
        what was measured.

        Args:
            options: `epochs`, `recipe` (a `nas.recipe.Recipe`), `qat`, `seed`, `verbose`, and
                whatever else `nas.finish.finish` takes.

        Raises:
            DoesNotFit: the limits can't be met after all.
            TflmOptError: a search without data.
        """
        from .best import optimized

        return optimized(self, **options)


class Stored(Protocol):
    """What is read of Optuna's `FrozenTrial`."""

    @property
    def number(self) -> int: ...
    @property
    def state(self) -> Any: ...
    @property
    def user_attrs(self) -> Mapping[str, Any]: ...


@dataclass(slots=True)
class Slot:
    """A place in the list of candidates, and the trial that stands for it now.

    Attributes:
        number: from 0.
        trial: the attempt that counts: the last of a chain of retries.
        state: one of COMPLETE, FAILED, RUNNING, OPEN.
        deaths: attempts so far whose workers died.
        candidate: what any attempt said is evaluated here.
        exhausted: nothing was left for this slot.
    """

    number: int
    trial: Any
    state: str = RUNNING
    deaths: int = 0
    candidate: Candidate | None = None
    exhausted: bool = False

    @property
    def finished(self) -> bool:
        return self.state in (COMPLETE, FAILED)


def state_of(stored: Stored) -> str:
    """What became of one attempt."""
    name = stored.state.name
    if name == "COMPLETE":
        return COMPLETE
    if name in ("RUNNING", "WAITING"):
        return RUNNING
    return FAILED if "error" in stored.user_attrs else OPEN


def slots(stored: Iterable[Stored], *, forgiven: int = -1) -> list[Slot]:
    """The slots that trials stand for, by number.

    Args:
        stored: all of a study.
        forgiven: failures up to this number of Optuna's count as open: they are tried again.
    """
    fresh: list[Stored] = []
    successors: dict[int, Stored] = {}
    for one in sorted(stored, key=lambda t: t.number):
        if "retry_of" in one.user_attrs:
            successors.setdefault(one.user_attrs["retry_of"], one)
        else:
            fresh.append(one)
    return [_followed(i, one, successors, forgiven) for i, one in enumerate(fresh)]


def _followed(number: int, one: Stored, successors: Mapping[int, Stored], forgiven: int) -> Slot:
    slot = Slot(number, one)
    while True:
        attributes = slot.trial.user_attrs
        slot.state = state_of(slot.trial)
        slot.exhausted = "exhausted" in attributes
        if "candidate" in attributes and slot.candidate is None:
            slot.candidate = candidate_from(attributes["candidate"])
        if slot.state == FAILED and slot.trial.number <= forgiven:
            slot.state, slot.deaths = OPEN, 0
        elif slot.state == OPEN:
            slot.deaths += "released" not in attributes
        following = successors.get(slot.trial.number)
        if following is None or slot.state != OPEN:
            return slot
        slot.trial = following


def candidate_to(candidate: Candidate) -> dict[str, Any]:
    """As plain values."""
    return asdict(candidate)


def candidate_from(data: Mapping[str, Any]) -> Candidate:
    """The inverse of `candidate_to`; fields of costs that are not known are left out."""
    known = {f.name for f in fields(Cost)}
    cost = Cost(**{k: v for k, v in data["cost"].items() if k in known})
    epochs = tuple(data.get("epochs", ()))
    return Candidate(data["architecture"], data["key"], cost, data["rejected"], epochs)


def trial_of(slot: Slot, generations: Generations, study: Study | None = None) -> Trial:
    """The record that users see."""
    attributes = slot.trial.user_attrs
    result = attributes.get("result", {}) if slot.state == COMPLETE else {}
    candidate = slot.candidate
    worker = attributes.get("worker")
    return Trial(
        number=slot.number,
        state=slot.state,
        architecture=candidate.architecture if candidate else {},
        key=candidate.key if candidate else "",
        cost=candidate.cost if candidate else None,
        accuracy=result.get("accuracy"),
        seed=result.get("seed", 0),
        seconds=result.get("seconds"),
        generation=generations.of(slot.number),
        rung=generations.rung(slot.number),
        rejected=candidate.rejected if candidate else 0,
        error=attributes.get("error", "") if slot.state == FAILED else "",
        worker=f"{worker['host']}:{worker['pid']}" if worker else "",
        detail=result.get("detail", {}),
        study=study,
    )
