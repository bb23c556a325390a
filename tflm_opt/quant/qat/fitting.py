"""The whole of training with quantization in one call, with defaults that suit a trained net.

Few epochs at a small rate that falls to nothing: the net knows its task and gets used to rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...errors import CalibrationError, TflmOptError
from ..sources import one_line
from . import examples

EPOCHS = 3
RATE = 5e-4
BATCH = 32
_CALIBRATION = 200  # samples that ranges start from
_OF_THE_RATE = 0.5  # that the model was trained with
_LEAST, _MOST = 1e-5, 1e-2  # rates of optimizers that scale their steps


def trained(
    model: Any,
    train: Any,
    *,
    calibration: Any = None,
    epochs: int = EPOCHS,
    rate: float | None = None,
    seed: int = 0,
    tick: Callable[[float], None] = lambda fraction: None,
) -> Any:
    """A prepared copy of a model, trained.

    Example:
        >>> quantize(qat.trained(model, (x_train, y_train, x_valid, y_valid)))

    Args:
        model: as for `prepare`. Its loss and its kind of optimizer are taken where it is compiled;
            else a loss that suits its output and the labels, and Adam. It is not changed.
        train: (inputs, labels), (inputs, labels, weights of samples), (inputs, labels, validation
            inputs, validation labels), or batches of inputs and labels: a `tf.data.Dataset`, a
            `keras.utils.PyDataset`, or a function that returns a generator. With validation data,
            the weights of the best epoch are what is returned.
        calibration: inputs to set ranges by; those of `train` where it is arrays.
        epochs: passes over the data; `seed`: of their order.
        rate: of learning, at the start; it falls to nothing along a cosine where the number of
            batches is known. By default half of what the model is compiled with.
        tick: called with the fraction of batches done.

    Raises:
        UnsupportedModel: as `prepare`.
        CalibrationError: no data, NaN, no labels, or labels that the loss can't take.
    """
    import keras

    from .. import isolate
    from . import prepare
    from .rebuild import compile_as

    if epochs < 1:
        raise TflmOptError(f"{epochs} epochs: at least one is needed")
    arrays, source = examples.split(train), examples.batches(train, epochs)
    compiled = bool(getattr(model, "compiled", False))
    if arrays is not None and calibration is None:
        calibration = arrays[0][0]
    labels = arrays[0][1] if arrays is not None else None
    loss = (model.loss if compiled else None) or suited_loss(model, labels)
    _check(model, loss, arrays, source)
    with isolate.unchanged():
        prepared = prepare(model, calibration, samples=_CALIBRATION, seed=seed)
        keras.utils.set_random_seed(seed)
        steps = _steps(source, arrays)
        optimizer = _optimizer(model if compiled else None, rate, steps and steps * epochs)
        if compiled:
            compile_as(prepared, model, optimizer=optimizer, metrics=None, weighted_metrics=None)
        else:
            prepared.compile(optimizer, loss)
        callbacks: list[Any] = [_watch(prepared, steps and steps * epochs, tick)]
        if arrays is not None and arrays[2] is not None:
            callbacks.append(
                keras.callbacks.EarlyStopping(
                    "val_loss", patience=epochs, restore_best_weights=True
                )
            )
        _fit(prepared, source, arrays, epochs, callbacks, loss)
    return prepared


def _check(model: Any, loss: Any, arrays: Any, source: Any) -> None:
    if arrays is None:
        if not callable(source):
            examples.check_batch(examples.first(source), model, loss)
        return
    examples.check(model, loss, *arrays[0])
    if arrays[1] is not None:
        examples.check_weights(arrays[1], arrays[0][1])
    if arrays[2] is not None:
        examples.check(model, loss, *arrays[2], what="validation")


def _fit(
    prepared: Any, source: Any, arrays: Any, epochs: int, callbacks: list[Any], loss: Any
) -> None:
    how: dict[str, Any] = {"verbose": 0, "callbacks": callbacks}
    prepared.optimizer.build(prepared.trainable_variables)  # or a step would be traced twice
    if arrays is not None:
        (inputs, labels), weights, validation = arrays
        more = {"sample_weight": weights, "validation_data": validation, "batch_size": BATCH}
        prepared.fit(inputs, labels, epochs=epochs, **more, **how)
    elif callable(source):
        checked = examples.Checked(prepared, loss)
        for epoch in range(epochs):
            batches = checked.batches(source())
            _kept(prepared, batches, checked, initial_epoch=epoch, epochs=epoch + 1, **how)
    else:
        _kept(prepared, source, None, epochs=epochs, **how)


def _kept(prepared: Any, source: Any, checked: examples.Checked | None, **how: Any) -> None:
    """`fit`, with the error that `checked` found, or in our words what TensorFlow's ops refuse."""
    import tensorflow as tf

    try:
        prepared.fit(source, **how)
    except tf.errors.OpError as error:
        if checked is not None and checked.error is not None:
            raise checked.error from None
        raise CalibrationError(
            "a batch of the training data can't be trained on: labels outside the model's "
            "classes, or shapes that differ from the first batch's. TensorFlow says: "
            + one_line(error)
        ) from error
    if checked is not None and checked.error is not None:
        raise checked.error


