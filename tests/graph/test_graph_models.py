"""Real files: read, checked, written and run again."""

from __future__ import annotations

import numpy as np
import pytest
from graph.compare import differences
from graph.file_tables import fb
from models.cache import NAMES, tflite
from small_models import SHARED, shared

from tflm_opt import graph
from tflm_opt.graph import ir
from tflm_opt.runtime import tflm


@pytest.mark.parametrize("name", SHARED)
def test_round_trip(name: str) -> None:
    data = shared(name)
    g = graph.read(data)
    graph.check(g)
    written = graph.write(g)
    assert differences(g, graph.read(written)) == []
    assert graph.write(graph.read(written)) == written
    # Aligned and without the padding of other writers: no larger than it was.
    assert len(written) <= len(data)
    assert _metadata(written) == _metadata(data)
    assert _names(written) == _names(data)


@pytest.mark.parametrize("name", NAMES)
def test_nets_as_keras_users_build_them(name: str) -> None:
    g = graph.read(tflite(name))
    graph.check(g)
    assert differences(g, graph.read(graph.write(g))) == []


def _metadata(data: bytes) -> list[tuple[bytes, bytes]]:
    """As the schema's own classes see it."""
    model = fb.ModelT.InitFromPackedBuf(data, 0)
    found = []
    for entry in model.metadata or ():
        values = model.buffers[entry.buffer].data
        found.append((entry.name, b"" if values is None else bytes(bytearray(values))))
    return found


def _names(data: bytes) -> list[tuple]:
    model = fb.ModelT.InitFromPackedBuf(data, 0)
    signatures = [
        (s.signatureKey, [(m.name, m.tensorIndex) for m in (*s.inputs, *s.outputs)])
        for s in model.signatureDefs or ()
    ]
    tensors = [(t.name, list(t.shape), t.type) for t in model.subgraphs[0].tensors]
    # Old files fill one field for the opcode, and list opcodes that no op uses.
    listed = [(max(c.builtinCode, c.deprecatedBuiltinCode), c.version) for c in model.operatorCodes]
    codes = [listed[op.opcodeIndex] for op in model.subgraphs[0].operators]
    return [signatures, tensors, codes, model.description, model.version]


def test_same_outputs_in_tflm() -> None:
    """Six files and what we wrote of them, in one child; three inputs each."""
    rng = np.random.default_rng(0)
    jobs, samples = [], []
    for name in SHARED:
        data = shared(name)
        g = graph.read(data)
        inputs = [[_draw(t, rng) for t in g.inputs] for _ in range(3)]
        jobs += [(data, inputs), (graph.write(g), inputs)]
        samples.append(inputs)
    results = tflm.run_many(jobs)
    for name, before, after in zip(SHARED, results[::2], results[1::2], strict=True):
        for a, b in zip(before, after, strict=True):
            for x, y in zip(a, b, strict=True):
                assert x.dtype == y.dtype
                assert x.tobytes() == y.tobytes(), name
        # Different inputs give different outputs, or equality would mean nothing.
        assert before[0][0].tobytes() != before[1][0].tobytes(), name


def test_same_memory_in_tflm() -> None:
    jobs = [
        data for name in SHARED for data in (shared(name), graph.write(graph.read(shared(name))))
    ]
    found = tflm.allocations_many(jobs)
    for name, before, after in zip(SHARED, found[::2], found[1::2], strict=True):
        assert (after.head, after.tail) == (before.head, before.tail), name


def _draw(tensor: ir.Tensor, rng: np.random.Generator) -> np.ndarray:
    if tensor.dtype == "float32":
        return rng.uniform(-1, 1, tensor.shape).astype(np.float32)
    return rng.integers(-128, 128, tensor.shape).astype(np.int8)


@pytest.mark.parametrize("name", SHARED)
def test_text_has_a_line_an_op(name: str) -> None:
    g = graph.read(shared(name))
    lines = graph.text.dump(g).splitlines()
    assert sum(line[:1].isdigit() for line in lines) == len(g.ops)
    assert max(map(len, lines)) < 600
