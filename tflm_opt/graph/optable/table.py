"""The op table: one row for each kind of op that TFLM and the engine run on int8 models.

What TFLM's kernels take (types, ranks, quantization) was read from its sources of 2026-08, and
is checked by running them.
"""

from __future__ import annotations

from .. import options
from . import constraints as c
from . import costs, fields, shapes, shapes_move
from .spec import Constraint, OpSpec

ANY_ACTIVATION = c.activation_among("NONE", "RELU", "RELU_N1_TO_1", "RELU6")
NO_ACTIVATION = c.activation_among("NONE")
# Types that ops which only move data take; float32 occurs at a model's border.
MOVED = ("int8", "int16", "int32", "float32")
# Types that ops compute with: weights stay int8 ("16x8").
DATA = ("int8", "int16")
# Types of filters: some may be int4.
NARROW = ("int8", "int4")
SAME = (c.activations_quantized, c.int16_symmetric)


def _weighted(
    data: int,
    axis: int,
    dtypes: tuple[str, ...] = DATA,
    *,
    filters: tuple[str, ...] = ("int8",),
    wide: tuple[str, ...] = ("int32", "int64"),
) -> tuple[Constraint, ...]:
    """Constraints of an op with data as input `data`, and weights of such types as input 1."""
    return (
        c.input_is(data, "input", *dtypes),
        c.same_dtype(data),
        c.input_is(1, "filter", *filters),
        c.constant(1, "filter"),
        c.weights_quantized(axis),
        *SAME,
        c.bias_int32(3 if data == 2 else 2, wide=wide),
        c.constant(3 if data == 2 else 2, "bias"),
        ANY_ACTIVATION,
    )


def _unary(
    kind: str,
    *more: Constraint,
    record: type[options.Options] | None = None,
    dtypes: tuple[str, ...] = ("int8",),
) -> OpSpec:
    """int8 to int8, place by place: a table of 256 bytes. Some also int16 to int16."""
    return OpSpec(
        kind,
        (1, 1),
        shapes.same_as_input,
        fields.same_place,
        "elementwise",
        (c.inputs_are(*dtypes), c.same_dtype(0), *SAME, *more),
        record=record,
    )


def _binary(
    kind: str,
    *more: Constraint,
    record: type[options.Options] | None = None,
    dtypes: tuple[str, ...] = ("int8",),
) -> OpSpec:
    """Two tensors of one type to a third, with broadcasting."""
    return OpSpec(
        kind,
        (2, 2),
        shapes.broadcast,
        fields.same_place,
        "elementwise",
        (c.inputs_are(*dtypes), c.same_dtype(0, 1), *SAME, *more),
        record=record,
    )


def _pool(kind: str) -> OpSpec:
    return OpSpec(
        kind,
        (1, 1),
        shapes.pool_2d,
        fields.pooling,
        "window",
        (
            c.inputs_are(*DATA),
            c.same_dtype(0),
            *SAME,
            c.nearly_same_quantization,
            ANY_ACTIVATION,
        ),
        record=options.PoolOptions,
    )


def _reduction(kind: str, *dtypes: str) -> OpSpec:
    return OpSpec(
        kind,
        (2, 2),
        shapes.reduce,
        fields.reduction,
        "all",
        (
            c.input_is(0, "input", *dtypes),
            c.same_dtype(0),
            *SAME,
            c.input_is(1, "list of axes", "int32"),
            c.constant(1, "list of axes"),
            c.rank_at_most(4),
        ),
        record=options.ReducerOptions,
    )


def _resize(kind: str, record: type[options.Options]) -> OpSpec:
    bilinear = kind == "RESIZE_BILINEAR"
    return OpSpec(
        kind,
        (2, 2),
        shapes.resize,
        fields.resize_bilinear if bilinear else fields.resize_nearest,
        "map",
        (
            c.input_is(0, "input", "int8"),
            c.outputs_are("int8"),
            c.activations_quantized,
            c.input_is(1, "size", "int32"),
            c.constant(1, "size"),
            *((c.corners_or_centers,) if bilinear else ()),
        ),
        record=record,
    )


def _move(
    kind: str,
    inputs: tuple[int, int],
    shape_rule: object,
    reach: object,
    reach_word: str,
    *more: Constraint,
    data: int = 0,
    outputs: tuple[int, int] = (1, 1),
    constants: tuple[tuple[int, str], ...] = (),
    record: type[options.Options] | None = None,
    dtypes: tuple[str, ...] = MOVED,
) -> OpSpec:
    """Ops that move data: input `data` to the outputs, directed by constants."""
    return OpSpec(
        kind,
        inputs,
        shape_rule,  # type: ignore[arg-type]
        reach,  # type: ignore[arg-type]
        reach_word,
        (
            c.input_is(data, "input", *dtypes),
            c.same_dtype(data),
            *(c.constant(index, what) for index, what in constants),
            *more,
        ),
        outputs=outputs,
        record=record,
    )


