"""Depthwise kernels for cores with the DSP extension, on an emulated Cortex-M4."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from depthwise_calls import Call, asked, run, scratch_bytes
from window_calls import WITHOUT_SCRATCH, Result

from tflm_opt import boards
from tflm_opt.codegen.forms import Depthwise

pytestmark = [
    pytest.mark.skipif(shutil.which("arm-none-eabi-gcc") is None, reason="no Arm compiler"),
    pytest.mark.skipif(shutil.which("qemu-system-arm") is None, reason="no QEMU"),
]
Rng = np.random.Generator
ARGUMENT_ERROR = -1
CHANNELS = (4, 5, 6, 7, 8, 9, 11, 16, 23, 67)


def shape(
    rng: Rng, kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int] = (1, 1)
) -> dict[str, Any]:
    """An image and padding on all sides, up to a window less one; there is an output."""
    reach = [(k - 1) * d for k, d in zip(kernel, dilation, strict=True)]
    while True:
        source = tuple(int(n) for n in rng.integers(1, 14, 2))
        before = tuple(int(rng.integers(0, r + 1)) for r in reach)
        after = tuple(int(rng.integers(0, r + 1)) for r in reach)
        output = tuple(
            (n + p + q - r - 1) // s + 1
            for n, p, q, r, s in zip(source, before, after, reach, stride, strict=True)
        )
        if min(output) > 0:
            return {"source": source, "padding": before, "output": output}


def numbers(rng: Rng) -> dict[str, Any]:
    """Quantization: all of it as wide as it may get, mostly in reach of the short form."""
    zero = int(rng.choice([-128, 127, 0, *rng.integers(-128, 128, 3)]))
    offset = int(rng.choice([-128, 127, *rng.integers(-128, 128, 2)]))
    bounds = [
        (-128, 127),
        (-128, 127),
        (offset, 127),
        (max(-128, offset - 9), min(127, offset + 60)),
    ]
    fine = {"weights": 2, "halves": True, "shifts": (-3, -1), "bias": 1 << 7}
    return {
        "zero_point": zero,
        "output_offset": offset,
        "bounds": bounds[rng.integers(len(bounds))],
        "shifts": [(-15, -1), (-9, -5), (-9, -5), (-9, -5), (-16, 3)][rng.integers(5)],
        "bias": [None, 1 << 8, 1 << 12, 1 << 17, (1 << 23) - 1, (1 << 31) - 1][rng.integers(6)],
        "last": ["input", "filter"][rng.integers(2)],
        **(fine if rng.random() < 0.3 else {}),
    }


def drawn(
    rng: Rng, kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int] = (1, 1)
) -> Call:
    """A call with some amount of scratch, from the least to all that helps, or none."""
    call = Call(
        rng,
        kernel=kernel,
        stride=stride,
        dilation=dilation,
        channels=int(rng.choice(CHANNELS)),
        **shape(rng, kernel, stride, dilation),
        **numbers(rng),
        noise=int(rng.integers(1 << 31)),
    )
    width = -(-call.output[1] // dilation[1])  # of a phase
    rows, columns = int(rng.integers(1, 10)), int(rng.integers(1, width + 1))
    least, some = scratch_bytes(call, 1, 1), scratch_bytes(call, rows, width)
    narrow = scratch_bytes(call, 1, columns)
    call.scratch = int(rng.choice([least, narrow, some, some + 15, 0, WITHOUT_SCRATCH]))
    return call


def words() -> Iterator[Call]:
    """Filters and strides that words serve."""
    rng = np.random.default_rng(1)
    for kernel in ((3, 3), (5, 5), (7, 7)):
        for stride in ((1, 1), (2, 2)):
            for _ in range(32 if kernel == (3, 3) else 9):
                yield drawn(rng, kernel, stride)
    for _ in range(50):
        kernel = int(rng.integers(1, 8)), int(rng.integers(1, 8))
        yield drawn(rng, kernel, (int(rng.integers(1, 4)), int(rng.integers(1, 3))))


def gaps() -> Iterator[Call]:
    """Windows with gaps: phases of several sizes, parts of rows, channels of all forms."""
    rng = np.random.default_rng(9)
    for number in range(72):
        kernel = [(3, 3), (3, 3), (5, 5), (7, 3)][number % 4]
        dilation = int(rng.integers(1, 4)), int(rng.integers(1, 4))
        call = drawn(rng, kernel, (1, 1) if number % 9 else (2, 1), dilation)
        if number % 3 == 1:
            odd(rng, call)
        if number % 6 == 5:
            fresh = int(rng.integers(1, call.source[0] + 1))
            call.ring = int(rng.integers(0, fresh)), fresh
            x = int(rng.integers(0, call.output[1]))
            count = int(rng.integers(1, call.output[1] - x + 1))
            call.span = int(rng.integers(0, call.output[0])), x, count
        yield call
    wide = {"kernel": (3, 3), "dilation": (2, 3), "padding": (2, 3), "channels": 6}
    for y in (0, 4, 10):  # a row of enough outputs to be by phases
        call = Call(rng, source=(11, 40), output=(11, 40), **wide, **numbers(rng))
        call.ring, call.span = (2, 7), (y, 3, 36)
        call.scratch = scratch_bytes(call, 1, 12)
        yield call


def general() -> Iterator[Call]:
    """What they don't: few channels, larger filters, steps of three, dilation, multipliers."""
    rng = np.random.default_rng(2)
    for kernel, stride, dilation, multiplier, channels in (
        ((3, 3), (1, 1), (1, 1), 1, 1),
        ((3, 3), (2, 2), (1, 1), 1, 3),
        ((5, 5), (1, 1), (1, 1), 1, 2),
        ((9, 1), (1, 1), (1, 1), 1, 5),
        ((1, 8), (2, 1), (1, 1), 1, 4),
        ((3, 3), (3, 3), (1, 1), 1, 8),
        ((3, 3), (1, 1), (2, 2), 1, 9),
        ((3, 3), (1, 1), (1, 1), 2, 5),
        ((3, 3), (1, 1), (1, 1), 3, 7),
        ((3, 3), (2, 2), (1, 1), 7, 3),
        ((10, 8), (2, 2), (1, 1), 8, 1),
        ((2, 5), (1, 1), (2, 2), 17, 2),
    ):
        call = Call(
            rng,
            kernel=kernel,
            stride=stride,
            dilation=dilation,
            multiplier=multiplier,
            channels=channels,
            source=(11, 12),
            padding=(1, 1),
            output=(3, 3),
            **numbers(rng),
        )
        call.scratch = 0 if asked(call) else WITHOUT_SCRATCH
        yield call


