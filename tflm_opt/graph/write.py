"""Write a Graph as a `.tflite` file: the inverse of `read`.

Positions are assigned here. Tensors keep the order of the file they came from (`Graph.tensors`),
so that reading and writing changes no index; equal constants share a buffer.

The contents of buffers start at multiples of 16 from the file's start, as the schema asks
(`force_align: 16`): TFLM reads an int32 bias where it lies in the file, and a Cortex-M faults on
some unaligned reads. The schema's object classes ignore that attribute, so buffers are packed
here.
"""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np

from ..errors import UnsupportedModel
from . import ir, nibbles, options, schema

BUFFER_ALIGNMENT = 16


def tensor_order(graph: ir.Graph) -> tuple[ir.Tensor, ...]:
    """The tensors of `graph` in the order in which `write` numbers them."""
    order: dict[ir.Tensor, None] = dict.fromkeys(graph.tensors)
    order.update(dict.fromkeys(graph.inputs))
    for op in graph.ops:
        order.update(dict.fromkeys(t for t in op.inputs if t is not None))
        order.update(dict.fromkeys(op.intermediates))
        order.update(dict.fromkeys(op.outputs))
    order.update(dict.fromkeys(graph.outputs))
    return tuple(order)


def write(graph: ir.Graph) -> bytes:
    """The graph as the bytes of a `.tflite` file. Same graph, same bytes.

    Raises:
        UnsupportedModel: a padding that TFLite has no word for; `passes.legalize` splits such
            ops into PAD and VALID.
    """
    return _ModelWriter(graph).write()


