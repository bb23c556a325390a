"""A picture of a plan: address against time, as SVG text.

One rectangle a buffer: its steps from left to right, its bytes from bottom to top. Colours tell
inputs and outputs (green), inner tensors (blue) and scratch (violet) apart, and a rectangle's
tooltip has name, bytes, place and steps. The file is self-contained, the same for the
same plan, and legible on light and dark pages: it brings a colour scheme for each.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from tflm_opt.arena.lifetimes import SCRATCH
from tflm_opt.arena.plan import Plan
from tflm_opt.arena.problem import Buffer

_WIDTH = 960
_HEIGHT = 480
_LEFT, _RIGHT, _TOP, _BOTTOM = 84, 150, 44, 58
_LABEL_WIDTH = 6.2  # pixels a character of the labels takes

# Plain rules, one set a scheme: not every viewer knows CSS variables.
_STYLE = """\
svg { font: 11px system-ui, sans-serif; }
text { fill: #1c2128; }
.title { font-size: 13px; font-weight: 600; }
.paper { fill: #ffffff; }
.grid { stroke: #d0d7de; stroke-width: 1; }
.b { stroke: #1c2128; stroke-width: 0.7; fill-opacity: 0.8; }
.inner { fill: #9ec5f4; }
.port { fill: #8fd19e; }
.scratch { fill: #e3b7f0; }
.peak { stroke: #b42318; stroke-width: 1.5; }
.bound { stroke: #57606a; stroke-width: 1.5; stroke-dasharray: 5 4; }
.peak-text { fill: #b42318; }
.bound-text { fill: #57606a; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .paper { fill: #14181d; }
  .grid { stroke: #3d444d; }
  .b { stroke: #e6edf3; }
  .inner { fill: #2f5d94; }
  .port { fill: #2f7044; }
  .scratch { fill: #6f4382; }
  .peak { stroke: #ff8a7a; }
  .bound { stroke: #9aa4af; }
  .peak-text { fill: #ff8a7a; }
  .bound-text { fill: #9aa4af; }
}
.name { pointer-events: none; }"""


def svg(plan: Plan) -> str:
    """The plan as the text of an SVG file.

    Example:
        >>> Path("plan.svg").write_text(svg(plan), "utf-8")
    """
    return "\n".join(_lines(plan)) + "\n"


class _Scale:
    """From steps and bytes to pixels."""

    def __init__(self, plan: Plan) -> None:
        buffers = plan.problem.buffers
        self.first = min((b.start for b in buffers), default=0)
        self.last = max((b.stop for b in buffers), default=1)
        self.top = max(plan.peak, plan.bound, 1)

    def x(self, step: float) -> float:
        inside = _WIDTH - _LEFT - _RIGHT
        return _LEFT + inside * (step - self.first) / (self.last - self.first)

    def y(self, address: float) -> float:
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * address / self.top


def _lines(plan: Plan) -> Iterator[str]:
    scale = _Scale(plan)
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'width="{_WIDTH}" height="{_HEIGHT}" role="img" '
        f'aria-label="Arena plan: peak {plan.peak} bytes, lower bound {plan.bound} bytes">'
    )
    yield f"<style>\n{_STYLE}\n</style>"
    yield f'<rect class="paper" width="{_WIDTH}" height="{_HEIGHT}"/>'
    runtime = "the engine" if plan.target == "engine" else "TFLM"
    yield _text(_LEFT, 22, f"Arena for {runtime}: {plan.peak:,} bytes", "title")
    yield from _address_axis(scale)
    yield from _time_axis(plan, scale)
    kinds = _kinds(plan)
    # Larger first, so that a small buffer that shares a large one's memory stays visible.
    for index in sorted(kinds, key=lambda i: (-_area(plan.problem.buffers[i]), i)):
        yield _rectangle(plan, scale, index, kinds[index])
    for index in kinds:
        yield from _label(plan, scale, index)
    yield from _limit(plan.peak, "peak", 4, scale)
    yield from _limit(plan.bound, "bound", 16 if plan.bound == plan.peak else 4, scale)
    yield "</svg>"


def _area(buffer: Buffer) -> int:
    return buffer.size * (buffer.stop - buffer.start)


def _kinds(plan: Plan) -> dict[int, str]:
    """The colour of every buffer that has bytes."""
    kinds = {}
    for index, buffer in enumerate(plan.problem.buffers):
        if buffer.size:
            kind = "port" if index in plan.ports else "inner"
            kinds[index] = "scratch" if buffer.name.startswith(SCRATCH) else kind
    return kinds


def _rectangle(plan: Plan, scale: _Scale, index: int, kind: str) -> str:
    buffer, offset = plan.problem.buffers[index], plan.places[index]
    left, right = scale.x(buffer.start), scale.x(buffer.stop)
    top, bottom = scale.y(offset + buffer.size), scale.y(offset)
    last = buffer.stop - 1
    steps = f"step {last}" if last == buffer.start else f"steps {buffer.start} to {last}"
    tip = f"{buffer.name}\n{buffer.size:,} bytes at {offset:,}\n{steps}"
    return (
        f'<rect class="b {kind}" x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" '
        f'height="{bottom - top:.1f}"><title>{_escape(tip)}</title></rect>'
    )


def _label(plan: Plan, scale: _Scale, index: int) -> Iterator[str]:
    """The buffer's bytes, in the part of its rectangle that later buffers leave free."""
    buffer, offset = plan.problem.buffers[index], plan.places[index]
    label = f"{buffer.size:,}"
    step = (scale.x(1) - scale.x(0)) * (buffer.stop - buffer.start)
    height = scale.y(offset) - scale.y(offset + buffer.size)
    if height >= 12 and step >= len(label) * _LABEL_WIDTH + 4:
        x = scale.x(buffer.start) + len(label) * _LABEL_WIDTH / 2 + 3
        yield _text(x, scale.y(offset + buffer.size / 2) + 4, label, "name", anchor="middle")


def _address_axis(scale: _Scale) -> Iterator[str]:
    step = _round_step(scale.top / 6)
    for address in range(0, scale.top + 1, step):
        y = scale.y(address)
        yield _line(_LEFT, y, _WIDTH - _RIGHT, y, "grid")
        yield _text(_LEFT - 8, y + 4, f"{address:,}", anchor="end")
    middle = (_TOP + _HEIGHT - _BOTTOM) / 2
    yield (
        f'<text x="16" y="{middle:.1f}" text-anchor="middle" '
        f'transform="rotate(-90 16 {middle:.1f})">address (bytes)</text>'
    )


def _round_step(raw: float) -> int:
    """1, 2 or 5 times a power of ten, not below `raw`."""
    power = 1
    while power * 10 < raw:
        power *= 10
    return next(power * k for k in (1, 2, 5, 10) if power * k >= raw)


def _time_axis(plan: Plan, scale: _Scale) -> Iterator[str]:
    y = _HEIGHT - _BOTTOM
    stride = _round_step((scale.last - scale.first) / 16)
    for step in range(scale.first, scale.last):
        centre = scale.x(step + 0.5)
        name = plan.steps[step] if 0 <= step < len(plan.steps) else "before the model runs"
        tip = _escape(f"step {step}: {name}")
        yield (
            f'<rect x="{scale.x(step):.1f}" y="{y}" width="{scale.x(1) - scale.x(0):.1f}" '
            f'height="22" fill-opacity="0"><title>{tip}</title></rect>'
        )
        if step % stride == 0:
            yield _line(centre, y, centre, y + 4, "grid")
            yield _text(centre, y + 17, str(step), anchor="middle", extra=' pointer-events="none"')
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    yield _text(middle, _HEIGHT - 18, "step (0: the inputs are written)", anchor="middle")


def _limit(size: int, kind: str, below: int, scale: _Scale) -> Iterator[str]:
    y = scale.y(size)
    word = "peak" if kind == "peak" else "lower bound"
    yield _line(_LEFT, y, _WIDTH - _RIGHT, y, kind)
    yield _text(_WIDTH - _RIGHT + 6, y + below, f"{word} {size:,}", f"{kind}-text")


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(
    x: float, y: float, text: str, kind: str = "", *, anchor: str = "", extra: str = ""
) -> str:
    styled = f' class="{kind}"' if kind else ""
    placed = f' text-anchor="{anchor}"' if anchor else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{styled}{placed}{extra}>{_escape(text)}</text>'


def _escape(text: str) -> str:
    """Text that XML takes: tensor names may hold anything, control characters and halves too."""
    legal = (
        c if c in "\n\t" or (c >= " " and not "\ud800" <= c <= "\udfff") else "?" for c in text
    )
    return escape("".join(c if c not in "\ufffe\uffff" else "?" for c in legal))
