"""The models of tests: real files by name, and small int8 nets made of nothing but our graph.

The small ones need no TensorFlow and take milliseconds to build.

Scales are chosen so that activations fill their range: with careless ones most of a net's
outputs saturate, and a test that compares them proves little.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from models import cache

from tflm_opt import graph
from tflm_opt.graph import Graph, Op, Quantization, Tensor, options

SHARED_MODELS = Path(__file__).resolve().parents[2] / "shared" / "models"
SHARED = (
    "mcunet_in4",
    "mcunet_vww1",
    "mlperf_tiny_ad",
    "mlperf_tiny_ic",
    "mlperf_tiny_kws",
    "mlperf_tiny_vww",
)


PRESENT = tuple(name for name in SHARED if (SHARED_MODELS / f"{name}.tflite").is_file())
MODELS = (*SHARED, *cache.NAMES)


def model(name: str) -> bytes:
    """The file of one of `MODELS`: a real one, or a net made with Keras."""
    return shared(name) if name in SHARED else cache.tflite(name)


def shared(name: str) -> bytes:
    """A real model's file; skips the test where the models are not at hand."""
    if name not in PRESENT:
        pytest.skip(f"{name}.tflite is not at hand")
    return (SHARED_MODELS / f"{name}.tflite").read_bytes()


