"""Float against int8, layer by layer: where a net loses what it loses to quantization.

Three runs a sample, with all tensors kept: the float net; the int8 net, whose errors add up from
layer to layer; and every int8 layer by itself, which is given the float net's values and so shows
what it adds alone. The first comes from `float_twin`, the others run the int8 file's ops on
LiteRT's reference kernels.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import TflmOptError
from ..graph import Graph, Op, Tensor
from ..graph.ir import NUMPY_DTYPES
from ..graph.text import short_name
from . import diagnose_ends as ends
from . import diagnose_match as matching
from . import diagnose_reasons as reasons
from .diagnose_run import Runner, apart
from .diagnose_tally import Tally, decibels, quantized
from .diagnosis import Diagnosis, LayerError

Samples = Sequence[Sequence[np.ndarray]]

NO_FLOAT = (
    "there is no float model to compare with (a .tflite alone): saturation, range use and dead "
    "channels only. Give optimize() the Keras model to see errors too"
)


def diagnose(
    tflite: bytes,
    float_tflite: bytes | None,
    samples: Samples,
    *,
    optimized: Graph | None = None,
    names: Collection[str] = (),
    drawn: bool = False,
    tick: Callable[[int], None] = lambda done: None,
) -> Diagnosis:
    """What quantization does to each layer.

    Example:
        >>> made = quant.quantize(model, calibration=x_train)
        >>> print(diagnose(made.tflite, float_tflite(made.float_model), [[x] for x in x_test[:64]]))

    Args:
        tflite: the int8 file.
        float_tflite: the same net in float (`float_twin.float_tflite`); None leaves errors out.
        samples: samples × inputs, floats, with or without the batch axis.
        optimized: the graph that `optimize` made of it: says which dead channels are gone.
        names: of the layers of the Keras model.
        drawn: whether the ranges come from drawn data.
        tick: called with the number of samples done.
    """
    runs = _Runs(tflite, float_tflite)
    rows = runs.rows()
    tops: list[np.ndarray] = []
    for number, sample in enumerate(samples):
        tops.append(runs.sample(sample))
        tick(number + 1)
    sizes = {} if optimized is None else _sizes(optimized)
    layers = tuple(_layer(row, runs, sizes) for row in rows)
    layers = _called(layers, names)
    compared = sum(layer.accumulated is not None for layer in layers)
    found = reasons.findings(layers, rows, runs.int8.graph, tops, drawn=drawn)
    return Diagnosis(layers, found, len(samples), compared, runs.notes(compared))


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """A quantized tensor and what is counted of it; `partner` is its float tensor."""

    op: Op | None
    index: int | None
    tensor: Tensor
    partner: Tensor | None
    tally: Tally
    own: bool
    explained: ends.Ends


class _Runs:
    """The files that are run."""

    def __init__(self, tflite: bytes, float_tflite: bytes | None) -> None:
        self.int8 = Runner(tflite)
        self.floats = None if float_tflite is None else Runner(float_tflite)
        self.pairs: dict[Tensor, Tensor] = {}
        self.weights: dict[Op, Tensor] = {}
        self.alone: Runner | None = None
        self.stands: tuple[Tensor, ...] = ()
        if self.floats is not None:
            self.pairs = matching.match(self.int8.graph, self.floats.graph)
            self.weights = matching.float_weights(self.int8.graph, self.floats.graph, self.pairs)
            self._cut()

    def _cut(self) -> None:
        try:
            file, self.stands = apart(self.int8.graph)
            self.alone = Runner(file)
        except TflmOptError:
            return
        mine = [tensor for op in self.int8.graph.ops for tensor in op.outputs]
        theirs = [tensor for op in self.alone.graph.ops for tensor in op.outputs]
        self._copies = dict(zip(mine, theirs, strict=True))

    def rows(self) -> list[Row]:
        """A row for each quantized tensor, in the order in which they are made."""
        graph = self.int8.graph
        fine = ends.explained(graph)
        self._rows = [
            self._row(None, None, tensor, fine) for tensor in graph.inputs if tensor in fine
        ] + [
            self._row(op, index, tensor, fine)
            for index, op in enumerate(graph.ops)
            for tensor in op.outputs
            if tensor in fine
        ]
        return self._rows

    def _row(
        self, op: Op | None, index: int | None, tensor: Tensor, fine: dict[Tensor, ends.Ends]
    ) -> Row:
        own = op is None or (
            self.alone is not None and all(one in self.pairs for one in matching.computed(op))
        )
        tally = Tally(tensor, channels_of(op, tensor))
        return Row(op, index, tensor, self.pairs.get(tensor), tally, own, fine[tensor])

    def sample(self, sample: Sequence[np.ndarray]) -> np.ndarray:
        """Run one sample; returns the codes of the first output."""
        codes = self.int8.run(
            [_given(a, t) for a, t in zip(sample, self.int8.graph.inputs, strict=True)]
        )
        values, own = self._float_values(sample)
        inputs = zip(self.int8.graph.inputs, map(np.asarray, sample), strict=True)
        given = {tensor: array for tensor, array in inputs if array.dtype.kind == "f"}
        for row in self._rows:
            floats = None if row.partner is None else values[row.partner]
            if row.op is None and row.tensor in given:
                floats = given[row.tensor]
            alone = None
            if row.own and floats is not None:
                alone = quantized(floats, row.tensor) if row.op is None else own.get(row.tensor)
            row.tally.add(codes[row.tensor], floats, alone)
        return codes[self.int8.graph.outputs[0]].reshape(-1)

    def _float_values(
        self, sample: Sequence[np.ndarray]
    ) -> tuple[dict[Tensor, np.ndarray], dict[Tensor, np.ndarray]]:
        """The float net's values, and each int8 op's codes when it is given those."""
        if self.floats is None:
            return {}, {}
        inputs = zip(sample, self.floats.graph.inputs, strict=True)
        ran = self.floats.run([np.asarray(a, np.float32).reshape(t.shape) for a, t in inputs])
        values = {tensor: ran[tensor] for tensor in self.pairs.values()}
        if self.alone is None:
            return values, {}
        fed = [
            _given(values[self.pairs[t]], t) if t in self.pairs else _nothing(t)
            for t in self.stands
        ]
        apart_codes = self.alone.run(fed)
        return values, {
            row.tensor: apart_codes[self._copies[row.tensor]]
            for row in self._rows
            if row.op is not None
        }

    def notes(self, compared: int) -> tuple[str, ...]:
        if self.floats is None:
            return (NO_FLOAT,)
        found = []
        missing = len(self._rows) - compared
        if missing:
            found.append(
                f"{compared} of {len(self._rows)} layers could be compared: the float model has no "
                "tensor that answers to the others"
            )
        if any(op.kind == "QUANTIZE" for op in self.floats.graph.ops):
            found.append(
                "the float model rounds values itself, as it was trained to: errors are against "
                "that"
            )
        return tuple(found)


def _given(array: np.ndarray, tensor: Tensor) -> np.ndarray:
    """Values as a tensor takes them; codes as they are."""
    dtype = np.dtype(NUMPY_DTYPES[tensor.dtype])
    array = np.asarray(array).reshape(tensor.shape)
    if ends.is_quantized(tensor) and array.dtype.kind == "f":
        return quantized(array, tensor)
    return array.astype(dtype)


def _nothing(tensor: Tensor) -> np.ndarray:
    return np.zeros(tensor.shape, NUMPY_DTYPES[tensor.dtype])


def channels_of(op: Op | None, tensor: Tensor) -> int:
    """How many channels a tensor has: its last axis, if that is a layer's and not of positions."""
    if len(tensor.shape) == 4 or (op is not None and matching.weight(op) is not None):
        return max(tensor.shape[-1], 1) if tensor.shape else 1
    return 1