class _ModelWriter:
    """Numbers the objects of one model; lives for one call of `write`."""

    def __init__(self, graph: ir.Graph) -> None:
        self.graph = graph
        # By convention buffer 0 is empty: it stands for "no values".
        self.buffers: list[bytes | None] = [None]
        self.buffer_numbers: dict[bytes, int] = {}
        self.codes: dict[tuple[int, str | None, int], int] = {}
        # Contents by (address, size): many tensors may look at one piece of memory.
        self.known_memory: dict[tuple[int, int], int] = {}

    def write(self) -> bytes:
        fb, model = schema.fb, self.graph.model
        graphs = (self.graph, *model.subgraphs)
        table = fb.ModelT()
        table.version = model.version
        table.description = _bytes(model.description) if model.description else None
        table.subgraphs = [self._graph(g) for g in graphs]
        table.operatorCodes = [_operator_code(*key) for key in self.codes]
        table.metadata = [self._metadata(*entry) for entry in model.metadata] or None
        table.metadataBuffer = [self._new_buffer(b) for b in model.metadata_buffers] or None
        table.signatureDefs = [
            _signature(s, tensor_order(graphs[s.subgraph])) for s in model.signatures
        ] or None
        table.buffers = [_AlignedBuffer(content) for content in self.buffers]
        builder = flatbuffers.Builder(1024)
        builder.Finish(table.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def _graph(self, graph: ir.Graph) -> Any:
        order = tensor_order(graph)
        numbers = {tensor: i for i, tensor in enumerate(order)}
        table = schema.fb.SubGraphT()
        table.tensors = [self._tensor(tensor) for tensor in order]
        table.inputs = [numbers[t] for t in graph.inputs]
        table.outputs = [numbers[t] for t in graph.outputs]
        table.operators = [self._op(i, op, numbers) for i, op in enumerate(graph.ops)]
        table.name = _bytes(graph.name)
        _restore(table, graph.carried)
        return table

    def _buffer_number(self, content: bytes) -> int:
        number = self.buffer_numbers.get(content)
        if number is None:
            number = self.buffer_numbers[content] = len(self.buffers)
            self.buffers.append(content)
        return number

    def _new_buffer(self, content: bytes) -> int:
        """Metadata never shares a buffer with a tensor: tools patch it in place."""
        self.buffers.append(content)
        return len(self.buffers) - 1

    def _constant_number(self, data: np.ndarray) -> int:
        little = data.dtype.newbyteorder("<")
        if not data.flags.c_contiguous or little != data.dtype:
            return self._buffer_number(np.ascontiguousarray(data, little).tobytes())
        memory = (data.ctypes.data, data.nbytes)
        number = self.known_memory.get(memory)
        if number is None:
            number = self.known_memory[memory] = self._buffer_number(data.tobytes())
        return number

    def _tensor(self, tensor: ir.Tensor) -> Any:
        table = schema.fb.TensorT()
        table.name = _bytes(tensor.name)
        table.shape = list(tensor.shape)
        table.type = schema.DTYPE_CODES[tensor.dtype]
        table.isVariable = tensor.variable
        table.shapeSignature = list(tensor.shape_signature) if tensor.shape_signature else None
        if tensor.data is not None:
            if tensor.dtype == "int4":
                table.buffer = self._buffer_number(nibbles.packed(tensor.data).tobytes())
            else:
                table.buffer = self._constant_number(tensor.data)
        if tensor.quant is not None:
            quantization = schema.fb.QuantizationParametersT()
            quantization.scale = tensor.quant.scale.tolist()
            quantization.zeroPoint = tensor.quant.zero_point.tolist()
            quantization.quantizedDimension = tensor.quant.axis
            _restore(quantization, tensor.quant.carried)
            table.quantization = quantization
        _restore(table, tensor.carried)
        return table

    def _op(self, index: int, op: ir.Op, numbers: dict[ir.Tensor, int]) -> Any:
        table = schema.fb.OperatorT()
        table.opcodeIndex = self._code_number(op)
        table.inputs = [-1 if t is None else numbers[t] for t in op.inputs]
        table.outputs = [numbers[t] for t in op.outputs]
        table.intermediates = [numbers[t] for t in op.intermediates] or None
        if op.options is not None:
            table.builtinOptionsType, table.builtinOptions = _options(index, op)
        _restore(table, op.carried)
        return table

    def _code_number(self, op: ir.Op) -> int:
        key = (schema.KIND_CODES[op.kind], op.custom_code, op.version)
        return self.codes.setdefault(key, len(self.codes))

    def _metadata(self, name: str, content: bytes) -> Any:
        table = schema.fb.MetadataT()
        table.name = _bytes(name)
        table.buffer = self._new_buffer(content)
        return table


def _operator_code(number: int, custom_code: str | None, version: int) -> Any:
    code = schema.fb.OperatorCodeT()
    code.builtinCode = number
    code.deprecatedBuiltinCode = min(number, schema.LAST_8BIT_OPCODE)
    code.customCode = None if custom_code is None else _bytes(custom_code)
    code.version = version
    return code


def _signature(signature: ir.Signature, order: tuple[ir.Tensor, ...]) -> Any:
    numbers = {tensor: i for i, tensor in enumerate(order)}

    def maps(entries: tuple[tuple[str, ir.Tensor], ...]) -> list[Any]:
        tables = []
        for name, tensor in entries:
            if tensor not in numbers:
                raise ValueError(f"signature {signature.key!r} names {tensor}, not in its graph")
            table = schema.fb.TensorMapT()
            table.name, table.tensorIndex = _bytes(name), numbers[tensor]
            tables.append(table)
        return tables

    table = schema.fb.SignatureDefT()
    table.signatureKey = _bytes(signature.key)
    table.inputs = maps(signature.inputs)
    table.outputs = maps(signature.outputs)
    table.subgraphIndex = signature.subgraph
    return table


class _AlignedBuffer:
    """Stands in for the schema's `BufferT`, whose `Pack` leaves the alignment to chance."""

    __slots__ = ("content",)

    def __init__(self, content: bytes | None) -> None:
        self.content = content

    def Pack(self, builder: flatbuffers.Builder) -> int:
        fb, vector = schema.fb, 0
        if self.content is not None:
            # Builders fill from the end; `Finish` pads the start to the largest alignment used.
            builder.StartVector(1, len(self.content), BUFFER_ALIGNMENT)
            builder.head -= len(self.content)
            builder.Bytes[builder.head : builder.head + len(self.content)] = self.content
            vector = builder.EndVector()
        fb.BufferStart(builder)
        if self.content is not None:
            fb.BufferAddData(builder, vector)
        return fb.BufferEnd(builder)


def _bytes(text: str) -> Any:
    """Names as bytes, which keep what was not UTF-8; the schema's classes take both."""
    return text.encode("utf-8", "surrogateescape")


def _restore(table: Any, carried: dict[str, Any] | None) -> None:
    for name, value in (carried or {}).items():
        setattr(table, name, value)


def _options(index: int, op: ir.Op) -> tuple[int, Any]:
    record = op.options
    if isinstance(record, options.Raw):
        return record.table_type, record.table
    if isinstance(record, options.ConvOptions):
        return _conv_options(index, op, record)
    if isinstance(record, options.TransposeConvOptions):
        return _transpose_conv_options(index, op, record)
    if isinstance(record, options.PoolOptions):
        return _pool_options(index, op, record)
    name = type(record).__name__
    table = schema.new_table(name)
    for field in record.__dataclass_fields__ if record else ():
        value = getattr(record, field)
        if field == "activation":
            value = options.ACTIVATIONS.index(value)
        elif field in ("new_shape", "squeeze_dims"):
            value = list(value) or None
        setattr(table, schema.camel(field), value)
    return schema.OPTION_CODES[name], table


def _padding_flag(
    index: int,
    op: ir.Op,
    padding: options.Padding,
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int] = (1, 1),
) -> int:
    flag = padding_flag(padding, size, kernel, stride, dilation)
    if flag is None:
        raise UnsupportedModel(
            f"TFLite can't express the padding {padding} of this op",
            op=f"{index}:{op.kind}",
            tensor=op.output.name,
            remedy="Run passes.legalize before writing",
        )
    return schema.fb.Padding.SAME if flag == "SAME" else schema.fb.Padding.VALID


