"""int4 filters: TFLM's bytes on this host and on emulated cores, with any scratch.

Ops come from the generators of the int8 kernels' tests; `quant.int4` narrows their filters. See
`targets` for what is compared, and for the guards around buffers.
"""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path

import drawn
import numpy as np
import pytest
from emulated import needs_tools
from opgraph import Cases, engine, layout
from targets import Battery, together

from tflm_opt import boards, codegen
from tflm_opt.codegen import rooms, unpacked
from tflm_opt.codegen.call import Constant
from tflm_opt.graph.ir import Graph, Tensor
from tflm_opt.quant import int4
from tflm_opt.runtime import host

Rng = np.random.Generator
LEVELS = ("none", "least", "some", "most")
RUNS = {"qemu_m0plus": ("some",), "qemu_m4": LEVELS, "qemu_m55": ("none", "some")}

needs_arm = pytest.mark.skipif(
    not (shutil.which("arm-none-eabi-gcc") and shutil.which("qemu-system-arm")),
    reason="needs the Arm compiler and qemu-system-arm",
)


def pointwise(cases: Cases, rng: Rng) -> None:
    drawn.add_convolution(cases, rng, kernel=(1, 1), channels=int(rng.integers(1, 68)))


def of_words(cases: Cases, rng: Rng) -> None:
    """Depths that are multiples of 8, which have a way of their own on cores with DSP."""
    kernel = [(1, 1), (3, 3), (2, 1)][int(rng.integers(3))]
    drawn.add_convolution(cases, rng, kernel=kernel, channels=8 * int(rng.integers(1, 6)))


def groups(cases: Cases, rng: Rng) -> None:
    drawn.add_convolution(cases, rng, groups=int(rng.choice([2, 3])))


def depthwise(cases: Cases, rng: Rng) -> None:
    drawn.add_convolution(cases, rng, depthwise=True)


DRAWN = {
    drawn.add_convolution: 16,
    pointwise: 16,
    of_words: 16,
    groups: 6,
    depthwise: 16,
    drawn.add_fully_connected: 16,
}


def narrow(g: Graph, rng: Rng) -> Graph:
    """All filters in int4, and as many -8 among them as other values: files may have it."""
    made = int4.rewrite(g, int4.candidates(g))
    for op in made.ops:
        filters = op.inputs[1]
        assert filters is not None
        assert filters.dtype == "int4"
        assert filters.data is not None
        filters.data[rng.random(filters.shape) < 1 / 16] = -8
    return made


@cache
def drawn_graph() -> tuple[Graph, Cases]:
    rng = np.random.default_rng(44)
    cases = Cases()
    for draw, count in DRAWN.items():
        for _ in range(count):
            draw(cases, rng)
    return narrow(cases.graph(), rng), cases


@cache
def battery() -> Battery:
    g, cases = drawn_graph()
    return Battery.of(g, cases.samples(2, seed=1))


def furnished(g: Graph, level: str) -> codegen.Kernels:
    """Scratch for all ops: what they can't do without, the least of more, the most, or any."""
    rng = np.random.default_rng(6)
    found: dict[Tensor, int] = {}
    for op in g.ops if level != "none" else ():
        form, key = rooms.form(op), rooms.key(op)
        assert form is not None
        assert key is not None
        sizes = sorted(size for size in form.sizes() if size >= form.least)
        if sizes:
            some = sizes[0] + int(rng.integers(0, sizes[-1] - sizes[0] + 1)) // 4 * 4
            found[key] = {"least": sizes[0], "most": sizes[-1], "some": some}[level]
    return codegen.Kernels(found)


@pytest.mark.parametrize("level", LEVELS)
def test_tflms_bytes_on_this_host(tmp_path: Path, level: str) -> None:
    tried = battery()
    plan = together(tried.graph, furnished(tried.graph, level))
    codegen.write(codegen.generate(tried.graph, plan, name="cases"), tmp_path)
    got = host.Engine(tmp_path).run(tried.samples)
    for want_row, got_row in zip(tried.expected, got, strict=True):
        for op, want, have in zip(tried.graph.ops, want_row, got_row, strict=True):
            assert np.array_equal(want, have), op


def test_sanitized(tmp_path: Path) -> None:
    tried = battery()
    got = engine(tried.graph, tmp_path, sanitize=True).run(tried.samples[:1])
    assert all(map(np.array_equal, got[0], tried.expected[0]))


@needs_arm
@pytest.mark.qemu
@pytest.mark.parametrize(
    ("board", "level"),
    [
        pytest.param(board, level, marks=needs_tools(boards.get(board)))
        for board, levels in RUNS.items()
        for level in levels
    ],
)
def test_tflms_bytes_and_nothing_beside_them(tmp_path: Path, board: str, level: str) -> None:
    tried = battery()
    kernels = furnished(tried.graph, level)
    lay = layout if level == "some" else together
    tried.check(boards.get(board), tmp_path, lay(tried.graph, kernels))


def test_words_hold_what_was_packed() -> None:
    rng = np.random.default_rng(3)
    values = rng.integers(-8, 8, (5, 7)).astype(np.int8)
    words = unpacked.packed_words(values).view(np.uint32)
    assert words.size == 5  # 35 weights
    found = [
        (int(words[i // 8]) >> (8 * (i % 4) + 4 * (i % 8 // 4)) & 15) - 8
        for i in range(values.size)
    ]
    assert found == values.ravel().tolist()


def test_flash_is_half_of_int8() -> None:
    g = battery().graph
    for op in g.ops:
        (call,) = rooms.lowered(op).calls
        constants = [a for a in call.arguments if isinstance(a, Constant)]
        (words,) = [one.data for one in constants if one.role == "weights"]
        filters = op.inputs[1]
        assert filters is not None
        assert words.nbytes == -(-filters.elements // 8) * 4
