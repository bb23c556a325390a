"""Data movement, tables and conversions with the output at the safe distance below the input.

The same contract as in `test_kernels_overlap`, for the kernels that move bytes of any type.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from opgraph import Cases, Layout, layout
from test_kernels_movement import MAKERS, Rng
from test_kernels_pointwise import broadcast_pair

from tflm_opt import codegen
from tflm_opt.arena.overlap import safe_distance
from tflm_opt.graph.ir import Graph, Op
from tflm_opt.graph.options import ResizeBilinearOptions
from tflm_opt.runtime import host


def tables(cases: Cases, rng: Rng) -> None:
    x = cases.input((7, 9))
    cases.op("RELU", [x], [cases.tensor((7, 9), scale=0.3, zero_point=5)])


def conversions(cases: Cases, rng: Rng) -> None:
    x = cases.input((7, 9), "float32")
    cases.op("QUANTIZE", [x], [cases.tensor((7, 9))])
    for dtype in ("int8", "uint8"):
        y = cases.input((5, 11), dtype)
        cases.op("DEQUANTIZE", [y], [cases.tensor((5, 11), "float32")])


def pairs(cases: Cases, rng: Rng) -> None:
    for kind in ("MINIMUM", "MAXIMUM", "PRELU"):
        first, second, out = broadcast_pair(rng)
        cases.op(kind, [cases.input(first), cases.input(second)], [cases.tensor(out)])


def bilinear(cases: Cases, rng: Rng) -> None:
    n, h, w, c = (int(v) for v in rng.integers(1, 7, 4))
    size = rng.integers(1, 14, 2).tolist()
    options = ResizeBilinearOptions(half_pixel_centers=bool(rng.integers(0, 2)))
    x = cases.input((n, h, w, c))
    cases.op("RESIZE_BILINEAR", [x, cases.constant(size)], [cases.tensor((n, *size, c))], options)


KINDS: dict[str, Callable[[Cases, Rng], None]] = {
    **{k: MAKERS[k] for k in ("slices", "transposes", "concatenations", "pads", "nearest")},
    "tables": tables,
    "conversions": conversions,
    "pairs": pairs,
    "bilinear": bilinear,
}


def distance(op: Op, position: int) -> int | None:
    """Bytes between output and input, in whole elements of both."""
    block = codegen.access(op)
    source = op.inputs[position]
    if block is None or source is None or source.constant or op.inputs.count(source) > 1:
        return None
    gap = safe_distance(op, position, block=block)
    item = max(source.itemsize, op.output.itemsize)
    return None if gap is None else -(-gap // item) * item


def squeezed(g: Graph, position: int, less: int = 0) -> tuple[Layout, int]:
    """A layout with input `position` of each op at the safe distance; how many overlap."""
    apart = layout(g)
    offsets, end, overlapping = dict(apart.offsets), apart.peak, 0
    for op in g.ops:
        gap = distance(op, position) if position < len(op.inputs) else None
        source = op.inputs[min(position, len(op.inputs) - 1)]
        if gap is None or source is None:
            continue
        overlapping += gap < op.output.nbytes
        offsets[op.output] = end
        offsets[source] = end + max(gap - less, 0)
        end += (gap + source.nbytes + op.output.nbytes + 31) // 16 * 16
    return replace(apart, offsets=offsets, peak=end), overlapping


def outputs(g: Graph, plan: Layout, data: list[list[np.ndarray]], folder: Path) -> list[bytes]:
    codegen.write(codegen.generate(g, plan, name="squeezed"), folder)
    return [a.tobytes() for row in host.Engine(folder).run(data) for a in row]


@pytest.mark.parametrize("kind", KINDS)
def test_outputs_written_at_the_safe_distance(kind: str, tmp_path: Path) -> None:
    cases, rng = Cases(), np.random.default_rng(len(kind))
    for _ in range(30):
        KINDS[kind](cases, rng)
    g = cases.graph()
    data = cases.samples(2)
    apart = outputs(g, layout(g), data, tmp_path / "apart")
    for position in (0, 1):
        plan, overlapping = squeezed(g, position)
        if position == 0:
            assert overlapping >= 3
        together = outputs(g, plan, data, tmp_path / f"together{position}")
        for place, (want, have) in enumerate(zip(apart, together, strict=True)):
            op = g.ops[place % len(g.ops)]
            assert want == have, (op, [t and t.shape for t in op.inputs], position)


def test_less_than_the_safe_distance_shows(tmp_path: Path) -> None:
    """The test above can fail."""
    cases, rng = Cases(), np.random.default_rng(1)
    for _ in range(30):
        KINDS["pads"](cases, rng)
    g = cases.graph()
    data = cases.samples(2)
    apart = outputs(g, layout(g), data, tmp_path / "apart")
    assert apart != outputs(g, squeezed(g, 0, less=4)[0], data, tmp_path / "broken")
