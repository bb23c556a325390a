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
    """What decides the layout of records.

    Attributes:
        pointer, enumeration: bytes of one.
        wheel: built as the wheel `tflite-micro` is: its allocator writes down what it does, and
            kernels are ready for compressed weights.
        later: of 2026-10 instead of 2026-08: the wheel of that month keeps 16 bytes more of each
            fully connected op. Taken as 16 on 32-bit targets as well, where it may be less.
    """

    pointer: int
    enumeration: int
    wheel: bool = False
    later: bool = False

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
WHEEL = Target(8, 4, wheel=True, later=True)

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
WRITTEN_DOWN = "pppp"  # what RecordingSingleArenaBufferAllocator adds,
WRITTEN_BY_KIND = "p" + 8 * "ppp"  # and RecordingMicroAllocator
COMPRESSED = "p"  # what compressed weights add to SubgraphAllocations
ALLOCATION = "ppiiib"  # AllocationInfo
PLANNED = 4 * 4 + 3 * 4 + 3 * 4  # bytes that the planner works with, for each buffer
MOST_REQUESTS = 12  # of scratch, by one op: room for so many is kept

# ---- options of ops, as parsed (TfLiteConvParams and so on) -----------------------------------

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

# ---- what kernels keep of an op: bytes of reference and CMSIS-NN's kernels on 32 bits, of
#      reference kernels on 64 ---------------------------------------------------------------------

STATE = {
    "ABS": (28, 28, 28),
    "ADD": (60, 60, 60),
    "AVERAGE_POOL_2D": (32, 36, 32),
    "BATCH_MATMUL": (16, 36, 32),
    "CALL_ONCE": (8, 8, 8),
    "CONCATENATION": (24, 24, 40),
    "CONV_2D": (56, 60, 72),
    "DEPTHWISE_CONV_2D": (56, 60, 72),
    "DEQUANTIZE": (32, 32, 32),
    "DIV": (28, 28, 28),
    "ELU": (256, 256, 256),
    "EQUAL": (32, 32, 32),
    "FULLY_CONNECTED": (48, 72, 64),
    "GREATER": (32, 32, 32),
    "GREATER_EQUAL": (32, 32, 32),
    "HARD_SWISH": (20, 20, 20),
    "IF": (8, 8, 8),
    "L2_NORMALIZATION": (4, 4, 4),
    "LEAKY_RELU": (24, 24, 24),
    "LESS": (32, 32, 32),
    "LESS_EQUAL": (32, 32, 32),
    "LOGISTIC": (16, 16, 16),
    "MAX_POOL_2D": (32, 36, 32),
    "MEAN": (44, 44, 44),
    "MIRROR_PAD": (20, 20, 20),
    "MUL": (36, 36, 36),
    "NOT_EQUAL": (32, 32, 32),
    "PAD": (56, 56, 56),
    "PADV2": (56, 56, 56),
    "PRELU": (28, 28, 28),
    "QUANTIZE": (32, 32, 32),
    "REDUCE_ALL": (44, 44, 44),
    "REDUCE_MAX": (44, 44, 44),
    "REDUCE_MIN": (44, 44, 44),
    "RELU": (28, 28, 28),
    "RELU6": (8, 8, 8),
    "RSQRT": (28, 28, 28),
    "SELECT_V2": (1, 1, 1),
    "SOFTMAX": (56, 64, 80),
    "SPACE_TO_BATCH_ND": (4, 4, 4),
    "SQUARED_DIFFERENCE": (112, 112, 112),
    "STRIDED_SLICE": (84, 84, 84),
    "SUB": (52, 52, 52),
    "SUM": (44, 44, 44),
    "SVDF": (36, 40, 36),
    "TANH": (16, 16, 16),
    "TRANSPOSE_CONV": (72, 76, 80),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": (688, 912, 688),
    "VAR_HANDLE": (4, 4, 4),
    "WHILE": (8, 8, 8),
}

_KNOWN = """
ABS ADD AVERAGE_POOL_2D BATCH_MATMUL BATCH_TO_SPACE_ND BROADCAST_TO CONCATENATION CONV_2D
DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE ELU EQUAL EXPAND_DIMS FULLY_CONNECTED GATHER GREATER
GREATER_EQUAL HARD_SWISH IF LEAKY_RELU LESS LESS_EQUAL LOGISTIC MAXIMUM MAX_POOL_2D MEAN MINIMUM
MIRROR_PAD MUL NOT_EQUAL PACK PAD PADV2 PRELU QUANTIZE REDUCE_MAX REDUCE_MIN RELU RELU6 RESHAPE
RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR REVERSE_V2 RSQRT SLICE SOFTMAX SPACE_TO_BATCH_ND
SPACE_TO_DEPTH SPLIT SPLIT_V SQUARED_DIFFERENCE SQUEEZE STRIDED_SLICE SUB SUM TANH TRANSPOSE
TRANSPOSE_CONV UNPACK WHILE
"""
# Ops of which the above is all that TFLM keeps, but for what `tflm_arena` adds.
KNOWN = frozenset(_KNOWN.split())


# What the wheel's kernels keep more, for weights that may be compressed.
_COMPRESSED = {
    "CONCATENATION": 40,
    "CONV_2D": 8,
    "DEPTHWISE_CONV_2D": 8,
    "FULLY_CONNECTED": 8,
    "TRANSPOSE_CONV": 8,
}

LATER = {"FULLY_CONNECTED": 16}


def state(kind: str, kernels: str, target: Target) -> int:
    """Bytes that a kernel keeps of an op of this kind."""
    reference, cmsis, host = STATE.get(kind, (0, 0, 0))
    if target.pointer == 8:
        return host + (_COMPRESSED.get(kind, 0) if target.wheel else 0)
    return reference if kernels == "reference" else cmsis
