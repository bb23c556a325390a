"""The report as one HTML file: everything that report.json says, and nothing from outside.

    page(data) -> str       # data: `Result.to_dict()`, or a saved folder's report.json

The template, its style and its script are in templates/. What the figures mean is decided here, how
they look is decided there. Names come from models and may hold anything: `clean` takes out what no
HTML file can hold, and the template escapes the rest.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import arena_picture, front, quantization, quantization_picture, reproduce, tables
from .profile import estimate_text, profile_sections

TEMPLATES = Path(__file__).resolve().parent / "templates"


def page(data: dict[str, Any]) -> str:
    """The report as the text of an HTML file; the same for the same data."""
    data = clean(data)
    profile = data["profile"]
    values = {
        "data": data,
        "verdict": verdict(data),
        "parts": sram_parts(data),
        "estimated": _estimated(data),
        "before": before_and_after(data),
        "picture": arena_picture.svg(data["arena"]),
        "buffers": arena_picture.buffer_table(data["arena"]),
        "layers": layer_table(data),
        "front": front.svg(data["front"], chosen=_chosen(data), style=False),
        "front_table": front_table(data),
        "profile_lead": None if profile is None else profile_lead(profile),
        "profile_sections": [] if profile is None else profile_sections(profile)[1:],
        **_found(data),
        "commands": reproduce.commands(data),
        "sort_script": tables.SCRIPT,
        "table_style": tables.STYLE,
    }
    return _environment().get_template("report.html.j2").render(values)


def _found(data: dict[str, Any]) -> dict[str, Any]:
    """What `evaluate` and `diagnose` found, for the page."""
    accuracy, diagnosis = data["accuracy"], data["diagnosis"]
    change = None if accuracy is None else accuracy["change"]
    return {
        "accuracy_rows": [] if accuracy is None else quantization.accuracy_rows(accuracy),
        "accuracy_change": None if change is None else quantization.change_text(change),
        "diagnosis": diagnosis,
        "sqnr": None if diagnosis is None else quantization_picture.svg(diagnosis),
        "worst_layers": None if diagnosis is None else quantization_picture.layer_table(diagnosis),
    }


@functools.cache
def _environment() -> Any:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["count"] = lambda value: f"{value:,}"
    return environment


def clean(data: Any) -> Any:
    """The same data with the characters replaced that no HTML file in UTF-8 can hold."""
    if isinstance(data, str):
        return "".join(c if _legal(c) else "\ufffd" for c in data)
    if isinstance(data, dict):
        return {clean(key): clean(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [clean(value) for value in data]
    return data


def _legal(c: str) -> bool:
    if c < " " or "\x7f" <= c <= "\x9f":
        return c in "\n\t"
    return not ("\ud800" <= c <= "\udfff" or c in "\ufffe\uffff")


def verdict(data: dict[str, Any]) -> tuple[str, str]:
    """(state, sentence): state is "good", "bad" or "plain"."""
    total, budget = data["sram"]["total"], data["budget"]
    if budget is None:
        return "plain", f"{total:,} bytes of SRAM; no budget was set"
    if data["fits"]:
        return "good", f"fits: {total:,} of {budget:,} bytes of SRAM"
    if total > budget:
        over = total - budget
        return "bad", f"does not fit: {total:,} of {budget:,} bytes of SRAM, {over:,} too many"
    return "bad", f"does not fit: {data['flash']['total']:,} bytes are more than the board's flash"


_PARTS = (
    ("arena", "arena: tensors and kernel scratch"),
    ("runtime", "the library's own state"),
    ("stack", "stack of one inference, worst case"),
    ("reserve", "reserve, as asked"),
)


def sram_parts(data: dict[str, Any]) -> list[dict[str, Any]]:
    """The parts of the SRAM that are not empty, with their share of the budget or the total."""
    sram = data["sram"]
    full = max(data["budget"] or 0, sram["total"], 1)
    return [
        {
            "part": part,
            "what": what,
            "bytes": sram[part],
            "percent": f"{100 * sram[part] / full:.3f}",
            "estimated": part in sram["estimated"],
        }
        for part, what in _PARTS
        if sram[part] or part != "reserve"
    ]


def before_and_after(data: dict[str, Any]) -> dict[str, Any]:
    """Columns of what was compared, and rows of (what, cells, note); None: not known."""
    columns = _columns(data)
    rows = []
    for key, what, note in _ROWS:
        cells = [column.get(key) for column in columns]
        if any(cell is not None for cell in cells):
            estimated = [key in column.get("estimated", ()) for column in columns]
            rows.append((what, list(zip(cells, estimated, strict=True)), note))
    return {"heads": [(column["head"], column["about"]) for column in columns], "rows": rows}


_ROWS = (
    ("total", "SRAM", ""),
    ("arena", "arena", "tensors and kernel scratch"),
    ("state", "runtime's state", ""),
    ("stack", "stack", "one inference, worst case"),
    ("reserve", "reserve", "as asked"),
    ("flash", "flash", ""),
    ("weights", "weights and constants", ""),
    ("code", "code", ""),
    ("macs", "MACs", "of one inference"),
    ("work", "instructions, estimated", "of kernels: it ranks schedules"),
    ("instructions", "instructions, counted", "on an emulated core; not cycles"),
)


def _columns(data: dict[str, Any]) -> list[dict[str, Any]]:
    columns = []
    if data["float_parameters"] is not None:
        weights = 4 * data["float_parameters"]
        columns.append({"head": "float model", "about": "as float32", "weights": weights})
    if data["tflm"] is not None:
        columns += _stock_columns(data)
    plain = [point for point in data["front"] if not point["streamed_stages"]]
    if plain and data["runtime"] == "engine":
        least = min(plain, key=lambda point: point["arena"])
        columns.append(
            {
                "head": "layer by layer",
                "about": "this engine, fast kernels",
                "arena": least["arena"],
                "macs": data["macs"],
                "work": least["instructions"],
            }
        )
    if data["runtime"] == "engine":
        columns.append(_engine_column(data))
    return columns


def _stock_columns(data: dict[str, Any]) -> list[dict[str, Any]]:
    """What TFLM's allocator reports for the file that came in, and for ours."""
    stock = data["tflm"]
    heads = (("before", "the file that came in"), ("after", "this result's model.tflite"))
    return [
        {
            "head": f"stock TFLM, {key}",
            "about": about,
            "total": stock[key]["total"],
            "arena": stock[key]["head"],
            "state": stock[key]["tail"],
            "weights": data["original"]["bytes"] if key == "before" else None,
            "macs": data["macs_before"] if key == "before" else data["macs"],
        }
        for key, about in heads
    ]


