"""The float `.tflite` of a model: what quantization started from, op by op.

The same converter on the same trace, without quantization: batch norm is folded, ops are fused, and
tensors are named as in the int8 file. So the two can be compared layer by layer. Of a net that was
trained with quantization it is the trained one, with nothing rounded; of one whose channels were
equalized the equalized one, for its layers are what was rounded.
"""

from __future__ import annotations

import contextlib
from typing import Any

from . import convert, isolate, qat
from .floatmodel import FloatModel


def float_tflite(model: FloatModel) -> bytes:
    """The float model as a `.tflite` file.

    Raises: as `convert.to_tflite`.
    """
    if model.equalized is not None:
        return model.equalized
    import tensorflow as tf

    model = model.trained or model
    with isolate.unchanged(), isolate.quiet():
        with _as_float(model.origin):
            traced = convert._traced(model, trained=False)
        converter: Any = tf.lite.TFLiteConverter.from_concrete_functions([traced])
        try:
            return converter.convert()
        except Exception as error:
            raise convert._translated(error) from error


def _as_float(model: Any) -> contextlib.AbstractContextManager[None]:
    if not qat.is_prepared(model):
        return contextlib.nullcontext()
    from .qat.layers import floating

    return floating()
