"""Small int8 graphs built by code, and the comparison of two graphs in TFLM.

net = Net()
x = net.input((1, 8, 8, 4))
net.conv(net.pad(x, 1, 1), 8, stride=2)
same_in_tflm([(net.graph(), after)])
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from tflm_opt import graph as tg
from tflm_opt.graph import options
from tflm_opt.graph.ir import Graph, Op, Quantization, Tensor
from tflm_opt.runtime import tflm

Pads = Sequence[tuple[int, int]]


class Net:
    """Appends ops one by one; every method returns the new op's output tensor."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.ops: list[Op] = []
        self.inputs: list[Tensor] = []
        self.constants = 0

    def name(self, kind: str) -> str:
        return f"{kind.lower()}_{len(self.ops)}"

    def input(
        self, shape: Sequence[int], *, scale: float = 0.05, zero: int = -3, dtype: str = "int8"
    ) -> Tensor:
        quant = None if dtype == "float32" else Quantization.per_tensor(scale, zero)
        tensor = Tensor(f"input_{len(self.inputs)}", tuple(shape), dtype, quant)
        self.inputs.append(tensor)
        return tensor

    def constant(self, values: object, dtype: str = "int32", quant: Quantization | None = None):
        data = np.array(values, dtype)
        data.flags.writeable = False
        self.constants += 1
        return Tensor(f"const_{self.constants - 1}", data.shape, dtype, quant, data)

    def op(
        self,
        kind: str,
        inputs: Sequence[Tensor],
        shape: Sequence[int],
        *,
        like: Tensor | None = None,
        quant: Quantization | None = None,
        dtype: str | None = None,
        record: options.Options | None = None,
        version: int = 1,
    ) -> Tensor:
        """Any op with one output; quantized as `like` unless `quant` says otherwise."""
        like = like or inputs[0]
        dtype = dtype or like.dtype
        if quant is None and dtype in ("int8", "int16"):
            quant = like.quant
        output = Tensor(self.name(kind), tuple(int(n) for n in shape), dtype, quant)
        self.ops.append(Op(kind, tuple(inputs), (output,), record, version))
        return output

    def pad(
        self, x: Tensor, rows: object, columns: object, *, value: int | None = None, **more: object
    ) -> Tensor:
        """PAD, or PADV2 where a stored value is given; a number pads both sides alike."""
        sides = [(0, 0), _pair(rows), _pair(columns), (0, 0)]
        sides[0] = more.get("batch", (0, 0))  # type: ignore[assignment]
        sides[3] = more.get("channels", (0, 0))  # type: ignore[assignment]
        shape = [n + a + b for n, (a, b) in zip(x.shape, sides, strict=True)]
        inputs = [x, self.constant(sides)]
        if value is None:
            return self.op("PAD", inputs, shape, quant=more.get("quant"))  # type: ignore[arg-type]
        inputs.append(self.constant([value], x.dtype, x.quant))
        return self.op("PADV2", inputs, shape)

    def conv(
        self,
        x: Tensor,
        filters: int,
        kernel: object = 3,
        *,
        stride: object = 1,
        padding: str = "VALID",
        dilation: object = 1,
        activation: str = "NONE",
        zero: int = -128,
        dead: dict[int, int] | None = None,
        unread: Sequence[int] = (),
        bias: bool = True,
        biases: dict[int, int] | None = None,
        depthwise: bool = False,
    ) -> Tensor:
        """CONV_2D, or DEPTHWISE_CONV_2D with `filters` output channels.

        Args:
            dead: output channels with only zero weights, and their bias.
            unread: input channels without any weight.
            biases: output channels and their bias.
        """
        kernel, stride, dilation = _pair(kernel), _pair(stride), _pair(dilation)
        per = (*kernel, x.shape[3])
        shape = (1, *kernel, filters) if depthwise else (filters, *per)
        weights = self.rng.integers(-127, 128, shape).astype(np.int8)
        if depthwise:
            weights[..., list(dead or ())] = 0
        else:
            weights[list(dead or ())] = 0
            weights[..., list(unread)] = 0
        taps = int(np.prod(kernel)) * (1 if depthwise else x.shape[3])
        scales = self.rng.uniform(0.002, 0.01, filters).astype(np.float32)
        quant = Quantization(scales, np.zeros(filters, np.int64), 3 if depthwise else 0)
        inputs = [x, self.constant(weights, "int8", quant)]
        if bias or dead:
            values = self.rng.integers(-9000, 9000, filters)
            for channel, value in {**(dead or {}), **(biases or {})}.items():
                values[channel] = value
            inputs.append(self.constant(values, "int32", _bias_quant(x, quant)))
        spread = x.scale * 0.006 * 73 * 60 * np.sqrt(taps) / 50
        sides = [
            options.same_padding(n, k, s, d) if padding == "SAME" else (0, 0)
            for n, k, s, d in zip(x.shape[1:3], kernel, stride, dilation, strict=True)
        ]
        record = options.ConvOptions(
            stride, options.Padding(*sides[0], *sides[1]), dilation, activation
        )
        out = [
            options.out_size(n, k, s, d, *side)
            for n, k, s, d, side in zip(x.shape[1:3], kernel, stride, dilation, sides, strict=True)
        ]
        return self.op(
            "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D",
            inputs,
            (1, *out, filters),
            quant=Quantization.per_tensor(spread, zero),
            record=record,
            version=3,
        )

    def depthwise(self, x: Tensor, kernel: object = 3, *, multiplier: int = 1, **more) -> Tensor:
        return self.conv(x, x.shape[3] * multiplier, kernel, depthwise=True, **more)

    def dense(
        self,
        x: Tensor,
        units: int,
        *,
        dead: dict[int, int] | None = None,
        per_channel=False,
        **more,
    ) -> Tensor:
        weights = self.rng.integers(-127, 128, (units, x.shape[-1])).astype(np.int8)
        weights[list(dead or ())] = 0
        count = units if per_channel else 1
        scales = self.rng.uniform(0.002, 0.01, count).astype(np.float32)
        quant = Quantization(scales, np.zeros(count, np.int64))
        inputs = [x, self.constant(weights, "int8", quant)]
        if more.pop("bias", True):
            values = self.rng.integers(-9000, 9000, units)
            for channel, value in (dead or {}).items():
                values[channel] = value
            inputs.append(self.constant(values, "int32", _bias_quant(x, quant)))
        spread = x.scale * 0.006 * 73 * 60 * np.sqrt(x.shape[-1]) / 50
        record = options.FullyConnectedOptions(more.pop("activation", "NONE"))
        shape = (*x.shape[:-1], units)
        out = Quantization.per_tensor(spread, more.pop("zero", 4))
        return self.op("FULLY_CONNECTED", inputs, shape, quant=out, record=record, version=4)

    def pool(
        self,
        x: Tensor,
        kind: str = "MAX",
        kernel: object = 2,
        *,
        stride: object = 2,
        padding: str = "VALID",
        activation: str = "NONE",
    ) -> Tensor:
        kernel, stride = _pair(kernel), _pair(stride)
        sides = [
            options.same_padding(n, k, s) if padding == "SAME" else (0, 0)
            for n, k, s in zip(x.shape[1:3], kernel, stride, strict=True)
        ]
        out = [
            options.out_size(n, k, s, 1, *side)
            for n, k, s, side in zip(x.shape[1:3], kernel, stride, sides, strict=True)
        ]
        record = options.PoolOptions(
            kernel, stride, options.Padding(*sides[0], *sides[1]), activation
        )
        shape = (1, *out, x.shape[3])
        return self.op(f"{kind}_POOL_2D", [x], shape, record=record, version=2)

    def add(self, a: Tensor, b: Tensor, *, activation: str = "NONE", zero: int = 5) -> Tensor:
        quant = Quantization.per_tensor(max(a.scale, b.scale) * 1.5, zero)
        return self.op("ADD", [a, b], a.shape, quant=quant, record=options.AddOptions(activation))

    def concat(self, parts: Sequence[Tensor], axis: int = 3) -> Tensor:
        shape = list(parts[0].shape)
        shape[axis] = sum(part.shape[axis] for part in parts)
        return self.op("CONCATENATION", parts, shape, record=options.ConcatenationOptions(axis))

    def reshape(self, x: Tensor, *shape: int) -> Tensor:
        return self.op("RESHAPE", [x, self.constant(shape)], shape)

    def transpose(self, x: Tensor, *order: int) -> Tensor:
        return self.op("TRANSPOSE", [x, self.constant(order)], [x.shape[i] for i in order])

    def mean(self, x: Tensor, *, keep: bool = False, scale: float | None = None) -> Tensor:
        shape = (1, 1, 1, x.shape[3]) if keep else (1, x.shape[3])
        quant = Quantization.per_tensor(scale or x.scale, x.zero_point)
        record = options.ReducerOptions(keep)
        return self.op("MEAN", [x, self.constant([1, 2])], shape, quant=quant, record=record)

    def quantize(self, x: Tensor, scale: float, zero: int) -> Tensor:
        quant = Quantization.per_tensor(scale, zero)
        return self.op("QUANTIZE", [x], x.shape, quant=quant, dtype="int8")

    def dequantize(self, x: Tensor) -> Tensor:
        return self.op("DEQUANTIZE", [x], x.shape, dtype="float32", version=2)

    def graph(self, *outputs: Tensor) -> Graph:
        last = self.ops[-1].outputs if self.ops else ()
        return Graph(tuple(self.ops), tuple(self.inputs), outputs or last)


