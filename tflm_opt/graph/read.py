"""Read a `.tflite` file into a Graph.

The schema's object classes do the parsing; this module resolves every index into a reference
and checks all that a damaged or hostile file could get wrong: the result is well-formed, and
whether its ops make sense is for `graph.check` to say.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import InvalidModel, UnsupportedModel
from . import ir, nibbles, options, schema
from .preflight import DAMAGE, preflight

MAX_RANK = 8
MAX_ELEMENTS = 1 << 31


def read(data: bytes, source: str | None = None) -> ir.Graph:
    """The main graph of a `.tflite` file, with everything else the file holds beside it.

    Example:
        >>> graph = read(pathlib.Path("model.tflite").read_bytes(), "model.tflite")

    Args:
        data: the whole file.
        source: what to call the file in errors.

    Raises:
        InvalidModel: damaged or not a `.tflite` file.
        UnsupportedModel: weights outside the file (models over 2 GB).
    """
    data = bytes(data)
    preflight(data, source)
    try:
        model = schema.fb.ModelT.InitFromPackedBuf(data, 0)
    except DAMAGE as error:
        raise InvalidModel(f"damaged .tflite file ({error})", source=source) from error
    return _ModelReader(model, source).read()


class _ModelReader:
    """Resolves one parsed file; lives for one call of `read`."""

    def __init__(self, model: Any, source: str | None) -> None:
        self.model = model
        self.source = source
        self.buffers: list[np.ndarray | None] = [
            self._buffer(i, buffer) for i, buffer in enumerate(_list(model.buffers))
        ]
        self.tensors: list[tuple[ir.Tensor, ...]] = []

    def read(self) -> ir.Graph:
        if _list(self.model.externalBuffers) or _list(self.model.externalBufferGroups):
            raise UnsupportedModel(
                "weights of the model lie in other files", remedy="Export the model in one file"
            )
        subgraphs = _list(self.model.subgraphs)
        if not subgraphs:
            raise self.invalid("the file holds no subgraph")
        graphs = [self._graph(i, subgraph) for i, subgraph in enumerate(subgraphs)]
        main = graphs[0]
        model = ir.Model(
            description=_text(self.model.description),
            version=self.model.version,
            subgraphs=tuple(graphs[1:]),
            metadata=tuple(self._metadata(entry) for entry in _list(self.model.metadata)),
            signatures=tuple(self._signature(s) for s in _list(self.model.signatureDefs)),
            metadata_buffers=self._metadata_buffers(),
        )
        return ir.Graph(
            main.ops, main.inputs, main.outputs, main.name, main.tensors, model, main.carried
        )

    def invalid(self, message: str) -> InvalidModel:
        return InvalidModel(message, source=self.source)

    def _pick(self, items: Sequence[Any], index: int, what: str) -> Any:
        if not 0 <= index < len(items):
            raise self.invalid(f"{what} refers to number {index} of {len(items)}")
        return items[index]

    def _buffer(self, index: int, buffer: Any) -> np.ndarray | None:
        if (buffer.offset or 0) > 1 or (buffer.size or 0) > 1:
            raise UnsupportedModel(
                f"buffer {index} lies outside the flatbuffer, as in models over 2 GB",
                remedy="Export the model in one file",
            )
        # The schema's vectors are views of the file's bytes: nothing is copied, however often
        # a buffer is used.
        return None if buffer.data is None else np.asarray(buffer.data, np.uint8)

    def _graph(self, number: int, subgraph: Any) -> ir.Graph:
        tensors = tuple(self._tensor(i, tensor) for i, tensor in enumerate(_list(subgraph.tensors)))
        self.tensors.append(tensors)
        where = f"subgraph {number}"
        ops = tuple(
            self._op(f"{where}, op {i}", op, tensors)
            for i, op in enumerate(_list(subgraph.operators))
        )
        return ir.Graph(
            ops=ops,
            inputs=tuple(
                self._pick(tensors, i, f"an input of {where}") for i in _list(subgraph.inputs)
            ),
            outputs=tuple(
                self._pick(tensors, i, f"an output of {where}") for i in _list(subgraph.outputs)
            ),
            name=_text(subgraph.name),
            tensors=tensors,
            carried={"debugMetadataIndex": subgraph.debugMetadataIndex},
        )

    def _tensor(self, index: int, tensor: Any) -> ir.Tensor:
        name = _text(tensor.name)
        where = f"tensor {index} ({name!r})"
        dtype = schema.DTYPE_NAMES.get(tensor.type)
        if dtype is None:
            raise self.invalid(f"{where} has the unknown element type {tensor.type}")
        if tensor.externalBuffer:
            raise UnsupportedModel(
                "its values lie outside the file", tensor=name, remedy="Export one file"
            )
        shape = self._shape(where, _list(tensor.shape))
        raw = self._pick(self.buffers, tensor.buffer, where) if self.buffers else None
        quant = self._quantization(where, tensor.quantization)
        signature = _list(tensor.shapeSignature)
        if len(signature) > MAX_RANK:
            raise self.invalid(f"{where} has a shape signature of {len(signature)} dimensions")
        return ir.Tensor(
            name=name,
            shape=shape,
            dtype=dtype,
            quant=quant,
            data=self._values(where, raw, shape, dtype, tensor.sparsity),
            shape_signature=tuple(int(size) for size in signature) or None,
            variable=bool(tensor.isVariable),
            # A record without scales says nothing that we use; some tools need it back.
            carried=({} if quant is not None else {"quantization": tensor.quantization})
            | {
                "sparsity": tensor.sparsity,
                "hasRank": tensor.hasRank,
                "variantTensors": tensor.variantTensors,
            },
        )

    def _shape(self, where: str, sizes: Any) -> tuple[int, ...]:
        if len(sizes) > MAX_RANK:
            raise self.invalid(
                f"{where} has {len(sizes)} dimensions; at most {MAX_RANK} make sense"
            )
        shape = tuple(int(size) for size in sizes)
        if any(size < 0 for size in shape):
            raise self.invalid(f"{where} has a negative size in {list(shape)}")
        if math.prod(shape) >= MAX_ELEMENTS:
            raise self.invalid(f"{where} has {math.prod(shape)} elements: {list(shape)}")
        return shape

    def _values(
        self,
        where: str,
        raw: np.ndarray | None,
        shape: tuple[int, ...],
        dtype: str,
        sparsity: Any,
    ) -> np.ndarray | None:
        """The constant's values: a read-only view of the file. An empty buffer means none."""
        kind = ir.NUMPY_DTYPES.get(dtype)
        if raw is None or (raw.size == 0 and (kind is None or math.prod(shape) != 0)):
            return None
        if kind is None or sparsity is not None:
            return raw
        count = math.prod(shape)
        need = (count + 1) // 2 if dtype == "int4" else count * np.dtype(kind).itemsize
        if raw.nbytes != need:
            raise self.invalid(
                f"{where} of shape {list(shape)} and type {dtype} needs {need} bytes, "
                f"its buffer holds {raw.nbytes}"
            )
        if dtype == "int4":
            return _frozen(nibbles.unpacked(raw, count).reshape(shape))
        return raw.view(np.dtype(kind).newbyteorder("<")).reshape(shape)

    def _quantization(self, where: str, quantization: Any) -> ir.Quantization | None:
        if quantization is None:
            return None
        scale = np.asarray(_list(quantization.scale), np.float32)
        zero_point = np.asarray(_list(quantization.zeroPoint), np.int64)
        if scale.size == 0:
            return None
        if zero_point.size == 0:
            zero_point = np.zeros(scale.size, np.int64)
        if zero_point.size == 1 and scale.size > 1:
            zero_point = np.repeat(zero_point, scale.size)
        if zero_point.size != scale.size:
            raise self.invalid(f"{where} has {scale.size} scales and {zero_point.size} zero points")
        if not np.all(np.isfinite(scale)) or np.any(scale < 0):
            raise self.invalid(f"{where} has a quantization scale that is negative or not finite")
        carried = {
            name: getattr(quantization, name) for name in ("min", "max", "detailsType", "details")
        }
        return ir.Quantization(scale, zero_point, int(quantization.quantizedDimension), carried)

    def _op(self, where: str, op: Any, tensors: tuple[ir.Tensor, ...]) -> ir.Op:
        code = self._pick(_list(self.model.operatorCodes), op.opcodeIndex, where)
        number = max(code.builtinCode or 0, code.deprecatedBuiltinCode or 0)
        if (op.largeCustomOptionsOffset or 0) > 1 or (op.largeCustomOptionsSize or 0) > 1:
            raise UnsupportedModel(
                "its options lie outside the flatbuffer, as in models over 2 GB",
                op=where,
                remedy="Export the model in one file",
            )
        kind = schema.KIND_NAMES.get(number)
        if kind is None:
            raise self.invalid(f"{where} has the unknown opcode {number}")
        where = f"{where} ({kind})"
        inputs = tuple(
            None if i == -1 else self._pick(tensors, i, f"an input of {where}")
            for i in _list(op.inputs)
        )
        outputs = tuple(self._pick(tensors, i, f"an output of {where}") for i in _list(op.outputs))
        return ir.Op(
            kind=kind,
            inputs=inputs,
            outputs=outputs,
            options=self._options(where, kind, op, inputs, outputs),
            version=code.version,
            custom_code=_text(code.customCode) if code.customCode is not None else None,
            intermediates=tuple(
                self._pick(tensors, i, f"an intermediate of {where}")
                for i in _list(op.intermediates)
            ),
            carried={
                name: getattr(op, name)
                for name in (
                    "customOptions",
                    "customOptionsFormat",
                    "mutatingVariableInputs",
                    "largeCustomOptionsOffset",
                    "largeCustomOptionsSize",
                    "builtinOptions2Type",
                    "builtinOptions2",
                    "debugMetadataIndex",
                )
            },
        )

    def _options(
        self,
        where: str,
        kind: str,
        op: Any,
        inputs: tuple[ir.Tensor | None, ...],
        outputs: tuple[ir.Tensor, ...],
    ) -> options.Options | None:
        table = op.builtinOptions
        if table is None:
            return None
        name = schema.OPTION_NAMES.get(op.builtinOptionsType, "")
        try:
            if name in ("Conv2DOptions", "DepthwiseConv2DOptions"):
                return _conv_options(kind, table, inputs)
            if name == "TransposeConvOptions":
                return _transpose_conv_options(table, inputs, outputs)
            if name == "Pool2DOptions":
                return _pool_options(table, inputs)
            record = options.RECORDS.get(name)
            if record is None:
                return options.Raw(op.builtinOptionsType, table)
            return record(**{field: _field(table, field) for field in record.__dataclass_fields__})
        except (IndexError, AttributeError, ZeroDivisionError) as error:
            raise self.invalid(f"{where} has options that don't match its tensors") from error

    def _metadata(self, entry: Any) -> tuple[str, bytes]:
        name = _text(entry.name)
        buffer = self._pick(self.buffers, entry.buffer, f"metadata {name!r}")
        return name, b"" if buffer is None else buffer.tobytes()

    def _metadata_buffers(self) -> tuple[bytes, ...]:
        what = "the list of metadata buffers"
        found = [self._pick(self.buffers, i, what) for i in _list(self.model.metadataBuffer)]
        return tuple(b"" if buffer is None else buffer.tobytes() for buffer in found)

    def _signature(self, signature: Any) -> ir.Signature:
        key = _text(signature.signatureKey)
        where = f"signature {key!r}"
        tensors = self._pick(self.tensors, signature.subgraphIndex, where)

        def entries(maps: Any) -> tuple[tuple[str, ir.Tensor], ...]:
            return tuple(
                (_text(entry.name), self._pick(tensors, entry.tensorIndex, where))
                for entry in _list(maps)
            )

        return ir.Signature(
            key, entries(signature.inputs), entries(signature.outputs), signature.subgraphIndex
        )


