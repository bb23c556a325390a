"""The arena in the report: address against time, for the page's own style and script.

`arena.picture` draws a plan as a file of its own. This one draws a plan's data (`memory.plan_data`)
for a page: colours are the page's, and each buffer carries its figures as data attributes, which
the script shows for the one that is pointed at or that has the keyboard's focus.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..svg import escape, line, round_step, text
from . import tables

_WIDTH, _HEIGHT = 960, 480
_LEFT, _RIGHT, _TOP, _BOTTOM = 76, 12, 40, 52
_LABEL_WIDTH, _LABEL_HEIGHT = 6.8, 13  # pixels of a character of the labels, and of a line
KINDS = {"port": "input or output", "inner": "inner tensor", "scratch": "kernel scratch"}

_Box = tuple[float, float, float, float]


def svg(arena: dict[str, Any]) -> str:
    """The plan as an SVG element to be put into a page."""
    return "\n".join(_lines(arena)) + "\n"


def stage_of(arena: dict[str, Any], buffer: dict[str, Any]) -> int | None:
    """The streamed stage that a buffer lives in, if it lives in one alone."""
    for stage in arena["stages"]:
        if stage["start"] <= buffer["start"] and buffer["stop"] <= stage["stop"]:
            return stage["stage"]
    return None


def lifetime(arena: dict[str, Any], buffer: dict[str, Any]) -> str:
    """`steps 3 to 5`, and the ops that run at the first and the last of them."""
    first, last = buffer["start"], buffer["stop"] - 1
    if first == last:
        return f"step {first} ({_step(arena, first)})"
    return f"steps {first} to {last} ({_step(arena, first)} … {_step(arena, last)})"


def _step(arena: dict[str, Any], step: int) -> str:
    steps = arena["steps"]
    return steps[step] if 0 <= step < len(steps) else "before the model runs"


class _Scale:
    """From steps and bytes to pixels."""

    def __init__(self, arena: dict[str, Any]) -> None:
        self.first = min((b["start"] for b in arena["buffers"]), default=0)
        self.last = max((b["stop"] for b in arena["buffers"]), default=1)
        self.top = max(arena["size"], arena["bound"], 1)

    def x(self, step: float) -> float:
        inside = _WIDTH - _LEFT - _RIGHT
        return _LEFT + inside * (step - self.first) / (self.last - self.first)

    def y(self, address: float) -> float:
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * address / self.top

    def box(self, buffer: dict[str, Any]) -> _Box:
        """Left, top, right and bottom of a buffer."""
        offset = buffer["offset"]
        return (
            self.x(buffer["start"]),
            self.y(offset + buffer["size"]),
            self.x(buffer["stop"]),
            self.y(offset),
        )


def _lines(arena: dict[str, Any]) -> Iterator[str]:
    scale = _Scale(arena)
    yield (
        f'<svg id="arena" class="arena" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="group" '
        f'aria-label="Arena: {len(arena["buffers"])} buffers in {arena["size"]:,} bytes. '
        'Arrow keys go from one to the next.">'
    )
    yield from _stages(arena, scale)
    yield from _axes(scale)
    # Larger first, so that a small buffer that shares a large one's memory stays visible.
    order = sorted(range(len(arena["buffers"])), key=lambda i: (-_area(arena["buffers"][i]), i))
    ranks = {i: rank for rank, i in enumerate(_in_time(arena))}
    for i in order:
        yield _rectangle(arena, arena["buffers"][i], scale, ranks[i])
    yield from _labels([arena["buffers"][i] for i in order], scale)
    y = scale.y(arena["bound"])
    if arena["bound"] < arena["size"]:
        yield line(_LEFT, y, _WIDTH - _RIGHT, y, "bound")
    yield "</svg>"


def _area(buffer: dict[str, Any]) -> int:
    return buffer["size"] * (buffer["stop"] - buffer["start"])


def _in_time(arena: dict[str, Any]) -> list[int]:
    """Positions of the buffers as they begin to live, lower addresses first."""
    buffers = arena["buffers"]
    return sorted(range(len(buffers)), key=lambda i: (buffers[i]["start"], buffers[i]["offset"], i))


def _rectangle(arena: dict[str, Any], buffer: dict[str, Any], scale: _Scale, rank: int) -> str:
    left, top, right, bottom = scale.box(buffer)
    stage = stage_of(arena, buffer)
    facts = {
        "name": buffer["name"],
        "kind": KINDS[buffer["kind"]],
        "bytes": f"{buffer['size']:,} bytes at {buffer['offset']:,}",
        "life": lifetime(arena, buffer),
        "stage": "" if stage is None else f"stage {stage}, streamed",
    }
    data = "".join(f' data-{key}="{escape(value)}"' for key, value in facts.items())
    label = escape("; ".join(value for value in facts.values() if value))
    return (
        f'<rect class="b {buffer["kind"]}" x="{left:.1f}" y="{top:.1f}" '
        f'width="{max(right - left, 0.8):.1f}" height="{max(bottom - top, 0.8):.1f}" '
        f'tabindex="{-1 if rank else 0}" role="img" data-rank="{rank}"{data} aria-label="{label}"/>'
    )


def _labels(buffers: list[dict[str, Any]], scale: _Scale) -> Iterator[str]:
    """Bytes of the buffers, largest first, along or upright; none that would cover another."""
    taken: list[_Box] = []
    for buffer in buffers:
        left, top, right, bottom = scale.box(buffer)
        label = f"{buffer['size']:,}"
        length = len(label) * _LABEL_WIDTH + 4
        x, y = (left + right) / 2, (top + bottom) / 2
        for across, down in ((length, _LABEL_HEIGHT), (_LABEL_HEIGHT, length)):
            box = (x - across / 2, y - down / 2, x + across / 2, y + down / 2)
            fits = across <= right - left and down <= bottom - top
            if fits and not any(_touch(box, other) for other in taken):
                taken.append(box)
                turned = "" if across == length else f' transform="rotate(-90 {x:.1f} {y:.1f})"'
                yield text(x, y + 4, label, "inside", anchor="middle", extra=turned)
                break


def _touch(a: _Box, b: _Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _stages(arena: dict[str, Any], scale: _Scale) -> Iterator[str]:
    """A shade over all addresses for each streamed stage, a bar and its number above."""
    for stage in arena["stages"]:
        left, right = scale.x(stage["start"]), scale.x(stage["stop"])
        height = _HEIGHT - _TOP - _BOTTOM
        yield (
            f'<rect class="shade" x="{left:.1f}" y="{_TOP}" width="{right - left:.1f}" '
            f'height="{height}"/>'
        )
        yield (
            f'<rect class="stage" x="{left + 1:.1f}" y="{_TOP - 9}" '
            f'width="{right - left - 2:.1f}" height="4"/>'
        )
        names = (f"stage {stage['stage']}", str(stage["stage"]))
        name = next((n for n in names if len(n) * _LABEL_WIDTH <= right - left), None)
        if name is not None:
            yield text((left + right) / 2, _TOP - 14, name, "inside", anchor="middle")


def _axes(scale: _Scale) -> Iterator[str]:
    for address in range(0, scale.top + 1, round_step(scale.top / 6)):
        y = scale.y(address)
        yield line(_LEFT, y, _WIDTH - _RIGHT, y, "grid")
        yield text(_LEFT - 8, y + 4, f"{address:,}", anchor="end")
    bottom = _HEIGHT - _BOTTOM
    stride = round_step((scale.last - scale.first) / 16)
    for step in range(scale.first, scale.last):
        if step % stride == 0:
            x = scale.x(step + 0.5)
            yield line(x, bottom, x, bottom + 4, "grid")
            yield text(x, bottom + 18, str(step), anchor="middle")
    middle = (_TOP + bottom) / 2
    turn = f' transform="rotate(-90 14 {middle:.1f})"'
    yield text(14, middle, "address (bytes)", anchor="middle", extra=turn)
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    yield text(middle, _HEIGHT - 12, "step (0: the inputs are written)", anchor="middle")


def buffer_table(arena: dict[str, Any]) -> str:
    """The same buffers as a table."""
    columns = [
        tables.Column("buffer"),
        tables.Column("kind"),
        tables.Column("bytes", ","),
        tables.Column("address", ","),
        tables.Column("first step", "d"),
        tables.Column("last step", "d"),
        tables.Column("stage", "d"),
    ]
    rows = [
        [
            *(b["name"], KINDS[b["kind"]], b["size"], b["offset"], b["start"], b["stop"] - 1),
            stage_of(arena, b),
        ]
        for b in (arena["buffers"][i] for i in _in_time(arena))
    ]
    return tables.table(columns, rows)
