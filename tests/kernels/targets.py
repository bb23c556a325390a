"""Graphs of single ops on emulated cores: TFLM's bytes, and not a byte beside the outputs.

    battery = Battery.of(cases.graph(), cases.samples(2))
    battery.check(boards.get("qemu_m4"), tmp_path)

What is read and written of a model is not its inputs and outputs but its whole arena. Each sample
comes twice, with other bytes in all that holds no input: in the gaps between buffers, in outputs
and in scratch. Afterwards

- outputs must be TFLM's both times: no byte from outside has a part in them;
- all else but outputs and scratch must be what it was: nothing was written outside of them.

Outputs lie apart from inputs, or over them as far as the arena would lay them (`together`): kernels
of all tiers write in the order that they promise.

The library is compiled once for each board and run of tests, a model once for each layout.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import shared
from opgraph import Layout, layout

from tflm_opt import boards, codegen, graph
from tflm_opt.arena.overlap import safe_distance
from tflm_opt.boards import Board
from tflm_opt.graph.ir import Graph, Op, Tensor
from tflm_opt.kernels import table
from tflm_opt.runtime import firmware, machine, qemu, tflm
from tflm_opt.runtime.firmware import Interface, Port

Samples = list[list[np.ndarray]]

_MAIN = """\
#include "cases.h"
#include "harness.h"

static void *arena(int index)
{{
    return index == 0 ? (unsigned char *)cases_input(0) - {before} : NULL;
}}

static const void *arena_after(int index)
{{
    return arena(index);
}}

int main(void)
{{
    static const size_t size[] = {{{peak}}};
    const struct harness_model model = {{
        cases_init, arena, cases_invoke, arena_after, 1, 1, size, size,
    }};
    return harness_serve(&model) ? 0 : 1;
}}
"""


@dataclass(frozen=True, slots=True, eq=False)
class Battery:
    """A graph of single ops, samples, and what TFLM makes of them."""

    graph: Graph
    samples: Samples
    expected: Samples

    @classmethod
    def of(cls, g: Graph, samples: Samples) -> Battery:
        return cls(g, samples, tflm.run(graph.write(g), samples))

    def check(self, board: Board, folder: Path, plan: Layout | None = None) -> list[int]:
        """Fail unless outputs are TFLM's and nothing else changed. Instructions of each inference.

        Args:
            plan: where buffers lie; by default nothing overlaps.
        """
        plan = plan or layout(self.graph)
        program = build(self.graph, plan, board, folder)
        port = Port(plan.peak, "uint8", (plan.peak,))
        before = list(self._arenas(plan))
        interface = Interface("cases", plan.peak, (port,), (port,))
        run = qemu.run_elf(program, interface, board, [[arena] for arena in before])
        for number, (was, (now,)) in enumerate(zip(before, run.outputs, strict=True)):
            self._compare(plan, self.expected[number // 2], now)
            untouched(self.graph, plan, was, now)
        return run.instructions

    def _arenas(self, plan: Layout, seed: int = 0) -> Sequence[np.ndarray]:
        """Each sample in two arenas, of which no byte that is no input's is the same."""
        rng = np.random.default_rng(seed)
        arenas = []
        for sample in self.samples:
            noise = rng.integers(0, 256, plan.peak, dtype=np.uint8)
            for change in (0, rng.integers(1, 256, plan.peak, dtype=np.uint8)):
                arena = noise ^ np.uint8(change)
                for tensor, values in zip(self.graph.inputs, sample, strict=True):
                    at = plan.offsets[tensor]
                    arena[at : at + tensor.nbytes] = np.frombuffer(values.tobytes(), np.uint8)
                arenas.append(arena)
        return arenas

    def _compare(self, plan: Layout, expected: list[np.ndarray], arena: np.ndarray) -> None:
        places = [(op, tensor) for op in self.graph.ops for tensor in op.outputs]
        for (op, tensor), want in zip(places, expected, strict=True):
            at = plan.offsets[tensor]
            have = arena[at : at + tensor.nbytes].view(want.dtype).reshape(want.shape)
            if have.tobytes() != want.tobytes():
                wrong = np.argwhere(have != want)
                first = tuple(int(i) for i in wrong[0])
                raise AssertionError(
                    f"{described(self.graph, op)}: {len(wrong)} of {have.size} differ, first at "
                    f"{first}: {have[first]} != {want[first]} (TFLM)"
                )


