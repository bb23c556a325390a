"""The test nets as `.tflite` bytes, built once and kept under `build/test-models/`.

    from models.cache import NAMES, tflite
    data = tflite("mobilenet_v2_035_96")

Building happens in a child process, so TensorFlow is never loaded by the tests that only want
the bytes. The folder is named by a hash of what the bytes depend on (builders, converter,
versions). Safe under pytest-xdist: one process builds, the others wait at a lock, and files
appear by atomic rename.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import importlib.util
import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

NAMES = (
    "mobilenet_v1_025_96",
    "mobilenet_v2_035_96",
    "resnet_8",
    "ds_cnn",
    "se_net",
    "unet",
    "two_eyes",
    "op_zoo",
)
# Built one at a time, when a benchmark asks.
LARGE = ("mobilenet_v2_035_144", "mobilenet_v2_100_224")

_ROOT = Path(__file__).resolve().parents[2]
_SOURCES = (
    _ROOT / "tests" / "models" / "builders.py",
    _ROOT / "tflm_opt" / "quant" / "convert.py",
)
_LARGE_SOURCES = (*_SOURCES, _ROOT / "tests" / "models" / "large.py")
_BUILD_SECONDS = 600
_LARGE_SECONDS = 3600


def tflite(name: str) -> bytes:
    """The full-int8 `.tflite` of a net in `builders.py` or `large.py`, int8 in and out.

    Skips the test if it must be built and TensorFlow is not installed.
    """
    if name not in (*NAMES, *LARGE):
        raise KeyError(f"no test model {name!r}; there are {', '.join((*NAMES, *LARGE))}")
    large = name in LARGE
    path = _folder(_LARGE_SOURCES if large else _SOURCES) / f"{name}.tflite"
    if not path.exists():
        names, seconds = ((name,), _LARGE_SECONDS) if large else (NAMES, _BUILD_SECONDS)
        _build_missing(path.parent, names, seconds)
    return path.read_bytes()


@functools.cache
def _folder(sources: tuple[Path, ...]) -> Path:
    digest = hashlib.sha256()
    for source in sources:
        digest.update(source.read_bytes())
    for package in ("tensorflow", "keras", "numpy"):
        try:
            digest.update(f"{package}={version(package)};".encode())
        except PackageNotFoundError:
            digest.update(f"{package}=none;".encode())
    return _ROOT / "build" / "test-models" / digest.hexdigest()[:16]


def _build_missing(folder: Path, names: tuple[str, ...], seconds: int) -> None:
    if importlib.util.find_spec("tensorflow") is None:
        pytest.skip("the test models have to be built, and TensorFlow is not installed")
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        missing = [name for name in names if not (folder / f"{name}.tflite").exists()]
        if not missing:
            return
        child = subprocess.run(
            [sys.executable, __file__, str(folder), *missing],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(_ROOT), str(_ROOT / "tests")])},
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        if child.returncode != 0:
            raise RuntimeError(f"building the test models failed:\n{child.stderr[-4000:]}")


def _build(folder: Path, names: list[str]) -> None:
    """In the child: build and quantize each net, and let its file appear by rename."""
    from models import builders, large

    from tflm_opt import quant

    for name in names:
        model, data = (large if name in LARGE else builders).build(name)
        unfinished = folder / f"{name}.{os.getpid()}.part"
        unfinished.write_bytes(quant.quantize(model, data).tflite)
        unfinished.replace(folder / f"{name}.tflite")


if __name__ == "__main__":
    _build(Path(sys.argv[1]), sys.argv[2:])
