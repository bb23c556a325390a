"""Which process on which machine this is, and whether another one still runs."""

from __future__ import annotations

import functools
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def here() -> dict[str, Any]:
    """This process: a machine's name and what tells it from others of that name, and a process.

    Processes are numbered anew after a start of the machine and in each container, and numbers
    are used again; so the start of the machine, the container and the start of the process count.
    """
    pid = os.getpid()
    return {"host": platform.node(), "machine": _machine(), "pid": pid, "born": _born(pid)}


def is_dead(worker: Mapping[str, Any]) -> bool | None:
    """Whether a process that `here` described has ended; None for one of another machine."""
    same = worker.get("host") == platform.node() and worker.get("machine") == _machine()
    if not same or not _machine():
        return None
    return _born(int(worker["pid"])) != worker["born"]


@functools.cache
def _machine() -> str:
    """The start of the machine, and the space of process numbers; "" where that isn't known."""
    try:
        started = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        return f"{started} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _born(pid: int) -> str:
    """When a process started, in the kernel's ticks; "" if there is none, or it has ended."""
    try:
        # After the name, which may hold anything, come the state and 18 more before the start.
        rest = Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if rest[0] in "ZX" else rest[19]
