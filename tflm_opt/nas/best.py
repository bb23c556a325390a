"""From a trial to what ships: the study's net, data, board and limits, handed to `finish`."""

from __future__ import annotations

import re
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import TflmOptError
from ..progress import reporter

if TYPE_CHECKING:
    from ..result import Result
    from .data import Dataset
    from .recipe import Recipe
    from .study import Study
    from .trials import Trial

_FRESH_EPOCHS = 30  # of a net that no supernet has weights for
_CALIBRATION = 512  # training images that batch norm's statistics are measured on


def optimized(
    trial: Trial,
    *,
    epochs: int | None = None,
    recipe: Recipe | None = None,
    seed: int | None = None,
    verbose: int = 1,
    **options: Any,
) -> Result:
    """See `Trial.optimize`."""
    from .data import Dataset
    from .finish import finish

    study = trial.study
    if study is None or trial.cost is None:
        raise TflmOptError(f"trial {trial.number} is of no study, or has no net yet")
    if not study.setup.data:
        raise TflmOptError(
            f"{study.directory}: the search had no data to train on: build the net yourself, "
            "nas.build.build(study.space.net(trial.architecture))"
        )
    setup, limits = study.setup, study.limits
    data = Dataset.load(study.directory)
    chosen = recipe or _recipe(trial, study)
    given: dict[str, Any] = {
        "board": setup.board,
        "sram": limits.sram,
        "flash": limits.flash,
        "input": trial.cost.input,
        "name": _name(study),
        "directory": study.directory / _folder(trial, study),
        "about": {
            "trial": trial.number,
            "architecture": trial.architecture,
            "promised": asdict(trial.cost),
            "accuracy": trial.accuracy,
        },
        **options,
    }
    with reporter(verbose) as progress:
        return finish(
            _model(trial, study, data),
            data,
            recipe=chosen if epochs is None else replace(chosen, epochs=epochs),
            seed=setup.seed if seed is None else seed,
            progress=progress,
            **given,
        )


def _model(trial: Trial, study: Study, data: Dataset) -> Any:
    """The subnet of the supernet, or the untrained net where there is none."""
    if study.setup.evaluator != "supernet":
        return study.space.net(trial.architecture)
    from .supernet import Supernet

    supernet = Supernet.load(study.directory / "supernet", space=study.space)
    order = np.random.default_rng(0).permutation(len(data.x_train))
    return supernet.extract(trial.architecture, data.x_train[np.sort(order[:_CALIBRATION])])


def _recipe(trial: Trial, study: Study) -> Recipe:
    """Gentle for weights that are there; for fresh ones the search's own, and longer."""
    from .finish import TUNING
    from .recipe import Recipe

    if study.setup.evaluator == "supernet":
        return TUNING
    own = Recipe.from_json(study.setup.options.get("training") or {})
    epochs = own.epochs
    if (halving := study.setup.halving()) is not None:
        epochs = halving.rungs(study.setup.population)[trial.rung].epochs
    return replace(own, epochs=max(epochs, _FRESH_EPOCHS))


def _folder(trial: Trial, study: Study) -> str:
    return "best" if trial == study.best else f"trial{trial.number}"


def _name(study: Study) -> str | None:
    """The directory's name as C has names; None where it has no letters."""
    words = re.sub(r"\W+", "_", study.directory.resolve().name, flags=re.ASCII).strip("_")
    return words if words[:1].isalpha() else None
