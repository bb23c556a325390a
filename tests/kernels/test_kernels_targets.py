"""Kernels on emulated cores, with the tier that each core gets: bit for bit TFLM, guarded.

See `targets` for what is compared. qemu_m3, qemu_m0plus and qemu_rv32 run the portable tier.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import drawn
import numpy as np
import pytest
import test_kernels_int4
import wide_cases
from drawn import add_convolution, add_fully_connected, add_pair, add_pool, add_reduction
from emulated import needs_tools
from opgraph import Cases, layout
from targets import Battery, together

from tflm_opt import boards, codegen
from tflm_opt.codegen import rooms
from tflm_opt.codegen.call import Constant, Struct
from tflm_opt.graph.ir import Graph, Quantization
from tflm_opt.graph.options import ConvOptions, FullyConnectedOptions, SoftmaxOptions
from tflm_opt.kernels import table

pytestmark = [
    pytest.mark.qemu,
    pytest.mark.skipif(
        not (shutil.which("arm-none-eabi-gcc") and shutil.which("qemu-system-arm")),
        reason="needs the Arm compiler and qemu-system-arm",
    ),
]

# By board: tiers whose sources it takes where there are several, the best one last.
TIERS = {
    "qemu_m0plus": ("portable",),
    "qemu_m3": ("portable",),
    "qemu_rv32": ("portable",),
    "qemu_m4": ("dsp",),
    "qemu_m55": ("dsp", "mve"),
}
HALF = 128  # of the values of an int8
Rng = np.random.Generator
Draw = Callable[[Cases, Rng], object]


def add_softmax(cases: Cases, rng: Rng) -> None:
    shape = (int(rng.integers(1, 5)), int(rng.integers(1, 68)))
    x = cases.input(shape, scale=float(rng.uniform(0.01, 0.5)))
    result = cases.tensor(shape, scale=1 / 256, zero_point=-128)
    cases.op("SOFTMAX", [x], [result], SoftmaxOptions(1.0))


def add_quantize(cases: Cases, rng: Rng) -> None:
    shape = (1, int(rng.integers(1, 200)))
    x = cases.input(shape, "float32")
    quant = {"scale": drawn.scale(rng), "zero_point": drawn.zero_point(rng)}
    cases.op("QUANTIZE", [x], [cases.tensor(shape, **quant)])


def add_same(kind: str) -> Draw:
    """A pair of one shape, of any number of elements."""

    def draw(cases: Cases, rng: Rng) -> None:
        shape = (1, int(rng.integers(1, 6)), int(rng.integers(1, 6)), int(rng.integers(1, 68)))
        add_pair(cases, rng, kind, shape, shape)

    return draw


def add_mean(kind: str) -> Draw:
    def draw(cases: Cases, rng: Rng) -> None:
        shape = (1, int(rng.integers(1, 9)), int(rng.integers(1, 9)), int(rng.integers(1, 68)))
        add_reduction(cases, rng, kind, shape, [[1, 2], [3], [1]][int(rng.integers(3))])

    return draw


def add_pointwise(cases: Cases, rng: Rng) -> None:
    add_convolution(cases, rng, kernel=(1, 1), channels=int(rng.integers(1, 68)))


def add_square(cases: Cases, rng: Rng) -> None:
    k = int(rng.choice([3, 5, 7]))
    channels = int(rng.integers(1, 68))
    add_convolution(cases, rng, depthwise=True, kernel=(k, k), channels=channels)


def add_depthwise(cases: Cases, rng: Rng) -> None:
    add_convolution(cases, rng, depthwise=True)


def add_any(cases: Cases, rng: Rng) -> None:
    """A small op with weights, of one of the kinds that the tiers have."""
    kind = int(rng.integers(4))
    if kind == 3:
        add_fully_connected(cases, rng)
    else:
        size = int(rng.choice([1, 3]))
        channels = int(rng.integers(1, 20))
        kernel = [(1, 1), (size, 3), (3, size)][kind]
        add_convolution(cases, rng, depthwise=kind == 2, kernel=kernel, channels=channels)


def near_one() -> list[tuple[float, float]]:
    """Two float32 of which the product, in float64, is next to 1: multipliers next to 2^31."""
    first = (1 + np.arange(1, 1 << 17) * 2.0**-23).astype(np.float32)
    second = (1 / first.astype(np.float64)).astype(np.float32)
    steps = (first.astype(np.float64) * second - 1) * 2**31
    pairs = []
    for low, high in [(-1.5, -0.5), (-0.5, 0), (0, 0.5), (0.5, 1.5)]:  # 2^31 - 1, 2^31, 2^31 + 1
        where = np.flatnonzero((steps > low) & (steps < high))[0]
        pairs.append((float(first[where]), float(second[where])))
    return pairs


EXPONENTS = range(-36, 8)


def add_scaled(cases: Cases, rng: Rng) -> None:
    """An op with weights whose channels have factors next to powers of two, of all sizes.

    Biases are of all sizes too: channels with no short form, and sums that need 32 bits.
    """
    add_any(cases, rng)
    op = cases.ops.pop()
    source, filters, *_ = op.inputs
    assert source is not None
    assert filters is not None
    assert filters.quant is not None
    first, second = near_one()[int(rng.integers(4))]
    axis = 3 if op.kind == "DEPTHWISE_CONV_2D" else 0
    channels = filters.shape[axis]
    low = int(rng.choice(EXPONENTS))
    powers = np.clip(low + rng.integers(0, 12, channels), EXPONENTS.start, EXPONENTS.stop)
    count = channels if filters.quant.scale.size > 1 else 1
    shares = rng.choice(np.array([second, 1, 1 - 2.0**-24, 1 + 2.0**-23]), count)
    scales = (2.0 ** powers[:count] * shares).astype(np.float32)
    values = np.round(2.0 ** rng.uniform(0, 30, channels) * rng.choice([-1, 1], channels))
    weights = replace(filters, quant=Quantization(scales, np.zeros(count, np.int64), axis))
    image = replace(source, quant=Quantization.per_tensor(first, source.zero_point))
    result = replace(op.output, quant=Quantization.per_tensor(1.0, op.output.zero_point))
    cases.inputs[-1] = image
    bias = drawn.bias(rng, channels, scales * np.float32(first), 1.0)
    bias = replace(bias, data=values.astype(np.int32))
    assert isinstance(op.options, ConvOptions | FullyConnectedOptions)
    options = replace(op.options, activation=str(rng.choice(["NONE", "NONE", "RELU"])))
    cases.op(op.kind, [image, weights, bias], [result], options)


# By name of battery: what is drawn, and how often.
BATTERIES: dict[str, dict[Draw, int]] = {
    "convolution": {add_convolution: 32, add_pointwise: 32},
    "depthwise": {add_depthwise: 32, add_square: 32},
    "rest": {
        add_fully_connected: 40,
        add_same("ADD"): 20,
        add_same("MUL"): 20,
        (lambda c, r: add_pool(c, r, "AVERAGE_POOL_2D")): 20,
        (lambda c, r: add_pool(c, r, "MAX_POOL_2D")): 20,
        add_mean("MEAN"): 6,
        add_mean("SUM"): 6,
        add_mean("REDUCE_MAX"): 6,
        add_softmax: 6,
        add_quantize: 6,
    },
    # These two have all zero points of inputs and of outputs.
    "scales": {add_scaled: HALF},
    "zero points": {add_any: HALF},
}


def zero_points(first: int) -> Iterator[int]:
    """All int8 values from the first on, in an order of their own for inputs and for outputs."""
    orders = [np.random.default_rng(seed).permutation(np.arange(-128, 128)) for seed in (1, 2)]
    for number in itertools.count(2 * first):
        yield int(orders[number % 2][number // 2 % 256])


@cache
def battery(name: str) -> Battery:
    rng = np.random.default_rng([4, *name.encode()])
    points = zero_points(HALF if name == "scales" else 0)
    cases = Cases()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawn, "zero_point", lambda _: next(points))
        for draw, count in BATTERIES[name].items():
            for _ in range(count):
                draw(cases, rng)
    return Battery.of(cases.graph(), cases.samples(2, seed=1))


def some(sizes: list[int], rng: Rng) -> int:
    """Any size that is not a round one."""
    return sizes[0] + int(rng.integers(0, sizes[-1] - sizes[0] + 1)) // 4 * 4


# How much scratch ops get of the sizes that are worth a look, none left out.
SCRATCH: dict[str, Callable[[list[int], Rng], int]] = {
    "none": lambda sizes, rng: 0,
    "least": lambda sizes, rng: sizes[0],
    "some": some,
    "most": lambda sizes, rng: sizes[-1],
}


def furnished(g: Graph, scratch: str) -> codegen.Kernels:
    """Scratch for all ops that have a use for it."""
    rng = np.random.default_rng(6)
    found = {}
    for op in g.ops:
        form, weights = rooms.form(op), rooms.key(op)
        if form is not None and weights is not None and scratch != "none":
            sizes = sorted(size for size in form.sizes() if size >= form.least)
            if sizes:
                found[weights] = SCRATCH[scratch](sizes, rng)
    return codegen.Kernels(found)


# Which battery runs with how much scratch, outputs apart from inputs, and over them.
APART = {
    "convolution": ("none", "some"),
    "depthwise": ("none", "some"),
    "rest": ("none",),
    "scales": ("most",),
    "zero points": ("most",),
}
OVER_INPUTS = {
    "convolution": ("none", "least", "most"),
    "depthwise": ("none", "least", "most"),
    "rest": ("none", "most"),
}


# On a Cortex-M0+ depthwise convolutions have no use for scratch; others make four pixels at a
# time, with neither the least nor the most.
WITHOUT_USE = {("qemu_m0plus", "depthwise", level) for level in ("least", "some", "most")}
IN_FOURS = ("qemu_m0plus", "convolution", "some")


def runs(levels: dict[str, tuple[str, ...]]) -> list[object]:
    found = [(board, name, level) for board in TIERS for name in levels for level in levels[name]]
    return [marked(*one) for one in found if one not in WITHOUT_USE]


def marked(board: str, *rest: str) -> object:
    return pytest.param(board, *rest, marks=needs_tools(boards.get(board)))


@pytest.mark.parametrize(("board", "name", "scratch"), runs(APART))
def test_tflms_bytes_and_nothing_beside_them(
    tmp_path: Path, board: str, name: str, scratch: str
) -> None:
    g = battery(name).graph
    battery(name).check(boards.get(board), tmp_path, layout(g, furnished(g, scratch)))


@pytest.mark.parametrize(("board", "name", "scratch"), [*runs(OVER_INPUTS), marked(*IN_FOURS)])
def test_the_order_of_reads_and_writes(tmp_path: Path, board: str, name: str, scratch: str) -> None:
    g = battery(name).graph
    battery(name).check(boards.get(board), tmp_path, together(g, furnished(g, scratch)))


@pytest.mark.parametrize("name", BATTERIES)
def test_batteries_with_a_use_for_scratch_get_some(name: str) -> None:
    of_use = bool(furnished(battery(name).graph, "most").sizes)
    assert of_use == ("most" in APART[name] + OVER_INPUTS.get(name, ()))


def test_every_kernel_with_tiers_is_called() -> None:
    """Of those that whole ops call; what streamed ops call is in `fuzz`.

    Here, or where kernels of int4 weights and of int16 data are.
    """
    ops = [op for name in BATTERIES for op in battery(name).graph.ops]
    ops += [*test_kernels_int4.drawn_graph()[0].ops, *wide_cases.all_cases().graph().ops]
    called = {call.function for op in ops for call in rooms.lowered(op).calls}
    called |= {other for name in called if (other := table.kernels()[name].without)}
    reached = {kernel.function for kernel in table.closure(called)}
    for kernel in table.kernels().values():
        if kernel.engine and kernel.tiers != ("portable",) and kernel.function not in of_rows():
            assert kernel.function in reached, f"draw {kernel.ops} here"


def of_rows() -> set[str | None]:
    """Kernels that streamed stages call where whole ops call others."""
    return {kernel.lines for kernel in table.kernels().values()}


def test_batteries_are_not_trivial() -> None:
    """All zero points, shifts and the multipliers' ends occur, and outputs are no constants."""
    ops = [op for name in ("scales", "zero points") for op in battery(name).graph.ops]
    values = set(range(-128, 128))
    assert {op.inputs[0].zero_point for op in ops if op.inputs[0]} == values
    assert {op.output.zero_point for op in ops} == values
    multipliers, shifts = set(), set()
    for call in (call for op in ops for call in rooms.lowered(op).calls):
        for argument in call.arguments:
            if isinstance(argument, Struct) and argument.role == "quant":
                first, second = argument.fields[:2]
                if isinstance(first, Constant) and isinstance(second, Constant):
                    multipliers |= set(first.data.tolist())
                    shifts |= set(second.data.tolist())
    assert shifts >= set(range(-31, 9))
    assert multipliers >= {2**30, 2**30 + 1, 2**31 - 1}
    outputs = np.concatenate([o.ravel() for row in battery("scales").expected for o in row])
    assert np.mean((outputs > -128) & (outputs < 127)) > 0.3
