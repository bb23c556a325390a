"""A study as a picture: accuracy against what it costs, as SVG text.

    accuracy |        ______o (o)       o    on the front: no net is better and cheaper
             |    ___o   ·     ·        ·    any other trial
             |  o    ·  ·    ·          (o)  the best within the limits
             +-----------------|---     |    the limit

Self-contained, the same for the same trials, legible on light and dark pages, as `report.front`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from ..errors import TflmOptError
from ..report.front import _STYLE as BASE_STYLE
from ..svg import escape, line, round_step, text
from .evolution import nondominated
from .trials import Trial

_WIDTH, _HEIGHT = 720, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 40, 44, 58
_HEADROOM = 1.06
AXES = {
    "sram": "SRAM: arena, state and stack (bytes)",
    "flash": "flash: weights, tables and code (bytes, estimate)",
    "latency": "latency (ms, estimate)",
    "macs": "multiply-accumulates",
}
_STYLE = (
    BASE_STYLE
    + """
.other { fill: #d0d7de; }
.limit { stroke: #b42318; stroke-width: 1; stroke-dasharray: 4 3; }
@media (prefers-color-scheme: dark) {
  .other { fill: #3d444d; }
  .limit { stroke: #ff8a7a; }
}"""
)


def svg(
    trials: Sequence[Trial], against: str, *, limit: float | None = None, name: str = ""
) -> str:
    """The picture of complete trials.

    Args:
        trials: complete ones, in any order.
        against: one of `AXES`.
        limit: on that cost, drawn if it isn't far off.
        name: for the title.

    Raises:
        TflmOptError: another cost.
    """
    if against not in AXES:
        raise TflmOptError(f"a plot is against {', '.join(AXES)}, not {against!r}")
    return "\n".join(_Picture(trials, against, limit, name).lines()) + "\n"


class _Picture:
    def __init__(
        self, trials: Sequence[Trial], against: str, limit: float | None, name: str
    ) -> None:
        self.against = against
        self.limit = limit
        self.name = name
        self.trials = sorted(trials, key=lambda t: (self.need(t), t.number))
        front = nondominated(np.array([self.point(t) for t in self.trials]).reshape(-1, 2))
        self.front = [t for t, best in zip(self.trials, front, strict=True) if best]
        needs = [self.need(t) for t in self.trials]
        self.most = max([*needs, 1]) * _HEADROOM
        if limit is not None and limit < 2 * self.most:
            self.most = max(self.most, limit * _HEADROOM)
        accuracies = [t.accuracy or 0.0 for t in self.trials] or [0.0, 1.0]
        self.step = _accuracy_step(max(accuracies) - min(accuracies))
        self.low = math.floor(min(accuracies) / self.step) * self.step
        self.high = (
            max(math.ceil(max(accuracies) / self.step), self.low / self.step + 1) * self.step
        )

    def point(self, trial: Trial) -> tuple[float, ...]:
        return trial.scores(("accuracy", self.against))

    def need(self, trial: Trial) -> float:
        return self.point(trial)[1]

    def x(self, need: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * need / self.most

    def y(self, accuracy: float) -> float:
        part = (accuracy - self.low) / (self.high - self.low)
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * part

    def lines(self) -> Iterator[str]:
        short = {"sram": "SRAM", "macs": "MACs"}.get(self.against, self.against)
        title = f"{self.name}: accuracy" if self.name else "Accuracy"
        title += f" against {short}"
        count = len(self.trials)
        yield (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
            f'width="{_WIDTH}" height="{_HEIGHT}" role="img" aria-label="{escape(title)}, '
            f'{count} trials, {len(self.front)} on the front">'
        )
        yield f"<style>\n{_STYLE}\n</style>"
        yield f'<rect class="paper" width="{_WIDTH}" height="{_HEIGHT}"/>'
        yield text(_LEFT, 22, title, "title")
        yield from self._axes()
        chosen = {id(t) for t in self.front}
        yield from (self._mark(t, "point other", 3) for t in self.trials if id(t) not in chosen)
        if self.front:
            yield f'<path class="stairs" d="{self._stairs()}"/>'
        yield from (self._mark(t, "point", 4.5) for t in self.front)
        yield from self._best()
        yield "</svg>"

    def _axes(self) -> Iterator[str]:
        bottom = _HEIGHT - _BOTTOM
        for need in range(0, int(self.most) + 1, round_step(self.most / 7)):
            yield line(self.x(need), _TOP, self.x(need), bottom, "grid")
            yield text(self.x(need), bottom + 17, _short(need), anchor="middle")
        for i in range(round((self.high - self.low) / self.step) + 1):
            y = self.y(self.low + i * self.step)
            yield line(_LEFT, y, _WIDTH - _RIGHT, y, "grid")
            words = f"{100 * (self.low + i * self.step):.4g}%"
            yield text(_LEFT - 8, y + 4, words, anchor="end")
        yield line(_LEFT, bottom, _WIDTH - _RIGHT, bottom, "axis")
        if self.limit is not None and self.limit <= self.most:
            yield line(self.x(self.limit), _TOP, self.x(self.limit), bottom, "limit")
            yield text(self.x(self.limit), _TOP - 6, "limit", "chosen-text", anchor="middle")
        yield text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 18, AXES[self.against], anchor="middle")

    def _stairs(self) -> str:
        """From the cheapest on: as far as the next one, then up to it."""
        first = self.front[0]
        parts = [f"M{self.x(self.need(first)):.1f} {self.y(first.accuracy or 0):.1f}"]
        for _, trial in pairwise(self.front):
            parts.append(f"H{self.x(self.need(trial)):.1f}V{self.y(trial.accuracy or 0):.1f}")
        return "".join(parts) + f"H{self.x(self.most):.1f}"

    def _mark(self, trial: Trial, kind: str, radius: float) -> str:
        tip = f"<title>{escape(_facts(trial))}</title>"
        x, y = self.x(self.need(trial)), self.y(trial.accuracy or 0)
        return f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}">{tip}</circle>'

    def _best(self) -> Iterator[str]:
        if not self.front:
            return
        best = self.front[-1]
        x, y = self.x(self.need(best)), self.y(best.accuracy or 0)
        yield f'<circle class="chosen" cx="{x:.1f}" cy="{y:.1f}" r="9"/>'
        words = f"{100 * (best.accuracy or 0):.2f}% at {_exact(self.need(best))}"
        left = x > _WIDTH / 2
        yield text(x - 12 if left else x + 12, y - 10, words, "chosen-text", anchor="end" * left)


def _facts(trial: Trial) -> str:
    assert trial.accuracy is not None
    assert trial.cost is not None
    cost = trial.cost
    choices = ", ".join(f"{name} {value}" for name, value in trial.architecture.items())
    return (
        f"trial {trial.number}: {trial.accuracy:.2%}\n{cost.sram:,} bytes of SRAM, input "
        f"{cost.input}\n{cost.flash:,} bytes of flash\n{cost.macs:,} MACs\n"
        f"{cost.latency_ms:.1f} ms (estimated)\n{choices}"
    )


def _accuracy_step(span: float) -> float:
    """The distance of marks for a span of accuracies: a round part of a hundredth or more.

    >>> _accuracy_step(0.31), _accuracy_step(0.012)
    (0.1, 0.002)
    """
    return round_step(max(span, 0.005) / 6 * 10_000) / 10_000


def _exact(need: float) -> str:
    return f"{need:,}" if isinstance(need, int) else f"{need:,.1f}"


def _short(need: int) -> str:
    """
    >>> _short(2_500_000), _short(65_536)
    ('2.5M', '65,536')
    """
    return f"{need / 1e6:g}M" if need >= 1_000_000 else f"{need:,}"
