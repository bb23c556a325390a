"""`.keras` files of models that tfmot made for training with quantization.

tf_keras can't read what it wrote there: it builds layers from the file's `build_config` and then
again, and tfmot's make new variables each time; and after training, a wrapper lists the variables
of its layer twice. So the model comes from the file's config, and the values are matched here.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np


class OtherVariables(Exception):
    """The file's variables are not those that the model has when it is built anew."""


def load(path: Path) -> Any:
    """The model in a `.keras` file of tf_keras; call it under tfmot's scopes.

    Raises:
        OtherVariables: as for cluster-preserving training, whose variables depend on the weights.
    """
    import h5py
    import tf_keras

    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read("config.json"))
        content = io.BytesIO(archive.read("model.weights.h5"))
    if "QuantizeWrapper" not in json.dumps(config):
        return tf_keras.models.load_model(str(path), compile=False)
    made = tf_keras.saving.deserialize_keras_object(_without_builds(config))
    taken: Counter[str] = Counter()
    with h5py.File(content) as file:
        for layer in made.layers:
            name = _snake(type(layer).__name__)
            taken[name] += 1
            count = taken[name] - 1
            place = f"layers/{name}_{count}" if count else f"layers/{name}"
            if place in file:
                _fill(layer, file[place])
    return made


def _without_builds(config: Any) -> Any:
    if isinstance(config, dict):
        return {k: _without_builds(one) for k, one in config.items() if k != "build_config"}
    return [_without_builds(one) for one in config] if isinstance(config, list) else config


def _snake(name: str) -> str:
    """As tf_keras names the groups: "QuantizeWrapperV2" is "quantize_wrapper_v2"."""
    parted = re.sub("(.)([A-Z][a-z0-9]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub("([a-z])([A-Z])", r"\1_\2", parted).lower()


def _fill(layer: Any, group: Any) -> None:
    inner = _values(group["layer"]) if "layer" in group else []
    own = _values(group)
    variables = _variables(layer)
    start = len(own) - len(variables)
    repeated = [*own[max(start, 0) :], *inner]
    for value in own[: max(start, 0)]:
        if not any(np.array_equal(value, other) for other in repeated):
            start = -1
    if start < 0:
        raise OtherVariables(f"layer {layer.name!r} has {len(variables)}, the file {len(own)}")
    _assign(layer, variables, own[start:])
    if inner:
        _assign(layer, _variables(layer.layer), inner)


def _values(group: Any) -> list[np.ndarray]:
    stored: Any = group.get("vars", {})
    return [np.asarray(stored[str(i)]) for i in range(len(stored))]


def _variables(layer: Any) -> list[Any]:
    return [*layer._trainable_weights, *layer._non_trainable_weights]


def _assign(layer: Any, variables: list[Any], values: list[np.ndarray]) -> None:
    if [tuple(v.shape) for v in variables] != [value.shape for value in values]:
        raise OtherVariables(f"layer {layer.name!r} has variables of other shapes")
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
