"""The table for people: rows for the terminal, and the page `docs/ops.md`."""

from __future__ import annotations

from dataclasses import dataclass

from . import costs
from .constraints import sentence
from .spec import OpSpec
from .table import OPS


@dataclass(frozen=True, slots=True)
class Row:
    """One op for people.

    Attributes:
        kind: TFLite's name.
        reach: which input places an output place reads, in a word.
        macs: whether it multiplies weights.
        constraints: a sentence each.
    """

    kind: str
    reach: str
    macs: bool
    constraints: tuple[str, ...]


def rows() -> tuple[Row, ...]:
    """Every supported op, by name."""
    return tuple(
        Row(spec.kind, spec.reach_word, spec.macs is not None, sentences(spec))
        for spec in OPS.values()
    )


def sentences(spec: OpSpec) -> tuple[str, ...]:
    """What an op must meet: the number of its inputs and outputs, then its constraints."""
    counts = f"It has {_count(spec.inputs, 'input')} and {_count(spec.outputs, 'output')}."
    return (counts, *dict.fromkeys(sentence(constraint) for constraint in spec.constraints))


def _count(span: tuple[int, int], what: str) -> str:
    low, high = span
    if low == high:
        return f"{low} {what}{'s' if low != 1 else ''}"
    return f"{low} to {high} {what}s" if high < 1000 else f"{low} or more {what}s"


def page() -> str:
    """docs/ops.md, in Markdown."""
    _, _, definition = (costs.__doc__ or "").strip().partition("\n\n")
    parts = [
        "# Supported ops",
        "<!-- Generated: tflm-opt ops --markdown > docs/ops.md -->",
        "Ops of an int8 `.tflite` model that TFLM and the engine run, and what each must meet. "
        "Anything else is refused with its reason. Every op's output shapes must follow from "
        "its inputs and options, with fixed sizes and batch 1.",
        "An output place reads: its own input place (*elementwise*), a sliding *window*, a fixed "
        "*map* of places, or *all*.",
        "| op | reads | multiplies weights |\n|---|---|---|\n"
        + "\n".join(
            f"| [{row.kind}](#{row.kind.lower()}) | {row.reach} | {'yes' if row.macs else ''} |"
            for row in rows()
        ),
        "## What counts as a multiply-accumulate",
        definition,
    ]
    for row in rows():
        parts.append(f"## {row.kind}")
        parts.append("\n".join(f"- {text}" for text in row.constraints))
    return "\n\n".join(parts) + "\n"
