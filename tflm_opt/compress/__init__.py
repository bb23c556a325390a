"""Weights that take fewer bytes of flash, for stock TFLM: it decodes them as it runs.

TFLM's op DECODE (a custom op of that runtime, TFLM_DECODE in a file) makes a constant out of an
encoded one, right before the op that reads it. So flash is paid for with arena, which holds the
decoded weights of one op at a time, and with time. `codings` has the codings, `rewrite` the files.
"""

from __future__ import annotations

from .codings import Encoded, best
from .gains import constant_bytes, remarks
from .rewrite import Compression, Squeezed, compress, compressed

__all__ = [
    "Compression",
    "Encoded",
    "Squeezed",
    "best",
    "compress",
    "compressed",
    "constant_bytes",
    "remarks",
]
