"""Random nets under random schedules, each drawn from a seed and a number.

    case = drawn(seed=0, number=17)
    case.graph, case.schedule            # the engine's, or
    case.bodies                          # bands of a file for stock TFLM

Nets are those of `row_nets` (what runs on rows: kernels to 7, strides to 3, dilation, any padding,
residuals, concatenation, pooling, tall and wide images), with now and then one that ends in a
global pool, or one of any ops at all (`randomnets`). Schedules are drawn too; a few are found by
the search instead, so that what it chooses to do is among them. Every fourth case is for stock
TFLM, every other of these a net whose bands keep rows (`tflm_nets.kept_net`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
from randomnets import random_net
from row_nets import pooled_net, pooled_schedules, random_schedule, row_net, with_columns
from tflm_nets import kept_net

from tflm_opt import codegen
from tflm_opt.errors import UnsupportedModel
from tflm_opt.graph.ir import Graph
from tflm_opt.patch_split.regions import NotStreamable
from tflm_opt.patch_split.schedule import Schedule, layer_by_layer
from tflm_opt.patch_split.search import search
from tflm_opt.patch_split.tflm_bands import STYLES, Body, Unfit, body
from tflm_opt.patch_split.walk import walks

Rng = np.random.Generator
STOCK = 4  # every so many cases, one for stock TFLM
TRIES = 40
DRAWS = 8  # of stages for a net that can keep rows


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """What is run, and what draws it again.

    Attributes:
        seed, number: arguments of `drawn`.
        graph: the original.
        schedule: the engine's.
        bodies: stages of a file for stock TFLM; none for cases of the engine.
    """

    seed: int
    number: int
    graph: Graph
    schedule: Schedule
    bodies: tuple[Body, ...] = ()

    @property
    def samples(self) -> list[list[np.ndarray]]:
        """Two samples of int8 noise, twice: rows left over from the call before are wrong ones."""
        rng = np.random.default_rng([self.seed, self.number, 1])
        shapes = [tensor.shape for tensor in self.graph.inputs]
        pair = [[rng.integers(-128, 128, s).astype(np.int8) for s in shapes] for _ in range(2)]
        return pair * 2


def drawn(seed: int, number: int) -> Case:
    """The case of this number: the same for the same seed, whatever else is drawn."""
    rng = np.random.default_rng([seed, number])
    if number % STOCK == STOCK - 1:
        return _stock(seed, number, rng)
    graph, schedule = _scheduled(rng)
    return Case(seed, number, graph, schedule)


def _scheduled(rng: Rng) -> tuple[Graph, Schedule]:
    choice = rng.random()
    if choice < 0.12:
        graph = pooled_net(rng)
        schedule = pooled_schedules(graph, rng)[int(rng.integers(0, 3))]
        return graph, schedule if _runs(graph, schedule) else random_schedule(graph, rng)
    if choice < 0.17:
        graph = row_net(rng, int(rng.integers(2, 6)), wide=bool(rng.random() < 0.3))
        return graph, _searched(graph, rng)
    if choice < 0.28:
        graph = random_net(rng, int(rng.integers(3, 14)))
    else:
        graph = row_net(rng, int(rng.integers(2, 12)), wide=bool(rng.random() < 0.3))
    schedule = random_schedule(graph, rng)
    return graph, with_columns(graph, schedule, rng) if rng.random() < 0.5 else schedule


def _searched(graph: Graph, rng: Rng) -> Schedule:
    """Any point of the front, of a streamed input where that can be."""
    for kind in ("streamed", "resident") if rng.random() < 0.5 else ("resident",):
        with suppress(UnsupportedModel):
            front = search(graph, input=kind, scratch=codegen.scratch, access=codegen.access).front
            return front[int(rng.integers(0, len(front)))].schedule
    raise RuntimeError("a resident input has a schedule always")


def _runs(graph: Graph, schedule: Schedule) -> bool:
    """Whether all its stages run on rows: sums over an image of a few pixels don't."""
    try:
        walks(graph, schedule)
    except NotStreamable:
        return False
    return True


def _stock(seed: int, number: int, rng: Rng) -> Case:
    """A net that has stages for stock TFLM: most drawn ones have, but not all."""
    for _ in range(TRIES):
        if number // STOCK % 2:
            graph = row_net(rng, int(rng.integers(2, 9)), wide=bool(rng.random() < 0.3))
            bodies = tuple(_bodies(graph, rng))
        else:
            graph = kept_net(rng)
            bodies = tuple(_keeping(graph, rng))
        if bodies:
            return Case(seed, number, graph, layer_by_layer(graph), bodies)
    raise RuntimeError(f"no net for stock TFLM in {TRIES} drawn ones")


def _keeping(graph: Graph, rng: Rng) -> Iterator[Body]:
    """Stages some of which keep rows, if any of some draws has such; some run as copies."""
    for _ in range(DRAWS):
        bodies = tuple(_bodies(graph, rng))
        if any(body.kept for body in bodies):
            yield from (replace(b, copied=bool(rng.random() < 0.25)) for b in bodies)
            return


def _bodies(graph: Graph, rng: Rng) -> Iterator[Body]:
    """Stages one behind the other, of random lengths, bands and styles, where ops allow."""
    at = 0
    while at < len(graph.ops):
        for stop in range(min(at + int(rng.integers(1, 7)), len(graph.ops)), at, -1):
            made = _body(graph, at, stop, rng)
            if made is not None:
                yield made
                at = stop
                break
        else:
            at += 1


def _body(graph: Graph, start: int, stop: int, rng: Rng) -> Body | None:
    ops = graph.ops[start:stop]
    inner = {t for op in ops[:-1] for t in op.outputs}
    later = {t for op in graph.ops[stop:] for t in op.inputs}
    result = ops[-1].outputs[0]
    rows = result.shape[1] if len(result.shape) == 4 else 1
    style, keep = str(rng.choice(STYLES)), str(rng.choice(["", "down", "down", "up", "up"]))
    if inner & later or inner & set(graph.outputs) or rows < 2:
        return None
    band, made = int(rng.integers(1, rows)), None
    for manner in dict.fromkeys((keep, "")):
        with suppress(Unfit):
            made = body(ops, band, style, keep=manner)
            if made.kept:
                return made
    return made
