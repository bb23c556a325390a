"""read and write are inverses, and keep what the toolkit does not understand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from graph.compare import differences
from graph.file_tables import buffer, fb, kitchen_sink, operator, pack, quantization, table, tensor
from graph.small_graphs import activation, residual, tiny, weights, with_op
from hypothesis import given, settings
from hypothesis import strategies as st

from tflm_opt import graph
from tflm_opt.errors import UnsupportedModel
from tflm_opt.graph import ir, options


@pytest.mark.parametrize("make", [tiny, residual])
def test_read_gives_back_what_was_written(make) -> None:
    g = make()
    back = graph.read(graph.write(g))
    # What a file says by leaving it out, an object made by hand says with nothing.
    assert [d for d in differences(g, back) if ".carried" not in d] == []
    assert differences(back, graph.read(graph.write(back))) == []


def test_the_comparison_sees_what_differs() -> None:
    g = tiny()
    changed = with_op(g, 0, version=1)
    assert differences(g, changed) != []
    swapped = with_op(g, 0, inputs=g.ops[0].inputs[::-1])
    assert differences(g, swapped) != []
    named = dataclasses.replace(g, model=dataclasses.replace(g.model, metadata=()))
    assert differences(g, named) != []
    requantized = activation("sum", (1, 4), 0.75, 3)
    assert differences(g, graph.edit.replace(g, {g.ops[0].output: requantized})) != []


class TestKitchenSink:
    """A file made with the schema's own classes."""

    data = pack(kitchen_sink())
    model = graph.read(data)
    written = graph.write(model)

    def test_nothing_is_lost(self) -> None:
        assert differences(self.model, graph.read(self.written)) == []

    def test_the_schema_sees_the_same_model(self) -> None:
        ours = fb.ModelT.InitFromPackedBuf(self.written, 0)
        theirs = fb.ModelT.InitFromPackedBuf(self.data, 0)
        for mine, original in zip(ours.subgraphs, theirs.subgraphs, strict=True):
            for a, b in zip(mine.tensors, original.tensors, strict=True):
                assert (a.name, a.type, a.isVariable, a.hasRank) == (
                    b.name,
                    b.type,
                    b.isVariable,
                    b.hasRank,
                )
                assert list(a.shape) == list(b.shape)
                assert _content(ours, a) == _content(theirs, b)
            for a, b in zip(mine.operators, original.operators, strict=True):
                assert _kind(ours, a) == _kind(theirs, b)
                assert (list(a.inputs), list(a.outputs)) == (list(b.inputs), list(b.outputs))
                assert (a.builtinOptionsType, a.builtinOptions2Type) == (
                    b.builtinOptionsType,
                    b.builtinOptions2Type,
                )
            assert list(mine.inputs) == list(original.inputs)
            assert list(mine.outputs) == list(original.outputs)
        assert ours.description == theirs.description
        assert [m.name for m in ours.metadata] == [m.name for m in theirs.metadata]

    def test_custom_ops_and_old_opcodes(self) -> None:
        custom = self.model.ops[2]
        assert (custom.kind, custom.custom_code) == ("CUSTOM", "mine")
        assert list(custom.carried["customOptions"]) == [9, 8, 7]
        assert list(custom.carried["mutatingVariableInputs"]) == [True]
        # An empty data vector is how files say that a tensor has no values.
        assert self.model.ops[2].inputs[0].data is None

    def test_options_that_are_not_modelled(self) -> None:
        record = graph.read(self.written).ops[1].options
        assert isinstance(record, options.Raw)
        assert record.table.approximate is True
        assert graph.read(self.written).ops[5].carried["builtinOptions2"].dimension == 2

    def test_tensors(self) -> None:
        by_name = {t.name: t for t in graph.read(self.written).tensors}
        assert by_name["caf\udce9"].quant is None
        assert by_name["caf\udce9"].carried["quantization"].min.tolist() == [0.0]
        assert by_name["filter"].quant.scale.tolist() == [
            np.float32(0.1),
            np.float32(0.2),
            np.float32(0.3),
        ]
        assert by_name["state"].variable
        assert by_name["nibbles"].data.tolist() == [2, 1, 4, 3, 5]
        assert by_name["nibbles"].nbytes == 3
        assert by_name["words"].data.tobytes().endswith(b"AB")
        assert by_name["shared b"].data.tolist() == list(range(16))
        assert by_name["shared a"].data.tobytes() == bytes(range(16))
        assert by_name["sparse"].carried["sparsity"].dimMetadata[
            1
        ].arrayIndices.values.tolist() == [
            3,
            1,
            0,
        ]
        assert by_name["in"].shape_signature == (-1, 4, 4, 2)
        assert by_name["in"].quant.carried["min"].tolist() == [-1.0]
        assert by_name["odd quantization"].quant.carried["details"].custom.tolist() == [1, 2, 3]
        assert "unused" in by_name

    def test_the_rest_of_the_file(self) -> None:
        model = graph.read(self.written).model
        assert model.description == "a bit of everything"
        assert model.metadata == (("min_runtime_version", b"1.5.0"), ("nothing", b""))
        assert model.metadata_buffers == (b"old",)
        assert [s.key for s in model.signatures] == ["serving_default", "side"]
        assert model.signatures[0].inputs[0][1] is not None
        assert model.signatures[1].subgraph == 1
        side = model.subgraphs[0]
        assert model.signatures[1].inputs[0][1].name == side.inputs[0].name == "x"
        assert graph.read(self.written).ops[4].options.table.thenSubgraphIndex == 1

    def test_left_out_inputs_and_intermediates(self) -> None:
        g = graph.read(self.written)
        assert g.ops[0].inputs[2] is None
        assert [t.name for t in g.ops[3].intermediates] == ["mid"]