def _sizes(graph: Graph) -> dict[str, int]:
    return {t.name: t.shape[-1] for op in graph.ops for t in op.outputs if len(t.shape) == 4}


def _layer(row: Row, runs: _Runs, sizes: dict[str, int]) -> LayerError:
    op, tensor, tally = row.op, row.tensor, row.tally
    compared = tally.accumulated.count > 0
    own = tally.own if tally.own.count else None
    noise = 0.0 if own is None else float(own.noise.sum())
    many = tally.channels > 1
    saturated = (0 if row.explained[0] else tally.at_low) + (
        0 if row.explained[1] else tally.at_high
    )
    left = sizes.get(tensor.name) if many and len(tensor.shape) == 4 else None
    weights = None if op is None else matching.weight(op)
    return LayerError(
        op=row.index,
        kind="INPUT" if op is None else op.kind,
        name=tensor.name,
        label=label(tensor.name),
        shape=tensor.shape,
        step=tensor.scale,
        accumulated=tally.accumulated.error() if compared else None,
        own=None if own is None else own.error(),
        channel_sqnr_db=own.typical_channel() if own is not None and many else None,
        rounding=min(tally.rounding / noise, 1.0) if noise else None,
        clipping=min(tally.clipping / noise, 1.0) if noise else None,
        clipped=tally.beyond / tally.floats if tally.floats else None,
        at_ends=(tally.at_low + tally.at_high) / max(tally.total, 1),
        saturated=saturated / max(tally.total, 1),
        range_use=tally.range_use(),
        channels=tally.channels if many else None,
        dead_channels=tally.dead() if many else None,
        removed_channels=None if left is None else tensor.shape[-1] - left,
        channel_spread=tally.spread() if many else None,
        weight_sqnr_db=_weight_sqnr(op, runs),
        weight_spread=None if op is None or weights is None else _weight_spread(op, weights),
        per_channel=None if weights is None or weights.quant is None else weights.quant.per_channel,
        moves=op is not None and ends.moves(op),
    )


