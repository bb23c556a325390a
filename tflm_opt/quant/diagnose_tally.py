"""What is counted of a tensor over samples: codes, and how far they lie from float values."""

from __future__ import annotations

import math

import numpy as np

from ..graph import Tensor
from .diagnosis import Error
from .numerics import RANGES


def quantized(values: np.ndarray, tensor: Tensor) -> np.ndarray:
    """Real values as codes of a tensor: to nearest, halves away from zero, kept in its range."""
    low, high = RANGES[tensor.dtype]
    scaled = values.astype(np.float64) / tensor.scale
    codes = np.trunc(scaled + np.copysign(0.5, scaled)) + tensor.zero_point
    return np.clip(codes, low, high).astype(tensor.dtype)


def decibels(signal: float, noise: float) -> float | None:
    """None where either is nothing."""
    return 10 * math.log10(signal / noise) if signal > 0 and noise > 0 else None


class Distance:
    """How far real values lie from float ones: over all, and by channel."""

    def __init__(self, step: float, channels: int) -> None:
        self.step = step
        self.count = 0
        self.most = self.sum = 0.0
        self.signal, self.noise = np.zeros(channels), np.zeros(channels)

    def add(self, values: np.ndarray, floats: np.ndarray) -> None:
        """Both (positions, channels)."""
        off = values - floats
        self.count += off.size
        self.most = max(self.most, float(np.abs(off).max(initial=0.0)))
        self.sum += float(off.sum())
        self.signal += np.square(floats).sum(axis=0)
        self.noise += np.square(off).sum(axis=0)

    def error(self) -> Error:
        return Error(
            sqnr_db=decibels(float(self.signal.sum()), float(self.noise.sum())),
            maximum=self.most,
            steps=self.most / self.step,
            mean=self.sum / max(self.count, 1),
        )

    def typical_channel(self) -> float | None:
        """The median of the channels' ratios, of those that have a signal and noise."""
        alive = (self.signal > 0) & (self.noise > 0)
        if not alive.any():
            return None
        return float(np.median(10 * np.log10(self.signal[alive] / self.noise[alive])))


class Tally:
    """A quantized tensor over samples.

    Attributes:
        channels: of its last axis; 1 where that is none of a layer's.
        rounding, clipping: power of what is lost when the float values themselves are rounded to
            the tensor's codes: those that lie in its range, and those that lie beyond.
    """

    def __init__(self, tensor: Tensor, channels: int) -> None:
        self.tensor, self.channels = tensor, channels
        self.low, self.high = RANGES[tensor.dtype]
        self.total = self.at_low = self.at_high = self.beyond = 0
        self.least = np.full(channels, self.high)
        self.most = np.full(channels, self.low)
        self.float_least, self.float_most = np.full(channels, np.inf), np.full(channels, -np.inf)
        self.rounding = self.clipping = self.squares = 0.0
        self.floats = 0
        self.accumulated = Distance(tensor.scale, channels)
        self.own = Distance(tensor.scale, channels)

    def add(self, codes: np.ndarray, floats: np.ndarray | None, own: np.ndarray | None) -> None:
        """One sample: the int8 net's codes, the float net's values, the layer's codes alone."""
        shape = (-1, self.channels)
        codes = codes.reshape(shape)
        self.total += codes.size
        self.at_low += int(np.count_nonzero(codes == self.low))
        self.at_high += int(np.count_nonzero(codes == self.high))
        self.least = np.minimum(self.least, codes.min(axis=0))
        self.most = np.maximum(self.most, codes.max(axis=0))
        if floats is None:
            return
        values = floats.reshape(shape).astype(np.float64)
        self.accumulated.add(self._real(codes), values)
        self._see_floats(values)
        if own is not None:
            self.own.add(self._real(own.reshape(shape)), values)

    def _real(self, codes: np.ndarray) -> np.ndarray:
        return (codes.astype(np.float64) - self.tensor.zero_point) * self.tensor.scale

    def _see_floats(self, values: np.ndarray) -> None:
        step, zero = self.tensor.scale, self.tensor.zero_point
        self.floats += values.size
        self.float_least = np.minimum(self.float_least, values.min(axis=0))
        self.float_most = np.maximum(self.float_most, values.max(axis=0))
        off = np.square(self._real(quantized(values, self.tensor)) - values)
        outside = values < (self.low - zero - 0.5) * step
        outside |= values > (self.high - zero + 0.5) * step
        beyond = float(off[outside].sum())
        self.beyond += int(np.count_nonzero(outside))
        self.clipping += beyond
        self.rounding += float(off.sum()) - beyond
        self.squares += float(np.square(values).sum())

    def range_use(self) -> float:
        span = int(self.most.max()) - int(self.least.min()) + 1
        return span / (self.high - self.low + 1)

    def dead(self) -> int:
        return int(np.count_nonzero(self.least == self.most))

    def spread(self) -> float | None:
        """The widest channel's range over the typical one's, of those that change."""
        if self.floats:
            widths = self.float_most - self.float_least
        else:
            widths = (self.most - self.least).astype(np.float64)
        alive = widths[widths > 0]
        return float(alive.max() / np.median(alive)) if alive.size else None

    def crest(self) -> float:
        """The largest float value over their root mean square."""
        most = max(float(np.abs(self.float_least).max()), float(np.abs(self.float_most).max()))
        rms = math.sqrt(self.squares / self.floats) if self.floats else 0.0
        return most / rms if rms > 0 else 0.0
