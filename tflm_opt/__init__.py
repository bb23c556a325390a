"""Fit Keras models into microcontrollers, and prove that they compute the same.

    import tflm_opt
    result = tflm_opt.optimize(model, calibration=x_train, sram=320_000)
    print(result)
    result.export("platformio", "firmware", board="disco_f746ng")

Importing this package loads neither TensorFlow nor a compiler's wrapper: rooms are imported
when something of theirs is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import boards, errors
    from .api import optimize
    from .boards import Board
    from .errors import TflmOptError
    from .nas.search import search
    from .profiling import Profile, profile
    from .result import Result

__version__ = "0.1.0"

_HOME = {
    "optimize": ".api",
    "search": ".nas.search",
    "Profile": ".profiling",
    "profile": ".profiling",
    "Result": ".result",
    "Board": ".boards",
    "TflmOptError": ".errors",
}
_ROOMS = frozenset(
    {"arena", "boards", "codegen", "errors", "export", "graph", "nas", "passes", "quant", "runtime"}
)

__all__ = [
    "Board",
    "Profile",
    "Result",
    "TflmOptError",
    "boards",
    "errors",
    "optimize",
    "profile",
    "search",
]


def __getattr__(name: str) -> Any:
    """Import what is asked for on its first use."""
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name], __name__), name)
    if name in _ROOMS:
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *_ROOMS})