def spans() -> Iterator[Call]:
    """Parts of rows, of an input whose rows lie in up to three runs."""
    rng = np.random.default_rng(3)
    for kernel, stride in (((3, 3), (1, 1)), ((3, 3), (2, 2)), ((5, 5), (1, 1)), ((7, 3), (2, 1))):
        for _ in range(9):
            call = drawn(rng, kernel, stride)
            rows, columns = call.output
            fresh = int(rng.integers(1, call.source[0] + 1))
            x = int(rng.integers(0, columns))
            call.ring = int(rng.integers(0, fresh)), fresh
            call.span = int(rng.integers(0, rows)), x, int(rng.integers(1, columns - x + 1))
            yield call


def odd(rng: Rng, call: Call) -> None:
    """Make some channels ones without a short form, each in its way."""
    for channel in np.flatnonzero(rng.random(call.channels) < rng.choice([0.1, 0.5, 1])).tolist():
        shift, bias, weights = [
            (int(rng.integers(-31, -15)), None, None),
            (int(rng.integers(-18, -15)), int(rng.integers(-(1 << 21), 1 << 21)), None),
            (int(rng.integers(0, 8)), None, None),
            (-9, int(rng.integers(-(1 << 30), 1 << 30)), None),
            (int(rng.integers(-31, 8)), int(rng.integers(-(1 << 31), 1 << 31)), 0),
            (int(rng.integers(-24, -15)), int(rng.integers(-(1 << 20), 1 << 20)), 2),
        ][rng.integers(6)]
        call.quant[1, channel] = shift
        if bias is not None:
            call.biases[channel] = bias if call.bias is not None else 0
        if weights is not None:
            call.filters[..., channel] = np.clip(call.filters[..., channel], -weights, weights)


def mixed() -> Iterator[Call]:
    """Channels with and without a short form, side by side."""
    rng = np.random.default_rng(6)
    for kernel, stride in (((3, 3), (1, 1)), ((3, 3), (2, 2)), ((5, 5), (1, 1)), ((7, 5), (2, 2))):
        for number in range(24):
            call = drawn(rng, kernel, stride)
            odd(rng, call)
            if number % 4 == 3:
                call.scratch = WITHOUT_SCRATCH
            elif number % 4 == 2:
                call.span = int(rng.integers(0, call.output[0])), 0, call.output[1]
                call.ring = 0, int(rng.integers(1, call.source[0] + 1))
            yield call


def plain() -> Iterator[Call]:
    """What the kernel takes that checks nothing: whole images and spans."""
    for call in (*spans(), *mixed()):
        if call.is_plain:
            call.plain = True
            yield call


def padded() -> Iterator[Call]:
    """3x3 as nets have it, in one band: first and last rows together, or the last row alone."""
    rng = np.random.default_rng(8)
    for rows, columns in ((2, 5), (2, 6), (4, 3), (4, 8), (6, 7), (12, 1), (3, 5), (5, 4), (11, 1)):
        for stride in (1, 2):
            for channels in (4, 9):
                call = Call(
                    rng,
                    source=(rows * stride, columns * stride),
                    output=(rows, columns),
                    stride=(stride, stride),
                    padding=(2 - stride, 2 - stride),
                    channels=channels,
                    **numbers(rng),
                )
                odd(rng, call)
                call.scratch = scratch_bytes(call, rows, columns)
                yield call


