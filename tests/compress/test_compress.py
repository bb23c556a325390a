"""Encoded weights: TFLM decodes what we encode, bit for bit, and the figures are the file's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from small_models import Net

import tflm_opt
from tflm_opt import compress, graph
from tflm_opt.compress import codings, gains
from tflm_opt.compress.rewrite import CODE
from tflm_opt.errors import TflmOptError, UnsupportedModel
from tflm_opt.graph import Graph, Quantization, Tensor
from tflm_opt.runtime import tflm, vectors

needs_tflm = pytest.mark.skipif(not tflm.available(), reason="needs the wheel tflite-micro")


def weights(data: Any, axis: int | None = 0, zero_point: int = 0) -> Tensor:
    values = np.asarray(data, np.int8)
    count = 1 if axis is None else values.shape[axis]
    scale, zeros = np.full(count, 0.01, np.float32), np.full(count, zero_point, np.int64)
    return Tensor("w", values.shape, "int8", Quantization(scale, zeros, axis or 0), values)


def test_indices_are_packed_with_the_most_significant_bit_first() -> None:
    tensor = weights([[7, 7, 7, 2, 7, 5, 3, 0, 1, 4, 6]], axis=None)
    code = codings.lut(tensor)
    assert code is not None
    assert code.coding == "lut3"
    assert code.packed[:3] == bytes([0b11111111, 0b10101111, 0b01011000])
    assert code.ancillary[:7] == bytes([0, 1, 0, 0, 1, 15 << 4 | 3, 8])
    assert code.ancillary[16:] == bytes(range(8))


def test_each_channel_has_a_table_of_its_own() -> None:
    code = codings.lut(weights([[5, -5, 5, 5], [9, 9, 9, 9]]))
    assert code is not None
    assert code.ancillary[5:7] == bytes([0 << 4 | 1, 2])
    assert np.frombuffer(code.ancillary[16:], np.int8).tolist() == [-5, 5, 9, 0]
    assert code.packed == bytes([0b10110000])


def test_zeros_take_a_bit_each() -> None:
    code = codings.pruning(weights([[0, 3, 0, 0, -4, 0, 0, 0, 0]], axis=None))
    assert code is not None
    assert (code.packed, code.ancillary[:5]) == (bytes([0b01001000, 0]), bytes([2, 1, 0, 0, 1]))
    assert np.frombuffer(code.ancillary[16:], np.int8).tolist() == [3, -4]


def test_zeros_are_no_coding_of_another_zero_point() -> None:
    assert codings.pruning(weights(np.zeros((4, 40)), None, zero_point=3)) is None


def test_what_does_not_gain_stays() -> None:
    rng = np.random.default_rng(0)
    assert codings.best(weights(rng.integers(-127, 128, (4, 300)))) is None
    assert codings.best(weights(np.arange(8).reshape(2, 4))) is None  # smaller than its header
    assert codings.best(replace(weights(np.zeros((4, 400))), dtype="int16")) is None


def constants(made: Graph) -> list[Tensor]:
    return [t for op in made.ops for t in op.inputs if t is not None and t.data is not None]


def net(values: int | None = None, zeros: float = 0.0, seed: int = 3) -> Graph:
    """A net whose weights have few values a channel, or many zeros."""
    draw = Net((1, 11, 9, 5), seed)
    x = draw.depthwise(draw.conv(draw.input, 37, 3, 2))
    x = draw.conv(draw.conv(x, 48, 1), 33, 3, 2)
    made = draw.graph(draw.dense(draw.flatten(x), 23))
    rng = np.random.default_rng(seed)
    old = [
        t
        for op in made.ops
        for t in op.inputs
        if t is not None and t.dtype == "int8" and t.data is not None
    ]
    new = {}
    for tensor in old:
        assert tensor.data is not None
        data = np.array(tensor.data)
        if values:
            table = np.linspace(-127, 127, values).astype(np.int8)
            data = table[rng.integers(0, values, data.shape)]
        data[rng.random(data.shape) < zeros] = 0
        new[tensor] = replace(tensor, data=data)
    return graph.edit.replace(made, new)


@needs_tflm
@pytest.mark.parametrize(
    ("values", "zeros"), [(2, 0), (3, 0), (7, 0), (16, 0), (27, 0), (60, 0), (100, 0), (None, 0.7)]
)
def test_tflm_decodes_what_was_encoded(values: int | None, zeros: float) -> None:
    original = net(values, zeros)
    plain = graph.write(original)
    made = compress.compress(plain)
    kinds = [op.custom_code for op in graph.read(made.tflite).ops]
    assert kinds.count(CODE) == len(made.tensors) >= 1
    samples = vectors.seeded(original.inputs, 4, 0)
    expected, found = tflm.run_many([(plain, samples), (made.tflite, samples)])
    assert len({one[0].tobytes() for one in expected}) == 4, "outputs that say something"
    for want, have in zip(expected, found, strict=True):
        assert np.array_equal(want[0], have[0])
    assert made.saved == len(plain) - len(made.tflite) > 0
    assert made.memory == tflm.allocations(made.tflite)


@needs_tflm
def test_room_leaves_the_largest_weights_out() -> None:
    plain = graph.write(net(16))
    free = compress.compress(plain)
    assert free.memory is not None
    assert free.memory_before is not None
    tight = compress.compress(plain, room=free.memory_before.total + 2_000)
    assert tight.memory is not None
    assert tight.memory.total <= free.memory_before.total + 2_000 < free.memory.total
    assert tight.left
    assert set(tight.left).isdisjoint(one.name for one in tight.tensors)


@needs_tflm
def test_optimize_compresses_for_stock_tflm_and_proves_it() -> None:
    data = graph.write(net(None, 0.8))
    plain = tflm_opt.optimize(data, runtime="tflm", verbose=0)
    result = tflm_opt.optimize(data, runtime="tflm", compress=True, verbose=0)
    assert result.bit_exact
    assert result.compression is not None
    assert result.flash.total == len(result.tflite) == plain.flash.total - result.compression.saved
    assert result.flash.total < plain.flash.total
    assert result.sram.total >= plain.sram.total
    assert any("compressed (pruning)" in warning for warning in result.warnings)
    with pytest.raises(UnsupportedModel, match="before compression"):
        tflm_opt.optimize(result.tflite, verbose=0)


def test_the_engine_takes_no_encoded_weights() -> None:
    with pytest.raises(TflmOptError, match='runtime="tflm"'):
        tflm_opt.optimize(b"", compress=True, verbose=0)


def test_constants_are_counted_once_each() -> None:
    made = net()
    stored = {
        id(t): t.nbytes
        for op in made.ops
        for t in op.inputs
        if t is not None and t.data is not None
    }
    assert gains.constant_bytes(made) == sum(stored.values())
