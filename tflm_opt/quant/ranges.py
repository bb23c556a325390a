"""Ranges of activations: of all values, of most of them, or of least error.

A range that holds every value spends codes on rare ones. `percentile` leaves out the same share of
values at both ends together; `mse` takes the range of least mean squared error after rounding.
Both read a histogram of `BINS` bins a tensor, filled in one streaming pass over the samples, so
memory does not grow with them.
"""

from __future__ import annotations

import fnmatch
import math
import re
from collections.abc import Mapping, Sequence

import numpy as np

from ..errors import CalibrationError, TflmOptError
from .calibration import Sample
from .float_graph import FloatGraph, Range, watch

BINS = 2048
_UNBOUNDED = 1e30  # TFLite's calibrator writes the largest float for infinity
METHODS = ("minmax", "percentile", "mse")
Choice = str | Range  # a method, or (low, high)
# Ops whose inputs and outputs share one scale in int8.
_TIED = (
    "RESHAPE",
    "SQUEEZE",
    "EXPAND_DIMS",
    "TRANSPOSE",
    "MAX_POOL_2D",
    "AVERAGE_POOL_2D",
    "CONCATENATION",
    "PAD",
    "SLICE",
    "STRIDED_SLICE",
    "SPLIT",
    "SPLIT_V",
    "GATHER",
    "RESIZE_BILINEAR",
    "RESIZE_NEAREST_NEIGHBOR",
    "TILE",
    "PACK",
    "UNPACK",
    "DEPTH_TO_SPACE",
    "SPACE_TO_DEPTH",
    "SPACE_TO_BATCH_ND",
    "BATCH_TO_SPACE_ND",
    "REVERSE_V2",
    "MIRROR_PAD",
)


def require_bounded(graph: FloatGraph, tensor: int, found: Range) -> None:
    """Refuse a range without end, which no 256 codes can hold.

    Raises:
        CalibrationError: names the tensor.
    """
    if not all(abs(end) < _UNBOUNDED for end in found):
        raise CalibrationError(
            f"tensor {graph.name(tensor)!r} goes from {found[0]:.3g} to {found[1]:.3g} on the "
            "calibration data, or is infinite: it has no range for int8. Check the model's "
            "weights and the scaling of the inputs, or bound it (a ReLU6, a tanh)"
        )


def choose(
    graph: FloatGraph,
    samples: Sequence[Sample],
    *,
    method: str,
    percentile: float,
    layers: Mapping[str, Choice],
) -> None:
    """Replace each tensor's min-max range by that of its method, and tied tensors' by one."""
    choices = _choices(graph, method, layers)
    histograms = None
    if any(choice in ("percentile", "mse") for choice, _ in choices.values()):
        histograms = _histograms(graph, samples)
    for group in _groups(graph):
        named = [choices[t][0] for t in group if choices[t][1]]
        given: set[Range] = {choice for choice in named if isinstance(choice, tuple)}
        if len(given) > 1:
            raise TflmOptError(
                f"layers= gives {sorted(map(str, given))} to tensors that share one scale: "
                f"{[graph.name(t) for t in group]}. Give one of them a range"
            )
        own = [t for t in group if choices[t][1]] or group
        found = [_range(graph, t, choices[t][0], percentile, histograms) for t in own]
        low, high = min(one[0] for one in found), max(one[1] for one in found)
        if given:
            ((low, high),) = given
        if given or len(group) > 1 or choices[group[0]][0] != "minmax":
            if all(choices[t][0] == "minmax" for t in group):
                continue  # as the converter has them
            for tensor in group:
                graph.set_range(tensor, low, high)


def _choices(
    graph: FloatGraph, method: str, layers: Mapping[str, Choice]
) -> dict[int, tuple[Choice, bool]]:
    """For each tensor the choice, and whether `layers` makes it; the first pattern that fits."""
    found: dict[int, tuple[Choice, bool]] = {t: (method, False) for t in graph.activations()}
    for pattern, choice in reversed(list(layers.items())):
        named = _named({t: graph.name(t) for t in found}, pattern)
        if not named:
            names = sorted({graph.name(t) for t in found})
            raise TflmOptError(
                f"layers= names {pattern!r}, which no tensor of the converted model has. They are: "
                + ", ".join(names)
            )
        found.update({tensor: (choice, True) for tensor in named})
    return found


