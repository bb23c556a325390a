"""Why a layer is bad, and what helps: told from what was measured of it.

The error that a layer adds has parts that are known exactly: rounding its float output to its own
codes gives what the output's range and step cost, in the range and beyond it. What is left comes
from rounded weights and inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..graph import Graph, Tensor
from .diagnosis import Finding, LayerError

if TYPE_CHECKING:
    from .diagnose import Row

WEAK_DB = 25.0  # an own error above a twentieth of the values: noise that a net feels
MOST = 5  # layers that are named
PART = 1 / 3  # a share of the error's power from which on a cause is named
UNEQUAL = 8.0  # a widest channel of so many typical ones costs these 3 of 8 bits
CREST = 12.0  # a largest value of so many times the root mean square: outliers
NARROW = 0.25  # a quarter of the codes: two bits are lost
SATURATED = 0.01
DEAD = 0.25
TIES = 0.02

_Rule = Callable[[LayerError, "Row", "LayerError | None"], "tuple[str, str] | None"]


def findings(
    layers: Sequence[LayerError],
    rows: Sequence[Row],
    graph: Graph,
    tops: Sequence[np.ndarray],
    *,
    drawn: bool,
) -> tuple[Finding, ...]:
    """The whole model's first, then the worst layers, then what is odd about others."""
    found = list(_of_the_model(graph, tops, drawn))
    by_tensor = {row.tensor: layer for row, layer in zip(rows, layers, strict=True)}
    order = sorted(range(len(layers)), key=lambda i: layers[i].rank)
    named = 0
    for i in order:
        layer = layers[i]
        if layer.moves or named == MOST:
            continue
        before = _before(rows[i], by_tensor)
        rules = _WEAK if layer.rank < WEAK_DB else _ODD
        said = next((words for rule in rules if (words := rule(layer, rows[i], before))), None)
        if said is not None:
            found.append(Finding(i, layer.label, *said))
            named += 1
    return tuple(found)


def _before(row: Row, by_tensor: dict[Tensor, LayerError]) -> LayerError | None:
    """The worst of the layers that this one reads."""
    inputs = () if row.op is None else row.op.inputs
    read = [by_tensor[tensor] for tensor in inputs if tensor in by_tensor]
    return min(read, key=lambda one: one.rank, default=None)


def _of_the_model(graph: Graph, tops: Sequence[np.ndarray], drawn: bool) -> list[Finding]:
    found = []
    if drawn:
        found.append(
            Finding(
                None,
                "",
                "all ranges come from drawn data, not from yours",
                "Give optimize() calibration=: some hundred real inputs",
            )
        )
    if not tops or tops[0].size < 2:
        return found
    shared = float(np.mean([np.count_nonzero(codes == codes.max()) > 1 for codes in tops]))
    if shared > TIES and graph.outputs[0].dtype == "int8":
        last = next((op for op in reversed(graph.ops) if graph.outputs[0] in op.outputs), None)
        flat = last is not None and last.kind == "SOFTMAX"
        found.append(
            Finding(
                None,
                "",
                f"in {shared:.0%} of the samples several classes share the largest output code, "
                "and the first of them wins",
                "Take the softmax off: the largest logit is the same class, with finer steps"
                if flat
                else "The outputs differ by less than a step: train for larger margins",
            )
        )
    return found


def _clipping(layer: LayerError, row: Row, before: LayerError | None) -> tuple[str, str] | None:
    if layer.clipping is None or layer.clipping < PART or not layer.clipped:
        return None
    return (
        f"{layer.clipped:.2%} of its values lie beyond the range that calibration gave, which is "
        f"{layer.clipping:.0%} of its error",
        "Calibrate with more data, like what the net will see, or with min-max ranges",
    )


def _weights(layer: LayerError, row: Row, before: LayerError | None) -> tuple[str, str] | None:
    weak = layer.weight_sqnr_db is not None and layer.weight_sqnr_db < layer.rank + 3
    if not weak:
        return None
    if layer.per_channel is False and (layer.weight_spread or 0) > UNEQUAL:
        return (
            f"its weights have one scale, and its widest channel is {layer.weight_spread:.0f} "
            f"times the typical one: they are at {layer.weight_sqnr_db:.0f} dB",
            "Equalize channels, or train with quantization (quantize='qat')",
        )
    return (
        f"its weights lose most when they are rounded: they are at {layer.weight_sqnr_db:.0f} dB",
        "Train with quantization (quantize='qat'); clip or regularize large weights",
    )


