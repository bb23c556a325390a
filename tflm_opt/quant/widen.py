"""Give a softmax over almost equal logits a scale that TFLM takes.

A net with fresh weights (a sketch whose memory and speed are wanted before it is trained) has
logits of about zero, and the converter gives them a scale that TFLM's softmax aborts on: it wants
beta * scale * 2**26 > 1. The scale of a layer's output is free, so a larger one is written into
the file. Nothing is lost: logits that close are all the same to a softmax.

Source of the bound: TFLM's PreprocessSoftmaxScaling and QuantizeMultiplierGreaterThanOne.
"""

from __future__ import annotations

from typing import Any

_LEAST_SCALE = 2.0**-25  # times beta; twice what TFLM needs
_MOVES = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE")  # input and output share a scale
_FREE = ("FULLY_CONNECTED", "CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "MUL", "SUB", "MEAN")


def widened(tflite: bytes) -> tuple[bytes, tuple[str, ...]]:
    """The file with larger scales for such logits, and a remark for each softmax.

        >>> widened(tflite) == (tflite, ())  # of a trained model
        True

    A softmax whose logits come from an op with a scale of its own making is left as it is.
    """
    from tensorflow.lite.python import schema_py_generated as schema

    data = bytearray(tflite)
    graph: Any = schema.Model.GetRootAs(data, 0).Subgraphs(0)
    kinds = _kinds(data, schema)
    remarks = []
    for index in range(graph.OperatorsLength()):
        if kinds[index] != "SOFTMAX":
            continue
        op = graph.Operators(index)
        options = schema.SoftmaxOptions()
        options.Init(op.BuiltinOptions().Bytes, op.BuiltinOptions().Pos)
        chain = _chain(graph, kinds, op.Inputs(0))
        least = _LEAST_SCALE / options.Beta() if options.Beta() > 0 else 0.0
        scales = [graph.Tensors(tensor).Quantization().ScaleAsNumpy() for tensor in chain]
        if not scales or float(scales[0][0]) * 2 > least:
            continue
        for scale in scales:
            scale[0] = least  # a view of `data`
        name = graph.Tensors(op.Outputs(0)).Name().decode(errors="replace")
        remarks.append(
            f"the logits that softmax {name!r} reads hardly differ from zero: the model looks "
            "untrained. Memory and speed are real; its outputs say nothing"
        )
    return bytes(data), tuple(remarks)


def _kinds(data: bytearray, schema: Any) -> list[str]:
    names = {v: k for k, v in vars(schema.BuiltinOperator).items() if not k.startswith("_")}
    file: Any = schema.Model.GetRootAs(data, 0)
    graph = file.Subgraphs(0)
    codes = [file.OperatorCodes(i) for i in range(file.OperatorCodesLength())]
    builtin = [max(code.BuiltinCode(), code.DeprecatedBuiltinCode()) for code in codes]
    return [
        names.get(builtin[graph.Operators(i).OpcodeIndex()], "")
        for i in range(graph.OperatorsLength())
    ]


def _chain(graph: Any, kinds: list[str], logits: int) -> list[int]:
    """The tensors that share the logits' scale, up to a layer that is free to choose it.

    Empty where there is none, or where one of them is also read by something else.
    """
    outputs = {graph.Outputs(i) for i in range(graph.OutputsLength())}
    found: list[int] = []
    while True:
        readers = [i for i in range(len(kinds)) if logits in graph.Operators(i).InputsAsNumpy()]
        makers = [i for i in range(len(kinds)) if logits in graph.Operators(i).OutputsAsNumpy()]
        if len(readers) != 1 or len(makers) != 1 or logits in outputs:
            return []
        found.append(logits)
        if kinds[makers[0]] in _FREE:
            return found
        if kinds[makers[0]] not in _MOVES:
            return []
        logits = graph.Operators(makers[0]).Inputs(0)
