"""Small random nets: branches, several consumers, concatenation, resizing, SE blocks, views.

    g = random_net(np.random.default_rng(7))

Values are spread over most of int8's range at every layer, so that an error anywhere shows.
"""

from __future__ import annotations

from net_draft import Draft, Rng

from tflm_opt.graph.ir import Graph, Op, Tensor
from tflm_opt.graph.options import (
    AddOptions,
    ConcatenationOptions,
    ConvOptions,
    DepthToSpaceOptions,
    FullyConnectedOptions,
    LeakyReluOptions,
    MulOptions,
    Options,
    Padding,
    PoolOptions,
    ReducerOptions,
    ReshapeOptions,
    ResizeBilinearOptions,
    ResizeNearestNeighborOptions,
    SoftmaxOptions,
    SplitOptions,
    StridedSliceOptions,
    SubOptions,
    out_size,
    same_padding,
)

LARGEST = 4000  # elements of a tensor
ACTIVATIONS = ("NONE", "NONE", "RELU", "RELU6")
FIXED = {"LOGISTIC": (1 / 256, -128), "TANH": (1 / 128, 0), "SOFTMAX": (1 / 256, -128)}


class Net(Draft):
    """A net under construction: `nodes` are the image tensors that ops may still read."""

    def __init__(self, rng: Rng) -> None:
        super().__init__(rng)
        height, width = rng.integers(5, 13, 2)
        count = 1 if rng.random() < 0.7 else 2
        shapes = [(1, int(height), int(width), int(rng.integers(1, 7))) for _ in range(count)]
        self.inputs = [self.tensor(shape, 0.02) for shape in shapes]
        self.nodes = list(self.inputs)

    def add(
        self, kind: str, inputs: list[Tensor], output: Tensor, options: Options | None = None
    ) -> Tensor:
        self.ops.append(Op(kind, tuple(inputs), (output,), options))
        return output

    def pick(self) -> Tensor:
        """A node; recent ones are likelier, old ones make long branches."""
        newest = self.rng.random() < 0.6
        return self.nodes[-1 if newest else int(self.rng.integers(0, len(self.nodes)))]

    def graph(self) -> Graph:
        """All tensors that nobody reads are outputs, and sometimes one that somebody does."""
        made = [t for op in self.ops for t in op.outputs]
        read = {id(t) for op in self.ops for t in op.inputs}
        outputs = [t for t in made if id(t) not in read]
        inner = [t for t in made if id(t) in read]
        if inner and self.rng.random() < 0.5:
            outputs.append(inner[int(self.rng.integers(0, len(inner)))])
        used = [t for t in self.inputs if id(t) in read]
        return Graph(tuple(self.ops), tuple(used), tuple(outputs))


def convolution(net: Net, x: Tensor) -> Tensor:
    rng = net.rng
    depthwise = rng.random() < 0.4
    _, h, w, c = x.shape
    kernel = (1, 1) if rng.random() < 0.35 else tuple(int(k) for k in rng.integers(1, 5, 2))
    kernel = (min(kernel[0], h), min(kernel[1], w))
    stride = (2, 2) if rng.random() < 0.3 else (1, 1)
    sides = [(0, 0), (0, 0)]
    if rng.random() < 0.7:
        sides = [same_padding(s, k, d) for s, k, d in zip((h, w), kernel, stride, strict=True)]
    out = [
        out_size(s, k, d, 1, *p) for s, k, d, p in zip((h, w), kernel, stride, sides, strict=True)
    ]
    channels = c * int(rng.choice([1, 1, 2])) if depthwise else int(rng.integers(1, 17))
    if depthwise:
        inputs = net.weighted(x, (1, *kernel, channels), 3, kernel[0] * kernel[1])
    else:
        inputs = net.weighted(x, (channels, *kernel, c), 0, kernel[0] * kernel[1] * c)
    y = net.tensor((1, *out, channels), net.out_scale)
    options = ConvOptions(
        stride, Padding(*sides[0], *sides[1]), (1, 1), str(rng.choice(ACTIVATIONS))
    )
    return net.add("DEPTHWISE_CONV_2D" if depthwise else "CONV_2D", inputs, y, options)


def activation(net: Net, x: Tensor) -> Tensor:
    kinds = ["RELU", "HARD_SWISH", "LEAKY_RELU", "LOGISTIC", "TANH", "ABS", "ELU", "PRELU"]
    kind = str(net.rng.choice([*kinds, "RELU6", "SOFTMAX"]))
    y = net.like(x, x.shape)
    if kind in FIXED:
        y = net.tensor(x.shape, *FIXED[kind])
    elif kind not in ("RELU6",):
        y = net.tensor(x.shape, x.scale * net.rng.uniform(0.5, 1.2))
    inputs = [x]
    if kind == "PRELU":
        inputs.append(net.constant(net.rng.integers(-99, 99, (1, 1, x.shape[3])), "int8", 0.02))
    options = {"LEAKY_RELU": LeakyReluOptions(0.2), "SOFTMAX": SoftmaxOptions(1.0)}.get(kind)
    return net.add(kind, inputs, y, options)


