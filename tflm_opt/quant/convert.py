"""`tf.lite.TFLiteConverter` behind one function, for it is deprecated and will leave TensorFlow.

The model is frozen as one concrete function of batch 1 and named inputs. That route keeps the
order of inputs and outputs; going through a SavedModel permutes both.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np

from ..errors import TflmOptError, ToolFailed, UnsupportedModel
from .calibration import Sample
from .float_graph import FloatGraph
from .floatmodel import FloatModel
from .options import PLAIN, PTQ, edited
from .ranges import require_bounded
from .sources import one_line
from .substitute import substituted
from .verdict import REMEDY, require_full_int8

IO = Literal["int8", "float32", "int16"]
Activations = Literal["int8", "int16"]

_CONTROL_FLOW = ("While", "StatelessWhile", "If", "StatelessIf", "Case", "StatelessCase")
_REFUSED_OP = re.compile(r"'tf\.(\w+)' op is neither a custom op nor a flex op")
_OTHER_FLOAT = re.compile(r"(tensor<|x)(f16|bf16|f64)>")
_MISNAMED = re.compile(r"('[^\n]*') is not a valid (?:root )?scope name")
_UNQUANTIZED_OP = re.compile(r"[Qq]uantization (?:to \S+ )?not yet supported for op: '?(\w+)")


class _TickFailed(Exception):
    """The caller's own `tick` failed inside the converter, which is no fault of the model."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


def require_types(io: str, activations: str) -> None:
    """Raises: TflmOptError for types that there are not, or not together."""
    if activations not in ("int8", "int16"):
        raise TflmOptError(f"activations={activations!r}: choose 'int8' or 'int16'")
    known = ("int8", "float32", "int16")[: 3 if activations == "int16" else 2]
    if io not in known:
        raise TflmOptError(f"io={io!r}: choose {' or '.join(map(repr, known))}")


def to_tflite(
    model: FloatModel,
    samples: Sequence[Sample] | None,
    *,
    io: IO = "int8",
    activations: Activations = "int8",
    tick: Callable[[str, float], None] = lambda phase, fraction: None,
    options: PTQ = PLAIN,
    keep: Callable[[bytes], None] = lambda tflite: None,
) -> bytes:
    """Quantize `model` to full int8 with ranges from `samples`.

    Args:
        model: the float model.
        samples: calibration samples, one array an input, no batch axis; None where the model has
            its ranges (`qat`).
        io: int8 inputs and outputs, or float32 with QUANTIZE and DEQUANTIZE at the borders.
        activations: int16 for TFLite's 16x8 form: int8 weights, and then also `io` may be int16.
        tick: called with a phase ("calibrate", "equalize") and the fraction of it that is done.
        options: what is done between calibration and rounding.
        keep: given the float file with its channels equalized, if they were.

    Raises:
        UnsupportedModel: an op that has no int8 form in TFLite, named.
        ToolFailed: the converter failed in another way; its words are in `output`.
    """
    import tensorflow as tf

    if samples is None and activations == "int16":
        raise UnsupportedModel(
            "a model that was trained with quantization has ranges for int8 activations",
            remedy="Give the float model with activations='int16', or name single layers (int16=)",
        )
    traced = _traced(model, trained=samples is None)
    _refuse_unquantizable(traced.graph)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([traced])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if samples is not None:  # with ranges of its own in the model, these would ask for data
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.representative_dataset = lambda: _feed(model, samples, tick)
    if activations == "int16":
        tflite = _wide(converter, model, io)
        require_full_int8(tflite, model, io=io)
        return tflite
    if io == "int8":
        converter.inference_input_type = tf.int8
        converter.inference_output_type = tf.int8
    if samples is not None:
        _step_between(converter, samples, options, io, tick, keep)
    try:
        tflite = converter.convert()
    except _TickFailed as failed:
        raise failed.error from None
    except TflmOptError:
        raise
    except Exception as error:
        raise _translated(error) from error
    if samples is None:
        tflite = _with_input_names(tflite, model)
    require_full_int8(tflite, model, io=io)
    return tflite


def _step_between(
    converter: Any,
    samples: Sequence[Sample],
    options: PTQ,
    io: IO,
    tick: Callable[[str, float], None],
    keep: Callable[[bytes], None],
) -> None:
    """Let the converter give us the calibrated float file before it rounds it."""
    import tensorflow as tf
    from tensorflow.lite.python.convert import mlir_quantize

    dtype: Any = tf.int8 if io == "int8" else tf.float32
    calibrated = converter._quantize

    def rounded(tflite: bytes) -> bytes:
        made: Any = mlir_quantize(tflite, input_data_type=dtype, output_data_type=dtype)
        return made

    def quantize(*args: Any, **kwargs: Any) -> bytes:
        converter._experimental_calibrate_only = True
        tflite = calibrated(*args, **kwargs)
        graph = FloatGraph(tflite)
        for tensor in graph.activations():
            require_bounded(graph, tensor, graph.range(tensor) or (0.0, 0.0))
        if not options.is_plain:
            told = partial(_told, tick, "equalize")
            tflite = edited(tflite, options, samples, rounded, told, keep)
        return rounded(tflite)

    converter._quantize = quantize


