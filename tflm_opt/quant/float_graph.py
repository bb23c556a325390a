"""The float `.tflite` between conversion and quantization, open for edits.

The converter folds batch norm, fuses activations and writes the calibrated range of each tensor
beside it; its quantizer then reads weights and ranges from there. What is changed here in between
is what gets quantized.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from .calibration import Sample

LAYERS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
Range = tuple[float, float]


class FloatGraph:
    """A file in parts: tensors by index, ops by index; `pack` makes a file again.

    >>> FloatGraph(data).pack()
    """

    def __init__(self, data: bytes) -> None:
        from tensorflow.lite.python import schema_py_generated as schema

        self._schema = schema
        self._model: Any = schema.ModelT.InitFromPackedBuf(data)
        (self._graph,) = self._model.subgraphs
        names = {v: k for k, v in vars(schema.BuiltinOperator).items() if not k.startswith("_")}
        codes = [
            max(c.builtinCode, c.deprecatedBuiltinCode) for c in self._model.operatorCodes or ()
        ]
        self.kinds: list[str] = [names[codes[op.opcodeIndex]] for op in self._graph.operators or ()]

    def inputs(self, op: int) -> list[int]:
        """The tensors that an op reads; -1 for one left out."""
        return [int(tensor) for tensor in self._graph.operators[op].inputs]

    def outputs(self, op: int) -> list[int]:
        """The tensors that an op makes."""
        return [int(tensor) for tensor in self._graph.operators[op].outputs]

    def readers(self, tensor: int) -> list[int]:
        """The ops that read a tensor."""
        return [op for op in range(len(self.kinds)) if tensor in self.inputs(op)]

    def leaves(self, tensor: int) -> bool:
        """Whether a tensor is an output of the model."""
        return tensor in [int(one) for one in self._graph.outputs]

    def activation(self, op: int) -> str:
        """The activation that is fused into an op: "NONE", "RELU", "RELU6", ..."""
        kinds = vars(self._schema.ActivationFunctionType)
        names = {v: k for k, v in kinds.items() if not k.startswith("_")}
        return names[
            getattr(self._graph.operators[op].builtinOptions, "fusedActivationFunction", 0)
        ]

    def multiplier(self, op: int) -> int:
        """The channel multiplier of a depthwise convolution."""
        channels = self._graph.tensors[self.inputs(op)[0]].shape[-1]
        return int(self.values(self.inputs(op)[1]).shape[-1] // channels)

    def name(self, tensor: int) -> str:
        """A tensor's name in the file."""
        return self._graph.tensors[tensor].name.decode(errors="replace")

    def activations(self) -> list[int]:
        """The model's inputs and all that ops make, where they have a range."""
        made = {tensor for op in range(len(self.kinds)) for tensor in self.outputs(op)}
        made.update(int(tensor) for tensor in self._graph.inputs)
        return [tensor for tensor in sorted(made) if self.range(tensor) is not None]

    def range(self, tensor: int) -> Range | None:
        """The calibrated range, None for a constant."""
        found = self._graph.tensors[tensor].quantization
        if found is None or found.min is None or not len(found.min):
            return None
        return float(found.min[0]), float(found.max[0])

    def set_range(self, tensor: int, low: float, high: float) -> None:
        """Replace the calibrated range."""
        found = self._graph.tensors[tensor].quantization
        found.min, found.max = np.array([low], np.float32), np.array([high], np.float32)

    def values(self, tensor: int) -> np.ndarray:
        """A constant's values, as a copy."""
        one = self._graph.tensors[tensor]
        data = np.asarray(self._model.buffers[one.buffer].data, np.uint8)
        return np.frombuffer(data.tobytes(), np.float32).reshape(one.shape).copy()

    def has_weights(self, op: int) -> bool:
        """Whether an op is a layer with constant float weights."""
        if self.kinds[op] not in LAYERS:
            return False
        tensor = self._graph.tensors[self.inputs(op)[1]]
        data = self._model.buffers[tensor.buffer].data
        return tensor.type == self._schema.TensorType.FLOAT32 and data is not None and len(data) > 0

    def bias(self, op: int) -> np.ndarray:
        """A layer's bias, zeros where it has none."""
        places = self.inputs(op)
        if len(places) > 2 and places[2] >= 0:
            return self.values(places[2])
        return np.zeros(self._graph.tensors[self.outputs(op)[0]].shape[-1], np.float32)

    def set_constant(self, op: int, slot: int, values: np.ndarray) -> None:
        """Give an op a constant of its own: the converter lets ops share equal ones."""
        schema, graph = self._schema, self._graph
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(values, np.float32).tobytes(), np.uint8)
        tensor = schema.TensorT()
        tensor.shape = np.array(values.shape, np.int32)
        tensor.type = schema.TensorType.FLOAT32
        tensor.name = f"{self.name(self.outputs(op)[0])}/own{slot}".encode()
        tensor.buffer = len(self._model.buffers)
        places = self.inputs(op)
        places += [-1] * (slot + 1 - len(places))
        if places[slot] >= 0 and self.readers(places[slot]) == [op]:  # nobody else's
            old = graph.tensors[places[slot]]
            sharing = [one for one in graph.tensors if one.buffer == old.buffer]
            if len(sharing) == 1:
                self._model.buffers[old.buffer] = buffer
                return
        self._model.buffers.append(buffer)
        places[slot] = len(graph.tensors)
        graph.tensors.append(tensor)
        graph.operators[op].inputs = np.array(places, np.int32)

    def pack(self) -> bytes:
        """The file."""
        import flatbuffers

        builder = flatbuffers.Builder(1024)
        builder.Finish(self._model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def watch(
    tflite: bytes, samples: Sequence[Sample], see: Callable[[dict[str, np.ndarray]], None]
) -> None:
    """Run samples through a file and show `see` all activations of each, in real numbers."""
    for found in _runs(tflite, samples):
        see(found)


def _runs(tflite: bytes, samples: Sequence[Sample]) -> Iterator[dict[str, np.ndarray]]:
    import tensorflow as tf

    engine = tf.lite.Interpreter(
        model_content=tflite,
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=tf.lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        num_threads=1,
    )
    engine.allocate_tensors()
    taken = engine.get_input_details()
    made = {int(i) for op in engine._get_ops_details() for i in op["outputs"]}
    made |= {one["index"] for one in taken}
    details = [one for one in engine.get_tensor_details() if one["index"] in made]
    for sample in samples:
        for one, array in zip(taken, sample, strict=True):
            value = np.asarray(array, np.float32)[np.newaxis]
            engine.set_tensor(one["index"], _coded(value, one))
        engine.invoke()
        yield {one["name"]: _real(engine.get_tensor(one["index"]), one) for one in details}


def _coded(value: np.ndarray, detail: Any) -> np.ndarray:
    if detail["dtype"] != np.int8:
        return value
    scale, zero = detail["quantization"]
    return np.clip(np.round(value / scale) + zero, -128, 127).astype(np.int8)


def _real(value: np.ndarray, detail: Any) -> np.ndarray:
    if detail["dtype"] != np.int8:
        return value
    scale, zero = detail["quantization"]
    return (value.astype(np.float32) - zero) * np.float32(scale)
