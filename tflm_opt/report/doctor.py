"""What `tflm-opt doctor` found, as data and as lines."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import terminal

if TYPE_CHECKING:
    from ..doctor import Check


def doctor_data(checks: Sequence[Check]) -> dict[str, Any]:
    """What `tflm-opt doctor --json` prints; `ok`: nothing is missing that is required."""
    from ..doctor import OK

    return {
        "ok": all(check.state == OK for check in checks if check.required),
        "checks": [dataclasses.asdict(check) for check in checks],
    }


def print_doctor(data: dict[str, Any]) -> None:
    """A line a check, then the commands that install what is missing."""
    rows = [
        [check["state"], check["name"], check["found"], check["feature"]]
        for check in data["checks"]
    ]
    styles = {"ok": "green", "missing": "yellow", "too old": "red"}
    terminal.show_table(("", "what", "found", "for"), rows, styles=styles)
    lacking = [check for check in data["checks"] if check["state"] != "ok"]
    if not lacking:
        terminal.say("nothing is missing")
        return
    terminal.say("to install:")
    for command, names in _commands(lacking).items():
        terminal.say(f"  {command:<58}  # {', '.join(names)}")
    if not data["ok"]:
        names = [check["name"] for check in lacking if check["required"]]
        terminal.say(f"needed for every model: {', '.join(names)}")


def _commands(lacking: Sequence[dict[str, Any]]) -> dict[str, list[str]]:
    """What each command brings."""
    found: dict[str, list[str]] = {}
    for check in lacking:
        if check["install"]:
            found.setdefault(check["install"], []).append(check["name"])
    return found
