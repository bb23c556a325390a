"""How good a candidate is: by training it alone, by a supernet, or by a function of the user's.

Workers make an evaluator from the study's directory and ask it one candidate after the other. Its
answer depends on the candidate and the seed, not on what it was asked before, so that a study
doesn't depend on which worker got which candidate.
"""

from __future__ import annotations

import gc
import importlib
import math
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from ..errors import TflmOptError
from .data import FILE, Dataset
from .halving import HALVING, Halving
from .net import Net
from .recipe import Recipe, accuracy, threshold, train

EVALUATORS = ("supernet", "train", HALVING)
_SIZES_KEPT = 3  # data sets resized for nets before
_CALIBRATION = 256
SEEDS = 2**31


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What an evaluator found.

    Attributes:
        accuracy: of validation data, 0 to 1.
        detail: plain values beside it, which the study records.
    """

    accuracy: float
    detail: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 <= self.accuracy <= 1:
            raise TflmOptError(
                f"an evaluator gave an accuracy of {self.accuracy!r}: it must be a number in 0..1"
            )


@runtime_checkable
class Evaluator(Protocol):
    """What a search asks about a candidate."""

    def evaluate(self, architecture: Mapping[str, Any], net: Net, *, seed: int) -> Evaluation:
        """The accuracy of a net; the same for the same architecture and seed."""
        ...


class TrainEvaluator:
    """Trains each net from scratch for a few epochs: for small data, or to check a supernet.

    Example:
        >>> evaluator = TrainEvaluator(data, Recipe(epochs=5))
        >>> evaluator.evaluate(architecture, space.net(architecture), seed=0).accuracy
        0.8125

    Args:
        data: inputs are resized to what each net takes.
        recipe: how to train.
        int8: judge the net as it is rounded to int8, which takes a conversion more.
        build: makes a Keras model of a net and a seed; by default `nas.build`.
    """

    def __init__(
        self,
        data: Dataset,
        recipe: Recipe | None = None,
        *,
        int8: bool = False,
        build: Callable[..., Any] | None = None,
    ) -> None:
        self.data = data
        self.recipe = recipe or Recipe()
        self.int8 = int8
        self._build = build
        self._sized: OrderedDict[tuple[int, ...], Dataset] = OrderedDict()

    def evaluate(self, architecture: Mapping[str, Any], net: Net, *, seed: int) -> Evaluation:
        """See `Evaluator`. A net whose training breaks down (NaN) counts as one that knows nothing.

        Raises:
            DataError: a net for other channels, or for larger inputs than there are.
            TflmOptError: a net of another number of classes.
        """
        data = self.sized(net)
        with fresh_session():
            model = self.build(net, seed)
            loss = train(model, data.x_train, data.y_train, self.recipe, seed=seed)
            if not math.isfinite(loss):
                return Evaluation(0.0, {"diverged": True})
            found, detail = self.judged(model, data, seed=seed)
            return Evaluation(found, {"loss": loss, "epochs": self.recipe.epochs, **detail})

    def judged(self, model: Any, data: Dataset, *, seed: int) -> tuple[float, dict[str, Any]]:
        """The accuracy of a trained model, and what else is known of it."""
        found = accuracy(model, data.x_val, data.y_val)
        if not self.int8:
            return found, {}
        return int8_accuracy(model, data, seed=seed), {"float_accuracy": found}

    def build(self, net: Net, seed: int) -> Any:
        """The untrained Keras model of a net, whose classes are those of the data."""
        outputs = math.prod(net.shapes()[net.layers[-1].name])
        if outputs != self.data.classes and (outputs, self.data.classes) != (1, 2):
            raise TflmOptError(
                f"the net has {outputs} outputs and the data {self.data.classes} classes: "
                f"make the space for {self.data.classes}"
            )
        build = self._build
        if build is None:
            from .build import build
        return build(net, seed=seed % SEEDS)

    def sized(self, net: Net) -> Dataset:
        """The data at the size of a net's input; the last few sizes are kept."""
        shape = net.input_shape
        if shape not in self._sized:
            self._sized[shape] = self.data.at(shape)
            if len(self._sized) > _SIZES_KEPT:
                self._sized.popitem(last=False)
        self._sized.move_to_end(shape)
        return self._sized[shape]


class fresh_session:
    """Keras's state of the process is cleared before and after, or memory grows with each trial."""

    def __enter__(self) -> None:
        _clear()

    def __exit__(self, *_: object) -> None:
        _clear()


