"""Keras model in, firmware out, run on an emulated Cortex-M4: `make demo`.

A small convolutional net learns handwritten digits, `tflm_opt.optimize` fits it into a memory
budget, PlatformIO builds the exported project, and QEMU runs that firmware on digits the net
never saw. Everything is left in build/demo/.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import digits
import numpy as np

import tflm_opt
from tflm_opt import boards
from tflm_opt.runtime import firmware, qemu, tflm, vectors

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "build" / "demo"
BUDGET = "24KiB"
BOARD = "qemu_m4"


def main() -> None:
    began = time.monotonic()
    data = digits.load()
    say(f"{len(data.x_train)} digits to learn from, {len(data.x_test)} held out")
    model = digits.train(data)

    result = tflm_opt.optimize(model, sram=BUDGET, calibration=data.x_train, name="digits")
    result.save(OUT / "optimized", force=True)
    project = result.export("platformio", OUT / "project", board="disco_f746ng", force=True)
    (OUT / "digits.tflite").write_bytes(result.tflite)
    print(result)

    say("Building the project with PlatformIO")
    elf = build(project)
    say(f"Running it in QEMU on {len(data.x_test)} digits")
    (tensor,) = result.graph.inputs
    assert tensor.quant is not None
    samples = [[vectors.quantize(image[np.newaxis], tensor.quant)] for image in data.x_test]
    interface = firmware.read_interface(OUT / "optimized")
    run = qemu.run_elf(elf, interface, boards.get(BOARD), samples)

    expected = tflm.run(result.original, samples)
    report = figures(result, data, run, vectors.compare(expected, run.outputs))
    (OUT / "report.json").write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    print(table(report, result))
    say(f"Done in {time.monotonic() - began:.0f} s; see {OUT.relative_to(ROOT)}/")
    if report["agreement"] != 1.0:
        sys.exit("the firmware differs from TFLM")


def build(project: Path) -> Path:
    """`pio run` of the emulated board's environment: the path of the ELF."""
    environment = dict(os.environ)
    environment.setdefault("PLATFORMIO_CORE_DIR", str(ROOT / ".pio-core"))
    environment["PLATFORMIO_SETTING_ENABLE_TELEMETRY"] = "no"
    command = [sys.executable, "-m", "platformio", "run", "-e", BOARD]
    done = subprocess.run(
        command, cwd=project, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"pio run failed:\n{done.stdout}\n{done.stderr}")
    return project / ".pio" / "build" / BOARD / "firmware.elf"


def figures(
    result: tflm_opt.Result, data: digits.Digits, run: qemu.QemuRun, difference: vectors.Difference
) -> dict[str, Any]:
    """What report.json holds. All sizes in bytes."""
    judged = result.evaluate(data.x_test, data.y_test)
    given = np.array([int(np.argmax(outputs[0])) for outputs in run.outputs])
    counts = sorted(run.instructions)
    assert result.tflm is not None
    figures = result.to_dict()
    return {
        "accuracy": {
            "float": judged.float,
            "int8": judged.int8,
            "firmware": float(np.mean(given == data.y_test)),
        },
        "agreement": difference.agreement,
        "samples": difference.samples,
        "sram": {
            "tflm_before": figures["tflm"]["before"],
            **figures["sram"],
            "stack_measured": run.stack,
        },
        "flash": figures["flash"],
        "instructions": counts[len(counts) // 2],
        "board": BOARD,
        "budget": figures["budget"],
        "macs": figures["macs"],
    }


def table(report: dict[str, Any], result: tflm_opt.Result) -> str:
    accuracy, sram, flash = report["accuracy"], report["sram"], report["flash"]
    before = sram["tflm_before"]
    rows = [
        ("accuracy, float (Keras)", f"{accuracy['float']:.2%}"),
        ("accuracy, int8 (TFLM)", f"{accuracy['int8']:.2%}"),
        ("accuracy, firmware", f"{accuracy['firmware']:.2%}"),
        (
            "firmware equals TFLM in",
            f"{report['agreement']:.4%} of output bytes, {report['samples']} digits",
        ),
        (
            "SRAM, stock TFLM before",
            f"{before['total']:,} bytes: {before['head']:,} tensors + {before['tail']:,} state",
        ),
        (
            "SRAM, firmware after",
            f"{sram['total']:,} bytes: {sram['arena']:,} arena + {sram['runtime']:,} state"
            f" + {sram['stack']:,} stack (worst case; {sram['stack_measured']:,} measured)",
        ),
        (
            "flash",
            f"{flash['total']:,} bytes: {flash['weights']:,} weights + {flash['code']:,} code",
        ),
        ("instructions", f"{report['instructions']:,} per inference (emulated; not cycles)"),
    ]
    return "\n" + "\n".join(f"{label:<26}{value}" for label, value in rows)


def say(text: str) -> None:
    print(f"== {text}", flush=True)


if __name__ == "__main__":
    main()
