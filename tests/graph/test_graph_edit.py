"""Edits keep the order valid, drop what nobody uses, and take signatures along."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
from graph.compare import differences
from graph.small_graphs import activation, residual, tiny
from hypothesis import given
from hypothesis import strategies as st

from tflm_opt import graph
from tflm_opt.graph import edit, ir, options


def random_graph(draw: Callable) -> ir.Graph:
    """A graph of ADD and SPLIT-like ops over random earlier tensors, some results unused."""
    inputs = tuple(activation(f"in{i}", (1, 4)) for i in range(draw(st.integers(1, 3))))
    pool, ops = list(inputs), []
    for n in range(draw(st.integers(1, 8))):
        sources = tuple(draw(st.sampled_from(pool)) for _ in range(draw(st.integers(1, 2))))
        outs = tuple(activation(f"t{n}.{i}", (1, 4)) for i in range(draw(st.integers(1, 2))))
        ops.append(ir.Op("GELU", sources, outs))
        pool += outs
    made = [t for op in ops for t in op.outputs]
    outputs = tuple(draw(st.lists(st.sampled_from(made), min_size=1, max_size=3, unique=True)))
    signature = ir.Signature(
        "s",
        tuple((t.name, t) for t in inputs),
        tuple((t.name, t) for t in outputs),
    )
    return ir.Graph(
        tuple(ops), inputs, outputs, tensors=tuple(pool), model=ir.Model(signatures=(signature,))
    )


def assert_valid(g: ir.Graph) -> None:
    """Every tensor is made before it is read, and everything listed is used."""
    known = set(g.inputs)
    for op in g.ops:
        assert all(t in known for t in op.inputs if t is not None and t.data is None)
        known.update(op.outputs)
    assert set(g.outputs) <= known
    used = {t for op in g.ops for t in (*op.inputs, *op.outputs, *op.intermediates)}
    used |= {*g.inputs, *g.outputs}
    assert set(g.tensors) <= used


@given(st.data())
def test_rebuild_drops_exactly_what_no_output_needs(data: st.DataObject) -> None:
    g = random_graph(data.draw)
    rebuilt = edit.rebuild(g)
    assert_valid(rebuilt)
    needed, queue = set(), list(g.outputs)
    makers = edit.producers(g)
    while queue:
        op = makers.get(queue.pop())
        if op is not None and op not in needed:
            needed.add(op)
            queue += [t for t in op.inputs if t is not None]
    assert rebuilt.ops == tuple(op for op in g.ops if op in needed)
    assert (rebuilt.inputs, rebuilt.outputs) == (g.inputs, g.outputs)


@given(st.data())
def test_replacing_tensors_reaches_every_place(data: st.DataObject) -> None:
    g = edit.rebuild(random_graph(data.draw))
    old = data.draw(st.sampled_from(sorted(graph.tensor_order(g), key=lambda t: t.name)))
    new = dataclasses.replace(old, name="new")
    swapped = edit.replace(g, {old: new})
    assert_valid(swapped)
    assert old not in graph.tensor_order(swapped)
    assert new in graph.tensor_order(swapped)
    (signature,), (before,) = swapped.model.signatures, g.model.signatures
    for ours, theirs in (
        (signature.inputs, before.inputs),
        (signature.outputs, before.outputs),
    ):
        assert [t for _, t in ours] == [new if t is old else t for _, t in theirs]
    back = edit.replace(swapped, {new: old})
    assert differences(g, back) == []


@given(st.data())
def test_other_outputs(data: st.DataObject) -> None:
    g = random_graph(data.draw)
    chosen = data.draw(st.lists(st.sampled_from(edit.inner_tensors(g)), min_size=1, unique=True))
    shown = edit.with_outputs(g, chosen)
    assert_valid(shown)
    assert shown.outputs == tuple(chosen)
    assert shown.model.signatures == ()


@given(st.data())
def test_producers_and_consumers_are_two_views_of_the_same_edges(data: st.DataObject) -> None:
    g = random_graph(data.draw)
    edges = {(t, op) for op in g.ops for t in op.inputs}
    assert {(t, op) for t, ops in edit.consumers(g).items() for op in ops} == edges
    assert {(t, op) for t, op in edit.producers(g).items()} == {
        (t, op) for op in g.ops for t in op.outputs
    }


def test_chains_of_replacements_are_followed() -> None:
    g = tiny()
    total = g.ops[0].output
    first, second = (dataclasses.replace(total, name=name) for name in ("first", "second"))
    swapped = edit.replace(g, {total: first, first: second})
    assert swapped.ops[0].output is second
    assert swapped.ops[1].inputs[0] is second


def test_unchanged_ops_are_shared() -> None:
    g = residual()
    last = g.outputs[0]
    swapped = edit.replace(g, {last: dataclasses.replace(last, name="renamed")})
    assert [a is b for a, b in zip(g.ops, swapped.ops, strict=True)] == [True] * 5 + [False]


def test_a_bypassed_op_goes_and_its_signature_follows() -> None:
    """How passes remove an op: whoever read its output reads its input."""
    g = tiny()
    relu_out = activation("relu", (1, 4), 0.125, -3)
    relu = ir.Op("RELU", (g.outputs[0],), (relu_out,))
    signature = dataclasses.replace(g.model.signatures[0], outputs=(("z", relu_out),))
    model = dataclasses.replace(g.model, signatures=(signature,))
    g = dataclasses.replace(g, ops=(*g.ops, relu), outputs=(relu_out,), model=model)
    kept = tuple(op for op in g.ops if op is not relu)
    bypassed = edit.rebuild(g, ops=kept, tensors={relu_out: relu.inputs[0]})
    assert differences(tiny(), bypassed) == []


def test_tensors_that_only_a_signature_names_can_be_written() -> None:
    g = tiny()
    middle = ir.Signature("middle", (), (("m", g.ops[0].output),))
    g = dataclasses.replace(g, model=dataclasses.replace(g.model, signatures=(middle,)))
    g = graph.read(graph.write(g))
    short = edit.rebuild(g, outputs=(g.ops[0].inputs[0],))
    back = graph.read(graph.write(short))
    assert [(s.key, s.outputs[0][1].name) for s in back.model.signatures] == [("middle", "sum")]


def test_a_signature_of_another_graph_is_a_mistake() -> None:
    g = tiny()
    stray = ir.Signature("stray", (), (("m", activation("elsewhere", (1, 4))),))
    g = dataclasses.replace(g, model=dataclasses.replace(g.model, signatures=(stray,)))
    with pytest.raises(ValueError, match=r"stray.*elsewhere"):
        graph.write(g)


def test_ops_with_an_effect_stay() -> None:
    g = tiny()
    state = dataclasses.replace(activation("state", (1, 4)), variable=True)
    writes = ir.Op("SVDF", (g.inputs[0], state), (activation("unread", (1, 4)),))
    kept = edit.rebuild(g, ops=(*g.ops, writes))
    assert writes in kept.ops


def test_consumers_count_an_op_once() -> None:
    a, b = activation("a", (1, 4)), activation("b", (1, 4))
    op = ir.Op("ADD", (a, a), (b,), options.AddOptions())
    assert edit.consumers(ir.Graph((op,), (a,), (b,))) == {a: (op,)}


@pytest.mark.parametrize("make", [tiny, residual])
def test_every_inner_tensor_can_be_shown(make: Callable[[], ir.Graph]) -> None:
    g = make()
    shown = edit.with_outputs(g, edit.inner_tensors(g))
    graph.check(shown)
    assert len(graph.read(graph.write(shown)).outputs) == len(g.ops)
