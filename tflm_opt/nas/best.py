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
    from .supernet import Supernet
    from .trials import Trial

_FRESH_EPOCHS = 60  # of a net that was not trained before, or hardly
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
    model, usual = begun(trial, study, data)
    chosen = recipe or usual
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
            model,
            data,
            recipe=chosen if epochs is None else replace(chosen, epochs=epochs),
            seed=setup.seed if seed is None else seed,
            progress=progress,
            **given,
        )


def begun(trial: Trial, study: Study, data: Dataset) -> tuple[Any, Recipe]:
    """What is trained on, and how: from a supernet's weights or those of its finals, from a rung's
    as on one more rung, and an untrained net as the search did it, and longer.
    """
    from .build import build
    from .climb import FOLDER, weights_after
    from .folder import SUPERNET
    from .recipe import Recipe
    from .supernet import Supernet

    setup = study.setup
    if setup.evaluator == SUPERNET:
        supernet = Supernet.load(study.directory / "supernet", space=study.space)
        order = np.random.default_rng(0).permutation(len(data.x_train))
        images = data.x_train[np.sort(order[:_CALIBRATION])]
        model = supernet.extract(trial.architecture, images)
        if trial.rung and (finals := setup.finals()):
            weights = weights_after(study.directory / FOLDER, trial.architecture, finals.epochs)
            if weights is not None:
                model.set_weights(weights)
        return model, tuning(supernet)
    net: Any = study.space.net(trial.architecture)
    own = Recipe.from_json(setup.options.get("training") or {})
    if (halving := setup.halving()) is None:
        return net, own.of(max(own.epochs, _FRESH_EPOCHS))
    behind = halving.rungs(setup.population)[trial.rung].epochs
    weights = weights_after(study.directory / FOLDER, trial.architecture, behind)
    if weights is None:  # of an evaluator of the user's, or deleted
        return net, own.of(max(behind, _FRESH_EPOCHS))
    model = build(net, seed=setup.seed)
    model.set_weights(weights)
    return model, own.of(max(behind, _FRESH_EPOCHS - behind))


def tuning(supernet: Supernet) -> Recipe:
    """How a net out of a supernet is trained on: on images that are changed as the supernet's."""
    from .finish import TUNING

    return TUNING if supernet.how is None else supernet.how.alone(TUNING)


def _folder(trial: Trial, study: Study) -> str:
    return "best" if trial == study.best else f"trial{trial.number}"


def _name(study: Study) -> str | None:
    """The directory's name as C has names; None where it has no letters."""
    words = re.sub(r"\W+", "_", study.directory.resolve().name, flags=re.ASCII).strip("_")
    return words if words[:1].isalpha() else None
