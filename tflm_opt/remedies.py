"""What stands in the way of a budget, and what would remove it, cheapest first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import boards

if TYPE_CHECKING:
    from .result import Result

_MOST_NAMED = 4


def binding(result: Result) -> tuple[str, ...]:
    """The buffers that make the arena's peak, largest first, as text."""
    from .graph.text import short_name

    peak = result.plan.binding()
    return tuple(f"{size:,} bytes of {short_name(name)}" for size, name in peak[:_MOST_NAMED])


def remedies(result: Result, what: str, have: int) -> tuple[str, ...]:
    """Sentences, cheapest remedy first."""
    need = result.sram.total if what == "sram" else result.flash.total
    texts = []
    if what == "sram":
        texts += _sram_remedies(result, need, have)
    else:
        share = 1 - (have - (need - result.flash.weights)) / max(result.flash.weights, 1)
        texts.append(f"remove {share:.0%} of the weights: fewer channels or layers")
    texts += _board_remedy(result, what)
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
    texts += _streamed_remedy(result)
    scale = room / sram.arena
    texts.append(
        f"shrink the input's height and width to about {scale**0.5:.0%}: the arena grows with "
        f"their product (a rule of thumb; it must fall from {sram.arena:,} to {room:,} bytes)"
    )
    texts.append(f"give the layers at the peak about {scale:.0%} of their channels (likewise)")
    return texts


def _streamed_remedy(result: Result) -> list[str]:
    """What the arena would be if the input came by rows: searched, not guessed."""
    if result.runtime != "engine" or result.schedule.input == "streamed":
        return []
    from . import codegen
    from .errors import UnsupportedModel
    from .patch_split.orders import search

    if len(result.graph.inputs) != 1:
        return []
    try:
        found = search(
            result.graph, input="streamed", scratch=codegen.scratch, access=codegen.access
        )
    except UnsupportedModel:
        return []
    saved = result.sram.arena - found.peak
    if saved <= 0:
        return []
    return [
        f"stream the input (input='streamed'): the arena falls by {saved:,} bytes, from "
        f"{result.sram.arena:,} to {found.peak:,}"
    ]


def _board_remedy(result: Result, what: str) -> list[str]:
    def enough(board: boards.Board) -> bool:
        return board.sram >= result.sram.total and board.flash >= result.flash.total

    fitting = [b for b in boards.all() if b.platformio is not None and enough(b)]
    if not fitting:
        return []
    smallest = min(fitting, key=lambda board: (board.sram, board.flash, board.id))
    return [
        f"use a larger board: {smallest.id} ({smallest.sram:,} bytes of SRAM, "
        f"{smallest.flash:,} of flash) is the smallest in the table that holds it"
    ]