def _clear() -> None:
    import keras

    keras.backend.clear_session(free_memory=False)
    gc.collect()


def int8_accuracy(model: Any, data: Dataset, *, seed: int = 0) -> float:
    """The accuracy of a Keras model rounded to int8, in LiteRT.

    LiteRT's kernels for this computer may differ from TFLM's by a step in rare values; what ships
    is judged by `Result.evaluate`.
    """
    from .. import quant

    made = quant.quantize(model, data.x_train[:: max(1, len(data.x_train) // _CALIBRATION)])
    outputs = _outputs(made.tflite, data.x_val)
    if outputs.shape[1] > 1:
        return float(np.mean(outputs.argmax(1) == data.y_val))
    return float(np.mean((outputs[:, 0] > threshold(model)) == data.y_val))


def _outputs(tflite: bytes, x: np.ndarray) -> np.ndarray:
    """(n, values), float."""
    from ai_edge_litert.interpreter import Interpreter

    from ..quant.isolate import quiet

    with quiet():
        interpreter = Interpreter(model_content=tflite)
        (given,), (made,) = interpreter.get_input_details(), interpreter.get_output_details()
        size = min(len(x), 64)
        interpreter.resize_tensor_input(given["index"], (size, *x.shape[1:]))
        interpreter.allocate_tensors()
    scale, zero = given["quantization"]
    codes = np.clip(np.rint(x / scale) + zero, -128, 127).astype(np.int8)
    outputs = []
    for start in range(0, len(x), size):
        part = codes[start : start + size]
        padded = np.concatenate([part, np.zeros((size - len(part), *x.shape[1:]), np.int8)])
        interpreter.set_tensor(given["index"], padded)
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(made["index"]).reshape(size, -1)[: len(part)])
    scale, zero = made["quantization"]
    return (np.concatenate(outputs).astype(np.float64) - zero) * scale


def make_evaluator(settings: Mapping[str, Any], directory: str | Path) -> Evaluator:
    """The evaluator that a study's settings name, from what its directory holds.

    Args:
        settings: "evaluator" is "train", "halving", "supernet", or "module:function" of the user's:
            a function of (settings, directory) that returns an evaluator, or a function of
            (architecture, net, seed) that returns the accuracy. "train" and "halving" take
            "training", a recipe as `Recipe.to_json` gives it, and "int8"; they train in a child
            process (see `child`) unless "processes" is false.
        directory: of the study.

    Raises:
        TflmOptError: an evaluator that isn't known or can't be imported.
        DataError: as `Dataset.load`.
    """
    name = settings.get("evaluator", "train")
    if name in ("train", HALVING):
        recipe = Recipe.from_json(settings.get("training") or {})
        if settings.get("processes", True) and (Path(directory) / FILE).exists():
            from .child import ChildEvaluator

            return ChildEvaluator(settings, directory)
        trainer = TrainEvaluator(
            Dataset.load(directory), recipe, int8=bool(settings.get("int8", False))
        )
        if name == "train":
            return trainer
        from .climb import FOLDER, ClimbEvaluator

        proxy = Halving.from_json(settings.get(HALVING, {})).proxy
        return ClimbEvaluator(trainer, Path(directory) / FOLDER, proxy=proxy)
    if name == "supernet":
        from .supernet import SupernetEvaluator  # type: ignore[import-not-found]

        child = None
        if settings.get("processes", True):
            from .child import ChildEvaluator

            child = ChildEvaluator(settings, directory)
        return SupernetEvaluator.load(directory, child=child)
    return _own(str(name), settings, Path(directory))


@dataclass(frozen=True, slots=True)
class _Function:
    """An evaluator from a function of architecture, net and seed."""

    function: Callable[..., Any]

    def evaluate(self, architecture: Mapping[str, Any], net: Net, **how: Any) -> Evaluation:
        found = self.function(dict(architecture), net, **how)
        return found if isinstance(found, Evaluation) else Evaluation(float(found))


def _own(name: str, settings: Mapping[str, Any], directory: Path) -> Evaluator:
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        known = ", ".join(EVALUATORS)
        raise TflmOptError(
            f"evaluator {name!r} is not one of {known}, nor 'module:function' of your own"
        )
    try:
        made = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise TflmOptError(
            f"evaluator {name!r} can't be imported ({error}): workers import it by this name, "
            "so it must be on PYTHONPATH"
        ) from error
    if isinstance(made, type):
        made = made(settings, directory)
    return made if isinstance(made, Evaluator) else _Function(made)
