"""Which ops a file for stock TFLM uses, by the names that TFLM registers them under."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tflm_opt.errors import UnsupportedModel
from tflm_opt.graph.ir import Graph, Op

_KINDS = """
ABS ADD ADD_N ARG_MAX ARG_MIN ASSIGN_VARIABLE AVERAGE_POOL_2D BATCH_MATMUL BATCH_TO_SPACE_ND
BROADCAST_ARGS BROADCAST_TO CALL_ONCE CAST CEIL CONCATENATION CONV_2D COS CUMSUM DECODE
DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE DIV DYNAMIC_UPDATE_SLICE ELU EMBEDDING_LOOKUP EQUAL
EXP EXPAND_DIMS FILL
FLOOR FLOOR_DIV FLOOR_MOD FULLY_CONNECTED GATHER GATHER_ND GREATER GREATER_EQUAL HARD_SWISH IF
L2_NORMALIZATION L2_POOL_2D LEAKY_RELU LESS LESS_EQUAL LOG LOGICAL_AND LOGICAL_NOT LOGICAL_OR
LOGISTIC LOG_SOFTMAX MAXIMUM MAX_POOL_2D MEAN MINIMUM MIRROR_PAD MUL NEG NOT_EQUAL PACK PAD PADV2
PRELU QUANTIZE READ_VARIABLE REDUCE_ALL REDUCE_MAX REDUCE_MIN RELU RELU6 RESHAPE RESIZE_BILINEAR
RESIZE_NEAREST_NEIGHBOR REVERSE_V2 ROUND RSQRT SELECT_V2 SHAPE SIN SLICE SOFTMAX SPACE_TO_BATCH_ND
SPACE_TO_DEPTH SPLIT SPLIT_V SQRT SQUARE SQUARED_DIFFERENCE SQUEEZE STRIDED_SLICE SUB SUM SVDF
TANH TRANSPOSE TRANSPOSE_CONV UNIDIRECTIONAL_SEQUENCE_LSTM UNPACK VAR_HANDLE WHILE ZEROS_LIKE
"""
# What `MicroMutableOpResolver` has an Add function for: TFLite's own ops, and TFLM's DECODE.
KINDS = frozenset(_KINDS.split())

# Where TFLM's spelling is not that of the schema, word by word with capitals.
_SPELT = {
    "BATCH_MATMUL": "BatchMatMul",
    "CUMSUM": "CumSum",
    "PADV2": "PadV2",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "UnidirectionalSequenceLSTM",
}


def all_ops(graph: Graph) -> Iterator[Op]:
    """The ops of the main graph, and of those that it calls."""
    yield from graph.ops
    for other in graph.model.subgraphs:
        yield from other.ops


def kind(op: Op) -> str:
    """An op's kind; DECODE for that op of TFLM's own, which is a custom op in a file."""
    return "DECODE" if op.custom_code == "TFLM_DECODE" else op.kind


def method(kind: str) -> str:
    """TFLM's name of an op.

    >>> method("DEPTHWISE_CONV_2D"), method("PADV2")
    ('DepthwiseConv2D', 'PadV2')
    """
    words = kind.split("_")
    return _SPELT.get(kind) or "".join(
        word if word[0].isdigit() else word.capitalize() for word in words
    )


def methods(kinds: Iterable[str]) -> list[str]:
    """The Add functions for a model's ops, each once, sorted: `methods(["ADD"])` is `["Add"]`.

    Raises:
        UnsupportedModel: stock TFLM has no such op.
    """
    used = set(kinds)
    for kind in sorted(used - KINDS):
        raise UnsupportedModel(
            "stock TFLM has no such op",
            op=kind,
            remedy='Export with runtime="engine", or register a kernel of your own for it',
        )
    return sorted(map(method, used))