def requantized(net: Net, x: Tensor, model: Tensor) -> Tensor:
    """`x` with the quantization of `model`, by a QUANTIZE if it has another."""
    if x.quant is not None and x.quant.same_as(model.quant):
        return x
    return net.add("QUANTIZE", [x], net.like(model, x.shape))


def elementwise(net: Net, x: Tensor) -> Tensor:
    """ADD, SUB, MUL, MINIMUM or MAXIMUM with a node of the same shape, or a row of constants."""
    same = [t for t in net.nodes if t.shape == x.shape and t is not x]
    if same and net.rng.random() < 0.8:
        other = same[int(net.rng.integers(0, len(same)))]
    else:
        other = net.constant(net.rng.integers(-128, 128, x.shape[3]), "int8", 0.03)
    kind = str(net.rng.choice(["ADD", "ADD", "SUB", "MUL", "MINIMUM", "MAXIMUM"]))
    scale = x.scale * other.scale * 70 if kind == "MUL" else 1.4 * max(x.scale, other.scale)
    y = net.tensor(x.shape, scale)
    records = {"ADD": AddOptions, "SUB": SubOptions, "MUL": MulOptions}
    options = records[kind](str(net.rng.choice(ACTIVATIONS))) if kind in records else None
    pair = [x, other] if net.rng.random() < 0.7 else [other, x]
    return net.add(kind, pair, y, options)


def concatenation(net: Net, x: Tensor) -> Tensor:
    """With other nodes along channels or rows; all brought to one quantization first."""
    axis = int(net.rng.choice([3, 3, 1]))
    outside = [i for i in range(4) if i != axis]
    fits = [t for t in net.nodes if all(t.shape[i] == x.shape[i] for i in outside)]
    parts = [x, *[t for t in fits if t is not x and net.rng.random() < 0.5][:3]]
    parts = [requantized(net, t, x) for t in parts]
    if len(parts) == 1:
        parts *= 2
    shape = list(x.shape)
    shape[axis] = sum(t.shape[axis] for t in parts)
    return net.add("CONCATENATION", parts, net.like(x, shape), ConcatenationOptions(axis))


def resize(net: Net, x: Tensor) -> Tensor:
    _, h, w, c = x.shape
    size = [2 * h, 2 * w] if net.rng.random() < 0.6 else [h + 3, max(w - 1, 1)]
    y = net.like(x, (1, *size, c))
    half = bool(net.rng.random() < 0.5)
    if net.rng.random() < 0.5:
        options: Options = ResizeNearestNeighborOptions(half_pixel_centers=half)
        return net.add("RESIZE_NEAREST_NEIGHBOR", [x, net.constant(size)], y, options)
    return net.add(
        "RESIZE_BILINEAR", [x, net.constant(size)], y, ResizeBilinearOptions(False, half)
    )


def pooling(net: Net, x: Tensor) -> Tensor:
    _, h, w, c = x.shape
    kernel = (min(2, h), min(2, w))
    sides = [same_padding(s, k, k) for s, k in zip((h, w), kernel, strict=True)]
    out = [out_size(s, k, k, 1, *p) for s, k, p in zip((h, w), kernel, sides, strict=True)]
    kind = str(net.rng.choice(["AVERAGE_POOL_2D", "MAX_POOL_2D"]))
    options = PoolOptions(kernel, kernel, Padding(*sides[0], *sides[1]))
    return net.add(kind, [x], net.like(x, (1, *out, c)), options)