def _frozen(values: np.ndarray) -> np.ndarray:
    values.flags.writeable = False
    return values


def _list(vector: Any) -> Any:
    return () if vector is None else vector


def _text(value: bytes | str | None) -> str:
    if value is None:
        return ""
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value


def _field(table: Any, field: str) -> Any:
    value = getattr(table, schema.camel(field))
    if field == "activation":
        return options.ACTIVATIONS[_natural(value)]
    if field in ("new_shape", "squeeze_dims"):
        return tuple(int(size) for size in _list(value))
    return value


def _natural(value: int) -> int:
    if value < 0:
        raise IndexError(value)
    return value


def _spatial(tensor: ir.Tensor | None) -> tuple[int, int]:
    if tensor is None or len(tensor.shape) != 4:
        raise IndexError("not a 4-dimensional tensor")
    return tensor.shape[1], tensor.shape[2]


def _window_padding(
    flag: int,
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int] = (1, 1),
) -> options.Padding:
    if flag == schema.fb.Padding.VALID:
        return options.Padding()
    if flag != schema.fb.Padding.SAME:
        raise IndexError("padding")
    (top, bottom), (left, right) = (
        options.same_padding(*axis) for axis in zip(size, kernel, stride, dilation, strict=True)
    )
    return options.Padding(top, bottom, left, right)