def padding_flag(
    padding: options.Padding,
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int] = (1, 1),
) -> str | None:
    """TFLite's word for an explicit padding: "VALID", "SAME", or None where it has none.

    Args:
        size: input rows and columns; for TRANSPOSE_CONV, the output's.
    """
    if padding.empty:
        return "VALID"
    (top, bottom), (left, right) = (
        options.same_padding(*axis) for axis in zip(size, kernel, stride, dilation, strict=True)
    )
    return "SAME" if padding == options.Padding(top, bottom, left, right) else None


def _hw(tensor: ir.Tensor | None) -> tuple[int, int]:
    if tensor is None:
        raise ValueError("a convolution without its input or filter")
    return tensor.shape[1], tensor.shape[2]


def _conv_options(index: int, op: ir.Op, record: options.ConvOptions) -> tuple[int, Any]:
    depthwise = op.kind == "DEPTHWISE_CONV_2D"
    name = "DepthwiseConv2DOptions" if depthwise else "Conv2DOptions"
    table = schema.new_table(name)
    source, kernel = op.inputs[0], op.inputs[1]
    table.padding = _padding_flag(
        index, op, record.padding, _hw(source), _hw(kernel), record.stride, record.dilation
    )
    table.strideH, table.strideW = record.stride
    table.dilationHFactor, table.dilationWFactor = record.dilation
    table.fusedActivationFunction = options.ACTIVATIONS.index(record.activation)
    if depthwise:
        assert source is not None
        assert kernel is not None
        table.depthMultiplier = kernel.shape[3] // source.shape[3]
    else:
        table.quantizedBiasType = record.quantized_bias_type
    return schema.OPTION_CODES[name], table


def _transpose_conv_options(
    index: int, op: ir.Op, record: options.TransposeConvOptions
) -> tuple[int, Any]:
    table = schema.new_table("TransposeConvOptions")
    table.padding = _padding_flag(
        index, op, record.padding, _hw(op.output), _hw(op.inputs[1]), record.stride
    )
    table.strideH, table.strideW = record.stride
    table.fusedActivationFunction = options.ACTIVATIONS.index(record.activation)
    table.quantizedBiasType = record.quantized_bias_type
    return schema.OPTION_CODES["TransposeConvOptions"], table


def _pool_options(index: int, op: ir.Op, record: options.PoolOptions) -> tuple[int, Any]:
    table = schema.new_table("Pool2DOptions")
    table.padding = _padding_flag(
        index, op, record.padding, _hw(op.inputs[0]), record.kernel, record.stride
    )
    table.strideH, table.strideW = record.stride
    table.filterHeight, table.filterWidth = record.kernel
    table.fusedActivationFunction = options.ACTIVATIONS.index(record.activation)
    return schema.OPTION_CODES["Pool2DOptions"], table
