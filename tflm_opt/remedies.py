"""What stands in the way of a budget, and what would remove it, cheapest first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from . import boards

if TYPE_CHECKING:
    from .arena import Plan
    from .graph import Graph
    from .patch_split.search import Found
    from .result import Result

# What another call of `optimize` could allow: words, and arguments of the search. Each is
# searched, so what it saves is known to the byte.
ALLOWANCES: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("stream the input (input='streamed')", {"input": "streamed"}),
    ("compute up to a tenth again (max_extra_macs=0.1)", {"max_extra_macs": 0.1}),
)
_SMALLEST = 8  # pixels: no image is proposed that is smaller


def binding(result: Result) -> tuple[str, ...]:
    """The stage that makes the arena's peak, and its largest buffers, as text.

    Example:
        >>> binding(result)[:2]
        ('stage 1 of 47 (ops 0:CONV_2D to 13:ADD, 1 row a step)', '19,200 bytes of image')
    """
    from .bottleneck import bottleneck

    found = bottleneck(result.graph, result.plan)
    if result.runtime != "engine":
        return found.largest
    reasons = {whole.op: whole.reason for whole in result.whole}
    stage = str(found)
    if found.op is not None and found.stage is not None and found.stage.band is None:
        reason = reasons.get(result.graph.ops.index(found.op))
        stage += f", which can't run on rows: {reason}" if reason else ""
    return (stage, *found.largest)


def limit(result: Result, have: int) -> str:
    """What is known of arenas that the search did not find; "" if nothing is."""
    if result.bound is None:
        return ""
    room = have - (result.sram.total - result.sram.arena)
    if result.bound > room >= 0:
        return (
            f"of all schedules searched, with this input and max_extra_macs, none needs less than "
            f"{result.bound:,} bytes of arena; the budget leaves {room:,}"
        )
    return ""


def remedies(result: Result, what: str, have: int) -> tuple[str, ...]:
    """Sentences, cheapest remedy first."""
    need = result.sram.total if what == "sram" else result.flash.total
    texts = []
    if what == "sram":
        texts += _sram_remedies(result, need, have)
    else:
        share = 1 - (have - (need - result.flash.weights)) / max(result.flash.weights, 1)
        if result.mixed is None and result.flash.total - result.flash.weights // 2 <= have:
            texts.append(f"give layers int4 weights (flash={have})")
        if share <= 1:
            texts.append(f"remove {share:.0%} of the weights: fewer channels or layers")
        else:
            texts.append(
                "use fewer kinds of layers, which need fewer kernels: the code alone takes "
                f"{need - result.flash.weights:,} bytes"
            )
    texts += _board_remedy(result)
    return tuple(texts)


def _sram_remedies(result: Result, need: int, have: int) -> list[str]:
    texts = []
    sram = result.sram
    if sram.reserve and need - sram.reserve <= have:
        texts.append(f"lower the reserve of {sram.reserve:,} bytes by {need - have:,}")
    room = have - (sram.total - sram.arena)
    if room <= 0:
        texts.append(
            f"stack, runtime and reserve alone take {sram.total - sram.arena:,} bytes; no model "
            "fits beside them"
        )
        return texts
    texts += _allowances(result, room)
    if result.runtime == "engine":
        texts += _smaller(result.graph, result.plan, room, "lower the resolution")
    texts.append(
        f"give the layers at the peak about {room / sram.arena:.0%} of their channels (a rule of "
        f"thumb: the arena must fall from {sram.arena:,} to {room:,} bytes)"
    )
    return texts


def _allowances(result: Result, room: int) -> Iterator[str]:
    """What the arena would be if more were allowed: searched, not guessed."""
    if result.runtime != "engine":
        return
    for words, arguments in ALLOWANCES:
        found = _searched(result, arguments)
        if found is None or found.peak >= result.sram.arena:
            continue
        text = (
            f"{words}: the arena falls by {result.sram.arena - found.peak:,} bytes, from "
            f"{result.sram.arena:,} to {found.peak:,}"
        )
        if found.peak <= room:
            yield f"{text}, and the model fits"
            continue
        yield f"{text}: still {found.peak - room:,} too many"
        yield from _smaller(
            result.graph, found.chosen.plan, room, f"{words}, and lower the resolution"
        )


def _searched(result: Result, arguments: Mapping[str, Any]) -> Found | None:
    """The least arena with these arguments; None if it can't be, or they say nothing new."""
    from . import codegen
    from .errors import UnsupportedModel
    from .patch_split.orders import search

    asked = {"input": result.schedule.input, **arguments}
    if asked == {"input": result.schedule.input}:
        return None
    try:
        return search(result.graph, scratch=codegen.scratch, access=codegen.access, **asked)
    except UnsupportedModel:
        return None


def _smaller(graph: Graph, plan: Plan, room: int, words: str) -> list[str]:
    """How much smaller the image would have to be, by what lies in memory step by step."""
    from .bottleneck import at_scale, fitting_scale

    images = [t for t in graph.inputs if len(t.shape) == 4 and min(t.shape[1:3]) > 1]
    if len(graph.inputs) != 1 or not images:
        return []
    _, height, width, _ = images[0].shape
    scale = fitting_scale(graph, plan, room)
    if scale is None:
        fixed = round(at_scale(graph, plan, 0.0))
        return [f"a lower resolution won't do: about {fixed:,} bytes don't depend on it"]
    rows, columns = int(height * scale), int(width * scale)
    if min(rows, columns) < _SMALLEST or scale == 1:
        return []
    return [
        f"{words} from {height}x{width} to about {rows}x{columns} (an estimate: the buffers of "
        f"each step, scaled until {room:,} bytes hold them)"
    ]


def _board_remedy(result: Result) -> list[str]:
    """The smallest board that holds the same generated code, as compiled for its own core."""
    needs = {result.board.core: (result.sram.total, result.flash.total)}
    real = [board for board in boards.all() if board.platformio is not None]
    for board in sorted(real, key=lambda one: (one.sram, one.flash, one.id)):
        # What no core changes is looked at first: compiling takes a second or two.
        if result.sram.arena > board.sram or result.flash.weights > board.flash:
            continue
        if board.core not in needs:
            needs[board.core] = _on(result, board)
        sram, flash = needs[board.core]
        if sram <= board.sram and flash <= board.flash:
            return [
                f"use a larger board: {board.id} ({board.sram:,} bytes of SRAM, {board.flash:,} of "
                f"flash) is the smallest in the table that holds it: on its {board.core}, "
                f"{sram:,} and {flash:,}"
            ]
    return []


def _on(result: Result, board: boards.Board) -> tuple[int, int]:
    """SRAM and flash of a result on another board's core; of stock TFLM, one figure for all."""
    if result.runtime != "engine":
        return result.sram.total, result.flash.total
    from .runtime.footprint import footprint

    of = footprint(result.sources, board, len(result.graph.ops))
    sram = result.sram.arena + of.data + of.stack + result.sram.reserve
    return sram, of.weights + of.code
