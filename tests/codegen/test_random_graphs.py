"""Random nets through the planner, the code generator and the host's compiler, against TFLM.

Every op's output is compared, not only the nets' outputs: a plan that overwrites live memory often
leaves the last layer right.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from randomnets import random_net

from tflm_opt import arena, codegen, graph
from tflm_opt.graph import edit
from tflm_opt.graph.ir import Graph, Tensor
from tflm_opt.patch_split.schedule import layer_by_layer
from tflm_opt.runtime import host, tflm

NETS = 24
SAMPLES = 2


def samples(g: Graph, rng: np.random.Generator) -> list[list[np.ndarray]]:
    return [
        [rng.integers(-128, 128, t.shape).astype(np.int8) for t in g.inputs] for _ in range(SAMPLES)
    ]


def inner(g: Graph) -> tuple[Tensor, ...]:
    return edit.inner_tensors(g)


@pytest.mark.parametrize("chunk", range(2))
def test_every_layer_is_tflms(chunk: int, tmp_path: Path) -> None:
    nets = [random_net(np.random.default_rng([chunk, seed])) for seed in range(NETS // 2)]
    data = [samples(g, np.random.default_rng(seed)) for seed, g in enumerate(nets)]
    shown = [graph.write(edit.with_outputs(g, inner(g))) for g in nets]
    truth = tflm.run_many(list(zip(shown, data, strict=True)))
    for number, (g, rows, layers) in enumerate(zip(nets, data, truth, strict=True)):
        plan = arena.plan(
            g, layer_by_layer(g), scratch=codegen.scratch, access=codegen.access, seconds=1.0
        )
        folder = tmp_path / str(number)
        codegen.write(codegen.generate(g, plan), folder)
        engine = host.Engine(folder)
        check_layers(g, engine, rows, layers, f"net {number} of chunk {chunk}")
        check_outputs(g, engine, rows, layers)


def check_layers(
    g: Graph,
    engine: host.Engine,
    rows: list[list[np.ndarray]],
    layers: list[list[np.ndarray]],
    name: str,
) -> None:
    places = [(i, j) for i, op in enumerate(g.ops) for j in range(len(op.outputs))]
    for sample, want in zip(rows, layers, strict=True):
        have = engine.trace(sample)
        assert sorted(have) == places
        for (i, j), expected in zip(places, want, strict=True):
            assert have[i, j] == expected.tobytes(), (name, i, g.ops[i], g.ops[i].options)


def check_outputs(
    g: Graph,
    engine: host.Engine,
    rows: list[list[np.ndarray]],
    layers: list[list[np.ndarray]],
) -> None:
    """The outputs too: they must survive until the end of the invocation."""
    index = {tensor: i for i, tensor in enumerate(inner(g))}
    for have, want in zip(engine.run(rows), layers, strict=True):
        assert isinstance(have, list)
        for tensor, array in zip(g.outputs, have, strict=True):
            assert array.tobytes() == want[index[tensor]].tobytes(), tensor


def test_nets_are_not_trivial() -> None:
    """The nets have what they are made for: branches, several consumers, outputs, many kinds."""
    nets = [random_net(np.random.default_rng([0, seed])) for seed in range(NETS)]
    kinds = {op.kind for g in nets for op in g.ops}
    consumers = [len(users) for g in nets for users in edit.consumers(g).values()]
    assert len(kinds) >= 25
    assert sum(count > 1 for count in consumers) > NETS
    assert sum(len(g.outputs) > 1 for g in nets) > NETS // 2
    assert sum(len(g.inputs) > 1 for g in nets) > 2
