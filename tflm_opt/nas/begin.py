"""The beginning of a study: settings and data are looked at before anything is written.

    data ─ space ─ does anything fit? ─ survey ─▶ data.npz, survey.* ─ contest ─▶ study.json

study.json comes last: a directory without it is none of a study, and may be begun again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import boards
from ..api import DEFAULT_BOARD
from ..errors import TflmOptError
from ..export.folder import write_file
from ..progress import Progress
from . import folder
from .child import ChildEvaluator
from .contest import CONTEST, Contest, decided
from .cost import INPUTS
from .evaluate import EVALUATORS
from .finals import FINALS, Finals
from .folder import POPULATION, SUPERNET, Setup
from .halving import HALVING, MACS, Halving
from .least import require_fit
from .ledger import full, is_full
from .limits import Limits
from .net import Net
from .parts import named, plan_of, price_of, space_of, trained_by, training_of
from .recipe import Recipe
from .space import Architecture
from .survey import Survey, survey

OBJECTIVES = ("accuracy", "sram", "latency")
SURVEY, CURVES = "survey.json", "survey.svg"


def resumed(path: Path, asked: Mapping[str, Any], data: tuple[Any, Any], storage: Any) -> Setup:
    """The settings of a study that exists, if they are those that were asked for.

    Raises:
        StudyError: they are others, or the study is damaged or of another version.
    """
    setup = folder.load(path)
    wanted = dict(asked)
    if data[0] is not None:
        wanted["data"] = _digest(_checked(*data))
    if setup.family and "space" in wanted:
        wanted["family"] = wanted.pop("space")
    folder.compare(path, setup, wanted)
    if storage is not None and storage != setup.storage:
        setup = replace(setup, storage=storage)
        folder.save(path, setup)
    return setup


def begun(
    path: Path,
    asked: Mapping[str, Any],
    data: tuple[Any, Any],
    storage: str | None,
    wanted: bool | None,
    progress: Progress,
) -> Setup:
    """A new study in a directory.

    Args:
        asked: what was said of its settings, by the names of `Setup`.
        data: train and val.
        wanted: whether there is a survey; None for one where no space was given.

    Raises:
        NothingFits, DataError: see `search`.
        StudyError, SearchFailed: nothing can be written there.
    """
    _check(asked)
    dataset = None
    if data[0] is not None:
        progress.step("looking at the data")
        dataset = _checked(*data)
    elif ":" not in asked.get("evaluator", ""):
        raise TflmOptError("a search needs data: give train and val, each (inputs, labels)")
    elif "space" not in asked:
        raise TflmOptError("a search without data needs a space: give space=")
    setup = Setup(
        **{
            "board": DEFAULT_BOARD,
            "limits": Limits().to_json(),
            "space": _default_space(dataset),
            **asked,
            "objectives": tuple(asked.get("objectives", OBJECTIVES)),
            "data": "" if dataset is None else _digest(dataset),
            "storage": storage or "",
            "name": folder.new_name(),
        }
    )
    progress.step("looking for a net that fits")
    require_fit(
        space_of(path, setup),
        price_of(setup, whole=True),
        setup.limit(),
        seed=setup.seed,
        report=lambda tried: progress.detail(tried, max(tried, 1)),
        plan=plan_of(setup),
    )
    surveyed = wanted or (wanted is None and "space" not in asked)
    found = _survey(path, setup, progress) if surveyed else None
    _write(path, dataset, found)
    if found is not None:
        if dataset is not None and setup.evaluator in EVALUATORS:
            found = _decided(path, setup, found, progress)
            _write(path, None, found)
        progress.step(f"searching nets of {found.chosen.name}")
        setup = replace(setup, space=found.space.to_json(), family=setup.space)
    folder.save(path, setup)
    return setup


def _check(asked: Mapping[str, Any]) -> None:
    """Names that would otherwise be noticed by workers, or never."""
    boards.get(asked.get("board", DEFAULT_BOARD))
    if (input := asked.get("input", "any")) not in INPUTS:
        raise TflmOptError(f"input {input!r} is not one of {', '.join(INPUTS)}")
    made = None
    if (evaluator := asked.get("evaluator", SUPERNET)) not in EVALUATORS:
        if ":" not in evaluator:
            known = ", ".join(EVALUATORS)
            raise TflmOptError(
                f"evaluator {evaluator!r} is not one of {known}, nor 'module:function'"
            )
        made = named(evaluator, "evaluator")
    options = asked.get("options", {})
    _check_halving(evaluator, made, asked)
    _check_finals(evaluator, options)
    Contest.from_json(options.get(CONTEST, {}))
    if evaluator == SUPERNET:
        trained_by(options.get(SUPERNET, {}))


def _check_finals(evaluator: str, options: Mapping[str, Any]) -> None:
    if FINALS not in options:
        return
    Finals.from_json(options[FINALS])
    if (evaluator in EVALUATORS and evaluator != SUPERNET) or HALVING in options:
        raise TflmOptError(
            f"options for finals with the evaluator {evaluator!r}, of nets that are trained from "
            "the beginning: finals are for those of a supernet, or of a function of your own that "
            "takes epochs="
        )


def _check_halving(evaluator: str, own: Any, asked: Mapping[str, Any]) -> None:
    """What halving is told, and whether the evaluator can do it."""
    options = asked.get("options", {})
    if evaluator != HALVING and HALVING not in options:
        return
    if evaluator in EVALUATORS and evaluator != HALVING:
        raise TflmOptError(
            f"options for halving with the evaluator {evaluator!r}, which knows no rungs: give "
            "evaluator='halving', or one of your own that takes epochs="
        )
    halving = Halving.from_json(options.get(HALVING, {}))
    halving.rungs(asked.get("population", POPULATION))
    if own is not None and halving.proxy not in ("", MACS) and not hasattr(own, "score"):
        raise TflmOptError(
            f"halving's proxy {halving.proxy!r} with the evaluator {evaluator!r}, which has no "
            f"score(net, seed=): give it one, or take the proxy {MACS!r}"
        )
    if evaluator == HALVING:
        training = options.get("training") or {}
        Recipe.from_json(training)
        if "epochs" in training:
            raise TflmOptError(
                "options for training with epochs: how many epochs a net gets is for halving to "
                'say. Give {"halving": {"epochs": 1}}, the epochs of the first rung'
            )


def _default_space(dataset: Any) -> dict[str, Any]:
    from . import spaces

    return {} if dataset is None else spaces.default(dataset.shape, dataset.classes).to_json()


def _survey(path: Path, setup: Setup, progress: Progress) -> Survey:
    """TinyNAS's first stage: which widths and resolutions to search."""
    family: Any = space_of(path, setup)
    if not hasattr(family, "subspaces"):
        raise TflmOptError("the space has no subspaces() to choose from: search it as it is")
    price = price_of(setup)
    return survey(
        family, setup.limit(), lambda net, sram: price(net), seed=setup.seed, progress=progress
    )


