"""Ops that only move values, against TFLM: generated shapes, every type that TFLM moves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from opgraph import Cases

from tflm_opt.graph.options import (
    ConcatenationOptions,
    DepthToSpaceOptions,
    GatherOptions,
    MirrorPadOptions,
    PackOptions,
    ReshapeOptions,
    ResizeNearestNeighborOptions,
    SpaceToDepthOptions,
    SplitOptions,
    SplitVOptions,
    SqueezeOptions,
    StridedSliceOptions,
    UnpackOptions,
)

Rng = np.random.Generator


def shape(rng: Rng, low: int, high: int, longest: int = 7) -> tuple[int, ...]:
    """A random shape of low..high axes."""
    return tuple(int(n) for n in rng.integers(1, longest, rng.integers(low, high + 1)))


def pick(rng: Rng, *values: str) -> str:
    return values[0] if rng.random() < 0.6 else str(rng.choice(values))


def slices(cases: Cases, rng: Rng) -> None:
    full = shape(rng, 1, 5)
    x = cases.input(full, pick(rng, "int8", "int16", "int32", "float32", "bool"))
    begin = [int(rng.integers(0, n)) for n in full]
    size = [int(rng.integers(1, n - b + 1)) for n, b in zip(full, begin, strict=True)]
    asked = [-1 if b + s == n else s for n, b, s in zip(full, begin, size, strict=True)]
    index = pick(rng, "int32", "int64")
    inputs = [x, cases.constant(begin, index), cases.constant(asked, index)]
    cases.op("SLICE", inputs, [cases.tensor(size, x.dtype)])


def strided_slices(cases: Cases, rng: Rng) -> None:
    full = shape(rng, 1, 4)
    x = cases.input(full, pick(rng, "int8", "int16", "int32", "float32", "bool"))
    begin, end, stride, out = [], [], [], []
    masks = [0, 0, 0]
    for axis, n in enumerate(full):
        step = int(rng.choice([1, 1, 2, 3, -1, -2]))
        first, last = int(rng.integers(-n - 2, n + 3)), int(rng.integers(-n - 2, n + 3))
        open_begin, open_end, shrink = rng.random(3) < (0.4, 0.4, 0.2)
        taken = list(range(n))[None if open_begin else first : None if open_end else last : step]
        if shrink:
            first, step, open_begin, open_end = int(rng.integers(-n, n)), 1, False, False
            taken = [first % n]
        if not taken:
            first, last, step, taken = 0, n, 1, list(range(n))
        begin.append(first)
        end.append(last)
        stride.append(step)
        for i, flag in enumerate((open_begin, open_end, shrink)):
            masks[i] |= int(flag) << axis
        if not shrink:
            out.append(len(taken))
    options = StridedSliceOptions(*masks[:2], shrink_axis_mask=masks[2])
    inputs = [x, *(cases.constant(values) for values in (begin, end, stride))]
    cases.op("STRIDED_SLICE", inputs, [cases.tensor(out, x.dtype)], options)


def splits(cases: Cases, rng: Rng) -> None:
    full = list(shape(rng, 1, 5))
    axis, parts = int(rng.integers(0, len(full))), int(rng.integers(1, 5))
    full[axis] *= parts
    x = cases.input(full, pick(rng, "int8", "int16", "int32", "float32"))
    part = [*full[:axis], full[axis] // parts, *full[axis + 1 :]]
    outputs = [cases.tensor(part, x.dtype) for _ in range(parts)]
    at = cases.constant(axis - len(full) if rng.random() < 0.5 else axis)
    cases.op("SPLIT", [at, x], outputs, SplitOptions(parts))


def uneven_splits(cases: Cases, rng: Rng) -> None:
    full = list(shape(rng, 1, 5))
    axis, parts = int(rng.integers(0, len(full))), rng.integers(1, 5, rng.integers(1, 5)).tolist()
    full[axis] = sum(parts)
    x = cases.input(full, pick(rng, "int8", "int16", "int32", "float32"))
    outputs = [cases.tensor([*full[:axis], n, *full[axis + 1 :]], x.dtype) for n in parts]
    inputs = [x, cases.constant(parts), cases.constant(axis)]
    cases.op("SPLIT_V", inputs, outputs, SplitVOptions(len(parts)))


def unpacks(cases: Cases, rng: Rng) -> None:
    full = shape(rng, 1, 5, 5)
    axis = int(rng.integers(0, len(full)))
    x = cases.input(full, pick(rng, "int8", "int16", "int32", "float32"))
    rest = full[:axis] + full[axis + 1 :]
    outputs = [cases.tensor(rest, x.dtype) for _ in range(full[axis])]
    cases.op("UNPACK", [x], outputs, UnpackOptions(full[axis], axis))


def packs(cases: Cases, rng: Rng) -> None:
    part, count = shape(rng, 1, 4), int(rng.integers(1, 5))
    dtype = pick(rng, "int8", "int16", "int32", "float32", "int64")
    axis = int(rng.integers(0, len(part) + 1))
    inputs = [cases.input(part, dtype) for _ in range(count)]
    output = cases.tensor([*part[:axis], count, *part[axis:]], dtype)
    given = axis - len(part) - 1 if rng.random() < 0.5 else axis
    cases.op("PACK", inputs, [output], PackOptions(count, given))


def gathers(cases: Cases, rng: Rng) -> None:
    full = shape(rng, 1, 4)
    axis = int(rng.integers(0, len(full)))
    x = cases.input(full, pick(rng, "int8", "float32"))
    places = rng.integers(0, full[axis], shape(rng, 1, 2, 5))
    out = [*full[:axis], *places.shape, *full[axis + 1 :]]
    options = GatherOptions(axis, 0)
    cases.op("GATHER", [x, cases.constant(places)], [cases.tensor(out, x.dtype)], options)


def transposes(cases: Cases, rng: Rng) -> None:
    full = shape(rng, 1, 5)
    order = rng.permutation(len(full)).tolist()
    x = cases.input(full, pick(rng, "int8", "int16", "float32"))
    output = cases.tensor([full[i] for i in order], x.dtype)
    cases.op("TRANSPOSE", [x, cases.constant(order)], [output])


def reversals(cases: Cases, rng: Rng) -> None:
    full = shape(rng, 1, 5)
    first = int(rng.integers(0, len(full)))
    axes = list(range(first, int(rng.integers(first, len(full))) + 1))
    x = cases.input(full, pick(rng, "int8", "uint8", "int16", "int32", "int64", "float32", "bool"))
    cases.op("REVERSE_V2", [x, cases.constant(axes)], [cases.tensor(full, x.dtype)])


def space_to_depth(cases: Cases, rng: Rng) -> None:
    (h, w, c), block = rng.integers(1, 5, 3).tolist(), int(rng.integers(1, 4))
    x = cases.input((1, h * block, w * block, c), pick(rng, "int8", "float32"))
    output = cases.tensor((1, h, w, c * block * block), x.dtype)
    cases.op("SPACE_TO_DEPTH", [x], [output], SpaceToDepthOptions(block))


def depth_to_space(cases: Cases, rng: Rng) -> None:
    (h, w, c), block = rng.integers(1, 5, 3).tolist(), int(rng.integers(1, 4))
    x = cases.input((1, h, w, c * block * block), pick(rng, "int8", "float32"))
    output = cases.tensor((1, h * block, w * block, c), x.dtype)
    cases.op("DEPTH_TO_SPACE", [x], [output], DepthToSpaceOptions(block))


def batch_to_space(cases: Cases, rng: Rng) -> None:
    n, h, w, c = rng.integers(1, 5, 4).tolist()
    block = rng.integers(1, 4, 2).tolist()
    crops = [int(rng.integers(0, (s * b + 1) // 2)) for s, b in ((h, block[0]), (w, block[1]))]
    first = [int(rng.integers(0, crop + 1)) for crop in crops]
    border = [[a, crop - a] for a, crop in zip(first, crops, strict=True)]
    out = [n, h * block[0] - crops[0], w * block[1] - crops[1], c]
    full = [n * block[0] * block[1], h, w, c]
    if rng.random() < 0.3:
        full, out, block, border = [n * block[0], h, c], [out[0], out[1], c], block[:1], border[:1]
    x = cases.input(full, pick(rng, "int8", "float32"))
    inputs = [x, cases.constant(block), cases.constant(border)]
    cases.op("BATCH_TO_SPACE_ND", inputs, [cases.tensor(out, x.dtype)])


def space_to_batch(cases: Cases, rng: Rng) -> None:
    n, h, w, c = rng.integers(1, 5, 4).tolist()
    block = rng.integers(1, 4, 2).tolist()
    border = rng.integers(0, 3, (2, 2))
    size = [int(-(-(s + border[i].sum()) // block[i]) * block[i]) for i, s in enumerate((h, w))]
    border[:, 1] += np.array(size) - np.array([h, w]) - border.sum(axis=1)
    full, out = [n, h, w, c], [n * block[0] * block[1], size[0] // block[0], size[1] // block[1], c]
    if rng.random() < 0.3:
        full, out = [n, h, c], [n * block[0], out[1], c]
        block, border = block[:1], border[:1]
    x = cases.input(full, pick(rng, "int8", "float32"))
    inputs = [x, cases.constant(block), cases.constant(border)]
    cases.op("SPACE_TO_BATCH_ND", inputs, [cases.tensor(out, x.dtype)])


def broadcasts(cases: Cases, rng: Rng) -> None:
    out = shape(rng, 1, 5)
    kept = out[int(rng.integers(0, len(out))) :]
    small = [1 if rng.random() < 0.4 else n for n in kept]
    x = cases.input(small, pick(rng, "int8", "int16", "int32", "float32", "bool"))
    target = cases.constant(out, pick(rng, "int32", "int64"))
    # TFLM aligns the check of shapes to the right, whatever comes in front.
    cases.op("BROADCAST_TO", [x, target], [cases.tensor(out, x.dtype)])


def mirror_pads(cases: Cases, rng: Rng) -> None:
    full = shape(rng, 1, 4)
    mode = int(rng.integers(0, 2))
    border = [rng.integers(0, n + mode, 2).tolist() for n in full]
    out = [a + n + b for n, (a, b) in zip(full, border, strict=True)]
    x = cases.input(full, pick(rng, "int8", "float32"))
    pads = cases.constant(border, pick(rng, "int32", "int64"))
    cases.op("MIRROR_PAD", [x, pads], [cases.tensor(out, x.dtype)], MirrorPadOptions(mode))


def concatenations(cases: Cases, rng: Rng) -> None:
    full = list(shape(rng, 1, 5))
    axis, parts = int(rng.integers(0, len(full))), rng.integers(1, 5, rng.integers(1, 11)).tolist()
    dtype = pick(rng, "int8", "int16", "int32", "int64", "float32", "bool")
    shapes = [[*full[:axis], n, *full[axis + 1 :]] for n in parts]
    inputs = [
        cases.constant(rng.integers(0, 100, size), dtype)
        if number and rng.random() < 0.4
        else cases.input(size, dtype)
        for number, size in enumerate(shapes)
    ]
    output = cases.tensor([*full[:axis], sum(parts), *full[axis + 1 :]], dtype)
    given = axis - len(full) if rng.random() < 0.5 else axis
    cases.op("CONCATENATION", inputs, [output], ConcatenationOptions(given))


def pads(cases: Cases, rng: Rng) -> None:
    full = shape(rng, 1, 5, 5)
    border = [(rng.integers(0, 4, 2) * (rng.random() < 0.6)).tolist() for _ in full]
    dtype = pick(rng, "int8", "int16", "int32", "float32")
    zero = int(rng.integers(-128, 128)) if dtype == "int8" else 0
    x = cases.input(full, dtype, zero_point=zero)
    out = [a + n + b for n, (a, b) in zip(full, border, strict=True)]
    inputs = [x, cases.constant(border)]
    kind = "PADV2" if rng.random() < 0.4 else "PAD"
    if kind == "PADV2":
        inputs.append(cases.constant([rng.integers(-128, 128)], dtype, zero_point=zero))
    cases.op(kind, inputs, [cases.tensor(out, dtype, zero_point=zero)])


def nearest(cases: Cases, rng: Rng) -> None:
    full = rng.integers(1, 12, 4).tolist()
    factor = int(rng.integers(1, 4))
    size = [n * factor for n in full[1:3]]
    if rng.random() < 0.6:
        size = rng.integers(1, 30, 2).tolist()
    x = cases.input(full, pick(rng, "int8", "int16", "float32"))
    flags = [(False, False), (True, False), (False, True), (True, True)][int(rng.integers(0, 4))]
    output = cases.tensor([full[0], *size, full[3]], x.dtype)
    options = ResizeNearestNeighborOptions(*flags)
    cases.op("RESIZE_NEAREST_NEIGHBOR", [x, cases.constant(size)], [output], options)


def views(cases: Cases, rng: Rng) -> None:
    full = shape(rng, 2, 4)
    kind = str(rng.choice(["RESHAPE", "SQUEEZE", "EXPAND_DIMS"]))
    x = cases.input((1, *full), pick(rng, "int8", "int16", "float32"))
    if kind == "RESHAPE":
        out = (1, full[0] * full[1], *full[2:])
        cases.op(kind, [x, cases.constant(out)], [cases.tensor(out, x.dtype)], ReshapeOptions(out))
    elif kind == "SQUEEZE":
        cases.op(kind, [x], [cases.tensor(full, x.dtype)], SqueezeOptions((0,)))
    else:
        out = (1, *full[:1], 1, *full[1:])
        cases.op(kind, [x, cases.constant(2)], [cases.tensor(out, x.dtype)])


MAKERS: dict[str, Callable[[Cases, Rng], None]] = {
    maker.__name__: maker
    for maker in (
        slices,
        strided_slices,
        splits,
        uneven_splits,
        unpacks,
        packs,
        gathers,
        transposes,
        reversals,
        space_to_depth,
        depth_to_space,
        batch_to_space,
        space_to_batch,
        broadcasts,
        mirror_pads,
        concatenations,
        pads,
        nearest,
        views,
    )
}


def generated(name: str, count: int, seed: int = 0) -> Cases:
    """`count` random cases of one maker."""
    cases, rng = Cases(), np.random.default_rng([seed, list(MAKERS).index(name)])
    for _ in range(count):
        MAKERS[name](cases, rng)
    return cases


@pytest.mark.parametrize("name", MAKERS)
def test_moves_as_tflm_does(name: str, tmp_path: Path) -> None:
    generated(name, 30).check(tmp_path, samples=2)


def test_moves_stay_inside_their_buffers(tmp_path: Path) -> None:
    cases = Cases()
    rng = np.random.default_rng(7)
    for maker in MAKERS.values():
        for _ in range(4):
            maker(cases, rng)
    cases.check(tmp_path, samples=2, sanitize=True)
