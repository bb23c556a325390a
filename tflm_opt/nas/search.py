"""`tflm_opt.search`: from data and limits to a study, in phases that are not done again.

data ─ space ─ does anything fit? ─ survey ─ supernet ─ trials
└──────────── study.json, data.npz ────────┘  supernet/  study.db
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import TflmOptError
from ..progress import Progress, reporter
from . import checkpoints, folder
from .begin import begun, resumed
from .folder import POPULATION, SUPERNET, Setup
from .halving import HALVING, Halving
from .ledger import Ledger, full, is_full
from .limits import Limits
from .members import fitting
from .parts import candidates_of, evaluator_of, price_of, space_of, training_of
from .pool import Pool
from .space import Architecture, Space
from .study import Study, best_of, check_objectives, described
from .trials import COMPLETE, Trial
from .worker import Worker, failing

GENERATIONS, LADDERS = 20, 1  # where nothing else says when to stop
_POLL = 0.3  # seconds between looks at the trials

Callback = Callable[[Study, Trial], None]


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a search: workers were stopped, the study is intact. Attributes: study."""

    def __init__(self, study: Study) -> None:
        super().__init__(
            f"stopped after {len(study.complete)} trials. To go on: "
            f"tflm_opt.search(directory={str(study.directory)!r})"
        )
        self.study = study


