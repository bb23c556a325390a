"""How large TFLM's records are on a target: what its arena holds beside tensors.

The fields of records that both TFLM's kernels and its allocator use are written as letters, and
laid out as a compiler does: e an enumeration, b a byte, i 32 bits, p a pointer or size. What a
kernel keeps of an op has no such description; its size is listed, as the compiler tells it
(`sizeof`, in TFLM of 2026-08). `tests/export/test_export_tflm_real.py` compares all of it with a
tree of TFLM where it is given one.
"""

from __future__ import annotations

from dataclasses import dataclass

from tflm_opt.arena.problem import align_up


@dataclass(frozen=True, slots=True)
class Target:
    """What decides the layout of records: bytes of a pointer, and of an enumeration."""

    pointer: int
    enumeration: int

    def layout(self, fields: str) -> tuple[int, int]:
        """Size and alignment of a record with these fields.

        >>> Target(4, 1).layout("eii"), Target(8, 4).layout("pb")
        ((12, 4), (16, 8))
        """
        size, largest = 0, 1
        for field in fields:
            width = {"e": self.enumeration, "b": 1, "i": 4, "p": self.pointer}[field]
            size, largest = align_up(size, width) + width, max(largest, width)
        return align_up(size, largest), largest


ARM = Target(4, 1)  # bare-metal Arm: an enumeration takes as few bytes as it can
OTHER_32 = Target(4, 4)  # RISC-V, Xtensa, and Arm with -fno-short-enums
HOST_64 = Target(8, 4)

# ---- the interpreter's and the allocator's own ---------------------------------------------------

ALLOCATOR = "pp" + "ppppp" + "pi"  # SingleArenaBufferAllocator
PLANNER = "piippppiipb"  # GreedyMemoryPlanner
MICRO_ALLOCATOR = "pppppbppp"  # MicroAllocator
BUILTIN_ALLOCATOR = "pp"  # MicroBuiltinDataAllocator
SUBGRAPH = "pp"  # SubgraphAllocations
EVAL_TENSOR = "ppe"  # TfLiteEvalTensor
NODE = "ppppppip"  # NodeAndRegistration
TENSOR = "ep" + "ii" + "ppp" + "eeb"  # TfLiteTensor
QUANTIZATION = "ppi"  # TfLiteAffineQuantization
HANDLE = "p"  # ScratchBufferHandle
REQUEST = "pii"  # internal::ScratchBufferRequest
ALLOCATION = "ppiiib"  # AllocationInfo
PLANNED = 4 * 4 + 3 * 4 + 3 * 4  # bytes that the planner works with, for each buffer
MOST_REQUESTS = 12  # of scratch, by one op: room for so many is kept

# ---- options of ops, as parsed (TfLiteConvParams and so on) ----------------------------------------

_REDUCER, _POOL, _SHAPE, _SUM = "b", "eiiiie" + "iiii", "i" * 9, "eb"
OPTIONS = {
    "ADD": _SUM,
    "AVERAGE_POOL_2D": _POOL,
    "BATCH_MATMUL": "bbb",
    "CONCATENATION": "ie",
    "CONV_2D": "eiieiie",
    "DEPTHWISE_CONV_2D": "eiiieii",
    "DEPTH_TO_SPACE": "i",
    "DIV": "e",
    "FULLY_CONNECTED": "eebbe",
    "GATHER": "ii",
    "IF": "ii",
    "L2_NORMALIZATION": "e",
    "LEAKY_RELU": "i",
    "MAX_POOL_2D": _POOL,
    "MEAN": _REDUCER,
    "MIRROR_PAD": "e",
    "MUL": "e",
    "PACK": "ii",
    "REDUCE_MAX": _REDUCER,
    "REDUCE_MIN": _REDUCER,
    "RESHAPE": _SHAPE,
    "RESIZE_BILINEAR": "bb",
    "RESIZE_NEAREST_NEIGHBOR": "bb",
    "SOFTMAX": "i",
    "SPACE_TO_DEPTH": "i",
    "SPLIT": "i",
    "SPLIT_V": "i",
    "SQUEEZE": _SHAPE,
    "STRIDED_SLICE": "iiiiib",
    "SUB": _SUM,
    "SUM": _REDUCER,
    "TRANSPOSE_CONV": "eiiee",
    "UNPACK": "ii",
    "WHILE": "ii",
}