def _stride(table: Any) -> tuple[int, int]:
    stride = (int(table.strideH), int(table.strideW))
    if min(stride) < 1:
        raise ZeroDivisionError("stride")
    return stride


def _conv_options(
    kind: str, table: Any, inputs: tuple[ir.Tensor | None, ...]
) -> options.ConvOptions:
    stride = _stride(table)
    dilation = (int(table.dilationHFactor), int(table.dilationWFactor))
    if min(dilation) < 1:
        raise ZeroDivisionError("dilation")
    source = inputs[0]
    if kind == "DEPTHWISE_CONV_2D" and (source is None or source.shape[-1] < 1):
        raise ZeroDivisionError("channels")
    return options.ConvOptions(
        stride=stride,
        padding=_window_padding(
            table.padding, _spatial(inputs[0]), _spatial(inputs[1]), stride, dilation
        ),
        dilation=dilation,
        activation=_field(table, "activation"),
        quantized_bias_type=getattr(table, "quantizedBiasType", 0),
    )


def _transpose_conv_options(
    table: Any, inputs: tuple[ir.Tensor | None, ...], outputs: tuple[ir.Tensor, ...]
) -> options.TransposeConvOptions:
    # The transpose of a convolution from the output's size down to the input's: its padding is
    # that convolution's.
    stride = _stride(table)
    return options.TransposeConvOptions(
        stride=stride,
        padding=_window_padding(table.padding, _spatial(outputs[0]), _spatial(inputs[1]), stride),
        activation=_field(table, "activation"),
        quantized_bias_type=table.quantizedBiasType,
    )


def _pool_options(table: Any, inputs: tuple[ir.Tensor | None, ...]) -> options.PoolOptions:
    stride = _stride(table)
    kernel = (int(table.filterHeight), int(table.filterWidth))
    if min(kernel) < 1:
        raise ZeroDivisionError("kernel")
    return options.PoolOptions(
        kernel=kernel,
        stride=stride,
        padding=_window_padding(table.padding, _spatial(inputs[0]), kernel, stride),
        activation=_field(table, "activation"),
    )
