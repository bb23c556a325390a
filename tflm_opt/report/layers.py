"""Layers as CSV: a row an op, for spreadsheets and scripts."""

from __future__ import annotations

import csv
import io
from typing import Any

COLUMNS = (
    "index",
    "kind",
    "name",
    "inputs",
    "shape",
    "stage",
    "macs",
    "constants_bytes",
    "arena_bytes",
    "instructions",
    "cycles_estimate",
)


def layers_csv(data: dict[str, Any]) -> str:
    """The layers of a report's data as CSV (RFC 4180); what was not measured is empty.

    Shapes are written `1x80x80x3`, and several inputs separated by spaces. A name that a
    spreadsheet would take for a formula gets an apostrophe in front.
    """
    counted = {} if data["profile"] is None else {p["index"]: p for p in data["profile"]["layers"]}
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(COLUMNS)
    for layer in data["layers"]:
        measured = counted.get(layer["index"], {})
        writer.writerow(
            [
                *(layer["index"], layer["kind"], _inert(layer["name"])),
                " ".join(map(_shape, layer["inputs"])),
                *(_shape(layer["shape"]), layer["stage"], layer["macs"], layer["constants"]),
                *(layer["arena"], measured.get("instructions"), measured.get("cycles")),
            ]
        )
    return stream.getvalue()


def _shape(shape: list[int]) -> str:
    return "x".join(map(str, shape))


def _inert(name: str) -> str:
    """A tensor's name as text that no spreadsheet runs, in characters that UTF-8 can hold."""
    text = name.encode("utf-8", "replace").decode("utf-8")
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
