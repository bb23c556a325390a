"""RESIZE_NEAREST_NEIGHBOR as a walk with tables, RESIZE_BILINEAR in TFLite's integers.

Places are computed offline in float32, as TFLM computes them at run time, so the engine needs no
floats for either.
"""

from __future__ import annotations

import math

import numpy as np

from tflm_opt.codegen.axes import Axis
from tflm_opt.codegen.call import Call, Constant, Lowered, Pointer, Struct, dims
from tflm_opt.codegen.lower import lowers
from tflm_opt.codegen.walk import along, copy, listed
from tflm_opt.errors import UnsupportedModel
from tflm_opt.graph.ir import Op, Tensor
from tflm_opt.graph.operands import constant, has_shape, moved
from tflm_opt.graph.options import (
    BandResizeBilinearOptions,
    BandResizeNearestOptions,
    ResizeBilinearOptions,
    ResizeNearestNeighborOptions,
)

ONE = 1024  # TFLite's fixed point of image coordinates


def _sizes(op: Op, tensor: Tensor) -> tuple[tuple[int, int, int, int], int, int]:
    """(input shape, output height, output width)."""
    if len(tensor.shape) != 4:
        raise UnsupportedModel(
            f"{op.kind} wants [n, h, w, c], and this has {len(tensor.shape)} axes",
            tensor=tensor.name,
        )
    n, h, w, c = tensor.shape
    out_h, out_w = constant(op, 1, "size", 2)
    if out_h < 1 or out_w < 1:
        raise UnsupportedModel(f"{op.kind} to {out_h} x {out_w}", tensor=op.output.name)
    has_shape(op, op.output, (n, out_h, out_w, c))
    return (n, h, w, c), out_h, out_w


@lowers("RESIZE_NEAREST_NEIGHBOR")
def resize_nearest(op: Op) -> Lowered:
    """Each output pixel is one input pixel."""
    tensor = moved(op, 0, "int8", "int16", "float32")
    options = op.options
    if not isinstance(options, ResizeNearestNeighborOptions):
        options = ResizeNearestNeighborOptions()
    (n, h, w, c), out_h, out_w = _sizes(op, tensor)
    if isinstance(options, BandResizeNearestOptions):
        columns = nearest(w, out_w, options.align_corners, options.half_pixel_centers)
        return Lowered((_nearest_rows(op, options, tensor, columns),))
    rows = nearest(h, out_h, options.align_corners, options.half_pixel_centers)
    columns = nearest(w, out_w, options.align_corners, options.half_pixel_centers)
    axes = [
        along(n, h * w * c),
        *_repeats([row * w * c for row in rows]),
        *_repeats([column * c for column in columns]),
        along(c, 1),
    ]
    return Lowered((copy(tensor, op.output, axes),))


def _nearest_rows(
    op: Op, options: BandResizeNearestOptions, tensor: Tensor, columns: list[int]
) -> Call:
    """Some rows: their places follow a line, so that all bands make the same call."""
    pixel = tensor.shape[3] * tensor.itemsize
    places = Constant("places", np.array(columns, np.int32) * np.int32(pixel))
    line = (options.step, options.start, options.unit)
    fields = (*line, tensor.shape[1], op.output.shape[1], tensor.shape[2], len(columns), pixel)
    params = Struct("tflm_opt_nearest_params", "params", (*fields, places))
    arguments = (params, Pointer(tensor), Pointer(op.output))
    return Call("tflm_opt_resize_nearest_rows", arguments, status=False)


def nearest(size: int, out_size: int, align_corners: bool, half_pixel_centers: bool) -> list[int]:
    """The input position of each output position along one axis, in TFLM's float32.

    >>> nearest(2, 4, False, False)
    [0, 0, 1, 1]
    """
    aligned = align_corners and out_size > 1
    top, bottom = (size - 1, out_size - 1) if aligned else (size, out_size)
    scale = np.float32(top) / np.float32(bottom)
    offset = np.float32(0.5 if half_pixel_centers else 0.0)
    places = []
    for position in range(out_size):
        real = float((np.float32(position) + offset) * scale)
        place = math.floor(real + 0.5) if align_corners else math.floor(real)
        places.append(max(min(place, size - 1), 0))
    return places


def _repeats(places: list[int]) -> list[Axis]:
    """An axis of places, as two steps where each is repeated equally often at even distances."""
    count = places.count(places[0])
    distinct = places[::count]
    if [place for place in distinct for _ in range(count)] == places:
        return [listed(distinct), along(count, 0)]
    return [listed(places)]


@lowers("RESIZE_BILINEAR")
def resize_bilinear(op: Op) -> Lowered:
    """int8, in fixed point of 1/1024 pixels."""
    tensor = moved(op, 0, "int8")
    options = op.options
    if not isinstance(options, ResizeBilinearOptions):
        options = ResizeBilinearOptions()
    if options.align_corners and options.half_pixel_centers:
        raise UnsupportedModel(
            "RESIZE_BILINEAR has both align_corners and half_pixel_centers",
            tensor=op.output.name,
            remedy="Choose one of them",
        )
    shape, out_h, out_w = _sizes(op, tensor)
    rows = options.whole if isinstance(options, BandResizeBilinearOptions) else (shape[1], out_h)
    scales = (_scale(op, shape[2], out_w, options), _scale(op, *rows, options))
    half = options.half_pixel_centers
    right, down = (scale // 2 - ONE // 2 if half else 0 for scale in scales)
    start = (right, options.start if isinstance(options, BandResizeBilinearOptions) else down)
    params = Struct("tflm_opt_resize_params", "params", (scales, start))
    arguments = (
        params,
        Pointer(tensor),
        dims("input_dims", shape),
        Pointer(op.output),
        dims("output_dims", op.output.shape),
    )
    return Lowered((Call("tflm_opt_resize_bilinear_s8", arguments, status=False),))


def _scale(op: Op, size: int, out_size: int, options: ResizeBilinearOptions) -> int:
    """Input steps of one output step in 1/1024, rounded as TFLite does."""
    top, bottom = size, out_size
    if options.align_corners and out_size > 1:
        top, bottom = size - 1, out_size - 1
    scale = (ONE * top + bottom // 2) // bottom
    last = (out_size - 1) * scale
    last += scale // 2 - ONE // 2 if options.half_pixel_centers else 0
    if last // ONE > size - 1 or last >= 1 << 31:
        raise UnsupportedModel(
            f"TFLM reads outside the image when it resizes {size} to {out_size} positions, "
            "because it rounds their ratio",
            tensor=op.output.name,
            remedy="Resize in two steps",
        )
    return scale
