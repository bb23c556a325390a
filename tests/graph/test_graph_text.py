"""The text form, against a text that was read by a person."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from graph.file_tables import kitchen_sink, pack
from graph.small_graphs import activation, conv_op, tiny

from tflm_opt import graph
from tflm_opt.graph import ir, options

TINY = """\
graph main
in  a int8[1,4] s=0.5 z=1
in  b int8[1,4] s=0.25 z=-7
0   ADD sum int8[1,4] s=0.75 z=2 = a, b  {activation=RELU}
1   MUL out int8[1,4] s=0.125 z=-3 = sum, c int8[4] s=0.5 z=0 {1,-2,3,-4}
out out
description tiny
metadata note 4 bytes #79f076ab
metadata empty 0 bytes #e3b0c442
signature serve(x=a, y=b) -> z=out
"""


def test_a_small_graph() -> None:
    assert graph.text.dump(tiny()) == TINY


def test_reading_changes_nothing() -> None:
    assert graph.text.dump(graph.read(graph.write(tiny()))) == TINY


def test_everything_in_a_file_shows() -> None:
    lines = graph.text.dump(graph.read(pack(kitchen_sink()))).splitlines()
    assert lines[0] == "graph main"
    assert lines[3].startswith("0   CONV_2D conv int8[1,4,4,3] s=0.25 z=-4 = in, filter int8[")
    assert lines[3].endswith("{1,2,3,4,5,6}, -")
    assert "{GeluOptions approximate=True}" in lines[4]
    assert lines[5].startswith("2   CUSTOM:mine 'custom out' float32[1,4,4,3] = 'caf\\udce9', ")
    assert lines[5].endswith("custom 3 bytes #06df4f7e")
    assert "state" in lines[6]
    assert "{IfOptions thenSubgraphIndex=1 elseSubgraphIndex=1}" in lines[7]
    assert "graph side" in lines
    assert "signature side(x=x) -> y=y" in lines
    assert all(line.isascii() for line in lines)


def test_shared_and_long_names_stay_apart() -> None:
    a, b = activation("x" * 200, (1, 4)), activation("x" * 199 + "y", (1, 4))
    c = activation("x" * 200, (1, 4))
    ops = (ir.Op("RELU", (a,), (b,)), ir.Op("RELU", (b,), (c,)))
    text = graph.text.dump(ir.Graph(ops, (a,), (c,)))
    labels = {line.split()[2] for line in text.splitlines() if line[0].isdigit()}
    assert len(labels) == 2
    assert f"out {'x' * 29}..{'x' * 29}#2" in text


def test_names_that_would_break_lines() -> None:
    a, b = activation("two\nlines", (1, 4)), activation("tab\tname", (1, 4))
    text = graph.text.dump(ir.Graph((ir.Op("RELU", (a,), (b,)),), (a,), (b,)))
    assert len(text.splitlines()) == 4


@pytest.mark.parametrize(
    ("record", "shown"),
    [
        (options.ConvOptions(), ""),
        (options.ConvOptions((2, 1), options.Padding(0, 1, 2, 3)), "stride=2,1 padding=0,1,2,3"),
        (options.ConvOptions(dilation=(2, 2), activation="RELU6"), "dilation=2,2 activation=RELU6"),
    ],
)
def test_options_that_are_not_default(record: options.ConvOptions, shown: str) -> None:
    image = activation("image", (1, 8, 8, 2))
    op = dataclasses.replace(conv_op(image, 3), options=record)
    line = graph.text.op_line(7, op)
    assert line.startswith("7   CONV_2D conv_out")
    assert line.partition("  {")[2] == (f"{shown}}}" if shown else "")


def test_one_changed_weight_shows() -> None:
    image = activation("image", (1, 8, 8, 2))
    op = conv_op(image, 3)
    w = op.inputs[1]
    assert w is not None
    assert w.data is not None
    values = w.data.copy()
    values[2, 1, 1, 1] ^= 1
    other = dataclasses.replace(w, data=values)
    changed = dataclasses.replace(op, inputs=(op.inputs[0], other, op.inputs[2]))
    assert graph.text.op_line(0, op) != graph.text.op_line(0, changed)
    assert graph.text.op_line(0, op) == graph.text.op_line(0, conv_op(image, 3))


def test_floats_print_the_same_everywhere() -> None:
    value = ir.Tensor("v", (2,), "float32", None, np.array([0.1, 1e-9], np.float32))
    out = ir.Tensor("out", (2,), "float32")
    assert graph.text.op_line(0, ir.Op("NEG", (value,), (out,))).endswith("{0.1,1e-09}")
