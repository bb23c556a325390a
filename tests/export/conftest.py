"""What tests that build with PlatformIO share."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def pio_environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """PlatformIO with a core directory of its own, set up from PyPI's SCons."""
    pytest.importorskip("platformio")
    environment = dict(os.environ)
    environment["PLATFORMIO_CORE_DIR"] = str(tmp_path_factory.mktemp("pio-core"))
    environment["PLATFORMIO_SETTING_ENABLE_TELEMETRY"] = "no"
    script = ROOT / "scripts" / "bootstrap_platformio.py"
    for _ in range(2):  # the second time there is nothing left to do
        subprocess.run([sys.executable, str(script)], env=environment, check=True)
    return environment
