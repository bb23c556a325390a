"""A graph and a schedule in, an address for every tensor out.

For the engine, an op's output may be written over an input that nobody needs afterwards, as far
as its kernel's access order allows (`overlap`). For stock TFLM, only elementwise ops may work in
place, since its kernels promise no order; sizes are rounded up as TFLM rounds them, so that the
head that TFLM reports is the peak planned here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tflm_opt.arena import overlap
from tflm_opt.arena.bound import live_at, step_bounds
from tflm_opt.arena.column_streams import column_distance
from tflm_opt.arena.lifetimes import TFLM_VIEWS, VIEWS, Lifetimes, lifetimes
from tflm_opt.arena.moves import Split, peak, with_moves
from tflm_opt.arena.problem import Problem, align_up
from tflm_opt.arena.streams import Streamed, result_distance, step_distances, streamed_stages
from tflm_opt.arena.tflm_scratch import tflm_scratch
from tflm_opt.graph.ir import Graph, Op, Tensor
from tflm_opt.patch_split.schedule import Schedule
from tflm_opt.patch_split.walk import walks

ALIGNMENT = 16
TARGETS = ("engine", "tflm")

Pair = tuple[int, int]
Access = Callable[[Op], "int | None"]


@dataclass(frozen=True, slots=True)
class Move:
    """A copy of `size` bytes within the arena, wherever both lie, just before an op runs.

    Attributes:
        tensors: those that lie at `target` from then on.
        size: bytes.
        source, target: bytes from the arena's start.
    """

    tensors: tuple[Tensor, ...]
    size: int
    source: int
    target: int


@dataclass(frozen=True, slots=True)
class Plan:
    """Where everything lies.

    Attributes:
        schedule: the order of the ops.
        target: "engine" or "tflm".
        offsets: bytes from the arena's start, of every tensor that is not constant (nor, for
            TFLM, variable: those are kept elsewhere). Views have their source's offset. Where a
            tensor moves, this is where it lies at first. For a tensor inside a stage that has a
            band, where its window is.
        moves: by op, what moves just before it runs (engine only; mostly nothing).
        scratch: of each op that has some, where it lies, in bytes from the arena's start, and its
            size.
        fronts: the same of the fronts of tensors that have one (see `patch_split.columns`); the
            tensor's own offset is its ring's.
        peak: bytes of arena.
        bound: bytes that every plan with these moves needs.
        problem: what was solved; its buffers carry names and lifetimes.
        places: offsets of the problem's buffers, in its order.
        ports: positions in `places` of the graph's inputs and outputs.
        steps: what happens at each step: "inputs", the ops, "outputs".
        spare: positions in the problem's buffers of scratch that kernels could do without.
    """

    schedule: Schedule
    target: str
    offsets: Mapping[Tensor, int]
    moves: Mapping[Op, tuple[Move, ...]]
    scratch: Mapping[Op, tuple[int, int]]
    peak: int
    bound: int
    problem: Problem
    places: tuple[int, ...]
    ports: frozenset[int]
    steps: tuple[str, ...]
    fronts: Mapping[Tensor, int] = field(default_factory=dict)
    spare: frozenset[int] = frozenset()

    def live_at(self, step: int) -> tuple[tuple[int, str], ...]:
        """(bytes, name) of the buffers alive at a step that are not spare, largest first."""
        alive = live_at(self.problem, step)
        buffers = [self.problem.buffers[i] for i in alive if i not in self.spare]
        return tuple(sorted(((b.size, b.name) for b in buffers), key=lambda row: (-row[0], row[1])))

    def peak_step(self) -> int:
        """The first step whose live buffers need the most memory, whatever the plan."""
        buffers = tuple(
            replace(buffer, size=0) if i in self.spare else buffer
            for i, buffer in enumerate(self.problem.buffers)
        )
        needs = step_bounds(replace(self.problem, buffers=buffers))
        return max(sorted(needs), key=lambda step: needs[step], default=0)

    def binding(self) -> tuple[tuple[int, str], ...]:
        """(bytes, name) of the buffers that make the peak, largest first."""
        return self.live_at(self.peak_step())


def plan(
    graph: Graph,
    schedule: Schedule,
    *,
    target: str = "engine",
    scratch: Callable[[Op], int] | None = None,
    access: Access | None = None,
    moves: bool = True,
    seconds: float = 10.0,
    seed: int = 0,
) -> Plan:
    """Plan the memory of a graph.

    Example:
        >>> plan(graph, layer_by_layer(graph), scratch=codegen.scratch, access=codegen.access).peak
        92160

    Args:
        graph: after all passes.
        schedule: of its ops. Stages with a band, and streamed input, only for the engine.
        target: "engine" for generated C, "tflm" for stock TFLM.
        scratch: bytes that an op's kernels get while it runs. By default none for the engine,
            and for TFLM what its reference kernels ask for.
        access: how many output elements an op's kernels write together (see
            `codegen.Kernels.access`); None where they promise no order, so that nothing overlaps.
            By default they promise nothing.
        moves: whether tensors may be moved within the arena between two ops, where that saves
            at least 2% of it. Never done for TFLM.
        seconds: a safety net; see `solve`.
        seed: of the planner's search.

    Raises:
        ValueError: an unknown target, or a schedule that does not fit the graph or the target.
        NotStreamable: a stage with a band holds an op that can't run on rows.
    """
    if target not in TARGETS:
        raise ValueError(f"target is {target!r}; it is one of {', '.join(TARGETS)}")
    stock = target == "tflm"
    found = spacing(graph, schedule, target=target, scratch=scratch, access=access)
    lives, problem = found.lives, found.problem
    movable = _movable(schedule) if moves and not stock else ()
    parts = with_moves(problem, seconds, seed, steps=movable)
    places = parts.solution.offsets
    return Plan(
        schedule=schedule,
        target=target,
        offsets={t: places[i] for t, i in lives.tensors.items()},
        moves=_moves(schedule, lives, parts),
        scratch={op: (places[i], lives.buffers[i].size) for op, i in lives.scratch.items()},
        peak=parts.solution.peak,
        bound=parts.solution.bound,
        problem=parts.problem,
        places=places,
        ports=frozenset(
            piece
            for tensor in (*graph.inputs, *graph.outputs)
            if tensor in lives.tensors
            for piece in parts.pieces[lives.tensors[tensor]]
        ),
        steps=lives.steps,
        fronts={t: places[i] for t, i in lives.fronts.items()},
    )


def plan_peak(
    graph: Graph,
    schedule: Schedule,
    *,
    scratch: Callable[[Op], int] | None = None,
    access: Access | None = None,
    enough: int = 0,
) -> int:
    """Bytes of `plan(graph, schedule)` for the engine, in a fraction of its time.

    Args:
        graph, schedule, scratch, access: as for `plan`.
        enough: bytes. Of a plan that needs no more only that is known then: what is returned is
            not above these, and may not be what it needs.

    Raises:
        ValueError, NotStreamable: as `plan`.
    """
    problem = spacing(graph, schedule, scratch=scratch, access=access).problem
    return peak(problem, steps=_movable(schedule), enough=enough)


@dataclass(frozen=True, slots=True, eq=False)
class Spacing:
    """What a plan must keep apart, before anything is placed.

    Attributes:
        lives: buffers and whose they are.
        problem: the same buffers, with safe distances.
    """

    lives: Lifetimes
    problem: Problem

    def needs(self) -> dict[int, int]:
        """Bytes that every plan needs at a step, at least, by step (see `bound.step_bounds`)."""
        return step_bounds(self.problem)

    def keeps(self, step: int, offsets: Mapping[Tensor, int], pairs: Iterable[Pair]) -> bool:
        """Whether tensors that lie at `offsets` are far enough apart in a step.

        Args:
            pairs: (written, read) positions of buffers whose bytes may meet there at all.
        """
        tensors = {index: tensor for tensor, index in self.lives.tensors.items()}
        for pair in pairs:
            buffers = [self.problem.buffers[index] for index in pair]
            if any(index not in tensors for index in pair):
                continue
            if not all(b.start <= step < b.stop for b in buffers):
                continue
            out, source = (offsets[tensors[index]] for index in pair)
            meet = out < source + buffers[1].size and source < out + buffers[0].size
            distance = self.problem.overlaps.get(pair)
            if meet and (distance is None or source - out < distance):
                return False
        return True


def spacing(
    graph: Graph,
    schedule: Schedule,
    *,
    target: str = "engine",
    scratch: Callable[[Op], int] | None = None,
    access: Access | None = None,
    stages: Sequence[Streamed] | None = None,
) -> Spacing:
    """Buffers and safe distances of a schedule. Arguments and errors: as `plan`.

    `stages` are those of the schedule that have a band, if they are known.
    """
    stock = target == "tflm"
    if stages is None:
        stages = streamed_stages(schedule, walks(graph, schedule))
    if stock and stages:
        raise ValueError("stock TFLM runs whole ops; a schedule with bands is rewritten first")
    lives = lifetimes(
        graph,
        schedule,
        views=TFLM_VIEWS if stock else VIEWS,
        scratch=scratch or (tflm_scratch if stock else None),
        variables=not stock,
        unused=stock,
        stages=stages,
    )
    buffers = lives.buffers
    if stock:
        buffers = tuple(replace(b, size=align_up(b.size, ALIGNMENT)) for b in buffers)
    distances = tflm_distance if stock else engine_distance(access)
    overlaps = _overlaps(schedule, lives, distances)
    for stage in stages:
        overlaps.update(_stage_overlaps(stage, lives, distances))
    return Spacing(lives, Problem(buffers, ALIGNMENT, overlaps))


def _moves(schedule: Schedule, lives: Lifetimes, parts: Split) -> dict[Op, tuple[Move, ...]]:
    moves = {}
    for index, step in parts.cuts:
        before, after = (
            next(p for p in parts.pieces[index] if getattr(parts.problem.buffers[p], end) == step)
            for end in ("stop", "start")
        )
        tensors = tuple(t for t, i in lives.tensors.items() if i == index)
        move = Move(
            tensors,
            lives.buffers[index].size,
            parts.solution.offsets[before],
            parts.solution.offsets[after],
        )
        if move.source != move.target:
            moves[schedule.ops[step - 1]] = (move,)
    return moves


def _movable(schedule: Schedule) -> tuple[int, ...]:
    """Steps before which a tensor may move: those that begin a stage."""
    steps, step = [], 1
    for stage in schedule.stages:
        steps.append(step)
        step += len(stage.ops)
    return tuple(steps)


def _stage_overlaps(
    stage: Streamed, lives: Lifetimes, distance: Callable[[Op, int], int | None]
) -> dict[tuple[int, int], int]:
    """Safe distances inside a stage that runs band by band (see `streams`)."""
    overlaps: dict[tuple[int, int], int] = {}
    for (out, source), (op, apart) in step_distances(stage, distance).items():
        step = stage.first + stage.walk.stage.ops.index(op)
        kept = stage.walk.windows[source].kept
        if kept or lives.buffers[lives.tensors[source]].stop == step + 1:
            overlaps[lives.tensors[out], lives.tensors[source]] = apart
    groups: dict[int, list[Tensor]] = {}
    for tensor in stage.walk.outside:
        groups.setdefault(lives.tensors[tensor], []).append(tensor)
    for target in _filled(stage):
        out = lives.tensors[target]
        for index, sources in groups.items():
            if lives.buffers[out].start != stage.first or index == out:
                continue
            if lives.buffers[index].stop == stage.last + 1:
                far = _distance_over(stage, target, sources, distance)
                if far is not None:
                    overlaps[out, index] = far
    return overlaps


def _filled(stage: Streamed) -> tuple[Tensor, ...]:
    """What a stage fills from its beginning on, step by step: results, and rings."""
    rings = () if stage.columns is None else stage.columns.rings
    return (*stage.walk.results, *rings)


def _distance_over(
    stage: Streamed,
    target: Tensor,
    sources: Sequence[Tensor],
    distance: Callable[[Op, int], int | None],
) -> int | None:
    if stage.columns is not None:
        return column_distance(stage.columns, target, sources)
    return result_distance(stage, target, sources, distance)


def _overlaps(
    schedule: Schedule, lives: Lifetimes, distance: Callable[[Op, int], int | None]
) -> dict[tuple[int, int], int]:
    """Safe distances of the buffers that an op may write while it reads them for the last time."""
    overlaps: dict[tuple[int, int], int] = {}
    whole = {op for stage in schedule.stages if stage.band is None for op in stage.ops}
    for step, op in enumerate(schedule.ops, start=1):
        if op not in whole or len(op.outputs) != 1 or op.output not in lives.tensors:
            continue
        out = lives.tensors[op.output]
        for source in {lives.tensors[t] for t in op.inputs if t in lives.tensors}:
            # A view of one's own buffer, or bytes that somebody reads later.
            if lives.buffers[out].start != step or lives.buffers[source].stop != step + 1:
                continue
            # One buffer may be read at several positions; the largest distance serves all.
            found = [
                distance(op, position)
                for position, tensor in enumerate(op.inputs)
                if tensor in lives.tensors and lives.tensors[tensor] == source
            ]
            known = [d for d in found if d is not None]
            if len(known) == len(found):
                overlaps[out, source] = max(known)
    return overlaps


def tflm_distance(op: Op, position: int) -> int | None:
    """Safe distances for any kernels that stock TFLM may be built with."""
    return 0 if overlap.in_place_in_tflm(op, position) else None


def engine_distance(access: Access | None) -> Callable[[Op, int], int | None]:
    """Safe distances for kernels that write in blocks of as many elements as `access` tells."""

    def distance(op: Op, position: int) -> int | None:
        block = access(op) if access else None
        return None if block is None else overlap.safe_distance(op, position, block=block)

    return distance