def one_odd() -> list[Call]:
    """A layer as it is, with a channel that has no short form, and with one that is dead."""
    made = []
    for shift, weights in ((-9, 127), (-17, 127), (-17, 0)):
        call = Call(np.random.default_rng(7), source=(20, 20), output=(20, 20), channels=32)
        call.quant[1, 5] = shift
        call.filters[..., 5] = np.clip(call.filters[..., 5], -weights, weights)
        call.scratch = scratch_bytes(call, 2, 20)
        made.append(call)
    return made


def large() -> list[Call]:
    """The commonest layers, with the scratch that the kernel asks for."""
    rng = np.random.default_rng(4)
    made = []
    for k, s, size, channels, gap in (
        (3, 1, 20, 16, 1),
        (3, 2, 20, 16, 1),
        (5, 1, 20, 16, 1),
        (5, 2, 20, 16, 1),
        (7, 1, 20, 16, 1),
        (3, 1, 40, 7, 1),
        (3, 1, 20, 16, 2),
    ):
        out = size // s
        call = Call(
            rng,
            kernel=(k, k),
            stride=(s, s),
            source=(size, size),
            output=(out, out),
            padding=((k - s) // 2 * gap, (k - s) // 2 * gap),
            dilation=(gap, gap),
            channels=channels,
            zero_point=-128,
            output_offset=-128,
        )
        call.scratch = asked(call)
        made.append(call)
    return made


def refused() -> list[Call]:
    """Scratch that is too small, and none without saying so."""
    rng = np.random.default_rng(5)
    calls = []
    for kernel in ((3, 3), (5, 5)):
        call = Call(rng, kernel=kernel)
        for scratch in (4, scratch_bytes(call, 1, 1) - 1, -2):
            calls.append(Call(rng, kernel=kernel, scratch=scratch))
        calls.append(Call(rng, kernel=kernel, buffer=False))
        calls.append(Call(rng, kernel=kernel, buffer=False, scratch=1 << 12))
    return calls


SETS: dict[str, Callable[[], Any]] = {
    "words": words,
    "gaps": gaps,
    "general": general,
    "spans": spans,
    "large": large,
    "mixed": mixed,
    "plain": plain,
    "padded": padded,
    "one odd": one_odd,
    "refused": refused,
}


@cache
def results(folder: Path) -> dict[str, list[tuple[Call, Result]]]:
    """All sets in one run."""
    calls = {name: list(make()) for name, make in SETS.items()}
    found = iter(run([c for some in calls.values() for c in some], boards.get("qemu_m4"), folder))
    return {name: [(call, next(found)) for call in some] for name, some in calls.items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("depthwise")


@pytest.mark.parametrize(
    "name", ["words", "gaps", "general", "spans", "large", "mixed", "plain", "padded", "one odd"]
)
def test_outputs_are_right_and_nothing_else_changes(name: str, folder: Path) -> None:
    for call, result in results(folder)[name]:
        call.check(result)


def test_too_little_scratch_is_refused_and_nothing_written(folder: Path) -> None:
    for call, result in results(folder)["refused"]:
        assert result.status == ARGUMENT_ERROR, str(call)
        call.check_untouched(result)


def test_both_entry_points_ask_for_the_same_that_the_formula_gives(folder: Path) -> None:
    for name in ("words", "general", "large"):
        for call, result in results(folder)[name]:
            assert result.sizes == (asked(call), asked(call)), str(call)


def test_the_planner_knows_how_many_rows_a_band_has() -> None:
    for call in (*words(), *gaps()):
        form = Depthwise(*call.output, call.channels, call.kernel, call.stride, call.dilation)
        (down, across), (all_rows, all_columns) = call.dilation, call.output
        if not form.in_words:
            continue
        height, columns, bytes_of = -(-all_rows // down), -(-all_columns // across), scratch_bytes
        for rows in range(1, height + 1):
            size = max(bytes_of(call, rows, columns), form.least)
            found = [n for n in range(1, height + 1) if bytes_of(call, n, columns) <= size]
            vectors = form._mve_band(size)  # code made for one core runs on any
            most = max(min(found[-1] * down, all_rows), vectors)
            assert form.block(size) == most * all_columns * call.channels


@pytest.mark.parametrize(
    ("number", "most"),
    list(enumerate([2.5, 4.0, 1.6, 2.7, 1.3, 3.5, 2.5])),
    ids=["3x3", "3x3 stride 2", "5x5", "5x5 stride 2", "7x7", "3x3 of 7 channels", "3x3 with gaps"],
)
def test_instructions_per_product(number: int, most: float, folder: Path) -> None:
    """The general kernel would take 6 to 10."""
    call, result = results(folder)["large"][number]
    assert result.instructions / call.macs < most


def test_a_channel_without_a_short_form_slows_down_none_but_itself(folder: Path) -> None:
    """It takes as long as a dozen others; a dead one takes no longer than others do."""
    plain, slow, dead = (result.instructions for _, result in results(folder)["one odd"])
    assert slow < 1.4 * plain
    assert dead < 1.03 * plain
