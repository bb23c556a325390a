"""Convolutions as products on an emulated M4: definitions, guards, scratch of any size.

See `convolution_calls` for what each call is compared with.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from convolution_calls import Call, run
from opgraph import Cases, Layout, layout
from targets import Battery
from window_calls import LIBRARY_SIZE, WITHOUT_SCRATCH

from tflm_opt import boards, codegen
from tflm_opt.arena.overlap import safe_distance
from tflm_opt.codegen.forms import Products
from tflm_opt.codegen.rooms import form, key
from tflm_opt.kernels import table
from tflm_opt.runtime import machine
from tflm_opt.runtime.host import compiler

pytestmark = [
    pytest.mark.qemu,
    pytest.mark.skipif(
        not (shutil.which("arm-none-eabi-gcc") and shutil.which("qemu-system-arm")),
        reason="needs the Arm compiler and qemu-system-arm",
    ),
]
BOARD = "qemu_m4"
ARGUMENT_ERROR = -1
ASSEMBLY = ("tiles", "spread", "gemm", "convolve_directly_lines")
Rng = np.random.Generator


def products(call: Call) -> Products:
    """How the call's kernel divides scratch."""
    pixels = int(np.prod(call.output if call.span is None else call.span[2]))
    depth = call.filters[0].size
    pointwise = call.kernel == call.stride == (1, 1) and call.padding == (0, 0)
    any_kernel = not pointwise or call.span is not None
    return Products(pixels, call.channels, depth, call.kernel != (1, 1), staged=any_kernel)


def with_scratch(call: Call, rng: Rng) -> Call:
    """None, the library's size, or any from the least useful one to more than all."""
    form = products(call)
    sizes = sorted(form.sizes())
    any_size = form.least + int(rng.integers(0, max(sizes[-1] - form.least, 1))) // 4 * 4
    few = form.least + 4 * call.filters[0].size // 4 * 4 * int(rng.integers(0, 4))
    choices = [form.least, sizes[-1], sizes[-1] + 8, any_size, few, few]
    choices += [WITHOUT_SCRATCH, LIBRARY_SIZE]
    call.scratch = int(rng.choice(choices))
    return call


def drawn(rng: Rng, *, pointwise: bool) -> Call:
    """Any shape; about half of the windows hang over a border where there is padding."""
    depth, channels = int(rng.integers(1, 68)), int(rng.integers(1, 40))
    kernel = stride = dilation = (1, 1)
    padding = (0, 0)
    if pointwise:
        dilation = (1, int(rng.choice([1, 1, 2])))  # of nothing
    else:
        kernel = (int(rng.integers(1, 6)), int(rng.integers(1, 6)))
        stride = (int(rng.integers(1, 4)), int(rng.integers(1, 4)))
        dilation = (int(rng.integers(1, 3)), int(rng.choice([1, 1, 1, 2])))
        padding = (int(rng.integers(0, kernel[0] + 1)), int(rng.integers(0, kernel[1] + 1)))
        depth = int(rng.choice([1, 2, 3, 3, 4, 5, 8, 12, 17]))
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    source = [max(int(rng.integers(1, 9)), r - p) for r, p in zip(reach, padding, strict=True)]
    after = [int(rng.integers(0, p + 1)) for p in padding]
    output = [
        (n + p + a - r) // s + 1
        for n, p, a, r, s in zip(source, padding, after, reach, stride, strict=True)
    ]
    offset = int(rng.integers(-128, 128))
    low, high = sorted(int(v) for v in rng.integers(-128, 128, 2))
    bounds = [(-128, 127), (-128, 127), (max(offset, -128), 127), (low, high)]
    return Call(
        rng,
        kernel,
        (source[0], source[1]),
        (output[0], output[1]),
        stride,
        padding,
        dilation,
        depth=depth,
        channels=channels,
        zero_point=int(rng.integers(-128, 128)),
        output_offset=offset,
        bounds=bounds[int(rng.integers(0, 4))],
        bias=None if rng.random() < 0.1 else 1 << int(rng.integers(4, 18)),
        last=str(rng.choice(["input", "filter"])),
    )


