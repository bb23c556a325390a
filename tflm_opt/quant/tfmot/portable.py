"""A model as plain data that another process, with another Keras, can build it from.

A Keras 3 model goes as its traced calls (nested models unfolded, shared layers once) with each
layer's class, cleaned config and weights; a tf_keras model as its own JSON. Weights go beside.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import UnsupportedModel
from ..qat.trace import Call, Value, trace

REMEDY = 'Train with quantize="qat" instead, which needs no tf_keras'
_MERGES = {name: name for name in ("Add", "Subtract", "Multiply", "Maximum", "Minimum")}
_KNOWN_OBJECTS = ("L1", "L2", "L1L2", "MaxNorm", "NonNeg", "UnitNorm", "MinMaxNorm")
_LEFT_OUT = ("dtype", "quantization_config", "seed", "batch_shape", "lora_rank", "lora_alpha")


@dataclass(frozen=True, slots=True)
class Portable:
    """A model as data: `record` for JSON, `weights` as arrays, in the record's order."""

    record: dict[str, Any]
    weights: list[np.ndarray]


def from_tf_keras(model: Any) -> Portable:
    """A tf_keras model, as it writes itself."""
    try:
        return Portable({"json": model.to_json()}, model.get_weights())
    except NotImplementedError as error:
        raise UnsupportedModel(
            f"model {model.name!r} ({type(model).__name__}) is subclassed: it can't be written as "
            "JSON for the process that trains it",
            remedy="Write it with the Functional API",
        ) from error


def from_keras_3(model: Any) -> Portable:
    """A Keras 3 model, Sequential or Functional.

    Raises:
        UnsupportedModel: subclassed, or with a layer that is not one of Keras's own, or is called
            or set in a way that tf_keras has no word for; names the layer.
    """
    traced = trace(model)
    numbers: dict[Value, int] = {value: i for i, value in enumerate(traced.inputs)}
    layers: dict[int, dict[str, Any]] = {}
    keys: dict[int, int] = {}
    weights: list[np.ndarray] = []
    calls: list[dict[str, Any]] = []
    taken: set[str] = set()
    for call in traced.calls:
        fresh = id(call.op) not in keys
        key = keys.setdefault(id(call.op), len(keys))
        if fresh:
            layers[key] = _layer(call.op, taken)
            values = [np.asarray(w) for w in _weights(call.op)]
            layers[key]["weights"] = len(values)
            weights += values
        given = _given(call)
        calls.append({"layer": key, "inputs": [numbers[value] for value in given]})
        _require_one_output(call)
        numbers[call.outputs[0]] = len(numbers)
    return Portable(
        {
            "name": model.name,
            "inputs": [
                {"name": value.symbol.name, "shape": list(value.symbol.shape[1:])}
                for value in traced.inputs
            ],
            "layers": [layers[key] for key in sorted(layers)],
            "calls": calls,
            "outputs": [numbers[value] for value in traced.outputs],
        },
        weights,
    )


def _weights(op: Any) -> Iterable[Any]:
    return op.get_weights() if hasattr(op, "get_weights") else ()


def _layer(op: Any, taken: set[str]) -> dict[str, Any]:
    import keras

    kind, name = type(op).__name__, _free_name(op.name, taken)
    if not type(op).__module__.startswith("keras."):
        raise UnsupportedModel(
            f"layer {op.name!r} ({kind}) is not one of Keras's own, and tf_keras can't know it",
            remedy=REMEDY,
        )
    if isinstance(op, keras.layers.Layer):
        return {"class": kind, "config": {**_config(op), "name": name}, "of": op.name}
    if kind in _MERGES:
        return {"class": _MERGES[kind], "config": {"name": name}, "of": op.name}
    raise UnsupportedModel(
        f"operation {op.name!r} ({kind}) has no layer in tf_keras", remedy=REMEDY
    )