def _weight_sqnr(op: Op | None, runs: _Runs) -> float | None:
    floats = None if op is None else runs.weights.get(op)
    mine = None if op is None else matching.weight(op)
    if floats is None or mine is None:
        return None
    wanted = matching.real(floats)
    noise = np.square(matching.real(mine) - wanted).sum()
    return decibels(float(np.square(wanted).sum()), float(noise))


def _weight_spread(op: Op, weights: Tensor) -> float | None:
    values = matching.real(weights)
    axis = values.ndim - 1 if op.kind == "DEPTHWISE_CONV_2D" else 0
    most = np.abs(values).max(axis=tuple(a for a in range(values.ndim) if a != axis))
    alive = most[most > 0]
    return float(alive.max() / np.median(alive)) if alive.size else None


_SCOPES = ("StatefulPartitionedCall",)
_INSIDE = ("batchnorm", "moments")  # scopes within a layer
_LAYER_OPS = ("convolution", "depthwise", "Conv", "Conv2D", "MatMul", "conv_transpose")


def label(name: str) -> str:
    """A layer's name out of a tensor's, which the converter made of all that was fused into it.

    >>> label("net_1/re_lu_1/Relu6;net_1/conv2d_1/convolution")
    'conv2d_1'
    """
    parts = [
        [word for word in part.split("/") if word and word not in _SCOPES]
        for part in name.split(";")
    ]
    scoped = [words for words in parts if len(words) > 1]
    for words in reversed(scoped):
        if words[-1].rstrip("0123456789_") in _LAYER_OPS:
            return words[-2]
    if not scoped:
        return short_name(name)
    return next((word for word in reversed(scoped[-1][:-1]) if word not in _INSIDE), scoped[-1][-2])


_CALL = re.compile(r"_\d+$")


def _called(layers: tuple[LayerError, ...], names: Collection[str]) -> tuple[LayerError, ...]:
    """Labels as the model's own names: Keras 3 numbers the calls of a layer, "conv2d_1_2"."""
    labels = [one.label for one in layers if one.op is not None and "/" in one.name]
    numbered = all(_CALL.sub("", text) in names and _CALL.search(text) for text in labels)
    if not numbered or not names:
        return layers
    return tuple(
        dataclasses.replace(one, label=_CALL.sub("", one.label))
        if one.op is not None and "/" in one.name
        else one
        for one in layers
    )


__all__ = ["NO_FLOAT", "Row", "channels_of", "diagnose", "label"]
