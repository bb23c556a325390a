"""Typed options of the ops that the toolkit understands.

Convolutions and pooling hold explicit padding instead of TFLite's SAME and VALID, so that a
PAD can be folded into them whatever its sides are; `read` resolves the flag and `write` finds
the flag that means the same padding.

`RECORDS` maps TFLite's option tables to these records: a record's fields are the table's, in
snake case. Tables that are not listed are carried as `Raw`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# TFLite's ActivationFunctionType, in the order of its values.
ACTIVATIONS = ("NONE", "RELU", "RELU_N1_TO_1", "RELU6", "TANH", "SIGN_BIT")


@dataclass(frozen=True, slots=True)
class Padding:
    """Rows and columns added around the input; they hold the input's zero point.

    Pooling never counts them: a maximum ignores them, and an average divides by the elements
    that lie inside.
    """

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0

    @property
    def empty(self) -> bool:
        return not (self.top or self.bottom or self.left or self.right)


def same_padding(in_size: int, kernel: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """(before, after) of TFLite's SAME padding along one axis.

    >>> same_padding(96, kernel=3, stride=2)
    (0, 1)
    """
    out_size = -(-in_size // stride)
    total = max((out_size - 1) * stride + (kernel - 1) * dilation + 1 - in_size, 0)
    return total // 2, total - total // 2


def out_size(in_size: int, kernel: int, stride: int, dilation: int, before: int, after: int) -> int:
    """Output positions of a window along one axis; 0 or less when it does not fit once."""
    return (in_size + before + after - (kernel - 1) * dilation - 1) // stride + 1


@dataclass(frozen=True, slots=True)
class Options:
    """Base of all option records."""


@dataclass(frozen=True, slots=True)
class Raw(Options):
    """Options of a kind that we don't model: the schema's own object, written back as it is."""

    table_type: int
    table: Any


@dataclass(frozen=True, slots=True)
class ConvOptions(Options):
    """CONV_2D and DEPTHWISE_CONV_2D. Pairs are (h, w). The depth multiplier follows from shapes."""

    stride: tuple[int, int] = (1, 1)
    padding: Padding = Padding()
    dilation: tuple[int, int] = (1, 1)
    activation: str = "NONE"
    quantized_bias_type: int = 0


@dataclass(frozen=True, slots=True)
class BandConvOptions(ConvOptions):
    """Some rows of a convolution; never in a file.

    `whole` is the padding of the convolution that they are rows of: what depends on whether
    there is any must come out the same for all its bands.
    """

    whole: Padding = Padding()


@dataclass(frozen=True, slots=True)
class TransposeConvOptions(Options):
    """TRANSPOSE_CONV. `padding` is what is cut from the full output's sides."""

    stride: tuple[int, int] = (1, 1)
    padding: Padding = Padding()
    activation: str = "NONE"
    quantized_bias_type: int = 0


@dataclass(frozen=True, slots=True)
class PoolOptions(Options):
    """AVERAGE_POOL_2D, MAX_POOL_2D, L2_POOL_2D. Pairs are (h, w)."""

    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: Padding = Padding()
    activation: str = "NONE"


@dataclass(frozen=True, slots=True)
class RowSumOptions(Options):
    """Some rows of an image that an op folds into one pixel, part by part; never in a file.

    Attributes:
        whole: the op's own options.
        first, last: whether these are the first rows, the last ones.
        count: pixels of the whole image.
    """

    whole: Options | None
    first: bool
    last: bool
    count: int


@dataclass(frozen=True, slots=True)
class FullyConnectedOptions(Options):
    activation: str = "NONE"
    keep_num_dims: bool = False
    weights_format: int = 0
    asymmetric_quantize_inputs: bool = False
    quantized_bias_type: int = 0
    quant_spec: Any = None


@dataclass(frozen=True, slots=True)
class AddOptions(Options):
    activation: str = "NONE"
    pot_scale_int16: bool = True


@dataclass(frozen=True, slots=True)
class BandAddOptions(AddOptions):
    """Some rows of a sum that broadcasts, even if these rows don't; never in a file."""


@dataclass(frozen=True, slots=True)
class SubOptions(Options):
    activation: str = "NONE"
    pot_scale_int16: bool = True


@dataclass(frozen=True, slots=True)
class MulOptions(Options):
    activation: str = "NONE"


