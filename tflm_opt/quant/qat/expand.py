"""A traced model as ops that are one op each for TFLite, with weights as they will ship.

What Keras has as one layer may be several for int8 (a separable convolution, an average, swish),
with ranges between them; and what Keras has as several may be one (a convolution and its batch
norm). After this, `ranges` and `rebuild` see one op a call. All layers are new ones: the user's
stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...errors import UnsupportedModel
from .equalize import reach_of
from .expander import (
    Expander,
    Handler,
    as_it_is,
    named,
    operation,
    rounded_constant,
    times,
)
from .folding import NORM, fold, gain_and_shift
from .refusals import refusal
from .rules import KERNELS, fused_activation, has_rule, kind_of, rule
from .trace import Call, Traced, Value

_FUNCTIONS = {  # ops of keras.ops and layers that are an activation and nothing else
    **{"Relu": "relu", "Relu6": "relu6", "Sigmoid": "sigmoid", "Tanh": "tanh", "Silu": "silu"},
    **{"HardSilu": "hard_silu", "HardSwish": "hard_silu", "HardSigmoid": "hard_sigmoid"},
}
_JOINS = ("Concatenate", "Maximum", "Minimum", "Stack")
_MANY = ("Add", "Multiply", "Maximum", "Minimum")  # of any number of inputs, as layers


def expanded(traced: Traced) -> tuple[Traced, dict[int, np.ndarray]]:
    """The same function, as such ops; and how far their channels reach, where a norm says so.

    Raises:
        UnsupportedModel: a layer that nothing is known of, or that has no int8 form.
    """
    import keras

    expander = Expander(traced, _HANDLERS)
    for call in traced.calls:
        if call not in expander.absorbed:
            expander.one(call)
    structure = keras.tree.map_structure(expander.now, traced.structure)
    return Traced(traced.inputs, tuple(expander.calls), structure), expander.reach


# ---- layers with weights -----------------------------------------------------------------------


def _weighted(x: Expander, call: Call, args: list[Any], kwargs: dict[str, Any]) -> list[Value]:
    op, norm = call.op, x.folded.get(call)

    def make() -> Any:
        config = {**op.get_config(), "activation": "linear"}
        kernel, bias = np.asarray(op.kernel), np.asarray(op.bias) if op.use_bias else None
        if norm is not None:
            config["use_bias"] = True
            kernel, bias = fold(kernel, bias, norm.op, KERNELS[kind_of(op)])
        new = type(op).from_config(config)
        new.build(op.get_build_config()["input_shape"])
        new.set_weights([kernel] if bias is None else [kernel, bias])
        return new

    value = x.add(x.part(op, "kernel", make), *args)
    if norm is not None:
        x.absorb(norm, value)
        x.reach[id(x.calls[-1].op)] = reach_of(norm.op)
    return [x.activated(op, op.activation, value)]


def _separable(x: Expander, call: Call, args: list[Any], kwargs: dict[str, Any]) -> list[Value]:
    """Two layers, which it is on a microcontroller."""
    import keras

    op, norm = call.op, x.folded.get(call)
    config, shape = op.get_config(), op.get_build_config()["input_shape"]
    one = kind_of(op).removeprefix("Separable")
    common = {"data_format": op.data_format, "dtype": op.dtype_policy, "trainable": op.trainable}

    def spatial() -> Any:
        shared = ("strides", "padding", "dilation_rate", "depth_multiplier")
        new = getattr(keras.layers, f"Depthwise{one}")(
            op.kernel_size,
            use_bias=False,
            name=f"{op.name}_depthwise",
            depthwise_regularizer=config["depthwise_regularizer"],
            **{name: config[name] for name in shared},
            **common,
        )
        new.build(shape)
        new.set_weights([np.asarray(op.depthwise_kernel)])
        return new

    first = x.part(op, "depthwise", spatial)

    def dense() -> Any:
        kernel, bias = np.asarray(op.pointwise_kernel), np.asarray(op.bias) if op.use_bias else None
        if norm is not None:
            kernel, bias = fold(kernel, bias, norm.op, (-1,))
        new = getattr(keras.layers, one)(
            op.filters,
            1,
            use_bias=bias is not None,
            kernel_regularizer=config["pointwise_regularizer"],
            name=f"{op.name}_pointwise",
            **common,
        )
        new.build(first.compute_output_shape(shape))
        new.set_weights([kernel] if bias is None else [kernel, bias])
        return new

    value = x.add(x.part(op, "pointwise", dense), x.add(first, *args))
    if norm is not None:
        x.absorb(norm, value)
        x.reach[id(x.calls[-1].op)] = reach_of(norm.op)
    return [x.activated(op, op.activation, value)]


# ---- scalings of channels ----------------------------------------------------------------------


def _norm(x: Expander, call: Call, args: list[Any], kwargs: dict[str, Any]) -> list[Value]:
    return [_scaled(x, call, args[0], gain_and_shift(call.op), call.op.axis)]


def _rescaling(x: Expander, call: Call, args: list[Any], kwargs: dict[str, Any]) -> list[Value]:
    gain, shift = np.asarray(call.op.scale), np.asarray(call.op.offset)
    if gain.size == 1 and not shift.any():
        return [times(x, call.op, args[0], float(gain.reshape(())))]
    return [_scaled(x, call, args[0], (gain, shift), -1)]


def _normalization(x: Expander, call: Call, args: list[Any], kwargs: dict[str, Any]) -> list[Value]:
    op = call.op
    mean, deviation = np.asarray(op.mean), np.maximum(np.sqrt(np.asarray(op.variance)), 1e-7)
    gain, shift = (deviation, mean) if op.invert else (1 / deviation, -mean / deviation)
    axes = tuple(op.axis or ()) if isinstance(op.axis, (tuple, list)) else (op.axis,)
    if len(axes) > 1:
        raise UnsupportedModel(
            "a Normalization over several axes", op=op.name, remedy="Use axis=-1 or axis=None"
        )
    return [_scaled(x, call, args[0], (gain.ravel(), shift.ravel()), (*axes, -1)[0])]


def _scaled(
    x: Expander, call: Call, value: Value, by: tuple[np.ndarray, np.ndarray], axis: int
) -> Value:
    """A factor and a summand for each channel, as a depthwise 1x1 convolution."""
    import keras

    op, shape = call.op, value.symbol.shape
    if len(shape) not in (2, 3, 4) or axis not in (-1, len(shape) - 1):
        raise UnsupportedModel(
            f"a {type(op).__name__} over axis {axis} of {len(shape) - 1}-dimensional samples",
            op=op.name,
            remedy="Let it work on the last axis of samples of one to three dimensions",
        )
    flat = len(shape) != 4
    if flat:
        wide = (shape[1] if len(shape) == 3 else 1, 1, shape[-1])
        value = x.add(x.part(op, "in", lambda: _reshape(wide, f"{op.name}_in")), value)

    def make() -> Any:
        gain, shift = (np.broadcast_to(np.float32(one), shape[-1:]) for one in by)
        new = keras.layers.DepthwiseConv2D(
            1, name=op.name, dtype=op.dtype_policy, trainable=op.trainable and bool(op.weights)
        )
        new.build(value.symbol.shape)
        new.set_weights([gain.reshape(1, 1, -1, 1), shift])
        return new

    value = x.add(x.part(op, "scale", make), value)
    relu = x.relu_behind(call) if flat else None
    if relu is not None:  # before the shape changes, so that it is a part of the convolution
        value = x.activated(relu.op, _function(relu.op), value)
    if flat:
        value = x.add(x.part(op, "out", lambda: _reshape(shape[1:], f"{op.name}_out")), value)
    if relu is not None:
        x.absorb(relu, value)
    return value


def _reshape(shape: Sequence[int], name: str) -> Any:
    import keras

    return keras.layers.Reshape(shape, name=name)


# ---- activations -------------------------------------------------------------------------------


def _function(op: Any) -> Any:
    import keras

    return getattr(keras.activations, fused_activation(op) or "linear")


def _activation(x: Expander, call: Call, args: list[Any], kwargs: dict[str, Any]) -> list[Value]:
    return [x.activated(call.op, call.op.activation, args[0])]


def _activation_op(x: Expander, call: Call, args: list[Any], kwargs: dict[str, Any]) -> list[Value]:
    import keras

    name = _FUNCTIONS[kind_of(call.op)]
    return [x.activated(call.op, getattr(keras.activations, name), args[0])]


def _leaky(x: Expander, call: Call, args: list[Any], kwargs: dict[str, Any]) -> list[Value]:
    import keras

    slope, op = float(call.op.negative_slope), call.op
    layer = named(x, op, "leaky", lambda n: keras.layers.LeakyReLU(slope, name=n))
    return [x.add(layer, args[0])]


def _relu(x: Expander, call: Call, args: list[Any], kwargs: dict[str, Any]) -> list[Value]:
    """ReLU with its options: those that int8 has."""
    import keras

    op = call.op
    name = fused_activation(op)
    if name is not None:
        return [x.add(x.activation(op, name), args[0])]
    if op.threshold or (op.negative_slope and op.max_value is not None):
        raise UnsupportedModel(
            "a ReLU with a threshold, or with both a slope and a maximum, has no int8 form that "
            "TFLM runs",
            op=op.name,
            remedy="Use ReLU(max_value) or LeakyReLU(negative_slope)",
        )
    if op.negative_slope:
        return _leaky(x, call, args, kwargs)
    most = float(op.max_value or 0.0)
    if _meets_others(x, call):
        positive = x.add(x.activation(op, "relu"), args[0])
        return [x.add(x.part(op, "least", lambda: operation(keras.ops.minimum)), positive, most)]
    from .layers import Clipped

    return [x.add(x.part(op, "clip", lambda: Clipped(most, name=op.name)), args[0])]


def _meets_others(x: Expander, call: Call) -> bool:
    """Whether an output shares its range with other tensors, so that no range can clip it."""
    for value in call.outputs:
        for reader in filter(None, x.readers[value]):
            kind = kind_of(reader.op)
            moves = has_rule(reader.op) and rule(reader.op).output in ("same", "tied")
            if kind in _JOINS or (moves and _meets_others(x, reader)):
                return True
    return False


# ---- arithmetic --------------------------------------------------------------------------------


def _many(x: Expander, call: Call, args: list[Any], kwargs: dict[str, Any]) -> list[Value]:
    """A sum of many as a chain of sums of two, which is what int8 has."""
    if len(args) != 1 or not isinstance(args[0], (list, tuple)) or len(args[0]) <= 2:
        return as_it_is(x, call, args, kwargs)
    return [_chain(x, call.op, type(call.op), list(args[0]))]


def _chain(x: Expander, op: Any, layer: Any, values: Sequence[Value]) -> Value:
    total = values[0]
    for number, value in enumerate(values[1:]):
        last = number == len(values) - 2
        name = op.name if last else f"{op.name}_{number}"
        total = x.add(x.part(op, f"chain {number}", lambda n=name: layer(name=n)), [total, value])
    return total


def _average(x: Expander, call: Call, args: list[Any], kwargs: dict[str, Any]) -> list[Value]:
    import keras

    values = list(args[0])
    return [times(x, call.op, _chain(x, call.op, keras.layers.Add, values), 1 / len(values))]


def _divide(x: Expander, call: Call, args: list[Any], kwargs: dict[str, Any]) -> list[Value]:
    import keras

    value, by = args
    if isinstance(by, Value) or not isinstance(value, Value):
        raise refusal(call.op)
    factor = rounded_constant(np.asarray(1 / np.asarray(by, np.float32)))
    factor = float(factor) if factor.ndim == 0 else factor
    product = x.part(call.op, "times", lambda: operation(keras.ops.multiply))
    return [x.add(product, value, factor)]


def _negative(x: Expander, call: Call, args: list[Any], kwargs: dict[str, Any]) -> list[Value]:
    return [times(x, call.op, args[0], -1.0)]


def _square(x: Expander, call: Call, args: list[Any], kwargs: dict[str, Any]) -> list[Value]:
    import keras

    product = x.part(call.op, "times", lambda: operation(keras.ops.multiply))
    return [x.add(product, args[0], args[0])]


def _sum(x: Expander, call: Call, args: list[Any], kwargs: dict[str, Any]) -> list[Value]:
    """As a mean, multiplied: LiteRT's reference SUM of int8 doesn't rescale (TFLM's does)."""
    import keras

    op, before = call.op, call.inputs[0].symbol.shape
    axes = range(1, len(before)) if op.axis is None else np.atleast_1d(op.axis).tolist()
    sizes = [before[axis] for axis in axes]
    if op.axis is None or None in sizes:
        raise UnsupportedModel(
            "a sum over the batch, or over an axis of no fixed size",
            op=op.name,
            remedy="Give the axes of a sample to sum over: keras.ops.sum(x, axis=(1, 2))",
        )

    def make() -> Any:
        probe: Any = keras.ops.mean(keras.KerasTensor(before), axis=op.axis, keepdims=op.keepdims)
        mean = probe._keras_history.operation
        return type(mean).from_config({**mean.get_config(), "name": f"{op.name}_mean"})

    return [times(x, op, x.add(x.part(op, "mean", make), args[0]), float(np.prod(sizes)))]


def _pooled(x: Expander, call: Call, args: list[Any], kwargs: dict[str, Any]) -> list[Value]:
    """A maximum, and the ReLU behind it, which may as well come first: with the layer before."""
    relu = x.relu_behind(call)
    if relu is None:
        return as_it_is(x, call, args, kwargs)
    first = x.activated(relu.op, _function(relu.op), args[0])
    (value,) = as_it_is(x, call, [first, *args[1:]], kwargs)
    x.absorb(relu, value)
    return [value]


_HANDLERS: dict[str, Handler] = {
    **dict.fromkeys(KERNELS, _weighted),
    **dict.fromkeys(("SeparableConv1D", "SeparableConv2D"), _separable),
    **dict.fromkeys(_FUNCTIONS, _activation_op),
    **dict.fromkeys(_MANY, _many),
    **dict.fromkeys(("MaxPooling1D", "MaxPooling2D"), _pooled),
    **dict.fromkeys(("Divide", "TrueDivide"), _divide),
    NORM: _norm,
    "Rescaling": _rescaling,
    "Normalization": _normalization,
    "Activation": _activation,
    "ReLU": _relu,
    "LeakyReLU": _leaky,
    "LeakyRelu": _leaky,
    "Average": _average,
    "Negative": _negative,
    "Square": _square,
    "Sum": _sum,
}
