"""A flash budget that int8 weights miss, met with int4 ones where that is possible.

What layers save is known beforehand but for the code: kernels that unpack weights come in. So the
model is built with as many layers as the weights should need, and with more if that was not enough.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import TflmOptError
from .progress import Progress

if TYPE_CHECKING:
    from .graph import Tensor
    from .loading import Loaded
    from .mixed import Mixed
    from .result import Result

# Bytes of code that unpacks, about; and how often more is asked for.
_CODE = 2_000
_ROUNDS = 4
# Beyond what was missing: the next set of layers may have other code again.
_MARGIN = 256


def narrowed(
    result: Result,
    build: Callable[[Loaded], Result],
    loaded: Loaded,
    flash: int,
    calibration: Any,
    seed: int,
    progress: Progress,
) -> Result:
    """The model built with int4 weights in as few places as meet the budget of flash.

    Args:
        result: with int8 weights, above the budget.
        build: makes a result of a model.
        loaded: the int8 model.
        calibration: arrays to measure with where the loaded model has no examples; anything else
            is left out.

    Returns:
        The result, with all layers in int4 if even that is too much.
    """
    from . import graph
    from .mixed import Choices

    progress.step("Measuring layers with int4 weights")
    inputs = graph.read(loaded.tflite, loaded.source).inputs
    data = [np.stack(column) for column in zip(*loaded.examples, strict=True)] or calibration
    choices = Choices(loaded.tflite, samples_of(data, inputs), seed=seed)
    if not choices.layers:
        return result
    save = result.flash.total - flash + (_CODE if result.flash.code is not None else 0)
    for _ in range(_ROUNDS):
        found = choices.choose(save)
        made = build(dataclasses.replace(loaded, tflite=found.tflite))
        notes = (*made.warnings, _note(found))
        result = dataclasses.replace(made, mixed=found, warnings=notes)
        if result.flash.total <= flash or save >= choices.most:
            break
        save = found.saved + result.flash.total - flash + _MARGIN
    return result


def _note(found: Mixed) -> str:
    from .mixed import GIVEN, decibels

    count = sum(layer.chosen for layer in found.layers)
    together = decibels(found.harm)
    loss = "no change" if together is None else f"{together:.1f} dB of signal over noise"
    real = (
        ""
        if found.data == GIVEN
        else ". No real data was given, and the choice is a guess: give calibration="
    )
    return (
        f"{count} layers have int4 weights to meet the flash budget, which changes outputs: {loss} "
        f"against int8, over {found.samples} samples. evaluate() shows what it costs{real}"
    )


def samples_of(calibration: Any, inputs: tuple[Tensor, ...]) -> list[list[np.ndarray]] | None:
    """Samples in a model's own types, of calibration data that are arrays; None of other data.

    Raises:
        TflmOptError: arrays of other shapes or types than the inputs'.
    """
    from .inference import samples

    if isinstance(calibration, Mapping):
        calibration = list(calibration.values())
    columns = calibration if isinstance(calibration, (list, tuple)) else [calibration]
    if len(columns) != len(inputs) or not all(isinstance(c, np.ndarray) for c in columns):
        return None
    try:
        return samples(columns, inputs)
    except ValueError as error:
        raise TflmOptError(f"calibration: {error}") from error
