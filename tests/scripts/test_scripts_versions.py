"""One version of TFLM's wheel: what we promise, what we demand and what the set-up installs."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def found(file: str, pattern: str) -> list[str]:
    return re.findall(pattern, (ROOT / file).read_text("utf-8"))


def test_the_wheel_is_the_same_everywhere() -> None:
    (pinned,) = found("scripts/setup.sh", r"tflite-micro==([\w.]+)")
    assert found("pyproject.toml", r"tflite-micro>=([\w.]+)") == [pinned]
    assert found("README.md", r"tflite-micro ([\d.]+dev\d+)") == [pinned]
