"""Files of a few hundred kilobytes that would take gigabytes or minutes if read naively.

Each is a valid flatbuffer: the trick is that many tables share one long vector, or that many
tiny tables are claimed.
"""

from __future__ import annotations

from collections.abc import Callable

import flatbuffers
import numpy as np
from graph.file_tables import fb

MANY = 20_000


def _vector(b: flatbuffers.Builder, offsets: list[int]) -> int:
    b.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        b.PrependUOffsetTRelative(offset)
    return b.EndVector()


def _subgraph(b: flatbuffers.Builder, tensors: int = 0, operators: int = 0) -> int:
    fb.SubGraphStart(b)
    if tensors:
        fb.SubGraphAddTensors(b, tensors)
    if operators:
        fb.SubGraphAddOperators(b, operators)
    return fb.SubGraphEnd(b)


def _finish(
    b: flatbuffers.Builder, subgraphs: list[int], buffers: int = 0, codes: int = 0
) -> bytes:
    graphs = _vector(b, subgraphs)
    fb.ModelStart(b)
    fb.ModelAddVersion(b, 3)
    fb.ModelAddSubgraphs(b, graphs)
    if buffers:
        fb.ModelAddBuffers(b, buffers)
    if codes:
        fb.ModelAddOperatorCodes(b, codes)
    b.Finish(fb.ModelEnd(b), b"TFL3")
    return bytes(b.Output())


def _buffer(b: flatbuffers.Builder, content: int) -> int:
    fb.BufferStart(b)
    fb.BufferAddData(b, content)
    return fb.BufferEnd(b)


def _code(b: flatbuffers.Builder) -> int:
    fb.OperatorCodeStart(b)
    fb.OperatorCodeAddDeprecatedBuiltinCode(b, 22)
    return _vector(b, [fb.OperatorCodeEnd(b)])


def tensors() -> bytes:
    """20 000 tensors, each the same constant of 400 kB: 8 GB if copied."""
    b = flatbuffers.Builder(1 << 20)
    size = 400_000
    buffers = _vector(b, [_buffer(b, b.CreateNumpyVector(np.ones(size, np.uint8)))])
    shape = b.CreateNumpyVector(np.array([size], np.int32))
    made = []
    for _ in range(MANY):
        fb.TensorStart(b)
        fb.TensorAddShape(b, shape)
        fb.TensorAddType(b, fb.TensorType.INT8)
        made.append(fb.TensorEnd(b))
    return _finish(b, [_subgraph(b, _vector(b, made))], buffers)


def operators() -> bytes:
    """20 000 ops that share one list of 50 000 inputs: a thousand million references."""
    b = flatbuffers.Builder(1 << 20)
    inputs = b.CreateNumpyVector(np.full(50_000, -1, np.int32))
    made = []
    for _ in range(MANY):
        fb.OperatorStart(b)
        fb.OperatorAddInputs(b, inputs)
        made.append(fb.OperatorEnd(b))
    return _finish(b, [_subgraph(b, 0, _vector(b, made))], 0, _code(b))


def buffers() -> bytes:
    """20 000 buffers on one vector of 400 kB."""
    b = flatbuffers.Builder(1 << 20)
    content = b.CreateNumpyVector(np.ones(400_000, np.uint8))
    many = _vector(b, [_buffer(b, content) for _ in range(MANY)])
    return _finish(b, [_subgraph(b)], many)


def names() -> bytes:
    """20 000 tensors that share a name of 400 kB."""
    b = flatbuffers.Builder(1 << 20)
    name = b.CreateString(b"n" * 400_000)
    made = []
    for _ in range(MANY):
        fb.TensorStart(b)
        fb.TensorAddName(b, name)
        made.append(fb.TensorEnd(b))
    return _finish(b, [_subgraph(b, _vector(b, made))])


def options() -> bytes:
    """20 000 ops that share one options table with a vector of 100 000 sizes."""
    b = flatbuffers.Builder(1 << 20)
    sizes = b.CreateNumpyVector(np.ones(100_000, np.int32))
    fb.ReshapeOptionsStart(b)
    fb.ReshapeOptionsAddNewShape(b, sizes)
    record = fb.ReshapeOptionsEnd(b)
    made = []
    for _ in range(MANY):
        fb.OperatorStart(b)
        fb.OperatorAddBuiltinOptionsType(b, fb.BuiltinOptions.ReshapeOptions)
        fb.OperatorAddBuiltinOptions(b, record)
        made.append(fb.OperatorEnd(b))
    return _finish(b, [_subgraph(b, 0, _vector(b, made))], 0, _code(b))


def shapes() -> bytes:
    """20 000 tensors that share a shape of 100 000 dimensions."""
    b = flatbuffers.Builder(1 << 20)
    shape = b.CreateNumpyVector(np.ones(100_000, np.int32))
    made = []
    for _ in range(MANY):
        fb.TensorStart(b)
        fb.TensorAddShape(b, shape)
        made.append(fb.TensorEnd(b))
    return _finish(b, [_subgraph(b, _vector(b, made))])


def millions() -> bytes:
    """A vector of a million offsets to one and the same tensor."""
    b = flatbuffers.Builder(1 << 20)
    fb.TensorStart(b)
    one = fb.TensorEnd(b)
    return _finish(b, [_subgraph(b, _vector(b, [one] * 1_000_000))])


def subgraphs() -> bytes:
    """2 000 subgraphs that share a list of 2 000 tensors."""
    b = flatbuffers.Builder(1 << 20)
    made = []
    for _ in range(2000):
        fb.TensorStart(b)
        made.append(fb.TensorEnd(b))
    shared = _vector(b, made)
    return _finish(b, [_subgraph(b, shared) for _ in range(2000)])


BOMBS: dict[str, Callable[[], bytes]] = {
    made.__name__: made
    for made in (tensors, operators, buffers, names, options, shapes, millions, subgraphs)
}
