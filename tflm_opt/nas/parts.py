"""What a study's settings name, made: its space, its prices, its evaluator."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from ..errors import StudyError, TflmOptError
from .evolution import Evolution, Price
from .finals import Finalists
from .folder import SUPERNET, Setup
from .halving import MACS
from .ladder import Ladder, Score
from .least import Plan
from .space import Space
from .training import Training


def space_of(directory: Path, setup: Setup) -> Space:
    """The space.

    Raises:
        StudyError: a space of another version, or one of the user's that can't be imported.
    """
    from . import spaces

    try:
        return spaces.from_json(setup.space)
    except ValueError as error:
        raise StudyError(str(directory), f"its space can't be made: {error}") from error


def price_of(setup: Setup, *, whole: bool = False) -> Price:
    """What a net costs on the board, under the schedule that would ship within the limits.

    Args:
        whole: also of nets that are too slow, whose cost is of no use to a search but to reject
            them; see `Pricer.price`.
    """
    if setup.pricer:
        return named(setup.pricer, "pricer")
    from .cost import Pricer

    pricer = Pricer(setup.board, input=setup.input)
    limits = setup.limit()
    latency_ms = None if whole else limits.latency_ms
    return lambda net: pricer.price(net, sram=limits.sram, latency_ms=latency_ms)


def plan_of(setup: Setup) -> Plan | None:
    """What a net costs within other bytes of SRAM; None for prices of the user's."""
    if setup.pricer:
        return None
    from .cost import Pricer

    pricer = Pricer(setup.board, input=setup.input)
    return lambda net, sram: pricer.price(net, sram=sram)


def training_of(setup: Setup) -> Training:
    """How the study's supernet is trained."""
    return trained_by({"seed": setup.seed, **setup.options.get(SUPERNET, {})})


def trained_by(asked: Mapping[str, Any]) -> Training:
    """How a supernet is trained, by a table of settings.

    Raises:
        TflmOptError: settings that no training has, or that can't be.
    """
    if not isinstance(asked, Mapping):
        raise TflmOptError(f"the training of a supernet is a table of settings, not {asked!r}")
    known = [field.name for field in fields(Training)]
    if unknown := sorted(set(asked) - set(known)):
        raise TflmOptError(
            f"the training of a supernet has no setting {unknown[0]!r}; known are "
            f"{', '.join(sorted(known))}"
        )
    try:
        return Training(**asked)
    except (ValueError, TypeError) as error:
        raise TflmOptError(f"no supernet can be had: {error}") from error


def candidates_of(directory: Path, setup: Setup, evaluator: Any) -> Evolution | Finalists | Ladder:
    """The list of candidates.

    Args:
        evaluator: is asked for a proxy's scores, where one chooses who begins.
    """
    evolution = Evolution(
        space_of(directory, setup),
        price_of(setup),
        setup.limit(),
        population=setup.population,
        seed=setup.seed,
    )
    halving = setup.halving()
    if halving is None:
        finals = setup.finals()
        return evolution if finals is None else Finalists(evolution, finals)
    rungs = halving.rungs(setup.population)
    score = _score_of(halving.proxy, evolution.space, evaluator, setup.seed)
    return Ladder(evolution, rungs, score=score, drawn=halving.drawn)


def _score_of(proxy: str, space: Space, evaluator: Any, seed: int) -> Score | None:
    if proxy == MACS:
        return lambda candidate: candidate.cost.macs
    if proxy:
        return lambda candidate: evaluator.score(space.net(candidate.architecture), seed=seed)
    return None


def evaluator_of(directory: Path, setup: Setup) -> Any:
    """What says how good a net is. It may import TensorFlow."""
    from .evaluate import make_evaluator

    return make_evaluator({**setup.options, "evaluator": setup.evaluator}, directory)


def named(name: str, what: str) -> Any:
    """What "module:name" names.

    Raises:
        TflmOptError: no such module or name.
    """
    module, _, attribute = name.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise TflmOptError(
            f"the {what} {name!r} can't be imported ({error}): write 'module:function', and have "
            "the module on PYTHONPATH"
        ) from error
