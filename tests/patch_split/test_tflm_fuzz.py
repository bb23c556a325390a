"""Random nets, random stages: the file in bands computes what TFLM does on the original.

Each case draws a net (convolutions, depthwise, pooling, residuals, concatenations; odd sizes,
strides 1 to 3, kernels 1 to 7, dilation) and stages (ops, rows a band, style of padding, kept
rows, calls or copies, whose kernels' scratch has room). What is compared: every stage's result
where it is made, and the outputs; one case in four in LiteRT too. A case is its number: set
TFLM_OPT_FUZZ_CASES for more of them, TFLM_OPT_FUZZ_FIRST to begin at another.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace

import numpy as np
from test_tflm_bands import assert_equal_in_tflm, images
from tflm_nets import random_net

from tflm_opt import graph as tflite
from tflm_opt.arena.tflm_scratch import KERNELS
from tflm_opt.graph import Graph
from tflm_opt.passes import Legalize
from tflm_opt.patch_split.rewrite import allocations
from tflm_opt.patch_split.tflm_bands import STYLES, Body, Unfit, body
from tflm_opt.patch_split.tflm_cost import Part, Way
from tflm_opt.patch_split.tflm_stages import Candidate, candidate
from tflm_opt.runtime import tflm

CASES = int(os.environ.get("TFLM_OPT_FUZZ_CASES", "24"))
FIRST = int(os.environ.get("TFLM_OPT_FUZZ_FIRST", "0"))
AT_ONCE = 32
ATTEMPTS = 40


def stage(g: Graph, rng: np.random.Generator, start: int) -> Body:
    """A stage that begins at op `start` or behind it, if the draw is lucky: else Unfit."""
    start = int(rng.integers(start, len(g.ops)))
    stop = int(rng.integers(start + 1, len(g.ops) + 1))
    if len(g.ops[stop - 1].output.shape) != 4:
        raise Unfit("the result is no image")
    made = body(
        g.ops[start:stop],
        int(rng.integers(1, max(2, g.ops[stop - 1].output.shape[1]))),
        str(rng.choice(STYLES)),
        keep=str(rng.choice(["", "down", "up"])),
    )
    return replace(made, copied=bool(rng.random() < 0.3))


def banded(g: Graph, rng: np.random.Generator, kernels: str) -> Candidate | None:
    """One or two stages; None if no draw fits."""
    for _ in range(ATTEMPTS):
        with suppress(Unfit):
            made = [stage(g, rng, 0)]
            end = g.ops.index(made[0].ops[-1]) + 1
            if end < len(g.ops):
                with suppress(Unfit):
                    made.append(stage(g, rng, end))
            parts = tuple(
                Part(g.ops.index(b.ops[0]), g.ops.index(b.ops[-1]) + 1, 0, 0, b.extra_macs, b)
                for b in made
            )
            return candidate(g, Way(parts), kernels=kernels, work=300)
    return None


def case(seed: int) -> tuple[Graph, list[Candidate], str]:
    rng = np.random.default_rng([7, seed])
    g, kernels = random_net(seed), str(rng.choice(KERNELS))
    return g, [c for _ in range(2) if (c := banded(g, rng, kernels))], kernels


def assert_equal_in_litert(g: Graph, made: Candidate) -> None:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    run = Interpreter(
        model_content=made.tflite, experimental_op_resolver_type=OpResolverType.BUILTIN_REF
    )
    run.allocate_tensors()
    samples = images(g, 1)
    for sample, want in zip(samples, tflm.run(tflite.write(Legalize()(g)), samples), strict=True):
        run.set_tensor(run.get_input_details()[0]["index"], sample[0])
        run.invoke()
        got = run.get_tensor(run.get_output_details()[0]["index"])
        np.testing.assert_array_equal(got, want[0])


def test_random_bands_of_random_nets() -> None:
    stages = 0
    for begin in range(FIRST, FIRST + CASES, AT_ONCE):
        cases = {seed: case(seed) for seed in range(begin, min(begin + AT_ONCE, FIRST + CASES))}
        assert_equal_in_tflm([(g, made) for g, made, _ in cases.values()])
        for seed, (g, made, kernels) in cases.items():
            stages += sum(len(c.stages) for c in made)
            for c, used in zip(made, allocations([c.tflite for c in made], kernels), strict=True):
                assert used.head <= c.layout.peak, f"case {seed}, {kernels}"
            if seed % 4 == 0 and made:
                assert_equal_in_litert(g, made[0])
    assert stages >= CASES
