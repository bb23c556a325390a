"""A model built again in tf_keras, layer by layer, from what `portable` wrote."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from ...errors import ToolFailed, UnsupportedModel
from ..sources import one_line
from .portable import REMEDY

_TOLERANCE = 1e-4  # of the largest output: the same sums, in another order
_OF_ALL_LAYERS = ("name", "trainable")


def model(record: dict[str, Any], weights: list[np.ndarray]) -> Any:
    """The model, with its weights.

    Raises:
        UnsupportedModel: a layer that tf_keras doesn't know, or not with these settings.
    """
    import tf_keras

    if "json" in record:
        try:
            made: Any = tf_keras.models.model_from_json(record["json"])
            made.set_weights(weights)
        except (ValueError, TypeError) as error:
            raise UnsupportedModel(
                f"the model can't be built again from its config: {one_line(error)}",
                remedy="Leave out classes of your own: the process that trains can't import them",
            ) from error
        return made
    inputs = [
        tf_keras.Input(tuple(one["shape"]), name=_input_name(one["name"]))
        for one in record["inputs"]
    ]
    layers = [_layer(one) for one in record["layers"]]
    values: list[Any] = list(inputs)
    for call in record["calls"]:
        given = [values[number] for number in call["inputs"]]
        values.append(layers[call["layer"]](given if len(given) > 1 else given[0]))
    made = tf_keras.Model(inputs, [values[i] for i in record["outputs"]], name=record["name"])
    _set_weights(layers, record["layers"], weights)
    return made


def _input_name(name: str) -> str:
    return name.replace("/", "_")


def _layer(record: dict[str, Any]) -> Any:
    import tf_keras

    kind = getattr(tf_keras.layers, record["class"], None)
    if kind is None:
        raise UnsupportedModel(
            f"layer {record['of']!r} ({record['class']}): tf_keras has no such layer",
            remedy=REMEDY,
        )
    known = inspect.signature(kind.__init__).parameters
    config = {k: v for k, v in record["config"].items() if k in known or k in _OF_ALL_LAYERS}
    try:
        return kind.from_config(config)
    except (ValueError, TypeError) as error:
        raise UnsupportedModel(
            f"layer {record['of']!r} ({record['class']}) can't be made in tf_keras: "
            f"{one_line(error)}",
            remedy=REMEDY,
        ) from error


def _set_weights(layers: list[Any], records: list[Any], weights: list[np.ndarray]) -> None:
    start = 0
    for layer, record in zip(layers, records, strict=True):
        values = weights[start : start + record["weights"]]
        start += record["weights"]
        shapes = [tuple(w.shape) for w in layer.weights]
        if shapes != [value.shape for value in values]:
            values = [v for v in values if v.shape in shapes]  # state that only Keras 3 keeps
        if len(values) != len(shapes):
            raise UnsupportedModel(
                f"layer {record['of']!r} ({record['class']}) has other weights in tf_keras",
                remedy=REMEDY,
            )
        layer.set_weights(values)


def require_same(made: Any, inputs: list[np.ndarray], expected: list[np.ndarray]) -> None:
    """Compare the rebuilt float model with what the original said.

    Raises:
        ToolFailed: they differ by more than rounding.
    """
    count = len(expected[0])
    batch = [np.array(column[:count]) for column in inputs]
    found = made(batch if len(batch) > 1 else batch[0], training=False)
    outputs = list(found) if isinstance(found, (list, tuple)) else [found]
    for want, have in zip(expected, outputs, strict=True):
        error = float(np.abs(want - np.asarray(have)).max())
        if not error <= _TOLERANCE * max(1.0, float(np.abs(want).max())):
            raise ToolFailed(
                "the rebuilding in tf_keras",
                f"its outputs differ from the model's by up to {error:.3g}. {REMEDY}",
            )
