"""`tf.lite.TFLiteConverter` behind one function, for it is deprecated and will leave TensorFlow.

The model is frozen as one concrete function of batch 1 and named inputs. That route keeps the
order of inputs and outputs; going through a SavedModel permutes both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from ..errors import ToolFailed
from .calibration import Sample
from .floatmodel import FloatModel
from .substitute import substituted

IO = Literal["int8", "float32"]

_REMEDY = (
    "Replace it in the Keras model by layers that TFLite has in int8 (`tflm-opt ops` lists what "
    "runs here), or cut it off and compute it outside the model"
)


def to_tflite(
    model: FloatModel,
    samples: Sequence[Sample],
    *,
    io: IO = "int8",
    tick: Callable[[float], None] = lambda fraction: None,
) -> bytes:
    """Quantize `model` to full int8 with ranges from `samples`.

    Args:
        model: the float model.
        samples: calibration samples, one array an input, no batch axis.
        io: int8 inputs and outputs, or float32 with QUANTIZE and DEQUANTIZE at the borders.
        tick: called with the fraction of calibration done.

    Raises:
        UnsupportedModel: an op that has no int8 form in TFLite, named.
        ToolFailed: the converter failed in another way; its words are in `output`.
    """
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_concrete_functions([_frozen(model)])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.representative_dataset = lambda: _feed(model, samples, tick)
    if io == "int8":
        converter.inference_input_type = tf.int8
        converter.inference_output_type = tf.int8
    try:
        return converter.convert()
    except Exception as error:
        raise _translated(error) from error


def _frozen(model: FloatModel) -> Any:
    import tensorflow as tf

    signature = [tf.TensorSpec((1, *one.shape), tf.float32, one.name) for one in model.inputs]

    def forward(*tensors: Any) -> list[Any]:
        return [tf.cast(output, tf.float32) for output in model.call(tensors)]

    with substituted(model.origin):
        return tf.function(forward, input_signature=signature).get_concrete_function()


def _feed(model: FloatModel, samples: Sequence[Sample], tick: Callable[[float], None]) -> Any:
    import numpy as np

    for index, sample in enumerate(samples):
        yield [np.asarray(array, np.float32)[np.newaxis] for array in sample]
        tick((index + 1) / len(samples))


def _translated(error: Exception) -> Exception:
    text = str(error)
    return ToolFailed(
        "the TFLite converter",
        text.strip().splitlines()[0] if text else repr(error),
        output=text[-2000:],
    )
