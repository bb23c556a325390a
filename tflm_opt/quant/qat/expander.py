"""The state of one expansion (see `expand`), and what all of its handlers use."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...errors import UnsupportedModel
from .folding import foldable
from .refusals import ACTIVATIONS, refusal
from .rules import ATTRIBUTE, KERNELS, function_name, fused_activation, kind_of, rule
from .trace import Call, Traced, Value, symbols

_PLAIN = ("relu", "relu6", "sigmoid", "tanh", "softmax", "hard_silu")


@dataclass(slots=True)
class Expander:
    """One expansion.

    Attributes:
        values: what stands for a value of the model that was given.
        absorbed: calls that the handler of another one has dealt with.
        parts: the new layers of each old one, for shared layers stay shared.
        reach: how far each channel of a new layer's output goes, where a batch norm was folded.
    """

    traced: Traced
    handlers: Mapping[str, Handler]
    calls: list[Call] = field(default_factory=list)
    values: dict[Value, Value] = field(default_factory=dict)
    absorbed: set[Call] = field(default_factory=set)
    parts: dict[tuple[int, str], Any] = field(default_factory=dict)
    readers: dict[Value, list[Call | None]] = field(default_factory=dict)
    folded: dict[Call, Call] = field(default_factory=dict)
    reach: dict[int, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.readers = self.traced.readers()
        self.folded = foldable(self.traced, self.readers)

    def now(self, item: Any) -> Any:
        return self.values.get(item, item) if isinstance(item, Value) else item

    def one(self, call: Call) -> None:
        """Add what a call of the given model amounts to."""
        import keras

        args: Any = keras.tree.map_structure(self.now, list(call.args))
        kwargs: Any = keras.tree.map_structure(self.now, dict(call.kwargs))
        handler = None
        if not hasattr(type(call.op), ATTRIBUTE):
            handler = self.handlers.get(kind_of(call.op))
        results = (handler or as_it_is)(self, call, args, kwargs)
        for old, new in zip(call.outputs, results, strict=True):
            self.values[old] = new

    def add(self, op: Any, *args: Any, **kwargs: Any) -> Value:
        """The output of a new op."""
        return self.add_many(op, args, kwargs)[0]

    def add_many(self, op: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> list[Value]:
        outputs = tuple(Value(symbol) for symbol in symbols(op, args, kwargs))
        self.calls.append(Call(op, tuple(args), kwargs, outputs))
        return list(outputs)

    def part(self, op: Any, key: str, make: Callable[[], Any]) -> Any:
        """A new layer of an old one: the same one each time."""
        place = (id(op), key)
        if place not in self.parts:
            self.parts[place] = make()
        return self.parts[place]

    def relu_behind(self, call: Call) -> Call | None:
        """The ReLU that is the one reader of a call, if there is one that ops take in."""
        readers = self.readers[call.outputs[0]]
        following = readers[0] if len(readers) == 1 else None
        return following if following is not None and fused_activation(following.op) else None

    def absorb(self, call: Call, result: Value) -> None:
        self.absorbed.add(call)
        self.values[call.outputs[0]] = result

    def activated(self, op: Any, activation: Any, value: Value) -> Value:
        """An activation, given as a function or as a layer, of the layer `op`."""
        import keras

        if isinstance(activation, keras.layers.Layer):
            return self.layer_on(activation, value)
        name = function_name(activation)
        if name == "linear":
            return value
        make = _CURVES.get(name)
        if make is not None:
            return make(self, op, value)
        if name == "leaky_relu":
            return self.add(
                named(self, op, name, lambda n: keras.layers.LeakyReLU(0.2, name=n)), value
            )
        if name in _PLAIN:
            return self.add(self.activation(op, name), value)
        if name in ACTIVATIONS:
            raise refusal(op, name)
        raise UnsupportedModel(
            f"nothing is known of how the activation {name} is quantized",
            op=getattr(op, "name", name),
            remedy="Use one by name (relu, relu6, sigmoid, tanh, softmax, silu, hard_silu, "
            "hard_sigmoid, leaky_relu), or make it a layer of yours with a rule "
            "(tflm_opt_rule = qat.Rule(...))",
        )

    def activation(self, op: Any, name: str) -> Any:
        import keras

        return named(self, op, name, lambda n: keras.layers.Activation(name, name=n))

    def layer_on(self, layer: Any, value: Value) -> Value:
        call = Call(layer, (value,), {}, (Value(value.symbol),))
        self.readers.setdefault(call.outputs[0], [])
        self.one(call)
        return self.values[call.outputs[0]]


def named(x: Expander, op: Any, what: str, make: Callable[[str], Any]) -> Any:
    """A new layer that does all or a part of what `op` does, named after it."""
    base = getattr(op, "name", "op")
    whole = kind_of(op) not in KERNELS and what != "part"
    return x.part(op, what, lambda: make(base if whole else f"{base}_{what}"))


def as_it_is(x: Expander, call: Call, args: list[Any], kwargs: dict[str, Any]) -> list[Value]:
    import keras

    op = call.op
    rule(op)  # or an error

    def make() -> Any:
        new = type(op).from_config(op.get_config())
        if isinstance(op, keras.layers.Layer):
            copy_weights(op, new)
        return new

    given: Any = keras.tree.map_structure(rounded_constant, args)
    return x.add_many(x.part(op, "same", make), given, kwargs)


def rounded_constant(item: Any) -> Any:
    """An array among the inputs of an op, as the converter will round it: scalars are exact."""
    import keras

    if isinstance(item, (Value, str, bool, int, float, type(None), slice)):
        return item
    if not isinstance(item, np.ndarray) and not keras.ops.is_tensor(item):
        return item
    array = np.asarray(item)
    if array.dtype.kind != "f" or array.size == 1:
        return array
    low, high = min(float(array.min()), 0.0), max(float(array.max()), 0.0)
    rounded = keras.quantizers.fake_quant_with_min_max_vars(array, low, max(high, low + 1e-6))
    return np.asarray(rounded)


def copy_weights(old: Any, new: Any) -> None:
    if old.weights and not new.built:
        new.build_from_config(old.get_build_config())
    if old.weights:
        new.set_weights(old.get_weights())


# ---- activations of several ops --------------------------------------------------


def _silu(x: Expander, op: Any, value: Value) -> Value:
    """x · sigmoid(x), as TFLite has it."""
    import keras

    gate = x.add(x.activation(op, "sigmoid"), value)
    product = x.part(op, "times", lambda: keras.layers.Multiply(name=f"{op.name}_times"))
    return x.add(product, [value, gate])


def _hard_sigmoid(x: Expander, op: Any, value: Value) -> Value:
    """relu6(x + 3) / 6, the first two as one op."""
    import keras

    plus = x.part(op, "plus", lambda: operation(keras.ops.add))
    shifted = x.add(x.activation(op, "relu6"), x.add(plus, value, 3.0))
    return times(x, op, shifted, 1 / 6)


def operation(function: Callable[..., Any]) -> Any:
    """A new operation that does what a function of keras.ops does with two inputs."""
    import keras

    one = keras.KerasTensor((None, 1))
    return type(function(one, one)._keras_history.operation)()


def times(x: Expander, op: Any, value: Value, factor: float) -> Value:
    import keras

    return x.add(
        x.part(op, f"times {factor}", lambda: operation(keras.ops.multiply)), value, factor
    )


_CURVES: dict[str, Callable[[Expander, Any, Value], Value]] = {
    "silu": _silu,
    "hard_sigmoid": _hard_sigmoid,
}


Handler = Callable[[Expander, Call, list[Any], dict[str, Any]], list[Value]]
