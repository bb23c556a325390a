"""Where every buffer lives: lifetimes, safe overlaps, planner, checker, offline plan, picture."""

from __future__ import annotations

from tflm_opt.arena.bound import lower_bound
from tflm_opt.arena.problem import Buffer, Problem, Solution, Violation
from tflm_opt.arena.solve import solve
from tflm_opt.arena.validate import validate

__all__ = ["Buffer", "Problem", "Solution", "Violation", "lower_bound", "solve", "validate"]
