"""A Keras model as a flat list of calls: nested models unfolded, shared layers once each.

What a layer's output needs depends on what comes next (a convolution whose ReLU is another layer is
one op on the microcontroller), so the graph has to be known before any of it is built anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...errors import UnsupportedModel


@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """A tensor of the traced model. `symbol` is Keras's own, with shape and dtype."""

    symbol: Any


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """One call of a layer, or of an operation as `a + b` makes it.

    Attributes:
        op: the layer.
        args, kwargs: as it was called, with `Value`s in place of tensors.
        outputs: what it gives, flat.
    """

    op: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    outputs: tuple[Value, ...]

    @property
    def inputs(self) -> tuple[Value, ...]:
        import keras

        flat = keras.tree.flatten((self.args, self.kwargs))
        return tuple(item for item in flat if isinstance(item, Value))


@dataclass(frozen=True, slots=True, eq=False)
class Traced:
    """A model: its calls in the order in which they can run.

    Attributes:
        structure: of the outputs, `Value`s at the leaves.
    """

    inputs: tuple[Value, ...]
    calls: tuple[Call, ...]
    structure: Any

    @property
    def outputs(self) -> tuple[Value, ...]:
        import keras

        return tuple(keras.tree.flatten(self.structure))

    def readers(self) -> dict[Value, list[Call | None]]:
        """Who reads a value, once for each time; None is the model's caller."""
        found: dict[Value, list[Call | None]] = {value: [] for value in self.inputs}
        for call in self.calls:
            found |= {value: [] for value in call.outputs}
            for value in call.inputs:
                found[value].append(call)
        for value in self.outputs:
            found[value].append(None)
        return found


def trace(model: Any) -> Traced:
    """The calls of a Sequential or Functional model.

    Raises:
        UnsupportedModel: a subclassed or unbuilt model, whose graph Keras doesn't know.
    """
    graph = graph_of(model)
    inputs = tuple(Value(symbol) for symbol in graph.inputs)
    calls: list[Call] = []
    structure = _run(graph, inputs, calls)
    return Traced(inputs, tuple(calls), structure)


def graph_of(model: Any) -> Any:
    """The `Functional` model behind a Sequential or Functional one."""
    import keras

    if isinstance(model, keras.Sequential):
        graph = model._functional
        if graph is None:
            raise UnsupportedModel(
                f"model {model.name!r} was never built, so its shapes aren't known",
                remedy="Give it a keras.Input first, or call it on an example",
            )
        return graph
    if hasattr(model, "_run_through_graph"):
        return model
    raise UnsupportedModel(
        f"model {model.name!r} ({type(model).__name__}) is subclassed: Keras knows no graph of it",
        remedy="Write it with the Functional API: keras.Model(inputs, outputs)",
    )


def is_model(op: Any) -> bool:
    """Whether a layer is a model whose own layers can be seen."""
    import keras

    return isinstance(op, keras.Sequential) or hasattr(op, "_run_through_graph")


def _run(graph: Any, inputs: Sequence[Value], calls: list[Call]) -> Any:
    """Walk a graph; this is the one place that leans on how Keras runs its graphs."""
    import keras

    def call(op: Any, *args: Any, **kwargs: Any) -> Any:
        if is_model(op):
            nested = graph_of(op)
            return _run(nested, _flat_inputs(nested, args), calls)
        outputs = tuple(Value(symbol) for symbol in symbols(op, args, kwargs))
        calls.append(Call(op, args, kwargs, outputs))
        return list(outputs)

    return graph._run_through_graph(
        keras.tree.pack_sequence_as(graph._inputs_struct, list(inputs)),
        operation_fn=lambda op: op,
        call_fn=call,
    )


def _flat_inputs(graph: Any, args: Sequence[Any]) -> list[Value]:
    import keras

    values = [item for item in keras.tree.flatten(list(args)) if isinstance(item, Value)]
    if len(values) != len(graph.inputs):
        raise UnsupportedModel(
            f"the nested model {graph.name!r} is called with {len(values)} tensors, and has "
            f"{len(graph.inputs)} inputs"
        )
    return values


def symbols(op: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> list[Any]:
    """What the layer would give, as Keras's symbolic tensors: shapes alone are computed."""
    import keras

    def symbol(item: Any) -> Any:
        return item.symbol if isinstance(item, Value) else item

    given: Any = keras.tree.map_structure(symbol, list(args))
    named: Any = keras.tree.map_structure(symbol, kwargs)
    return keras.tree.flatten(op.compute_output_spec(*given, **named))
