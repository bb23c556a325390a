"""A net as the int8 graph that is priced: what its Keras model becomes, without TensorFlow.

`lower` gives the graph *after* the default passes: batch norms are in the filters, activations in
the ops that may carry them, and `passes.run` finds nothing to do. Shapes, padding and op kinds are
the converter's. Values are not, since nothing is trained yet: filters are slices of one random
block, scales those of a net whose layers keep the variance of what they get. What a net costs does
not depend on them but for a few bytes of code and a few instructions, where a kernel has a shorter
form for small sums.

A search calls this for every candidate, so nothing is drawn here: a net takes about as long as
its ops take to be made, a millisecond or two.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np

from ..graph import ir, options
from .net import Layer, Net, Shape, check_norm

# The ops that a ReLU or ReLU6 becomes part of when it follows one.
FUSING = (
    "CONV_2D",
    "DEPTHWISE_CONV_2D",
    "FULLY_CONNECTED",
    "ADD",
    "MUL",
    "MAX_POOL_2D",
    "AVERAGE_POOL_2D",
)
_FUSED = {"": "NONE", "relu": "RELU", "relu6": "RELU6"}
_UNIT = ir.Quantization.per_tensor(1 / 256, -128)  # of LOGISTIC and SOFTMAX: TFLite fixes it
_IMAGE = ir.Quantization.per_tensor(1 / 255, -128)
_POSITIVE = ir.Quantization.per_tensor(6 / 255, -128)
_SIGNED_SCALE = 12 / 255
_SWISHED = ir.Quantization.per_tensor(6.375 / 255, -113)
_BLOCK = 65_521  # a prime: rows of repeated filters don't line up


def lower(net: Net, *, seed: int = 0) -> ir.Graph:
    """The int8 graph of a net, as `tflm_opt.optimize` has it after the default passes.

    Example:
        >>> graph = lower(zoo.mobilenet_v2(width=0.35, resolution=96, classes=2))
        >>> graph.ops[0].kind, graph.ops[-1].kind
        ('CONV_2D', 'SOFTMAX')

    Args:
        net: what to lower. Tensors are named like the layers that make them.
        seed: of the weights; the same net and seed give the same graph.

    Raises:
        ValueError: batch norm after a layer that has no weights to take it.
    """
    lowering = _Lowering(net, seed)
    for layer in net.layers:
        lowering.add(layer)
    return lowering.graph()


@dataclass(slots=True)
class _Lowering:
    """The ops so far, and the tensor that each layer makes."""

    net: Net
    seed: int
    ops: list[ir.Op] = field(default_factory=list)
    made: dict[str, ir.Tensor] = field(default_factory=dict)
    shapes: Mapping[str, Shape] = field(init=False)
    readers: dict[str, int] = field(init=False)
    quants: Mapping[str, ir.Quantization] = field(init=False)

    def __post_init__(self) -> None:
        self.shapes = self.net.shapes()
        self.readers = dict.fromkeys(self.shapes, 0)
        for layer in self.net.layers:
            check_norm(layer)
            for name in layer.inputs:
                self.readers[name] += 1
        self.quants = _quants(self.net)

    def add(self, layer: Layer) -> None:
        """The layer's op, and its activation's where that is one of its own."""
        if layer.kind == "input":
            self.made[layer.name] = self._tensor(layer.name, self.quants[layer.name])
        elif layer.kind == "activation":
            self._activation(layer)
        else:
            inputs = [self.made[name] for name in layer.inputs]
            _OPS[layer.kind](self, layer, inputs)

    def graph(self) -> ir.Graph:
        """What has been added, without ops whose results nobody reads."""
        result = self.made[self.net.layers[-1].name]
        wanted = {id(result)}
        ops: list[ir.Op] = []
        for op in reversed(self.ops):
            if id(op.output) in wanted:
                ops.append(op)
                wanted.update(id(t) for t in op.inputs if t is not None)
        return ir.Graph(tuple(reversed(ops)), (self.made[self.net.layers[0].name],), (result,))

    def emit(
        self,
        layer: Layer,
        kind: str,
        inputs: tuple[ir.Tensor | None, ...],
        make: Callable[[str], options.Options | None],
        version: int = 1,
    ) -> None:
        """One op, with the activation inside of it or after it.

        Args:
            make: the op's options, of the activation in them.
        """
        name, apart = layer.name, layer.activation
        if layer.activation in _FUSED and (kind in FUSING or not layer.activation):
            fused, apart = _FUSED[layer.activation], ""
        else:
            fused = "NONE"
        quant = self.quants[f"{name}:before"] if apart else self.quants[name]
        out = self._tensor(name, quant, before=bool(apart))
        self.ops.append(ir.Op(kind, inputs, (out,), make(fused), version))
        if apart:
            self._apart(layer, out)
        else:
            self.made[name] = out

    def requantized(self, source: ir.Tensor, quant: ir.Quantization) -> ir.Tensor:
        """The same values, quantized as others are that they are put beside."""
        out = ir.Tensor(f"{source.name}:requantized", source.shape, "int8", quant)
        self.ops.append(ir.Op("QUANTIZE", (source,), (out,)))
        return out

    def _apart(self, layer: Layer, source: ir.Tensor) -> None:
        """An activation as an op of its own; none where a ReLU would change nothing."""
        if layer.activation in ("relu", "relu6") and source.quant is _POSITIVE:
            self.made[layer.name] = source
            return
        out = self._tensor(layer.name, self.quants[layer.name])
        given = options.SoftmaxOptions(1.0) if layer.activation == "softmax" else None
        self.ops.append(ir.Op(_KINDS[layer.activation], (source,), (out,), given))
        self.made[layer.name] = out

    def _activation(self, layer: Layer) -> None:
        """A layer that is an activation: part of the op before it, if nobody else reads that."""
        (name,) = layer.inputs
        source = self.made[name]
        last = self.ops[-1] if self.ops else None
        if (
            layer.activation in ("relu", "relu6")
            and self.readers[name] == 1
            and last is not None
            and last.output is source
            and last.kind in FUSING
            and getattr(last.options, "activation", "") == "NONE"
        ):
            self.ops.pop()
            self._again(layer, last)
        else:
            self._apart(layer, source)

    def _again(self, layer: Layer, op: ir.Op) -> None:
        """The same op with an activation, making the tensor of `layer`."""
        out = self._tensor(layer.name, self.quants[layer.name])
        assert op.options is not None
        changed = replace(op.options, activation=_FUSED[layer.activation])  # type: ignore[call-arg]
        self.ops.append(ir.Op(op.kind, op.inputs, (out,), changed, op.version))
        self.made[layer.name] = out

    def _tensor(self, name: str, quant: ir.Quantization, before: bool = False) -> ir.Tensor:
        shown = f"{name}:before" if before else name
        return ir.Tensor(shown, (1, *self.shapes[name]), "int8", quant)

    def filters(self, name: str, shape: tuple[int, ...], axis: int) -> ir.Tensor:
        """Random filters; `axis` is that of the output channels, each with a scale of its own."""
        size = int(np.prod(shape))
        channels = shape[axis]
        start = zlib.crc32(f"{self.seed}/{name}".encode())
        values = _values(self.seed, size)
        first = start % (len(values) - size + 1)
        data = values[first : first + size].reshape(shape)
        taps = size // channels
        wide = _scales(self.seed, 4096 + channels)[start % 4096 :][:channels]
        spread = wide * np.float32(_gain(taps))
        quant = ir.Quantization(spread, _zeros(channels), axis)
        return ir.Tensor(f"{name}/filters", shape, "int8", quant, data)

    def biases(self, name: str, filters: ir.Tensor, source: ir.Tensor) -> ir.Tensor:
        """A bias for each output channel, of up to some tenths of what its sums reach.

        Where filters have few taps all are positive: a filter without a positive tap behind a
        ReLU would leave the channel at zero, and a pass would take it away.
        """
        assert filters.quant is not None
        scale = filters.quant.scale * np.float32(source.scale)
        count = len(scale)
        taps = filters.elements // count
        first = zlib.crc32(f"{name}/{self.seed}".encode()) % 4096
        unit = _units(self.seed, 4096 + count)[first : first + count]
        if taps < 32:
            unit = np.abs(unit)
        data = (unit * np.float32(200 * taps**0.5)).astype(np.int32)
        data.flags.writeable = False
        quant = ir.Quantization(scale, _zeros(count))
        return ir.Tensor(f"{name}/bias", (count,), "int32", quant, data)


_KINDS = {
    "relu": "RELU",
    "relu6": "RELU6",
    "sigmoid": "LOGISTIC",
    "hard_swish": "HARD_SWISH",
    "softmax": "SOFTMAX",
}


def _padding(layer: Layer, rows: int, columns: int) -> options.Padding:
    if layer.padding == "valid":
        return options.Padding()
    return options.Padding(
        *options.same_padding(rows, layer.kernel[0], layer.strides[0]),
        *options.same_padding(columns, layer.kernel[1], layer.strides[1]),
    )


def _conv(to: _Lowering, layer: Layer, inputs: list[ir.Tensor]) -> None:
    (source,) = inputs
    padding = _padding(layer, *source.shape[1:3])
    deep = layer.kind == "depthwise"
    shape = (
        (1, *layer.kernel, source.shape[3])
        if deep
        else (layer.filters, *layer.kernel, source.shape[3])
    )
    filters = to.filters(layer.name, shape, 3 if deep else 0)
    bias = to.biases(layer.name, filters, source)
    to.emit(
        layer,
        "DEPTHWISE_CONV_2D" if deep else "CONV_2D",
        (source, filters, bias),
        lambda act: options.ConvOptions(layer.strides, padding, activation=act),
        version=3,
    )


def _dense(to: _Lowering, layer: Layer, inputs: list[ir.Tensor]) -> None:
    (source,) = inputs
    for op in to.ops:  # the converter reads 1×1 images as they are
        if op.output is source and op.kind == "RESHAPE" and op.inputs[0] is not None:
            image = op.inputs[0]
            source = image if image.shape[-1] == source.shape[-1] else source
    filters = to.filters(layer.name, (layer.filters, source.shape[-1]), 0)
    bias = to.biases(layer.name, filters, source)
    to.emit(
        layer,
        "FULLY_CONNECTED",
        (source, filters, bias),
        lambda act: options.FullyConnectedOptions(activation=act),
        version=4,
    )


def _pool(to: _Lowering, layer: Layer, inputs: list[ir.Tensor]) -> None:
    (source,) = inputs
    if layer.kernel == layer.strides == (1, 1) and not layer.activation:
        to.made[layer.name] = source
        return
    padding = _padding(layer, *source.shape[1:3])
    to.emit(
        layer,
        "MAX_POOL_2D" if layer.kind == "max_pool" else "AVERAGE_POOL_2D",
        (source,),
        lambda act: options.PoolOptions(layer.kernel, layer.strides, padding, act),
        version=2,
    )


def _mean(to: _Lowering, layer: Layer, inputs: list[ir.Tensor]) -> None:
    axes = ir.Tensor(f"{layer.name}/axes", (2,), "int32", None, _AXES)
    to.emit(
        layer,
        "MEAN",
        (inputs[0], axes),
        lambda act: options.ReducerOptions(keep_dims=layer.keep),
        version=2,
    )


def _add(to: _Lowering, layer: Layer, inputs: list[ir.Tensor]) -> None:
    to.emit(layer, "ADD", tuple(inputs), lambda act: options.AddOptions(act), version=2)


def _multiply(to: _Lowering, layer: Layer, inputs: list[ir.Tensor]) -> None:
    to.emit(layer, "MUL", tuple(inputs), lambda act: options.MulOptions(act), version=2)


def _concat(to: _Lowering, layer: Layer, inputs: list[ir.Tensor]) -> None:
    quant = to.quants[f"{layer.name}:before" if layer.activation else layer.name]
    to.emit(
        layer,
        "CONCATENATION",
        tuple(
            source if source.quant is quant else to.requantized(source, quant) for source in inputs
        ),
        lambda act: options.ConcatenationOptions(-1, act),
        version=2,
    )


def _flatten(to: _Lowering, layer: Layer, inputs: list[ir.Tensor]) -> None:
    (source,) = inputs
    shape = (1, *to.shapes[layer.name])
    if source.shape == shape and not layer.activation:
        to.made[layer.name] = source
        return
    wanted = np.array(shape, np.int32)
    wanted.flags.writeable = False
    to.emit(
        layer,
        "RESHAPE",
        (source, ir.Tensor(f"{layer.name}/shape", (len(shape),), "int32", None, wanted)),
        lambda act: None,
    )


_OPS: dict[str, Callable[[_Lowering, Layer, list[ir.Tensor]], None]] = {
    "conv": _conv,
    "depthwise": _conv,
    "dense": _dense,
    "max_pool": _pool,
    "average_pool": _pool,
    "global_pool": _mean,
    "add": _add,
    "multiply": _multiply,
    "concat": _concat,
    "flatten": _flatten,
}
_SAME_SCALE = ("max_pool", "average_pool", "concat", "flatten")
_AXES = np.array([1, 2], np.int32)
_AXES.flags.writeable = False


def _quants(net: Net) -> dict[str, ir.Quantization]:
    """How each layer's result is quantized; "NAME:before" where its activation is an op apart.

    Pools, concatenations and views have one quantization for what they read and what they make, as
    TFLite asks; only a sigmoid's is fixed, and is changed on the way into a concatenation.
    """
    own: dict[str, ir.Quantization] = {}
    tied: dict[str, str] = {}  # to a name that was there before, or to another in a chain
    for layer in net.layers:
        name = layer.name
        own[name] = _own_quant(layer, own)
        if layer.activation and layer.kind not in ("activation", "input"):
            name = f"{name}:before"
            own[name] = _own_quant(replace(layer, activation=""), own)
        if layer.kind in _SAME_SCALE:
            fixed = own[name] is _UNIT
            for source in layer.inputs:
                if fixed or own[source] is not _UNIT:
                    tied[_root(tied, source)] = _root(tied, name)
    last = {_root(tied, name): own[name] for name in reversed(own)}
    return {name: last[_root(tied, name)] for name in own}


def _root(tied: Mapping[str, str], name: str) -> str:
    while tied.get(name, name) != name:
        name = tied[name]
    return name


def _own_quant(layer: Layer, known: Mapping[str, ir.Quantization]) -> ir.Quantization:
    """What a layer's result would have by itself."""
    if layer.kind == "input":
        return _IMAGE
    if layer.activation:
        return _BY_ACTIVATION[layer.activation]
    if layer.kind in _SAME_SCALE or layer.kind in ("global_pool", "multiply"):
        given = [known[name] for name in layer.inputs]
        return next((quant for quant in given if quant is not _UNIT), given[0])
    # Each its own, or activations that follow would share their tables, as they never do.
    own = 1 + zlib.crc32(layer.name.encode()) % 4096 / 16384
    return ir.Quantization.per_tensor(own * _SIGNED_SCALE, 4)


