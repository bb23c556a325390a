"""The nets that a supernet is trained for, where a search has limits.

Of a space's nets most are no candidates: they are over a limit, or so far below it that others do
more. What a supernet learns of those is in vain, and what they make of shared weights disturbs the
rest. So the members of its steps are nets that fit, drawn evenly as random search would. Where only
the most accurate net is sought, they are the half of more multiply-accumulates: of nets that fit,
those have more capacity (Lin et al., 2020, MCUNet). Wang et al. (2021, "AttentiveNAS") choose
members in a like spirit, by a guess of their accuracy.
"""

from __future__ import annotations

from collections.abc import Callable

from .evolution import Evolution, Price
from .limits import Limits
from .space import Architecture, Space

NETS = 100  # enough that a choice of one block is in dozens of them


def fitting(
    space: Space,
    price: Price,
    limits: Limits,
    *,
    larger: bool = True,
    count: int = NETS,
    seed: int = 0,
    report: Callable[[int, int], object] | None = None,
) -> list[Architecture]:
    """Nets that meet the limits; fewer where the space has no more.

    Example:
        >>> nets = fitting(space, price, Limits(sram="8KiB", latency_ms=30))
        >>> Supernet(space).train(x, y, nets=nets)

    Args:
        space, price, limits: the search's.
        larger: of twice as many, the half of more MACs. A front of several objectives has small
            nets too, and needs a supernet that knows them.
        count: how many.
        seed: of the draws.
        report: called with the number of nets drawn, and of those there will be.
    """
    drawn = 2 * count if larger else count
    draws = Evolution(space, price, limits, population=drawn, seed=seed)
    found = {}
    while len(found) < drawn and (one := draws.candidate(len(found), (), found)):
        found[one.key] = one
        if report is not None:
            report(len(found), drawn)
    by_size = sorted(found.values(), key=lambda one: (-one.cost.macs, one.key))
    kept = by_size[: -(-len(by_size) // 2)] if larger else by_size
    return [one.architecture for one in kept]
