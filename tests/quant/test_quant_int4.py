"""int4 filters of int8 models: rounding, files, and what TFLM and the op table make of them."""

from __future__ import annotations

import numpy as np
import pytest
from small_models import Net, residual_tflite

from tflm_opt import graph, passes
from tflm_opt.errors import InvalidModel, UnsupportedModel
from tflm_opt.graph import Graph, Quantization, Tensor
from tflm_opt.graph.nibbles import packed, unpacked
from tflm_opt.quant import int4
from tflm_opt.runtime import tflm, vectors


def net() -> Graph:
    made = Net((1, 8, 8, 3))
    x = made.conv(made.input, 7, 3, 2)
    x = made.depthwise(x)
    x = made.conv(x, 5, 1)
    return made.graph(made.dense(made.flatten(x), 4))


def narrow(g: Graph) -> Graph:
    return int4.rewrite(g, int4.candidates(g))


def error(values: np.ndarray, scale: float) -> float:
    steps = np.clip(np.rint(values / scale), -7, 7)
    return float(((values - steps * scale) ** 2).sum())


class TestNibbles:
    @pytest.mark.parametrize("count", [0, 1, 2, 7, 16])
    def test_unpacked_is_the_inverse_of_packed(self, count: int) -> None:
        values = np.random.default_rng(count).integers(-8, 8, count).astype(np.int8)
        content = packed(values)
        assert content.size == (count + 1) // 2
        assert unpacked(content, count).tolist() == values.tolist()

    def test_the_first_of_a_pair_is_the_lower_half(self) -> None:
        assert packed(np.array([1, -1, 3], np.int8)).tolist() == [0xF1, 0x03]


class TestFiles:
    def test_read_is_the_inverse_of_write(self) -> None:
        g = narrow(net())
        again = graph.read(graph.write(g))
        assert graph.text.dump(again) == graph.text.dump(g)
        assert "int4[7,3,3,3]" in graph.text.dump(g)
        assert graph.write(again) == graph.write(g)

    def test_bytes_are_half(self) -> None:
        for wide, small in zip(net().ops, narrow(net()).ops, strict=True):
            if wide.kind != "RESHAPE":
                before, after = wide.inputs[1], small.inputs[1]
                assert before is not None
                assert after is not None
                assert after.nbytes == (before.nbytes + 1) // 2

    def test_a_buffer_of_another_size(self) -> None:
        g = narrow(net())
        data = graph.write(g)
        filters = g.ops[0].inputs[1]
        assert filters is not None
        assert filters.data is not None
        content = packed(filters.data).tobytes()
        with pytest.raises(InvalidModel, match="int4 needs"):
            graph.read(
                data.replace(
                    len(content).to_bytes(4, "little") + content,
                    ((len(content) - 1).to_bytes(4, "little") + content),
                )
            )


class TestScales:
    def test_no_scale_of_many_has_less_error(self) -> None:
        rng = np.random.default_rng(1)
        rows = np.concatenate([rng.normal(0, 1, (6, 40)), rng.standard_t(2, (6, 40))])
        found = int4.best_scales(rows, np.ones(len(rows)))
        for row, scale in zip(rows, found, strict=True):
            others = np.linspace(0.02, 1.2, 2000) * np.abs(row).max() / 7
            least = min(error(row, s) for s in others)
            assert error(row, float(scale)) <= least * 1.02

    def test_a_channel_of_zeros_keeps_its_scale(self) -> None:
        rows = np.zeros((2, 9))
        rows[1] = 3.5
        assert int4.best_scales(rows, np.array([0.25, 1.0])).tolist() == [0.25, 0.5]

    def test_values_and_scales(self) -> None:
        g = net()
        for op in narrow(g).ops:
            if op.kind == "RESHAPE":
                continue
            filters, bias = op.inputs[1], op.inputs[2]
            assert filters is not None
            assert filters.data is not None
            assert filters.quant is not None
            assert bias is not None
            assert bias.quant is not None
            assert int(np.abs(filters.data).max()) == 7
            assert np.array_equal(
                bias.quant.scale,
                np.float32(op.inputs[0].scale) * filters.quant.scale,  # type: ignore[union-attr]
            )

    def test_from_float_weights(self) -> None:
        g = net()
        (first, *_) = int4.candidates(g)
        assert first.data is not None
        real = np.zeros(first.shape, np.float32)
        real[:, 0, 0, 0] = 1.0
        made = int4.rewrite(g, [first], {first: real})
        filters = made.ops[0].inputs[1]
        assert filters is not None
        assert filters.data is not None
        assert np.count_nonzero(filters.data) == 7


class TestOps:
    def test_the_table_takes_int4_filters(self) -> None:
        g = narrow(net())
        graph.check(g)
        graph.check(passes.run(g, passes.default_pipeline()))

    def test_a_fully_connected_filter_has_one_scale(self) -> None:
        """TFLM refuses others: `fully_connected_common.cc`."""
        g = net()
        op = g.ops[-1]
        wide = op.inputs[1]
        assert wide is not None
        scales = Quantization(np.full(4, 0.01, np.float32), np.zeros(4, np.int64))
        by_channel = graph.edit.replace(g, {wide: _with(wide, scales)})
        graph.check(by_channel)
        one = narrow(by_channel)
        graph.check(one)
        tflm.run(graph.write(one), vectors.seeded(one.inputs, 1))
        small = one.ops[-1].inputs[1]
        assert small is not None
        broken = graph.edit.replace(one, {small: _with(small, scales)})
        with pytest.raises(UnsupportedModel, match="int4 filter has one scale"):
            graph.check(broken)
        with pytest.raises(Exception, match="kTfLiteInt4"):
            tflm.run(graph.write(broken), vectors.seeded(one.inputs, 1))

    def test_activations_may_not_be_int4(self) -> None:
        g = net()
        with pytest.raises(UnsupportedModel, match="int4 tensors"):
            graph.check(graph.edit.replace(g, {g.inputs[0]: _with(g.inputs[0], dtype="int4")}))

    def test_only_candidates_are_narrowed(self) -> None:
        g = narrow(net())
        assert int4.candidates(g) == ()
        filters = g.ops[0].inputs[1]
        assert filters is not None
        with pytest.raises(ValueError, match="no filter"):
            int4.rewrite(g, [filters])

    def test_passes_keep_outputs(self) -> None:
        g = narrow(graph.read(residual_tflite()))
        made = passes.run(passes.run(g, passes.default_pipeline()), (passes.Legalize(),))
        samples = vectors.seeded(g.inputs, 4)
        pair = tflm.run_many([(graph.write(g), samples), (graph.write(made), samples)])
        for want, have in zip(*pair, strict=True):
            assert all(map(np.array_equal, want, have))


def _with(tensor: Tensor, quant: Quantization | None = None, dtype: str | None = None) -> Tensor:
    import dataclasses

    return dataclasses.replace(tensor, quant=quant or tensor.quant, dtype=dtype or tensor.dtype)
