"""A diagnosis as data and as text: float against int8, layer by layer."""

from __future__ import annotations

import dataclasses
import math
import textwrap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..quant.diagnosis import Diagnosis
    from ..result import Accuracy

_PAGE = 100
_ROWS = 12  # of the table that `print` shows: the worst
_NAME = 26


def diagnosis_data(diagnosis: Diagnosis) -> dict[str, Any]:
    """What `report.json` holds under `diagnosis`."""
    return {
        "samples": diagnosis.samples,
        "compared": diagnosis.compared,
        "layers": [
            {**dataclasses.asdict(layer), "shape": list(layer.shape), "rank": _rank(layer.rank)}
            for layer in diagnosis.layers
        ],
        "findings": [dataclasses.asdict(one) for one in diagnosis.findings],
        "notes": list(diagnosis.notes),
    }


def _rank(decibels: float) -> float | None:
    return decibels if math.isfinite(decibels) else None


def diagnosis_text(data: dict[str, Any]) -> str:
    """The worst layers, then what is wrong with them and what helps."""
    return "\n".join(
        [
            table_text(data, worst_first=True, limit=_ROWS),
            *_finding_lines(data),
            *(
                textwrap.fill(note, _PAGE, initial_indent="! ", subsequent_indent="  ")
                for note in data["notes"]
            ),
        ]
    )


def _finding_lines(data: dict[str, Any]) -> list[str]:
    lines = []
    for one in data["findings"]:
        head = f"{one['label'] or 'the model'}: {one['reason']}"
        lines.append(textwrap.fill(head, _PAGE, initial_indent="* ", subsequent_indent="  "))
        lines.append(
            textwrap.fill(one["remedy"], _PAGE, initial_indent="    ", subsequent_indent="    ")
        )
    return lines


def worst_first(data: dict[str, Any]) -> list[dict[str, Any]]:
    """Layers that lose most by themselves; without a float model, those that saturate most."""
    return sorted(
        data["layers"],
        key=lambda one: (
            one["moves"],
            math.inf if one["rank"] is None else one["rank"],
            -one["saturated"],
            one["range_use"],
        ),
    )


def table_text(data: dict[str, Any], *, worst_first: bool = False, limit: int | None = None) -> str:
    """A line a layer: what it adds, what has added up, and how its codes are used."""
    rows = _sorted(data) if worst_first else data["layers"]
    shown = rows[:limit]
    order = "worst first" if worst_first else "as they run"
    left = f" ({len(shown)} of them here)" if len(shown) < len(rows) else ""
    head = f"{len(rows)} layers over {data['samples']} samples, {order}{left}; SQNR in dB"
    return "\n".join((head, _HEAD, *(_line(one).rstrip() for one in shown)))


_sorted = worst_first
_HEAD = (
    f"{'op':>4}  {'layer':<{_NAME}}{'kind':<18}{'own':>6}{'channel':>8}{'net':>6}{'max err':>9}"
    f"{'bias':>7}{'sat.':>7}{'range':>6}{'dead':>9}"
)


def _line(one: dict[str, Any]) -> str:
    own, net = one["own"], one["accumulated"]
    op = "in" if one["op"] is None else str(one["op"])
    dead = "" if one["dead_channels"] is None else f"{one['dead_channels']}/{one['channels']}"
    step, channel = one["step"], one["channel_sqnr_db"]
    typical = "" if channel is None else f"{channel:.1f}"
    label = one["label"]
    if len(label) > _NAME - 2:
        label = f"{label[: _NAME - 4]}.."
    return (
        f"{op:>4}  {label:<{_NAME}}{one['kind'][:17]:<18}"
        f"{_decibels(own):>6}{typical:>8}{_decibels(net):>6}"
        f"{_steps(net and net['steps']):>9}{_steps(net and net['mean'] / step):>7}"
        f"{one['saturated']:>7.2%}{one['range_use']:>6.0%}{dead:>9}"
    )


def _decibels(error: dict[str, Any] | None) -> str:
    if error is None:
        return "-"
    if error["sqnr_db"] is None:
        return "exact" if error["maximum"] == 0 else "-"
    return f"{error['sqnr_db']:.1f}"


def _steps(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}st"


def accuracy_rows(accuracy: dict[str, Any]) -> list[tuple[str, float, dict[str, float]]]:
    """(what, share, interval) of what was judged; `accuracy` as `data.accuracy_data` makes it."""
    names = (("float", "float model"), ("int8", "int8, in TFLM"), ("engine", "firmware (engine)"))
    return [
        (words, accuracy[key], accuracy["intervals"][key])
        for key, words in names
        if accuracy[key] is not None
    ]


def accuracy_text(accuracy: Accuracy) -> str:
    from .data import accuracy_data

    return "\n".join(accuracy_lines(accuracy_data(accuracy)))


def accuracy_lines(data: dict[str, Any]) -> list[str]:
    lines = [
        f"{100 * share:6.2f}%  {what}, 95% interval {_percent(interval)}"
        for what, share, interval in accuracy_rows(data)
    ]
    if data["change"] is not None:
        lines.append(change_text(data["change"]))
    return [*lines, f"over {data['samples']:,} samples"]


def change_text(change: dict[str, Any]) -> str:
    """What quantization changed, with its noise: `int8 loses 0.30 points (-0.80 to 0.20) ...`."""
    points = 100 * change["difference"]
    verb = "loses" if points < 0 else "gains"
    low, high = 100 * change["interval"]["low"], 100 * change["interval"]["high"]
    noise = "more than noise" if change["p"] < 0.05 else "may be noise"
    return (
        f"int8 {verb} {abs(points):.2f} points (95% interval {low:+.2f} to {high:+.2f}): "
        f"{change['lost']} samples lost, {change['won']} won; {noise} (p = {change['p']:.2g})"
    )


def _percent(interval: dict[str, float]) -> str:
    return f"{100 * interval['low']:.2f}% to {100 * interval['high']:.2f}%"