def _content(model, tensor) -> bytes:
    values = model.buffers[tensor.buffer].data
    return b"" if values is None else bytes(bytearray(values))


def _kind(model, op) -> tuple[int, bytes | None, int]:
    code = model.operatorCodes[op.opcodeIndex]
    return max(code.builtinCode, code.deprecatedBuiltinCode), code.customCode, code.version


def _one_tensor_model(**changes) -> bytes:
    made = tensor("t", [2], buffer=1, **changes)
    sub = table("SubGraph", tensors=[made], inputs=[0], outputs=[0], operators=[])
    return pack(table("Model", version=3, subgraphs=[sub], buffers=[buffer(), buffer([1, 2])]))


class TestOutsideTheFile:
    """Weights that are not in the flatbuffer are refused with a reason."""

    def test_buffers_with_an_offset(self) -> None:
        model = kitchen_sink()
        model.buffers[1] = table("Buffer", offset=4096, size=6)
        with pytest.raises(UnsupportedModel, match=r"buffer 1 lies outside.*in one file"):
            graph.read(pack(model))

    def test_external_buffers_of_a_tensor(self) -> None:
        with pytest.raises(UnsupportedModel, match=r"'t'.*outside the file"):
            graph.read(_one_tensor_model(externalBuffer=3))

    def test_external_buffers_of_the_model(self) -> None:
        model = kitchen_sink()
        model.externalBuffers = [table("ExternalBuffer", id=1, offset=0, length=8)]
        with pytest.raises(UnsupportedModel, match=r"other files"):
            graph.read(pack(model))

    def test_large_custom_options(self) -> None:
        model = kitchen_sink()
        model.subgraphs[0].operators[2].largeCustomOptionsOffset = 1 << 32
        with pytest.raises(UnsupportedModel, match=r"options lie outside"):
            graph.read(pack(model))


SAME_OR_VALID = [
    (size, kernel, stride, dilation)
    for size in (5, 6, 7)
    for kernel in (1, 2, 3, 5)
    for stride in (1, 2, 3)
    for dilation in (1, 2)
]


