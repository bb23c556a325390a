"""The commands that make a result again, from what its report says was asked for."""

from __future__ import annotations

import shlex
from typing import Any

from .. import boards
from ..errors import UnknownBoard

# What an option is when it is not given: the commands leave it out then.
_DEFAULTS = {
    "runtime": "engine",
    "input": "resident",
    "io": "int8",
    "activations": "int8",
    "max_extra_macs": 0.0,
    "max_slowdown": 1.3,
    "kernels": "reference",
    "reserve": 0,
    "name": None,
    "vectors": 16,
    "seed": 0,
    "sram": None,
    "flash": None,
    "board": None,
}


def commands(data: dict[str, Any]) -> list[str]:
    """Shell commands: make it, prove it, count it. Empty where nobody knows what was asked."""
    request = data["request"]
    if request is None:
        return []
    out = "out"
    model = shlex.quote(request["model"] or f"{data['name']}.tflite")
    found = [" ".join(["tflm-opt optimize", model, *options(request), f"-o {out}"])]
    # Layers in int4 are not what the file says: those can't be proved against it.
    if model.endswith(".tflite") and data["mixed"] is None:
        found.append(f"tflm-opt verify {model} {out}")
    # Without its proof a result has no test vectors, and these run one.
    if data["runtime"] == "engine" and request["verify"] and _runs(data["board"]):
        found.append(f"tflm-opt measure {out} --board {data['board']}")
        profiled = data["board"] if data["profile"] is None else data["profile"]["board"]
        found.append(f"tflm-opt report {out} --profile {profiled} -o report.html")
    return found


def _runs(board: str) -> bool:
    """Whether it is a board of the table, and an emulated one runs its code."""
    try:
        found = boards.get(board)
    except UnknownBoard:
        return False
    return bool(found.qemu or found.emulated_by)


def options(request: dict[str, Any]) -> list[str]:
    """The options of `tflm-opt optimize` that differ from their defaults."""
    found = []
    for key, usual in _DEFAULTS.items():
        value = request.get(key, usual)  # older reports have fewer
        if value != usual:
            text = "inf" if value is None else str(value)
            found.append(f"--{key.replace('_', '-')} {shlex.quote(text)}")
    if request.get("compress"):
        found.append("--compress")
    found += [f"--int16 {shlex.quote(layer)}" for layer in request.get("int16", ())]
    if not request["verify"]:
        found.append("--no-verify")
    if request["calibration"]:
        found.append("--calibration DATA.npy")
    return found
