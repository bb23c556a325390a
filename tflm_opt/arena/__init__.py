"""Where every buffer lives: lifetimes, safe overlaps, order, planner, checker, plan, picture."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tflm_opt.arena.bound import lower_bound
from tflm_opt.arena.lifetimes import Lifetimes, lifetimes
from tflm_opt.arena.plan import Plan, plan, plan_peak
from tflm_opt.arena.problem import Buffer, Problem, Solution, Violation
from tflm_opt.arena.solve import solve
from tflm_opt.arena.validate import validate

if TYPE_CHECKING:
    from tflm_opt.arena import offline, order, overlap, picture

__all__ = [
    "Buffer",
    "Lifetimes",
    "Plan",
    "Problem",
    "Solution",
    "Violation",
    "lifetimes",
    "lower_bound",
    "offline",
    "order",
    "overlap",
    "picture",
    "plan",
    "plan_peak",
    "solve",
    "validate",
]


def __getattr__(name: str) -> Any:
    """The modules `offline`, `order`, `overlap` and `picture`, imported on first use."""
    if name in ("offline", "order", "overlap", "picture"):
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
