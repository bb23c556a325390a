"""Data of reports for tests: of a small net, and made hostile."""

from __future__ import annotations

import copy
import dataclasses
import functools
import math
from typing import Any
from unittest import mock

from small_models import residual_tflite

import tflm_opt
from tflm_opt.errors import MissingTool

HOSTILE = "<script>alert(1)</script>\"'&</style>{{ 7 * 7 }}<img src=x onerror=alert(2)>\x00\ud800"


@functools.cache
def result() -> tflm_opt.Result:
    """A small net with streamed stages, as optimized where there is no compiler for Arm.

    Sizes are estimates there, and none of the kernels' many files is compiled.
    """
    none = MissingTool("arm-none-eabi-gcc", needed_for="to build firmware", install="")
    with mock.patch("tflm_opt.runtime.machine.compiler", side_effect=none):
        made = tflm_opt.optimize(
            residual_tflite(), max_slowdown=math.inf, name="small", verify=False, verbose=0
        )
    return dataclasses.replace(made, budget=8192)


def data() -> dict[str, Any]:
    """Of the net as `optimize` leaves it; a copy of the caller's own."""
    return copy.deepcopy(_data())


@functools.cache
def _data() -> dict[str, Any]:
    return result().to_dict()


def share(instructions: int, of: int) -> dict[str, Any]:
    return {
        "instructions": instructions,
        "share": instructions / of,
        "instructions_per_mac": 1.5,
        "cycles": 2 * instructions,
        "cycles_per_mac": 3.0,
    }


def full() -> dict[str, Any]:
    """The same with all that a report may have: a profile, accuracy, errors, warnings."""
    found = data()
    total = 1000 * len(found["layers"])
    found["profile"] = {
        "name": "small",
        "board": "nucleo_f446re",
        "core": "cortex-m4",
        "emulator": "qemu_m4",
        "method": "plugin",
        **share(total, total),
        "macs": found["macs"],
        "cycles_estimate": {
            "board": "nucleo_f446re",
            "core": "cortex-m4",
            "clock_hz": 180_000_000,
            "wait_states": 5,
            "cycles": 2 * total,
            "waits": 10,
            "ms": 0.5,
            "cycles_per_mac": 3.0,
        },
        "layers": [
            {
                **{key: layer[key] for key in ("index", "stage", "kind", "name", "shape", "macs")},
                **share(1000 + (layer["index"] * 37) % 11, total),
                "functions": [{"name": "arm_convolve_s8", "instructions": 900}],
            }
            for layer in found["layers"]
        ],
        "rest": [{"what": "invoke itself", **share(10, total)}],
        "functions": [
            {"name": "arm_convolve_s8", **share(900, total), "classes": {"load": 7, "mac": 9}}
        ],
        "classes": {"load": 7, "mac": 9},
        "notes": [],
    }
    found["accuracy"] = {
        **{"float": 0.91234, "int8": 0.9, "engine": 0.9, "samples": 500},
        "intervals": {key: {"low": 0.87, "high": 0.93} for key in ("float", "int8", "engine")},
        "change": {
            **{"difference": -0.012, "interval": {"low": -0.03, "high": 0.005}},
            **{"lost": 10, "won": 4, "p": 0.18},
        },
    }
    found["diagnosis"] = diagnosis(found["layers"])
    found["quantization"] = [
        {
            "name": "scores",
            "step": 0.125,
            "maximum": 0.31,
            "rms": 0.04,
            "snr_db": 31.25,
            "samples": 500,
        }
    ]
    found["float_parameters"] = 1234
    found["warnings"] = ["NO CALIBRATION DATA: accuracy is not to be trusted"]
    return found


def diagnosis(layers: list[dict[str, Any]]) -> dict[str, Any]:
    """One of made-up figures, a row for each layer; the second loses most."""
    rows = []
    for place, layer in enumerate(layers):
        own = 8.0 if place == 1 else 40.0 - place
        error = {"sqnr_db": own, "maximum": 0.5, "steps": 4.0, "mean": 0.01}
        rows.append(
            {
                **{"op": place, "kind": layer["kind"], "name": layer["name"], "step": 0.125},
                **{"label": layer["name"], "shape": layer["shape"], "own": error, "rank": own},
                **{"accumulated": {**error, "sqnr_db": min(own, 30.0 - place)}},
                **{"channel_sqnr_db": own, "rounding": 0.5, "clipping": 0.0, "clipped": 0.0},
                **{"at_ends": 0.1, "saturated": 0.02, "range_use": 0.7, "channels": 8},
                **{"dead_channels": 1, "removed_channels": 1, "channel_spread": 3.5},
                **{"weight_sqnr_db": 44.0, "weight_spread": 2.0, "per_channel": True},
                **{"moves": False},
            }
        )
    finding = {
        **{"layer": 1, "label": rows[1]["label"], "reason": "channel ranges are unequal"},
        **{"remedy": "Equalize channels"},
    }
    return {
        **{"samples": 32, "compared": len(rows), "layers": rows, "findings": [finding]},
        **{"notes": []},
    }


def hostile() -> dict[str, Any]:
    """The same with every name that a model brings made hostile."""
    found = full()
    for layer in (*found["layers"], *found["profile"]["layers"], *found["inputs"]):
        layer["name"] = HOSTILE
    for buffer in found["arena"]["buffers"]:
        buffer["name"] = HOSTILE
    for row in (*found["diagnosis"]["layers"], *found["diagnosis"]["findings"]):
        row["label"] = HOSTILE
    found["arena"]["steps"] = [HOSTILE] * len(found["arena"]["steps"])
    found["quantization"][0]["name"] = HOSTILE
    found["warnings"] = [HOSTILE]
    found["request"]["model"] = f"{HOSTILE}.tflite"
    return found