_BY_ACTIVATION = {
    "relu": _POSITIVE,
    "relu6": _POSITIVE,
    "sigmoid": _UNIT,
    "softmax": _UNIT,
    "hard_swish": _SWISHED,
}


def _gain(taps: int) -> float:
    """The scale of filters of so many taps that keeps the spread of what they read."""
    return 1.4 / (32.0 * float(taps) ** 0.5)


@lru_cache(maxsize=4)
def _drawn(seed: int) -> np.ndarray:
    """Values as trained filters have them, most of them small; no zeros: a lone tap can't be."""
    rng = np.random.default_rng(seed)
    drawn = np.clip(np.rint(rng.normal(0, 36, _BLOCK)), -127, 127)
    return np.where(drawn == 0, 1, drawn).astype(np.int8)


@lru_cache(maxsize=64)
def _filled(seed: int, power: int) -> np.ndarray:
    values = np.resize(_drawn(seed), 2**power)
    values.flags.writeable = False
    return values


def _values(seed: int, size: int) -> np.ndarray:
    """At least twice `size` values, so that layers can take different ones."""
    return _filled(seed, max(int(2 * size - 1).bit_length(), 16))


@lru_cache(maxsize=1024)
def _scales(seed: int, count: int) -> np.ndarray:
    """How much channels differ: by a factor of up to two around one."""
    rng = np.random.default_rng((seed, 2))
    return np.exp2(rng.uniform(-1, 1, count)).astype(np.float32)


@lru_cache(maxsize=1024)
def _units(seed: int, count: int) -> np.ndarray:
    rng = np.random.default_rng((seed, 1))
    return (rng.uniform(1, 3, count) * rng.choice((-1, 1), count)).astype(np.float32)


@lru_cache(maxsize=1024)
def _zeros(count: int) -> np.ndarray:
    zeros = np.zeros(count, np.int64)
    zeros.flags.writeable = False
    return zeros
