"""Whether a converted file is full int8, for the converter does not say.

Asked for int8 only, TFLite's converter refuses some ops, and leaves others in float between a
DEQUANTIZE and a QUANTIZE without a word. This reads the finished file and refuses those too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import ToolFailed, UnsupportedModel
from .floatmodel import FloatModel

REMEDY = (
    "Replace it in the Keras model by layers that TFLite has in int8 (`tflm-opt ops` lists what "
    "runs here), or cut it off and compute it outside the model"
)
_BORDER = ("QUANTIZE", "DEQUANTIZE")


@dataclass(frozen=True, slots=True)
class _OpRow:
    index: int
    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def require_full_int8(tflite: bytes, model: FloatModel, *, io: str) -> None:
    """Refuse a file with a float op in it, or whose borders are not what was asked for.

    Raises:
        UnsupportedModel: an op works on floats, or the model holds no op at all.
        ToolFailed: the converter changed the inputs' order or number, or the dtype of one.
    """
    from tensorflow.lite.python import schema_py_generated as schema

    file = schema.Model.GetRootAs(tflite, 0)
    if file.SubgraphsLength() != 1:
        raise UnsupportedModel(
            f"the converted model has {file.SubgraphsLength()} subgraphs, so it holds control flow",
            remedy=REMEDY,
        )
    graph: Any = file.Subgraphs(0)
    if graph.OperatorsLength() == 0:
        raise UnsupportedModel("the model computes nothing: its output is its input")
    rows = _rows(file, graph, schema)
    _require_borders(graph, model, io, schema)
    float32 = schema.TensorType.FLOAT32
    floats = {i for i in range(graph.TensorsLength()) if graph.Tensors(i).Type() == float32}
    for row in rows:
        touched = [i for i in row.outputs + row.inputs if i in floats]
        if touched and row.kind not in _BORDER:
            name = graph.Tensors(touched[0]).Name().decode(errors="replace")
            raise UnsupportedModel(
                "TFLite has no int8 form of this op, so the converter left it in float",
                op=f"{row.index}:{row.kind}",
                tensor=name,
                remedy=REMEDY,
            )


def _rows(file: Any, graph: Any, schema: Any) -> list[_OpRow]:
    kinds = {
        value: name
        for name, value in vars(schema.BuiltinOperator).items()
        if not name.startswith("_")
    }
    rows = []
    for index in range(graph.OperatorsLength()):
        op = graph.Operators(index)
        code = file.OperatorCodes(op.OpcodeIndex())
        builtin = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        kind = kinds.get(builtin, str(builtin))
        if kind == "CUSTOM" and code.CustomCode():
            kind = f"CUSTOM({code.CustomCode().decode(errors='replace')})"
        inputs = tuple(op.Inputs(i) for i in range(op.InputsLength()))
        outputs = tuple(op.Outputs(i) for i in range(op.OutputsLength()))
        rows.append(_OpRow(index, kind, inputs, outputs))
    return rows


def _require_borders(graph: Any, model: FloatModel, io: str, schema: Any) -> None:
    inputs = [graph.Tensors(graph.Inputs(i)) for i in range(graph.InputsLength())]
    outputs = [graph.Tensors(graph.Outputs(i)) for i in range(graph.OutputsLength())]
    names = [tensor.Name().decode(errors="replace").partition(":")[0] for tensor in inputs]
    _require_same("inputs", names, [one.name for one in model.inputs])
    if model.outputs:
        _require_same("outputs", [None] * len(outputs), [None] * len(model.outputs))
    _require_used(inputs, graph)
    wanted = getattr(schema.TensorType, io.upper())
    for tensor in (*inputs, *outputs):
        if tensor.Type() != wanted:
            name = tensor.Name().decode(errors="replace")
            raise UnsupportedModel(
                f"an input or output can't be {io}: the converter left it as TFLite type "
                f"{tensor.Type()}",
                tensor=name,
                remedy="Take integer outputs (argmax, top-k indices) out, into your own code",
            )


def _require_used(inputs: Sequence[Any], graph: Any) -> None:
    """Refuse an input that nothing reads: the converter leaves it in float, whatever was asked."""
    ops = [graph.Operators(i) for i in range(graph.OperatorsLength())]
    read = {op.Inputs(i) for op in ops for i in range(op.InputsLength())}
    for position, tensor in enumerate(inputs):
        if graph.Inputs(position) not in read:
            raise UnsupportedModel(
                "the model never reads this input",
                tensor=tensor.Name().decode(errors="replace"),
                remedy="Rebuild the model without it: keras.Model(inputs that are used, outputs)",
            )


def _require_same(what: str, got: Sequence[Any], expected: Sequence[Any]) -> None:
    if list(got) != list(expected):
        raise ToolFailed(
            "the TFLite converter",
            f"it changed the model's {what}: expected {list(expected)}, got {list(got)}",
        )
