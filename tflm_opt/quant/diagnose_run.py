"""Every tensor of a `.tflite` for a sample, from LiteRT with its reference kernels.

For int8 those equal TFLM's, bit for bit, but for SUM: LiteRT's reference kernel adds codes and
never rescales them, while TFLM's does, as do LiteRT's optimized ones. `apart` makes a file of the
same ops in which none reads another's result: what each does to inputs of our choice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .. import graph as graphs
from ..errors import ToolFailed
from ..graph import Graph, Op, Tensor


class Runner:
    """A file that is loaded, and its graph.

    Example:
        >>> values = Runner(tflite).run([image])
        >>> values[runner.graph.outputs[0]]
    """

    def __init__(self, tflite: bytes) -> None:
        from ai_edge_litert import interpreter as litert

        self.graph = graphs.read(tflite)
        self._places = {tensor: i for i, tensor in enumerate(self.graph.tensors)}
        kernels = litert.OpResolverType.BUILTIN_REF
        if any(op.kind == "SUM" for op in self.graph.ops):
            kernels = litert.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        try:
            self._engine: Any = litert.Interpreter(
                model_content=tflite,
                experimental_op_resolver_type=kernels,
                experimental_preserve_all_tensors=True,
                num_threads=1,
            )
            self._engine.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise ToolFailed("LiteRT", f"refused the model: {error}") from error

    def run(self, inputs: Sequence[np.ndarray]) -> Mapping[Tensor, np.ndarray]:
        """The values of inputs and of all that ops compute; valid until the next run."""
        for tensor, array in zip(self.graph.inputs, inputs, strict=True):
            self._engine.set_tensor(self._places[tensor], array)
        self._engine.invoke()
        return _Values(self._engine, self._places)


class _Values(Mapping[Tensor, np.ndarray]):
    def __init__(self, engine: Any, places: dict[Tensor, int]) -> None:
        self._engine, self._places = engine, places

    def __getitem__(self, tensor: Tensor) -> np.ndarray:
        return self._engine.get_tensor(self._places[tensor])

    def __iter__(self) -> Any:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def apart(graph: Graph) -> tuple[bytes, tuple[Tensor, ...]]:
    """The ops of a graph as a file in which each reads inputs alone, and what these stand for.

    Raises:
        UnsupportedModel: a graph that can't be cut so: one that keeps state.
    """
    stands: dict[Tensor, Tensor] = {}

    def given(tensor: Tensor | None) -> Tensor | None:
        if tensor is None or tensor.data is not None:
            return tensor
        if tensor not in stands:
            name = f"{tensor.name}:given"
            stands[tensor] = Tensor(name, tensor.shape, tensor.dtype, tensor.quant)
        return stands[tensor]

    ops = tuple(
        Op(
            op.kind,
            tuple(map(given, op.inputs)),
            op.outputs,
            op.options,
            op.version,
            op.custom_code,
            op.intermediates,
            op.carried,
        )
        for op in graph.ops
    )
    outputs = tuple(tensor for op in ops for tensor in op.outputs)
    cut = Graph(ops, tuple(stands.values()), outputs)
    return graphs.write(cut), tuple(stands)
