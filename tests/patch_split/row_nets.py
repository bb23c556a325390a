"""Random nets whose ops run on rows, and random schedules with bands for them.

Odd sizes, kernels of 1 to 7, strides of 1 to 3, dilation, any padding; residual branches, several
readers, concatenation, gates, padding ops, splits; now and then an op that ends a stage.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

from net_draft import Draft, Rng

from tflm_opt.codegen.lower import lower
from tflm_opt.errors import UnsupportedModel
from tflm_opt.graph.ir import Graph, Op, Tensor
from tflm_opt.graph.options import (
    AddOptions,
    ConcatenationOptions,
    ConvOptions,
    MulOptions,
    Options,
    Padding,
    PoolOptions,
    ReducerOptions,
    ResizeBilinearOptions,
    ResizeNearestNeighborOptions,
    SplitOptions,
    SubOptions,
    TransposeConvOptions,
    out_size,
    same_padding,
)
from tflm_opt.patch_split.columns import column_walk
from tflm_opt.patch_split.regions import NotStreamable
from tflm_opt.patch_split.schedule import Columns, Schedule, Stage, layer_by_layer
from tflm_opt.patch_split.walk import walk

Step = Callable[["RowNet", Tensor], Tensor]
LARGEST = 3000  # elements of a tensor
BANDS = (1, 1, 1, 2, 3, 5, 64, Fraction(1, 2), Fraction(1, 3), Fraction(1, 4), Fraction(3, 2))
POOLED_CHANNELS = (1, 2, 3, 4, 5, 7, 8, 16, 31, 33, 67)
ZERO_POINTS = (-128, 127, 0, -60, 17)


class RowNet(Draft):
    """A net under construction, of tall images or wide ones."""

    def __init__(self, rng: Rng, *, wide: bool = False) -> None:
        super().__init__(rng)
        height, width = int(rng.integers(6, 24)), int(rng.integers(2, 12))
        self.widest = 7 if wide else 4
        if wide:
            height, width = width + 1, height
        self.input = self.tensor((1, height, width, int(rng.integers(1, 6))), 0.02)
        self.nodes = [self.input]

    def add(
        self,
        kind: str,
        inputs: Sequence[Tensor],
        output: Tensor,
        options: Options | None = None,
    ) -> Tensor:
        self.ops.append(Op(kind, tuple(inputs), (output,), options))
        self.nodes.append(output)
        return output

    def pick(self) -> Tensor:
        at = -1 if self.rng.random() < 0.7 else int(self.rng.integers(0, len(self.nodes)))
        return self.nodes[at]

    def same_shape(self, x: Tensor) -> Tensor | None:
        found = [t for t in self.nodes if t.shape == x.shape and t is not x]
        return found[int(self.rng.integers(0, len(found)))] if found else None


def _window_sides(
    net: RowNet, size: int, kernel: int, stride: int, dilation: int
) -> tuple[int, int]:
    """SAME, VALID or any padding, such that there is output."""
    extent = (kernel - 1) * dilation + 1
    choice = net.rng.random()
    if choice < 0.45 or size < extent:
        return same_padding(size, kernel, stride, dilation)
    if choice < 0.75:
        return 0, 0
    a, b = (int(n) for n in net.rng.integers(0, extent, 2))
    return a, b


def convolution(net: RowNet, x: Tensor) -> Tensor:
    rng = net.rng
    _, h, w, c = x.shape
    depthwise = rng.random() < 0.45
    kernel = [int(k) for k in rng.choice([1, 1, 2, 3, 3, 3, 4, 5, 7], 2)]
    kernel[1] = min(kernel[1], net.widest)
    stride = [int(s) for s in rng.choice([1, 1, 1, 2, 2, 3], 2)]
    dilation = [int(d) for d in rng.choice([1, 1, 1, 1, 2], 2)] if max(stride) == 1 else [1, 1]
    sides = [_window_sides(net, (h, w)[i], kernel[i], stride[i], dilation[i]) for i in range(2)]
    out = [out_size((h, w)[i], kernel[i], stride[i], dilation[i], *sides[i]) for i in range(2)]
    channels = c * int(rng.choice([1, 1, 2])) if depthwise else int(rng.integers(1, 9))
    shape = (1, *kernel, channels) if depthwise else (channels, *kernel, c)
    terms = kernel[0] * kernel[1] * (1 if depthwise else c)
    inputs = net.weighted(x, shape, 3 if depthwise else 0, terms)
    y = net.tensor((1, *out, channels), net.out_scale)
    padding = Padding(*sides[0], *sides[1])
    activation = str(rng.choice(["NONE", "RELU", "RELU6"]))
    options = ConvOptions((stride[0], stride[1]), padding, (dilation[0], dilation[1]), activation)
    return net.add("DEPTHWISE_CONV_2D" if depthwise else "CONV_2D", inputs, y, options)


def pooling(net: RowNet, x: Tensor) -> Tensor:
    rng = net.rng
    size = x.shape[1:3]
    kernel = [min(int(rng.integers(1, 5)), n) for n in size]
    stride = [int(s) for s in rng.choice([1, 2, 3], 2)]
    same = [same_padding(size[i], kernel[i], stride[i]) for i in range(2)]
    sides = same if rng.random() < 0.5 else [(0, 0), (0, 0)]
    out = [out_size(size[i], kernel[i], stride[i], 1, *sides[i]) for i in range(2)]
    kind = str(rng.choice(["AVERAGE_POOL_2D", "MAX_POOL_2D"]))
    pair = (kernel[0], kernel[1]), (stride[0], stride[1])
    options = PoolOptions(*pair, Padding(*sides[0], *sides[1]))
    return net.add(kind, [x], net.like(x, (1, *out, x.shape[3])), options)


def elementwise(net: RowNet, x: Tensor) -> Tensor:
    other = net.same_shape(x)
    if other is None:
        other = net.constant(net.rng.integers(-128, 128, x.shape[3]), "int8", 0.03)
    kind = str(net.rng.choice(["ADD", "ADD", "ADD", "SUB", "MUL", "MAXIMUM"]))
    scale = x.scale * other.scale * 70 if kind == "MUL" else 1.4 * max(x.scale, other.scale)
    records = {"ADD": AddOptions, "SUB": SubOptions, "MUL": MulOptions}
    options = records[kind]("NONE") if kind in records else None
    return net.add(kind, [x, other], net.tensor(x.shape, scale), options)


def residual(net: RowNet, x: Tensor) -> Tensor:
    """Expand, depthwise, project, and the sum with where it came from."""
    _, h, w, c = x.shape
    wide = c + 2
    y = net.add(
        "CONV_2D",
        net.weighted(x, (wide, 1, 1, c), 0, c),
        net.tensor((1, h, w, wide), net.out_scale),
        ConvOptions(activation="RELU6"),
    )
    k = int(net.rng.choice([3, 5, 7]))
    inputs = net.weighted(y, (1, k, 3, wide), 3, 3 * k)
    sides = Padding(k // 2, k // 2, 1, 1)
    y = net.add(
        "DEPTHWISE_CONV_2D",
        inputs,
        net.tensor((1, h, w, wide), net.out_scale),
        ConvOptions(padding=sides),
    )
    y = net.add(
        "CONV_2D",
        net.weighted(y, (c, 1, 1, wide), 0, wide),
        net.tensor(x.shape, net.out_scale),
        ConvOptions(),
    )
    return net.add("ADD", [y, x], net.tensor(x.shape, 1.3 * y.scale), AddOptions("NONE"))


def halved(net: RowNet, x: Tensor) -> Tensor:
    """A residual block that strides: the 1x1 convolution beside it could run long before."""
    _, _, _, c = x.shape
    stride = int(net.rng.choice([2, 2, 3]))
    wide = int(net.rng.integers(1, 2 * c + 1))

    def square(source: Tensor, kernel: int, stride: int) -> Tensor:
        sides = [same_padding(n, kernel, stride) for n in source.shape[1:3]]
        pairs = zip(source.shape[1:3], sides, strict=True)
        out = [out_size(n, kernel, stride, 1, *side) for n, side in pairs]
        depth = source.shape[3]
        terms = kernel * kernel * depth
        inputs = net.weighted(source, (wide, kernel, kernel, depth), 0, terms)
        y = net.tensor((1, *out, wide), net.out_scale)
        options = ConvOptions((stride, stride), Padding(*sides[0], *sides[1]))
        return net.add("CONV_2D", inputs, y, options)

    y = square(square(x, 3, stride), 3, 1)
    beside = square(x, 1, stride)
    total = net.tensor(y.shape, 1.4 * max(y.scale, beside.scale))
    return net.add("ADD", [beside, y], total, AddOptions("NONE"))


def concatenation(net: RowNet, x: Tensor) -> Tensor:
    axis = int(net.rng.choice([3, 3, 2, 1]))
    outside = [i for i in range(4) if i != axis]
    fits = [t for t in net.nodes if all(t.shape[i] == x.shape[i] for i in outside)]
    parts = [x, *[t for t in fits if t is not x][-2:]]
    alike = [t if t is x else net.add("QUANTIZE", [t], net.like(x, t.shape)) for t in parts]
    alike = alike if len(alike) > 1 else alike * 2
    shape = list(x.shape)
    shape[axis] = sum(t.shape[axis] for t in alike)
    return net.add("CONCATENATION", alike, net.like(x, shape), ConcatenationOptions(axis))


def pad(net: RowNet, x: Tensor) -> Tensor:
    _, h, w, c = x.shape
    (top, bottom), (left, right) = net.rng.integers(0, 4, (2, 2)).tolist()
    widths = net.constant([[0, 0], [top, bottom], [left, right], [0, 0]])
    return net.add("PAD", [x, widths], net.like(x, (1, h + top + bottom, w + left + right, c)))


def split(net: RowNet, x: Tensor) -> Tensor:
    _, h, w, c = x.shape
    if c % 2:
        return net.add("TANH", [x], net.tensor(x.shape, 1 / 128, 0))
    parts = [net.like(x, (1, h, w, c // 2)) for _ in range(2)]
    net.ops.append(Op("SPLIT", (net.constant(3), x), tuple(parts), SplitOptions(2)))
    net.nodes.extend(parts)
    return parts[1]


def gate(net: RowNet, x: Tensor) -> Tensor:
    """The mean over the image, as a factor of every row: nothing that a stage can hold."""
    mean = net.tensor((1, 1, 1, x.shape[3]), x.scale / 2)
    net.ops.append(Op("MEAN", (x, net.constant([1, 2])), (mean,), ReducerOptions(True)))
    scale = x.scale * mean.scale * 60
    return net.add("MUL", [x, mean], net.tensor(x.shape, scale), MulOptions())


def resized(net: RowNet, x: Tensor) -> Tensor:
    """Nearest or bilinear, to any size and with any flags that TFLM takes."""
    rng, (_, h, w, c) = net.rng, x.shape
    sizes = [(2 * h, 2 * w), (3 * h, w), (h + 3, max(w - 1, 1)), (max(h // 2, 1), 2 * w)]
    size = [*sizes, (int(rng.integers(1, 40)), w)][int(rng.integers(0, len(sizes) + 1))]
    corners, half = (bool(flag) for flag in rng.random(2) < 0.4)
    out = net.like(x, (1, *size, c))
    inputs = [x, net.constant(size)]
    bilinear = ResizeBilinearOptions(corners, half and not corners)
    if rng.random() < 0.5:
        try:
            lower(Op("RESIZE_BILINEAR", tuple(inputs), (out,), bilinear))
        except UnsupportedModel:  # TFLM would read outside the image
            pass
        else:
            return net.add("RESIZE_BILINEAR", inputs, out, bilinear)
    options = ResizeNearestNeighborOptions(corners, half)
    return net.add("RESIZE_NEAREST_NEIGHBOR", inputs, out, options)


def transposed(net: RowNet, x: Tensor) -> Tensor:
    """Any kernel and stride; SAME, or VALID and now and then more rows than the taps reach."""
    rng, (_, h, w, c) = net.rng, x.shape
    kernel = [int(k) for k in rng.integers(1, 6, 2)]
    stride = [int(s) for s in rng.choice([1, 2, 2, 3], 2)]
    if rng.random() < 0.5:
        out = [h * stride[0], w * stride[1]]
        sides = [same_padding(out[i], kernel[i], stride[i]) for i in range(2)]
    else:
        more = rng.integers(0, stride).tolist()
        out = [((h, w)[i] - 1) * stride[i] + kernel[i] + more[i] for i in range(2)]
        sides = [(0, 0), (0, 0)]
    channels = int(rng.integers(1, 7))
    _, *rest = net.weighted(x, (channels, *kernel, c), 0, kernel[0] * kernel[1] * c)
    filters, bias = rest
    y = net.tensor((1, *out, channels), net.out_scale)
    options = TransposeConvOptions((stride[0], stride[1]), Padding(*sides[0], *sides[1]))
    return net.add("TRANSPOSE_CONV", [net.constant(y.shape), filters, x, bias], y, options)


STEPS = (
    *[convolution] * 6,
    *[residual] * 2,
    halved,
    *[elementwise] * 2,
    *[pooling] * 2,
    concatenation,
    pad,
    split,
    gate,
)
STRETCHING = (*STEPS, *[resized] * 5, *[transposed] * 4)


def row_net(rng: Rng, steps: int = 8, of: Sequence[Step] = STEPS, *, wide: bool = False) -> Graph:
    """A net of about `steps` layers with one input."""
    net = RowNet(rng, wide=wide)
    left = steps
    while left:
        x = net.pick()
        if x.elements <= LARGEST:
            of[int(rng.integers(0, len(of)))](net, x)
            left -= 1
        net.nodes = [t for t in net.nodes if t.elements <= LARGEST][-7:] or [net.input]
    read = {t for op in net.ops for t in op.inputs}
    made = [t for op in net.ops for t in op.outputs]
    outputs = [t for t in made if t not in read]
    inner = [t for t in made if t in read]
    if inner and rng.random() < 0.4:
        outputs.append(inner[int(rng.integers(0, len(inner)))])
    ops = list(net.ops)
    if net.input not in read:
        return row_net(rng, steps, of, wide=wide)
    return Graph(tuple(ops), (net.input,), tuple(outputs))


def random_schedule(graph: Graph, rng: Rng) -> Schedule:
    """Stages of random lengths and bands, each as long as its ops allow."""
    stages: list[Stage] = []
    at = 0
    while at < len(graph.ops):
        ops = graph.ops[at : at + int(rng.integers(1, 12))]
        fields = drawn_fields(rng)
        stage = Stage(ops[:1]) if rng.random() < 0.1 else banded(graph, ops, **fields)
        stages.append(stage)
        at += len(stage.ops)
    schedule = Schedule(tuple(stages))
    readers = {op for op in graph.ops if graph.inputs[0] in op.inputs}
    alone = readers <= set(stages[0].ops) and stages[0].band is not None
    if (
        len(graph.inputs) == 1
        and alone
        and graph.inputs[0] not in graph.outputs
        and rng.random() < 0.5
    ):
        return Schedule(schedule.stages, "streamed")
    return schedule


def with_columns(graph: Graph, schedule: Schedule, rng: Rng) -> Schedule:
    """The same with columns in every stage that can have them."""
    streamed = schedule.input == "streamed"
    stages: list[Stage] = []
    for stage in schedule.stages:
        widths = (1, 1, 2, 3, 5, 40)
        columns = Columns(widths[int(rng.integers(0, len(widths)))], bool(rng.random() < 0.6))
        try:
            if stage.band is not None:
                other = replace(stage, columns=columns)
                column_walk(walk(graph, other, streamed=streamed))
                stage = other
        except NotStreamable:
            pass
        stages.append(stage)
    return Schedule(tuple(stages), schedule.input)


def drawn_fields(rng: Rng) -> dict[str, Any]:
    """How a stage runs: every field of `Stage` but its ops."""
    return {"band": BANDS[int(rng.integers(0, len(BANDS)))]}


def banded(graph: Graph, ops: Sequence[Op], band: int | Fraction, **fields: Any) -> Stage:
    """The longest stage of the first of these ops that runs on rows, or the first op whole."""
    first = ops[0]
    while ops:
        stage = Stage(tuple(ops), band, **fields)
        try:
            walk(graph, stage)
        except NotStreamable as error:
            ops = ops[: list(ops).index(error.at)]
        else:
            return stage
    return Stage((first,))


def folded(net: RowNet, x: Tensor) -> Tensor:
    """A global pool, or a reduction with any way to name its axes."""
    rng, (_, h, w, c) = net.rng, x.shape
    keeps = bool(rng.random() < 0.5)
    if rng.random() < 0.5:
        stride = (int(rng.integers(1, h + 3)), int(rng.integers(1, w + 3)))
        activation = str(rng.choice(["NONE", "RELU", "RELU6", "RELU_N1_TO_1"]))
        options = PoolOptions((h, w), stride, Padding(), activation)
        kind = str(rng.choice(["AVERAGE_POOL_2D", "AVERAGE_POOL_2D", "MAX_POOL_2D"]))
        return net.add(kind, [x], net.like(x, (1, 1, 1, c)), options)
    axes = net.constant([[1, 2], [2, 1], [-3, -2], [-2, 1]][int(rng.integers(0, 4))])
    shape = (1, 1, 1, c) if keeps else (1, c)
    kind = str(rng.choice(["MEAN", "MEAN", "SUM", "REDUCE_MAX"]))
    if kind == "REDUCE_MAX":
        return net.add(kind, [x, axes], net.like(x, shape), ReducerOptions(keeps))
    scale = x.scale * float(rng.choice([1.0, 0.3, 0.11, 2.7]))
    scale *= (h * w) ** 0.5 if kind == "SUM" else 1
    out = net.tensor(shape, scale, int(rng.choice(ZERO_POINTS)))
    return net.add(kind, [x, axes], out, ReducerOptions(keeps))


def pooled_net(rng: Rng) -> Graph:
    """Some convolutions, one to as many channels as it likes, and the fold."""
    net = RowNet(rng)
    x = net.input
    for _ in range(int(rng.integers(0, 4))):
        if x.shape[1] * x.shape[2] > 8:
            x = convolution(net, x)
    channels = int(rng.choice(POOLED_CHANNELS))
    scale = x.scale * 0.01 * 74 * 60 * x.shape[3] ** 0.5 / 45
    inputs = net.weighted(x, (channels, 1, 1, x.shape[3]), 0, x.shape[3])
    y = net.tensor((1, *x.shape[1:3], channels), scale, int(rng.choice(ZERO_POINTS)))
    net.add("CONV_2D", inputs, y, ConvOptions())
    for _ in range(int(rng.integers(0, 3))):
        y = net.add("TANH", [y], net.tensor(y.shape, 1 / 128, 0))
    out = folded(net, y)
    outputs = (out, y) if rng.random() < 0.2 else (out,)
    return Graph(tuple(net.ops), (net.input,), outputs)


def pooled_schedules(g: Graph, rng: Rng) -> list[Schedule]:
    """All in one stage, resident and streamed; and the last ops alone."""
    first = int(rng.integers(0, len(g.ops)))
    before = layer_by_layer(g).stages[:first]
    bands = [BANDS[int(i)] for i in rng.integers(0, len(BANDS), 3)]
    whole = [Stage(g.ops, band) for band in bands[:2]]
    end = Stage(g.ops[first:], bands[2])
    return [
        Schedule((whole[0],)),
        Schedule((whole[1],), "streamed"),
        Schedule((*before, end)),
    ]
