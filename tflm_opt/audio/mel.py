"""The front end's arithmetic: what the generated C does, on all frames at once.

All in integers of 32 bits, but the sums over a band (64). A frame of samples is

1.  multiplied with a Hann window (Q15) and shifted so that the largest product has 14 bits;
2.  transformed: as half as many complex values, by a radix-2 FFT that halves at each stage, so
    that no value outgrows 16 bits;
3.  squared to power, and summed over triangular bands (weights in Q15);
4.  taken the logarithm of (base 2, in 1/256), which undoes the shift of step 1;
5.  put into int8, `levels` of them to a doubling of power.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tflm_opt.errors import TflmOptError

ONE = 1 << 15  # of Q15
PEAK = 14  # bits of the largest sample after normalization
LOG_STEPS = 32  # pieces of the logarithm's table between a power of two and the next


@dataclass(frozen=True)
class MelFrontEnd:
    """A log-mel front end: `MelFrontEnd().features(samples)` is int8 (frames, bands).

    Attributes:
        rate: samples a second.
        window: samples of a frame.
        stride: samples from a frame to the next.
        bands: of frequencies, so many values a frame.
        low, high: Hz, where the first band begins and the last ends.
        levels: steps of the output to a doubling of power, a power of two up to 256: 8 is 0.38 dB.
        middle: the output's 0, as a power's logarithm of base 2: 28 suits speech at a hand's
            breadth to a room's length, with `levels` 8.

    Raises:
        TflmOptError: values that make no front end: bands too narrow for the window, for instance.
    """

    rate: int = 16_000
    window: int = 480
    stride: int = 320
    bands: int = 40
    low: float = 125.0
    high: float = 7_500.0
    levels: int = 8
    middle: int = 28

    def __post_init__(self) -> None:
        right = (
            16 <= self.window <= 4096
            and 1 <= self.stride <= self.window
            and 0 <= self.low < self.high <= self.rate / 2
            and 1 <= self.bands <= 128
        )
        if not right:
            raise TflmOptError(
                f"{self} is no front end: a window of 16 to 4,096 samples, a stride within it, 1 "
                "to 128 bands between 0 Hz and half the rate are"
            )
        if self.levels not in (1, 2, 4, 8, 16, 32, 64, 128, 256):
            raise TflmOptError(f"levels is {self.levels}; a power of two up to 256 is possible")
        empty = [band for band, weights in enumerate(self._filters.T) if not weights.any()]
        if empty:
            raise TflmOptError(
                f"no frequency of a window of {self.window} samples falls into band {empty[0]} of "
                f"{self.bands}: fewer bands, a higher `low`, or a longer window"
            )

    @property
    def size(self) -> int:
        """Values that are transformed: the window's length rounded up to a power of two."""
        return 1 << (self.window - 1).bit_length()

    @property
    def shift(self) -> int:
        """From logarithms in 1/256 to levels, as a shift right."""
        return 8 - (self.levels.bit_length() - 1)

    def frames(self, samples: int) -> int:
        """How many frames so many samples make."""
        return max(0, (samples - self.window) // self.stride + 1)

    @cached_property
    def hann(self) -> np.ndarray:
        """The window, int32 in Q15."""
        turn = 2 * np.pi * (np.arange(self.window) + 0.5) / self.window
        return np.rint((0.5 - 0.5 * np.cos(turn)) * (ONE - 1)).astype(np.int32)

    @cached_property
    def twiddles(self) -> np.ndarray:
        """exp(-2 pi i k / size) for k below half of size: int32 (size / 2, 2) in Q15."""
        turn = -2 * np.pi * np.arange(self.size // 2) / self.size
        both = np.stack([np.cos(turn), np.sin(turn)], axis=1)
        return np.rint(both * (ONE - 1)).astype(np.int32)

    @cached_property
    def log_table(self) -> np.ndarray:
        """log2(1 + i / LOG_STEPS) in 2^-16, int32."""
        return np.array(
            [round(65536 * math.log2(1 + i / LOG_STEPS)) for i in range(LOG_STEPS + 1)], np.int32
        )

    @cached_property
    def bins(self) -> tuple[int, np.ndarray, np.ndarray]:
        """The bands as C has them: (first bin, band of each bin, its weight there in Q15).

        A bin lies between the middles of two bands: its weight is that of the upper one, and what
        is missing to 1 that of the lower one. Band 0 is below the first and does not count, nor
        does the one after the last.
        """
        edges = np.linspace(_mel(self.low), _mel(self.high), self.bands + 2)
        hertz = np.arange(self.size // 2 + 1) * self.rate / self.size
        inside = np.flatnonzero((hertz > self.low) & (hertz < self.high))
        if not inside.size:
            return 0, np.zeros(0, np.int32), np.zeros(0, np.int32)
        place = (_mel(hertz[inside]) - edges[0]) / (edges[1] - edges[0])
        lower = np.minimum(place.astype(np.int32), self.bands)
        weight = np.rint((place - lower) * ONE).astype(np.int32)
        return int(inside[0]), lower, weight

    @property
    def _filters(self) -> np.ndarray:
        """Weights as a matrix, int64 (bins, bands)."""
        first, lower, weight = self.bins
        matrix = np.zeros((self.size // 2 + 1, self.bands + 2), np.int64)
        rows = first + np.arange(lower.size)
        matrix[rows, lower] = ONE - weight
        matrix[rows, lower + 1] = weight
        return matrix[:, 1 : self.bands + 1]

    def features(self, samples: np.ndarray) -> np.ndarray:
        """Features of a signal, frame by frame.

            >>> MelFrontEnd().features(np.zeros(16_000, np.int16)).shape
            (49, 40)

        Args:
            samples: int16 (n,); what is left over at the end is dropped.

        Returns: int8 (frames, bands).

        Raises:
            TflmOptError: other types or shapes.
        """
        samples = np.asarray(samples)
        if samples.dtype != np.int16 or samples.ndim != 1:
            raise TflmOptError(
                f"samples are {samples.dtype}{list(samples.shape)}; int16 of one dimension is "
                "wanted: floats from -1 to 1 are np.clip(np.rint(x * 32768), -32768, 32767)"
            )
        starts = np.arange(self.frames(samples.size)) * self.stride
        frames = samples[starts[:, None] + np.arange(self.window)].astype(np.int64)
        shifts, power = self.power(frames)
        sums = power @ self._filters
        logs = self.log2(sums) - 512 * shifts[:, None]
        steps = (logs - 256 * self.middle + (1 << self.shift >> 1)) >> self.shift
        return np.clip(steps, -128, 127).astype(np.int8)

    def power(self, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How far frames were shifted left, and their power: int64 (n,), (n, size / 2 + 1)."""
        products = frames * self.hann
        largest = np.abs(products).max(axis=1, initial=0)
        lengths = np.array([int(value).bit_length() for value in largest], np.int64)
        right = np.where(largest > 0, lengths - PEAK, 15)[:, None]
        up, down = np.maximum(-right, 0), np.maximum(right, 0)
        padded = np.zeros((len(frames), self.size), np.int64)
        padded[:, : self.window] = ((products << up) + (1 << down >> 1)) >> down
        shifts = 15 - right[:, 0]
        return shifts, _squares(*self._spectrum(*self._transform(padded)))

    def _transform(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The FFT of pairs of values as complex ones, divided by their number."""
        count = self.size // 2
        order = _reversed(count)
        re, im = values[:, 0::2][:, order], values[:, 1::2][:, order]
        half = 1
        while half < count:
            w_re, w_im = self.twiddles[:: count // half].T.astype(np.int64)
            re, im = (part.reshape(len(values), count // half // 2, 2, half) for part in (re, im))
            b_re, b_im = re[:, :, 1], im[:, :, 1]
            t_re = (b_re * w_re - b_im * w_im + ONE // 2) >> 15
            t_im = (b_re * w_im + b_im * w_re + ONE // 2) >> 15
            re, im = (
                np.stack([(a + t + 1) >> 1, (a - t + 1) >> 1], axis=2).reshape(len(values), count)
                for a, t in ((re[:, :, 0], t_re), (im[:, :, 0], t_im))
            )
            half *= 2
        return re, im

    def _spectrum(self, re: np.ndarray, im: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The spectrum of real values from that of their pairs: bins 0 to size / 2."""
        count = self.size // 2
        k = np.arange(count + 1)
        a_re, a_im = re[:, k % count], im[:, k % count]
        b_re, b_im = re[:, -k % count], -im[:, -k % count]
        even_re, even_im = (a_re + b_re + 1) >> 1, (a_im + b_im + 1) >> 1
        odd_re, odd_im = (a_im - b_im + 1) >> 1, (b_re - a_re + 1) >> 1
        w_re, w_im = np.append(self.twiddles, [[1 - ONE, 0]], axis=0).T.astype(np.int64)
        out_re = even_re + ((odd_re * w_re - odd_im * w_im + ONE // 2) >> 15)
        out_im = even_im + ((odd_re * w_im + odd_im * w_re + ONE // 2) >> 15)
        return out_re, out_im

    def log2(self, values: np.ndarray) -> np.ndarray:
        """256 * log2 of positive integers below 2^63, by a table; 0 of 0."""
        flat = values.ravel()
        exponents = np.array([max(int(v), 1).bit_length() - 1 for v in flat], np.int64)
        mantissas = np.where(
            exponents >= 16,
            flat >> np.maximum(exponents - 16, 0),
            flat << np.maximum(16 - exponents, 0),
        )
        fraction = mantissas & 0xFFFF
        step, rest = fraction >> 11, fraction & 0x7FF
        table = self.log_table.astype(np.int64)
        between = table[step] + (((table[step + 1] - table[step]) * rest) >> 11)
        logs = 256 * exponents + ((between + 128) >> 8)
        return np.where(flat > 0, logs, 0).reshape(values.shape)


def _squares(re: np.ndarray, im: np.ndarray) -> np.ndarray:
    return re * re + im * im


def _reversed(count: int) -> np.ndarray:
    """0 to count - 1 with their bits in reverse order."""
    order = np.zeros(1, np.int64)
    while order.size < count:
        order = np.concatenate([2 * order, 2 * order + 1])
    return order


def _mel(hertz: float | np.ndarray) -> np.ndarray:
    """Hertz on the mel scale (O'Shaughnessy's formula)."""
    return 1127.0 * np.log1p(np.asarray(hertz, float) / 700.0)