def search(
    train: Any = None,
    val: Any = None,
    *,
    board: str | None = None,
    sram: int | str | None = None,
    flash: int | str | None = None,
    latency_ms: float | None = None,
    space: Space | None = None,
    directory: str | Path | None = None,
    trials: int | None = None,
    population: int | None = None,
    generations: int | None = None,
    minutes: float | None = None,
    workers: int = 1,
    threads: int | None = None,
    seed: int | None = None,
    evaluator: str | None = None,
    input: str | None = None,
    storage: str | None = None,
    survey: bool | None = None,
    supernet: str | Path | None = None,
    callbacks: Sequence[Callback] = (),
    objectives: Sequence[str] | None = None,
    options: dict[str, Any] | None = None,
    pricer: str | None = None,
    verbose: int = 1,
) -> Study:
    """Search for the nets that do most on a board.

    Example:
        >>> study = tflm_opt.search(
        ...     (x_train, y_train),
        ...     (x_val, y_val),
        ...     board="disco_f746ng",
        ...     sram="256KiB",
        ...     flash="1MiB",
        ...     latency_ms=200,
        ...     directory="faces",
        ...     workers=2,
        ... )
        >>> study.best.accuracy, study.best.cost.sram
        (0.934, 251904)
        >>> tflm_opt.search(directory="faces", trials=2000)  # goes on, also after Ctrl-C or a crash

    Args:
        train, val: (inputs, labels), as `nas.data.checked` takes them. Needed once: the study's
            directory keeps them.
        board: whose core and clock count.
        sram, flash: limits, bytes or text with a unit. `sram` is for arena, state and stack.
        latency_ms: a limit on the estimated latency of an inference.
        space: what is searched; chosen for the data and limits by default.
        directory: of the study. One that exists is gone on with, under its own settings; a new one
            in the current directory by default.
        trials: candidates to evaluate in all, those of earlier calls included. With halving, a net
            counts on each rung that it gets to; with finals, once more there.
        population: candidates a generation (50). With halving, those that a ladder begins with; by
            default 50, or as many as let a whole ladder end within `trials`.
        generations: another way to say `trials`. Without either, and without `minutes`, 20; with
            halving, how many ladders, 1.
        minutes: no evaluation begins after so long in this call.
        workers: processes that evaluate; 0 for none but this one, for debugging. More may be
            started by hand: `python -m tflm_opt.nas.worker DIRECTORY`, also on other machines.
        threads: of each worker's numerics; by default the cores are shared out when a study
            begins. It is fixed then, as sums of floats can differ with it.
        seed: of all draws (0).
        evaluator: "supernet"; "train" for each net by itself; "halving" for successive halving, the
            cheaper one for small data; or "module:function" of your own, a function of
            (architecture, net, seed) that returns the accuracy. Workers import it by that name.
        input: "resident", "streamed", or "any" for what suits each net best.
        storage: the URL of a database for many machines, as SQLAlchemy takes it; names like
            $PASSWORD in it are those of the environment. `study.db` in the directory by default.
        survey: whether the widths and resolutions to search are chosen first, by what fits
            (`nas.survey`) and by nets of each resolution that are trained for a while
            (`nas.contest`); by default where no space is given.
        supernet: the directory of one that was trained before, `STUDY/supernet` say, on the same
            data and space: a study with other limits needs no other, though a supernet knows those
            nets best that are within the limits that it was trained for. It is copied.
        callbacks: called with the study and each trial that is finished, in this process.
        objectives: of which the front is sought: "accuracy", then any of "sram", "latency",
            "flash", "macs". ("accuracy",) alone for the best net within the limits.
        options: of the search's parts, by name: {"supernet": {"epochs": 30}}, see
            `nas.training.Training`; {"finals": {"nets": 2, "epochs": 10}}, `nas.finals.Finals`;
            {"survey": {"nets": 1, "epochs": 30}}, `nas.contest.Contest`; {"halving": {"epochs": 1,
            "factor": 2}}, `nas.halving.Halving`; {"training": {"epochs": 5}} of nets by themselves,
            `nas.recipe.Recipe`. With options for halving a function of your own is asked on each
            rung, and takes `epochs` too: those behind the net after each rung up to this one,
            (1, 2, 4); with options for finals it is asked once more about finalists, with
            epochs=(10,).
        pricer: "module:function" of a net, that returns its `Cost`, instead of `nas.Pricer`.
        verbose: 0 for silence.

    Raises:
        NothingFits: no net of the space meets the limits; says the least that was found.
        DataError: data that nothing can be learned from.
        StudyError: the directory holds something else, or a study with other settings.
        SearchFailed: all evaluations fail, workers die, the disk is full. The study is intact.
        Interrupted: Ctrl-C, likewise.
        MissingTool: Optuna isn't installed.
    """
    asked = _asked(
        board=board,
        seed=seed,
        evaluator=evaluator,
        input=input,
        population=population,
        threads=threads,
        options=options,
        pricer=pricer,
        objectives=None if objectives is None else list(check_objectives(objectives)),
        space=None if space is None else space.to_json(),
        limits=_limits(sram, flash, latency_ms),
    )
    _check_numbers(
        trials=trials,
        population=population,
        generations=generations,
        minutes=minutes,
        workers=workers,
        threads=threads,
    )
    path = Path(directory if directory is not None else _new_directory())
    began = time.time()
    with reporter(verbose) as progress:
        if folder.exists(path):
            setup = resumed(path, asked, (train, val), storage)
        else:
            asked.setdefault("threads", max(1, (os.cpu_count() or 1) // max(1, workers)))
            if halved := _halved(asked, trials):
                asked.setdefault("population", halved)
            setup = begun(path, asked, (train, val), storage, survey, progress)
        goal = _goal(setup, trials, generations, minutes)
        if goal != setup.trials:
            setup = replace(setup, trials=goal)
            folder.save(path, setup)
        ledger = _created(path, setup)
        study = Study(path)
        try:
            _prepare(path, setup, ledger, progress, supernet)
        except KeyboardInterrupt as interrupt:
            raise Interrupted(study) from interrupt
        finally:
            ledger.close()
        until = None if minutes is None else began + 60 * minutes
        run = _Run(study, callbacks, progress, goal)
        if workers:
            run.in_processes(workers, until)
        else:
            run.in_this_process(until)
    return study


def _asked(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _limits(sram: Any, flash: Any, latency_ms: Any) -> dict[str, Any] | None:
    limits = Limits(sram, flash, latency_ms)
    return limits.to_json() if limits else None


def _check_numbers(**values: Any) -> None:
    for name, value in values.items():
        least = {"workers": 0, "population": 2}.get(name, 1)
        kinds = (int, float) if name == "minutes" else int
        good = isinstance(value, kinds) and not isinstance(value, bool)
        if value is not None and (not good or (value <= 0 if name == "minutes" else value < least)):
            raise TflmOptError(
                f"{name} is {value!r}: give a number from {least} on, or leave it out"
            )


def _new_directory() -> str:
    return time.strftime("search-%Y%m%d-%H%M%S")


def _goal(
    setup: Setup, trials: int | None, generations: int | None, minutes: float | None
) -> int | None:
    """How many trials there will be in all; None if only time is a limit."""
    if trials is not None:
        return trials
    size = setup.generations().size
    if generations is not None:
        return generations * size
    if minutes is not None:
        return None
    return setup.trials or (GENERATIONS if setup.halving() is None else LADDERS) * size


def _halved(asked: dict[str, Any], trials: int | None) -> int | None:
    """How many candidates begin, so that so many trials are enough for a whole ladder."""
    options = asked.get("options", {})
    if trials is None or (asked.get("evaluator") != HALVING and HALVING not in options):
        return None
    halving = Halving.from_json(options.get(HALVING, {}))
    return min(halving.population(trials), POPULATION)


def _created(path: Path, setup: Setup) -> Ledger:
    """The database's tables and study, where they aren't there yet."""
    ledger = Ledger(setup.database(path), setup.name, str(path), directions=setup.directions())
    if "digest" not in ledger.facts():
        ledger.note("space", setup.space)
        ledger.note("limits", setup.limits)
        ledger.note("digest", setup.digest())
    slots = ledger.slots()
    if slots and not any(s.state == COMPLETE for s in slots):
        ledger.forgive()  # what made them all fail may have been put right
    return ledger


def _prepare(
    path: Path, setup: Setup, ledger: Ledger, progress: Progress, given: str | Path | None
) -> None:
    """What an evaluator needs before the first trial: a supernet, trained."""
    folder = path / "supernet"
    if setup.evaluator != SUPERNET or (ledger.facts().get("supernet") and folder.exists()):
        return
    from .data import Dataset
    from .supernet import Supernet, adopt

    data = Dataset.load(path)
    space = space_of(path, setup)
    try:
        if given is not None:
            adopt(given, folder, space, data)
            ledger.note("supernet", True)
            return
        how = training_of(setup)
        nets = _members(folder, setup, space, progress)
        supernet = Supernet(space, seed=setup.seed)
        supernet.train(
            data.x_train, data.y_train, how, nets=nets, directory=folder, progress=progress
        )
    except OSError as error:
        if is_full(error):
            raise full(str(path)) from error
        raise
    except (ValueError, TypeError) as error:
        raise TflmOptError(f"no supernet can be had: {error}") from error
    ledger.note("supernet", True)


def _members(
    folder: Path, setup: Setup, space: Space, progress: Progress
) -> Sequence[Architecture] | None:
    """The nets to train a supernet for; None where there are no limits, and any net will do."""
    if not setup.limit():
        return None
    if (settings := checkpoints.read_settings(folder)) is not None:
        return settings.get("nets")  # of a training that was interrupted
    progress.step("drawing nets to train the supernet for")
    return fitting(
        space,
        price_of(setup),
        setup.limit(),
        larger=len(setup.objectives) == 1,
        seed=setup.seed,
        report=progress.detail,
    )


class _Run:
    """The trials of one call."""

    def __init__(
        self, study: Study, callbacks: Sequence[Callback], progress: Progress, goal: int | None
    ) -> None:
        self.study = study
        self.callbacks = callbacks
        self.progress = progress
        self.goal = goal
        self._told = {t.number for t in study.trials if t.accuracy is not None or t.error}
        self._said: tuple[Any, ...] = ()

    def in_processes(self, workers: int, until: float | None) -> None:
        """Until the workers have come to their end."""
        arguments = [] if until is None else ["--until", str(until)]
        pool: Pool | None = None
        try:
            pool = Pool(self.study.directory, workers, arguments, self.study.setup.threads)
            while pool.check():
                if self.tell():
                    pool.progressed()
                time.sleep(_POLL)
            self.tell()
        except KeyboardInterrupt as interrupt:
            self.progress.step("stopping the workers")
            if pool is not None:
                pool.stop()
            raise Interrupted(self.study) from interrupt
        finally:
            if pool is not None:
                pool.stop()
        self._check()

    def in_this_process(self, until: float | None) -> None:
        """The same, in the process that asked."""
        path, setup = self.study.directory, self.study.setup
        evaluator = evaluator_of(path, setup)
        candidates = candidates_of(path, setup, evaluator)
        worker = Worker(self.study._ledger, setup, candidates, evaluator, str(path))
        try:
            worker.run(trials=self.goal, until=until, after=self.tell)
        except KeyboardInterrupt as interrupt:
            raise Interrupted(self.study) from interrupt
        self._check()

    def _check(self) -> None:
        slots = self.study._slots()
        if slots and not any(s.state == COMPLETE for s in slots) and all(s.finished for s in slots):
            raise failing(str(self.study.directory), slots)

    def tell(self) -> bool:
        """Report what is new; whether anything is."""
        trials = self.study.trials
        finished = [t for t in trials if t.state == COMPLETE or t.error]
        new = [t for t in finished if t.number not in self._told]
        for trial in new:
            self._told.add(trial.number)
            for callback in self.callbacks:
                callback(self.study, trial)
        self._show(trials, finished)
        return bool(new)

    def _show(self, trials: Sequence[Trial], finished: Sequence[Trial]) -> None:
        last = max(((t.generation, t.rung) for t in trials), default=(0, 0))
        complete = [t for t in finished if t.state == COMPLETE]
        best = best_of(self.study.setup, complete)
        if (last, best) != self._said:
            self._said = (last, best)
            words = f"generation {last[0] + 1}"
            if self.study.setup.halving() is not None:
                words = f"ladder {last[0] + 1}, rung {last[1] + 1}"
            elif last[1]:
                words += ", finals"
            if best is not None:
                words += f": best {described(best)}"
            self.progress.step(words)
        self.progress.detail(len(finished), self.goal or len(finished))
