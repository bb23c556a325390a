"""Tables as HTML: sortable, with bars for shares, in a page that needs nothing from outside.

    page("digits", [("Layers", table(columns, rows))], lead="3 layers")

`table` gives a fragment for any page that has `STYLE` and `SCRIPT`; `page` is a whole one, legible
in light and dark. A click on a head sorts by that column, a second one the other way round; without
scripts the rows stay as they were given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..svg import escape

STYLE = """\
:root { color-scheme: light dark; --ink: #1c2128; --paper: #ffffff; --faint: #57606a;
        --line: #d0d7de; --bar: #9ec5f4; --hover: #f3f6f9; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --paper: #14181d; --faint: #9aa4af; --line: #3d444d; --bar: #2f5d94;
          --hover: #1d242c; }
}
body { margin: 2rem auto; max-width: 76rem; padding: 0 1rem; color: var(--ink);
       background: var(--paper); font: 14px/1.45 system-ui, sans-serif; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
p.note { color: var(--faint); }
div.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 0.2rem 0.7rem; border-bottom: 1px solid var(--line); text-align: left;
         white-space: nowrap; }
th.number, td.number { text-align: right; }
th button { all: unset; cursor: pointer; font-weight: 600; }
th button:focus-visible { outline: 2px solid var(--bar); }
th[aria-sort=ascending] button::after { content: " \\2191"; }
th[aria-sort=descending] button::after { content: " \\2193"; }
tbody tr:hover { background: var(--hover); }
td.bar { background: linear-gradient(to left, var(--bar) calc(var(--share) * 100%), #0000 0); }
"""

SCRIPT = """\
document.querySelectorAll("table.sortable").forEach(table => {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const number = head.classList.contains("number");
    const before = head.getAttribute("aria-sort");
    const down = before ? before === "ascending" : number;
    heads.forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const key = row => {
      const text = row.cells[column].dataset.value ?? row.cells[column].textContent;
      return number ? (text === "" ? -Infinity : Number(text)) : text;
    };
    const order = (a, b) => { const x = key(a), y = key(b); return x < y ? -1 : x > y ? 1 : 0; };
    const rows = [...table.tBodies[0].rows].sort((a, b) => down ? order(b, a) : order(a, b));
    table.tBodies[0].append(...rows);
  }));
});
"""


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its head, and how its numbers are written.

    Attributes:
        form: a format for numbers, ",.0f"; "" for words.
        bar: whether a bar behind the number shows it as a share of 1.
        title: what it means, shown when pointed at.
    """

    head: str
    form: str = ""
    bar: bool = False
    title: str = ""


def table(columns: Sequence[Column], rows: Sequence[Sequence[Any]]) -> str:
    """A sortable table as HTML; None is an empty cell."""
    heads = "".join(_head(column) for column in columns)
    body = "\n".join(
        f"<tr>{''.join(_cell(c, v) for c, v in zip(columns, row, strict=True))}</tr>"
        for row in rows
    )
    return (
        '<div class="scroll"><table class="sortable">\n'
        f"<thead><tr>{heads}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table></div>\n"
    )


def _head(column: Column) -> str:
    kind = ' class="number"' if column.form else ""
    title = f' title="{escape(column.title)}"' if column.title else ""
    return f'<th scope="col"{kind}{title}><button>{escape(column.head)}</button></th>'


def _cell(column: Column, value: Any) -> str:
    if not column.form:
        return f"<td>{escape('' if value is None else str(value))}</td>"
    if value is None:
        return '<td class="number" data-value=""></td>'
    bar = f' style="--share: {min(max(value, 0.0), 1.0):.4f}"' if column.bar else ""
    kind = "number bar" if column.bar else "number"
    return f'<td class="{kind}"{bar} data-value="{value!r}">{format(value, column.form)}</td>'


def page(
    title: str, sections: Sequence[tuple[str, str]], *, lead: str = "", notes: Sequence[str] = ()
) -> str:
    """A page with a heading for each of the sections, (heading, HTML); lead and notes are text."""
    body = "".join(f"<h2>{escape(head)}</h2>\n{html}" for head, html in sections)
    below = "".join(f'<p class="note">{escape(note)}</p>\n' for note in notes)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{escape(title)}</h1>\n<p>{escape(lead)}</p>\n{body}{below}"
        f"<script>\n{SCRIPT}</script>\n</body>\n</html>\n"
    )
