"""The portable arithmetic kernels under the address and undefined-behaviour sanitizers.

Whole ops with all the scratch that helps and without, and streams that call what works on rows.
Data movement and tables are sanitized beside their own tests.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from drawn import add_batch_matmul, add_pair, add_reduction, add_transpose_conv
from fuzz import battery as streams
from fuzz.cases import drawn
from opgraph import Cases, layout
from test_kernels_targets import BATTERIES, battery, furnished

from tflm_opt import codegen, graph
from tflm_opt.graph.ir import Graph
from tflm_opt.kernels import table
from tflm_opt.passes import Legalize
from tflm_opt.runtime import host, tflm

# Of the fuzz test's seed 0: between them they call every kernel that works on rows.
STREAMS = (14, 24, 53, 88)


@cache
def others() -> Cases:
    """What has no faster tier."""
    rng, cases = np.random.default_rng(5), Cases()
    for _ in range(8):
        add_transpose_conv(cases, rng)
        add_batch_matmul(cases, rng)
    for kind in ("ADD", "SUB", "MUL", "SQUARED_DIFFERENCE"):
        add_pair(cases, rng, kind, (1, 5, 7, 3), (1, 1, 7, 1))
    add_reduction(cases, rng, "REDUCE_MIN", (1, 7, 5, 6), [1, 2])
    return cases


def generated(g: Graph, scratch: str, folder: Path) -> tuple[str, ...]:
    sources = codegen.generate(g, layout(g, furnished(g, scratch)), name="cases")
    codegen.write(sources, folder)
    return sources.kernels


@pytest.mark.parametrize(
    ("name", "scratch"),
    [
        ("convolution", "none"),
        ("convolution", "most"),
        ("depthwise", "none"),
        ("scales", "most"),
        ("rest", "none"),
    ],
)
def test_ops_with_faster_tiers(tmp_path: Path, name: str, scratch: str) -> None:
    found = battery(name)
    generated(found.graph, scratch, tmp_path)
    have = host.Engine(tmp_path, sanitize=True).run(found.samples[:1])
    for op, want, got in zip(found.graph.ops, found.expected[0], have[0], strict=True):
        assert got.tobytes() == want.tobytes(), op


def test_other_ops(tmp_path: Path) -> None:
    others().check(tmp_path, samples=1, sanitize=True)


@pytest.mark.parametrize("number", STREAMS)
def test_streams(tmp_path: Path, number: int) -> None:
    case = drawn(0, number)
    codegen.write(codegen.generate(case.graph, streams.planned(case), name="net"), tmp_path)
    have = host.Engine(tmp_path, sanitize=True).run(case.samples)
    want = tflm.run(graph.write(Legalize()(case.graph)), case.samples)
    for a, b in zip(have, want, strict=True):
        assert [x.tobytes() for x in a] == [x.tobytes() for x in b]


def test_no_kernel_is_left_out(tmp_path: Path) -> None:
    called: set[str] = set()
    for name in BATTERIES:
        called |= set(generated(battery(name).graph, "most", tmp_path))
    called |= set(generated(others().graph(), "none", tmp_path))
    for number in STREAMS:
        case = drawn(0, number)
        called |= set(codegen.generate(case.graph, streams.planned(case)).kernels)
    headers = {"tflm_opt_arithmetic.h", "tflm_opt_dot.h"}
    for kernel in table.kernels().values():
        works_on_rows = kernel.function.endswith(("_rows_s8", "_rows", "lines_at", "lines_shift"))
        if kernel.engine and (kernel.header in headers or works_on_rows):
            assert kernel.function in called, kernel.function
