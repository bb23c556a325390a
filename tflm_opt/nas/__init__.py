"""Search for nets that fit a board: what candidates cost, spaces of them, and studies of both."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .cost import Cost, Pricer, exact_cost
from .limits import Broken, Limits

if TYPE_CHECKING:
    from .search import Interrupted
    from .study import Study
    from .trials import Trial

_HOME = {"Interrupted": "search", "Study": "study", "Trial": "trials"}

__all__ = [
    "Broken",
    "Cost",
    "Interrupted",
    "Limits",
    "Pricer",
    "Study",
    "Trial",
    "exact_cost",
    "load",
]


def load(directory: str | Path) -> Study:
    """The study in a directory, also while its search still runs.

    Raises:
        StudyError: there is none, a damaged one, or one of another version.
    """
    from .study import Study

    return Study(directory)


def __getattr__(name: str) -> Any:
    """Import what is asked for on its first use: Optuna, say, is for studies alone."""
    if name in _HOME:
        return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
