"""Training with quantization, for Keras 3: the net learns to live with int8.

    prepared = qat.prepare(model, calibration=x_train[:200])
    prepared.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    prepared.fit(x_train, y_train, epochs=3)
    result = tflm_opt.optimize(prepared, sram="64KiB")    # no calibration: it has its ranges

or all of that in one call, `tflm_opt.optimize(model, train=(x_train, y_train), quantize="qat")`.

`prepared` is a Keras model as any other: callbacks, optimizers, distribution, saving are Keras's.
Its layers are known to Keras once `prepare` was called, or where Keras was imported before this
module: `keras.models.load_model` needs no `custom_objects` then.
"""

from __future__ import annotations

import sys
from typing import Any

from ...errors import CalibrationError, UnsupportedModel
from .fitting import trained
from .rules import Rule

__all__ = ["Rule", "is_prepared", "prepare", "trained", "unready"]

_BATCH = 32

if sys.modules.get("keras") is not None:  # importing it here would cost all who never train
    from . import layers as _layers  # noqa: F401


def prepare(
    model: Any,
    calibration: Any = None,
    *,
    momentum: float = 0.99,
    equalize: bool = True,
    samples: int = 200,
    seed: int = 0,
) -> Any:
    """A model like this one, to be trained with quantization.

    Example:
        >>> prepared = qat.prepare(model, calibration=x_train[:200])
        >>> prepared.compile("adam", "sparse_categorical_crossentropy")
        >>> prepared.fit(x_train, y_train, epochs=3)

    Args:
        model: a Keras 3 model, Sequential or Functional, trained already: batch norm is folded into
            weights with the statistics that it has. It is not changed. Nested models are unfolded,
            shared layers stay shared.
        calibration: inputs to set activation ranges by before training, as for `quantize`; without
            it the first batches do.
        momentum: of the moving average of the ranges.
        equalize: bring the channels of a tensor to like ranges first, where a ReLU or nothing is
            between its two layers; in float that changes nothing.
        samples: at most so many calibration samples are used; `seed` is for their choice.

    Returns:
        A `keras.Model` with weights of its own, compiled as `model` is. Give it to `optimize` or
        `quantize`; they take its ranges, and need no calibration.

    Raises:
        UnsupportedModel: a subclassed or unbuilt model, or a layer that nothing is known of. A
            layer of yours says how in its class: see `Rule`.
        CalibrationError: bad inputs.

    Source of the idea: Jacob et al., 2018.
    """
    from .. import calibration as calibrating
    from .. import isolate, sources
    from ..floatmodel import require_finite_weights, view
    from .rebuild import rebuilt

    _require_float32(model)
    require_finite_weights(model)
    float_model = view(model, sources.Source.KERAS)
    chosen = []
    if calibration is not None:
        inputs = float_model.inputs
        chosen = calibrating.gather(calibration, inputs, samples=samples, seed=seed)
    with isolate.unchanged():
        prepared = rebuilt(model, momentum=momentum, equal=equalize)
        if chosen:
            _observe(prepared, float_model.inputs, chosen)
    return prepared


def _require_float32(model: Any) -> None:
    """Refuse weights of another type, as the converter would after the training."""
    if is_prepared(model):
        raise UnsupportedModel(
            f"model {model.name!r} is prepared already", remedy="Train it, or give it to optimize"
        )
    for weight in getattr(model, "weights", ()):
        if weight.dtype not in ("float32", "int32", "uint32", "int64"):
            raise UnsupportedModel(
                f"weights of model {model.name!r} are {weight.dtype}",
                remedy="Rebuild it with dtype float32 or a mixed policy (mixed_float16), whose "
                "weights are float32, and load the weights",
            )


def is_prepared(model: Any) -> bool:
    """Whether a model is one that `prepare` made."""
    layers = sys.modules.get(f"{__name__}.layers")
    return layers is not None and any(
        isinstance(layer, layers.FakeQuant) for layer in getattr(model, "layers", ())
    )


def unready(model: Any) -> list[str]:
    """Names of a prepared model's tensors that have no range yet."""
    from .layers import FakeQuant

    found = [layer for layer in model.layers if isinstance(layer, FakeQuant)]
    return [layer.name.removesuffix("_range") for layer in found if not layer.ready]


def require_ready(model: Any) -> None:
    """Refuse a model that no batch was seen by.

    Raises:
        CalibrationError: names the first such tensor.
    """
    missing = unready(model)
    if missing:
        raise CalibrationError(
            f"the prepared model has no ranges yet ({missing[0]}"
            + (f" and {len(missing) - 1} more" if len(missing) > 1 else "")
            + "): fit it first, or prepare it with calibration=..."
        )


def _observe(prepared: Any, inputs: Any, samples: list[Any]) -> None:
    import numpy as np

    from ..floatmodel import view
    from ..sources import Source
    from .layers import observing

    call = view(prepared, Source.KERAS).call
    with observing():
        for start in range(0, len(samples), _BATCH):
            chunk = samples[start : start + _BATCH]
            call(
                [
                    np.stack([np.asarray(one[i], np.float32).reshape(item.shape) for one in chunk])
                    for i, item in enumerate(inputs)
                ]
            )
