"""Keras to bytes: a float model in, a full-int8 `.tflite` out, by post-training quantization.

The one room that TensorFlow enters, and only inside calls: importing this package loads
neither TensorFlow nor Keras.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .calibration import CalibrationWarning
    from .floatmodel import FloatModel, ModelInput
    from .options import PTQ
    from .ptq import Quantized, quantize
    from .sources import Source, detect, is_keras

_HOME = {
    "quantize": ".ptq",
    "PTQ": ".options",
    "Quantized": ".ptq",
    "CalibrationWarning": ".calibration",
    "FloatModel": ".floatmodel",
    "ModelInput": ".floatmodel",
    "Source": ".sources",
    "detect": ".sources",
    "is_keras": ".sources",
}

__all__ = [
    "PTQ",
    "CalibrationWarning",
    "FloatModel",
    "ModelInput",
    "Quantized",
    "Source",
    "detect",
    "is_keras",
    "quantize",
]


def __getattr__(name: str) -> Any:
    """Import the module that holds `name` on its first use."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name], __name__), name)


def __dir__() -> list[str]:
    """The public names, loaded or not."""
    return sorted(__all__)
