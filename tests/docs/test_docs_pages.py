"""Generated pages are what their commands write now, and links lead somewhere."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES += sorted((ROOT / "platformio_projects").glob("*/README.md"))


@pytest.fixture(scope="module")
def make_docs() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_docs", ROOT / "scripts" / "make_docs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_api_is_that_of_the_docstrings(make_docs: ModuleType) -> None:
    assert (ROOT / "docs" / "api.md").read_text("utf-8") == make_docs.api_page(), (
        "run python scripts/make_docs.py"
    )


def test_the_pictures_are_of_the_planner_that_ships(make_docs: ModuleType) -> None:
    folder = ROOT / "docs" / "pictures"
    found = {path.name: path.read_text("utf-8") for path in folder.glob("*.svg")}
    assert found == make_docs.pictures(), "run python scripts/make_docs.py"


def test_all_that_is_public_is_on_the_page(make_docs: ModuleType) -> None:
    import tflm_opt
    from tflm_opt import audio, export, nas, quant

    named = {name.split(":")[1] for _, _, names in make_docs.PAGES for name in names}
    assert set(audio.__all__) | set(nas.__all__) <= named
    assert {"export_saved"} <= named & set(dir(export))
    assert "quantize" in named & set(quant.__all__)
    modules = {"boards", "errors", "TflmOptError"}
    assert set(tflm_opt.__all__) - modules <= named


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path) if path else page
        assert there.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", there.read_text("utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}
            assert anchor in slugs, target
