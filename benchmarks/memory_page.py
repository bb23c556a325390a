"""The table that `memory.py` prints, and the page that it writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Row = dict[str, Any]
COLUMNS = (
    "model", "input", "arena", "extra MACs", "goal", "bound", "fastest", "others", "seconds",
)  # fmt: skip

INTRODUCTION = """\
# Arena beside others

Made by

    {command}

not by hand. All figures are bytes of arena. Ours hold all activations and all kernel scratch,
planned to the byte; with a *resident* input the whole input tensor is among them, with a *streamed*
one only the rows in use. `optimize` builds such schedules and checks every output byte against
TFLM.

- **goal**: what this project set out to reach; with more extra MACs than 0 where a row allows them.
- **bound**: what the worst stage needs alone, proved of its plan; of all cuts, bands, columns and
  strips that the search knows, with the ops in this order, none needs less.
- **fastest**: the schedule of least estimated work; with a resident input, layer by layer.
- **others**: TFLM with CMSIS-NN (tensors and persistent state, measured); TinyEngine and X-CUBE-AI
  (from TinyEngine's README, thousands of bytes); TinyTS (arenas in its published code, HPCA 2024);
  MCUNetV2 (its paper, 2021, at +3% to +10%); msf-CNN (NeurIPS 2025: analytic, for a net of the same
  shape). MCUNetV2 and msf-CNN leave the input out, and recompute as much as stands beside them.
- **seconds**: of the processor, for the search.
"""


def page(rows: Sequence[Row], command: str) -> str:
    """Markdown: how it was made, the table, what binds, and which goals are out of reach."""
    parts = [INTRODUCTION.format(command=command), table(rows), "", "## What binds", ""]
    parts += [_binding(row) for row in rows if row["binding"]]
    parts += ["", "## Goals that were not reached", ""]
    parts += [_missed(row) for row in rows if _misses(row)] or ["None."]
    return "\n".join(parts) + "\n"


def table(rows: Sequence[Row]) -> str:
    """A Markdown table, and a line for each input that can't be streamed."""
    cells = [_cells(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(COLUMNS, *cells, strict=True)]

    def line(texts: Sequence[str]) -> str:
        return "| " + " | ".join(t.ljust(w) for t, w in zip(texts, widths, strict=True)) + " |"

    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    notes = [f"{row['model']}, {row['input']}: {row['reason']}" for row in rows if row["reason"]]
    return "\n".join([line(COLUMNS), rule, *map(line, cells), *([""] if notes else []), *notes])


def _cells(row: Row) -> list[str]:
    others = "; ".join(_peer(peer) for peer in row["peers"])
    extra = "–" if row["extra_macs"] is None else f"{row['extra_macs']:.1%}"
    if row["max_extra_macs"] and row["extra_macs"] is not None:
        extra += f" of {row['max_extra_macs']:.0%}"
    goal = _bytes(row["goal"]) + (" missed" if _misses(row) else "")
    figures = [_bytes(row[name]) for name in ("bound", "fastest")]
    return [
        row["model"],
        row["input"],
        _bytes(row["arena"]),
        extra,
        goal,
        *figures,
        others or "–",
        f"{row['seconds']}",
    ]


def _bytes(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"


def _peer(peer: dict[str, Any]) -> str:
    extra = f" at +{peer['extra_macs']:.0%}" if peer["extra_macs"] else ""
    return f"{peer['tool']} {peer['arena']:,}{extra}"


def _misses(row: Row) -> bool:
    return row["goal"] is not None and (row["arena"] is None or row["arena"] > row["goal"])


def _binding(row: Row) -> str:
    what = row["binding"]
    # Converters name a tensor after all layers that went into it; the first one will do here.
    buffers = [buffer.partition(";")[0] for buffer in what["buffers"]]
    return f"- {_name(row)}: {what['stage']}: {'; '.join(buffers)}."


def _name(row: Row) -> str:
    limit = f", up to {row['max_extra_macs']:.0%} extra MACs" if row["max_extra_macs"] else ""
    return f"{row['model']}, {row['input']}{limit}"


def _missed(row: Row) -> str:
    """By how much, and whether the bound says that it can't be."""
    if row["arena"] is None:
        return f"- {_name(row)}: {row['reason']}."
    short = f"- {_name(row)}: {row['arena']:,} is {row['arena'] - row['goal']:,} too many"
    stage, alive = row["binding"]["stage"], row["binding"]["alive"]
    if alive is not None and alive > row["goal"]:
        return (
            f"{short}. Every schedule has a stage that begins with the first op. Whichever ops it "
            f"holds, at least {alive:,} bytes are alive at once when its rows are made one by one "
            "and nothing is computed twice, wherever they lie: rows of its input that are still to "
            "be read, rows of its result, rows inside that are read again. What binds is "
            f"{stage}; the search knows no cuts that need less than {row['bound']:,}."
        )
    if row["bound"] > row["goal"]:
        return f"{short}. The bound stops it: {stage} needs {row['bound']:,} in its best way."
    return f"{short}. The bound of {row['bound']:,} would allow it; what binds is {stage}."