@dataclass(frozen=True, slots=True)
class BandMulOptions(MulOptions):
    """Some rows of a product that broadcasts, even if these rows don't; never in a file."""


@dataclass(frozen=True, slots=True)
class DivOptions(Options):
    activation: str = "NONE"


@dataclass(frozen=True, slots=True)
class ConcatenationOptions(Options):
    axis: int = 0
    activation: str = "NONE"


@dataclass(frozen=True, slots=True)
class ReshapeOptions(Options):
    new_shape: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class SqueezeOptions(Options):
    squeeze_dims: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class SoftmaxOptions(Options):
    beta: float = 0.0


@dataclass(frozen=True, slots=True)
class ReducerOptions(Options):
    """MEAN, SUM, REDUCE_MAX, REDUCE_MIN, …; the axes are the op's second input."""

    keep_dims: bool = False


@dataclass(frozen=True, slots=True)
class ResizeBilinearOptions(Options):
    align_corners: bool = False
    half_pixel_centers: bool = False


@dataclass(frozen=True, slots=True)
class ResizeNearestNeighborOptions(Options):
    align_corners: bool = False
    half_pixel_centers: bool = False


@dataclass(frozen=True, slots=True)
class BandResizeBilinearOptions(ResizeBilinearOptions):
    """Some rows of a bilinear resize; never in a file.

    Attributes:
        step, start: output row i is `i * step + start` 1024ths of an input row below the first.
        whole: rows of the input and the output of the whole resize.
    """

    step: int = 1024
    start: int = 0
    whole: tuple[int, int] = (1, 1)


@dataclass(frozen=True, slots=True)
class BandResizeNearestOptions(ResizeNearestNeighborOptions):
    """Some rows of a nearest resize: row i is input row (i * step + start) // unit, if it exists.

    Never in a file.
    """

    step: int = 1
    start: int = 0
    unit: int = 1


@dataclass(frozen=True, slots=True)
class StridedSliceOptions(Options):
    begin_mask: int = 0
    end_mask: int = 0
    ellipsis_mask: int = 0
    new_axis_mask: int = 0
    shrink_axis_mask: int = 0
    offset: bool = False


@dataclass(frozen=True, slots=True)
class SplitOptions(Options):
    num_splits: int = 0


@dataclass(frozen=True, slots=True)
class SplitVOptions(Options):
    num_splits: int = 0


@dataclass(frozen=True, slots=True)
class PackOptions(Options):
    values_count: int = 0
    axis: int = 0


@dataclass(frozen=True, slots=True)
class UnpackOptions(Options):
    num: int = 0
    axis: int = 0


@dataclass(frozen=True, slots=True)
class LeakyReluOptions(Options):
    alpha: float = 0.0


@dataclass(frozen=True, slots=True)
class GatherOptions(Options):
    axis: int = 0
    batch_dims: int = 0


@dataclass(frozen=True, slots=True)
class MirrorPadOptions(Options):
    """`mode` 0 repeats without the edge (REFLECT), 1 with it (SYMMETRIC)."""

    mode: int = 0


@dataclass(frozen=True, slots=True)
class SpaceToDepthOptions(Options):
    block_size: int = 0


@dataclass(frozen=True, slots=True)
class DepthToSpaceOptions(Options):
    block_size: int = 0


@dataclass(frozen=True, slots=True)
class BatchMatMulOptions(Options):
    adj_x: bool = False
    adj_y: bool = False
    asymmetric_quantize_inputs: bool = False


# TFLite's option tables, by name, that translate field by field. Convolution and pooling need
# their padding resolved and are translated by `read` and `write` themselves.
RECORDS: dict[str, type[Options]] = {
    record.__name__: record
    for record in (
        FullyConnectedOptions,
        AddOptions,
        SubOptions,
        MulOptions,
        DivOptions,
        ConcatenationOptions,
        ReshapeOptions,
        SqueezeOptions,
        SoftmaxOptions,
        ReducerOptions,
        ResizeBilinearOptions,
        ResizeNearestNeighborOptions,
        StridedSliceOptions,
        SplitOptions,
        SplitVOptions,
        PackOptions,
        UnpackOptions,
        LeakyReluOptions,
        GatherOptions,
        MirrorPadOptions,
        SpaceToDepthOptions,
        DepthToSpaceOptions,
        BatchMatMulOptions,
    )
}
