"""What is installed from a wheel is whole: every file that is no Python module is listed."""

from __future__ import annotations

import sys
from pathlib import Path

import tflm_opt

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PACKAGE = Path(tflm_opt.__file__).parent


def test_every_data_file_is_in_the_wheel() -> None:
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text("utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["tflm_opt"]
    listed = {path for pattern in patterns for path in PACKAGE.glob(pattern)}
    data = {
        path
        for path in PACKAGE.rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc") and "__pycache__" not in path.parts
    }
    assert data, "the kernels are data files"
    assert sorted(data - listed) == []
