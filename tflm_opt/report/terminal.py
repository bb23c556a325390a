"""Tables and lines for standard output: through rich on a terminal, plain in a pipe.

Scripts read what is piped: it has no colours, no frames and no cut cells, whatever the size of
anybody's window. On a terminal NO_COLOR is heeded, and so is TERM=dumb, by plain lines.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.text import Text


def is_rich() -> bool:
    """Whether standard output is a terminal that takes frames and cursor movements."""
    return sys.stdout.isatty() and os.environ.get("TERM", "") not in ("dumb", "")


def show_table(
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: Sequence[int] = (),
    styles: Mapping[str, str] | None = None,
) -> None:
    """Print a table.

    Args:
        right: positions of columns that are aligned to the right.
        styles: rich's style for a cell of the first column, by its text.
    """
    if not is_rich():
        say("\n".join(plain_table(heads, rows, right=right)))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    for position, head in enumerate(heads):
        table.add_column(head, justify="right" if position in right else "left", overflow="fold")
    for row in rows:
        first = Text(row[0], style=(styles or {}).get(row[0], ""))
        table.add_row(first, *map(Text, row[1:]))
    Console(highlight=False).print(table)


def show_summary(text: str) -> None:
    """Print a summary of lines: the same words in a pipe and on a terminal, there with weight.

    Heads and labels are bold; a verdict is green or red, a warning yellow, an estimate dim.
    """
    if not is_rich():
        say(text)
        return
    from rich.console import Console

    Console(highlight=False).print(styled(text), soft_wrap=True)


def styled(text: str) -> Text:
    """The summary with its styles."""
    from rich.text import Text

    made = Text(text)
    for pattern, style in _STYLES:
        made.highlight_regex(pattern, style)
    return made


# Later ones win where they overlap.
_STYLES = (
    (r"(?m)^\S.*?(?=\s{2}|$)", "bold"),
    (r"(?m)^!(.|\n  )*", "not bold yellow"),
    (r"(?m)\(estimate[^)]*\)|^\* .*$", "not bold dim"),
    (r"(?m): fits$|every output byte equals TFLM's|\byes, over.*", "not bold green"),
    (r"(?m)does NOT fit|outputs DIFFER from TFLM's|\bNO$", "not bold red"),
)


def plain_table(
    heads: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()
) -> list[str]:
    """The table's lines, as wide as their longest cells."""
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if position in right else cell.ljust(width)
            for position, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (heads, *rows)
    ]


def say(text: str) -> None:
    """Print a line; what the terminal's encoding lacks becomes a question mark."""
    import click

    encoding = sys.stdout.encoding or "utf-8"
    click.echo(text.encode(encoding, "replace").decode(encoding))