def edges(rng: Rng) -> Call:
    """Shifts of all kinds; biases on both sides of what short forms can take; weights of zero."""
    depth = int(rng.choice([3, 8, 60]))
    call = Call(rng, depth=depth, channels=7, zero_point=int(rng.choice([-128, 0, 127])))
    low = int(rng.integers(-31, 9))
    call.quant[1] = rng.integers(low, min(low + 9, 9), 7)
    limit = (1 << 30) - depth * 128 * max(128 + call.zero_point, 127 - call.zero_point)
    near = [0, limit - 1, limit, -limit, -limit - 1, limit // 2, (1 << 31) - (1 << 26)]
    wide = rng.random() < 0.5 and low + 9 <= 1  # left shifts of such sums wrap: no definition
    call.biases[:] = near if wide else rng.integers(-9000, 9000, 7)
    if rng.random() < 0.5:  # the largest sums that there are
        call.image[:] = 127 if call.zero_point < 0 else -128
        call.filters[:] = -128
    call.filters[int(rng.integers(0, 7))] = 0
    call.output_offset = int(rng.choice([-128, 127, 5]))
    return call


def dead(rng: Rng) -> Call:
    """Channels whose weights are all 0, with scales and biases that no short form takes."""
    call = drawn(rng, pointwise=bool(rng.random() < 0.6))
    extreme = [0, 1 << 30, -(1 << 30), (1 << 31) - 1, -(1 << 31), (1 << 30) + 64, -9000, 9000]
    for channel in np.flatnonzero(rng.random(call.channels) < rng.choice([0.3, 0.9])):
        call.filters[channel] = 0
        shift = int(rng.integers(-31, 31))
        most = ((1 << 31) - 256) >> max(shift, 0)  # more would wrap: no definition
        most = most if call.bias is not None else 0
        call.biases[channel] = np.clip(rng.choice(extreme), -most, most)
        call.quant[1, channel] = shift
    return call


def in_groups(rng: Rng) -> Call:
    """Channels that see a part of the input only: callers written for CMSIS-NN pass scratch too."""
    groups, few = int(rng.integers(2, 5)), (int(rng.integers(1, 8)), int(rng.integers(1, 8)))
    size = (int(rng.integers(1, 4)), int(rng.integers(1, 4)))
    return Call(
        rng,
        size,
        (6, 5),
        (6, 5),
        depth=groups * few[0],
        channels=groups * few[1],
        padding=(size[0] // 2, size[1] // 2),
        groups=groups,
        zero_point=int(rng.integers(-128, 128)),
        bounds=[(-128, 127), (-20, 90)][int(rng.integers(0, 2))],
        bias=None if rng.random() < 0.2 else 1 << 12,
        last=str(rng.choice(["input", "filter"])),
    )


def apart(rng: Rng) -> Call:
    """Taps that are no neighbours, by dilation or groups or both: few bytes left over, and many."""
    groups = int(rng.choice([1, 1, 2, 3]))
    dilation = (int(rng.integers(1, 4)), int(rng.integers(1 if groups > 1 else 2, 4)))
    kernel = (int(rng.integers(1, 4)), int(rng.integers(2, 4)))
    stride = (int(rng.integers(1, 3)), int(rng.integers(1, 3)))
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    padding = [int(rng.integers(0, r)) for r in reach]
    source = [max(int(rng.integers(1, 13)), r - p) for r, p in zip(reach, padding, strict=True)]
    output = [
        (n + p + int(rng.integers(0, p + 1)) - r) // s + 1
        for n, p, r, s in zip(source, padding, reach, stride, strict=True)
    ]
    return Call(
        rng,
        kernel,
        (source[0], source[1]),
        (output[0], output[1]),
        stride,
        (padding[0], padding[1]),
        dilation,
        depth=groups * int(rng.choice([1, 2, 3, 4, 6, 8, 9, 13, 16])),
        channels=groups * int(rng.integers(1, 8)),
        groups=groups,
        zero_point=int(rng.integers(-128, 128)),
        bounds=[(-128, 127), (-20, 90)][int(rng.integers(0, 2))],
        bias=1 << 12,
        last=str(rng.choice(["input", "filter"])),
    )


def in_rings(rng: Rng) -> Call:
    """Some pixels of a row, of an image whose rows are in a ring and a front."""
    call = apart(rng) if rng.random() < 0.3 else drawn(rng, pointwise=False)
    call.output_offset, call.bounds = 3, (-128, 127)
    x = int(rng.integers(0, call.output[1]))
    count = int(rng.integers(1, call.output[1] - x + 1))
    call.span = (int(rng.integers(0, call.output[0])), x, count)
    fresh = int(rng.integers(0, call.source[0] + 1))
    call.ring = (int(rng.integers(0, fresh + 1)), fresh)
    call.last = "filter"
    return call


DRAWS: dict[str, tuple[Callable[[Rng], Call], int]] = {
    "pointwise": (lambda rng: drawn(rng, pointwise=True), 120),
    "windows": (lambda rng: drawn(rng, pointwise=False), 160),
    "edges": (edges, 80),
    "dead": (dead, 100),
    "rings": (in_rings, 100),
    "groups": (in_groups, 60),
    "apart": (apart, 120),
}


@pytest.mark.parametrize("kind", DRAWS)
def test_definitions_and_nothing_beside_them(tmp_path: Path, kind: str) -> None:
    draw, count = DRAWS[kind]
    rng = np.random.default_rng([9, *kind.encode()])
    calls = [with_scratch(draw(rng), rng) for _ in range(count)]
    for call, result in zip(calls, run(calls, boards.get(BOARD), tmp_path), strict=True):
        call.check(result)


def test_bad_scratch_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    calls = []
    for shape in (
        Call(rng, depth=16, channels=6),
        Call(rng, kernel=(3, 3), padding=(1, 1), depth=3, channels=5),
        Call(rng, kernel=(3, 3), padding=(1, 1), span=(2, 0, 5), ring=(2, 4), last="filter"),
    ):
        least = products(shape).least
        calls.append(replace(shape, scratch=least - 4))
        calls.append(replace(shape, scratch=4))
        calls.append(replace(shape, scratch=least, buffer=False))
        calls.append(replace(shape, scratch=LIBRARY_SIZE, buffer=False))
        calls.append(replace(shape, scratch=WITHOUT_SCRATCH, directly=False))
        calls += [replace(shape, scratch=least + 64, skew=skew) for skew in (1, 2)]
    for call, result in zip(calls, run(calls, boards.get(BOARD), tmp_path), strict=True):
        assert result.status == ARGUMENT_ERROR, call
        call.check_untouched(result)


def test_more_scratch_takes_fewer_instructions(tmp_path: Path) -> None:
    """From none to all: each way of dividing scratch is worth its bytes on a map of some size."""
    rng = np.random.default_rng(4)
    shape = Call(rng, source=(12, 12), output=(12, 12), depth=48, channels=16)
    form = products(shape)
    sizes = [WITHOUT_SCRATCH, form.least + 3 * 4 * 48, form.least + 15 * 4 * 48]
    sizes = [*sizes, max(form.sizes())]
    calls = [replace(shape, scratch=size) for size in sizes]
    counts = [result.instructions for result in run(calls, boards.get(BOARD), tmp_path)]
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] <= 0.90 * shape.macs  # weights for 144 pixels


@pytest.mark.parametrize("core", ["cortex-m4", "cortex-m33"])
def test_assembly_is_taken_at_every_level(core: str, tmp_path: Path) -> None:
    """Where registers are short and where functions are copied; in debug builds too."""
    sources = [table.SOURCES / "dsp" / f"tflm_opt_{name}_s8.c" for name in ASSEMBLY]
    for level in ("-O0 -g", "-Os", "-O3"):
        flags = [f"-mcpu={core}", "-mthumb", "-std=c99", *level.split(), "-Wall", "-Wextra"]
        command = [machine.compiler(), *flags, "-Wpedantic", "-Werror", f"-I{table.INCLUDE}", "-c"]
        done = subprocess.run([*command, *map(str, sources)], cwd=tmp_path, check=False)
        assert done.returncode == 0, level


DIVIDE = """
#include "tflm_opt_gemm.h"
int32_t block(int32_t depth, int32_t channels, int32_t staging, int32_t size)
{
    return tflm_opt_gemm_divide(depth, channels, staging, size).block;
}
"""


def test_scratch_is_divided_as_planned(tmp_path: Path) -> None:
    (tmp_path / "divide.c").write_text(DIVIDE)
    product = str(tmp_path / "divide.so")
    flags = ["-shared", "-fPIC", f"-I{table.INCLUDE}"]
    subprocess.run([compiler(), *flags, str(tmp_path / "divide.c"), "-o", product], check=True)
    library = ctypes.CDLL(product)
    rng = np.random.default_rng(5)
    for _ in range(2000):
        pixels, channels, depth = (int(v) for v in rng.integers(1, 400, 3))
        gathered, staged = (bool(flag) for flag in rng.random(2) < 0.5)
        form = Products(pixels, channels, depth, gathered, gathered or staged)
        staging = 2 * ((depth + 3) // 4 * 4) if form.staged else 0
        for size in (*form.sizes(), *(int(v) for v in rng.integers(1, 200_000, 4)), form.least - 1):
            block = library.block(depth, channels, staging, size) * channels
            assert (block > 0) == (size >= form.least)
            others = Products(1, channels, depth, gathered).block(form.least)  # of other tiers
            assert form.block(size) == max(block, others) or block == 0


def squeezed(cases: Cases, sizes: list[int]) -> Layout:
    """Each op's input as near behind its output as the arena may put it."""
    kernels = codegen.Kernels(
        {key(op): size for op, size in zip(cases.ops, sizes, strict=True)}  # type: ignore[misc]
    )
    plan = layout(cases.graph(), kernels)
    offsets = dict(plan.offsets)
    end = plan.peak
    for op, size in zip(cases.ops, sizes, strict=True):
        block = kernels.access(op)
        assert block is not None
        distance = safe_distance(op, 0, block=block)
        assert distance is not None
        source = op.inputs[0]
        assert source is not None
        offsets[op.output] = end
        offsets[source] = end + distance
        end += max(op.output.nbytes, distance + source.nbytes) + 32
        assert kernels.size(op) == size
    return replace(plan, offsets=offsets, peak=(end + 15) // 16 * 16)


def test_outputs_overlap_inputs_as_far_as_promised(tmp_path: Path) -> None:
    from drawn import add_convolution

    rng = np.random.default_rng(6)
    cases = Cases()
    while len(cases.ops) < 24:
        kernel = (1, 1) if len(cases.ops) % 2 else (3, 3)
        add_convolution(cases, rng, kernel=kernel, channels=int(rng.integers(3, 40)))
    sizes = []
    for op in cases.ops:
        found = form(op)
        assert found is not None
        options = [0, *sorted(found.sizes())[:3]]
        sizes.append(int(rng.choice(options)))
    battery = Battery.of(cases.graph(), cases.samples(2))
    battery.check(boards.get(BOARD), tmp_path, squeezed(cases, sizes))
