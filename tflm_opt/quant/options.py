"""How post-training quantization is done, as one record."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ..errors import TflmOptError
from . import bias_correction, equalize, ranges
from .calibration import Sample
from .float_graph import FloatGraph

FEW = 32
EQUALIZE = (None, "data", "data-free")


@dataclass(frozen=True, slots=True)
class PTQ:
    """What is done between calibration and rounding.

    Example:
        >>> PTQ(method="percentile", percentile=99.9, layers={"scores": "minmax"})

    Attributes:
        method: of ranges of activations: "minmax", "percentile" or "mse" (least squared error).
        percentile: of values that stay inside, for that method.
        layers: for some tensors another method, or (low, high): by the name of a tensor in the
            converted file or of a layer in it, or a pattern of such ("block_1*"). The first
            that fits counts.
        equalize: cross-layer equalization, with channel ranges from calibration ("data") or from
            weights alone ("data-free"); None for none.
        correct_bias: give the mean error of each layer to its bias, on calibration data. Slow for
            deep nets: the model is rounded and run once for every layer.

    The defaults equalize on calibration data and leave ranges at min-max: in
    `benchmarks/quantization.py` that recovers nearly all, and the rest adds little to it.
    """

    method: Literal["minmax", "percentile", "mse"] = "minmax"
    percentile: float = 99.99
    layers: Mapping[str, str | tuple[float, float]] = field(default_factory=dict)
    equalize: Literal["data", "data-free"] | None = "data"
    correct_bias: bool = False

    def __post_init__(self) -> None:
        if self.method not in ranges.METHODS:
            raise TflmOptError(f"method={self.method!r}: choose one of {', '.join(ranges.METHODS)}")
        if self.equalize not in EQUALIZE:
            raise TflmOptError(f"equalize={self.equalize!r}: choose 'data', 'data-free' or None")
        if not 50 < self.percentile <= 100:
            raise TflmOptError(
                f"percentile={self.percentile!r} is not in (50, 100]: 99.99 leaves out one value "
                "in ten thousand"
            )
        for name, choice in self.layers.items():
            _check_choice(name, choice)

    @property
    def is_plain(self) -> bool:
        """Whether nothing is done that the converter doesn't do."""
        return self.method == "minmax" and not (self.layers or self.equalize or self.correct_bias)

    def remarks(self, samples: int) -> tuple[str, ...]:
        """What makes this doubtful for so few samples."""
        clips = {self.method, *(c for c in self.layers.values() if isinstance(c, str))}
        clips -= {"minmax"}
        if samples >= FEW or not clips:
            return ()
        return (
            f"{' and '.join(sorted(clips))} ranges from {samples} calibration samples: what they "
            f"clip is chosen by too few values. Give {FEW} or more, or use method='minmax'",
        )


PLAIN = PTQ(equalize=None)


def _check_choice(name: str, choice: object) -> None:
    if choice in ranges.METHODS:
        return
    if not isinstance(choice, tuple) or len(choice) != 2:
        raise TflmOptError(
            f"layers[{name!r}] is {choice!r}: give one of {', '.join(ranges.METHODS)}, or "
            "(low, high)"
        )
    low, high = choice
    if not (math.isfinite(low) and math.isfinite(high) and low < high and low <= 0 <= high):
        raise TflmOptError(
            f"layers[{name!r}] is {choice!r}: a range has low < high, both finite, and 0 inside, "
            "since padding and ReLU need a code for 0"
        )


def edited(
    tflite: bytes,
    options: PTQ,
    samples: Sequence[Sample],
    quantized: Callable[[bytes], bytes],
    tick: Callable[[float], None] = lambda fraction: None,
    keep: Callable[[bytes], None] = lambda tflite: None,
) -> bytes:
    """The calibrated float file with all that `options` asks for; `tick` is for equalizing.

    `keep` is given the float file as it was equalized, if it was.
    """
    graph = FloatGraph(tflite)
    if options.equalize and equalize.equalize(graph, options.equalize, samples, tick):
        keep(graph.pack())
    equalized = FloatGraph(graph.pack())
    ranges.choose(
        graph,
        samples,
        method=options.method,
        percentile=options.percentile,
        layers=options.layers,
    )
    if options.correct_bias:
        bias_correction.correct(graph, equalized, samples, quantized)
    return graph.pack()
