"""What TFLM does not run, or runs wrong, is refused with a reason, before any code is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from opgraph import Cases

from tflm_opt.codegen.lower import lower
from tflm_opt.errors import UnsupportedModel
from tflm_opt.graph.ir import Op, Quantization, Tensor
from tflm_opt.graph.options import (
    ConcatenationOptions,
    ConvOptions,
    DepthToSpaceOptions,
    GatherOptions,
    MirrorPadOptions,
    ResizeBilinearOptions,
    SpaceToDepthOptions,
    SplitOptions,
    StridedSliceOptions,
    UnpackOptions,
)

Case = tuple[str, Callable[[Cases], Op]]
IMAGE = (1, 4, 4, 3)


def op(kind: str, inputs: list, outputs: list, options: object = None) -> Op:
    return Op(kind, tuple(inputs), tuple(outputs), options)  # type: ignore[arg-type]


def conv(c: Cases, filters: Tensor, bias: Tensor | None = None) -> Op:
    """A 1 x 1 convolution of 3 to 2 channels."""
    return op("CONV_2D", [c.tensor(IMAGE), filters, bias], [c.tensor((1, 4, 4, 2))], ConvOptions())


def filters(scales: int = 2, axis: int = 0, scale: float = 0.1) -> Tensor:
    quant = Quantization(np.full(scales, scale, np.float32), np.zeros(scales, np.int64), axis)
    return Tensor("filter", (2, 1, 1, 3), "int8", quant, np.ones((2, 1, 1, 3), np.int8))


CASES: dict[str, Case] = {
    "an op that TFLM lacks": (
        "no kernel for RELU_N1_TO_1",
        lambda c: op("RELU_N1_TO_1", [c.tensor((1, 4))], [c.tensor((1, 4))]),
    ),
    "float activations": (
        "float32 is not supported",
        lambda c: op("RELU", [c.tensor((1, 4), "float32")], [c.tensor((1, 4), "float32")]),
    ),
    "no quantization": (
        "wants one scale",
        lambda c: op("TANH", [Tensor("x", (1, 4), "int8")], [c.tensor((1, 4))]),
    ),
    "per-channel activations": (
        "wants one scale",
        lambda c: op(
            "RELU",
            [Tensor("x", (1, 2), "int8", Quantization(np.ones(2, np.float32), np.zeros(2, int)))],
            [c.tensor((1, 2))],
        ),
    ),
    "a scale of zero": (
        "not possible",
        lambda c: op("RELU", [c.tensor((1, 4), scale=0.0)], [c.tensor((1, 4))]),
    ),
    "a scale that is no number": (
        "not possible",
        lambda c: op("RELU", [c.tensor((1, 4), scale=float("nan"))], [c.tensor((1, 4))]),
    ),
    "an impossible zero point": (
        "not possible",
        lambda c: op("RELU", [c.tensor((1, 4), zero_point=128)], [c.tensor((1, 4))]),
    ),
    "a logistic with another output range": (
        "zero point to be -128",
        lambda c: op("LOGISTIC", [c.tensor((1, 4))], [c.tensor((1, 4), zero_point=0)]),
    ),
    "hard-swish onto a far finer scale": (
        "does not run HARD_SWISH",
        lambda c: op("HARD_SWISH", [c.tensor((1, 4), scale=1.0)], [c.tensor((1, 4), scale=0.001)]),
    ),
    "uint8 to uint8": (
        "uint8 into uint8",
        lambda c: op("QUANTIZE", [c.tensor((1, 4), "uint8")], [c.tensor((1, 4), "uint8")]),
    ),
    "quantize to bool": (
        "wants one scale",
        lambda c: op("QUANTIZE", [c.tensor((1, 4))], [c.tensor((1, 4), "bool")]),
    ),
    "shapes that differ": (
        r"makes \[1, 4\]",
        lambda c: op("RELU", [c.tensor((1, 4))], [c.tensor((1, 5))]),
    ),
    "a missing input": ("it is missing", lambda c: op("RELU", [None], [c.tensor((1, 5))])),
    "computed paddings": (
        "must be constant",
        lambda c: op("PAD", [c.tensor(IMAGE), c.tensor((4, 2), "int32")], [c.tensor(IMAGE)]),
    ),
    "float paddings": (
        "must be integers",
        lambda c: op(
            "PAD", [c.tensor(IMAGE), c.constant(np.zeros((4, 2)), "float32")], [c.tensor(IMAGE)]
        ),
    ),
    "negative paddings": (
        "negative paddings",
        lambda c: op(
            "PAD",
            [c.tensor(IMAGE), c.constant([[0, 0], [-1, 0], [0, 0], [0, 0]])],
            [c.tensor((1, 3, 4, 3))],
        ),
    ),
    "too few paddings": (
        "must be 8 numbers",
        lambda c: op("PAD", [c.tensor(IMAGE), c.constant([[0, 0]])], [c.tensor(IMAGE)]),
    ),
    "a mirror larger than the image": (
        "cannot mirror",
        lambda c: op(
            "MIRROR_PAD",
            [c.tensor((1, 4)), c.constant([[0, 0], [4, 0]])],
            [c.tensor((1, 8))],
            MirrorPadOptions(0),
        ),
    ),
    "parts with other scales": (
        "all have the output's scale",
        lambda c: op(
            "CONCATENATION",
            [c.tensor((1, 4)), c.tensor((1, 4), scale=0.25)],
            [c.tensor((1, 8))],
            ConcatenationOptions(1),
        ),
    ),
    "eleven parts": (
        "at most 10",
        lambda c: op(
            "CONCATENATION",
            [c.tensor((1, 1)) for _ in range(11)],
            [c.tensor((1, 11))],
            ConcatenationOptions(1),
        ),
    ),
    "parts that do not add up": (
        "do not add up",
        lambda c: op(
            "CONCATENATION",
            [c.tensor((1, 4)), c.tensor((1, 4))],
            [c.tensor((1, 9))],
            ConcatenationOptions(1),
        ),
    ),
    "an axis too many": (
        "has axis 4",
        lambda c: op("UNPACK", [c.tensor(IMAGE)], [c.tensor((4,))], UnpackOptions(1, 4)),
    ),
    "a split that is not even": (
        "differ in shape",
        lambda c: op(
            "SPLIT",
            [c.constant(1), c.tensor((1, 5))],
            [c.tensor((1, 2)), c.tensor((1, 3))],
            SplitOptions(2),
        ),
    ),
    "a slice past the end": (
        "takes 3 from position 2",
        lambda c: op(
            "SLICE",
            [c.tensor((1, 4)), c.constant([0, 2]), c.constant([1, 3])],
            [c.tensor((1, 3))],
        ),
    ),
    "an ellipsis": (
        "ellipsis",
        lambda c: op(
            "STRIDED_SLICE",
            [c.tensor((1, 4)), c.constant([0, 0]), c.constant([1, 4]), c.constant([1, 1])],
            [c.tensor((1, 4))],
            StridedSliceOptions(ellipsis_mask=1),
        ),
    ),
    "a stride of zero": (
        "stride of 0",
        lambda c: op(
            "STRIDED_SLICE",
            [c.tensor((4,)), c.constant([0]), c.constant([4]), c.constant([0])],
            [c.tensor((4,))],
            StridedSliceOptions(),
        ),
    ),
    "an index out of range": (
        "indices outside",
        lambda c: op(
            "GATHER", [c.tensor((4,)), c.constant([0, 4])], [c.tensor((2,))], GatherOptions(0, 0)
        ),
    ),
    "no permutation": (
        "no permutation",
        lambda c: op("TRANSPOSE", [c.tensor((4, 4)), c.constant([0, 0])], [c.tensor((4, 4))]),
    ),
    "six axes": (
        "at most 5 axes",
        lambda c: op("TRANSPOSE", [c.tensor((1,) * 6), c.constant(range(6))], [c.tensor((1,) * 6)]),
    ),
    "axes apart": (
        "neighbouring axes",
        lambda c: op("REVERSE_V2", [c.tensor(IMAGE), c.constant([1, 3])], [c.tensor(IMAGE)]),
    ),
    "blocks that do not fit": (
        "not made of blocks",
        lambda c: op(
            "SPACE_TO_DEPTH", [c.tensor(IMAGE)], [c.tensor(IMAGE)], SpaceToDepthOptions(3)
        ),
    ),
    "a block of zero": (
        "not blocks",
        lambda c: op(
            "DEPTH_TO_SPACE", [c.tensor(IMAGE)], [c.tensor(IMAGE)], DepthToSpaceOptions(0)
        ),
    ),
    "padding that TFLM does not know": (
        "zero point",
        lambda c: op(
            "SPACE_TO_BATCH_ND",
            [c.tensor(IMAGE, zero_point=3), c.constant([2, 2]), c.constant([[2, 2], [0, 0]])],
            [c.tensor((4, 4, 2, 3), zero_point=3)],
        ),
    ),
    "shapes that do not broadcast": (
        "don't make an output",
        lambda c: op("MINIMUM", [c.tensor((1, 4)), c.tensor((1, 3))], [c.tensor((1, 4))]),
    ),
    "both kinds of corners": (
        "both align_corners",
        lambda c: op(
            "RESIZE_BILINEAR",
            [c.tensor(IMAGE), c.constant([8, 8])],
            [c.tensor((1, 8, 8, 3))],
            ResizeBilinearOptions(align_corners=True, half_pixel_centers=True),
        ),
    ),
    "a ratio that TFLM rounds past the edge": (
        "outside the image",
        lambda c: op(
            "RESIZE_BILINEAR",
            [c.tensor((1, 2, 2, 1)), c.constant([1365, 2])],
            [c.tensor((1, 1365, 2, 1))],
            ResizeBilinearOptions(),
        ),
    ),
    "a reshape that loses values": (
        "turns 48 values into 47",
        lambda c: op("RESHAPE", [c.tensor(IMAGE)], [c.tensor((47,))]),
    ),
    "nothing": (
        "of 0 bytes",
        lambda c: op("RELU", [c.tensor((1, 0))], [c.tensor((1, 0))]),
    ),
    "more than 32 bits can address": (
        "of 2147483648 bytes",
        lambda c: op(
            "BROADCAST_TO",
            [c.tensor((1,)), c.constant([1 << 16, 1 << 15])],
            [c.tensor((1 << 16, 1 << 15))],
        ),
    ),
    "a filter with scales along another axis": (
        "3 scales along axis 3, and 2 along axis 0",
        lambda c: conv(c, filters(scales=3, axis=3)),
    ),
    "a filter whose scale is no number": (
        "no number",
        lambda c: conv(c, filters(scale=float("nan"))),
    ),
    "a filter that is not quantized": (
        "filter of CONV_2D is not quantized",
        lambda c: conv(c, replace(filters(), quant=None)),
    ),
    "a filter of another type": (
        "uint8 is not supported",
        lambda c: conv(c, replace(filters(), dtype="uint8", data=np.ones((2, 1, 1, 3), np.uint8))),
    ),
    "a filter with too few axes": (
        "takes 4 axes",
        lambda c: conv(c, Tensor("filter", (2, 3), "int8", None, np.ones((2, 3), np.int8))),
    ),
    "a bias of another size": (
        "must be 2 constants",
        lambda c: conv(c, filters(), c.constant([1, 2, 3])),
    ),
    "a computed bias": (
        "must be 2 constants",
        lambda c: conv(c, filters(), c.tensor((2,), "int32")),
    ),
    "a bias of another type": (
        "int8 is not supported",
        lambda c: conv(c, filters(), c.tensor((2,))),
    ),
    "another type": (
        "cannot turn int8 into float32",
        lambda c: op("SQUEEZE", [c.tensor((1, 4))], [c.tensor((4,), "float32")]),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_refused(name: str) -> None:
    reason, build = CASES[name]
    with pytest.raises(UnsupportedModel, match=reason):
        lower(build(Cases()))