def _engine_column(data: dict[str, Any]) -> dict[str, Any]:
    sram, flash = data["sram"], data["flash"]
    chosen = [p for p in data["front"] if p["arena"] == data["arena"]["size"]]
    return {
        "head": "scheduled",
        "about": "this result",
        "total": sram["total"],
        "arena": sram["arena"],
        "state": sram["runtime"],
        "stack": sram["stack"],
        "reserve": sram["reserve"] or None,
        "flash": flash["total"],
        "weights": flash["weights"],
        "code": flash["code"],
        "macs": round(data["macs"] * (1 + data["extra_macs"])),
        "work": chosen[0]["instructions"] if chosen else None,
        "instructions": None if data["profile"] is None else data["profile"]["instructions"],
        "estimated": _estimated(data),
    }


def _estimated(data: dict[str, Any]) -> set[str]:
    """Rows of this result's column that were not measured on the target's own code."""
    found: set[str] = {*data["sram"]["estimated"], *data["flash"]["estimated"]}
    totals = {"total": {"arena", "runtime", "stack"}, "flash": {"weights", "code"}}
    rows = {"state" if part == "runtime" else part for part in found}
    return rows | {total for total, parts in totals.items() if parts & found}


def layer_table(data: dict[str, Any]) -> str:
    """Every op: what it is and makes, its MACs, its share of the arena, and its instructions."""
    counted = data["profile"]
    by_index = {} if counted is None else {one["index"]: one for one in counted["layers"]}
    size = max(data["arena"]["size"], 1)
    columns = [
        tables.Column("#", "d"),
        tables.Column("op"),
        tables.Column("input"),
        tables.Column("output"),
        tables.Column("stage", "d", title="ops of one stage run together, band by band"),
        tables.Column("MACs", ","),
        tables.Column("constants", ",", title="bytes of weights and biases in the model"),
        tables.Column("SRAM", ",", title="bytes of the arena that are in use while it runs"),
        tables.Column("of the arena", ".0%", bar=True),
    ]
    if counted is not None:
        columns += [
            tables.Column("instructions", ",", title=f"counted on {counted['emulator']}"),
            tables.Column("share", ".1%", bar=True),
        ]
    columns.append(tables.Column("name"))
    return tables.table(columns, [_layer(one, by_index, size, counted) for one in data["layers"]])


def _layer(one: dict[str, Any], by_index: dict[int, Any], size: int, counted: Any) -> list[Any]:
    row = [
        *(one["index"], one["kind"], ", ".join(map(_shape, one["inputs"])), _shape(one["shape"])),
        *(one["stage"], one["macs"] or None, one["constants"] or None),
        *(one["arena"], one["arena"] / size),
    ]
    if counted is not None:
        measured = by_index.get(one["index"], {})
        row += [measured.get("instructions"), measured.get("share")]
    return [*row, one["name"]]


def _shape(shape: Sequence[int]) -> str:
    """`1×80×80×3` as `80×80×3`: the batch is always 1."""
    return "×".join(map(str, shape[1:] if len(shape) > 1 else shape))


def _chosen(data: dict[str, Any]) -> int | None:
    return data["arena"]["size"] if data["runtime"] == "engine" else None


def front_table(data: dict[str, Any]) -> str:
    """The front's points as a table, the chosen one marked."""
    columns = [
        tables.Column("arena", ",", title="bytes: tensors and kernel scratch"),
        tables.Column("instructions*", ",", title="an estimate, of kernels"),
        tables.Column("extra MACs", ".1%"),
        tables.Column("extra calls", ",", title="kernel calls beyond one an op"),
        tables.Column("moved", ",", title="bytes of rows that move to stay in memory"),
        tables.Column("streamed stages", "d"),
        tables.Column(""),
    ]
    keys = ("arena", "instructions", "extra_macs", "extra_calls", "moved", "streamed_stages")
    rows = [
        [*(point[key] for key in keys), "chosen" if point["arena"] == _chosen(data) else ""]
        for point in data["front"]
    ]
    return tables.table(columns, rows)


def profile_lead(profile: dict[str, Any]) -> str:
    """Where the instructions were counted, and what that may be in cycles."""
    lead = f"{profile['instructions']:,} instructions, counted on {profile['emulator']}"
    estimate = profile["cycles_estimate"]
    return lead if estimate is None else f"{lead}; {estimate_text(estimate)} on {profile['board']}"
