"""What the pages of docs/ and the README say runs, and does what they say."""

from __future__ import annotations

import configparser
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from export.saved_model import saved
from small_models import residual_tflite

from docs import blocks

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES += sorted((ROOT / "platformio_projects").glob("*/README.md"))
# Their blocks need more than this: tests/export/test_export_edge_impulse.py runs them.
OTHERS = {"edge_impulse.md"}
PAGES = [page for page in PAGES if page.name not in OTHERS]
GENERATED = {"api.md"}  # its examples are docstrings'; tests/docs/test_docs_pages.py checks it


def _name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def _runs(page: Path) -> Any:
    text = page.read_text("utf-8")
    marks = [pytest.mark.filterwarnings("ignore")]
    if "import keras" in text:
        marks += [pytest.mark.slow, pytest.mark.tensorflow]
    return pytest.param(page, id=_name(page), marks=marks)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "model.tflite").write_bytes(residual_tflite(seed=0))
    shutil.copytree(saved(), tmp_path / "out")
    return tmp_path


@pytest.fixture
def names(folder: Path) -> dict[str, Any]:
    """What a page may take for granted: a reader's model and data."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (32, 12, 12, 3)).astype(np.float32)
    y = rng.integers(0, 10, 32)
    data = {"x_train": x, "x_test": x[:16], "y_train": y, "y_test": y[:16]}
    before = "static signed char image[4096];\n"  # what a page's C may take for granted
    return {"__name__": "__main__", "model": folder / "model.tflite", "c_before": before, **data}


@pytest.mark.parametrize("page", [_runs(page) for page in PAGES if page.name not in GENERATED])
def test_blocks_do_what_the_page_says(page: Path, folder: Path, names: dict[str, Any]) -> None:
    for block in blocks.blocks(page.read_text("utf-8")):
        tool = blocks.lacking(block)
        if tool and not block.by:
            pytest.skip(f"needs {tool}")
        if block.by:
            assert not blocks.unnamed(block), f"{_name(page)}:{block.line}"
        else:
            try:
                blocks.run(block, folder, names)
            except Exception as error:
                raise AssertionError(f"{_name(page)}:{block.line}: {error}") from error


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_commands_are_in_blocks_that_run(page: Path) -> None:
    """A command that is only indented would be believed, and not run."""
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    typed = re.findall(r"^(?: {4}|\t)(?:\$ )?(?:tflm-opt|pio|cmake) .*", text, re.MULTILINE)
    assert not typed
    languages = {block.language for block in blocks.blocks(page.read_text("utf-8"))}
    assert languages <= set(blocks.RUNNERS)


class TestBlocks:
    """The runner itself: it must not take wrong pages for right."""

    def check(self, language: str, text: str, folder: Path) -> None:
        (block,) = blocks.blocks(f"Words.\n\n```{language}\n{text}```\n")
        assert block.line == 3
        blocks.run(block, folder, {})

    def test_output_is_compared(self, tmp_path: Path) -> None:
        self.check("console", "$ echo one two\none two\n$ echo three\n", tmp_path)
        self.check("console", "$ echo one two three\none ... three\n", tmp_path)
        with pytest.raises(AssertionError, match="one two"):
            self.check("console", "$ echo one two\none too\n", tmp_path)
        with pytest.raises(AssertionError, match="false"):
            self.check("console", "$ false\n", tmp_path)

    def test_an_error_has_to_be_shown_as_one(self, tmp_path: Path) -> None:
        shown = "$ tflm-opt optimize nowhere.tflite\ntflm-opt: nowhere.tflite: ...\n"
        self.check("console", shown, tmp_path)
        with pytest.raises(AssertionError):
            self.check("console", "$ tflm-opt optimize nowhere.tflite\nall right\n", tmp_path)

    def test_python_and_c_are_taken_at_their_word(self, tmp_path: Path) -> None:
        self.check("python", "assert 1 + 1 == 2\n", tmp_path)
        self.check("pycon", ">>> 1 + 1\n2\n", tmp_path)
        self.check("c", "int a = 1;\na++;\n", tmp_path)
        self.check("c", "#include <stdio.h>\nint main(void)\n{\n    return 0;\n}\n", tmp_path)
        for language, text, error in (
            ("python", "assert 1 + 1 == 3\n", AssertionError),
            ("pycon", ">>> 1 + 1\n3\n", AssertionError),
            ("c", "int a = b;\n", AssertionError),
            ("ini", "[a]\nb = 1\nb = 2\n", configparser.Error),
            ("json", "{,}\n", ValueError),
        ):
            with pytest.raises(error):
                self.check(language, text, tmp_path)

    @pytest.mark.parametrize(
        ("test", "command", "missing"),
        [
            ("test_export_pio.py::test_pio_test_reports_vectors", "pio test -e qemu_m4", []),
            (
                "test_export_pio.py::test_pio_test_reports_vectors",
                "pio check -e qemu_m4",
                ["check"],
            ),
            (
                "test_export_pio.py::test_pio_test_reports_vectors",
                "pio test --verbose",
                ["--verbose"],
            ),
            ("test_export_pio.py::test_of_none", "pio test", ["pio", "pio", "test"]),
            ("test_export_none.py::test_of_none", "pio test", ["pio", "pio", "test"]),
            ("test_export_pio.py::test_of_none", "pio run -e qemu_m4 -t upload", ["qemu_m4"]),
            ("test_export_pio.py::test_of_none", "pio run -e pico -t upload", []),
        ],
    )
    def test_a_block_is_left_to_a_test_that_names_its_words(self, test, command, missing) -> None:
        page = f"<!-- run by: tests/export/{test}, in part -->\n```console\n$ {command}\n```\n"
        page += "\n```text\na\n```\n"
        left, run = blocks.blocks(page)
        assert left.by == f"tests/export/{test}"
        assert not run.by
        assert blocks.unnamed(left) == missing

    def test_no_block_is_left_out(self) -> None:
        """What was a reason once is a test's name now."""
        for page in PAGES:
            assert "<!-- not run" not in page.read_text("utf-8"), page
