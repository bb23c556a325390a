"""A survey as a picture: how MACs are distributed among the nets that fit, by subspace.

    share |          ___----===    one line a subspace: its colour is of the width, its dashes
     80%  |- - - ---/- - / - - -   of the resolution; the chosen one is thick and solid
          |    _/     __/
          |___/______/________ MACs

The farther right a line crosses 80%, the more MACs the top fifth has. Tooltips have the figures.
The file is self-contained and legible on light and dark pages.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ..svg import escape, line, round_step, text
from .survey import limits_text

if TYPE_CHECKING:
    from .survey import Row, Survey

_WIDTH, _PLOT = 860, 560  # of the picture, and where its axes end
_LEFT, _TOP, _BOTTOM = 64, 44, 58
_LEAST_HEIGHT, _LINE = 400, 17  # pixels; of a line of the legend
_DASHES = ("", "7 3", "2 3", "9 3 2 3", "1 5")
_COLOURS = 6

_STYLE = """\
svg { font: 11px system-ui, sans-serif; }
text { fill: #1c2128; }
.title { font-size: 13px; font-weight: 600; }
.paper { fill: #ffffff; }
.grid { stroke: #d0d7de; stroke-width: 1; }
.axis { stroke: #57606a; stroke-width: 1; }
.level { stroke: #57606a; stroke-width: 1; stroke-dasharray: 4 4; }
.curve { fill: none; stroke-width: 1.5; }
.chosen { stroke-width: 3.5; }
.chosen-text { font-weight: 600; }
.none { fill: #57606a; }
.c0 { stroke: #2f6fb5; }
.c1 { stroke: #b42318; }
.c2 { stroke: #1f7a3d; }
.c3 { stroke: #9a6700; }
.c4 { stroke: #7c3aad; }
.c5 { stroke: #57606a; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .paper { fill: #14181d; }
  .grid { stroke: #3d444d; }
  .axis, .level { stroke: #9aa4af; }
  .none { fill: #9aa4af; }
  .c0 { stroke: #7fb3ef; }
  .c1 { stroke: #ff8a7a; }
  .c2 { stroke: #6fce8a; }
  .c3 { stroke: #e3b341; }
  .c4 { stroke: #c99bf0; }
  .c5 { stroke: #9aa4af; }
}"""


def svg(found: Survey, *, style: bool = True) -> str:
    """The text of an SVG file; `style` False for an element of a page that has these classes."""
    return "\n".join(_lines(found, style)) + "\n"


class _Scale:
    """From MACs and shares to pixels; MACs begin at 0, so that lengths can be compared."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.height = max(_LEAST_HEIGHT, _TOP + _BOTTOM + _LINE * (len(rows) + 2))
        self.most = max(row.macs[-1] for row in rows if row.macs) * 1.04

    def x(self, macs: float) -> float:
        return _LEFT + (_PLOT - _LEFT) * macs / self.most

    def y(self, share: float) -> float:
        return self.height - _BOTTOM - (self.height - _TOP - _BOTTOM) * share


def _lines(found: Survey, style: bool) -> Iterator[str]:
    scale = _Scale(found.rows)
    fitting = sum(1 for row in found.rows if row.macs)
    title = "MACs of the nets that fit"
    label = f"{title}: {fitting} of {len(found.rows)} subspaces; chosen {found.chosen.name}"
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {scale.height}" '
        f'width="{_WIDTH}" height="{scale.height}" role="img" aria-label="{escape(label)}">'
    )
    if style:
        yield f"<style>\n{_STYLE}\n</style>"
    yield f'<rect class="paper" width="{_WIDTH}" height="{scale.height}"/>'
    yield text(_LEFT, 22, f"{title}: {limits_text(found.limits)}", "title")
    yield from _axes(scale)
    looks = _looks(found.rows)
    looks[id(found.chosen)] = (looks[id(found.chosen)][0], "")
    # The chosen one last, so that it lies above the others.
    for row in sorted(found.rows, key=lambda row: row is found.chosen):
        if row.macs:
            yield _curve(row, scale, looks[id(row)], row is found.chosen)
    yield from _legend(found, looks)
    yield "</svg>"


def _looks(rows: Sequence[Row]) -> dict[int, tuple[str, str]]:
    """Colour class and dashes by row: of the first and of the second thing that is fixed."""
    names = list(rows[0].fixed)
    seen: dict[str, list[Any]] = {name: [] for name in names}
    looks = {}
    for row in rows:
        places = [0, 0]
        for axis, name in enumerate(names[:2]):
            if row.fixed[name] not in seen[name]:
                seen[name].append(row.fixed[name])
            places[axis] = seen[name].index(row.fixed[name])
        colour, dashes = f"c{places[0] % _COLOURS}", _DASHES[places[1] % len(_DASHES)]
        looks[id(row)] = (colour, f' stroke-dasharray="{dashes}"' if dashes else "")
    return looks


def _curve(row: Row, scale: _Scale, look: tuple[str, str], chosen: bool) -> str:
    """Stairs: each net is a step up, and the line runs level as far as the next one."""
    path = [f"M{scale.x(row.macs[0]):.1f} {scale.y(0):.1f}"]
    for place, macs in enumerate(row.macs):
        path.append(f"H{scale.x(macs):.1f}V{scale.y((place + 1) / len(row.macs)):.1f}")
    colour, dashes = look
    kinds = f"curve {colour} chosen" if chosen else f"curve {colour}"
    tip = f"<title>{escape(_facts(row))}</title>"
    return f'<path class="{kinds}"{dashes} d="{"".join(path)}">{tip}</path>'


def _facts(row: Row) -> str:
    facts = (
        f"{row.name}\n{len(row.macs)} of {row.sampled} nets fit\n"
        f"a fifth of them have more than {row.quantile(0.8):,} MACs\nmean {row.mean:,.0f} MACs"
    )
    if row.accuracy is not None:
        facts += f"\naccuracy {row.accuracy:.1%}, trained for a while"
    return facts


def _legend(found: Survey, looks: dict[int, tuple[str, str]]) -> Iterator[str]:
    """Best first; those in which nothing fits come last."""
    x, y = _PLOT + 24, _TOP + 8
    measure = "mean" if found.by == "mean" else "80%"
    yield text(x + 34, y, ", ".join(found.rows[0].fixed))
    yield text(_WIDTH - 62, y, "fit", anchor="end")
    yield text(_WIDTH - 12, y, measure, anchor="end")
    ordered = sorted(found.rows, key=lambda r: (r is not found.chosen, -r.score(found.by)))
    for place, row in enumerate(ordered):
        at = y + _LINE * (place + 1)
        colour, dashes = looks[id(row)]
        chosen = row is found.chosen
        kind = "chosen-text" if chosen else "" if row.macs else "none"
        if row.macs:
            thick = " chosen" if chosen else ""
            yield (f'<path class="curve {colour}{thick}"{dashes} d="M{x} {at - 4}H{x + 28}"/>')
        values = ", ".join(str(value) for value in row.fixed.values())
        notes = [] if row.accuracy is None else [f"{row.accuracy:.0%}"]
        notes += ["chosen"] if chosen else []
        yield text(x + 34, at, f"{values} ({', '.join(notes)})" if notes else values, kind)
        yield text(_WIDTH - 62, at, f"{row.fraction:.0%}", kind, anchor="end")
        score = _short(row.score(found.by)) if row.macs else "–"
        yield text(_WIDTH - 12, at, score, kind, anchor="end")


def _axes(scale: _Scale) -> Iterator[str]:
    bottom = scale.y(0)
    for macs in range(0, int(scale.most) + 1, round_step(scale.most / 6)):
        x = scale.x(macs)
        yield line(x, _TOP, x, bottom, "grid")
        yield text(x, bottom + 17, _short(macs), anchor="middle")
    for share in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0):
        y = scale.y(share)
        yield line(_LEFT, y, _PLOT, y, "level" if share == 0.8 else "grid")
        yield text(_LEFT - 8, y + 4, f"{share:.0%}", anchor="end")
    yield line(_LEFT, bottom, _PLOT, bottom, "axis")
    yield text((_LEFT + _PLOT) / 2, scale.height - 18, "MACs of one inference", anchor="middle")
    middle = (_TOP + bottom) / 2
    turned = f' transform="rotate(-90 16 {middle:.1f})"'
    yield text(16, middle, "share of the nets that fit", anchor="middle", extra=turned)


def _short(count: float) -> str:
    """
    >>> _short(2_512_000), _short(80_000), _short(500)
    ('2.51M', '80k', '500')
    """
    for unit, letter in ((1_000_000, "M"), (1_000, "k")):
        if count >= unit:
            return f"{count / unit:.3g}{letter}"
    return f"{count:.3g}"
