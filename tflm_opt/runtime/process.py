"""Run a child process that never outlives the call: not on a time-out, not on Ctrl-C."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def run(
    command: Sequence[str],
    *,
    cwd: Path | str | None = None,
    timeout: float | None = None,
    stdout: Any = subprocess.PIPE,
    stderr: Any = subprocess.PIPE,
) -> subprocess.CompletedProcess[bytes]:
    """Like `subprocess.run`, which on Ctrl-C leaves a child behind that nobody waits for.

    Raises `subprocess.TimeoutExpired` after `timeout` seconds.
    """
    with subprocess.Popen(
        command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr
    ) as child:
        try:
            out, err = child.communicate(timeout=timeout)
        except BaseException:
            child.kill()
            child.wait()
            raise
        return subprocess.CompletedProcess(child.args, child.returncode, out, err)
