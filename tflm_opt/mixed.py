"""Which layers get int4 weights: those that save the bytes asked for at the least harm.

    found = mixed.choose(tflite, save=120_000, samples=samples)
    print(found)                # layer by layer: bytes, harm, chosen
    found.tflite                # the model with those layers in int4

A layer's harm is measured: with its weights alone in int4, the model runs over samples in TFLM,
and what its outputs lose is noise over signal, as a ratio of powers. Harms are taken to add up, as
small independent errors do, so the choice is a knapsack: the least sum of harms among all sets of
layers that save enough (HAWQ-V2, Dong et al., 2020, chooses bits so; its harm is an estimate from
second derivatives). What the chosen layers do together is measured afterwards.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from . import graph as graphs
from .graph import Graph, Op, Tensor, edit
from .quant import int4
from .runtime import tflm, vectors

Samples = Sequence[Sequence[np.ndarray]]

SAMPLES = 16
# Models with fewer outputs are judged by the features before their last layer, too: two classes
# are too coarse a ruler.
FEW_OUTPUTS = 64
SEEDED = "seeded vectors, no real data: the order of layers is a guess"
GIVEN = "the data given"
_TIMEOUT = 1800.0
_UNITS = 4000  # steps of the knapsack's scale


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer whose weights may be int4.

    Attributes:
        op: its position in the model that came in; `kind`: what it is; `name`: of its output.
        int8, int4: bytes of its weights.
        harm: noise over signal at what is judged, with this layer alone in int4.
        chosen: whether it is int4 in the end.
    """

    op: int
    kind: str
    name: str
    int8: int
    int4: int
    harm: float
    chosen: bool = False

    @property
    def saved(self) -> int:
        return self.int8 - self.int4


@dataclass(frozen=True, slots=True, eq=False)
class Mixed:
    """The layers of a model, which of them are int4, and the model.

    Attributes:
        layers: all that could be int4, in the model's order.
        asked: bytes to save; `saved`: what the chosen layers save.
        harm: noise over signal with all chosen layers in int4, measured.
        samples: how many were run; `data`: what they are.
        tflite: the model.
    """

    layers: tuple[Layer, ...]
    asked: int
    harm: float
    samples: int
    data: str
    tflite: bytes

    @property
    def saved(self) -> int:
        return sum(layer.saved for layer in self.layers if layer.chosen)

    @property
    def weights(self) -> tuple[int, int]:
        """Bytes of these layers' weights in int8, and as they are now."""
        before = sum(layer.int8 for layer in self.layers)
        return before, before - self.saved

    @property
    def complete(self) -> bool:
        """Whether as much is saved as was asked for."""
        return self.saved >= self.asked

    def to_dict(self) -> dict[str, Any]:
        before, after = self.weights
        return {
            "layers": [{**asdict(layer), "harm_db": decibels(layer.harm)} for layer in self.layers],
            "asked": self.asked,
            "saved": self.saved,
            "weights_int8": before,
            "weights": after,
            "harm": self.harm,
            "harm_db": decibels(self.harm),
            "samples": self.samples,
            "data": self.data,
        }

    def __str__(self) -> str:
        return "\n".join([*_table(self.layers), *summary(self)])


def decibels(harm: float) -> float | None:
    """Signal over noise in dB; None where nothing is lost.

    >>> decibels(0.01)
    20.0
    """
    return round(-10 * math.log10(harm), 2) if harm > 0 else None


def summary(found: Mixed) -> list[str]:
    """What was chosen, in two lines."""
    before, after = found.weights
    count = sum(layer.chosen for layer in found.layers)
    less = 100 * (before - after) / max(before, 1)
    together = decibels(found.harm)
    quality = "no change" if together is None else f"{together:.1f} dB of signal over noise"
    return [
        f"{count} of {len(found.layers)} layers in int4: weights {before:,} -> {after:,} bytes "
        f"({less:.1f}% less)",
        f"together: {quality}, over {found.samples} samples ({found.data})",
    ]


