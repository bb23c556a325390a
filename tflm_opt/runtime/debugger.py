"""How many instructions each op ran, told by QEMU's debugger: slower than `profiler`, and less.

For where QEMU takes no plugins. QEMU is stopped wherever control passes from one op's code to
another's, and asked for its count of instructions, which it keeps when it records a run: exact, and
the program is not changed. A stop takes about a millisecond, so a model that runs a few pixels at
a time takes half a minute. The protocol is GDB's remote one.
"""

from __future__ import annotations

import re
import socket
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tflm_opt.boards import Board
from tflm_opt.errors import ToolFailed
from tflm_opt.runtime import disassembly, machine, qemu
from tflm_opt.runtime.disassembly import Instruction
from tflm_opt.runtime.firmware import Firmware
from tflm_opt.runtime.profiler import Range, root

_COUNT = re.compile(r"instruction count = (\d+)")
_STARTS = 30.0  # seconds that QEMU may take to listen
_BRANCHES = ("b", "cb", "le", "wls", "j")  # Arm's and RISC-V's
_TARGET = re.compile(r"^(?:\w+, )?([0-9a-f]+)$")


def contexts(
    firmware: Firmware,
    board: Board,
    sample: Sequence[np.ndarray],
    ranges: Sequence[Range],
    *,
    timeout: float = 3600.0,
) -> dict[int, int]:
    """Instructions of one invoke by context, as `profiler.trace` and `tally` attribute them.

    Raises:
        ToolFailed: QEMU ended, does not answer, or takes too long.
    """
    stops = entries(disassembly.disassemble(firmware.elf, board), ranges)
    with tempfile.TemporaryDirectory(prefix="tflm_opt_") as name:
        folder = Path(name)
        qemu.write_inputs(folder, firmware.interface, [sample])
        with _Session(firmware.elf, board, folder, timeout) as session:
            return _watch(session, root(firmware), stops)


def entries(code: Mapping[int, Instruction], ranges: Sequence[Range]) -> dict[int, int]:
    """Where code of one context can be entered from another's, by address: the context."""
    where = {a: r.context for r in ranges for a in range(r.start, r.end, 2)}
    found: dict[int, int] = {}
    for start, context in where.items():
        if start not in code:
            continue
        for after in (code[start].end, _target(code[start])):
            if after in where and where[after] != context:
                found[after] = where[after]
    return found


def _target(one: Instruction) -> int | None:
    """Where a branch leads, if its operands say so."""
    match = _TARGET.match(one.operands)
    return int(match[1], 16) if match and one.mnemonic.startswith(_BRANCHES) else None


def _watch(session: _Session, start: int, stops: Mapping[int, int]) -> dict[int, int]:
    session.stop_at(start)
    session.go()
    before, context = session.count(), 0
    end = session.register(session.toolchain.link_register) & ~1
    for address in {*stops, end}:
        session.stop_at(address)
    if start not in stops:
        session.no_stop_at(start)
    counts: Counter[int] = Counter()
    here = start
    context = stops.get(start, context)
    while True:
        here = session.go_on_from(here, here in stops)
        now = session.count()
        counts[context] += now - before
        before = now
        if here == end:
            return dict(counts)
        context = stops[here]


class _Session:
    """A QEMU that waits for a debugger, and the debugger's end of the line."""

    def __init__(self, program: Path, board: Board, folder: Path, timeout: float) -> None:
        path = folder / "debugger"
        self.toolchain = board.toolchain
        self._late = time.monotonic() + timeout
        self._limit = timeout
        self._process = subprocess.Popen(
            [
                *(machine.qemu_program(board), *machine.arguments(board, folder / "record.bin")),
                *("-chardev", f"socket,path={path},server=on,wait=off,id=debugger"),
                *("-gdb", "chardev:debugger", "-S", "-kernel", str(program)),
            ],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        self._line = socket.socket(socket.AF_UNIX)
        self._received = b""
        try:
            self._connect(path)
            # Registers can be asked for one by one only after their description.
            self._ask("qXfer:features:read:target.xml:0,1000")
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self) -> _Session:
        return self

    def __exit__(self, *_: object) -> None:
        self._line.close()
        self._process.kill()
        self._process.wait()
        if self._process.stderr is not None:
            self._process.stderr.close()

    def stop_at(self, address: int) -> None:
        self._ask(f"Z0,{address:x},2")

    def no_stop_at(self, address: int) -> None:
        self._ask(f"z0,{address:x},2")

    def go(self) -> int:
        """Run to the next stop: its address."""
        self._ask("c")
        return self.register(self.toolchain.program_counter)

    def go_on_from(self, here: int, stops_here: bool) -> int:
        """Run on from an address, which may be a stop itself, to the next stop: its address."""
        if stops_here:
            self.no_stop_at(here)
            self._ask("s")
            self.stop_at(here)
        return self.go()

    def register(self, number: int) -> int:
        return int.from_bytes(bytes.fromhex(self._ask(f"p{number:x}")), "little")

    def count(self) -> int:
        """Instructions since reset."""
        said = ""
        answer = self._ask("qRcmd," + b"info replay".hex())
        while answer.startswith("O") and answer != "OK":
            said += bytes.fromhex(answer[1:]).decode("utf-8", "replace")
            answer = self._receive()
        found = _COUNT.search(said)
        if found is None:
            raise ToolFailed("QEMU", f"it does not tell how many instructions ran: {said.strip()}")
        return int(found[1])

    def _connect(self, path: Path) -> None:
        until = time.monotonic() + _STARTS
        while True:
            try:
                self._line.connect(str(path))
                return
            except OSError:
                if self._process.poll() is not None or time.monotonic() > until:
                    raise ToolFailed("QEMU", "it takes no debugger", output=self._said()) from None
                time.sleep(0.01)

    def _said(self) -> str:
        self._process.kill()
        said = self._process.stderr.read() if self._process.stderr is not None else b""
        return said.decode("utf-8", "replace").strip()

    def _ask(self, text: str) -> str:
        data = text.encode()
        self._line.sendall(b"$%s#%02x" % (data, sum(data) & 0xFF))
        return self._receive()

    def _receive(self) -> str:
        """The next packet, acknowledged."""
        while (match := re.search(rb"\$([^#]*)#..", self._received, re.S)) is None:
            left = self._late - time.monotonic()
            if left <= 0:
                raise ToolFailed("QEMU", f"still running after {self._limit:g} s; it was stopped")
            self._line.settimeout(left)
            try:
                more = self._line.recv(1 << 16)
            except TimeoutError:
                continue
            except OSError:
                more = b""
            if not more:
                raise ToolFailed("QEMU", "it ended while it was watched", output=self._said())
            self._received += more
        self._received = self._received[match.end() :]
        self._line.sendall(b"+")
        return match[1].decode("latin-1")
