"""Seeded test vectors, and the comparison of what two runtimes made of them.

Noise alone is a poor test: it drives every activation to the same few values. So the vectors of
one seed go through several kinds in turn: smooth pictures, full-range noise, sparse spikes, and
the constant extremes of the type.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..graph.ir import NUMPY_DTYPES, Quantization, Tensor

Sample = Sequence[np.ndarray]

CODES = ("int8", "int16")  # element types that stand for real values
FLOAT_LIMIT = 4.0  # float inputs without a quantization to go by are drawn from ±4


@dataclass(frozen=True, slots=True)
class Difference:
    """How far two sets of outputs are apart.

    Attributes:
        equal: no element differs.
        maximum: largest absolute difference of an element, in steps of the output (codes).
        agreement: fraction of the output bytes that are equal.
        samples: how many samples were compared.
        first: where the first difference is, for a person; empty if equal.
    """

    equal: bool
    maximum: float
    agreement: float
    samples: int
    first: str = ""


def seeded(inputs: Sequence[Tensor], count: int, seed: int = 0) -> list[list[np.ndarray]]:
    """`count` samples for a model's inputs, the same ones for the same seed.

    Example:
        >>> samples = seeded(graph.inputs, 100, seed=1)
        >>> samples[0][0].shape == graph.inputs[0].shape
        True
    """
    rng = np.random.default_rng(seed)
    return [[_draw(tensor, number, rng) for tensor in inputs] for number in range(count)]


def _draw(tensor: Tensor, number: int, rng: np.random.Generator) -> np.ndarray:
    dtype = np.dtype(NUMPY_DTYPES[tensor.dtype])
    unit = _PATTERNS[number % len(_PATTERNS)](tensor.shape, rng)
    if dtype.kind == "f":
        return (unit * (2 * FLOAT_LIMIT) - FLOAT_LIMIT).astype(dtype)
    if dtype.kind == "b":
        return unit > 0.5
    info = np.iinfo(dtype.name)
    low, high = max(info.min, -(1 << 15)), min(info.max, (1 << 15) - 1)
    return np.rint(low + unit * (high - low)).astype(dtype)


def _smooth(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """A sum of a few waves along every axis, in 0..1: the nearest thing to a photograph."""
    total = np.zeros(shape)
    for _ in range(3):
        wave = np.ones(shape)
        for axis, size in enumerate(shape):
            phase = np.linspace(0, rng.uniform(0.5, 4) * np.pi, size) + rng.uniform(0, 2 * np.pi)
            wave = wave * np.sin(phase).reshape([-1 if a == axis else 1 for a in range(len(shape))])
        total += wave
    low, high = total.min(), total.max()
    return (total - low) / (high - low) if high > low else np.full(shape, 0.5)


def _noise(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(0, 1, shape)


def _noisy_picture(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    return np.clip(_smooth(shape, rng) + rng.normal(0, 0.05, shape), 0, 1)


def _spikes(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    values = np.full(shape, rng.uniform(0, 1))
    return np.where(rng.uniform(0, 1, shape) < 0.1, rng.integers(0, 2, shape), values)


def _extreme(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    return np.full(shape, float(rng.integers(0, 2)))


_PATTERNS = (_smooth, _noise, _noisy_picture, _spikes, _smooth, _noise, _noisy_picture, _extreme)


def quantize(values: np.ndarray, quant: Quantization) -> np.ndarray:
    """Real values as int8 codes, as TFLM's QUANTIZE does: float32, halves away from zero."""
    return codes_of(values, quant, "int8")


def codes_of(values: np.ndarray, quant: Quantization, dtype: str) -> np.ndarray:
    """`quantize` to int8 or int16."""
    info = np.iinfo(dtype)
    return round_codes(values, quant, info.min, info.max).astype(dtype)


def round_codes(values: np.ndarray, quant: Quantization, low: int, high: int) -> np.ndarray:
    """Real values as codes from `low` to `high`, int64.

    Only the division is of float32. There, the value just below a half plus a half is 1.
    """
    scaled = (np.asarray(values, np.float32) / np.float32(quant.scale[0])).astype(np.float64)
    rounded = np.trunc(scaled + np.copysign(0.5, scaled))
    return np.clip(rounded + int(quant.zero_point[0]), low, high).astype(np.int64)


def dequantize(codes: np.ndarray, quant: Quantization) -> np.ndarray:
    """int8 or int16 codes as float32 values, as TFLM's DEQUANTIZE does."""
    offset = codes.astype(np.int32) - int(quant.zero_point[0])
    return (offset * np.float64(quant.scale[0])).astype(np.float32)


def recode(sample: Sample, have: Sequence[Tensor], want: Sequence[Tensor]) -> list[np.ndarray]:
    """A sample of one model's tensors as the same sample of another's.

    The optimizer turns float inputs and outputs into int8 or int16 ones; this gives the values in
    the other's element type, so that both can be run and compared.
    """
    return [_recode(a, x, y) for a, x, y in zip(sample, have, want, strict=True)]


def _recode(array: np.ndarray, have: Tensor, want: Tensor) -> np.ndarray:
    array = array.reshape(want.shape)
    if have.dtype == want.dtype:
        return array
    if have.dtype in CODES and want.dtype == "float32" and have.quant is not None:
        return dequantize(array, have.quant)
    if have.dtype == "float32" and want.dtype in CODES and want.quant is not None:
        return codes_of(array, want.quant, want.dtype)
    raise ValueError(f"no way from {have.dtype} to {want.dtype} for tensor {want.name!r}")


def compare(
    expected: Sequence[Sample], actual: Sequence[Sample], names: Sequence[str] = ()
) -> Difference:
    """Compare outputs element by element. NaN equals NaN.

    Args:
        expected, actual: samples × outputs, equal shapes and dtypes.
        names: what to call the outputs in `first`.
    """
    total = same = 0
    maximum, first = 0.0, ""
    for number, (wanted, given) in enumerate(zip(expected, actual, strict=True)):
        for position, (a, b) in enumerate(zip(wanted, given, strict=True)):
            if a.shape != b.shape or a.dtype != b.dtype:
                raise ValueError(
                    f"output {position} is {a.dtype}{list(a.shape)} on one side and "
                    f"{b.dtype}{list(b.shape)} on the other"
                )
            bytes_a, bytes_b = (
                np.frombuffer(np.ascontiguousarray(x).tobytes(), np.uint8) for x in (a, b)
            )
            total += bytes_a.size
            same += int(np.count_nonzero(bytes_a == bytes_b))
            gap = np.abs(a.astype(np.float64) - b.astype(np.float64))
            gap = np.where(np.isnan(a.astype(np.float64)) & np.isnan(b.astype(np.float64)), 0, gap)
            if gap.size and not first and np.any(gap != 0):
                where = np.unravel_index(int(np.argmax(gap != 0)), gap.shape)
                label = names[position] if position < len(names) else str(position)
                first = (
                    f"sample {number}, output {label}, element {tuple(int(i) for i in where)}: "
                    f"{a[where]} and {b[where]}"
                )
            maximum = max(maximum, float(np.max(gap, initial=0.0)))
    agreement = same / total if total else 1.0
    return Difference(not first, maximum, agreement, len(expected), first)