def _pair(value: object) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)  # type: ignore[arg-type, return-value]


def _bias_quant(x: Tensor, weights: Quantization) -> Quantization:
    scale = (np.float32(x.scale) * weights.scale).astype(np.float32)
    return Quantization(scale, np.zeros(scale.size, np.int64))


def kinds(graph: Graph) -> list[str]:
    return [op.kind for op in graph.ops]


def samples_for(graph: Graph, count: int = 3, seed: int = 0) -> list[list[np.ndarray]]:
    """Seeded inputs over the full stored range, then the lowest and the highest value."""
    rng = np.random.default_rng(seed)

    def draw(tensor: Tensor, number: int) -> np.ndarray:
        if tensor.dtype == "float32":
            return (rng.normal(size=tensor.shape) * 2).astype(np.float32)
        bounds = np.iinfo(tensor.dtype)
        if number in (1, 2):
            return np.full(tensor.shape, bounds.min if number == 1 else bounds.max, tensor.dtype)
        return rng.integers(bounds.min, bounds.max + 1, tensor.shape).astype(tensor.dtype)

    return [[draw(tensor, number) for tensor in graph.inputs] for number in range(count)]


def run_all(
    graphs: Sequence[Graph], samples: Sequence[list[list[np.ndarray]]]
) -> list[list[list[np.ndarray]]]:
    """Outputs of several graphs in TFLM, in one child."""
    return tflm.run_many(
        [(tg.write(g), some) for g, some in zip(graphs, samples, strict=True)], timeout=600
    )


