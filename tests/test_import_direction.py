"""Data flows one way, and so do imports: a room knows the rooms before it and none after."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import tflm_opt

PACKAGE = Path(tflm_opt.__file__).parent

# Rooms in the order in which data flows. Those of one row may know each other.
ROWS = (
    ("errors", "boards", "progress", "sizes", "svg"),
    ("graph",),
    ("quant.numerics", "quant.fixed_point", "quant.tables", "quant.wide_tables"),
    ("passes",),
    ("arena", "patch_split"),
    ("kernels",),
    ("codegen",),
    ("runtime", "audio"),
    ("export",),
)
# The file for stock TFLM is chosen by what TFLM's own allocator says, and ends in a result;
# exports take one, or the folder that it was saved to. What planner and splitter must know of
# kernels, callbacks tell them.
EXCEPTIONS = {
    ("patch_split/rewrite.py", "result"),
    ("patch_split/rewrite.py", "runtime"),
    ("export/__init__.py", "result"),
    ("export/package.py", "saved"),
}
RANK = {room: rank for rank, row in enumerate(ROWS) for room in row}


def room_of(parts: list[str]) -> str:
    """The room of a dotted name's parts below `tflm_opt`: "graph", or "quant.numerics"."""
    exact = ".".join(parts[:2])
    return exact if exact in RANK else parts[0]


def imports(path: Path) -> Iterator[str]:
    """Absolute names that a module imports, also inside functions."""
    package = ["tflm_opt", *path.relative_to(PACKAGE).parent.parts]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base = base + (node.module.split(".") if node.module else [])
            yield from (".".join([*base, alias.name]) for alias in node.names)


def modules() -> list[str]:
    """Paths of all modules in one of the rooms, below the package."""
    paths = (path.relative_to(PACKAGE) for path in sorted(PACKAGE.rglob("*.py")))
    return [p.as_posix() for p in paths if room_of(list(p.with_suffix("").parts)) in RANK]


def upstream(name: str) -> list[str]:
    """Imports of a later room, or of one that is in no row (`api`, `result`, `cli`, …)."""
    path = PACKAGE / name
    room = room_of(list(Path(name).with_suffix("").parts))
    found = []
    for imported in imports(path):
        parts = imported.split(".")[1:]
        if not imported.startswith("tflm_opt.") or not parts:
            continue
        other = room_of(parts)
        if RANK.get(other, len(ROWS)) > RANK[room] and (name, other) not in EXCEPTIONS:
            found.append(imported)
    return found


@pytest.mark.parametrize("name", modules())
def test_a_module_imports_no_later_room(name: str) -> None:
    assert upstream(name) == []


def test_every_room_of_the_flow_is_there() -> None:
    seen = {room_of(list(Path(name).with_suffix("").parts)) for name in modules()}
    assert seen == set(RANK)


def test_an_import_against_the_flow_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path)
    (tmp_path / "passes").mkdir()
    path = tmp_path / "passes" / "bad.py"
    path.write_text(
        "from ..codegen import emit\nimport tflm_opt.api\n\ndef f():\n    from .. import runtime\n"
        "from ..graph import ir\nfrom ..quant import ptq, numerics\n"
    )
    assert upstream("passes/bad.py") == [
        "tflm_opt.codegen.emit",
        "tflm_opt.api",
        "tflm_opt.quant.ptq",
        "tflm_opt.runtime",
    ]