def _wide(converter: Any, model: FloatModel, io: IO) -> bytes:
    """The file with int16 activations; int8 borders are QUANTIZE ops of our own."""
    import tensorflow as tf

    from .. import graph
    from .int16 import int8_borders

    kinds = tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
    converter.target_spec.supported_ops = [kinds]
    if io != "float32":
        converter.inference_input_type = converter.inference_output_type = tf.int16
    try:
        tflite: bytes = converter.convert()
    except _TickFailed as failed:
        raise failed.error from None
    except Exception as error:
        raise _translated(error) from error
    return graph.write(int8_borders(graph.read(tflite))) if io == "int8" else tflite


def _with_input_names(tflite: bytes, model: FloatModel) -> bytes:
    """The file with the model's names of inputs: the converter gives those of their ranges."""
    import flatbuffers
    from tensorflow.lite.python import schema_py_generated as schema

    file: Any = schema.ModelT.InitFromPackedBuf(tflite)
    (graph,) = file.subgraphs
    for place, one in zip(graph.inputs, model.inputs, strict=True):
        tensor = graph.tensors[place]
        if tuple(tensor.shape) != (1, *one.shape):
            raise ToolFailed("the TFLite converter", f"it changed the order of inputs: {one.name}")
        tensor.name = one.name.encode()
    builder = flatbuffers.Builder(len(tflite))
    builder.Finish(file.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _traced(model: FloatModel, *, trained: bool) -> Any:
    import tensorflow as tf

    signature = [tf.TensorSpec((1, *one.shape), tf.float32, one.name) for one in model.inputs]

    def forward(*tensors: Any) -> list[Any]:
        return [
            tf.cast(output, tf.float32) if output.dtype.is_floating else output
            for output in model.call(tensors)
        ]

    # Autograph would leave files behind, and only data-dependent branches and loops need it.
    function = tf.function(forward, input_signature=signature, autograph=False)
    try:
        with substituted(model.origin), _ranges_as_they_are(trained):
            return function.get_concrete_function()
    except Exception as error:
        misnamed = _MISNAMED.search(str(error))
        if misnamed:
            raise UnsupportedModel(
                f"TensorFlow can't trace a model or layer called {misnamed.group(1)}",
                remedy="Name it with A-Z, a-z, 0-9, '.', '-' and '_' only, beginning with a "
                "letter or a digit (keras.Model(..., name=...))",
            ) from error
        raise UnsupportedModel(
            f"TensorFlow can't trace the model as one graph: {one_line(error)}",
            remedy="Keep Python code that depends on a tensor's values out of it",
        ) from error


def _ranges_as_they_are(trained: bool) -> contextlib.AbstractContextManager[None]:
    if not trained:
        return contextlib.nullcontext()
    from .qat.layers import exporting

    return exporting()


def _refuse_unquantizable(graph: Any) -> None:
    """Refuse control flow, on which TFLite's calibrator crashes, and random numbers."""
    for op in graph.get_operations():
        if op.type in _CONTROL_FLOW:
            raise UnsupportedModel(
                "a loop or a condition can't be calibrated",
                op=f"{op.name}:{op.type}",
                remedy="Recurrent layers: build them with unroll=True, or use convolutions over "
                "time instead",
            )
        if op.type.startswith(("RandomUniform", "RandomStandardNormal", "StatelessRandom")):
            raise UnsupportedModel(
                "the model draws random numbers at inference, so it has no one result",
                op=f"{op.name}:{op.type}",
                remedy="Make the layer that draws them act in training only",
            )


def _feed(
    model: FloatModel, samples: Sequence[Sample], tick: Callable[[str, float], None]
) -> Iterator[list[np.ndarray]]:
    for index, sample in enumerate(samples):
        yield [np.asarray(array, np.float32)[np.newaxis] for array in sample]
        _told(tick, "calibrate", (index + 1) / len(samples))


def _told(tick: Callable[[str, float], None], phase: str, done: float) -> None:
    try:
        tick(phase, done)
    except Exception as error:
        raise _TickFailed(error) from error


def _translated(error: Exception) -> Exception:
    """The converter's stack trace of MLIR, as one error that names the ops it is about."""
    text = str(error)
    refused = sorted(set(_REFUSED_OP.findall(text)))
    if refused and _OTHER_FLOAT.search(text):
        return UnsupportedModel(
            "the model computes in a float type other than float32, which the quantizer can't read",
            op=refused[0],
            remedy="Rebuild it with dtype float32 (or a mixed policy, whose weights are float32) "
            "and load the weights",
        )
    if refused:
        return UnsupportedModel(
            f"TFLite has no such op (TensorFlow's {', '.join(refused)})",
            op=refused[0],
            remedy=REMEDY,
        )
    unquantized = _UNQUANTIZED_OP.search(text)
    if unquantized:
        return UnsupportedModel(
            "TFLite has no int8 form of this op", op=unquantized.group(1), remedy=REMEDY
        )
    first = text.strip().splitlines()[0] if text.strip() else repr(error)
    return ToolFailed("the TFLite converter", first, output=text[-2000:])
