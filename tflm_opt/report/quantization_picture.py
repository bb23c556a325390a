"""SQNR layer by layer in the report: what each layer adds, and what has added up.

    dB |  o   o       o         o  own: the layer alone
       |  x---x---x---x---x     x  the net up to here
       |          o
       +---------------------   layers, in the order in which they run

For a page's own style and script, as `arena_picture`: each layer is a column that can be pointed at
and focused, and carries its figures as data attributes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from ..svg import escape, line, round_step, text
from . import tables
from .quantization import worst_first

_WIDTH, _HEIGHT = 960, 340
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 12, 16, 46
_LEAST_TOP = 40.0  # dB: the axis reaches at least so far


def svg(diagnosis: dict[str, Any]) -> str:
    """The picture as an SVG element; empty where no layer has a ratio."""
    if not any(_own(one) is not None or _net(one) is not None for one in diagnosis["layers"]):
        return ""
    return "\n".join(_lines(diagnosis)) + "\n"


def _own(layer: dict[str, Any]) -> float | None:
    return layer["own"] and layer["own"]["sqnr_db"]


def _net(layer: dict[str, Any]) -> float | None:
    return layer["accumulated"] and layer["accumulated"]["sqnr_db"]


class _Scale:
    def __init__(self, layers: list[dict[str, Any]]) -> None:
        known = [db for one in layers for db in (_own(one), _net(one)) if db is not None]
        self.count = len(layers)
        self.low = min(0.0, 10 * math.floor(min(known) / 10))
        self.high = max(_LEAST_TOP, 10 * math.ceil(max(known) / 10))

    def x(self, place: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * place / self.count

    def y(self, decibels: float) -> float:
        inside = _HEIGHT - _TOP - _BOTTOM
        return _HEIGHT - _BOTTOM - inside * (decibels - self.low) / (self.high - self.low)


def _lines(diagnosis: dict[str, Any]) -> Iterator[str]:
    layers = diagnosis["layers"]
    scale = _Scale(layers)
    yield (
        f'<svg id="sqnr" class="sqnr" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="group" '
        f'aria-label="Signal to quantization noise of {len(layers)} layers. '
        'Arrow keys go from one to the next.">'
    )
    yield from _axes(scale)
    named = {one["layer"] for one in diagnosis["findings"] if one["layer"] is not None}
    for place, layer in enumerate(layers):
        yield _column(layer, place, scale, place in named)
    yield f'<path class="net" d="{_path(layers, scale)}"/>'
    radius = max(min(4.0, 200 / len(layers)), 2.0)
    for place, layer in enumerate(layers):
        x = scale.x(place + 0.5)
        for kind, value in (("net", _net(layer)), ("own", _own(layer))):
            if value is not None:
                y = scale.y(value)
                yield f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}"/>'
    yield "</svg>"


def _path(layers: list[dict[str, Any]], scale: _Scale) -> str:
    """The accumulated ratios, joined where both neighbours have one."""
    parts, pen = [], "M"
    for place, layer in enumerate(layers):
        value = _net(layer)
        if value is None:
            pen = "M"
            continue
        parts.append(f"{pen}{scale.x(place + 0.5):.1f} {scale.y(value):.1f}")
        pen = "L"
    return "".join(parts)


def _column(layer: dict[str, Any], place: int, scale: _Scale, named: bool) -> str:
    facts = {
        "name": layer["label"],
        "kind": layer["kind"],
        "own": f"this layer alone {_decibels(_own(layer))}",
        "net": f"net up to here {_decibels(_net(layer))}",
        "use": f"range use {layer['range_use']:.0%}, saturated {layer['saturated']:.2%}",
    }
    data = "".join(f' data-{key}="{escape(value)}"' for key, value in facts.items())
    left, right = scale.x(place), scale.x(place + 1)
    return (
        f'<rect class="b{" named" if named else ""}" x="{left:.1f}" y="{_TOP}" '
        f'width="{right - left:.1f}" height="{_HEIGHT - _TOP - _BOTTOM}" '
        f'tabindex="{-1 if place else 0}" role="img" data-rank="{place}"{data} '
        f'aria-label="{escape("; ".join(facts.values()))}"/>'
    )


def _decibels(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.1f} dB"


def _axes(scale: _Scale) -> Iterator[str]:
    for decibels in range(int(scale.low), int(scale.high) + 1, 10):
        y = scale.y(decibels)
        yield line(_LEFT, y, _WIDTH - _RIGHT, y, "grid")
        yield text(_LEFT - 8, y + 4, str(decibels), anchor="end")
    stride = round_step(scale.count / 16)
    for place in range(0, scale.count, stride):
        yield text(scale.x(place + 0.5), _HEIGHT - _BOTTOM + 16, str(place), anchor="middle")
    middle = (_TOP + _HEIGHT - _BOTTOM) / 2
    turn = f' transform="rotate(-90 14 {middle:.1f})"'
    yield text(14, middle, "SQNR (dB)", anchor="middle", extra=turn)
    words = "layer, in the order in which they run"
    yield text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 10, words, anchor="middle")


def layer_table(diagnosis: dict[str, Any]) -> str:
    """All layers, those first that lose most."""
    columns = [
        tables.Column("#", "d", title="place in the picture"),
        tables.Column("layer"),
        tables.Column("op"),
        tables.Column("own, dB", ".1f", title="this layer alone, on float inputs that are rounded"),
        tables.Column("typical channel", ".1f", title="the median of the channels' own SQNR, dB"),
        tables.Column("net, dB", ".1f", title="all errors up to here"),
        tables.Column("largest error", ".3g", title="of the net, in the tensor's unit"),
        tables.Column("in steps", ".1f"),
        tables.Column("bias", ".2g", title="mean of the differences"),
        tables.Column("saturated", ".2%", title="codes at an end that no activation explains"),
        tables.Column("range use", ".0%", bar=True, title="span of codes seen"),
        tables.Column("dead", "d", title="channels always at one code"),
        tables.Column("of channels", "d"),
        tables.Column("channel spread", ".1f", title="widest channel over the median one"),
        tables.Column("weights, dB", ".1f"),
    ]
    places = {id(one): place for place, one in enumerate(diagnosis["layers"])}
    rows = [_row(places[id(one)], one) for one in worst_first(diagnosis)]
    return tables.table(columns, rows)


def _row(place: int, one: dict[str, Any]) -> list[Any]:
    net = one["accumulated"] or {"maximum": None, "steps": None, "mean": None}
    return [
        *(place, one["label"], one["kind"], _own(one), one["channel_sqnr_db"], _net(one)),
        *(net["maximum"], net["steps"], net["mean"], one["saturated"], one["range_use"]),
        *(one["dead_channels"], one["channels"], one["channel_spread"], one["weight_sqnr_db"]),
    ]
