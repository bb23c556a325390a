"""A Keras 3 model, built anew for training with quantization.

Every tensor that int8 has a scale for goes through a `FakeQuant`, every weight through a
`Quantized` layer. `expand` says of which ops the new model consists, `ranges` what is rounded.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import Any

from .equalize import equalize
from .expand import expanded
from .ranges import Group, Ranges, planned
from .rules import rule
from .trace import Call, Traced, Value, trace


def rebuilt(model: Any, *, momentum: float, equal: bool = True) -> Any:
    """See `qat.prepare`."""
    traced, reach = expanded(trace(model))
    if equal:
        equalize(traced, reach)
    return _Builder(traced, planned(traced), momentum).build(model)


@dataclass(slots=True)
class _Builder:
    """One rebuilding: `tensors` are the new ones, `made` the new layers by the expanded ones'."""

    traced: Traced
    ranges: Ranges
    momentum: float
    tensors: dict[Value, Any] = field(default_factory=dict)
    made: dict[int, Any] = field(default_factory=dict)
    fakes: dict[Group, Any] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    given: dict[Group, int] = field(default_factory=dict)

    def build(self, model: Any) -> Any:
        import keras

        self._count()
        inputs = []
        for value in self.traced.inputs:
            symbol = value.symbol
            made = keras.Input(batch_shape=symbol.shape, dtype=symbol.dtype, name=symbol.name)
            inputs.append(made)
            self._give(value, made)
        for call in self.traced.calls:
            self._emit(call)
        structure = keras.tree.map_structure(lambda v: self.tensors[v], self.traced.structure)
        struct: Any = keras.tree.pack_sequence_as(getattr(model, "_inputs_struct", inputs), inputs)
        if isinstance(model, keras.Sequential):
            struct = inputs[0]
        made = _class_of(model)(struct, structure, name=model.name)
        if model.compiled:
            compile_as(made, model)
        return made

    def _count(self) -> None:
        """How many tensors each learned range is learned from."""
        plan = self.ranges
        for value, looked_at in plan.rounded.items():
            plan.group(value).places += looked_at
        for group in plan.recast.values():
            group.root().places += 1

    def _emit(self, call: Call) -> None:
        import keras

        def tensor(item: Any) -> Any:
            if not isinstance(item, Value):
                return item
            recast = self.ranges.recast.get((call, item))
            made = self.tensors[item]
            return made if recast is None else self._fake(recast.root(), made, True, recast=True)

        args: Any = keras.tree.map_structure(tensor, list(call.args))
        kwargs: Any = keras.tree.map_structure(tensor, dict(call.kwargs))
        results = self._layer(call.op)(*args, **kwargs)
        for value, made in zip(call.outputs, keras.tree.flatten(results), strict=True):
            self._give(value, made)

    def _give(self, value: Value, tensor: Any) -> None:
        plan = self.ranges
        if value in plan.rounded:
            tensor = self._fake(plan.group(value), tensor, plan.rounded[value])
        self.tensors[value] = tensor

    def _fake(self, group: Group, tensor: Any, looked_at: bool, **how: Any) -> Any:
        from .layers import FakeQuant

        if group not in self.fakes:
            low, high = group.given or (None, None)
            self.fakes[group] = FakeQuant(
                low, high, momentum=self.momentum, places=group.places, name=self._name(group.name)
            )
        layer = self.fakes[group]
        if group.given is not None or (group.places == 1 and looked_at):
            return layer(tensor, **how)
        place = self.given.get(group, 0) if looked_at else -1
        self.given[group] = self.given.get(group, 0) + looked_at
        return layer(tensor, place=place, **how)

    def _name(self, wanted: str) -> str:
        wanted = wanted.replace("/", "_").replace(":", "_")
        name, count = wanted, 1
        while name in self.names:
            name, count = f"{wanted}_{count}", count + 1
        self.names.add(name)
        return name

    def _layer(self, op: Any) -> Any:
        from .layers import Quantized

        if id(op) not in self.made:
            op.name = self._name(op.name)
            weights = rule(op).weights
            self.made[id(op)] = Quantized(op, weights) if weights else op
        return self.made[id(op)]


def _class_of(model: Any) -> Any:
    """Where a Functional model is of a class of its own, with its own `train_step`, that one."""
    import keras

    kind = type(model)
    own = kind.__module__.partition(".")[0] != "keras"
    if not own or isinstance(model, keras.Sequential):
        return keras.Model
    if "__init__" not in vars(kind):
        return kind
    warnings.warn(
        f"model {model.name!r} is of a class with an __init__ of its own ({kind.__name__}), so "
        "what is prepared is a plain keras.Model: methods like train_step are not taken over",
        stacklevel=2,
    )
    return keras.Model


def compile_as(made: Any, model: Any, **instead: Any) -> None:
    """Compile a model as another one is, with an optimizer and metrics of its own."""
    import keras

    def own(item: Any) -> Any:
        if isinstance(item, (keras.Optimizer, keras.Metric)):
            return type(item).from_config(item.get_config())
        return item

    given = {**model._compile_config.config, **instead}
    config: Any = keras.tree.map_structure(own, given)
    made.compile(**config)
