"""The few SVG elements that our pictures are made of, as text."""

from __future__ import annotations

from html import escape as _entities


def text(
    x: float, y: float, words: str, kind: str = "", *, anchor: str = "", extra: str = ""
) -> str:
    """Words at a place: `text(8, 20, "peak", "title", anchor="end")`."""
    styled = f' class="{kind}"' if kind else ""
    placed = f' text-anchor="{anchor}"' if anchor else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{styled}{placed}{extra}>{escape(words)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    """A line of a class: `line(0, 0, 10, 0, "grid")`."""
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def escape(words: str) -> str:
    """Text that XML takes: tensor names may hold anything, control characters and halves too."""
    legal = (
        c if c in "\n\t" or (c >= " " and not "\ud800" <= c <= "\udfff") else "?" for c in words
    )
    return _entities("".join(c if c not in "\ufffe\uffff" else "?" for c in legal))


def round_step(raw: float) -> int:
    """1, 2 or 5 times a power of ten, not below `raw`: the distance of an axis's marks.

    >>> round_step(320)
    500
    """
    power = 1
    while power * 10 < raw:
        power *= 10
    return next(power * k for k in (1, 2, 5, 10) if power * k >= raw)
