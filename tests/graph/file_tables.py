"""A `.tflite` file made with the schema's own objects, holding a bit of everything.

What no part of the toolkit makes itself, and converters of all ages do: custom ops with options,
the old 8-bit opcodes, options tables we don't model, sparsity, variables, subgraphs, strings,
int4, intermediates, names that are not UTF-8, quantization records without scales.
"""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np

from tflm_opt.graph import schema

fb = schema.fb


def table(kind: str, /, **fields: Any) -> Any:
    made = getattr(fb, kind + "T")()
    for key, value in fields.items():
        if not hasattr(made, key):
            raise AttributeError(f"{kind} has no field {key}")
        setattr(made, key, value)
    return made


def pack(model: Any) -> bytes:
    builder = flatbuffers.Builder(256)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def quantization(scale: list[float], zero: list[int], axis: int = 0, **more: Any) -> Any:
    return table(
        "QuantizationParameters", scale=scale, zeroPoint=zero, quantizedDimension=axis, **more
    )


def tensor(name: str | bytes, shape: list[int], dtype: str = "INT8", **more: Any) -> Any:
    return table("Tensor", name=name, shape=shape, type=getattr(fb.TensorType, dtype), **more)


def buffer(values: Any = None) -> Any:
    return table("Buffer", data=None if values is None else np.frombuffer(bytes(values), np.uint8))


def operator(code: int, inputs: list[int], outputs: list[int], **more: Any) -> Any:
    return table("Operator", opcodeIndex=code, inputs=inputs, outputs=outputs, **more)


