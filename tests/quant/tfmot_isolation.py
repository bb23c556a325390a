"""A process of its own: what quantization leaves behind there, call by call. Prints JSON.

Started with a folder for temporary files, which must be empty after each call.
"""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

os.environ["TMPDIR"] = sys.argv[1]
tempfile.tempdir = None
warnings.simplefilter("ignore")

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402
from keras import layers  # noqa: E402
from keras.src.backend.common import global_state  # noqa: E402
from tensorflow.python.eager import context  # noqa: E402

import tflm_opt  # noqa: E402
from tflm_opt.errors import MissingTool, TflmOptError  # noqa: E402
from tflm_opt.quant import quantize  # noqa: E402
from tflm_opt.runtime import tflm  # noqa: E402

TREES = ("tf_keras", "tensorflow_model_optimization")
keras.utils.set_random_seed(5)
rng = np.random.default_rng(0)
x = rng.normal(size=(40, 8, 8, 3)).astype("float32")
y = rng.integers(0, 3, 40)


def net(extra: Any = None) -> Any:
    inputs = keras.Input((8, 8, 3), name="image")
    h = layers.Conv2D(4, 3, use_bias=False, kernel_regularizer="l2")(inputs)
    h = layers.ReLU(6.0)(layers.BatchNormalization()(h))
    block = keras.Sequential([keras.Input((6, 6, 4)), layers.DepthwiseConv2D(3, padding="same")])
    h = block(block(h)) + h  # shared, nested, and an operation
    if extra is not None:
        h = extra(h)
    h = layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(h))
    return keras.Model(inputs, layers.Dense(3, activation="softmax")(h))


def of_process() -> dict[str, Any]:
    generator = global_state.get_global_attribute("global_seed_generator")
    rng = context.context()._rng
    _ = tf.keras.Model  # loads what stands for it until it is used
    return {
        "environ": dict(os.environ),
        "floatx": keras.config.floatx(),
        "backend": keras.config.backend(),
        "format": keras.config.image_data_format(),
        "epsilon": keras.config.epsilon(),
        "policy": keras.config.dtype_policy().name,
        "tf.keras": (id(tf.keras), id(tf.keras.Model), tf.keras.Model is keras.Model),
        "numpy": str(np.random.get_state()),
        "random": random.getstate(),
        "tensorflow": (context.context()._seed, None if rng is None else rng.getstate()),
        "seed": global_state.get_global_attribute("global_random_seed"),
        "generator": None if generator is None else np.array(generator.state).tolist(),
        "names": dict(global_state.get_global_attribute("object_name_uids") or {}),
        "modules": sorted(m for m in sys.modules if m.partition(".")[0] in TREES),
        "filters": len(warnings.filters),
        "logging": [logging.getLogger(n).level for n in (None, "tensorflow", "absl")],
        "interrupt": repr(signal.getsignal(signal.SIGINT)),
        "folder": os.getcwd(),
        "left": sorted(path.name for path in Path(sys.argv[1]).iterdir()),
        "eager": (tf.executing_eagerly(), tf.config.functions_run_eagerly()),
    }


def of_model(model: Any) -> dict[str, Any]:
    return {
        "weights": [w.tobytes() for w in model.get_weights()],
        "config": json.dumps(model.get_config(), default=str, sort_keys=True),
        "compiled": (model.compiled, id(model.optimizer), id(model.loss)),
        "steps": int(model.optimizer.iterations.numpy()) if model.optimizer else None,
        "trainable": [layer.trainable for layer in model.layers],
        "nodes": [len(layer._inbound_nodes) for layer in model.layers],
        "fields": [sorted(vars(layer)) for layer in model.layers],
        "outputs": model(x[:4], training=False).numpy().tobytes(),
    }


found: dict[str, Any] = {}


def watch(name: str, model: Any, call: Callable[[], Any]) -> Any:
    of_model(model)  # what Keras makes up on a model's first use is no change of ours
    before, model_before = of_process(), of_model(model)
    result, error = None, None
    try:
        result = call()
    except TflmOptError as failed:
        error = f"{type(failed).__name__}: {failed}"
    after, model_after = of_process(), of_model(model)
    changed = [key for key in before if before[key] != after[key]]
    changed += [f"model {key}" for key in model_before if model_before[key] != model_after[key]]
    found[name] = {"changed": changed, "error": error}
    return result


model = net()
model.compile("adam", "sparse_categorical_crossentropy")
model.fit(x, y, epochs=1, verbose=0)
custom = net(type("Own", (layers.ReLU,), {"__module__": "mine"})())
unknown = net(layers.PReLU(shared_axes=[1, 2]))
for one in (custom, unknown):
    one.compile("adam", "sparse_categorical_crossentropy")
ticks: list[float] = []
watch("ptq", model, lambda: quantize(model, x))
watch("ptq, bad data", model, lambda: quantize(model, x[:, :4]))
watch("qat", model, lambda: quantize(model, train=(x, y), epochs=1))
watch("qat, bad data", model, lambda: quantize(model, train=(x, y[:3]), epochs=1))
made = watch(
    "tfmot",
    model,
    lambda: quantize(
        model,
        train=tf.data.Dataset.from_tensor_slices((x, y)).batch(16),
        trainer="tfmot",
        epochs=2,
        progress=lambda phase, done: ticks.append(done) if phase == "train" else None,
    ),
)
watch("tfmot, own layer", custom, lambda: quantize(custom, train=(x, y), trainer="tfmot"))
watch("tfmot, unknown to it", unknown, lambda: quantize(unknown, train=(x, y), trainer="tfmot"))
watch("tfmot, bad data", model, lambda: quantize(model, train=(x, y[:3]), trainer="tfmot"))

none = MissingTool("arm-none-eabi-gcc", needed_for="to build firmware", install="")
with mock.patch("tflm_opt.runtime.machine.compiler", side_effect=none):  # sizes are no matter
    result = tflm_opt.optimize(made.tflite, verbose=0)
found["made"] = {
    "bit_exact": result.bit_exact,
    "inputs": [(t.name, t.dtype) for t in result.graph.inputs],
    "dtypes": sorted({t.dtype for op in result.graph.ops for t in op.outputs}),
    "calibration": made.calibration,
    "ticks": ticks,
    "snr": float(
        np.var(p := np.stack([one[0] for one in made.predict([[row] for row in x])]))
        / np.mean(np.square(p - result.predict(x)))
    ),
    "arena": tflm.allocations(made.tflite).total if tflm.available() else 0,
}
print(json.dumps(found))