_MANY = (1, 1000)

_ROWS = (
    OpSpec(
        "CONV_2D",
        (2, 3),
        shapes.conv_2d,
        fields.convolution,
        "window",
        (*_weighted(0, axis=0, filters=NARROW), c.int4_of_int8_data),
        costs.conv_2d,
        record=options.ConvOptions,
    ),
    OpSpec(
        "DEPTHWISE_CONV_2D",
        (2, 3),
        shapes.depthwise_conv_2d,
        fields.convolution,
        "window",
        (*_weighted(0, axis=3, filters=NARROW, wide=("int64",)), c.int4_of_int8_data),
        costs.depthwise_conv_2d,
        record=options.ConvOptions,
    ),
    OpSpec(
        "TRANSPOSE_CONV",
        (3, 4),
        shapes.transpose_conv,
        fields.transpose_conv,
        "map",
        (c.constant(0, "output shape"), *_weighted(2, axis=0, dtypes=("int8",))),
        costs.transpose_conv,
        record=options.TransposeConvOptions,
    ),
    OpSpec(
        "FULLY_CONNECTED",
        (2, 3),
        shapes.fully_connected,
        fields.fully_connected,
        "all",
        (
            *_weighted(0, axis=0, filters=NARROW),
            c.int4_of_int8_data,
            c.int4_of_one_scale,
            c.default_weights_format,
        ),
        costs.fully_connected,
        record=options.FullyConnectedOptions,
    ),
    OpSpec(
        "BATCH_MATMUL",
        (2, 2),
        shapes.batch_matmul,
        fields.every_place,
        "all",
        (
            c.inputs_are("int8"),
            c.outputs_are("int8"),
            c.activations_quantized,
            c.rank_at_most(5, 0, 1),
        ),
        costs.batch_matmul,
        record=options.BatchMatMulOptions,
    ),
    _pool("AVERAGE_POOL_2D"),
    _pool("MAX_POOL_2D"),
    _binary("ADD", ANY_ACTIVATION, record=options.AddOptions, dtypes=DATA),
    _binary("SUB", ANY_ACTIVATION, record=options.SubOptions, dtypes=DATA),
    _binary("MUL", ANY_ACTIVATION, record=options.MulOptions, dtypes=DATA),
    _binary("SQUARED_DIFFERENCE"),
    _binary("MINIMUM"),
    _binary("MAXIMUM"),
    OpSpec(
        "PRELU",
        (2, 2),
        shapes.prelu,
        fields.same_place,
        "elementwise",
        (c.inputs_are("int8"), c.outputs_are("int8"), c.activations_quantized),
    ),
    _unary("RELU", dtypes=DATA),
    _unary("RELU6", dtypes=DATA),
    _unary("LEAKY_RELU", record=options.LeakyReluOptions, dtypes=DATA),
    _unary("ELU"),
    _unary("HARD_SWISH"),
    _unary("LOGISTIC", c.fixed_output(-128), c.fixed_int16_output, dtypes=DATA),
    _unary("TANH", c.fixed_int16_output, dtypes=DATA),
    _unary("ABS"),
    _unary("RSQRT"),
    OpSpec(
        "SOFTMAX",
        (1, 1),
        shapes.same_as_input,
        fields.softmax,
        "rows of the last axis",
        (
            c.inputs_are(*DATA),
            c.same_dtype(0),
            *SAME,
            c.fixed_output(-128, 1 / 256),
            c.fixed_int16_output,
        ),
        record=options.SoftmaxOptions,
    ),
    OpSpec(
        "QUANTIZE",
        (1, 1),
        shapes.same_as_input,
        fields.same_place,
        "elementwise",
        (c.quantize_types, *SAME),
    ),
    OpSpec(
        "DEQUANTIZE",
        (1, 1),
        shapes.same_as_input,
        fields.same_place,
        "elementwise",
        (c.dequantize_types, *SAME),
    ),
    _reduction("MEAN", *DATA),
    _reduction("SUM", *DATA),
    _reduction("REDUCE_MAX", "int8"),
    _reduction("REDUCE_MIN", "int8"),
    _move(
        "PAD",
        (2, 2),
        shapes_move.pad,
        fields.pad,
        "map",
        c.rank_at_most(5),
        constants=((1, "list of paddings"),),
    ),
    _move(
        "PADV2",
        (3, 3),
        shapes_move.pad,
        fields.pad,
        "map",
        c.rank_at_most(5),
        c.same_quantization,
        constants=((1, "list of paddings"), (2, "value")),
    ),
    _move(
        "MIRROR_PAD",
        (2, 2),
        shapes_move.pad,
        fields.mirror_pad,
        "map",
        constants=((1, "list of paddings"),),
        record=options.MirrorPadOptions,
        dtypes=("int8", "float32"),
    ),
    _move(
        "CONCATENATION",
        (1, 10),
        shapes_move.concatenation,
        fields.concatenation,
        "map",
        c.inputs_are(*MOVED),
        c.same_quantization,
        NO_ACTIVATION,
        record=options.ConcatenationOptions,
    ),
    _move(
        "RESHAPE",
        (1, 2),
        shapes_move.reshape,
        fields.every_place,
        "all",
        dtypes=("int8", "uint8", "int16", "int32", "int64", "float32", "bool"),
        record=None,
    ),
    _move(
        "SQUEEZE",
        (1, 1),
        shapes_move.squeeze,
        fields.every_place,
        "all",
        record=None,
    ),
    _move(
        "EXPAND_DIMS",
        (2, 2),
        shapes_move.expand_dims,
        fields.every_place,
        "all",
        constants=((1, "axis"),),
        dtypes=("int8", "int16", "float32"),
    ),
    _move(
        "SLICE",
        (3, 3),
        shapes_move.slice_,
        fields.slice_,
        "map",
        c.rank_at_most(5),
        constants=((1, "begin"), (2, "size")),
    ),
    _move(
        "STRIDED_SLICE",
        (4, 4),
        shapes_move.strided_slice,
        fields.strided_slice,
        "map",
        c.rank_at_most(4),
        c.no_offset,
        constants=((1, "begin"), (2, "end"), (3, "stride")),
        record=options.StridedSliceOptions,
    ),
    _move(
        "SPLIT",
        (2, 2),
        shapes_move.split,
        fields.split,
        "map",
        data=1,
        outputs=_MANY,
        constants=((0, "axis"),),
        record=options.SplitOptions,
    ),
    _move(
        "SPLIT_V",
        (3, 3),
        shapes_move.split_v,
        fields.split,
        "map",
        outputs=_MANY,
        constants=((1, "list of sizes"), (2, "axis")),
        record=options.SplitVOptions,
    ),
    _move(
        "PACK",
        _MANY,
        shapes_move.pack,
        fields.every_place,
        "all",
        c.inputs_are(*MOVED),
        record=options.PackOptions,
    ),
    _move(
        "UNPACK",
        (1, 1),
        shapes_move.unpack,
        fields.every_place,
        "all",
        outputs=_MANY,
        record=options.UnpackOptions,
        dtypes=("int8", "int32", "float32"),
    ),
    _move(
        "TRANSPOSE",
        (2, 2),
        shapes_move.transpose,
        fields.transpose,
        "map",
        c.rank_at_most(5),
        constants=((1, "permutation"),),
        dtypes=("int8", "int16", "float32"),
    ),
    _move(
        "REVERSE_V2",
        (2, 2),
        shapes.same_as_input,
        fields.reverse,
        "map",
        c.neighbouring_axes,
        constants=((1, "list of axes"),),
    ),
    _move(
        "BROADCAST_TO",
        (2, 2),
        shapes_move.broadcast_to,
        fields.same_place,
        "elementwise",
        c.rank_at_most(5),
        constants=((1, "shape"),),
    ),
    _move(
        "GATHER",
        (2, 2),
        shapes_move.gather,
        fields.every_place,
        "all",
        c.input_is(1, "list of indices", "int32"),
        c.constant(1, "list of indices"),
        record=options.GatherOptions,
        dtypes=("int8", "float32"),
    ),
    _resize("RESIZE_NEAREST_NEIGHBOR", options.ResizeNearestNeighborOptions),
    _resize("RESIZE_BILINEAR", options.ResizeBilinearOptions),
    _move(
        "SPACE_TO_DEPTH",
        (1, 1),
        shapes_move.space_to_depth,
        fields.space_to_depth,
        "window",
        record=options.SpaceToDepthOptions,
        dtypes=("int8", "float32"),
    ),
    _move(
        "DEPTH_TO_SPACE",
        (1, 1),
        shapes_move.depth_to_space,
        fields.depth_to_space,
        "map",
        record=options.DepthToSpaceOptions,
        dtypes=("int8", "float32"),
    ),
    _move(
        "SPACE_TO_BATCH_ND",
        (3, 3),
        shapes_move.space_to_batch,
        fields.every_place,
        "all",
        c.pads_with_zero,
        constants=((1, "block"), (2, "list of paddings")),
        dtypes=("int8", "float32"),
    ),
    _move(
        "BATCH_TO_SPACE_ND",
        (3, 3),
        shapes_move.batch_to_space,
        fields.every_place,
        "all",
        constants=((1, "block"), (2, "list of crops")),
        dtypes=("int8", "float32"),
    ),
)

OPS: dict[str, OpSpec] = {row.kind: row for row in sorted(_ROWS, key=lambda row: row.kind)}