def _free_name(name: str, taken: set[str]) -> str:
    free, count = name, 1
    while free in taken:
        count += 1
        free = f"{name}_{count}"
    taken.add(free)
    return free


def _config(layer: Any) -> dict[str, Any]:
    config = {
        key: _plain(layer, key, value)
        for key, value in layer.get_config().items()
        if key not in _LEFT_OUT and not key.endswith("_initializer")
    }
    if type(layer).__name__ == "LeakyReLU":
        config["alpha"] = config.pop("negative_slope", 0.3)
    return config


def _plain(layer: Any, key: str, value: Any) -> Any:
    """A setting as JSON; an object of Keras's by its class and config."""
    if isinstance(value, dict) and "class_name" in value:
        if value["class_name"] in _KNOWN_OBJECTS:
            return {"class_name": value["class_name"], "config": value["config"]}
        raise UnsupportedModel(
            f"layer {layer.name!r} ({type(layer).__name__}): its {key}, {value['class_name']}, "
            "can't be carried over to tf_keras",
            remedy=REMEDY,
        )
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (list, tuple)):
        return [_plain(layer, key, one) for one in value]
    return value


def _given(call: Call) -> list[Value]:
    """The tensors of a call: one, or a list, or two as `a + b` has them."""
    args = call.args[0] if len(call.args) == 1 else call.args
    given = list(args) if isinstance(args, (list, tuple)) else [args]
    named = [key for key, value in call.kwargs.items() if value is not None and key != "training"]
    if named or not given or not all(isinstance(one, Value) for one in given):
        raise UnsupportedModel(
            f"layer {call.op.name!r} ({type(call.op).__name__}) is called with more than tensors",
            remedy=REMEDY,
        )
    return given


def _require_one_output(call: Call) -> None:
    if len(call.outputs) != 1:
        raise UnsupportedModel(
            f"layer {call.op.name!r} ({type(call.op).__name__}) has {len(call.outputs)} outputs",
            remedy=REMEDY,
        )


def loss_of(model: Any, labels_shapes: list[tuple[int, ...]]) -> Any:
    """The loss a model was compiled with, as data; else one that suits its last activation.

    Args:
        labels_shapes: of the labels, without the batch axis, an output each.

    Raises:
        UnsupportedModel: a loss of the user's own; several outputs and no loss.
    """
    loss = getattr(model, "loss", None)
    if loss:
        names = list(getattr(model, "output_names", ()) or ())
        if isinstance(loss, dict):
            loss = [loss.get(name) for name in names]
        return [_loss(one) for one in loss] if isinstance(loss, (list, tuple)) else _loss(loss)
    if len(labels_shapes) != 1 or len(model.outputs) != 1:
        raise UnsupportedModel(
            f"model {model.name!r} has {len(model.outputs)} outputs and no loss",
            remedy="Compile it first",
        )
    last = model.layers[-1]
    activation = getattr(getattr(last, "activation", None), "__name__", type(last).__name__)
    if activation.lower() == "softmax":
        one_hot = labels_shapes[0] == tuple(model.outputs[0].shape[1:])
        return "categorical_crossentropy" if one_hot else "sparse_categorical_crossentropy"
    return "binary_crossentropy" if activation.lower() == "sigmoid" else "mse"


def _loss(loss: Any) -> Any:
    if loss is None or isinstance(loss, str):
        return loss
    name = getattr(loss, "__name__", type(loss).__name__)
    module = getattr(loss, "__module__", "") or type(loss).__module__
    if not module.startswith(("keras.", "tf_keras.")):
        raise UnsupportedModel(
            f"the loss {name} is not one of Keras's own, and can't be taken to another process",
            remedy='Compile the model with a loss of Keras\'s, or train with quantize="qat"',
        )
    if not hasattr(loss, "get_config"):
        return name
    config = {key: value for key, value in loss.get_config().items() if key != "dtype"}
    config.pop("fn", None)
    return {"class_name": type(loss).__name__, "config": config}
