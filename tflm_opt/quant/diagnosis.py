"""What a diagnosis says: a row a layer, and the worst of them with a reason and a remedy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Error:
    """How far a tensor lies from its float values.

    Attributes:
        sqnr_db: power of the float values over that of the differences, in dB; None where either is
            nothing.
        maximum: the largest difference, in the tensor's own unit; `steps`: in int8 steps.
        mean: of the differences: a bias, which later layers add up.
    """

    sqnr_db: float | None
    maximum: float
    steps: float
    mean: float


@dataclass(frozen=True, slots=True)
class LayerError:
    """A quantized tensor: an input of the model (`op` is None), or what an op makes.

    Attributes:
        op: the op's position in the int8 file; `kind`: what it is. `name`: the tensor's.
        label: the name, short.
        shape, step: of the tensor; `step` is what one code is worth.
        accumulated: of the int8 net against the float net: all that went wrong up to here. None
            without a float model, or where it has no such tensor.
        own: of this layer alone, which gets the float net's values, rounded.
        channel_sqnr_db: the median of the channels' own ratios. Far below `own.sqnr_db` where a few
            large channels hide what the others lose.
        rounding, clipping: shares of the own error's power that rounding the output explains, in
            its range and beyond it; the rest comes from rounded weights and inputs.
        clipped: share of the float values that lie beyond the range.
        at_ends: share of codes at an end of the range; `saturated`: those of them that neither an
            activation (ReLU, ReLU6, sigmoid...) nor a range that ends at zero explains.
        range_use: the span of codes seen, as a share of all.
        channels, dead_channels: dead ones were always at one code; None without channels.
        removed_channels: how many of all channels `optimize` took out, bit for bit.
        channel_spread: the widest channel's range over the median one's.
        weight_sqnr_db: of the rounded weights.
        weight_spread: the widest output channel's weights over the median one's.
        per_channel: whether weights have a scale a channel; None without weights.
        moves: whether the op only moves values that another rounded.
    """

    op: int | None
    kind: str
    name: str
    label: str
    shape: tuple[int, ...]
    step: float
    accumulated: Error | None
    own: Error | None
    channel_sqnr_db: float | None
    rounding: float | None
    clipping: float | None
    clipped: float | None
    at_ends: float
    saturated: float
    range_use: float
    channels: int | None
    dead_channels: int | None
    removed_channels: int | None
    channel_spread: float | None
    weight_sqnr_db: float | None
    weight_spread: float | None
    per_channel: bool | None
    moves: bool

    @property
    def rank(self) -> float:
        """What layers are ranked by, in dB: the own ratio, or that of its typical channel."""
        known = [self.channel_sqnr_db, None if self.own is None else self.own.sqnr_db]
        return min((db for db in known if db is not None), default=float("inf"))


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong, why, and what helps.

    Attributes:
        layer: the position of its row in `Diagnosis.layers`; None: the whole model.
        label: the layer's name, short.
        reason, remedy: a sentence each.
    """

    layer: int | None
    label: str
    reason: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Float against int8, layer by layer, over some samples.

    Example:
        >>> print(result.diagnose(x_test))
        >>> result.quantization.worst(3)

    Attributes:
        layers: in the order in which they run, the model's inputs first.
        findings: the worst first.
        samples: how many were run.
        compared: how many layers there are float values for.
        notes: what a person should know about these figures, a sentence each.
    """

    layers: tuple[LayerError, ...]
    findings: tuple[Finding, ...]
    samples: int
    compared: int
    notes: tuple[str, ...]

    def worst(self, count: int | None = None) -> tuple[LayerError, ...]:
        """Layers, those first whose own error is the largest part of their values."""
        ranked = sorted(self.layers, key=lambda layer: (layer.moves, layer.rank))
        return tuple(ranked[:count])

    def table(self, *, worst_first: bool = False, limit: int | None = None) -> str:
        """The layers as text."""
        from ..report.quantization import table_text

        return table_text(self.to_dict(), worst_first=worst_first, limit=limit)

    def to_dict(self) -> dict[str, Any]:
        """As plain data, the contract of `report.json`."""
        from ..report.quantization import diagnosis_data

        return diagnosis_data(self)

    def __str__(self) -> str:
        from ..report.quantization import diagnosis_text

        return diagnosis_text(self.to_dict())
