"""A profile as data, as a table for a terminal, and as a page.

Data first: text and page are made of what `--json` prints, so all three say the same.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import tables

if TYPE_CHECKING:
    from ..profiling import Layer, Profile, Share

_DOMINANT = 3  # functions named for a layer
_ESTIMATE = (
    "cycles are an ESTIMATE, not measured: instructions by class, with documented timings"
    " (docs/profiling.md)"
)


def profile_data(profile: Profile) -> dict[str, Any]:
    """What `tflm-opt profile --json` prints; instructions are exact, cycles are estimates."""
    board, total = profile.board, profile.total
    layers = [_layer(layer, total.instructions) for layer in profile.layers]
    return {
        "name": profile.name,
        "board": board.id,
        "core": board.core,
        "emulator": profile.emulator,
        "method": "plugin" if profile.functions else "debugger",
        **_share(total, total.instructions, profile.macs),
        "macs": profile.macs,
        "cycles_estimate": estimate_data(total, profile.board, profile.macs),
        "layers": layers,
        "rest": [{"what": what, **_share(s, total.instructions)} for what, s in profile.rest],
        "functions": [
            {"name": name, **_share(share, total.instructions), "classes": _classes(share)}
            for name, share in profile.functions
        ],
        "classes": _classes(total),
        "notes": list(profile.notes),
    }


def estimate_data(share: Share, board: Any, macs: int | None = None) -> dict[str, Any] | None:
    """An estimate of cycles and time on a board; None where there is none."""
    if share.cycles is None:
        return None
    return {
        "board": board.id,
        "core": board.core,
        "clock_hz": board.clock_hz,
        "wait_states": board.flash_reads.wait_states,
        "cycles": round(share.cycles),
        "waits": round(share.waits),
        "ms": share.cycles / board.clock_hz * 1000,
        "cycles_per_mac": share.cycles / macs if macs else None,
    }


def _layer(layer: Layer, total: int) -> dict[str, Any]:
    return {
        "index": layer.index,
        "stage": layer.stage,
        "kind": layer.kind,
        "name": layer.name,
        "shape": list(layer.shape),
        "macs": layer.macs,
        **_share(layer.share, total, layer.macs),
        "functions": [{"name": name, "instructions": n} for name, n in layer.functions],
    }


def _classes(share: Share) -> dict[str, int]:
    return dict(sorted(share.classes.items(), key=lambda item: -item[1]))


def _share(share: Share, total: int, macs: int | None = None) -> dict[str, Any]:
    return {
        "instructions": share.instructions,
        "share": share.instructions / total if total else 0.0,
        "instructions_per_mac": share.instructions / macs if macs else None,
        "cycles": None if share.cycles is None else round(share.cycles),
        "cycles_per_mac": share.cycles / macs if macs and share.cycles is not None else None,
    }


def profile_text(data: dict[str, Any], top: int | None = None) -> str:
    """The profile for a terminal; `top`: only so many layers and functions, largest first."""
    lines = [_headline(data), ""]
    lines += [*_layer_lines(data, top), ""]
    if data["functions"]:
        lines += [*_function_lines(data, top), ""]
    if data["cycles_estimate"] is not None:
        lines.append(f"* {_ESTIMATE}")
    lines += [
        textwrap.fill(note, 78, initial_indent="! ", subsequent_indent="  ")
        for note in data["notes"]
    ]
    return "\n".join(lines).rstrip()


def _headline(data: dict[str, Any]) -> str:
    emulated = "" if data["board"] == data["emulator"] else f", counted on {data['emulator']}"
    lines = [f"{data['name']} on {data['board']} ({data['core']}{emulated})"]
    per = data["instructions_per_mac"]
    macs = "" if per is None else f", {per:.2f} a MAC ({data['macs']:,} MACs)"
    lines.append(f"{data['instructions']:,} instructions{macs}")
    if data["cycles_estimate"] is not None:
        lines.append(estimate_text(data["cycles_estimate"]))
    return "\n".join(lines)


def estimate_text(data: dict[str, Any]) -> str:
    """An estimate in a line: `about 3,520,000 cycles*, 29.3 ms at 120 MHz`."""
    per = data["cycles_per_mac"]
    macs = "" if per is None else f", {per:.2f} a MAC"
    waits = f", of which {data['waits']:,} wait for flash" if data["waits"] else ""
    return (
        f"about {data['cycles']:,} cycles (estimate{macs}{waits}): "
        f"{data['ms']:.3g} ms at {data['clock_hz'] / 1e6:g} MHz"
    )


def _layer_lines(data: dict[str, Any], top: int | None) -> list[str]:
    head = (
        f"{'#':>4} {'stage':>5}  {'op':<20}{'output':<13}{'MACs':>11}{'instructions':>13}"
        f"{'share':>7}{'/MAC':>7}{'cycles*':>12}{'/MAC':>7}  mostly in"
    )
    layers = _largest(data["layers"], top)
    lines = [head, *map(_layer_line, layers)]
    left = len(data["layers"]) - len(layers)
    if left:
        lines.append(f"{'':>4} {'':>5}  and {left} more")
    lines += [
        f"{'':>4} {'':>5}  {rest['what']:<44}{rest['instructions']:>13,}{rest['share']:>7.1%}"
        f"{'':>7}{_number(rest['cycles'], ',', 12)}"
        for rest in data["rest"]
    ]
    return lines


def _layer_line(layer: dict[str, Any]) -> str:
    stage = "" if layer["stage"] is None else layer["stage"]
    shape = "x".join(map(str, layer["shape"][1:] if len(layer["shape"]) > 1 else layer["shape"]))
    per, cycles = layer["instructions_per_mac"], layer["cycles_per_mac"]
    most = layer["functions"][0]["name"] if layer["functions"] else ""
    return (
        f"{layer['index']:>4} {stage:>5}  {layer['kind'][:19]:<20}{shape:<13}"
        f"{_number(layer['macs'] or None, ',', 11)}{layer['instructions']:>13,}"
        f"{layer['share']:>7.1%}{_number(per, '.2f', 7)}{_number(layer['cycles'], ',', 12)}"
        f"{_number(cycles, '.2f', 7)}  {most}"
    )


def _function_lines(data: dict[str, Any], top: int | None) -> list[str]:
    functions = data["functions"][: top or 10]
    lines = [f"{'function':<44}{'instructions':>13}{'share':>7}{'cycles*':>12}"]
    lines += [
        f"{f['name'][:43]:<44}{f['instructions']:>13,}{f['share']:>7.1%}"
        f"{_number(f['cycles'], ',', 12)}"
        for f in functions
    ]
    left = len(data["functions"]) - len(functions)
    return [*lines, f"and {left} more (--json)"] if left else lines


def _largest(layers: Sequence[dict[str, Any]], top: int | None) -> Sequence[dict[str, Any]]:
    """All layers in order, or those with most instructions, largest first."""
    if top is None:
        return layers
    return sorted(layers, key=lambda layer: -layer["instructions"])[:top]


def _number(value: float | None, form: str, width: int) -> str:
    return " " * width if value is None else f"{format(value, form):>{width}}"


_COUNTS = (
    tables.Column("instructions", ","),
    tables.Column("share", ".1%", bar=True),
    tables.Column("per MAC", ".2f", title="instructions per multiply-accumulate"),
    tables.Column("cycles*", ",", title="an estimate"),
    tables.Column("cycles* per MAC", ".2f", title="an estimate"),
)

_KEYS = ("instructions", "share", "instructions_per_mac", "cycles", "cycles_per_mac")
_OF_FUNCTIONS = ("instructions", "share", "cycles")


def profile_page(data: dict[str, Any]) -> str:
    """The profile as an HTML page of its own."""
    notes = [*data["notes"], *([f"* {_ESTIMATE}"] if data["cycles_estimate"] else [])]
    title = f"{data['name']} on {data['board']}"
    lead = "; ".join(_headline(data).splitlines()[1:])
    return tables.page(title, profile_sections(data), lead=lead, notes=notes)


def profile_sections(data: dict[str, Any]) -> list[tuple[str, str]]:
    """The tables of a profile as (heading, HTML), for any page with the style of `tables`."""
    words = [tables.Column(head) for head in ("op", "output", "name")]
    layers = [tables.Column("#", "d"), tables.Column("stage", "d"), *words]
    layers += [tables.Column("MACs", ","), *_COUNTS, tables.Column("mostly in")]
    rows: list[list[Any]] = [
        [
            *(layer["index"], layer["stage"], layer["kind"]),
            *("×".join(map(str, layer["shape"])), layer["name"], layer["macs"]),
            *_counts(layer),
            _dominant(layer),
        ]
        for layer in data["layers"]
    ]
    rows += [[None, None, r["what"], "", "", None, *_counts(r), ""] for r in data["rest"]]
    # No count a MAC: a function's share of the MACs isn't known.
    functions = [[f["name"], *_counts(f, _OF_FUNCTIONS)] for f in data["functions"]]
    heads = [column for column, key in zip(_COUNTS, _KEYS, strict=True) if key in _OF_FUNCTIONS]
    classes = [[name, count] for name, count in data["classes"].items()]
    sections = [("Layers", tables.table(layers, rows))]
    if not functions:
        return sections
    return [
        *sections,
        ("Functions", tables.table([tables.Column("function"), *heads], functions)),
        (
            "Classes of instructions, and effects of neighbours",
            tables.table([tables.Column("class"), tables.Column("count", ",")], classes),
        ),
    ]


def _counts(one: dict[str, Any], keys: Sequence[str] = _KEYS) -> list[Any]:
    return [one[key] for key in keys]


def _dominant(layer: dict[str, Any]) -> str:
    total = layer["instructions"]
    return ", ".join(
        f"{f['name']} {f['instructions'] / total:.0%}" for f in layer["functions"][:_DOMINANT]
    )
