"""The front as a picture: arena against estimated work, as SVG text.

    work |o                        o  the least that any schedule was found to need
         | \\__o                    (o) the one that was chosen
         |     \\____o              []  layer by layer
         |           \\________[]
         +------------------------ arena

Every point is a schedule that was planned, and the stairs between them say what a budget buys:
the fastest schedule that fits it. Tooltips have all figures. The file is self-contained, the same
for the same front, and legible on light and dark pages.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from ..svg import escape, line, round_step, text

_WIDTH, _HEIGHT = 720, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 84, 40, 44, 58
_HEADROOM = 1.06  # above the highest point, and right of the last one
_LABEL_WIDTH, _LABEL_HEIGHT = 6.2, 13  # pixels of a character, and of a line
_RADIUS = 4.5

_STYLE = """\
svg { font: 11px system-ui, sans-serif; }
text { fill: #1c2128; }
.title { font-size: 13px; font-weight: 600; }
.paper { fill: #ffffff; }
.grid { stroke: #d0d7de; stroke-width: 1; }
.axis { stroke: #57606a; stroke-width: 1; }
.stairs { fill: none; stroke: #2f6fb5; stroke-width: 1.5; }
.point { fill: #9ec5f4; stroke: #1c2128; stroke-width: 1; }
.plain { fill: #8fd19e; }
.chosen { fill: none; stroke: #b42318; stroke-width: 2; }
.chosen-text { fill: #b42318; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .paper { fill: #14181d; }
  .grid { stroke: #3d444d; }
  .axis { stroke: #9aa4af; }
  .stairs { stroke: #7fb3ef; }
  .point { fill: #2f5d94; stroke: #e6edf3; }
  .plain { fill: #2f7044; }
  .chosen { fill: none; stroke: #ff8a7a; }
  .chosen-text { fill: #ff8a7a; }
}"""


def svg(
    points: Sequence[dict[str, Any]],
    *,
    chosen: int | None = None,
    name: str = "",
    style: bool = True,
) -> str:
    """The front as the text of an SVG file.

    Example:
        >>> Path("front.svg").write_text(svg(data["front"], chosen=data["sram"]["arena"]), "utf-8")

    Args:
        points: as `data.point_data` makes them and `tradeoffs --json` prints them, in any order.
        chosen: bytes of arena of the point to be marked.
        name: of the model, for the title.
        style: False for an element of a page that has these classes in its own style.
    """
    return "\n".join(_lines(points, chosen, name, style)) + "\n"


class _Scale:
    """From bytes and instructions to pixels; both axes begin at 0, so lengths can be compared."""

    def __init__(self, points: Sequence[dict[str, Any]]) -> None:
        self.most = max(*(p["arena"] for p in points), 1, 1) * _HEADROOM
        self.work = max(*(p["instructions"] for p in points), 1, 1) * _HEADROOM

    def x(self, arena: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * arena / self.most

    def y(self, work: float) -> float:
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * work / self.work


def _lines(
    points: Sequence[dict[str, Any]], chosen: int | None, name: str, style: bool
) -> Iterator[str]:
    ordered = sorted(points, key=lambda p: (p["arena"], p["instructions"]))
    scale = _Scale(ordered)
    least = f", from {ordered[0]['arena']:,} bytes" if ordered else ""
    title = f"{name}: arena against work" if name else "Arena against work"
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'width="{_WIDTH}" height="{_HEIGHT}" role="img" '
        f'aria-label="{escape(title)}, {len(ordered)} schedules{least}">'
    )
    if style:
        yield f"<style>\n{_STYLE}\n</style>"
    yield f'<rect class="paper" width="{_WIDTH}" height="{_HEIGHT}"/>'
    yield text(_LEFT, 22, title, "title")
    yield from _arena_axis(scale)
    yield from _work_axis(scale)
    if ordered:
        yield f'<path class="stairs" d="{_stairs(ordered, scale)}"/>'
    for point in ordered:
        yield _mark(point, scale, point["arena"] == chosen)
    yield from _labels(ordered, chosen, scale)
    yield "</svg>"


def _stairs(ordered: Sequence[dict[str, Any]], scale: _Scale) -> str:
    """From the least arena on: as far as a budget reaches the next point, then down to it."""
    first = ordered[0]
    parts = [f"M{scale.x(first['arena']):.1f} {scale.y(first['instructions']):.1f}"]
    for _, point in pairwise(ordered):
        parts.append(f"H{scale.x(point['arena']):.1f}V{scale.y(point['instructions']):.1f}")
    return "".join(parts) + f"H{scale.x(scale.most):.1f}"


def _mark(point: dict[str, Any], scale: _Scale, chosen: bool) -> str:
    """A circle, or a square where no stage runs band by band; a ring around the chosen one."""
    x, y = scale.x(point["arena"]), scale.y(point["instructions"])
    tip = f"<title>{escape(_facts(point))}</title>"
    side = 2 * _RADIUS
    if _plain(point):
        mark = (
            f'<rect class="point plain" x="{x - _RADIUS:.1f}" y="{y - _RADIUS:.1f}" '
            f'width="{side:g}" height="{side:g}">{tip}</rect>'
        )
    else:
        mark = f'<circle class="point" cx="{x:.1f}" cy="{y:.1f}" r="{_RADIUS}">{tip}</circle>'
    ring = f'<circle class="chosen" cx="{x:.1f}" cy="{y:.1f}" r="{side:g}"/>' if chosen else ""
    return mark + ring


def _plain(point: dict[str, Any]) -> bool:
    return not point["streamed_stages"]


def _facts(point: dict[str, Any]) -> str:
    count = point["streamed_stages"]
    stages = "1 stage runs" if count == 1 else f"{count} stages run"
    return (
        f"{point['arena']:,} bytes of arena\n{point['instructions']:,} instructions (estimated)\n"
        f"{point['extra_macs']:.1%} extra MACs\n{point['extra_calls']:,} more kernel calls, "
        f"{point['moved']:,} bytes moved\n{stages} band by band"
    )


_Box = tuple[float, float, float, float]


def _labels(ordered: Sequence[dict[str, Any]], chosen: int | None, scale: _Scale) -> Iterator[str]:
    """Bytes of the points, those with a name first, where they cover no mark and no other label."""
    places = {id(p): (scale.x(p["arena"]), scale.y(p["instructions"])) for p in ordered}
    taken = [(x - 6, y - 6, x + 6, y + 6) for x, y in places.values()]
    named = {id(p): _named(p, ordered, chosen) for p in ordered}
    for point in sorted(ordered, key=lambda p: not named[id(p)]):
        words = f"{point['arena']:,}{named[id(point)]}"
        if point["extra_macs"]:
            words += f" (+{point['extra_macs']:.1%} MACs)"
        x, y = places[id(point)]
        heights = (9, 24, -18) if named[id(point)] else (9,)
        box = _free(x, y, len(words) * _LABEL_WIDTH, heights, taken)
        if box is not None:
            taken.append(box)
            kind = "chosen-text" if point["arena"] == chosen else ""
            at, anchor = (box[0], "") if box[0] > x else (box[2], "end")
            yield text(at, box[3] - 2, words, kind, anchor=anchor)


def _free(
    x: float, y: float, width: float, heights: Sequence[int], taken: Sequence[_Box]
) -> _Box | None:
    """Room for a label at one of some heights above a mark, right or left of it."""
    for up in heights:
        for left in (x + 9, x - 9 - width):
            box = (left, y - up - _LABEL_HEIGHT, left + width, y - up)
            inside = box[0] >= _LEFT and box[2] <= _WIDTH and box[3] <= _HEIGHT - _BOTTOM
            if inside and not any(_touch(box, other) for other in taken):
                return box
    return None


def _touch(a: _Box, b: _Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _named(point: dict[str, Any], ordered: Sequence[dict[str, Any]], chosen: int | None) -> str:
    """What a point is called beside its bytes."""
    words = [
        word
        for word, holds in (
            ("chosen", point["arena"] == chosen),
            ("layer by layer", _plain(point)),
            ("least", point is ordered[0] and len(ordered) > 1),
        )
        if holds
    ]
    return f" {', '.join(words)}" if words else ""


def _arena_axis(scale: _Scale) -> Iterator[str]:
    bottom = _HEIGHT - _BOTTOM
    for arena in range(0, int(scale.most) + 1, round_step(scale.most / 7)):
        x = scale.x(arena)
        yield line(x, _TOP, x, bottom, "grid")
        yield text(x, bottom + 17, f"{arena:,}", anchor="middle")
    yield line(_LEFT, bottom, _WIDTH - _RIGHT, bottom, "axis")
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    yield text(middle, _HEIGHT - 18, "arena: tensors and kernel scratch (bytes)", anchor="middle")


def _work_axis(scale: _Scale) -> Iterator[str]:
    for work in range(0, int(scale.work) + 1, round_step(scale.work / 6)):
        y = scale.y(work)
        yield line(_LEFT, y, _WIDTH - _RIGHT, y, "grid")
        yield text(_LEFT - 8, y + 4, _short(work), anchor="end")
    middle = (_TOP + _HEIGHT - _BOTTOM) / 2
    turned = f' transform="rotate(-90 16 {middle:.1f})"'
    words = "instructions of its kernels (estimate)"
    yield text(16, middle, words, anchor="middle", extra=turned)


def _short(count: int) -> str:
    """
    >>> _short(2_500_000), _short(80_000), _short(500)
    ('2.5M', '80k', '500')
    """
    for unit, letter in ((1_000_000, "M"), (1_000, "k")):
        if count >= unit:
            return f"{count / unit:g}{letter}"
    return str(count)