def _softmax(layer: LayerError, row: Row, before: LayerError | None) -> tuple[str, str] | None:
    if layer.kind != "SOFTMAX" or not _output_is_coarse(layer):
        return None
    return (
        "its probabilities are small beside its step of 1/256, which TFLite fixes: logits are flat",
        "Take the softmax off, or train until classes stand apart",
    )


def _unequal(layer: LayerError, row: Row, before: LayerError | None) -> tuple[str, str] | None:
    spread = layer.channel_spread or 0.0
    if spread < UNEQUAL or not (_output_is_coarse(layer) or _channels_lose(layer)):
        return None
    return (
        f"channel ranges are unequal: the widest is {spread:.0f} times the typical one, which has "
        f"{256 / spread:.0f} of 256 codes left",
        "Equalize channels, or train with quantization (quantize='qat')",
    )


def _narrow(layer: LayerError, row: Row, before: LayerError | None) -> tuple[str, str] | None:
    if layer.range_use >= NARROW or not _output_is_coarse(layer):
        return None
    return (
        f"only {layer.range_use:.0%} of its codes are used: its range is far wider than "
        "these values",
        "Calibrate with data like these, or cut outliers off: percentile or MSE ranges",
    )


def _outliers(layer: LayerError, row: Row, before: LayerError | None) -> tuple[str, str] | None:
    crest = row.tally.crest()
    if crest < CREST or not _output_is_coarse(layer):
        return None
    return (
        f"a few large values set its range: the largest is {crest:.0f} times the root mean square",
        "Cut outliers off: percentile or MSE ranges",
    )


def _coarse(layer: LayerError, row: Row, before: LayerError | None) -> tuple[str, str] | None:
    if not _output_is_coarse(layer):
        return None
    return (
        f"its values are small beside its step of {layer.step:.3g}",
        "Train with quantization (quantize='qat'), or give this layer 16-bit activations",
    )


def _inputs(layer: LayerError, row: Row, before: LayerError | None) -> tuple[str, str] | None:
    if layer.own is None:
        return None
    if layer.kind == "INPUT":
        return "the model's input is rounded coarsely", "Scale inputs so that they fill their range"
    if before is not None and (before.channel_spread or 0) >= UNEQUAL:
        return (
            f"its input ({before.label}) has unequal channel ranges, the widest "
            f"{before.channel_spread:.0f} times the typical one: most channels come in coarsely",
            f"Equalize channels of {before.label}, or train with quantization (quantize='qat')",
        )
    return (
        "it magnifies the rounding of its inputs: large terms cancel in it",
        "Train with quantization (quantize='qat'); see the layer before it",
    )


def _dead(layer: LayerError, row: Row, before: LayerError | None) -> tuple[str, str] | None:
    dead, channels = layer.dead_channels or 0, layer.channels or 1
    if dead / channels < DEAD or row.op is None:
        return None
    gone = layer.removed_channels
    removed = f"; optimize() took {gone} out, bit for bit" if gone else ""
    return (
        f"{dead} of {channels} channels never change on these data{removed}",
        "Zero their weights, or make the layer smaller and train again: constant channels are "
        "removed by optimize()",
    )


def _saturated(layer: LayerError, row: Row, before: LayerError | None) -> tuple[str, str] | None:
    share = layer.clipped if layer.clipped is not None else layer.saturated
    if share < SATURATED:
        return None
    return (
        f"{share:.2%} of its values are at or beyond the ends of its range",
        "Calibrate with more data, like what the net will see, or with min-max ranges",
    )


def _unused(layer: LayerError, row: Row, before: LayerError | None) -> tuple[str, str] | None:
    if layer.range_use >= NARROW or layer.kind in ("SOFTMAX", "LOGISTIC", "TANH"):
        return None
    return (
        f"only {layer.range_use:.0%} of its codes are used",
        "Calibrate with data like these, or cut outliers off: percentile or MSE ranges",
    )


def _output_is_coarse(layer: LayerError) -> bool:
    """Whether rounding the output in its range is a large part of what the layer loses."""
    return layer.rounding is not None and layer.rounding >= PART


def _channels_lose(layer: LayerError) -> bool:
    """Whether typical channels lose more than the tensor as a whole shows."""
    whole = None if layer.own is None else layer.own.sqnr_db
    typical = layer.channel_sqnr_db
    return whole is not None and typical is not None and typical < whole - 3


_WEAK: tuple[_Rule, ...] = (
    *(_clipping, _softmax, _unequal, _weights, _narrow, _outliers, _coarse, _inputs),
)
_ODD: tuple[_Rule, ...] = (_saturated, _dead, _unused)
