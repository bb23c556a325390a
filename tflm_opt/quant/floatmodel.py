"""One view of every float model: named inputs of known shape, and a call on a batch.

Keras 3, tf_keras and SavedModel differ in how inputs are nested, named and called. Calibration,
conversion and evaluation see only `FloatModel`, whose inputs and outputs are flat and ordered
as the model's author ordered them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import UnsupportedModel
from .sources import Source, one_line

_PREDICT_BATCH = 32


@dataclass(frozen=True, slots=True)
class ModelInput:
    """An input of a model.

    Attributes:
        name: its name in the `.tflite` file.
        shape: without the batch axis.
        dtype: the dtype's name.
        keys: other names that data may call it by: Keras's own, the key in a dict of inputs.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class FloatModel:
    """The float model that was quantized, ready to be evaluated.

    Attributes:
        name: the model's name.
        inputs: in the order of the model's definition, which is also the `.tflite` file's.
        outputs: names, in the same sense.
        call: takes one batched tensor an input, returns one batched tensor an output.
        origin: the Keras model or SavedModel behind it; never changed.
        trained: the copy of it that was trained with quantization, if one was.
        equalized: its `.tflite` in float with channels equalized, if they were: the same function,
            with the layers that were rounded.
    """

    name: str
    inputs: tuple[ModelInput, ...]
    outputs: tuple[str, ...]
    call: Callable[[Sequence[Any]], list[Any]]
    origin: Any
    trained: FloatModel | None = None
    equalized: bytes | None = None

    def predict(self, samples: Sequence[Sequence[np.ndarray]]) -> list[list[np.ndarray]]:
        """Run samples × inputs (no batch axis) through the float model: samples × outputs."""
        import tensorflow as tf

        spec = [tf.TensorSpec((None, *item.shape), tf.float32) for item in self.inputs]

        @tf.function(input_signature=spec, autograph=False)
        def forward(*tensors: Any) -> list[Any]:
            return self.call(tensors)

        results: list[list[np.ndarray]] = []
        for start in range(0, len(samples), _PREDICT_BATCH):
            chunk = samples[start : start + _PREDICT_BATCH]
            columns = [
                np.stack([np.asarray(one[i], np.float32).reshape(item.shape) for one in chunk])
                for i, item in enumerate(self.inputs)
            ]
            outputs = [tensor.numpy() for tensor in forward(*columns)]
            results += [[output[row] for output in outputs] for row in range(len(chunk))]
        return results


def view(model: Any, source: Source) -> FloatModel:
    """The `FloatModel` of a loaded model.

    Raises:
        UnsupportedModel: unbuilt, no inputs, an unknown or batched shape, or a dtype that is
            not a float.
    """
    if source is Source.SAVED_MODEL:
        return _view_saved_model(model)
    return _view_keras(model)


def require_finite_weights(model: Any) -> None:
    """Refuse NaN and infinity in weights, out of which no range or scale could come.

    Args:
        model: a Keras model, or what `tf.saved_model.load` gave.

    Raises:
        UnsupportedModel: names the first such weight.
    """
    for weight in getattr(model, "weights", None) or getattr(model, "variables", None) or ():
        if "float" not in _dtype_name(weight.dtype):
            continue
        values = np.asarray(weight, np.float32)
        bad = values.size - int(np.count_nonzero(np.isfinite(values)))
        if bad:
            name = getattr(weight, "path", None) or weight.name
            raise UnsupportedModel(
                f"{bad} of the {values.size:,} values of weight {name!r} are NaN or infinite",
                remedy="The training diverged: go back to an earlier checkpoint, or train again "
                "with a smaller learning rate",
            )


def _view_keras(model: Any) -> FloatModel:
    _require_tensorflow_backend(model)
    tensors = _keras_inputs(model)
    structure = getattr(model, "input", None)  # a Sequential model has none
    keys = sorted(structure) if isinstance(structure, dict) else [None] * len(tensors)
    inputs = _checked_inputs(
        [
            _Found(t.name, tuple(t.shape), _dtype_name(t.dtype), key)
            for t, key in zip(tensors, keys, strict=True)
        ]
    )

    def call(values: Sequence[Any]) -> list[Any]:
        import tensorflow as tf

        packed: Any = list(values) if len(values) > 1 else values[0]
        if isinstance(structure, (dict, list, tuple)):
            packed = tf.nest.pack_sequence_as(structure, list(values))
        return tf.nest.flatten(model(packed, training=False))

    return FloatModel(model.name, inputs, _output_names(model, call, inputs), call, model)


def _output_names(
    model: Any, call: Callable[[Sequence[Any]], list[Any]], inputs: Sequence[ModelInput]
) -> tuple[str, ...]:
    """The names of the outputs; a subclassed model has none and is called once to count them."""
    names = getattr(model, "output_names", None)
    if names:
        return tuple(names)
    if getattr(model, "outputs", None) and len(model.outputs) == 1:
        return (model.layers[-1].name,)
    import tensorflow as tf

    try:
        count = len(call([tf.zeros((1, *one.shape)) for one in inputs]))
    except Exception as error:
        shapes = ", ".join(str((1, *one.shape)) for one in inputs)
        raise UnsupportedModel(
            f"calling model {model.name!r} on an input of shape {shapes} failed: {one_line(error)}",
            remedy="Wrap it: keras.Model(inputs, model(inputs)) with inputs = keras.Input(...)",
        ) from error
    return tuple(f"output_{index}" for index in range(count))


