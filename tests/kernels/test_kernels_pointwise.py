"""Tables, conversions, PRELU, minimum, maximum and bilinear resizing, against TFLM."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from opgraph import Cases

from tflm_opt.graph.options import LeakyReluOptions, Options, ResizeBilinearOptions

Rng = np.random.Generator
INT8 = np.arange(256, dtype=np.uint8).view(np.int8)
UINT8 = np.arange(256, dtype=np.uint8)


def scale(rng: Rng, low: float = -5.0, high: float = 1.0) -> float:
    """A float32 scale, evenly spread in its exponent of ten."""
    return float(np.float32(10 ** rng.uniform(low, high)))


def zero_point(rng: Rng) -> int:
    """Zero points, often at the ends and the middle."""
    return int(rng.choice([-128, 127, 0, *rng.integers(-128, 128, 3)]))


class TestTables:
    """All 256 inputs for many pairs of quantizations."""

    def case(
        self,
        cases: Cases,
        kind: str,
        source: tuple[float, int],
        target: tuple[float, int],
        options: Options | None = None,
    ) -> None:
        x = cases.input((1, 256), scale=source[0], zero_point=source[1])
        y = cases.tensor((1, 256), scale=target[0], zero_point=target[1])
        cases.op(kind, [x], [y], options)

    def check(self, cases: Cases, folder: Path) -> None:
        cases.check(folder, [[INT8.reshape(1, 256)] * len(cases.ops)])

    @pytest.mark.parametrize("kind", ["LOGISTIC", "TANH"])
    def test_sigmoids(self, kind: str, tmp_path: Path) -> None:
        cases, rng = Cases(), np.random.default_rng(1)
        target = (1 / 256, -128) if kind == "LOGISTIC" else (1 / 128, 0)
        scales = [scale(rng) for _ in range(110)]
        scales += [float(np.float32(2.0**e)) for e in range(-27, 6, 3)]
        scales += [float(np.nextafter(np.float32(2.0**e), np.float32(0))) for e in range(-8, 4)]
        for value in scales:
            self.case(cases, kind, (value, zero_point(rng)), target)
        self.check(cases, tmp_path)

    @pytest.mark.parametrize("kind", ["RELU", "RELU6", "ABS", "QUANTIZE", "ELU", "LEAKY_RELU"])
    def test_rescaling(self, kind: str, tmp_path: Path) -> None:
        cases, rng = Cases(), np.random.default_rng(2)
        for number in range(100):
            source = (scale(rng), zero_point(rng))
            ratio = 1.0 if number % 5 == 0 else 10 ** rng.uniform(-2.5, 2.5)
            target = (float(np.float32(source[0] * ratio)), zero_point(rng))
            alpha = float(rng.choice([rng.uniform(-2, 2), rng.uniform(0, 0.3), 0.0, -0.0, 1.0]))
            options = LeakyReluOptions(alpha) if kind == "LEAKY_RELU" else None
            self.case(cases, kind, source, target, options)
        self.check(cases, tmp_path)

    def test_hard_swish(self, tmp_path: Path) -> None:
        cases, rng = Cases(), np.random.default_rng(3)
        for _ in range(150):
            source = (scale(rng), zero_point(rng))
            ratio = 10 ** rng.uniform(-2.0, 3.0)
            target = (float(np.float32(source[0] * ratio)), zero_point(rng))
            self.case(cases, "HARD_SWISH", source, target)
        self.check(cases, tmp_path)

    def test_rsqrt(self, tmp_path: Path) -> None:
        cases, rng = Cases(), np.random.default_rng(4)
        samples = []
        for _ in range(100):
            zero = zero_point(rng)
            self.case(cases, "RSQRT", (scale(rng), zero), (scale(rng, -3, 1), zero_point(rng)))
            samples.append(np.maximum(INT8, zero).astype(np.int8).reshape(1, 256))
        cases.check(tmp_path, [samples])

    @pytest.mark.parametrize(("source", "target"), [("int8", "uint8"), ("uint8", "int8")])
    def test_between_signs(self, source: str, target: str, tmp_path: Path) -> None:
        cases, rng = Cases(), np.random.default_rng(5)
        values = INT8 if source == "int8" else UINT8
        for number in range(60):
            shift = {"int8": 0, "uint8": 128}
            zero = zero_point(rng)
            factor = 1.0 if number % 3 == 0 else 10 ** rng.uniform(-1, 1)
            one = scale(rng)
            other = zero if number % 3 == 0 else zero_point(rng)
            x = cases.input((1, 256), source, scale=one, zero_point=zero + shift[source])
            two = float(np.float32(one * factor))
            y = cases.tensor((1, 256), target, scale=two, zero_point=other + shift[target])
            cases.op("QUANTIZE", [x], [y])
        cases.check(tmp_path, [[values.reshape(1, 256)] * len(cases.ops)])


class TestConversions:
    @pytest.mark.parametrize("dtype", ["int8", "int16"])
    def test_quantize_floats(self, dtype: str, tmp_path: Path) -> None:
        cases, rng = Cases(), np.random.default_rng(6)
        sample = []
        limits = np.iinfo(dtype)
        for _ in range(60):
            step, zero = scale(rng), int(rng.integers(limits.min, limits.max + 1))
            x = cases.input((1, 600), "float32")
            y = cases.tensor((1, 600), dtype, scale=step, zero_point=zero)
            cases.op("QUANTIZE", [x], [y])
            halves = (rng.integers(limits.min, limits.max, 200) + np.float32(0.5)) * np.float32(
                step
            )
            nearby = np.nextafter(halves, rng.choice([-np.inf, np.inf], 200).astype(np.float32))
            spread = rng.normal(0, step * limits.max, 200)
            row = np.concatenate([halves, nearby, spread]).astype(np.float32)
            row[:9] = np.array([0, -0.0, 0.49999997, -0.49999997, 0.5, -0.5, 1, -1, 3e8]) * step
            sample.append(row.reshape(1, 600))
        cases.check(tmp_path, [sample])

    def test_what_tflm_leaves_undefined_saturates(self, tmp_path: Path) -> None:
        """Documented: infinities saturate, NaN is the zero point. TFLM casts them to int32."""
        from opgraph import engine

        cases = Cases()
        x = cases.input((1, 6), "float32")
        cases.op("QUANTIZE", [x], [cases.tensor((1, 6), scale=0.25, zero_point=-7)])
        values = np.array([[np.inf, -np.inf, np.nan, 1e38, -1e38, 1e-45]], np.float32)
        ((got,),) = engine(cases.graph(), tmp_path).run([[values]])
        assert got.tolist() == [[127, -128, -7, 127, -128, -7]]

    @pytest.mark.parametrize("dtype", ["int8", "uint8", "int16"])
    def test_dequantize(self, dtype: str, tmp_path: Path) -> None:
        cases, rng = Cases(), np.random.default_rng(7)
        limits = np.iinfo(dtype)
        for _ in range(60):
            zero = int(rng.integers(limits.min, limits.max + 1))
            x = cases.input((1, 1000), dtype, scale=scale(rng, -40, 6), zero_point=zero)
            cases.op("DEQUANTIZE", [x], [cases.tensor((1, 1000), "float32")])
        cases.check(tmp_path, samples=1)

    @pytest.mark.parametrize(
        ("source", "target"),
        [
            ("int8", "int16"),
            ("int8", "int32"),
            ("int16", "int8"),
            ("int16", "int16"),
            ("int16", "int32"),
            ("int32", "int8"),
            ("int32", "int16"),
        ],
    )
    def test_between_integers(self, source: str, target: str, tmp_path: Path) -> None:
        cases, rng = Cases(), np.random.default_rng(8)
        for _ in range(50):
            one = scale(rng)
            two = float(np.float32(one * 10 ** rng.uniform(-1, 4)))
            x = cases.input((1, 300), source, scale=one, zero_point=zero_point(rng))
            y = cases.tensor((1, 300), target, scale=two, zero_point=zero_point(rng))
            cases.op("QUANTIZE", [x], [y])
        cases.check(tmp_path, samples=2)


def broadcast_pair(rng: Rng) -> tuple[list[int], list[int], list[int]]:
    """Two shapes and what they broadcast to."""
    out = rng.integers(1, 6, rng.integers(1, 5)).tolist()
    kind = rng.integers(0, 4)
    first, second = list(out), list(out)
    if kind == 1:
        second = out[int(rng.integers(0, len(out))) :]
    if kind == 2:
        second = [1] * len(out)
    if kind == 3:
        for axis in range(len(out)):
            side = rng.integers(0, 3)
            if side < 2:
                (first, second)[side][axis] = 1
    return first, second, out


class TestPairs:
    @pytest.mark.parametrize("kind", ["MINIMUM", "MAXIMUM"])
    def test_extremes(self, kind: str, tmp_path: Path) -> None:
        cases, rng = Cases(), np.random.default_rng(9)
        for _ in range(60):
            first, second, out = broadcast_pair(rng)
            if rng.random() < 0.5:
                first, second = second, first
            quant = {"scale": scale(rng), "zero_point": zero_point(rng)}
            x = cases.input(first, **quant)
            if rng.random() < 0.3:
                y = cases.constant(rng.integers(-128, 128, second), "int8")
            else:
                y = cases.input(second)
            cases.op(kind, [x, y], [cases.tensor(out)])
        cases.check(tmp_path, samples=3)

    def test_prelu(self, tmp_path: Path) -> None:
        cases, rng = Cases(), np.random.default_rng(10)
        for _ in range(100):
            _, second, out = broadcast_pair(rng)
            one = scale(rng, -4, 0)
            two = float(np.float32(one * 10 ** rng.uniform(-1, 1)))
            x = cases.input(out, scale=one, zero_point=zero_point(rng))
            alpha = cases.constant(
                rng.integers(-128, 128, second),
                "int8",
                scale=scale(rng, -3, -1),
                zero_point=zero_point(rng),
            )
            y = cases.tensor(out, scale=two, zero_point=zero_point(rng))
            cases.op("PRELU", [x, alpha], [y])
        cases.check(tmp_path, samples=3)


class TestResizeBilinear:
    @pytest.mark.parametrize("flags", [(False, False), (True, False), (False, True)])
    def test_sizes(self, flags: tuple[bool, bool], tmp_path: Path) -> None:
        cases, rng = Cases(), np.random.default_rng(11)
        for _ in range(60):
            n, h, w, c = (int(v) for v in rng.integers(1, 9, 4))
            double = [h * 2, w * 2]
            size = double if rng.random() < 0.3 else rng.integers(1, 25, 2).tolist()
            x = cases.input((n, h, w, c), zero_point=3)
            y = cases.tensor((n, *size, c), zero_point=3)
            options = ResizeBilinearOptions(*flags)
            cases.op("RESIZE_BILINEAR", [x, cases.constant(size)], [y], options)
        cases.check(tmp_path, samples=2)


def test_stays_inside_its_buffers(tmp_path: Path) -> None:
    cases, rng = Cases(), np.random.default_rng(12)
    for dtype in ("int8", "int16"):
        x = cases.input((3, 7), "float32")
        cases.op("QUANTIZE", [x], [cases.tensor((3, 7), dtype, scale=1e-3)])
        y = cases.input((3, 7), dtype)
        cases.op("DEQUANTIZE", [y], [cases.tensor((3, 7), "float32")])
    for source, target in (("int8", "int32"), ("int16", "int8"), ("int32", "int16")):
        x = cases.input((5, 5), source, zero_point=-3)
        cases.op("QUANTIZE", [x], [cases.tensor((5, 5), target, scale=3.0, zero_point=7)])
    for kind in ("RELU", "HARD_SWISH", "MINIMUM", "MAXIMUM", "PRELU"):
        for _ in range(4):
            _, second, out = broadcast_pair(rng)
            inputs = [cases.input(out)]
            if kind in ("MINIMUM", "MAXIMUM", "PRELU"):
                inputs.append(cases.input(second))
            cases.op(kind, inputs, [cases.tensor(out)])
    for flags in ((False, False), (True, False), (False, True)):
        x = cases.input((2, 5, 3, 3))
        size = cases.constant([9, 2])
        target = cases.tensor((2, 9, 2, 3))
        cases.op("RESIZE_BILINEAR", [x, size], [target], ResizeBilinearOptions(*flags))
    cases.check(tmp_path, samples=3, sanitize=True)
