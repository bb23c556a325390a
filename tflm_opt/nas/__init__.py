"""Search for nets that fit a board. So far: what a candidate costs, without TensorFlow."""

from __future__ import annotations

from .cost import Cost, Pricer, exact_cost
from .limits import Broken, Limits

__all__ = ["Broken", "Cost", "Limits", "Pricer", "exact_cost"]
