"""What a net costs on a microcontroller, from the planner that would deploy it.

A search that estimates memory by a formula of its own finds nets that don't fit. Here the schedule
search and the planner of `optimize` are asked. MCUNet (Lin et al., 2020) calls this the co-design
of net and runtime.

`exact_cost` asks for all that `optimize` does, and takes seconds: its arena is the one that ships,
to the byte. `Pricer` is for searches: what stages cost is shared by all nets that it sees.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from .. import boards, graph, passes, sizes
from ..api import DEFAULT_BOARD, SLOWDOWN
from ..errors import TflmOptError, UnsupportedModel
from ..fit import CLOSE, REST
from ..furnish import Furnishing
from ..graph import Graph
from ..graph.geometry import macs, weights_bytes
from ..kernels.table import pace_of
from ..patch_split.search import Point
from .footprint import footprint
from .net import Net
from .pace import cycles, instructions_in, others
from .quick import Choosers, Quick
from .shared import Shared

INPUTS = ("resident", "streamed", "any")


@dataclass(frozen=True, slots=True)
class Cost:
    """A net's needs under its best schedule. Sizes in bytes.

    Attributes:
        sram: arena and stack.
        arena: for tensors and kernel scratch.
        stack: and the engine's state, of the worst case: an estimate.
        flash: weights, tables and code: an estimate.
        weights: all constants that the ops read.
        macs: multiply-accumulates of one inference.
        instructions: of one inference on the board's core: an estimate.
        latency_ms: of one inference at the board's clock: an estimate, of estimated cycles.
        input: "resident" or "streamed": which of the two this is.
        rows: whether any stage runs on rows; if not, all ops run layer by layer.
    """

    sram: int
    arena: int
    stack: int
    flash: int
    weights: int
    macs: int
    instructions: int
    latency_ms: float
    input: str
    rows: bool


def exact_cost(
    model: bytes | Graph | Net,
    *,
    input: str = "resident",
    board: str = DEFAULT_BOARD,
    sram: int | str | None = None,
    seed: int = 0,
) -> Cost:
    """What an int8 model costs by the whole search of `optimize`, in seconds; no compiler.

    Example:
        >>> exact_cost(Path("model.tflite").read_bytes()).arena
        24736

    Args:
        model: the bytes of a `.tflite`, a graph, or a net.
        input: "resident" or "streamed", as in `optimize`.
        board: whose core it is for.
        sram: bytes for arena and stack, as in `optimize`; None for the least that isn't too slow.
        seed: of the planner's search.

    Raises:
        InvalidModel, UnsupportedModel, UnknownBoard: as `optimize`.
    """
    optimized = _optimized(model)
    budget = sizes.parse(sram, what="an SRAM budget")
    target = boards.get(board)
    tier = pace_of(target.core)
    runs = Furnishing(optimized, tier, input=input, slowdown=SLOWDOWN, seed=seed)

    def cost(room: int | None) -> Cost:
        chosen = runs.found(room).chosen
        if room is not None and chosen.peak > room:
            chosen = runs.found(0).chosen
        return _cost(chosen, input, target)

    return _fitted(cost, budget)


class Pricer:
    """What nets cost on a board; made for thousands of nets that are alike.

    Example:
        >>> pricer = Pricer("nucleo_f446re", input="any")
        >>> pricer.price(net).sram, pricer.price(net, sram="32KiB").latency_ms
        (24736, 31.4)

    Args:
        board: whose core counts.
        input: "resident", "streamed", or "any" for the one that needs less SRAM; with a budget,
            for the faster one of those that meet it.

    Raises:
        UnknownBoard; TflmOptError: another input.
    """

    def __init__(self, board: str = DEFAULT_BOARD, input: str = "resident") -> None:
        if input not in INPUTS:
            raise TflmOptError(f"input {input!r} is not one of {', '.join(INPUTS)}")
        self.board = boards.get(board)
        self.input = input
        self._shared = Shared(pace_of(self.board.core))

    def price(
        self,
        model: bytes | Graph | Net,
        sram: int | str | None = None,
        latency_ms: float | None = None,
    ) -> Cost:
        """The cost of what `optimize(model, sram=sram)` would ship.

        Args:
            model: a net, a graph, or the bytes of an int8 `.tflite`.
            sram: a budget, "64KiB"; if no schedule meets it, the cost is that of the smallest.
            latency_ms: a limit, for nets that are of no use above it. It spares most of the time
                that they would take: if no schedule within `sram` comes near it, some schedule
                that doesn't; and if none of any memory meets it, the least SRAM and the least
                latency that there are, be they of two schedules.

        Raises:
            InvalidModel, UnsupportedModel: as `optimize`; TflmOptError: a budget that is no size,
                or a limit of latency that is no time.
        """
        budget = sizes.parse(sram, what="an SRAM budget")
        if latency_ms is not None and not 0 < latency_ms < math.inf:
            raise TflmOptError(f"a limit of latency of {latency_ms!r} ms: give a positive number")
        graph = _optimized(model)
        if self._shared.full:
            self._shared = Shared(self._shared.tier)
        found, refused = [], []
        for input in ("resident", "streamed") if self.input == "any" else (self.input,):
            try:
                found.append(self._priced(graph, input, budget, latency_ms))
            except UnsupportedModel as error:
                refused.append(error)
        if not found:
            raise refused[0]
        return better(found, budget)

    def _priced(
        self, graph: Graph, input: str, budget: int | None, latency_ms: float | None
    ) -> Cost:
        runs = Choosers(graph, self._shared, streamed=input == "streamed", slowdown=SLOWDOWN)
        allowed = math.inf
        if latency_ms is not None:
            fastest = _cost(runs.fastest, input, self.board)
            if fastest.latency_ms > latency_ms:
                return replace(fastest, sram=runs.least + fastest.stack, arena=runs.least)
            allowed = instructions_in(latency_ms, self.board) - others(graph)

        def cost(room: int | None) -> Cost:
            return _cost(runs.chosen(room, allowed), input, self.board)

        return _fitted(cost, budget)


def _fitted(cost: Callable[[int | None], Cost], budget: int | None) -> Cost:
    """The cost within a budget, by what it is within bytes of arena; as `fit` finds it."""
    if budget is None:
        return cost(None)
    first = cost(max(budget - REST, 0))
    # Once more with what the stack leaves, if that is another room.
    if first.sram > budget or first.stack < REST - CLOSE:
        second = cost(max(budget - first.stack, 0))
        return better([first, second], budget)
    return first


def better(costs: list[Cost], budget: int | None) -> Cost:
    """The fastest that meets a budget; without one, or if none does, the smallest."""
    fitting = [c for c in costs if budget is not None and c.sram <= budget]
    if fitting:
        return min(fitting, key=lambda c: (c.instructions, c.sram))
    return min(costs, key=lambda c: (c.sram, c.instructions))


def _optimized(model: bytes | Graph | Net) -> Graph:
    if isinstance(model, Net):
        from .lower import lower

        return lower(model)
    if not isinstance(model, (bytes, bytearray, memoryview, Graph)):
        kind = type(model).__name__
        raise TflmOptError(f"a {kind} has no cost: give a Net, a Graph or the bytes of a .tflite")
    read = model if isinstance(model, Graph) else graph.read(bytes(model))
    return passes.run(read, passes.default_pipeline())


def _cost(chosen: Point | Quick, input: str, board: boards.Board) -> Cost:
    graph, schedule = chosen.graph, chosen.schedule
    if isinstance(chosen, Quick):
        arena, scratch = chosen.arena, chosen.scratch
    else:
        arena, scratch = chosen.peak, chosen.plan.scratch
    beside = footprint(graph, schedule, board, scratch)
    instructions = chosen.work + others(graph)
    return Cost(
        sram=arena + beside.stack,
        arena=arena,
        stack=beside.stack,
        flash=beside.flash,
        weights=weights_bytes(graph),
        macs=macs(graph),
        instructions=round(instructions),
        latency_ms=1000 * cycles(instructions, board) / board.clock_hz,
        input=input,
        rows=any(stage.band is not None for stage in schedule.stages),
    )