def kitchen_sink() -> Any:
    """The model as an object; `pack(kitchen_sink())` is the file."""
    per_tensor = quantization([0.5], [3], min=[-1.0], max=[1.0])
    main = table(
        "SubGraph",
        name="main",
        tensors=[
            tensor("in", [1, 4, 4, 2], quantization=per_tensor, shapeSignature=[-1, 4, 4, 2]),
            tensor(
                "filter",
                [3, 1, 1, 2],
                buffer=1,
                quantization=quantization([0.1, 0.2, 0.3], [0] * 3),
            ),
            tensor("conv", [1, 4, 4, 3], quantization=quantization([0.25], [-4])),
            tensor(
                b"caf\xe9", [1, 4, 4, 3], quantization=table("QuantizationParameters", min=[0.0])
            ),
            tensor("custom out", [1, 4, 4, 3], dtype="FLOAT32", hasRank=True),
            tensor("state", [1, 3], isVariable=True, quantization=quantization([0.5], [0])),
            tensor("nibbles", [5], dtype="INT4", buffer=2, quantization=quantization([0.5], [0])),
            tensor("words", [2], dtype="STRING", buffer=3),
            tensor("shared a", [4], dtype="INT32", buffer=4),
            tensor("shared b", [16], dtype="UINT8", buffer=4),
            tensor("unused", [7], dtype="INT16"),
            tensor(
                "sparse",
                [4, 4],
                buffer=5,
                sparsity=table(
                    "SparsityParameters",
                    traversalOrder=[0, 1],
                    blockMap=[],
                    dimMetadata=[
                        table("DimensionMetadata", format=0, denseSize=4),
                        table(
                            "DimensionMetadata",
                            format=1,
                            arraySegmentsType=fb.SparseIndexVector.Uint8Vector,
                            arraySegments=table("Uint8Vector", values=[0, 1, 2, 2, 3]),
                            arrayIndicesType=fb.SparseIndexVector.Int32Vector,
                            arrayIndices=table("Int32Vector", values=[3, 1, 0]),
                        ),
                    ],
                ),
            ),
            tensor("scalar", [], dtype="BOOL"),
            tensor("mid", [1], dtype="FLOAT32"),
            tensor(
                "odd quantization",
                [2],
                quantization=table(
                    "QuantizationParameters",
                    scale=[1.0],
                    zeroPoint=[0],
                    detailsType=fb.QuantizationDetails.CustomQuantization,
                    details=table("CustomQuantization", custom=[1, 2, 3]),
                ),
            ),
        ],
        inputs=[0, 12],
        outputs=[4, 2],
        operators=[
            operator(
                0,
                [0, 1, -1],
                [2],
                builtinOptionsType=fb.BuiltinOptions.Conv2DOptions,
                builtinOptions=table("Conv2DOptions", padding=0, strideH=1, strideW=1),
            ),
            operator(
                1,
                [2, 8, 9],
                [3],
                builtinOptionsType=fb.BuiltinOptions.GeluOptions,
                builtinOptions=table("GeluOptions", approximate=True),
            ),
            operator(2, [3, 6, 7, 11], [4], customOptions=[9, 8, 7], mutatingVariableInputs=[True]),
            operator(3, [0, 5], [14], intermediates=[13]),
            operator(
                4,
                [12],
                [10],
                builtinOptionsType=fb.BuiltinOptions.IfOptions,
                builtinOptions=table("IfOptions", thenSubgraphIndex=1, elseSubgraphIndex=1),
            ),
            operator(
                5,
                [2],
                [10],
                builtinOptions2Type=fb.BuiltinOptions2.StablehloConcatenateOptions,
                builtinOptions2=table("StablehloConcatenateOptions", dimension=2),
            ),
        ],
    )
    side = table(
        "SubGraph",
        name="side",
        tensors=[tensor("x", [2]), tensor("y", [2])],
        inputs=[0],
        outputs=[1],
        operators=[operator(6, [0], [1])],
    )
    op = fb.BuiltinOperator
    codes = [
        table("OperatorCode", builtinCode=op.CONV_2D, deprecatedBuiltinCode=op.CONV_2D, version=3),
        table("OperatorCode", builtinCode=op.GELU, deprecatedBuiltinCode=127, version=2),
        # As converters wrote before opcodes outgrew a byte: only the old field.
        table("OperatorCode", deprecatedBuiltinCode=op.CUSTOM, customCode="mine", version=1),
        table("OperatorCode", builtinCode=op.SVDF, deprecatedBuiltinCode=op.SVDF, version=1),
        table("OperatorCode", builtinCode=op.IF, deprecatedBuiltinCode=op.IF, version=1),
        table(
            "OperatorCode",
            builtinCode=op.STABLEHLO_CONCATENATE,
            deprecatedBuiltinCode=127,
            version=1,
        ),
        table("OperatorCode", builtinCode=op.RELU, deprecatedBuiltinCode=op.RELU, version=1),
    ]
    return table(
        "Model",
        version=3,
        description="a bit of everything",
        operatorCodes=codes,
        subgraphs=[main, side],
        buffers=[
            buffer(),
            buffer([1, 2, 3, 4, 5, 6]),
            buffer([0x12, 0x34, 0x05]),
            buffer([2, 0, 0, 0, 16, 0, 0, 0, 17, 0, 0, 0, 18, 0, 0, 0, 65, 66]),
            buffer(range(16)),
            buffer([7, 8, 9]),
            buffer(b"1.5.0"),
            buffer(b""),
            buffer(b"old"),
        ],
        metadata=[
            table("Metadata", name="min_runtime_version", buffer=6),
            table("Metadata", name="nothing", buffer=7),
        ],
        metadataBuffer=[8],
        signatureDefs=[
            table(
                "SignatureDef",
                signatureKey="serving_default",
                inputs=[table("TensorMap", name="image", tensorIndex=0)],
                outputs=[table("TensorMap", name="scores", tensorIndex=4)],
                subgraphIndex=0,
            ),
            table(
                "SignatureDef",
                signatureKey="side",
                inputs=[table("TensorMap", name="x", tensorIndex=0)],
                outputs=[table("TensorMap", name="y", tensorIndex=1)],
                subgraphIndex=1,
            ),
        ],
    )