def _watch(prepared: Any, total: int | None, tick: Callable[[float], None]) -> Any:
    """Reports progress, and stops where numbers are none any more."""
    import keras

    from .layers import FakeQuant

    ranges = [layer for layer in prepared.layers if isinstance(layer, FakeQuant)]
    done = [0]

    def after(batch: int, logs: Any = None) -> None:
        done[0] += 1
        loss = float((logs or {}).get("loss", 0.0))
        inputs = ranges[: len(prepared.inputs)]
        if not np.isfinite(loss) or not all(np.isfinite(one.range).all() for one in inputs):
            raise CalibrationError(
                f"the loss is {loss} after batch {done[0]} of the training: its inputs or labels "
                "hold NaN or infinity, or the learning rate is too high (see qat.trained's rate)"
            )
        tick(min(1.0, done[0] / total) if total else 0.0)

    return keras.callbacks.LambdaCallback(on_train_batch_end=after)


def _optimizer(model: Any, rate: float | None, steps: int | None) -> Any:
    """Of the kind that the model was trained with, at a part of its rate."""
    import keras

    before = getattr(model, "optimizer", None)
    before = getattr(before, "inner_optimizer", before)  # without the scaling of losses
    config: dict[str, Any] = {}
    kind: Any = keras.optimizers.Adam
    start = RATE
    if before is not None:
        kind, config = type(before), before.get_config()
        start = _first_rate(config["learning_rate"])
        if "beta_1" in config:  # Adam and its kin, whose rates mean the same for every net
            start = min(max(start, _LEAST), _MOST)
    start = start if rate is None else rate
    config["learning_rate"] = (
        start if steps is None else keras.optimizers.schedules.CosineDecay(start, steps)
    )
    return kind.from_config(config) if before is not None else kind(config["learning_rate"])


def _first_rate(rate: Any) -> float:
    """A part of the rate that an optimizer's configuration holds, be it a schedule."""
    if isinstance(rate, dict):
        config = rate.get("config", {})
        rate = config.get("initial_learning_rate", 2 * RATE)
    return _OF_THE_RATE * float(rate)


def suited_loss(model: Any, labels: Any) -> Any:
    """A loss for a model that was never compiled: by its outputs' last activation, and the labels.

    Raises:
        TflmOptError: several outputs.
    """
    if len(model.outputs) != 1:
        raise TflmOptError(
            f"model {model.name!r} has {len(model.outputs)} outputs and no loss: compile it first"
        )
    last = model.layers[-1]
    activation = getattr(getattr(last, "activation", None), "__name__", type(last).__name__)
    if activation.lower() == "softmax":
        one_hot = labels is not None and np.shape(labels)[1:] == model.outputs[0].shape[1:]
        return "categorical_crossentropy" if one_hot else "sparse_categorical_crossentropy"
    return "binary_crossentropy" if activation.lower() == "sigmoid" else "mse"


def _steps(source: Any, arrays: Any) -> int | None:
    """Batches of a pass, where that is known."""
    import keras

    if arrays is not None:
        return -(-len(keras.tree.flatten(arrays[0][0])[0]) // BATCH)
    try:
        return max(1, len(source))
    except TypeError:
        return None
