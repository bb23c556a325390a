"""A Keras 3 model, built anew for training with quantization.

Batch norm is folded into the weights of the layer before it, with the statistics that it has: the
net that is trained is the net that ships. Every tensor that int8 has a scale for goes through a
`FakeQuant`, every weight through a `Quantized` layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...errors import UnsupportedModel
from .rules import FIXED, Rule, function_name, fused_activation, rule
from .trace import Call, Traced, Value, trace

_NORMS = ("BatchNormalization",)
_SEPARABLE = ("SeparableConv1D", "SeparableConv2D")


def rebuilt(model: Any, *, momentum: float) -> Any:
    """See `qat.prepare`."""
    return _Builder(trace(model), momentum).build(model)


@dataclass(slots=True)
class _Builder:
    """One rebuilding: `tensors` are the new ones, `made` the new layers by the old ones' ids."""

    traced: Traced
    momentum: float
    tensors: dict[Value, Any] = field(default_factory=dict)
    made: dict[int, Any] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)

    def build(self, model: Any) -> Any:
        import keras

        readers = self.traced.readers()
        uses: dict[int, int] = {}
        for call in self.traced.calls:
            uses[id(call.op)] = uses.get(id(call.op), 0) + 1
        folded = _foldable(self.traced, readers, uses)
        inputs = []
        for value in self.traced.inputs:
            symbol = value.symbol
            made = keras.Input(batch_shape=symbol.shape, dtype=symbol.dtype, name=symbol.name)
            inputs.append(made)
            self.tensors[value] = self._fake(made, f"{symbol.name}_range")
        for call in self.traced.calls:
            if call in folded.values():  # a norm: the layer before does it
                self.tensors[call.outputs[0]] = self.tensors[call.inputs[0]]
                self._ranged(
                    call.outputs, Rule("range", fuses=True), readers, f"{call.op.name}_range"
                )
            else:
                self._emit(call, folded.get(call), readers)
        structure = keras.tree.map_structure(lambda v: self.tensors[v], self.traced.structure)
        struct: Any = keras.tree.pack_sequence_as(getattr(model, "_inputs_struct", inputs), inputs)
        if isinstance(model, keras.Sequential):
            struct = inputs[0]
        made = keras.Model(struct, structure, name=model.name)
        if model.compiled:
            made.compile_from_config(model.get_compile_config())
        return made

    # ---- one call -----------------------------------------------------------------------------

    def _emit(self, call: Call, norm: Call | None, readers: dict[Value, Any]) -> None:
        import keras

        given: Any = keras.tree.map_structure(
            lambda item: self.tensors[item] if isinstance(item, Value) else item,
            (list(call.args), dict(call.kwargs)),
        )
        args, kwargs = given
        steps = self._layers(call.op, norm)
        results: Any = None
        for number, (layer, of) in enumerate(steps):
            results = layer(*args, **kwargs)
            args, kwargs = [results], {}
            last = number == len(steps) - 1
            if not last and not (of.fuses and fused_activation(steps[number + 1][0])):
                args = [self._fake(results, f"{layer.name}_range", of)]
        for value, tensor in zip(call.outputs, keras.tree.flatten(results), strict=True):
            self.tensors[value] = tensor
        if norm is None:
            name = f"{steps[-1][0].name}_range"
            self._ranged(call.outputs, steps[-1][1], readers, name)

    def _ranged(
        self,
        values: Sequence[Value],
        of: Rule,
        readers: dict[Value, Any],
        name: str,
    ) -> None:
        """Give outputs their range, but where the next op takes the activation into this one."""
        if of.output == "same":
            return
        for value in values:
            if not (of.fuses and _is_activated(readers[value])):
                self.tensors[value] = self._fake(self.tensors[value], name, of)

    def _fake(self, tensor: Any, name: str, of: Rule | None = None) -> Any:
        from .layers import FakeQuant

        low, high = FIXED.get(of.output, (None, None)) if of is not None else (None, None)
        unique = self._name(name)
        return FakeQuant(low, high, momentum=self.momentum, name=unique)(tensor)

    def _name(self, wanted: str) -> str:
        wanted = wanted.replace("/", "_").replace(":", "_")
        name, count = wanted, 1
        while name in self.names:
            name, count = f"{wanted}_{count}", count + 1
        self.names.add(name)
        return name

    # ---- layers -------------------------------------------------------------------------------

    def _layers(self, op: Any, norm: Call | None) -> list[tuple[Any, Rule]]:
        """The new layers of one: several where an activation is an op of its own."""
        if id(op) not in self.made:
            made = self._new_layers(op, None if norm is None else norm.op)
            self.made[id(op)] = made
        return self.made[id(op)]

    def _new_layers(self, op: Any, norm: Any | None) -> list[tuple[Any, Rule]]:
        import keras

        kind = type(op).__name__
        if kind in _SEPARABLE and type(op).__module__.startswith("keras."):
            return self._separable(op, norm)
        if kind in _NORMS:
            return [(self._norm(op), Rule("range", fuses=True))]
        of = rule(op)
        if not isinstance(op, keras.layers.Layer):
            return [(type(op).from_config(op.get_config()), of)]
        copy, activation = _without_activation(op)
        if of.weights:
            return [(self._weighted(op, copy, of, norm), of), *self._activations(op, activation)]
        layer = type(op).from_config(op.get_config())
        _copy_weights(op, layer)
        return [(layer, of)]

    def _weighted(self, op: Any, copy: dict[str, Any], of: Rule, norm: Any | None) -> Any:
        from .layers import Quantized

        weights = {name: np.asarray(getattr(op, name)) for name in of.weights}
        bias = np.asarray(op.bias) if getattr(op, "bias", None) is not None else None
        if norm is not None:
            copy = {**copy, "use_bias": True}
            (name,) = of.weights
            weights[name], bias = fold(weights[name], bias, norm, of.weights[name])
        layer = type(op).from_config(copy)
        layer.build(op.get_build_config()["input_shape"])
        if norm is None:
            _copy_weights(op, layer)
        else:
            layer.set_weights([*weights.values(), bias])
        return Quantized(layer, of.weights)

    def _separable(self, op: Any, norm: Any | None) -> list[tuple[Any, Rule]]:
        """As two layers, which it is on a microcontroller."""
        import keras

        from .layers import Quantized

        config, (_, activation) = op.get_config(), _without_activation(op)
        shared = ("strides", "padding", "data_format", "dilation_rate", "depth_multiplier")
        one = type(op).__name__.removeprefix("Separable")
        spatial = getattr(keras.layers, f"Depthwise{one}")(
            op.kernel_size,
            use_bias=False,
            name=f"{op.name}_depthwise",
            depthwise_regularizer=config["depthwise_regularizer"],
            **{name: config[name] for name in shared},
        )
        shape = op.get_build_config()["input_shape"]
        spatial.build(shape)
        spatial.set_weights([np.asarray(op.depthwise_kernel)])
        kernel = np.asarray(op.pointwise_kernel)
        bias = np.asarray(op.bias) if op.use_bias else None
        if norm is not None:
            kernel, bias = fold(kernel, bias, norm, (-1,))
        dense = getattr(keras.layers, one)(
            op.filters,
            1,
            data_format=op.data_format,
            use_bias=bias is not None,
            kernel_regularizer=config["pointwise_regularizer"],
            name=f"{op.name}_pointwise",
        )
        dense.build(spatial.compute_output_shape(shape))
        dense.set_weights([kernel] if bias is None else [kernel, bias])
        spatial.trainable = dense.trainable = op.trainable
        return [
            (Quantized(spatial, {"kernel": (-2, -1)}), Rule("range")),
            (Quantized(dense, {"kernel": (-1,)}), Rule("range", fuses=True)),
            *self._activations(op, activation),
        ]

    def _activations(self, op: Any, activation: str) -> list[tuple[Any, Rule]]:
        import keras

        if activation == "linear":
            return []
        layer = keras.layers.Activation(op.activation, name=f"{op.name}_{activation}")
        return [(layer, rule(layer))]

    def _norm(self, op: Any) -> Any:
        """A batch norm that no layer takes in, as the depthwise 1x1 convolution that it is."""
        import keras

        from .layers import Quantized

        shape = op.get_build_config()["input_shape"]
        if len(shape) != 4 or op.axis not in (-1, 3):
            raise UnsupportedModel(
                f"a batch norm of {len(shape) - 1}-dimensional samples that follows no layer which "
                "could take it in",
                op=op.name,
                remedy="Put it right behind a convolution or a Dense layer",
            )
        kernel, bias = fold(np.ones((1, 1, shape[-1], 1), np.float32), None, op, (-2, -1))
        layer = keras.layers.DepthwiseConv2D(1, name=op.name)
        layer.build(shape)
        layer.set_weights([kernel, bias])
        layer.trainable = op.trainable
        return Quantized(layer, {"kernel": (-2, -1)})


