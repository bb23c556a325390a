"""Write what is generated in docs/: the API reference, from docstrings, and pictures.

    python scripts/make_docs.py    # writes docs/api.md and docs/pictures/

`tflm-opt ops --markdown` and `tflm-opt kernels --markdown` print docs/ops.md and docs/kernels.md.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from pathlib import Path
from typing import Any

from tflm_opt import svg

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGES = (  # heading, what it is about, and the names under it
    (
        "Optimizing",
        "What most people need: one call, and what it returns.",
        (
            *("tflm_opt:optimize", "tflm_opt:Result", "tflm_opt.result:Sram"),
            *("tflm_opt.result:Flash", "tflm_opt.result:Accuracy", "tflm_opt.result:TflmMemory"),
            "tflm_opt.api:tradeoffs",
        ),
    ),
    (
        "Measuring",
        "On emulated boards: exact instructions, estimated cycles.",
        (
            *("tflm_opt.measure:measure", "tflm_opt:profile", "tflm_opt:Profile"),
            *("tflm_opt.profiling:Layer", "tflm_opt.profiling:Share", "tflm_opt.verify:verify"),
        ),
    ),
    (
        "Exporting",
        "Projects from a result, or from a folder that it was saved to.",
        ("tflm_opt.export:export_saved",),
    ),
    (
        "Boards",
        "The table of targets: `tflm-opt boards` lists it.",
        ("tflm_opt.boards:get", "tflm_opt.boards:all", "tflm_opt:Board"),
    ),
    (
        "Quantizing",
        "Keras to int8, as `optimize` does it.",
        (
            *("tflm_opt.quant:quantize", "tflm_opt.quant:CalibrationWarning"),
            *("tflm_opt.quant.diagnosis:Diagnosis", "tflm_opt.quant.diagnosis:LayerError"),
            *("tflm_opt.quant.diagnosis:Error", "tflm_opt.quant.diagnosis:Finding"),
            *("tflm_opt.intervals:Interval", "tflm_opt.intervals:Paired"),
        ),
    ),
    (
        "Audio",
        "The front end of nets for speech.",
        ("tflm_opt.audio:MelFrontEnd", "tflm_opt.audio:write_c"),
    ),
    (
        "Searching",
        "For nets that fit a board ([search.md](search.md)).",
        (
            *("tflm_opt:search", "tflm_opt.nas:load", "tflm_opt.nas:Study", "tflm_opt.nas:Trial"),
            "tflm_opt.nas:Interrupted",
            *("tflm_opt.nas:Cost", "tflm_opt.nas:Pricer", "tflm_opt.nas:exact_cost"),
            *(
                "tflm_opt.nas:Limits",
                "tflm_opt.nas:Broken",
                "tflm_opt.nas.survey:survey",
                "tflm_opt.nas.survey:Survey",
            ),
            *("tflm_opt.nas.halving:Halving", "tflm_opt.nas.finals:Finals"),
            "tflm_opt.nas.contest:Contest",
            *("tflm_opt.nas.space:Space", "tflm_opt.nas.spaces:default"),
            *("tflm_opt.nas.spaces:MobileNet", "tflm_opt.nas.spaces:DsCnn"),
            *("tflm_opt.nas.spaces:Signal", "tflm_opt.nas.spaces:ResNet"),
            *("tflm_opt.nas.spaces:check_space", "tflm_opt.nas.supernet:Supernet"),
            *("tflm_opt.nas.training:Training", "tflm_opt.nas.members:fitting"),
            *("tflm_opt.nas.net:Net", "tflm_opt.nas.net:Layer", "tflm_opt.nas.build:build"),
        ),
    ),
)
_SECTION = re.compile(r"(Args|Attributes|Returns|Raises|Example|Yields):\s*(.*)")


def api_page() -> str:
    """The text of docs/api.md."""
    parts = [
        "# API\n\nMade by\n\n    python scripts/make_docs.py\n\nfrom docstrings, not by hand. "
        "Importing `tflm_opt` loads neither TensorFlow nor a compiler's wrapper.\n"
    ]
    for heading, about, names in PAGES:
        parts.append(f"## {heading}\n\n{about}\n")
        parts += [_entry(name) for name in names]
    parts.append("## Errors\n\nAll are `tflm_opt.TflmOptError`; their figures are attributes.\n")
    parts.append(_errors())
    return "\n".join(parts)


def _entry(name: str) -> str:
    module, attribute = name.split(":")
    found = getattr(importlib.import_module(module), attribute)
    text = f"### {module}.{attribute}\n\n"
    if inspect.isclass(found):
        text += _docstring(found)
        for member, method in inspect.getmembers(found, _is_documented):
            if not member.startswith("_"):
                text += f"#### {attribute}.{member}\n\n{_call(member, method)}{_docstring(method)}"
        return text
    return text + _call(attribute, found) + _docstring(found)


def _call(name: str, found: Any) -> str:
    if isinstance(found, property):
        return ""
    return f"```text\n{name}{_signature(found)}\n```\n\n"


def _is_documented(member: Any) -> bool:
    return (inspect.isfunction(member) or isinstance(member, property)) and bool(member.__doc__)


def _signature(function: Any) -> str:
    """Of a function, one parameter a line where it is long."""
    signature = inspect.signature(function)
    pieces, starred = [], False
    for one in signature.parameters.values():
        if one.name == "self":
            continue
        if one.kind is one.KEYWORD_ONLY and not starred:
            pieces.append("*")
        starred = starred or one.kind in (one.KEYWORD_ONLY, one.VAR_POSITIONAL)
        pieces.append(_parameter(one))
    end = "" if signature.return_annotation is signature.empty else signature.return_annotation
    end = f" -> {end}" if end else ""
    short = f"({', '.join(pieces)}){end}"
    if len(short) < 80:
        return short
    return "(\n" + "".join(f"    {piece},\n" for piece in pieces) + f"){end}"


def _parameter(one: inspect.Parameter) -> str:
    stars = {one.VAR_POSITIONAL: "*", one.VAR_KEYWORD: "**"}.get(one.kind, "")
    text = f"{stars}{one.name}"
    if one.annotation is not one.empty:
        text += f": {one.annotation}"
    if one.default is not one.empty:
        text += " = " + repr(one.default).replace("'", '"')
    return text


def _docstring(found: Any) -> str:
    """A docstring as Markdown: sections as headings in bold, their items as lists."""
    lines = (inspect.getdoc(found) or "").splitlines()
    text, section = "", ""
    at = 0
    while at < len(lines):
        line = lines[at]
        started = _SECTION.fullmatch(line)
        if started:
            section, rest = started.groups()
            text += f"**{section}**" + (f" {rest}" if rest else "") + "\n\n"
            at += 1
            block = []
            while at < len(lines) and (not lines[at].strip() or lines[at].startswith("    ")):
                block.append(lines[at][4:])
                at += 1
            text += _section(section, block)
        else:
            text += line + "\n"
            at += 1
    return text.rstrip() + "\n\n"


def _section(kind: str, block: list[str]) -> str:
    body = "\n".join(block).strip("\n")
    if not body:
        return ""
    if kind == "Example":
        return f"```pycon\n{body}\n```\n\n"
    if kind in ("Args", "Attributes", "Raises"):
        items = re.sub(r"(?m)^(?=\S)", "- ", body)
        items = re.sub(r"(?m)^- ([\w*, ]+):", lambda m: f"- {_code(m[1])}:", items)
        return re.sub(r"(?m)^ {4}", "  ", items) + "\n\n"
    return body + "\n\n"


def _code(names: str) -> str:
    return ", ".join(f"`{name.strip()}`" for name in names.split(","))


def _errors() -> str:
    from tflm_opt import errors

    found = [
        kind
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, errors.TflmOptError)
    ]
    found.sort(key=lambda kind: inspect.getsourcelines(kind)[1])
    return "\n".join(f"### {kind.__name__}\n\n{_docstring(kind)}" for kind in found).rstrip() + "\n"


# ---- pictures --------------------------------------------------------------------------------


def pictures() -> dict[str, str]:
    """Files of docs/pictures/: of a net as cameras have them, 96x96, in its early layers."""
    from tflm_opt import arena, codegen, graph, passes
    from tflm_opt.patch_split.orders import search
    from tflm_opt.patch_split.schedule import layer_by_layer
    from tflm_opt.report import front
    from tflm_opt.report.data import point_data

    model = passes.run(graph.read(_net(), "example"), passes.default_pipeline())
    found = search(model, input="streamed", scratch=codegen.scratch, access=codegen.access)
    layers = arena.plan(
        model, layer_by_layer(model), scratch=codegen.scratch, access=codegen.access
    )
    points = [point_data(point) for point in found.front]
    return {
        "arena_layers.svg": arena.picture.svg(layers),
        "arena_streamed.svg": arena.picture.svg(found.chosen.plan),
        "front.svg": front.svg(points, chosen=found.peak, name="example"),
        "streaming.svg": _streaming(),
    }


def _net() -> bytes:
    sys.path.insert(0, str(DOCS.parent / "tests"))
    from small_models import Net

    from tflm_opt import graph

    net = Net((1, 96, 96, 3))
    x = net.conv(net.input, 8, 3, stride=2)
    for channels, stride in ((16, 1), (24, 2), (24, 1), (32, 2)):
        x = net.conv(net.depthwise(x, 3, stride=stride), channels, 1)
    return graph.write(net.graph(x))


_STYLE = """\
text { font: 12px system-ui, sans-serif; fill: #1c2128; }
.paper { fill: #ffffff; }
.row { fill: #ffffff; stroke: #9aa4af; stroke-width: 0.7; }
.kept { fill: #9ec5f4; }
.new { fill: #f4b860; }
.gone { fill: #e6eaef; }
.read { stroke: #57606a; stroke-width: 1.2; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .paper { fill: #14181d; }
  .row { fill: #14181d; stroke: #57606a; }
  .kept { fill: #2f5d94; }
  .new { fill: #a4661b; }
  .gone { fill: #272d34; }
  .read { stroke: #9aa4af; }
}"""
_ROWS, _HIGH, _WIDE = 12, 15, 170


def _streaming() -> str:
    """Three layers in the middle of a step: rows that are gone, kept, new, and not there yet."""
    layers = (  # name, rows gone, kept, new; at the left what is read first
        ("image: rows by callback", 4, 2, 1),
        ("3×3 convolution", 3, 2, 1),
        ("3×3 depthwise", 2, 0, 1),
    )
    height, width = _ROWS * _HIGH + 96, 3 * (_WIDE + 60) + 20
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img" '
        'aria-label="Three layers, a band of one row at a time">',
        f"<style>\n{_STYLE}\n</style>",
        f'<rect class="paper" width="{width}" height="{height}"/>',
    ]
    for i, (name, gone, kept, new) in enumerate(layers):
        x = 20 + i * (_WIDE + 60)
        parts.append(svg.text(x, 22, name))
        for row in range(_ROWS):
            kind = "row"
            for limit, fresh in ((gone, "gone"), (gone + kept, "kept"), (gone + kept + new, "new")):
                if row < limit:
                    kind = f"row {fresh}"
                    break
            y = 34 + row * _HIGH
            parts.append(f'<rect class="{kind}" x="{x}" y="{y}" width="{_WIDE}" height="{_HIGH}"/>')
        if i < 2:
            last = 34 + (gone + kept + new) * _HIGH
            target = 34 + (layers[i + 1][1] + layers[i + 1][2] + 0.5) * _HIGH
            for y in (last - 3 * _HIGH, last):
                parts.append(svg.line(x + _WIDE, y, x + _WIDE + 60, target, "read"))
    legend = (("gone", "not in memory any more"), ("kept", "kept in a ring: the halo"))
    legend += (("new", "made in this step"), ("", "not made yet"))
    for i, (kind, words) in enumerate(legend):
        x, y = 20 + (i % 2) * 260, _ROWS * _HIGH + 56 + (i // 2) * 20
        parts.append(f'<rect class="row {kind}" x="{x}" y="{y - 10}" width="22" height="12"/>')
        parts.append(svg.text(x + 30, y, words))
    return "\n".join([*parts, "</svg>"]) + "\n"


def main() -> None:
    (DOCS / "api.md").write_text(api_page(), "utf-8")
    for name, text in pictures().items():
        (DOCS / "pictures" / name).write_text(text, "utf-8")


if __name__ == "__main__":
    main()