def same_in_tflm(pairs: Sequence[tuple[Graph, Graph]], count: int = 3) -> None:
    """Assert that TFLM gives the same outputs, byte for byte, for both graphs of every pair."""
    samples = [samples_for(before, count) for before, _ in pairs]
    results = run_all(
        [g for pair in pairs for g in pair], [some for some in samples for _ in range(2)]
    )
    for number, (before, after) in enumerate(pairs):
        assert [t.name for t in after.outputs] == [t.name for t in before.outputs]
        assert [t.shape for t in after.inputs] == [t.shape for t in before.inputs]
        for expected, found in zip(results[2 * number], results[2 * number + 1], strict=True):
            for a, b in zip(expected, found, strict=True):
                np.testing.assert_array_equal(a, b, err_msg=f"pair {number}: {kinds(before)}")


def same_inside(before: Graph, after: Graph, count: int = 2) -> int:
    """Assert that tensors of the same name hold the same values in TFLM, before and after.

    Where channels were dropped, those that are left must appear among the old ones, in order.
    Returns how many tensors were compared.
    """
    named = {t.name: t for t in tg.edit.inner_tensors(before)}
    shared = [t for t in tg.edit.inner_tensors(after) if t.name in named]
    old = tg.edit.with_outputs(before, [named[t.name] for t in shared])
    new = tg.edit.with_outputs(after, shared)
    samples = samples_for(before, count)
    expected, found = run_all([old, new], [samples, samples])
    for index, tensor in enumerate(shared):
        a = np.stack([sample[index] for sample in expected])
        b = np.stack([sample[index] for sample in found])
        if a.shape == b.shape:
            np.testing.assert_array_equal(a, b, err_msg=tensor.name)
        else:
            _subsequence(a, b, tensor.name)
    return len(shared)


def _subsequence(old: np.ndarray, new: np.ndarray, name: str) -> None:
    position = 0
    for channel in range(new.shape[-1]):
        while position < old.shape[-1] and not np.array_equal(
            old[..., position], new[..., channel]
        ):
            position += 1
        assert position < old.shape[-1], f"{name}: channel {channel} is not among the old ones"
        position += 1


def macs(graph: Graph) -> int:
    """Multiply-accumulates, counted from shapes alone."""
    total = 0
    for op in graph.ops:
        if op.kind == "CONV_2D":
            total += op.output.elements * int(np.prod(op.inputs[1].shape[1:]))
        elif op.kind == "DEPTHWISE_CONV_2D":
            total += op.output.elements * int(np.prod(op.inputs[1].shape[1:3]))
        elif op.kind == "FULLY_CONNECTED":
            total += op.output.elements * op.inputs[1].shape[1]
    return total


Build = Callable[[Net], Tensor | tuple[Tensor, ...]]


def built(build: Build, seed: int = 0) -> Graph:
    net = Net(seed)
    outputs = build(net)
    return net.graph(*(outputs if isinstance(outputs, tuple) else (outputs,)))
