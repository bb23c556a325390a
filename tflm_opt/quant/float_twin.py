"""The float `.tflite` of a model: what quantization started from, op by op.

The same converter on the same trace, without quantization: batch norm is folded, ops are fused, and
tensors are named as in the int8 file. So the two can be compared layer by layer.
"""

from __future__ import annotations

from typing import Any

from . import convert, isolate
from .floatmodel import FloatModel


def float_tflite(model: FloatModel) -> bytes:
    """The float model as a `.tflite` file.

    Raises: as `convert.to_tflite`.
    """
    import tensorflow as tf

    with isolate.unchanged(), isolate.quiet():
        traced = convert._traced(model, trained=False)
        converter: Any = tf.lite.TFLiteConverter.from_concrete_functions([traced])
        try:
            return converter.convert()
        except Exception as error:
            raise convert._translated(error) from error
