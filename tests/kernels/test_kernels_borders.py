"""Factors whose last bit shows: scales at which some input lies on a rounding border.

With ordinary scales, a factor that was rounded to float32 on its way gives the same bytes in
nearly every model. Here each output scale puts one input half-way between two outputs, so an
error of one part in 2^24 changes a byte.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from opgraph import Cases

from tflm_opt.graph.ir import Op, Quantization, Tensor
from tflm_opt.graph.options import FullyConnectedOptions, LeakyReluOptions, SubOptions
from tflm_opt.quant import tables

Rng = np.random.Generator
INT8 = np.arange(256, dtype=np.uint8).view(np.int8)
COUNT = 150


def random_scale(rng: Rng, low: float = -3.0, high: float = 1.0) -> float:
    return float(np.float32(10 ** rng.uniform(low, high)))


def border(rng: Rng, factor: float) -> float:
    """An output scale at which an input of 3..255 times `factor` is an output and a half."""
    steps, output = int(rng.integers(3, 256)), int(rng.integers(0, 255)) + 0.5
    return float(np.float32(factor * steps / output))


@pytest.mark.parametrize("kind", ["RELU", "ABS", "QUANTIZE", "LEAKY_RELU", "PRELU"])
def test_ratios(kind: str, tmp_path: Path) -> None:
    cases, rng = Cases(), np.random.default_rng(1)
    for _ in range(COUNT):
        a = random_scale(rng)
        x = cases.input((1, 256), scale=a, zero_point=-128)
        y = cases.tensor((1, 256), scale=border(rng, a), zero_point=-128)
        inputs = [x]
        if kind == "PRELU":
            inputs.append(cases.constant([1], "int8", scale=0.5))
        cases.op(kind, inputs, [y], LeakyReluOptions(0.3) if kind == "LEAKY_RELU" else None)
    cases.check(tmp_path, [[INT8.reshape(1, 256)] * COUNT])


@pytest.mark.parametrize("kind", ["LEAKY_RELU", "PRELU"])
def test_products(kind: str, tmp_path: Path) -> None:
    cases, rng = Cases(), np.random.default_rng(2)
    for _ in range(COUNT):
        a, alpha = random_scale(rng), random_scale(rng, -2, 0.3)
        x = cases.input((1, 256), scale=a, zero_point=127)
        y = cases.tensor((1, 256), scale=border(rng, a * alpha), zero_point=127)
        if kind == "PRELU":
            cases.op(kind, [x, cases.constant([1], "int8", scale=alpha)], [y])
        else:
            cases.op(kind, [x], [y], LeakyReluOptions(alpha))
    cases.check(tmp_path, [[INT8.reshape(1, 256)] * COUNT])


def test_hard_swish(tmp_path: Path) -> None:
    """Its multipliers have 16 bits: those half-way between two show the bits below."""
    cases, rng = Cases(), np.random.default_rng(3)
    while len(cases.ops) < COUNT:
        a = random_scale(rng)
        exponent = int(rng.integers(-12, 0))
        multiplier = (int(rng.integers(1 << 14, 1 << 15)) + 0.5) / (1 << 15) * 2.0**exponent
        b = float(np.float32(a / 128 / multiplier))
        for _ in range(int(rng.integers(0, 3))):
            b = float(np.nextafter(np.float32(b), np.float32(0)))
        x = cases.input((1, 256), scale=a, zero_point=-128)
        cases.op("HARD_SWISH", [x], [cases.tensor((1, 256), scale=b)])
    cases.check(tmp_path, [[INT8.reshape(1, 256)] * COUNT])


def test_rsqrt(tmp_path: Path) -> None:
    """Neighbouring float32 scales with different tables, found by bisection."""
    cases, rng = Cases(), np.random.default_rng(4)

    def build(x: Tensor, scale: np.float32) -> Op:
        return Op("RSQRT", (x,), (cases.tensor((1, 256), scale=float(scale), zero_point=-128),))

    for _ in range(60):
        a = random_scale(rng, -4, 1)
        steps, output = int(rng.integers(1, 256)), int(rng.integers(2, 255)) + 0.5
        middle = 1 / math.sqrt(a * steps) / output
        low, high = np.float32(middle * 0.99999), np.float32(middle * 1.00001)
        x = cases.tensor((1, 256), scale=a, zero_point=-128)
        bottom = tables.table(build(x, low))
        while np.nextafter(low, high) < high:
            middle = np.float32((float(low) + float(high)) / 2)
            same = np.array_equal(tables.table(build(x, middle)), bottom)
            low, high = (middle, high) if same else (low, middle)
        cases.ops += [build(x, low), build(x, high)]
        cases.inputs.append(x)
    cases.check(tmp_path, [[INT8.reshape(1, 256)] * len(cases.inputs)])


def test_subtraction(tmp_path: Path) -> None:
    cases, rng = Cases(), np.random.default_rng(5)
    row = []
    while len(cases.ops) < 60:
        a = random_scale(rng)
        b = float(np.float32(a * 10 ** rng.uniform(-1, 1)))
        c = border(rng, a)
        if c * 2**19 < max(a, b):
            continue
        x = cases.input((1, 4096), scale=a, zero_point=-128)
        y = cases.input((1, 4096), scale=b, zero_point=-128)
        cases.op("SUB", [x, y], [cases.tensor((1, 4096), scale=c)], SubOptions())
        row += [np.repeat(INT8, 16).reshape(1, -1), np.tile(INT8[::16], 256).reshape(1, -1)]
    cases.check(tmp_path, [row])


def test_fully_connected(tmp_path: Path) -> None:
    cases, rng = Cases(), np.random.default_rng(6)
    for number in range(COUNT):
        a, b = random_scale(rng), random_scale(rng, -3, -1)
        x = cases.input((256, 1), scale=a, zero_point=-128)
        weights = cases.constant([[1]], "int8", scale=b)
        quant = Quantization.per_tensor(float(np.float32(a * b)))
        bias = Tensor(f"bias{number}", (1,), "int32", quant, np.zeros(1, np.int32))
        y = cases.tensor((256, 1), scale=border(rng, a * b), zero_point=-128)
        cases.op("FULLY_CONNECTED", [x, weights, bias], [y], FullyConnectedOptions())
    cases.check(tmp_path, [[INT8.reshape(256, 1)] * COUNT])
