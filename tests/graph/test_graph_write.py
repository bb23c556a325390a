"""What a written file looks like: alignment, determinism, sharing, opcodes."""

from __future__ import annotations

import dataclasses
import time

import numpy as np
import pytest
from graph.small_graphs import activation, conv_op, residual, tiny, with_op

from tflm_opt import graph
from tflm_opt.errors import UnsupportedModel
from tflm_opt.graph import ir, options, schema


def buffers(data: bytes) -> list[tuple[int, int]]:
    """(position in the file, size) of every buffer that holds something."""
    model = schema.fb.Model.GetRootAs(data, 0)
    found = []
    for i in range(model.BuffersLength()):
        buffer = model.Buffers(i)
        if not buffer.DataIsNone() and buffer.DataLength():
            offset = buffer._tab.Vector(buffer._tab.Offset(4))
            found.append((offset, buffer.DataLength()))
    return found


@pytest.mark.parametrize("make", [tiny, residual])
def test_every_buffer_starts_at_a_multiple_of_16(make) -> None:
    g = make()
    # Odd sizes before and after shift everything that is not aligned on purpose.
    blobs = tuple((f"blob{n}", bytes(range(n))) for n in (1, 3, 16, 17, 31))
    g = dataclasses.replace(g, model=dataclasses.replace(g.model, metadata=blobs))
    data = graph.write(g)
    found = buffers(data)
    constants = {t for op in g.ops for t in op.inputs if t is not None and t.data is not None}
    assert len(found) == len(constants) + len(blobs)
    assert [position % 16 for position, _ in found] == [0] * len(found)


@pytest.mark.parametrize("name_length", range(17))
def test_alignment_does_not_depend_on_what_lies_around(name_length: int) -> None:
    g = tiny()
    model = dataclasses.replace(g.model, description="d" * name_length)
    data = graph.write(dataclasses.replace(g, model=model))
    found = buffers(data)
    assert len(found) == 2
    assert all(position % 16 == 0 for position, _ in found)
    assert data[found[0][0] : sum(found[0])] == b"\x01\xfe\x03\xfc"


def test_same_graph_same_bytes() -> None:
    assert graph.write(residual()) == graph.write(residual())


def test_writing_what_was_written_changes_nothing() -> None:
    once = graph.write(residual())
    assert graph.write(graph.read(once)) == once


def test_two_megabytes_are_written_quickly() -> None:
    image = activation("image", (1, 4, 4, 64))
    op = conv_op(image, 3600, kernel=3, name="large")
    g = ir.Graph((op,), (image,), (op.output,))
    start = time.process_time()
    data = graph.write(g)
    assert len(data) > 2_000_000
    assert time.process_time() - start < 0.5  # about 0.02 s where nothing else runs


def test_equal_constants_share_a_buffer_and_metadata_does_not() -> None:
    g = tiny()
    constant = g.ops[1].inputs[1]
    assert constant is not None
    assert constant.data is not None
    twin = dataclasses.replace(constant, name="twin", data=constant.data.copy())
    g = with_op(g, 0, inputs=(twin, g.ops[0].inputs[1]))
    model = dataclasses.replace(g.model, metadata=(("same", constant.data.tobytes()),))
    g = dataclasses.replace(g, model=model)
    assert len(buffers(graph.write(g))) == 2


def test_views_that_are_not_contiguous_are_written_in_their_own_order() -> None:
    g = tiny()
    constant = g.ops[1].inputs[1]
    assert constant is not None
    assert constant.data is not None
    backwards = dataclasses.replace(constant, data=constant.data[::-1])
    g = with_op(g, 1, inputs=(g.ops[1].inputs[0], backwards))
    data = graph.read(graph.write(g)).ops[1].inputs[1]
    assert data is not None
    assert data.data is not None
    assert data.data.tolist() == [-4, 3, -2, 1]


def test_two_constants_in_one_array_stay_two() -> None:
    g = tiny()
    both = np.array([1, 2, 3, 4, 5, 6, 7, 8], np.int8)
    c = g.ops[1].inputs[1]
    assert c is not None
    first, second = (dataclasses.replace(c, data=both[i : i + 4]) for i in (0, 4))
    g = with_op(g, 0, inputs=(first, second))
    back = graph.read(graph.write(g)).ops[0].inputs
    assert [t.data.tolist() for t in back if t and t.data is not None] == [
        [1, 2, 3, 4],
        [5, 6, 7, 8],
    ]


def test_padding_that_tflite_has_no_word_for_is_refused() -> None:
    image = activation("image", (1, 8, 8, 3))
    op = conv_op(image, 4)
    assert isinstance(op.options, options.ConvOptions)
    odd = dataclasses.replace(op.options, padding=options.Padding(2, 0, 1, 1))
    g = ir.Graph((dataclasses.replace(op, options=odd),), (image,), (op.output,))
    with pytest.raises(UnsupportedModel, match=r"0:CONV_2D.*padding.*legalize"):
        graph.write(g)


@pytest.mark.parametrize(
    ("kind", "old", "new"),
    [("ADD", 0, 0), ("RELU", 19, 19), ("GELU", 127, 150), ("CUSTOM", 32, 32)],
)
def test_opcodes_go_into_both_fields(kind: str, old: int, new: int) -> None:
    a, b = activation("a", (1, 4)), activation("b", (1, 4))
    op = ir.Op(kind, (a,), (b,), custom_code="mine" if kind == "CUSTOM" else None, version=3)
    data = graph.write(ir.Graph((op,), (a,), (b,)))
    code = schema.fb.Model.GetRootAs(data, 0).OperatorCodes(0)
    assert (code.DeprecatedBuiltinCode(), code.BuiltinCode(), code.Version()) == (old, new, 3)
