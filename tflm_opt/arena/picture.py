"""A picture of a plan: address against time, as SVG text.

One rectangle a buffer: its steps from left to right, its bytes from bottom to top. Colours tell
inputs and outputs (green), inner tensors (blue) and scratch (violet) apart, a bar with its number
above and a shade behind span the ops of each streamed stage, and tooltips have names, bytes,
places and steps. The file is self-contained, the same for the same plan, and legible on light and
dark pages: it brings a colour scheme for each.
"""

from __future__ import annotations

from collections.abc import Iterator

from tflm_opt.arena.lifetimes import SCRATCH
from tflm_opt.arena.plan import Plan
from tflm_opt.arena.problem import Buffer
from tflm_opt.patch_split.schedule import Stage
from tflm_opt.svg import escape, line, round_step, text

_WIDTH = 960
_HEIGHT = 480
_LEFT, _RIGHT, _TOP, _BOTTOM = 84, 150, 44, 58
_LABEL_WIDTH = 6.2  # pixels a character of the labels takes
_LABEL_HEIGHT = 12
_LEGEND = (("port", "input, output"), ("inner", "inner tensor"), ("scratch", "kernel scratch"))

# Plain rules, one set a scheme: not every viewer knows CSS variables.
_STYLE = """\
svg { font: 11px system-ui, sans-serif; }
text { fill: #1c2128; }
.title { font-size: 13px; font-weight: 600; }
.paper { fill: #ffffff; }
.grid { stroke: #d0d7de; stroke-width: 1; }
.b, .key { stroke: #1c2128; stroke-width: 0.7; fill-opacity: 0.8; }
.inner { fill: #9ec5f4; }
.port { fill: #8fd19e; }
.scratch { fill: #e3b7f0; }
.stage { fill: #8250df; }
.shade { fill: #8250df; fill-opacity: 0.08; }
.peak { stroke: #b42318; stroke-width: 1.5; }
.bound { stroke: #57606a; stroke-width: 1.5; stroke-dasharray: 5 4; }
.peak-text { fill: #b42318; }
.bound-text { fill: #57606a; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .paper { fill: #14181d; }
  .grid { stroke: #3d444d; }
  .b, .key { stroke: #e6edf3; }
  .inner { fill: #2f5d94; }
  .port { fill: #2f7044; }
  .scratch { fill: #6f4382; }
  .stage { fill: #b392f0; }
  .shade { fill: #b392f0; }
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
    yield text(_LEFT, 22, f"Arena for {runtime}: {plan.peak:,} bytes", "title")
    yield from _shades(plan, scale)
    yield from _address_axis(scale)
    yield from _time_axis(plan, scale)
    kinds = _kinds(plan)
    # Larger first, so that a small buffer that shares a large one's memory stays visible.
    for index in sorted(kinds, key=lambda i: (-_area(plan.problem.buffers[i]), i)):
        yield _rectangle(plan, scale, index, kinds[index])
    yield from _labels(plan, scale, kinds)
    yield from _stages(plan, scale)
    yield from _legend(plan, kinds)
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
        f'height="{bottom - top:.1f}"><title>{escape(tip)}</title></rect>'
    )


def _labels(plan: Plan, scale: _Scale, kinds: dict[int, str]) -> Iterator[str]:
    """Bytes of the buffers, largest first, along or upright; none that would cover another."""
    taken: list[tuple[float, float, float, float]] = []
    for index in sorted(kinds, key=lambda i: (-_area(plan.problem.buffers[i]), i)):
        buffer, offset = plan.problem.buffers[index], plan.places[index]
        label = f"{buffer.size:,}"
        length = len(label) * _LABEL_WIDTH + 4
        x, y = scale.x((buffer.start + buffer.stop) / 2), scale.y(offset + buffer.size / 2)
        width = scale.x(buffer.stop) - scale.x(buffer.start)
        height = scale.y(offset) - scale.y(offset + buffer.size)
        for across, down in ((length, _LABEL_HEIGHT), (_LABEL_HEIGHT, length)):
            box = (x - across / 2, y - down / 2, x + across / 2, y + down / 2)
            if across <= width and down <= height and not any(_touch(box, t) for t in taken):
                taken.append(box)
                turned = "" if across == length else f' transform="rotate(-90 {x:.1f} {y:.1f})"'
                yield text(x, y + 4, label, "name", anchor="middle", extra=turned)
                break


def _touch(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _stages(plan: Plan, scale: _Scale) -> Iterator[str]:
    """A bar over the ops of each stage that runs band by band, and its number where it fits."""
    for number, stage, first, last in _banded(plan):
        left, right = scale.x(first) + 1, scale.x(last) - 1
        tip = f"stage {number}: {len(stage.ops)} ops, row by row (band {stage.band})"
        yield (
            f'<rect class="stage" x="{left:.1f}" y="{_TOP - 9}" width="{right - left:.1f}" '
            f'height="4"><title>{escape(tip)}</title></rect>'
        )
        names = (f"stage {number}", str(number))
        name = next((n for n in names if len(n) * _LABEL_WIDTH <= right - left), None)
        if name is not None:
            yield text((left + right) / 2, _TOP - 12, name, "name", anchor="middle")


def _shades(plan: Plan, scale: _Scale) -> Iterator[str]:
    """The steps of each such stage, over all addresses."""
    for _, _, first, last in _banded(plan):
        left, right = scale.x(first), scale.x(last)
        yield (
            f'<rect class="shade" x="{left:.1f}" y="{_TOP}" width="{right - left:.1f}" '
            f'height="{_HEIGHT - _TOP - _BOTTOM}"/>'
        )


def _banded(plan: Plan) -> Iterator[tuple[int, Stage, int, int]]:
    """(number, stage, first step, the step after its last) of stages that run band by band."""
    step = 1
    for number, stage in enumerate(plan.schedule.stages):
        if stage.band is not None:
            yield number, stage, step, step + len(stage.ops)
        step += len(stage.ops)


def _legend(plan: Plan, kinds: dict[int, str]) -> Iterator[str]:
    """What the colours mean, of those that are in the picture."""
    rows = [(f"key {kind}", word) for kind, word in _LEGEND if kind in kinds.values()]
    if any(stage.band is not None for stage in plan.schedule.stages):
        rows.append(("stage", "streamed stage"))
    x = _WIDTH - _RIGHT + 6
    for row, (kind, word) in enumerate(rows):
        y = _TOP + 46 + 18 * row
        yield f'<rect class="{kind}" x="{x}" y="{y}" width="12" height="10"/>'
        yield text(x + 18, y + 9, word)


def _address_axis(scale: _Scale) -> Iterator[str]:
    step = round_step(scale.top / 6)
    for address in range(0, scale.top + 1, step):
        y = scale.y(address)
        yield line(_LEFT, y, _WIDTH - _RIGHT, y, "grid")
        yield text(_LEFT - 8, y + 4, f"{address:,}", anchor="end")
    middle = (_TOP + _HEIGHT - _BOTTOM) / 2
    yield (
        f'<text x="16" y="{middle:.1f}" text-anchor="middle" '
        f'transform="rotate(-90 16 {middle:.1f})">address (bytes)</text>'
    )


def _time_axis(plan: Plan, scale: _Scale) -> Iterator[str]:
    y = _HEIGHT - _BOTTOM
    stride = round_step((scale.last - scale.first) / 16)
    for step in range(scale.first, scale.last):
        centre = scale.x(step + 0.5)
        name = plan.steps[step] if 0 <= step < len(plan.steps) else "before the model runs"
        tip = escape(f"step {step}: {name}")
        yield (
            f'<rect x="{scale.x(step):.1f}" y="{y}" width="{scale.x(1) - scale.x(0):.1f}" '
            f'height="22" fill-opacity="0"><title>{tip}</title></rect>'
        )
        if step % stride == 0:
            yield line(centre, y, centre, y + 4, "grid")
            yield text(centre, y + 17, str(step), anchor="middle", extra=' pointer-events="none"')
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    yield text(middle, _HEIGHT - 18, "step (0: the inputs are written)", anchor="middle")


def _limit(size: int, kind: str, below: int, scale: _Scale) -> Iterator[str]:
    y = scale.y(size)
    word = "peak" if kind == "peak" else "lower bound"
    yield line(_LEFT, y, _WIDTH - _RIGHT, y, kind)
    yield text(_WIDTH - _RIGHT + 6, y + below, f"{word} {size:,}", f"{kind}-text")