def together(g: Graph, kernels: codegen.Kernels) -> Layout:
    """Each op's output as near below its first input as the arena would lay it, not a byte more."""
    apart = layout(g, kernels)
    offsets = dict(apart.offsets)
    end = apart.peak
    for number, op in enumerate(g.ops):
        source, block = op.inputs[0], kernels.access(op)
        gap = None if block is None else safe_distance(op, 0, block=block)
        if gap is None or source is None or source.constant or op.inputs.count(source) > 1:
            continue
        item = max(source.itemsize, op.output.itemsize)
        start = (end + 31) // 16 * 16 + 5 * number % 16 // item * item
        offsets[op.output] = start
        offsets[source] = start + -(-gap // item) * item
        end = max(start + op.output.nbytes, offsets[source] + source.nbytes)
    return replace(apart, offsets=offsets, peak=(end + 31) // 16 * 16)


def described(g: Graph, op: Op) -> str:
    shapes = [
        (*t.shape, f"zero {t.quant.zero_point.tolist()[:1]}") for t in op.inputs if t and t.quant
    ]
    return f"op {g.ops.index(op)} {op.kind} {op.options} {shapes} to {op.output.shape}"


def untouched(g: Graph, plan: Layout, was: np.ndarray, now: np.ndarray) -> None:
    """Fail if a byte changed that is neither an output's nor scratch."""
    free = np.ones(was.size, bool)
    buffers: list[tuple[int, int, Op | Tensor]] = []
    for op in g.ops:
        for tensor in op.outputs:
            buffers.append((plan.offsets[tensor], tensor.nbytes, op))
        if op in plan.scratch:
            buffers.append((*plan.scratch[op], op))
    for start, size, _ in buffers:
        free[start : start + size] = False
    changed = np.flatnonzero(free & (was != now))
    if changed.size:
        at = int(changed[0])
        start, size, op = min(buffers, key=lambda b: max(b[0] - at, at - b[0] - b[1] + 1))
        assert isinstance(op, Op)
        raise AssertionError(
            f"{changed.size} bytes changed outside of outputs and scratch, first at {at}; nearest "
            f"is a buffer at {start} to {start + size} of {described(g, op)}"
        )


def build(g: Graph, plan: Layout, board: Board, folder: Path) -> Path:
    """A program that serves the arena of a graph's code as one input and one output."""
    sources = codegen.generate(g, plan, name="cases")
    main = _MAIN.format(before=plan.offsets[g.inputs[0]], peak=plan.peak)
    return linked(sources, main, board, folder)


def served(sources: codegen.Sources, samples: Samples, board: Board, folder: Path) -> Samples:
    """Outputs of generated code on a board."""
    ports = (tuple(Port(p.bytes, p.dtype, p.shape) for p in sources.inputs),)
    ports += (tuple(Port(p.bytes, p.dtype, p.shape) for p in sources.outputs),)
    interface = Interface(sources.name, sources.arena, *ports, sources.streamed)
    program = linked(sources, firmware.main_source(interface), board, folder)
    return qemu.run_elf(program, interface, board, samples).outputs


def linked(sources: codegen.Sources, main: str, board: Board, folder: Path) -> Path:
    """Generated code, a `main` and the library as a program."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in sources.files.items():
        (folder / Path(name).name).write_text(text, "utf-8")
    (folder / "main.c").write_text(main, "utf-8")
    (folder / "script.ld").write_text(machine.linker_script(board), "utf-8")
    program = folder / f"{sources.name}.elf"
    gcc = [machine.compiler(board=board), *board.flags, *machine.ENGINE_FLAGS, f"-I{table.INCLUDE}"]
    run([*gcc, f"-I{folder}", "-c", f"{sources.name}.c"], folder)
    run(
        [
            *(*gcc, "-std=gnu11", f"-I{folder}", f"-I{machine.CORE}"),
            *("main.c", f"{sources.name}.o"),
            *map(str, (*core(board.id), *library(board.id))),
            *(*machine.LINK_FLAGS, "-Tscript.ld", "-lm", "-o", str(program)),
        ],
        folder,
    )
    return program


def core(board_id: str) -> tuple[Path, ...]:
    """The objects of start-up code and harness."""
    board = boards.get(board_id)
    sources = sorted(map(str, machine.CORE.glob("*.c")))
    flags = [*board.flags, *machine.ENGINE_FLAGS, "-std=gnu11", f"-I{machine.CORE}"]
    flags += [f"-D{macro}" for macro in machine.defines(board)]

    def make(folder: Path) -> None:
        run([machine.compiler(board=board), *flags, "-c", *sources], folder)

    return tuple(sorted(shared.made(f"core-{board_id}", make).glob("*.o")))


def library(board_id: str) -> tuple[Path, ...]:
    """The objects of all kernels of all tiers."""
    board = boards.get(board_id)
    gcc = [machine.compiler(board=board), *board.flags, *machine.ENGINE_FLAGS]

    def make(folder: Path) -> None:
        for tier in table.TIERS:
            (folder / tier).mkdir()
            sources = sorted(map(str, (table.SOURCES / tier).glob("*.c")))
            if sources:
                run([*gcc, f"-I{table.INCLUDE}", "-c", *sources], folder / tier)

    return tuple(sorted(shared.made(f"kernels-{board_id}", make).rglob("*.o")))


def run(command: Sequence[str], cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout
