"""Cases run and compared, many at once: one child with TFLM, one compiled file of all models.

    failures = battery.failures([drawn(0, n) for n in range(40)], folder)

Whatever a stage gives out is compared with TFLM's on the original, not only the nets' outputs: a
plan that overwrites live memory often leaves the last layer right.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from fuzz.cases import Case

from tflm_opt import arena, codegen, graph
from tflm_opt.furnish import furnish
from tflm_opt.graph import Graph, Tensor, edit
from tflm_opt.kernels.table import TIERS
from tflm_opt.passes import Legalize
from tflm_opt.patch_split.regions import NotStreamable
from tflm_opt.patch_split.search import Point
from tflm_opt.patch_split.tflm_cost import Part, Way
from tflm_opt.patch_split.tflm_stages import Candidate, candidate, up_to
from tflm_opt.patch_split.walk import walks
from tflm_opt.runtime import host, tflm

Rows = list[list[np.ndarray]]
SOLVE_SECONDS = 0.05
LAYOUT_WORK = 200


@dataclass(frozen=True, slots=True)
class Failure:
    """A case that went wrong, and how.

    Attributes:
        number: of the case.
        what: differs, or how it broke.
        refused: whether the code generator said of a stage that it has no code for it, which is
            an answer, and not a wrong result.
    """

    number: int
    what: str
    refused: bool = False


def failures(cases: Sequence[Case], folder: Path) -> list[Failure]:
    """Run cases, of any kind and number; those of no failure are equal to TFLM in every byte."""
    engine = [case for case in cases if not case.bodies]
    stock = [case for case in cases if case.bodies]
    return [*_engine(engine, folder), *_stock(stock)]


def _truth(cases: Sequence[Case]) -> list[Rows]:
    """Every tensor of the originals, in TFLM: by case, sample and inner tensor."""
    jobs = [(_shown(case.graph), case.samples[:2]) for case in cases]
    return tflm.run_many(jobs, timeout=600)


def _shown(g: Graph) -> bytes:
    return graph.write(Legalize()(edit.with_outputs(g, edit.inner_tensors(g))))


def _engine(cases: Sequence[Case], folder: Path) -> Iterator[Failure]:
    built: list[Case] = []
    for case in cases:
        try:
            _generate(case, folder / str(case.number))
        except NotStreamable as error:
            yield Failure(case.number, str(error), refused=True)
        except Exception:
            yield Failure(case.number, traceback.format_exc(limit=-4))
        else:
            built.append(case)
    engines = host.engines([folder / str(case.number) for case in built], flags=["-O0"])
    for case, engine, rows in zip(built, engines, _truth(built), strict=True):
        what = engine_difference(case, engine, rows)
        if what:
            yield Failure(case.number, what)


def planned(case: Case) -> arena.Plan:
    """Where everything lies when the engine runs a case; two in three have scratch for kernels."""
    plan = arena.plan(
        case.graph,
        case.schedule,
        scratch=codegen.scratch,
        access=codegen.access,
        seconds=SOLVE_SECONDS,
    )
    room = case.number % 3
    if room == 0:
        return plan
    point = Point(case.schedule, plan, 0, 0, 0, 0.0, case.graph)
    limit = plan.peak if room == 1 else 2 * plan.peak
    return furnish(point, limit, TIERS[case.number % 2 + 1]).plan


def _generate(case: Case, folder: Path) -> None:
    plan = planned(case)
    broken = arena.validate(plan.problem, plan.places, plan.peak)
    if broken:
        raise ValueError(f"the plan is wrong: {broken[0]}")
    codegen.write(codegen.generate(case.graph, plan, name=f"net{case.number}"), folder)


def engine_difference(case: Case, engine: host.Engine, truth: Rows) -> str:
    """What an engine makes that TFLM doesn't; "" if nothing."""
    index = {tensor: i for i, tensor in enumerate(edit.inner_tensors(case.graph))}
    hidden = {t for walk in walks(case.graph, case.schedule).values() for t in walk.windows}
    for turn, sample in enumerate(case.samples):
        want = truth[turn % len(truth)]
        (outputs,), have = engine.run([sample]), engine.trace(sample)
        for tensor, array in zip(case.graph.outputs, outputs, strict=True):
            if array.tobytes() != want[index[tensor]].tobytes():
                return f"sample {turn}: output {tensor.name} differs"
        for i, op in enumerate(case.graph.ops):
            for j, tensor in enumerate(op.outputs):
                expected = None if tensor in hidden else want[index[tensor]].tobytes()
                if have.get((i, j)) != expected:
                    return f"sample {turn}: op {i}:{op.kind}, {tensor.name} differs; {op.options}"
    return ""


def _stock(cases: Sequence[Case]) -> Iterator[Failure]:
    """Every file up to each stage's result, and whole, beside the original."""
    built: list[tuple[Case, Candidate]] = []
    for case in cases:
        try:
            built.append((case, _rewritten(case)))
        except Exception:
            yield Failure(case.number, traceback.format_exc(limit=-4))
    checks: list[tuple[Case, Rows, tuple[Tensor, ...]]] = []
    jobs: list[tuple[bytes, Rows]] = []
    truth = _truth([case for case, _ in built])
    for (case, made), rows in zip(built, truth, strict=True):
        for stage in made.stages:
            checks.append((case, rows, (stage.result,)))
            jobs.append((up_to(made, stage.result), case.samples[:2]))
        checks.append((case, rows, case.graph.outputs))
        jobs.append((made.tflite, case.samples[:2]))
    found = tflm.run_many(jobs, timeout=600)
    for (case, rows, tensors), have in zip(checks, found, strict=True):
        if not _same(case.graph, tensors, have, rows):
            yield Failure(case.number, f"in TFLM {', '.join(t.name for t in tensors)} differs")


def _rewritten(case: Case) -> Candidate:
    position = {op: i for i, op in enumerate(case.graph.ops)}
    bodies = {position[body.ops[0]]: body for body in case.bodies}
    parts: list[Part] = []
    at = 0
    while at < len(case.graph.ops):
        body = bodies.get(at)
        stop = at + (len(body.ops) if body else 1)
        parts.append(Part(at, stop, 0, 0, body.extra_macs if body else 0, body))
        at = stop
    return candidate(case.graph, Way(tuple(parts)), work=LAYOUT_WORK)


def _same(g: Graph, tensors: Sequence[Tensor], have: Rows, truth: Rows) -> bool:
    index = {tensor: i for i, tensor in enumerate(edit.inner_tensors(g))}
    return all(
        array.tobytes() == want[index[tensor]].tobytes()
        for arrays, want in zip(have, truth, strict=True)
        for tensor, array in zip(tensors, arrays, strict=True)
    )