def _require_tensorflow_backend(model: Any) -> None:
    import sys

    keras = sys.modules.get("keras")
    if type(model).__module__.startswith("tf_keras") or keras is None:
        return
    backend = keras.config.backend()
    if backend != "tensorflow":
        raise UnsupportedModel(
            f"Keras runs on the {backend} backend here, and the converter needs TensorFlow",
            remedy="Save the model as .keras and load it with KERAS_BACKEND=tensorflow",
        )


@dataclass(frozen=True, slots=True)
class _Found:
    """An input as the model has it: any name, any shape (None if unknown), batch axis included."""

    name: str
    shape: tuple[int | None, ...] | None
    dtype: str
    key: str | None = None


def _keras_inputs(model: Any) -> Sequence[Any]:
    """The symbolic inputs, or for a built subclassed model what it was built with."""
    inputs = getattr(model, "inputs", None)
    if inputs:
        return inputs
    shape = None
    if getattr(model, "built", False):
        config = model.get_build_config() or {}
        shape = config.get("input_shape")
    if isinstance(shape, (list, tuple)) and all(d is None or isinstance(d, int) for d in shape):
        return [_Found("input", (None, *shape[1:]), "float32")]  # the example's batch counts not
    raise UnsupportedModel(
        f"model {model.name!r} ({type(model).__name__}) does not know its input's shape: it is a "
        "subclassed or Sequential model that was never built, or has several inputs",
        remedy="Call it once on an example, or model.build((None, ...)), or wrap it: "
        "keras.Model(inputs, model(inputs)) with inputs = keras.Input(...)",
    )


def _view_saved_model(loaded: Any) -> FloatModel:
    signatures = getattr(loaded, "signatures", {})
    if "serving_default" not in signatures:
        raise UnsupportedModel(
            f"the SavedModel has no 'serving_default' signature (it has: {sorted(signatures)})",
            remedy="Export it with model.export(path), or save it with a serving signature",
        )
    function = signatures["serving_default"]
    specs = function.structured_input_signature[1]
    inputs = _checked_inputs(
        [
            _Found(name, None if spec.shape.rank is None else tuple(spec.shape), spec.dtype.name)
            for name, spec in specs.items()
        ]
    )
    keys = list(specs)
    outputs = tuple(function.structured_outputs)

    def call(values: Sequence[Any]) -> list[Any]:
        results = function(**dict(zip(keys, values, strict=True)))
        return [results[name] for name in outputs]

    return FloatModel("saved_model", inputs, outputs, call, loaded)


def _dtype_name(dtype: Any) -> str:
    return str(getattr(dtype, "name", dtype))


def _checked_inputs(found: Sequence[_Found]) -> tuple[ModelInput, ...]:
    inputs: list[ModelInput] = []
    taken: set[str] = set()
    for one in found:
        name = re.sub(r"[^A-Za-z0-9_.\-]", "_", one.name) or "input"
        if not re.match(r"[A-Za-z0-9.]", name):
            name = "input" + name
        while name in taken:
            name += "_"
        taken.add(name)
        keys = tuple(key for key in (one.name, one.key) if key not in (None, name))
        inputs.append(_checked_input(name, one, keys))
    if not inputs:
        raise UnsupportedModel("the model has no inputs")
    return tuple(inputs)


def _checked_input(name: str, found: _Found, keys: tuple[str, ...]) -> ModelInput:
    shape, dtype = found.shape, found.dtype
    if shape is None or len(shape) == 0:
        raise UnsupportedModel(
            "the input's rank is unknown" if shape is None else "the input has no batch axis",
            tensor=name,
            remedy="Give the model a keras.Input of known shape",
        )
    if shape[0] not in (None, 1):
        raise UnsupportedModel(
            f"the batch is fixed at {shape[0]}, and a microcontroller runs one sample at a time",
            tensor=name,
            remedy="Build the model with batch_size None or 1",
        )
    if any(size is None for size in shape[1:]):
        raise UnsupportedModel(
            f"the shape {_shown(shape)} is dynamic, and the memory plan needs fixed sizes",
            tensor=name,
            remedy="Rebuild it with fixed sizes: inputs = keras.Input((height, width, channels)); "
            "keras.Model(inputs, model(inputs))",
        )
    if dtype not in ("float32", "float16", "bfloat16", "float64"):
        raise UnsupportedModel(
            f"the input is {dtype}, and a full int8 model takes quantized floats only",
            tensor=name,
            remedy="Declare the input as float32; do look-ups of tokens or ids (Embedding, "
            "StringLookup) before the model and feed it their result",
        )
    return ModelInput(name, tuple(int(size or 0) for size in shape[1:]), keys=keys)


def _shown(shape: Sequence[int | None]) -> str:
    return "(" + ", ".join("None" if size is None else str(size) for size in shape) + ")"