def squeeze_excite(net: Net, x: Tensor) -> Tensor:
    """Mean over the image, two dense layers, a gate, and its product with the image."""
    c = x.shape[3]
    keep = bool(net.rng.random() < 0.5)
    mean = net.tensor((1, 1, 1, c) if keep else (1, c), x.scale / 3)
    net.add("MEAN", [x, net.constant([1, 2])], mean, ReducerOptions(keep))
    small = max(1, c // 2)
    if keep:
        inputs = net.weighted(mean, (small, 1, 1, c), 0, c)
        hidden = net.tensor((1, 1, 1, small), net.out_scale)
        net.add("CONV_2D", inputs, hidden, ConvOptions(activation="RELU"))
    else:
        inputs = net.weighted(mean, (small, c), 0, c)
        hidden = net.tensor((1, small), net.out_scale)
        net.add("FULLY_CONNECTED", inputs, hidden, FullyConnectedOptions("RELU"))
    shape = (c, 1, 1, small) if keep else (c, small)
    inputs = net.weighted(hidden, shape, 0, small)
    wide = net.tensor((1, 1, 1, c) if keep else (1, c), net.out_scale)
    if keep:
        net.add("CONV_2D", inputs, wide, ConvOptions())
    else:
        net.add("FULLY_CONNECTED", inputs, wide, FullyConnectedOptions())
    gate = net.add("LOGISTIC", [wide], net.tensor(wide.shape, *FIXED["LOGISTIC"]))
    if not keep:
        gate = net.add(
            "RESHAPE",
            [gate, net.constant([1, 1, 1, c])],
            net.like(gate, (1, 1, 1, c)),
            ReshapeOptions((1, 1, 1, c)),
        )
    return net.add("MUL", [x, gate], net.tensor(x.shape, x.scale * 0.7), MulOptions())


def movement(net: Net, x: Tensor) -> Tensor:
    """PAD, a crop, a transpose, a slice with strides, a split, or depth to space."""
    _, h, w, c = x.shape
    choice = int(net.rng.integers(0, 6))
    if choice == 0:
        pads = [[0, 0], *net.rng.integers(0, 3, (2, 2)).tolist(), [0, 0]]
        shape = (1, h + sum(pads[1]), w + sum(pads[2]), c)
        return net.add("PAD", [x, net.constant(pads)], net.like(x, shape))
    if choice == 1 and h > 2 and w > 2:
        inputs = [x, net.constant([0, 1, 0, 0]), net.constant([1, h - 2, w - 1, c])]
        return net.add("SLICE", inputs, net.like(x, (1, h - 2, w - 1, c)))
    if choice == 2:
        return net.add("TRANSPOSE", [x, net.constant([0, 2, 1, 3])], net.like(x, (1, w, h, c)))
    if choice == 3:
        ranges = [net.constant(v) for v in ([0, 0, 0, 0], [0, 0, 0, 0], [1, 2, 1, 1])]
        options = StridedSliceOptions(begin_mask=15, end_mask=15)
        return net.add("STRIDED_SLICE", [x, *ranges], net.like(x, (1, (h + 1) // 2, w, c)), options)
    if choice == 4 and c % 2 == 0:
        parts = [net.like(x, (1, h, w, c // 2)) for _ in range(2)]
        inputs = (net.constant(3), x)
        net.ops.append(Op("SPLIT", inputs, tuple(parts), SplitOptions(2)))
        net.nodes.append(parts[0])
        return parts[1]
    if choice == 5 and c % 4 == 0:
        y = net.like(x, (1, 2 * h, 2 * w, c // 4))
        return net.add("DEPTH_TO_SPACE", [x], y, DepthToSpaceOptions(2))
    return net.add("QUANTIZE", [x], net.tensor(x.shape, x.scale * 1.3))


STEPS = (
    *[convolution] * 4,
    activation,
    *[elementwise] * 3,
    *[concatenation] * 2,
    resize,
    pooling,
    squeeze_excite,
    *[movement] * 2,
)


def classifier(net: Net, x: Tensor) -> None:
    """Global pooling, a view, a dense layer and a softmax."""
    _, h, w, c = x.shape
    pooled = net.add("AVERAGE_POOL_2D", [x], net.like(x, (1, 1, 1, c)), PoolOptions((h, w)))
    flat = net.add(
        "RESHAPE", [pooled, net.constant([1, c])], net.like(x, (1, c)), ReshapeOptions((1, c))
    )
    inputs = net.weighted(flat, (5, c), 0, c)
    logits = net.tensor((1, 5), net.out_scale)
    net.add("FULLY_CONNECTED", inputs, logits, FullyConnectedOptions())
    net.add("SOFTMAX", [logits], net.tensor((1, 5), *FIXED["SOFTMAX"]), SoftmaxOptions(1.0))


def random_net(rng: Rng, steps: int = 14) -> Graph:
    """A net of about `steps` layers; int8 in and out, one or two inputs, any number of outputs."""
    net = Net(rng)
    while steps:
        x = net.pick()
        y = STEPS[int(rng.integers(0, len(STEPS)))](net, x)
        net.nodes.append(y)
        if y.elements > LARGEST:
            net.nodes.append(pooling(net, y))
        net.nodes = [t for t in net.nodes if t.elements <= LARGEST][-8:] or net.nodes[-1:]
        steps -= 1
    if rng.random() < 0.5:
        classifier(net, net.pick())
    return net.graph()
