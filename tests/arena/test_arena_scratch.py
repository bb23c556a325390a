"""Scratch of TFLM's kernels: sizes worked out by hand, and heads that TFLM's allocator reports."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_models import Net, model

from tflm_opt import arena, boards, graph, passes
from tflm_opt.arena import offline
from tflm_opt.arena.cmsis_scratch import cmsis_sizes
from tflm_opt.arena.stand_in import with_scratch
from tflm_opt.arena.tflm_scratch import KERNELS, kernels_of, tflm_scratch
from tflm_opt.graph.ir import Op, Quantization, Tensor
from tflm_opt.graph.options import (
    ConvOptions,
    FullyConnectedOptions,
    Padding,
    PoolOptions,
    TransposeConvOptions,
)
from tflm_opt.patch_split.schedule import layer_by_layer
from tflm_opt.runtime import tflm

NONE, ONES, TWOS = Padding(), Padding(1, 1, 1, 1), Padding(2, 2, 2, 2)


def tensor(*shape: int, scales: int = 1, constant: bool = False, dtype: str = "int8") -> Tensor:
    data = np.zeros(shape, dtype) if constant else None
    quant = Quantization(np.ones(scales, np.float32), np.zeros(scales, np.int64))
    return Tensor("t", shape, dtype, quant, data)


def conv(source: tuple, weights: tuple, out: tuple, **options: object) -> Op:
    inputs = (tensor(*source), tensor(*weights, constant=True))
    return Op("CONV_2D", inputs, (tensor(*out),), ConvOptions(**options))  # type: ignore[arg-type]


def depthwise(channels: int, kernel: int, pads: Padding, outputs: int = 0, **more: object) -> Op:
    outputs = outputs or channels
    inputs = (tensor(1, 9, 9, channels), tensor(1, kernel, kernel, outputs, constant=True))
    options = ConvOptions((1, 1), pads, **more)  # type: ignore[arg-type]
    return Op("DEPTHWISE_CONV_2D", inputs, (tensor(1, 9, 9, outputs),), options)


def dense(depth: int, out: tuple, scales: int = 1) -> Op:
    weights = tensor(out[-1], depth, scales=scales, constant=True)
    return Op("FULLY_CONNECTED", (tensor(1, depth), weights), (tensor(*out),),
              FullyConnectedOptions())  # fmt: skip


def transposed(depth: int, stride: int) -> Op:
    shape = tensor(4, constant=True, dtype="int32")
    inputs = (shape, tensor(3, 2, 2, depth, constant=True), tensor(1, 5, 5, depth))
    out = tensor(1, 5 * stride, 5 * stride, 3)
    return Op("TRANSPOSE_CONV", inputs, (out,), TransposeConvOptions((stride, stride)))


POOL = Op("AVERAGE_POOL_2D", (tensor(1, 8, 8, 6),), (tensor(1, 4, 4, 6),), PoolOptions((2, 2)))
SAME, POINT = (1, 9, 9, 3), (8, 1, 1, 4)
# Op; bytes in plain C, with the DSP extension, with MVE.
CASES = {
    # 2 windows of 27 values, rounded up to 28, as int16; 4 of 27, rounded up to 32.
    "3x3": (conv(SAME, (8, 3, 3, 3), (1, 9, 9, 8), padding=ONES), [112], [112], [128]),
    "1x1": (conv((1, 9, 9, 4), POINT, (1, 9, 9, 8)), [], [], []),
    "1x1, stride 2": (conv((1, 9, 9, 4), POINT, (1, 5, 5, 8), stride=(2, 2)), [], [], []),
    "1x1, padded": (
        conv((1, 9, 9, 4), POINT, (1, 11, 11, 8), padding=ONES), [16], [16], [64],
    ),
    # Filters of 2 channels for an input of 4: the windows are those of the input.
    "grouped": (
        conv((1, 9, 9, 4), (8, 1, 1, 2), (1, 9, 9, 8)), [16], [16], [64],
    ),
    # One row: first window of 3 + 1 pixels of 4 channels; last one 2 + 1.
    "1x3 on a row": (
        conv((1, 1, 9, 4), (8, 1, 3, 4), (1, 1, 9, 8), padding=Padding(0, 0, 1, 1)),
        [48], [48], [16],
    ),
    "1x3 on two rows": (
        conv((1, 2, 9, 4), (8, 1, 3, 4), (1, 2, 9, 8), padding=Padding(0, 0, 1, 1)),
        [48], [48], [64],
    ),
    "depthwise 3x3": (depthwise(8, 3, ONES), [], [], [4 * 124 * 9]),
    "depthwise 3x3, padded by 2": (depthwise(8, 3, TWOS), [], [144], [4 * 124 * 9]),
    "depthwise 5x5": (depthwise(8, 5, TWOS), [], [2 * 8 * 25], [4 * 124 * 25]),
    "depthwise, dilated": (depthwise(8, 5, TWOS, dilation=(2, 2)), [], [], []),
    "depthwise, two for each": (depthwise(8, 5, TWOS, outputs=16), [], [], []),
    # As a convolution (4 windows of 9, rounded up to 16) with its filter of 9 x 8 turned.
    "depthwise of one": (depthwise(1, 3, ONES, outputs=8), [], [], [4 * 16 + 72]),
    "average": (POOL, [], [24], []),
    "dense": (dense(12, (1, 5)), [], [], [20]),
    "dense as 1x1": (dense(12, (1, 1, 5)), [40], [40], [40]),
    "dense as 1x1, many scales": (dense(12, (1, 1, 5), scales=5), [], [], []),
    "dense, odd depth": (dense(13, (1, 1, 5)), [], [], [20]),
    # (5 - 1) x 3 + 3 columns and 3 rows of 3 sums
    "transposed": (transposed(4, 3), [4 * 15 * 3 * 3], [4 * 15 * 3 * 3], [4 * 15 * 3 * 3]),
    "transposed, deep": (
        transposed(20, 2), [4 * 80, 3 * 4 * 20], [4 * 80, 3 * 4 * 20], [4 * 80, 3 * 4 * 20],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_sizes_of_cmsis_nn(name: str) -> None:
    op, *wanted = CASES[name]
    assert [list(cmsis_sizes(op, i) or ()) for i in ("c", "dsp", "mve")] == wanted


def test_ops_that_cmsis_nn_leaves_alone() -> None:
    source = tensor(1, 4, 4, 8)
    axes = tensor(2, constant=True, dtype="int32")
    mean = Op("MEAN", (source, axes), (tensor(1, 8),))
    assert cmsis_sizes(mean, "dsp") is None
    assert tflm_scratch(mean, "cmsis_nn_dsp") == tflm_scratch(mean) > 0
    wide = replace(POOL, inputs=(tensor(1, 8, 8, 6, dtype="int16"),))
    assert cmsis_sizes(wide, "dsp") is None


def test_scratch_is_rounded_up_for_each_buffer() -> None:
    assert tflm_scratch(POOL, "cmsis_nn_dsp") == 32
    assert tflm_scratch(POOL, "cmsis_nn_c") == 0
    assert tflm_scratch(transposed(20, 2), "cmsis_nn_c") == 320 + 240


def test_unknown_kernels_are_refused() -> None:
    with pytest.raises(ValueError, match="cmsis_nn_dsp"):
        tflm_scratch(POOL, "cmsis")
    with pytest.raises(ValueError, match="neon"):
        cmsis_sizes(POOL, "neon")


def test_every_core_has_kernels() -> None:
    for board in boards.all():
        assert kernels_of("cmsis_nn", board.core) in KERNELS
        assert kernels_of("reference", board.core) == "reference"
        # The compiler defines what CMSIS-NN looks at by the core's name alone.
        fast = board.core in ("cortex-m4", "cortex-m7", "cortex-m33")
        assert kernels_of("cmsis_nn", board.core).endswith("dsp") == fast


@pytest.mark.skipif(not tflm.available(), reason="needs the wheel tflite-micro")
@pytest.mark.parametrize("name", ["mlperf_tiny_ic", "mlperf_tiny_vww", "resnet_8", "unet"])
def test_tflm_places_the_scratch_where_the_plan_left_room(name: str) -> None:
    """The head of stand-ins, in TFLM's own allocator, is the planned peak: nothing sticks out."""
    legal = passes.Legalize()(graph.read(model(name)))
    files, peaks = [], []
    for kernels in KERNELS[1:]:
        plan = arena.plan(
            legal,
            layer_by_layer(legal),
            target="tflm",
            scratch=lambda op, kernels=kernels: tflm_scratch(op, kernels),
        )
        files.append(graph.write(with_scratch(offline.attach(legal, plan), kernels)))
        peaks.append(plan.peak)
    assert [a.head for a in tflm.allocations_many(files)] == peaks


@pytest.mark.skipif(not tflm.available(), reason="needs the wheel tflite-micro")
def test_a_plan_without_room_needs_more() -> None:
    net = Net((1, 12, 12, 8))
    g = net.graph(net.conv(net.input, 8, 5))
    tight = offline.attach(g, arena.plan(g, layer_by_layer(g), target="tflm"))
    plain, stands = tflm.allocations_many(
        [graph.write(tight), graph.write(with_scratch(tight, "cmsis_nn_dsp"))]
    )
    assert stands.head == plain.head + tflm_scratch(g.ops[0], "cmsis_nn_dsp")
    assert with_scratch(tight, "reference").ops == tight.ops
