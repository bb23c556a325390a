"""Small graphs that the tests of this room share."""

from __future__ import annotations

import dataclasses

import numpy as np

from tflm_opt.graph import ir, options


def activation(
    name: str, shape: tuple[int, ...], scale: float = 0.5, zero_point: int = 3, dtype: str = "int8"
) -> ir.Tensor:
    return ir.Tensor(name, shape, dtype, ir.Quantization.per_tensor(scale, zero_point))


def weights(name: str, shape: tuple[int, ...], axis: int | None, seed: int = 0) -> ir.Tensor:
    """Random int8 weights, per channel along `axis`, or per tensor."""
    rng = np.random.default_rng(seed)
    data = rng.integers(-127, 128, shape).astype(np.int8)
    count = 1 if axis is None else shape[axis]
    scale = rng.uniform(0.001, 0.01, count).astype(np.float32)
    quant = ir.Quantization(scale, np.zeros(count, np.int64), axis or 0)
    return ir.Tensor(name, shape, "int8", quant, data)


def constant(name: str, values: object, dtype: str = "int32") -> ir.Tensor:
    data = np.asarray(values, ir.NUMPY_DTYPES[dtype])
    return ir.Tensor(name, data.shape, dtype, None, data)


def conv_op(
    source: ir.Tensor,
    channels: int,
    *,
    kernel: int = 3,
    stride: int = 1,
    name: str = "conv",
    activation_name: str = "RELU6",
    seed: int = 0,
) -> ir.Op:
    """A SAME convolution with per-channel weights and a bias."""
    _, height, width, depth = source.shape
    sides = [options.same_padding(size, kernel, stride) for size in (height, width)]
    out = activation(f"{name}_out", (1, -(-height // stride), -(-width // stride), channels))
    return ir.Op(
        "CONV_2D",
        (
            source,
            weights(f"{name}_w", (channels, kernel, kernel, depth), 0, seed),
            constant(f"{name}_b", np.arange(channels) * 7 - seed),
        ),
        (out,),
        options.ConvOptions(
            stride=(stride, stride),
            padding=options.Padding(*sides[0], *sides[1]),
            activation=activation_name,
        ),
    )


def tiny() -> ir.Graph:
    """Two ops, two inputs, a constant, metadata and a signature: about a kilobyte."""
    a, b = activation("a", (1, 4), 0.5, 1), activation("b", (1, 4), 0.25, -7)
    c = ir.Tensor(
        "c", (4,), "int8", ir.Quantization.per_tensor(0.5, 0), np.array([1, -2, 3, -4], np.int8)
    )
    total, out = activation("sum", (1, 4), 0.75, 2), activation("out", (1, 4), 0.125, -3)
    return ir.Graph(
        (
            ir.Op("ADD", (a, b), (total,), options.AddOptions("RELU"), version=2),
            ir.Op("MUL", (total, c), (out,), options.MulOptions()),
        ),
        (a, b),
        (out,),
        model=ir.Model(
            description="tiny",
            metadata=(("note", b"kept"), ("empty", b"")),
            signatures=(ir.Signature("serve", (("x", a), ("y", b)), (("z", out),)),),
        ),
    )


def residual() -> ir.Graph:
    """Convolutions, a branch with several consumers, a reduction, a dense layer, two outputs."""
    image = activation("image", (1, 9, 7, 3), 0.02, -1)
    first = conv_op(image, 4, stride=2, name="first", seed=1)
    second = conv_op(first.output, 4, name="second", activation_name="NONE", seed=2)
    total = activation("total", first.output.shape, 0.7, -5)
    add = ir.Op("ADD", (first.output, second.output), (total,), options.AddOptions("RELU"))
    pooled = activation("pooled", (1, 4), 0.7, -5)
    mean = ir.Op(
        "MEAN", (total, constant("axes", [1, 2])), (pooled,), options.ReducerOptions(False)
    )
    logits = activation("logits", (1, 5), 0.1, 11)
    dense = ir.Op(
        "FULLY_CONNECTED",
        (pooled, weights("dense_w", (5, 4), None, 3), constant("dense_b", [1, 2, 3, 4, 5])),
        (logits,),
        options.FullyConnectedOptions(),
    )
    best = activation("best", (1, 5), 1 / 256, -128)
    softmax = ir.Op("SOFTMAX", (logits,), (best,), options.SoftmaxOptions(1.0))
    return ir.Graph((first, second, add, mean, dense, softmax), (image,), (best, total))


def with_op(graph: ir.Graph, index: int, **changes: object) -> ir.Graph:
    """The graph with fields of one op changed."""
    ops = list(graph.ops)
    ops[index] = dataclasses.replace(ops[index], **changes)  # type: ignore[arg-type]
    return dataclasses.replace(graph, ops=tuple(ops))
