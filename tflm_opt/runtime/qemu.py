"""Run firmware on an emulated Cortex-M or RISC-V core and count its instructions, exactly.

QEMU's `-icount` gives every instruction the same share of virtual time, so a hardware counter
of the emulated machine counts them: the same number in every run, to the last one. They are
instructions, **not cycles**: flash wait states, caches, dual issue and vector beats are not
modelled. What the reading itself costs is measured on a function of one instruction and taken
off, so a count covers the instructions of `<name>_invoke` from its first to its return.

Samples go in, and results come out, through files (semihosting), so one program serves any
number of samples. The stack is measured by painting it before each invoke.
"""

from __future__ import annotations

import re
import struct
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tflm_opt.boards import Board
from tflm_opt.errors import ToolFailed
from tflm_opt.runtime import elf, machine, process
from tflm_opt.runtime.firmware import Firmware, Interface, Port

_RECORD = struct.Struct("<QIiII")  # struct record of core/harness.c
_FAULT = re.compile(r"^FAULT exception=0x([0-9a-f]+).*?(?: pc=0x([0-9a-f]+))?(?: lr=.*)?$", re.M)
_HARNESS = re.compile(r"^HARNESS (.+)$", re.M)


@dataclass(frozen=True, slots=True)
class QemuRun:
    """What a run on an emulated board gave.

    Attributes:
        outputs: `outputs[sample][output]`, in the model's dtypes and shapes.
        instructions: of each invoke: exact, and not cycles.
        stack: the most bytes of stack that an invoke wrote to, measured.
    """

    outputs: list[list[np.ndarray]]
    instructions: list[int]
    stack: int


def run(
    firmware: Firmware,
    board: Board,
    samples: Sequence[Sequence[np.ndarray]],
    *,
    options: Sequence[str] = (),
    timeout: float = 600.0,
) -> QemuRun:
    """Run built firmware over samples: `run(firmware, board, [[x] for x in images])`.

    `options` are further arguments of QEMU.

    Raises:
        ToolFailed: a sample of the wrong shape, firmware built for another board, a fault (its
            address and function are named), or no end within `timeout` seconds.
        MissingTool: no QEMU for the board.
    """
    if firmware.board.id != board.id:
        message = f"the firmware was built for {firmware.board.id}, not for {board.id}; build again"
        raise ToolFailed("QEMU", message)
    return run_elf(
        firmware.elf, firmware.interface, board, samples, options=options, timeout=timeout
    )


def run_elf(
    program: Path | str,
    interface: Interface,
    board: Board,
    samples: Sequence[Sequence[np.ndarray]],
    *,
    options: Sequence[str] = (),
    timeout: float = 600.0,
) -> QemuRun:
    """`run` for any program that calls `harness_serve`, as one that PlatformIO built."""
    program = Path(program).resolve()
    with tempfile.TemporaryDirectory(prefix="tflm_opt-") as name:
        folder = Path(name)
        write_inputs(folder, interface, samples)
        start(program, board, folder, options=options, timeout=timeout)
        return _read_results(folder, interface, board, len(samples))


def start(
    program: Path,
    board: Board,
    folder: Path,
    *,
    options: Sequence[str] = (),
    timeout: float = 600.0,
) -> str:
    """Run any program in QEMU, in `folder`; what it printed. Raises as `run`."""
    command = [
        machine.qemu_program(board),
        *machine.arguments(board),
        *options,
        "-kernel",
        str(program),
    ]
    try:
        done = process.run(command, cwd=folder, timeout=timeout)
    except subprocess.TimeoutExpired:
        raise ToolFailed("QEMU", f"still running after {timeout:g} s; it was stopped") from None
    # QEMU shows what the program prints on its standard error.
    text = (done.stdout + done.stderr).decode("utf-8", "replace")
    fault = _FAULT.search(text)
    if fault:
        number = int(fault[1], 16)
        kind = board.toolchain.faults.get(number, f"exception {number}")
        where = elf.function_at(program, int(fault[2], 16)) if fault[2] else "an unknown place"
        raise ToolFailed("QEMU", f"the program ended with a {kind} in {where}", output=text.strip())
    if done.returncode:
        said = _HARNESS.search(text)
        what = f": {said[1]}" if said else ""
        raise ToolFailed(
            "QEMU", f"the program ended with status {done.returncode}{what}", output=text.strip()
        )
    return text


def write_inputs(
    folder: Path, interface: Interface, samples: Sequence[Sequence[np.ndarray]]
) -> None:
    """Leave samples where the program looks for them. Raises `ToolFailed` for a wrong shape."""
    with open(folder / "inputs.bin", "wb") as file:
        for number, sample in enumerate(samples):
            file.writelines(_sample_bytes(number, sample, interface.inputs))


def _sample_bytes(
    number: int, sample: Sequence[np.ndarray], ports: Sequence[Port]
) -> Iterator[bytes]:
    if len(sample) != len(ports):
        raise ToolFailed(
            "QEMU",
            f"sample {number} holds {len(sample)} arrays, and the model has {len(ports)} inputs",
        )
    for index, (array, port) in enumerate(zip(sample, ports, strict=True)):
        array = np.asarray(array)
        if array.dtype != np.dtype(port.dtype) or array.shape != port.shape:
            raise ToolFailed(
                "QEMU",
                f"sample {number}, input {index}: {array.dtype}{list(array.shape)}, "
                f"and the model takes {port.dtype}{list(port.shape)}",
            )
        yield array.tobytes()


def _read_results(folder: Path, interface: Interface, board: Board, samples: int) -> QemuRun:
    records = list(_RECORD.iter_unpack((folder / "counts.bin").read_bytes()))
    data = (folder / "outputs.bin").read_bytes()
    size = sum(port.size for port in interface.outputs)
    if len(records) != samples + 1 or len(data) != samples * size:
        raise ToolFailed("QEMU", f"{len(records) - 1} of {samples} samples came back")
    (fine, coarse, _, stack, _), *runs = records
    overhead = machine.instructions(board, fine, coarse) - 1  # the function timed has one
    for number, record in enumerate(runs):
        if record[2]:
            raise ToolFailed("QEMU", f"invoke returned {record[2]} on sample {number}")
    return QemuRun(
        outputs=[_outputs(data[i * size : (i + 1) * size], interface) for i in range(samples)],
        instructions=[machine.instructions(board, r[0], r[1]) - overhead for r in runs],
        stack=max((r[3] - stack for r in runs), default=0),
    )


def _outputs(data: bytes, interface: Interface) -> list[np.ndarray]:
    arrays, start_at = [], 0
    for port in interface.outputs:
        piece = data[start_at : start_at + port.size]
        arrays.append(np.frombuffer(piece, dtype=port.dtype).reshape(port.shape).copy())
        start_at += port.size
    return arrays