def _is_activated(readers: Sequence[Call | None]) -> bool:
    """Whether the one reader is an activation that ops take in."""
    following = readers[0] if len(readers) == 1 else None
    return following is not None and fused_activation(following.op) is not None


def _foldable(
    traced: Traced, readers: dict[Value, list[Call | None]], uses: dict[int, int]
) -> dict[Call, Call]:
    """The batch norm that a layer with weights takes in: alone behind it, both called once."""
    found = {}
    for call in traced.calls:
        kind = type(call.op).__name__
        known = kind in _SEPARABLE or (
            type(call.op).__module__.startswith("keras.")
            and kind not in _NORMS
            and _has_kernel(call)
        )
        if not known or uses[id(call.op)] != 1 or len(call.outputs) != 1:
            continue
        following = readers[call.outputs[0]]
        if len(following) != 1 or following[0] is None:
            continue
        norm = following[0]
        fits = type(norm.op).__name__ in _NORMS and uses[id(norm.op)] == 1
        fits = fits and function_name(call.op.activation) == "linear"
        if fits and norm.op.axis in (-1, len(call.outputs[0].symbol.shape) - 1):
            found[call] = norm
    return found


def _has_kernel(call: Call) -> bool:
    try:
        return "kernel" in rule(call.op).weights
    except UnsupportedModel:
        return False


def fold(
    kernel: np.ndarray, bias: np.ndarray | None, norm: Any, axes: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """A kernel and bias that do what the norm does behind them, with its moving statistics."""
    variance, mean = np.asarray(norm.moving_variance), np.asarray(norm.moving_mean)
    gain = 1 / np.sqrt(variance + norm.epsilon)
    if norm.scale:
        gain = gain * np.asarray(norm.gamma)
    shift = -mean * gain
    if norm.center:
        shift = shift + np.asarray(norm.beta)
    rank = kernel.ndim
    shape = [kernel.shape[axis] if axis - rank in axes else 1 for axis in range(rank)]
    folded = kernel * gain.reshape(shape)
    return folded.astype(np.float32), (shift if bias is None else bias * gain + shift)


def _without_activation(op: Any) -> tuple[dict[str, Any], str]:
    """The layer's config without its activation, and that one's name."""
    config = op.get_config()
    name = function_name(op.activation) if hasattr(op, "activation") else "linear"
    return ({**config, "activation": "linear"} if "activation" in config else config), name


def _copy_weights(old: Any, new: Any) -> None:
    if old.weights and not new.built:
        new.build_from_config(old.get_build_config())
    if old.weights:
        new.set_weights(old.get_weights())
