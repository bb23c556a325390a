"""Ops on int16 data with int8 weights against TFLM: on this host, and on emulated cores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from emulated import marked
from opgraph import layout
from targets import Battery, together
from wide_cases import Builder, all_cases

from tflm_opt import boards, codegen, graph
from tflm_opt.codegen import forms, rooms
from tflm_opt.graph.ir import Graph
from tflm_opt.graph.options import ConvOptions
from tflm_opt.kernels import table
from tflm_opt.quant import wide_tables

PRODUCTS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")


def generous(g: Graph) -> codegen.Kernels:
    """All scratch that the kernels have a use for."""
    sizes = {}
    for op in g.ops:
        key, form = rooms.key(op), rooms.form(op)
        if key is not None and form is not None:
            sizes[key] = max(form.sizes())
    return codegen.Kernels(sizes)


def test_every_op_gives_tflms_bits(tmp_path: Path) -> None:
    cases = all_cases()
    graph.check(cases.graph())
    cases.check(tmp_path, 3, sanitize=True)


def test_all_kernels_of_int16_are_used() -> None:
    used = {call.function for op in all_cases().graph().ops for call in rooms.lowered(op).calls}
    served = {
        name
        for name, row in table.kernels().items()
        if row.header == "tflm_opt_int16.h" and row.engine and name.endswith("_s16")
    }
    inner = {"tflm_opt_convolve_plain_s16", "arm_depthwise_conv_s16"}  # parts of the wrappers
    assert served - inner <= used


def test_softmax_tables_end_where_the_functions_do() -> None:
    exp, inverse = wide_tables.softmax()
    at = np.linspace(-10, 0, 513)
    assert np.abs(exp - np.exp(at) * 32768).max() < 8
    assert (exp[0], exp[-1]) == (2, 32767)
    assert np.abs(inverse - 32768 / (1 + np.linspace(0, 1, 513))).max() < 2


def some(one_in: int, seed: int) -> Battery:
    """Of ops with products one in so many, and a third of the others."""
    cases = all_cases(seed)
    products = [op for op in cases.ops if op.kind in PRODUCTS]
    others = [op for op in cases.ops if op.kind not in PRODUCTS]
    cases.ops = products[::one_in] + others[seed % 3 :: 3]
    read = {t for op in cases.ops for t in op.inputs}
    cases.inputs = [t for t in cases.inputs if t in read]
    return Battery.of(cases.graph(), cases.samples(1))


@pytest.mark.parametrize("name", marked("qemu_m4", "qemu_m3"))
def test_emulated_cores_give_tflms_bits(name: str, tmp_path: Path) -> None:
    """With scratch and outputs over inputs where that is allowed; nothing else is written."""
    dsp = name == "qemu_m4"
    battery = some(one_in=5 if dsp else 11, seed=3 if dsp else 5)
    plan = together(battery.graph, generous(battery.graph))
    battery.check(boards.get(name), tmp_path, plan)


@pytest.mark.parametrize("name", marked("qemu_m4"))
def test_scratch_makes_convolutions_faster(name: str, tmp_path: Path) -> None:
    """By estimate and by count: two products an instruction, from windows in scratch."""
    b = Builder()
    filters = b.filters((16, 3, 3, 16), 0)
    inputs = [b.data(1, 8, 8, 16), filters, *b.bias(filters, 16, "int64")]
    b.add("CONV_2D", inputs, (1, 6, 6, 16), record=ConvOptions(), scale=0.001)
    g = b.cases.graph()
    battery = Battery.of(g, b.cases.samples(1))
    plain, fast = (
        battery.check(boards.get(name), tmp_path / str(i), layout(g, kernels))[0]
        for i, kernels in enumerate((codegen.Kernels(), generous(g)))
    )
    products = 36 * 16 * 144
    assert fast < 2.1 * products < plain / 3
    form = rooms.form(g.ops[0])
    assert isinstance(form, forms.Wide)
    assert form.work(0, "dsp") == pytest.approx(plain, rel=0.2)
    assert form.work(form.least, "dsp") == pytest.approx(fast, rel=0.2)
