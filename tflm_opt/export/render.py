"""Templates: the text of the files that an export writes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

TEMPLATES = Path(__file__).resolve().parent / "templates"
_WHOLE_LINES = (".c", ".h", ".cpp", ".ino", ".txt", ".cmake")  # there, a tag has its own line


def render(template: str, values: Mapping[str, Any]) -> str:
    """The text of a template, by its path under `templates/`: `render("c/README.md", values)`."""
    return _environment(template.endswith(_WHOLE_LINES)).get_template(template).render(values)


def write_all(kind: str, folder: Path, values: Mapping[str, Any]) -> None:
    """Write every template of `templates/<kind>/` into a folder, at the same places.

    A name that starts with `dot_` gets a dot instead, and `NAME` in a name is the model's.
    """
    root = TEMPLATES / kind
    for path in sorted(root.rglob("*")):
        place = path.relative_to(root).as_posix()
        if path.is_file():
            named = place.replace("NAME", values["name"])
            target = folder / named.replace("dot_", ".")
            target.parent.mkdir(parents=True, exist_ok=True)
            text = render(f"{kind}/{place}", values)
            target.write_text(text, "utf-8", newline="\n")


@cache
def _environment(whole_lines: bool) -> Any:
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=whole_lines,
        lstrip_blocks=whole_lines,
    )
