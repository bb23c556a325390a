"""What `check` refuses, and the words it uses: op, tensor, reason, remedy."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
from graph.file_tables import kitchen_sink, pack
from graph.small_graphs import activation, constant, conv_op, residual, tiny, weights, with_op

from tflm_opt import graph
from tflm_opt.errors import UnsupportedModel
from tflm_opt.graph import ir, options


def refusal(g: ir.Graph) -> UnsupportedModel:
    with pytest.raises(UnsupportedModel) as caught:
        graph.check(g)
    error = caught.value
    assert error.reason in str(error)
    return error


def retyped(g: ir.Graph, dtype: str) -> ir.Graph:
    """Every activation with another element type."""
    ours = [t for t in graph.tensor_order(g) if t.data is None]
    return graph.edit.replace(g, {t: dataclasses.replace(t, dtype=dtype) for t in ours})


def changed(g: ir.Graph, old: ir.Tensor, **changes: object) -> ir.Graph:
    return graph.edit.replace(g, {old: dataclasses.replace(old, **changes)})  # type: ignore[arg-type]


@pytest.mark.parametrize("make", [tiny, residual])
def test_good_graphs_pass(make) -> None:
    graph.check(make())
    graph.check(graph.read(graph.write(make())))


class TestWholeModel:
    def test_no_ops(self) -> None:
        a = activation("a", (1, 4))
        assert "no ops" in refusal(ir.Graph((), (a,), (a,))).reason

    def test_no_inputs_or_outputs(self) -> None:
        g = tiny()
        assert "no inputs" in refusal(dataclasses.replace(g, inputs=())).reason
        assert "no outputs" in refusal(dataclasses.replace(g, outputs=())).reason

    def test_compressed(self) -> None:
        g = tiny()
        model = dataclasses.replace(g.model, metadata=(("COMPRESSION_METADATA", b"x"),))
        error = refusal(dataclasses.replace(g, model=model))
        assert "compressed" in error.reason
        assert "before compression" in str(error)

    def test_float(self) -> None:
        error = refusal(retyped(residual(), "float32"))
        assert (error.op, error.tensor) == ("0:CONV_2D", "image")
        assert error.reason == "only the weights are quantized, the activations are float"
        assert "tflm_opt.quant" in str(error)

    def test_float_weights_too(self) -> None:
        g = retyped(residual(), "float32")
        floats = {
            t: dataclasses.replace(t, dtype="float32", data=t.data.astype(np.float32))
            for t in graph.tensor_order(g)
            if t.data is not None and t.dtype == "int8"
        }
        assert "not quantized" in refusal(graph.edit.replace(g, floats)).reason

    def test_uint8(self) -> None:
        error = refusal(retyped(residual(), "uint8"))
        assert "uint8" in error.reason
        assert "Convert the model again" in str(error)

    def test_uint8_without_weights(self) -> None:
        error = refusal(retyped(tiny(), "uint8"))
        assert (error.op, error.tensor) == ("0:ADD", "a")
        assert error.reason == "All inputs are int8 or int16; here it is uint8"
        assert "old converters" in str(error)

    def test_int16(self) -> None:
        error = refusal(retyped(residual(), "int16"))
        assert "int16 data has one positive scale and zero point 0" in error.reason

    def test_an_op_without_an_int16_form(self) -> None:
        a, out = (ir.Tensor(n, (1, 4), "int16", ir.Quantization.per_tensor(0.1)) for n in "ab")
        error = refusal(ir.Graph((ir.Op("ELU", (a,), (out,)),), (a,), (out,)))
        assert error.reason == "All inputs are int8; here it is int16"
        assert "This op has no int16 form here" in str(error)

    def test_kitchen_sink(self) -> None:
        refusal(graph.read(pack(kitchen_sink())))


class TestEnds:
    @pytest.mark.parametrize(
        ("shape", "signature", "words"),
        [
            ((2, 4), None, "its batch (first axis) is 2"),
            ((1, 4), (-1, -1), "its shape is open: [-1, -1]"),
            ((1, 0), None, "its shape is open: [1, 0]"),
        ],
    )
    def test_inputs_of_no_fixed_size(self, shape, signature, words) -> None:
        g = tiny()
        g = changed(g, g.inputs[0], shape=shape, shape_signature=signature)
        error = refusal(g)
        assert words in error.reason
        assert error.tensor == "a"
        assert "batch of 1" in str(error)

    def test_an_open_batch_of_one_is_fine(self) -> None:
        g = tiny()
        graph.check(changed(g, g.inputs[0], shape_signature=(-1, 4)))

    def test_constant_ends(self) -> None:
        g = tiny()
        c = g.ops[1].inputs[1]
        assert c is not None
        assert "constant" in refusal(dataclasses.replace(g, outputs=(*g.outputs, c))).reason
        assert "constant" in refusal(dataclasses.replace(g, inputs=(*g.inputs, c))).reason

    def test_an_input_as_output(self) -> None:
        g = tiny()
        assert "one of its inputs" in refusal(dataclasses.replace(g, outputs=g.inputs[:1])).reason

    def test_an_input_twice(self) -> None:
        g = tiny()
        assert "twice" in refusal(dataclasses.replace(g, inputs=(*g.inputs, g.inputs[0]))).reason


class TestOrder:
    def test_ops_out_of_order(self) -> None:
        g = tiny()
        error = refusal(dataclasses.replace(g, ops=g.ops[::-1]))
        assert error.op == "0:MUL"
        assert error.tensor == "sum"
        assert "before op 1:ADD" in error.reason

    def test_a_cycle(self) -> None:
        g = tiny()
        looped = with_op(g, 0, inputs=(g.inputs[0], g.outputs[0]))
        assert "cycle" in refusal(looped).reason

    def test_a_tensor_from_nowhere(self) -> None:
        g = with_op(tiny(), 0, inputs=(activation("ghost", (1, 4)), activation("b", (1, 4))))
        error = refusal(g)
        assert (error.op, error.tensor) == ("0:ADD", "ghost")
        assert "nothing makes" in error.reason

    def test_a_tensor_made_twice(self) -> None:
        g = tiny()
        twice = dataclasses.replace(g, ops=(g.ops[0], g.ops[0], g.ops[1]))
        assert "made twice" in refusal(twice).reason

    def test_an_op_that_writes_an_input(self) -> None:
        g = tiny()
        assert "made twice" in refusal(with_op(g, 0, outputs=(g.inputs[0],))).reason

    def test_an_op_that_writes_a_constant(self) -> None:
        g = tiny()
        c = g.ops[1].inputs[1]
        assert c is not None
        assert "constant" in refusal(with_op(g, 0, outputs=(c,))).reason

    def test_an_output_that_nothing_makes(self) -> None:
        g = dataclasses.replace(tiny(), outputs=(activation("ghost", (1, 4)),))
        assert "no op makes" in refusal(g).reason


class TestOps:
    @pytest.mark.parametrize(
        ("kind", "words", "remedy"),
        [
            ("IF", "control flow", "Unroll"),
            ("WHILE", "control flow", "Unroll"),
            ("CALL_ONCE", "control flow", "Unroll"),
            ("READ_VARIABLE", "variables", "Remove"),
            ("UNIDIRECTIONAL_SEQUENCE_LSTM", "recurrent", "convolutions"),
            ("SVDF", "recurrent", "convolutions"),
            ("DENSIFY", "sparse", "dense"),
            ("GELU", "GELU is not supported", "Supported ops: ABS, ADD"),
        ],
    )
    def test_kinds(self, kind: str, words: str, remedy: str) -> None:
        error = refusal(with_op(tiny(), 0, kind=kind))
        assert error.op == f"0:{kind}"
        assert error.tensor == "sum"
        assert words in error.reason
        assert remedy in str(error)

    def test_custom_ops(self) -> None:
        error = refusal(with_op(tiny(), 1, kind="CUSTOM", custom_code="mine"))
        assert error.op == "1:mine"
        assert "custom op 'mine' is not supported" in error.reason

    def test_decode(self) -> None:
        error = refusal(with_op(tiny(), 1, kind="CUSTOM", custom_code="DECODE"))
        assert "compressed" in error.reason

    def test_variables(self) -> None:
        g = tiny()
        g = changed(g, g.inputs[0], variable=True)
        assert "variables" in refusal(g).reason

    def test_sparse_weights(self) -> None:
        g = residual()
        w = g.ops[0].inputs[1]
        assert w is not None
        assert "sparse" in refusal(changed(g, w, carried={"sparsity": object()})).reason

    def test_int4_weights(self) -> None:
        g = residual()
        w = g.ops[0].inputs[1]
        assert w is not None
        assert w.data is not None
        graph.check(changed(g, w, dtype="int4", data=w.data >> 4))
        x = g.ops[0].inputs[0]
        assert x is not None
        assert "int4 tensors" in refusal(changed(g, x, dtype="int4")).reason

    def test_too_many_inputs(self) -> None:
        g = tiny()
        error = refusal(with_op(g, 0, inputs=(*g.inputs, g.inputs[0])))
        assert error.reason == "it has 3 inputs; ADD takes 2"

    def test_a_left_out_input(self) -> None:
        g = tiny()
        assert "left out" in refusal(with_op(g, 0, inputs=(g.inputs[0], None))).reason

    @pytest.mark.parametrize("record", [None, options.MulOptions()])
    def test_options_of_another_op(self, record: options.Options | None) -> None:
        assert "options are missing" in refusal(with_op(tiny(), 0, options=record)).reason

    def test_wrong_shapes(self) -> None:
        g = residual()
        total = g.ops[2].output
        error = refusal(changed(g, total, shape=(1, 5, 4, 3)))
        assert error.op == "2:ADD"
        assert "[1, 5, 4, 3]" in error.reason
        assert "[1, 5, 4, 4]" in error.reason

    def test_shapes_that_do_not_go_together(self) -> None:
        g = tiny()
        error = refusal(changed(g, g.inputs[1], shape=(1, 3)))
        assert "[1, 4] and [1, 3] do not broadcast" in error.reason


def quantized(shape: tuple[int, ...], scale: object, zero: object) -> ir.Quantization:
    return ir.Quantization(np.array(scale, np.float32), np.array(zero, np.int64))


class TestQuantization:
    @pytest.mark.parametrize(
        ("quant", "words"),
        [
            (None, "no quantization parameters"),
            (quantized((1,), [0.5, 0.25], [0, 0]), "it has 2 scales"),
            (quantized((1,), [0.0], [0]), "its scale is 0.0"),
            (quantized((1,), [0.5], [128]), "its zero point is 128"),
            (quantized((1,), [0.5], [-129]), "its zero point is -129"),
        ],
    )
    def test_activations(self, quant: ir.Quantization | None, words: str) -> None:
        g = tiny()
        error = refusal(changed(g, g.ops[0].output, quant=quant))
        assert (error.op, error.tensor) == ("0:ADD", "sum")
        assert words in error.reason
        assert "full int8" in str(error)

    @pytest.mark.parametrize(
        ("quant", "words"),
        [
            (None, "no quantization parameters"),
            (quantized((4,), [0.1] * 4, [0, 0, 1, 0]), "not symmetric"),
            (quantized((3,), [0.1] * 3, [0] * 3), "3 scales along axis 0"),
            (ir.Quantization(np.ones(3, np.float32), np.zeros(3, np.int64), 3), "along axis 3"),
        ],
    )
    def test_weights(self, quant: ir.Quantization | None, words: str) -> None:
        g = residual()
        w = g.ops[0].inputs[1]
        assert w is not None
        error = refusal(changed(g, w, quant=quant))
        assert error.tensor == "first_w"
        assert words in error.reason

    def test_per_tensor_weights_are_fine(self) -> None:
        g = residual()
        w = g.ops[0].inputs[1]
        assert w is not None
        graph.check(changed(g, w, quant=ir.Quantization.per_tensor(0.01)))

    def test_softmax(self) -> None:
        g = residual()
        error = refusal(changed(g, g.outputs[0], quant=ir.Quantization.per_tensor(0.01, -128)))
        assert error.op == "5:SOFTMAX"
        assert error.reason.startswith("The output has scale 1/256 and zero point -128; here")

    def test_computed_weights(self) -> None:
        g = residual()
        w = g.ops[0].inputs[1]
        assert w is not None
        g = changed(g, w, data=None, quant=ir.Quantization.per_tensor(0.01))
        w = g.ops[0].inputs[1]
        assert w is not None
        g = dataclasses.replace(g, inputs=(*g.inputs, activation("extra", (1, 4))))
        swapped = dataclasses.replace(w, shape=(1, 3, 3, 3))
        g = graph.edit.replace(g, {w: swapped})
        g = dataclasses.replace(g, inputs=(*g.inputs, swapped))
        error = refusal(g)
        assert error.reason == "The filter is constant; here it is computed when the model runs"

    def test_concatenation_of_scales(self) -> None:
        a, b = activation("a", (1, 4)), activation("b", (1, 4), 0.25)
        out = activation("out", (1, 8))
        op = ir.Op("CONCATENATION", (a, b), (out,), options.ConcatenationOptions(axis=-1))
        error = refusal(ir.Graph((op,), (a, b), (out,)))
        assert error.tensor == "b"
        assert "same scale and zero point" in error.reason

    def test_border_ops(self) -> None:
        image = ir.Tensor("image", (1, 4), "float32")
        inside, back = activation("inside", (1, 4)), ir.Tensor("back", (1, 4), "float32")
        into = ir.Op("QUANTIZE", (image,), (inside,))
        out = ir.Op("DEQUANTIZE", (inside,), (back,))
        graph.check(ir.Graph((into, out), (image,), (back,)))
        wrong = ir.Tensor("byte", (1, 4), "uint8", ir.Quantization.per_tensor(0.1))
        error = refusal(ir.Graph((ir.Op("QUANTIZE", (image,), (wrong,)),), (image,), (wrong,)))
        assert "float32 into uint8" in error.reason


def test_a_scalar_shape_needs_no_values() -> None:
    """RESHAPE to a scalar: its shape tensor has no elements, and files leave its buffer empty."""
    a, out = activation("a", (1, 1)), activation("out", ())
    empty = ir.Tensor("shape", (0,), "int32")
    op = ir.Op("RESHAPE", (a, empty), (out,), options.ReshapeOptions())
    graph.check(ir.Graph((op,), (a,), (out,)))


def test_every_sentence_reads_like_one() -> None:
    for row in graph.optable.rows():
        for text in row.constraints:
            assert re.fullmatch(r"[A-Za-z].*\.", text), (row.kind, text)
            assert "\n" not in text


def test_large_filters_are_checked_quickly() -> None:
    image = activation("image", (1, 4, 4, 64))
    op = conv_op(image, 2000)
    graph.check(ir.Graph((op,), (image,), (op.output,)))
    assert constant("c", [1]).constant
    assert weights("w", (1,), None).quant is not None
