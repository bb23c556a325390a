"""The proof: what ships computes, byte for byte, what TFLM computes on the model that came in."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from . import codegen, graph
from .errors import TflmOptError
from .graph import Graph
from .runtime import tflm, vectors
from .runtime.host import Engine
from .runtime.vectors import Difference

Samples = Sequence[Sequence[np.ndarray]]


class NotEqual(TflmOptError):
    """What was built differs from TFLM: a bug of ours, never something to ship.

    Attributes:
        difference: where and how far.
    """

    def __init__(self, what: str, difference: Difference) -> None:
        super().__init__(
            f"{what} differs from TFLM on the model that came in: {difference.first}. "
            "This is a bug in tflm_opt: please report it with the model"
        )
        self.difference = difference


@dataclass(frozen=True, slots=True)
class Proof:
    """Test vectors and what was found with them.

    Attributes:
        samples: inputs of the optimized model.
        expected: TFLM's outputs on the model that came in, in the optimized model's types.
        engine, stock: the generated C, and our `.tflite` in TFLM, against `expected`; None if
            nothing was run.
    """

    samples: Samples
    expected: Samples
    engine: Difference | None
    stock: Difference | None

    @property
    def equal(self) -> bool | None:
        """Whether both are equal to TFLM's; None if nothing was run."""
        if self.engine is None or self.stock is None:
            return None
        return self.engine.equal and self.stock.equal


def prove(
    original: Graph,
    original_tflite: bytes,
    optimized: Graph,
    tflite: bytes,
    sources: codegen.Sources,
    count: int,
    seed: int = 0,
) -> Proof:
    """Run original and result on `count` seeded samples; 0 runs nothing.

    Raises:
        NotEqual: a single byte differs.
        MissingTool: no C compiler, or no `tflite-micro`.
    """
    if count <= 0:
        return Proof((), (), None, None)
    samples = vectors.seeded(optimized.inputs, count, seed)
    expected = reference(original, original_tflite, optimized, samples)
    names = [tensor.name for tensor in optimized.outputs]
    stock = vectors.compare(expected, tflm.run(tflite, samples), names)
    if not stock.equal:
        raise NotEqual("the rewritten .tflite", stock)
    engine = vectors.compare(expected, run_engine(sources, samples), names)
    if not engine.equal:
        raise NotEqual("the generated C", engine)
    return Proof(samples, expected, engine, stock)


def reference(original: Graph, tflite: bytes, optimized: Graph, samples: Samples) -> Samples:
    """TFLM's outputs on the model that came in, for samples in the optimized model's types."""
    asked = [vectors.recode(s, optimized.inputs, original.inputs) for s in samples]
    given = tflm.run(tflite, asked)
    return [vectors.recode(s, original.outputs, optimized.outputs) for s in given]


def run_engine(sources: codegen.Sources, samples: Samples) -> list[list[np.ndarray]]:
    """The generated C, built for this computer, on samples in the model's own types."""
    with tempfile.TemporaryDirectory(prefix="tflm_opt_") as folder:
        codegen.write(sources, folder)
        return Engine(folder).run(samples)


def compare_files(a: bytes, b: bytes, *, count: int = 100, seed: int = 0) -> Difference:
    """Two `.tflite` files on the same seeded inputs, both in TFLM.

    Float and int8 versions of a model's inputs and outputs are recoded into each other.

    Raises:
        TflmOptError: inputs or outputs that don't correspond.
    """
    first, second = graph.read(a), graph.read(b)
    _check_ports("inputs", first.inputs, second.inputs)
    _check_ports("outputs", first.outputs, second.outputs)
    samples = vectors.seeded(second.inputs, count, seed)
    expected = reference(first, a, second, samples)
    return vectors.compare(expected, tflm.run(b, samples), [t.name for t in second.outputs])


def _check_ports(what: str, a: Sequence[graph.Tensor], b: Sequence[graph.Tensor]) -> None:
    if [t.elements for t in a] != [t.elements for t in b]:
        shapes = " and ".join(str([list(t.shape) for t in side]) for side in (a, b))
        raise TflmOptError(f"the models have different {what}: {shapes}")