def _named(names: Mapping[int, str], pattern: str) -> list[int]:
    """The tensors that a pattern is for: by a layer's name in theirs, or by the whole of it.

    Keras ends the names of layers by a count when it traces a model ("conv" to "conv_1"), so they
    are tried without it first.
    """
    parts = {tensor: re.split("[/;:]", name) for tensor, name in names.items()}
    layers = {t: [re.sub(r"_\d+$", "", part) for part in some] for t, some in parts.items()}
    whole = {tensor: [*some, names[tensor]] for tensor, some in parts.items()}
    for tried in (layers, whole):
        found = [
            tensor
            for tensor, some in tried.items()
            if any(fnmatch.fnmatchcase(one, pattern) for one in some)
        ]
        if found:
            return found
    return []


def _groups(graph: FloatGraph) -> list[list[int]]:
    """Tensors that share a scale, together; all others alone."""
    tensors = graph.activations()
    root = {tensor: tensor for tensor in tensors}
    for op, kind in enumerate(graph.kinds):
        if kind not in _TIED:
            continue
        ends = [t for t in graph.inputs(op) + graph.outputs(op) if t in root]
        for one in ends[1:]:
            old, new = root[one], root[ends[0]]
            root = {tensor: new if top == old else top for tensor, top in root.items()}
    return [[t for t in tensors if root[t] == top] for top in dict.fromkeys(root.values())]


def _histograms(graph: FloatGraph, samples: Sequence[Sample]) -> dict[str, np.ndarray]:
    spans = {graph.name(t): graph.range(t) or (0.0, 0.0) for t in graph.activations()}
    counts = {name: np.zeros(BINS, np.int64) for name in spans}

    def see(tensors: dict[str, np.ndarray]) -> None:
        for name, (low, high) in spans.items():
            if high > low:
                # Other kernels than the calibrator's may pass its ends by a rounding.
                value = np.clip(tensors[name], low, high)
                counts[name] += np.histogram(value, BINS, (low, high))[0]

    watch(graph.pack(), samples, see)
    return counts


def _range(
    graph: FloatGraph,
    tensor: int,
    choice: Choice,
    percentile: float,
    histograms: dict[str, np.ndarray] | None,
) -> Range:
    span = graph.range(tensor) or (0.0, 0.0)
    if isinstance(choice, tuple):
        return float(choice[0]), float(choice[1])
    if choice == "minmax" or histograms is None or span[0] >= span[1]:
        return span
    counts = histograms[graph.name(tensor)]
    if choice == "percentile":
        return percentile_range(counts, span, percentile)
    return mse_range(counts, span)


def percentile_range(counts: np.ndarray, span: Range, percentile: float) -> Range:
    """The range without the outer (100 - percentile) % of the values, half at each end.

    >>> percentile_range(np.array([1, 98, 1, 0]), (0.0, 4.0), 98)
    (1.0, 2.0)
    """
    edges = np.linspace(*span, len(counts) + 1)
    tail = counts.sum() * (100 - percentile) / 200
    up, down = np.cumsum(counts), np.cumsum(counts[::-1])
    low = edges[np.searchsorted(up, tail, side="right")] if tail else span[0]
    high = edges[len(counts) - np.searchsorted(down, tail, side="right")] if tail else span[1]
    return float(low), float(high)


def mse_range(counts: np.ndarray, span: Range, *, steps: int = 64) -> Range:
    """The range of least squared error of 256 codes, one end at a time, twice."""
    used = np.flatnonzero(counts)
    edges = np.linspace(*span, len(counts) + 1)
    values, weights = ((edges[1:] + edges[:-1]) / 2)[used], counts[used]
    low, high = min(span[0], 0.0), max(span[1], 0.0)
    full = (low, high)
    fractions = np.arange(steps, 3, -1) / steps
    for _ in range(2):
        high = min((full[1] * f for f in fractions), key=lambda h: _error(values, weights, low, h))
        low = min((full[0] * f for f in fractions), key=lambda v: _error(values, weights, v, high))
    return float(low), float(high)


def _error(values: np.ndarray, weights: np.ndarray, low: float, high: float) -> float:
    scale = (high - low) / 255
    if not scale > 0:
        return math.inf
    zero = round(-low / scale)
    codes = np.clip(np.round(values / scale) + zero, 0, 255)
    return float((weights * (values - (codes - zero) * scale) ** 2).sum())