def _table(layers: Sequence[Layer]) -> list[str]:
    head = ("op", "kind", "int8", "int4", "dB alone", "weights", "layer")
    rows = [
        (
            str(layer.op),
            layer.kind,
            f"{layer.int8:,}",
            f"{layer.int4:,}",
            "-" if (db := decibels(layer.harm)) is None else f"{db:.1f}",
            "int4" if layer.chosen else "int8",
            graphs.text.short_name(layer.name),
        )
        for layer in layers
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    rule = [str.rjust, str.ljust, str.rjust, str.rjust, str.rjust, str.ljust, str.ljust]
    lines = [head, *rows]
    return [
        "  ".join(put(t, w) for put, t, w in zip(rule, line, widths, strict=True)).rstrip()
        for line in lines
    ]


def choose(tflite: bytes, save: int, samples: Samples | None = None, *, seed: int = 0) -> Mixed:
    """The layers that save so many bytes of weights at the least harm.

    Args:
        tflite: an int8 model.
        save: bytes; where that is more than all layers can save, all are chosen.
        samples: inputs in the model's types; by default seeded vectors, and `data` says so.

    Raises:
        MissingTool: no `tflite-micro`.
    """
    return Choices(tflite, samples, seed=seed).choose(save)


class Choices:
    """A model's layers, measured once, for choices of any size."""

    def __init__(self, tflite: bytes, samples: Samples | None = None, *, seed: int = 0) -> None:
        self._graph = graphs.read(tflite)
        self.data = SEEDED if not samples else GIVEN
        given = samples or vectors.seeded(self._graph.inputs, SAMPLES, seed)
        self._samples = given[:SAMPLES]
        self._filters = int4.candidates(self._graph)
        self._judged = judged(self._graph)
        alone = [self._narrowed([filters]) for filters in self._filters]
        self._expected, *found = self._run([self._graph, *alone])
        self.layers = tuple(
            self._layer(filters, harm(self._expected, outputs, self._judged))
            for filters, outputs in zip(self._filters, found, strict=True)
        )

    @property
    def most(self) -> int:
        """Bytes that can be saved."""
        return sum(layer.saved for layer in self.layers)

    def choose(self, save: int) -> Mixed:
        """See `choose`."""
        kept = knapsack([(layer.saved, layer.harm) for layer in self.layers], save)
        layers = tuple(replace(layer, chosen=i in kept) for i, layer in enumerate(self.layers))
        made = self._narrowed([self._filters[i] for i in sorted(kept)])
        (outputs,) = self._run([made])
        together = harm(self._expected, outputs, self._judged)
        count = len(self._samples)
        return Mixed(layers, save, together, count, self.data, graphs.write(made))

    def _narrowed(self, filters: Sequence[Tensor]) -> Graph:
        return int4.rewrite(self._graph, filters)

    def _run(self, made: Sequence[Graph]) -> list[list[list[np.ndarray]]]:
        """What is judged, of each graph and sample."""
        names = [tensor.name for tensor in self._judged]
        jobs = []
        for one in made:
            tensors = {t.name: t for t in edit.inner_tensors(one)}
            jobs.append((graphs.write(edit.with_outputs(one, [tensors[n] for n in names])),))
        return tflm.run_many([(job, self._samples) for (job,) in jobs], timeout=_TIMEOUT)

    def _layer(self, filters: Tensor, lost: float) -> Layer:
        index, op = next(
            (i, op) for i, op in enumerate(self._graph.ops) if int4.filters(op) is filters
        )
        return Layer(index, op.kind, op.output.name, filters.nbytes, int4_bytes(filters), lost)


def int4_bytes(filters: Tensor) -> int:
    """Bytes of a filter in int4, as generated code has it: words of eight."""
    return -(-filters.elements // 8) * 4


def judged(graph: Graph) -> tuple[Tensor, ...]:
    """The tensors at which harm is measured: the outputs before a softmax or dequantization.

    Where they have few values, the input of the last layer with weights, too.
    """
    makers = edit.producers(graph)
    found = [_before(makers, tensor) for tensor in graph.outputs]
    if sum(tensor.elements for tensor in found) < FEW_OUTPUTS:
        last = [op for op in graph.ops if int4.filters(op) is not None][-1:]
        found += [t for op in last if (t := op.inputs[0]) is not None and t in makers]
    return tuple(dict.fromkeys(found))


def _before(makers: dict[Tensor, Op], tensor: Tensor) -> Tensor:
    while (op := makers.get(tensor)) is not None and op.kind in ("SOFTMAX", "DEQUANTIZE"):
        source = op.inputs[0]
        if source is None or source not in makers:
            break
        tensor = source
    return tensor


def harm(
    expected: Sequence[Sequence[np.ndarray]],
    given: Sequence[Sequence[np.ndarray]],
    tensors: Sequence[Tensor],
) -> float:
    """Noise over signal, as a mean over tensors: powers of differences and of deviations from the
    mean, so that an output which never changes says nothing."""
    ratios = []
    for i, tensor in enumerate(tensors):
        want, have = (
            np.stack([_real(row[i], tensor).ravel() for row in rows]) for rows in (expected, given)
        )
        signal = float(np.mean((want - want.mean()) ** 2))
        noise = float(np.mean((want - have) ** 2))
        if signal > 0:
            ratios.append(noise / signal)
    return float(np.mean(ratios)) if ratios else 0.0


def _real(codes: np.ndarray, tensor: Tensor) -> np.ndarray:
    if codes.dtype.kind == "f" or tensor.quant is None:
        return codes.astype(np.float64)
    return (codes.astype(np.float64) - tensor.zero_point) * tensor.scale


def knapsack(items: Sequence[tuple[int, float]], save: int) -> frozenset[int]:
    """Positions of items of the least sum of harms that save so much; all, if they save less.

    >>> sorted(knapsack([(100, 9.0), (60, 1.0), (50, 2.0)], 100))
    [1, 2]

    Args:
        items: (bytes saved, harm). Sizes are rounded down to steps of the scale, so that what is
            chosen saves enough for sure.
    """
    if save <= 0:
        return frozenset()
    if sum(size for size, _ in items) <= save:
        return frozenset(range(len(items)))
    unit = max(save // _UNITS, 1)
    want = -(-save // unit)
    least = np.full(want + 1, np.inf)
    least[0] = 0.0
    taken = np.zeros((len(items), want + 1), bool)
    for i, (size, lost) in enumerate(items):
        steps = min(size // unit, want)
        # Layers without measured harm still cost something: fewer of them are better.
        cost = lost + 1e-12
        before = np.concatenate([np.full(steps, least[0]), least[: want + 1 - steps]])
        before[0] = least[0]
        taken[i] = before + cost < least
        least = np.where(taken[i], before + cost, least)
    if not np.isfinite(least[want]):
        return frozenset(range(len(items)))
    chosen, at = set(), want
    for i in range(len(items) - 1, -1, -1):
        if taken[i, at]:
            chosen.add(i)
            at = max(at - min(items[i][0] // unit, want), 0)
    return frozenset(chosen)
