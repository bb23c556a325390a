"""Search for nets that fit a board. So far: what a candidate costs, without TensorFlow."""

from __future__ import annotations

from .cost import Cost, cost

__all__ = ["Cost", "cost"]
