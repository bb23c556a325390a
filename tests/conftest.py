"""What all tests share: helpers by import (`from models.cache import tflite`) and golden files."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

_HERE = Path(__file__).resolve().parent
# The rooms whose random nets and emulated boards other rooms use too.
for _room in ("patch_split", "codegen", "kernels", "."):
    if str(_HERE / _room) not in sys.path:
        sys.path.insert(0, str(_HERE / _room))


# How long an example takes says more about the machine's other work than about the code.
settings.register_profile("tests", deadline=None)
settings.load_profile("tests")


def pytest_configure() -> None:
    """Before workers start, so that they have the same folder."""
    import shared

    shared.root()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="write what golden tests got into their files, for review, instead of comparing",
    )


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compares a text with a reviewed file, `golden/<name>` beside the test.

    golden("fold_pad.txt", dump(after))

    With `--update-golden` the file is written instead, and the test is skipped: an update never
    counts as a pass.
    """

    def compare(name: str, text: str) -> None:
        path = request.path.parent / "golden" / name
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, "utf-8")
            pytest.skip(f"wrote {path.name}")
        assert path.is_file(), f"{path} is missing: write it with --update-golden and review it"
        assert text == path.read_text("utf-8"), "if this is meant: --update-golden, and review it"

    return compare
