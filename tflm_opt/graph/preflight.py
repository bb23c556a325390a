"""First look at an untrusted `.tflite` file, before anything is built from it.

The schema's parser follows every offset it is given, so a small file can make it build a huge
structure: vectors whose length is a lie, or thousands of tables that all point at one long
vector. This pass bounds that work by the size of the file.
"""

from __future__ import annotations

from ..errors import InvalidModel

IDENTIFIER = b"TFL3"
SMALLEST_FILE = 16


def preflight(data: bytes, source: str | None = None) -> None:
    """Refuse what can't be a `.tflite` file, or would take more memory than its size explains.

    Raises:
        InvalidModel: says what is wrong.
    """
    if len(data) < SMALLEST_FILE:
        raise InvalidModel(f"only {len(data)} bytes: not a .tflite file", source=source)
    if data[4:8] != IDENTIFIER:
        raise InvalidModel(
            f"not a .tflite file: bytes 4 to 7 are {data[4:8]!r} instead of {IDENTIFIER!r}",
            source=source,
        )