class Net:
    """Builds a graph op by op: each method appends one and returns its output."""

    def __init__(self, shape: tuple[int, ...], seed: int = 0, dtype: str = "int8") -> None:
        self.rng = np.random.default_rng(seed)
        self.ops: list[Op] = []
        self.input = Tensor("image", shape, dtype, self.quant(1 / 128, 0))

    @staticmethod
    def quant(scale: float, zero_point: int = 0) -> Quantization:
        return Quantization.per_tensor(scale, zero_point)

    def _const(self, data: np.ndarray, dtype: str, quant: Quantization | None = None) -> Tensor:
        return Tensor(f"const{len(self.ops)}_{dtype}", data.shape, dtype, quant, data)

    def _append(self, kind: str, inputs, shape, quant, record) -> Tensor:  # type: ignore[no-untyped-def]
        output = Tensor(f"{kind.lower()}{len(self.ops)}", tuple(shape), "int8", quant)
        self.ops.append(Op(kind, tuple(inputs), (output,), record))
        return output

    def _weights(self, shape: tuple[int, ...], axis: int, fan_in: int) -> tuple[Tensor, np.ndarray]:
        data = self.rng.integers(-127, 128, shape, dtype=np.int8)
        spread = self.rng.uniform(0.5, 1.5, shape[axis]).astype(np.float32)
        scale = spread * np.float32(1 / (70 * np.sqrt(fan_in)))
        zeros = np.zeros(shape[axis], np.int64)
        return self._const(data, "int8", Quantization(scale, zeros, axis)), scale

    def _bias(self, source: Tensor, scale: np.ndarray) -> Tensor:
        real = self.rng.normal(0, 0.1, scale.size)
        step = scale * np.float32(source.scale)
        quant = Quantization(step, np.zeros(scale.size, np.int64), 0)
        return self._const(np.rint(real / step).astype(np.int32), "int32", quant)

    def conv(
        self, x: Tensor, channels: int, kernel: int = 3, stride: int = 1, activation: str = "RELU"
    ) -> Tensor:
        """CONV_2D with SAME padding."""
        weights, scale = self._weights(
            (channels, kernel, kernel, x.shape[3]), 0, kernel * kernel * x.shape[3]
        )
        record = options.ConvOptions(
            (stride, stride), self._same(x, kernel, stride), (1, 1), activation
        )
        shape = (1, -(-x.shape[1] // stride), -(-x.shape[2] // stride), channels)
        quant = self.quant(1 / 128, -128 if activation == "RELU" else 3)
        return self._append("CONV_2D", (x, weights, self._bias(x, scale)), shape, quant, record)

    def depthwise(self, x: Tensor, kernel: int = 3, stride: int = 1) -> Tensor:
        """DEPTHWISE_CONV_2D with SAME padding and RELU."""
        weights, scale = self._weights((1, kernel, kernel, x.shape[3]), 3, kernel * kernel)
        record = options.ConvOptions(
            (stride, stride), self._same(x, kernel, stride), (1, 1), "RELU"
        )
        shape = (1, -(-x.shape[1] // stride), -(-x.shape[2] // stride), x.shape[3])
        inputs = (x, weights, self._bias(x, scale))
        return self._append("DEPTHWISE_CONV_2D", inputs, shape, self.quant(1 / 128, -128), record)

    @staticmethod
    def _same(x: Tensor, kernel: int, stride: int) -> options.Padding:
        top, bottom = options.same_padding(x.shape[1], kernel, stride)
        left, right = options.same_padding(x.shape[2], kernel, stride)
        return options.Padding(top, bottom, left, right)

    def add(self, a: Tensor, b: Tensor) -> Tensor:
        return self._append("ADD", (a, b), a.shape, self.quant(1 / 64, -100), options.AddOptions())

    def concat(self, *parts: Tensor) -> Tensor:
        """CONCATENATION along the last axis; all parts have the quantization of the first."""
        shape = (*parts[0].shape[:-1], sum(part.shape[-1] for part in parts))
        record = options.ConcatenationOptions(len(shape) - 1)
        return self._append("CONCATENATION", parts, shape, parts[0].quant, record)

    def flatten(self, x: Tensor) -> Tensor:
        shape = (1, x.elements)
        target = self._const(np.array(shape, np.int32), "int32")
        return self._append("RESHAPE", (x, target), shape, x.quant, options.ReshapeOptions(shape))

    def dense(self, x: Tensor, units: int) -> Tensor:
        weights, scale = self._weights((units, x.shape[1]), 0, x.shape[1])
        one = np.array([scale.mean()], np.float32)
        weights = self._const(
            np.asarray(weights.data), "int8", Quantization(one, np.zeros(1, np.int64))
        )
        bias = self._const(
            self.rng.integers(-2000, 2000, units, dtype=np.int32),
            "int32",
            Quantization(one * np.float32(x.scale), np.zeros(1, np.int64)),
        )
        record = options.FullyConnectedOptions()
        return self._append(
            "FULLY_CONNECTED", (x, weights, bias), (1, units), self.quant(1 / 32, 5), record
        )

    def softmax(self, x: Tensor) -> Tensor:
        record = options.SoftmaxOptions(beta=1.0)
        return self._append("SOFTMAX", (x,), x.shape, self.quant(1 / 256, -128), record)

    def graph(self, *outputs: Tensor) -> Graph:
        return Graph(tuple(self.ops), (self.input,), outputs)


def residual_net(size: int = 12, channels: int = 8, seed: int = 0) -> Graph:
    """Convolutions, a depthwise one and a residual addition, then a classifier's head."""
    net = Net((1, size, size, 3), seed)
    stem = net.conv(net.input, channels, stride=2)
    inner = net.depthwise(stem)
    inner = net.conv(inner, channels, kernel=1, activation="NONE")
    joined = net.add(stem, inner)
    small = net.conv(joined, 4, stride=2)
    return net.graph(net.softmax(net.dense(net.flatten(small), 10)))


def branches_net(count: int = 4, wide: int = 600, seed: int = 0) -> Graph:
    """Dense branches that widen and narrow again; its ops run level by level, as exporters sort."""
    net = Net((1, 4, 4, 2), seed)
    flat = net.flatten(net.input)
    inner = [net.dense(flat, wide + 32 * i) for i in range(count)]
    ends = [net.dense(x, 12) for x in inner]
    return net.graph(net.softmax(net.dense(net.concat(*ends), 6)))


def cell_net(size: int = 12, seed: int = 0) -> Graph:
    """A cell of three branches (pointwise, depthwise, pointwise), level by level, then dense."""
    net = Net((1, size, size, 4), seed)
    inner = [net.conv(net.input, channels, kernel=1) for channels in (24, 40, 32)]
    inner = [net.depthwise(x, stride=2) for x in inner]
    joined = net.concat(*(net.conv(x, 4, kernel=1) for x in inner))
    return net.graph(net.softmax(net.dense(net.flatten(joined), 5)))


def residual_tflite(size: int = 12, channels: int = 8, seed: int = 0) -> bytes:
    return graph.write(residual_net(size, channels, seed))
