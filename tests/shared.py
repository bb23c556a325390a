"""What all workers of a run need and one of them makes, such as a board's library.

folder = shared.made("qemu_m4", lambda folder: build(folder))
"""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

VARIABLE = "TFLM_OPT_TESTS_SHARED"  # which workers inherit


@cache
def root() -> Path:
    """The run's folder; it goes when the process ends that asked for it first."""
    if VARIABLE not in os.environ:
        os.environ[VARIABLE] = tempfile.mkdtemp(prefix="tflm_opt_tests_")
        atexit.register(shutil.rmtree, os.environ[VARIABLE], ignore_errors=True)
    return Path(os.environ[VARIABLE])


def made(name: str, make: Callable[[Path], None]) -> Path:
    """A folder that the first who asks for it fills, while others wait; never a part of it."""
    folder = root() / name
    with (root() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            partial = Path(tempfile.mkdtemp(dir=root()))
            make(partial)
            partial.rename(folder)
    return folder