def _decided(path: Path, setup: Setup, found: Survey, progress: Progress) -> Survey:
    """The survey's end: nets of each resolution are trained for a while."""
    contest = Contest.from_json(setup.options.get(CONTEST, {}))
    if setup.evaluator == SUPERNET:
        recipe = training_of(setup).alone(Recipe())
    else:
        recipe = Recipe.from_json(setup.options.get("training") or {})
    child = ChildEvaluator(
        {"evaluator": "train", "training": recipe.of(contest.epochs).to_json()}, path
    )

    def evaluate(architecture: Architecture, net: Net) -> float:
        return child.evaluate(architecture, net, seed=setup.seed).accuracy

    try:
        return decided(found, evaluate, contest, progress)
    finally:
        child.close()


def _write(path: Path, dataset: Any, found: Survey | None) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
        if dataset is not None:
            dataset.save(path)
        if found is not None:
            write_file(path / SURVEY, json.dumps(found.to_json(), indent=2) + "\n")
            write_file(path / CURVES, found.svg())
    except OSError as error:
        if is_full(error):
            raise full(str(path)) from error
        raise folder.unwritable(path, error) from error


def _checked(train: Any, val: Any) -> Any:
    from .data import checked

    if val is None:
        raise TflmOptError("a search needs validation data: give val, (inputs, labels)")
    return checked(train, val)


def _digest(dataset: Any) -> str:
    """Of data as they were checked: the same again for the same."""
    digest = hashlib.sha256()
    for name in ("x_train", "y_train", "x_val", "y_val"):
        array = np.ascontiguousarray(getattr(dataset, name))
        digest.update(f"{name} {array.shape} {array.dtype}".encode())
        digest.update(array.data)
    return digest.hexdigest()[:16]