# ---- what kernels keep of an op: bytes with pointers of 4, of CMSIS-NN's kernel, with pointers of 8 --

STATE = {
    "ABS": (28, 28, 0),
    "ADD": (60, 60, 0),
    "AVERAGE_POOL_2D": (32, 36, 0),
    "BATCH_MATMUL": (16, 36, 0),
    "CALL_ONCE": (8, 8, 0),
    "CONCATENATION": (24, 24, 0),
    "CONV_2D": (56, 60, 0),
    "DEPTHWISE_CONV_2D": (56, 60, 0),
    "DEQUANTIZE": (32, 32, 0),
    "DIV": (28, 28, 0),
    "ELU": (256, 256, 0),
    "EQUAL": (32, 32, 0),
    "FULLY_CONNECTED": (48, 72, 0),
    "GREATER": (32, 32, 0),
    "GREATER_EQUAL": (32, 32, 0),
    "HARD_SWISH": (20, 20, 0),
    "IF": (8, 8, 0),
    "L2_NORMALIZATION": (4, 4, 0),
    "LEAKY_RELU": (24, 24, 0),
    "LESS": (32, 32, 0),
    "LESS_EQUAL": (32, 32, 0),
    "LOGISTIC": (16, 16, 0),
    "MAX_POOL_2D": (32, 36, 0),
    "MEAN": (44, 44, 0),
    "MIRROR_PAD": (20, 20, 0),
    "MUL": (36, 36, 0),
    "NOT_EQUAL": (32, 32, 0),
    "PAD": (56, 56, 0),
    "PADV2": (56, 56, 0),
    "PRELU": (28, 28, 0),
    "QUANTIZE": (32, 32, 0),
    "REDUCE_ALL": (44, 44, 0),
    "REDUCE_MAX": (44, 44, 0),
    "REDUCE_MIN": (44, 44, 0),
    "RELU": (28, 28, 0),
    "RELU6": (8, 8, 0),
    "RSQRT": (28, 28, 0),
    "SELECT_V2": (1, 1, 0),
    "SOFTMAX": (56, 64, 0),
    "SPACE_TO_BATCH_ND": (4, 4, 0),
    "SQUARED_DIFFERENCE": (112, 112, 0),
    "STRIDED_SLICE": (84, 84, 0),
    "SUB": (52, 52, 0),
    "SUM": (44, 44, 0),
    "SVDF": (36, 40, 0),
    "TANH": (16, 16, 0),
    "TRANSPOSE_CONV": (72, 76, 0),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": (688, 912, 0),
    "VAR_HANDLE": (4, 4, 0),
    "WHILE": (8, 8, 0),
}

# Ops of which the above is all that TFLM keeps, but for what `tflm_arena` adds.
KNOWN = frozenset(
    """
    ABS ADD AVERAGE_POOL_2D BATCH_MATMUL BATCH_TO_SPACE_ND BROADCAST_TO CONCATENATION CONV_2D
    DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE ELU EQUAL EXPAND_DIMS FULLY_CONNECTED GATHER GREATER
    GREATER_EQUAL HARD_SWISH IF LEAKY_RELU LESS LESS_EQUAL LOGISTIC MAXIMUM MAX_POOL_2D MEAN MINIMUM
    MIRROR_PAD MUL NOT_EQUAL PACK PAD PADV2 PRELU QUANTIZE REDUCE_MAX REDUCE_MIN RELU RELU6 RESHAPE
    RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR REVERSE_V2 RSQRT SLICE SOFTMAX SPACE_TO_BATCH_ND
    SPACE_TO_DEPTH SPLIT SPLIT_V SQUARED_DIFFERENCE SQUEEZE STRIDED_SLICE SUB SUM TANH TRANSPOSE
    TRANSPOSE_CONV UNPACK WHILE
    """.split()
)


def state(kind: str, kernels: str, target: Target) -> int:
    """Bytes that a kernel keeps of an op of this kind."""
    reference, cmsis, host = STATE.get(kind, (0, 0, 0))
    if target.pointer == 8:
        return host
    return reference if kernels == "reference" else cmsis