@pytest.mark.parametrize(("size", "kernel", "stride", "dilation"), SAME_OR_VALID)
@pytest.mark.parametrize("padding", [fb.Padding.SAME, fb.Padding.VALID])
def test_padding_survives(size: int, kernel: int, stride: int, dilation: int, padding: int) -> None:
    """The flag that is written means the padding that was read."""
    sub = table(
        "SubGraph",
        tensors=[
            tensor("in", [1, size, size + 1, 1]),
            tensor("w", [1, kernel, kernel, 1], buffer=1),
            tensor("out", [1, 1, 1, 1], quantization=quantization([1.0], [0])),
        ],
        inputs=[0],
        outputs=[2],
        operators=[
            operator(
                0,
                [0, 1, -1],
                [2],
                builtinOptionsType=fb.BuiltinOptions.Conv2DOptions,
                builtinOptions=table(
                    "Conv2DOptions",
                    padding=padding,
                    strideH=stride,
                    strideW=stride,
                    dilationHFactor=dilation,
                    dilationWFactor=dilation,
                ),
            )
        ],
    )
    code = table("OperatorCode", builtinCode=3, deprecatedBuiltinCode=3)
    buffers = [buffer(), buffer(bytes(kernel * kernel))]
    data = pack(table("Model", operatorCodes=[code], subgraphs=[sub], buffers=buffers))
    once = graph.read(data)
    again = graph.read(graph.write(once))
    assert once.ops[0].options == again.ops[0].options
    record = once.ops[0].options
    assert isinstance(record, options.ConvOptions)
    for axis, (before, after) in enumerate(
        ((record.padding.top, record.padding.bottom), (record.padding.left, record.padding.right))
    ):
        length = size + axis
        made = options.out_size(length, kernel, stride, dilation, before, after)
        extent = (kernel - 1) * dilation + 1
        if padding == fb.Padding.SAME:
            assert made == -(-length // stride)
            assert after - before in (0, 1)
        elif extent <= length:
            assert made == -(-(length - extent + 1) // stride)


names = st.text(max_size=12) | st.binary(max_size=8).map(
    lambda b: b.decode("utf-8", "surrogateescape")
)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_chain_survives(data: st.DataObject) -> None:
    """Random shapes, types, names, quantization, constants and sharing."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    rank = data.draw(st.integers(0, 5))
    shape = tuple(data.draw(st.lists(st.integers(1, 4), min_size=rank, max_size=rank)))
    dtype = data.draw(st.sampled_from(sorted(ir.NUMPY_DTYPES)))
    scales = data.draw(st.integers(0, 3))
    quant = None
    if scales:
        quant = ir.Quantization(
            rng.uniform(1e-6, 10, scales).astype(np.float32), rng.integers(-128, 128, scales), 0
        )

    def fresh(constant: bool) -> ir.Tensor:
        values = None
        if constant:
            raw = rng.integers(0, 256, (*shape, np.dtype(ir.NUMPY_DTYPES[dtype]).itemsize))
            values = np.frombuffer(raw.astype(np.uint8).tobytes(), ir.NUMPY_DTYPES[dtype])
            values = values.reshape(shape)
            if dtype == "int4":  # one a byte, of 16 values
                values = np.asarray(values >> 4)
        return ir.Tensor(data.draw(names), shape, dtype, quant, values)

    source = fresh(False)
    ops, pool = [], [source]
    for _ in range(data.draw(st.integers(0, 4))):
        inputs = [
            data.draw(st.sampled_from(pool)),
            data.draw(st.none() | st.just(fresh(True))),
        ]
        outputs = tuple(fresh(False) for _ in range(data.draw(st.integers(1, 2))))
        ops.append(ir.Op("GELU", tuple(inputs), outputs, None, data.draw(st.integers(1, 5))))
        pool += outputs
    g = ir.Graph(
        tuple(ops),
        (source,),
        (pool[-1],),
        model=ir.Model(metadata=((data.draw(names), data.draw(st.binary(max_size=20))),)),
    )
    back = graph.read(graph.write(g))
    assert [d for d in differences(g, back) if ".carried" not in d] == []
    assert graph.write(back) == graph.write(graph.read(graph.write(back)))


def test_order_of_tensors_is_kept() -> None:
    g = graph.read(pack(kitchen_sink()))
    assert [t.name for t in graph.tensor_order(g)] == [t.name for t in g.tensors]


def test_versions_are_kept_apart() -> None:
    a, b, c = (activation(name, (1, 4)) for name in "abc")
    ops = (ir.Op("RELU", (a,), (b,), version=1), ir.Op("RELU", (b,), (c,), version=2))
    back = graph.read(graph.write(ir.Graph(ops, (a,), (c,))))
    assert [op.version for op in back.ops] == [1, 2]


def test_a_grouped_depthwise_multiplier_follows_from_shapes() -> None:
    source = activation("in", (1, 4, 4, 3))
    filters = weights("w", (1, 3, 3, 6), 3)
    out = activation("out", (1, 4, 4, 6))
    record = options.ConvOptions(padding=options.Padding(1, 1, 1, 1))
    op = ir.Op("DEPTHWISE_CONV_2D", (source, filters, None), (out,), record)
    data = graph.write(ir.Graph((op,), (source,), (out,)))
    written = fb.ModelT.InitFromPackedBuf(data, 0).subgraphs[0].operators[0].builtinOptions
    assert written.depthMultiplier == 2
    assert written.padding == fb.Padding.SAME
