"""What -O3 gives a model over -O2, on an emulated Cortex-M4: instructions and bytes of code.

    python benchmarks/levels.py FOLDER...

Each folder is one that `tflm-opt optimize MODEL -o FOLDER` wrote. Instructions are those of one
inference, exact, and not cycles.
"""

from __future__ import annotations

import sys
import tempfile

import numpy as np

from tflm_opt import boards
from tflm_opt.runtime import firmware, machine, qemu


def measure(folder: str, level: str) -> tuple[int, int]:
    """Instructions of an inference and bytes of code at a level: `measure("out", "-O3")`."""
    usual = machine.ENGINE_FLAGS
    machine.ENGINE_FLAGS = tuple(level if flag == "-O2" else flag for flag in usual)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            board = boards.get("qemu_m4")
            built = firmware.build(folder, board, scratch)
            rng = np.random.default_rng(0)
            sample = [
                rng.integers(-128, 128, port.shape).astype(port.dtype)
                for port in built.interface.inputs
            ]
            return qemu.run(built, board, [sample]).instructions[0], built.sizes.code
    finally:
        machine.ENGINE_FLAGS = usual


def main(folders: list[str]) -> None:
    """Print a table of the folders."""
    print("| model | instructions -O2 | -O3 | code -O2 | -O3 |\n|---|---|---|---|---|")
    for folder in folders:
        name = firmware.read_interface(folder).name
        (slow, small), (fast, large) = (measure(folder, level) for level in ("-O2", "-O3"))
        print(f"| {name} | {slow:,} | {fast:,} ({fast / slow - 1:+.2%}) | {small:,} | {large:,} |")


if __name__ == "__main__":
    main(sys.argv[1:])
