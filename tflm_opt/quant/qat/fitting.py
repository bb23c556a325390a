"""The whole of training with quantization in one call, with defaults that suit a trained net.

Few epochs at a small rate that falls to nothing: the net knows its task and gets used to rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...errors import CalibrationError, TflmOptError

EPOCHS = 3
RATE = 1e-4
BATCH = 32
_CALIBRATION = 200  # samples that ranges start from


def trained(
    model: Any,
    train: Any,
    *,
    calibration: Any = None,
    epochs: int = EPOCHS,
    seed: int = 0,
    tick: Callable[[float], None] = lambda fraction: None,
) -> Any:
    """A prepared copy of a model, trained.

    Example:
        >>> quantize(qat.trained(model, (x_train, y_train)))

    Args:
        model: as for `prepare`. Its loss is taken where it is compiled; else one that suits its
            output and the labels.
        train: a tuple of inputs and labels, or what else `fit` takes: a data set of batches.
        calibration: inputs to set ranges by; those of `train` where it is arrays.
        epochs: passes over the data; `seed`: of their order.
        tick: called with the fraction of batches done.

    Raises:
        UnsupportedModel: as `prepare`.
        CalibrationError: no data, or inputs and labels of different length.
    """
    import keras

    from . import prepare

    if epochs < 1:
        raise TflmOptError(f"{epochs} epochs: at least one is needed")
    pair = isinstance(train, tuple) and len(train) in (2, 3)
    if pair:
        _check(train)
        calibration = train[0] if calibration is None else calibration
    prepared = prepare(model, calibration, samples=_CALIBRATION, seed=seed)
    keras.utils.set_random_seed(seed)
    steps = _steps(train, pair)
    rate: Any = (
        RATE if steps is None else keras.optimizers.schedules.CosineDecay(RATE, steps * epochs)
    )
    loss = model.loss if getattr(model, "compiled", False) else None
    labels = train[1] if pair else None
    prepared.compile(keras.optimizers.Adam(rate), loss or suited_loss(prepared, labels))
    done = [0]

    def after(batch: int, logs: Any = None) -> None:
        done[0] += 1
        tick(min(1.0, done[0] / (steps * epochs)) if steps else 0.0)

    keras_callback = keras.callbacks.LambdaCallback(on_train_batch_end=after)
    how: dict[str, Any] = {"epochs": epochs, "verbose": 0, "callbacks": [keras_callback]}
    if pair:
        weights = train[2] if len(train) == 3 else None
        prepared.fit(train[0], train[1], sample_weight=weights, batch_size=BATCH, **how)
    else:
        prepared.fit(train, **how)
    return prepared


def suited_loss(model: Any, labels: Any) -> Any:
    """A loss for a model that was never compiled: by its outputs' last activation, and the labels.

    Raises:
        TflmOptError: several outputs.
    """
    if len(model.outputs) != 1:
        raise TflmOptError(
            f"model {model.name!r} has {len(model.outputs)} outputs and no loss: compile it first"
        )
    last = model.layers[-2] if len(model.layers) > 1 else model.layers[-1]
    activation = getattr(getattr(last, "activation", None), "__name__", type(last).__name__)
    if activation.lower() == "softmax":
        one_hot = labels is not None and np.shape(labels)[1:] == model.outputs[0].shape[1:]
        return "categorical_crossentropy" if one_hot else "sparse_categorical_crossentropy"
    return "binary_crossentropy" if activation.lower() == "sigmoid" else "mse"


def _check(train: Any) -> None:
    import keras

    counts = [len(one) for one in keras.tree.flatten(list(train[:2]))]
    if len(set(counts)) != 1 or not counts[0]:
        raise CalibrationError(
            f"the training data has {' and '.join(f'{count:,}' for count in counts)} samples of "
            "inputs and labels: give as many of each, and at least one"
        )


def _steps(train: Any, pair: bool) -> int | None:
    """Batches of a pass, where that is known."""
    import keras

    if pair:
        return -(-len(keras.tree.flatten(train[0])[0]) // BATCH)
    try:
        return max(1, len(train))
    except TypeError:
        return None
