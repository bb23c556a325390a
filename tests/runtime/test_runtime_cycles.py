"""Estimates of cycles: the table, the classes of instructions, and sums done by hand."""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tflm_opt import boards
from tflm_opt.boards import Flash
from tflm_opt.kernels import table as kernel_table
from tflm_opt.runtime import cycles, disassembly, machine, tally
from tflm_opt.runtime.disassembly import Instruction

CORES = ("cortex-m0plus", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33", "cortex-m55")
ARM = pytest.mark.skipif(not shutil.which("arm-none-eabi-gcc"), reason="needs the Arm compiler")


def code(text: str) -> list[Instruction]:
    """Instructions, with semicolons between; those with `.w`, vectors and DSP take 4 bytes."""
    found, address = [], 0x100
    for part in text.replace("\n", ";").split(";"):
        mnemonic, _, operands = part.strip().partition(" ")
        if mnemonic:
            wide = mnemonic.endswith(".w") or mnemonic.startswith(("v", "sm", "ldrd", "strd"))
            found.append(Instruction(address, 4 if wide else 2, mnemonic, operands.strip()))
            address = found[-1].end
    return found


def total(text: str, core: str, taken: int = 0) -> float:
    """Cycles of a straight run, of whose last branch so many are taken."""
    counts: Counter[str] = Counter({"taken": taken})
    for one in cycles.events(code(text), core):
        counts.update(one)
    return cycles.estimate(counts, core)


def test_the_table_is_whole() -> None:
    assert cycles.cores() == CORES
    seen: dict[tuple[str, bool], str] = {}
    for row in cycles.rows().values():
        assert row.source, row.name
        assert {core.partition(".")[0] for core in row.cycles} <= set(CORES)
        for mnemonic in row.mnemonics:
            key = mnemonic, row.name.startswith("vector")
            assert key not in seen, f"{mnemonic} is in {row.name} and in {seen[key]}"
            seen[key] = row.name
    undocumented = {"rv32imc", "xtensa-lx7"}
    assert {board.core for board in boards.all()} - set(CORES) == undocumented


# What each loop or run takes on an M4 by the TRM's table, worked out by hand.
M4_RUNS = [
    ("adds r0, r0, #1; adds r1, r1, #1", 0, 2),
    ("ldr r0, [r1, #0]", 0, 2),
    ("ldr r0, [r1, #0]; ldr r2, [r3, #0]", 0, 3),  # the TRM: "normally three cycles total"
    ("ldr r0, [r1, r5]; ldr r1, [r2]; ldr r2, [r3, #4]", 0, 4),  # and "normally four"
    ("ldr.w r0, [r1, r2]; str r0, [r3, #20]", 0, 3),
    ("ldr.w r0, [r1, r2]; str r1, [r3, r2]", 0, 3),
    ("ldr r0, [r1, #0]; ldr r2, [r0, #0]", 0, 4),  # the address is what was loaded
    ("ldr.w r0, [r1], #4; ldr.w r2, [r1], #4; ldrsb.w r3, [r1, #1]!", 0, 4),
    ("str r0, [r1, #0]; ldr r2, [r3, #0]", 0, 3),  # nothing is pipelined after a store
    ("str r0, [r1, r2]", 0, 2),
    ("adds r1, #4; ldr r0, [r1, #0]", 0, 4),  # no forwarding from the ALU to an address
    ("adds r2, #4; ldr r0, [r1, #0]", 0, 3),
    ("ldmia.w r0!, {r4, r5, r6, r7}", 0, 5),
    ("ldrd r0, r1, [r2, #0]; strd r0, r1, [r3, #0]", 0, 6),
    ("push {r4, r5, lr}; pop {r4, r5, pc}", 1, 4 + 4 + 2),
    ("subs r0, #1; bne.n 100", 1, 1 + 1 + 2),
    ("subs r0, #1; bne.n 100", 0, 2),
    ("bl 200", 1, 3),
    ("smlad r0, r1, r2, r0; smmla r3, r4, r5, r6; smlal r0, r1, r2, r3; mul.w r0, r1, r2", 0, 4),
    ("mla r0, r1, r2, r3; umull r0, r1, r2, r3", 0, 2),
    ("sdiv r0, r1, r2", 0, 7),
    ("itt eq; moveq r0, #1; moveq r1, #2", 0, 3),
    ("ssat r0, #8, r0, asr #3; strb.w r0, [r1], #1", 0, 2),
    ("vldr s0, [r0]; vldr d1, [r0, #8]; vpush {d8, d9}", 0, 2 + 3 + 5),
    ("vmul.f32 s0, s1, s2; vfma.f32 s0, s1, s2; vdiv.f32 s0, s1, s2; vmov r0, r1, d0", 0, 20),
    ("tbb [pc, r0]", 1, 4),
    ("ldr pc, [r0, #0]", 1, 4),
    ("mov pc, lr", 1, 3),
    # Two channels of two pixels, four at a time: the inner loop of a trial, 18 cycles for 16 MACs.
    (
        "ldmia.w r0!, {r4, r5, r6, r7}; ldmia.w r1!, {r8, r9, sl, fp};"
        + "smlad ip, r4, r8, ip; smlad lr, r5, r9, lr;" * 4,
        0,
        18,
    ),
]


@pytest.mark.parametrize(("text", "taken", "want"), M4_RUNS)
def test_runs_on_an_m4_by_hand(text: str, taken: int, want: int) -> None:
    assert total(text, "cortex-m4", taken) == want


OTHER_RUNS = [
    # M0+, DDI 0484C table 3-1: loads and stores 2, lists 1 + N, a return by pop 3 + N, bl 3.
    ("cortex-m0plus", "ldr r0, [r1, #0]; ldr r2, [r3, #0]; strb r0, [r1, #0]", 0, 6),
    ("cortex-m0plus", "push {r4, lr}; pop {r4, pc}", 1, 3 + 5),
    ("cortex-m0plus", "muls r0, r1, r0; bl 200", 1, 4),
    ("cortex-m0plus.small-multiply", "muls r0, r1, r0; bl 200", 1, 35),
    ("cortex-m0plus", "subs r0, #1; bne.n 100", 1, 3),
    ("cortex-m0plus", "bx lr", 1, 2),
    # M3, DDI 0337I table 3-1: as the M4, but long multiplies 3 to 5 and 4 to 7, and mla 2.
    ("cortex-m3", "mla r0, r1, r2, r3; smull r0, r1, r2, r3; smlal r0, r1, r2, r3", 0, 11.5),
    ("cortex-m3", "ldr r0, [r1, #0]; ldr r2, [r3, #0]; subs r0, #1; bne.n 100", 1, 3 + 1 + 3),
    # M7: pairs, unless the second needs the first, or both need one unit.
    ("cortex-m7", "adds r0, #1; adds r1, #1", 0, 1),
    ("cortex-m7", "adds r0, #1; adds r0, #1", 0, 2),
    ("cortex-m7", "adds r0, #1; adds r1, #1; adds r2, #1; adds r3, #1", 0, 2),
    ("cortex-m7", "ldr r0, [r1, #0]; ldr r2, [r3, #0]", 0, 2),
    ("cortex-m7", "ldr r0, [r1, #0]; adds r2, #1", 0, 1),
    ("cortex-m7", "ldr r0, [r1, #0]; adds r0, #1", 0, 3),  # what is loaded comes a cycle later
    ("cortex-m7", "smlad r0, r1, r2, r0; smlad r3, r1, r2, r3", 0, 2),
    ("cortex-m7", "smlad r0, r1, r2, r0; ldr r3, [r4, #0]", 0, 1),
    ("cortex-m7", "ldr r3, [r4, #0]; smlad r0, r1, r2, r0", 0, 2),  # a DSP instruction comes first
    ("cortex-m7", "lsls r0, r1, #2; lsls r2, r3, #2", 0, 2),  # one shifter
    ("cortex-m7", "subs r0, #1; bne.n 100", 1, 1),  # predicted
    ("cortex-m7", "ldmia.w r0!, {r4, r5, r6, r7}", 0, 3),
    # M33: pairs of 16-bit instructions only.
    ("cortex-m33", "adds r0, #1; adds r1, #1", 0, 1),
    ("cortex-m33", "adds r0, #1; add.w r8, r8, #1", 0, 2),
    ("cortex-m33", "ldr r0, [r1, #0]; ldr r2, [r3, #0]", 0, 2),
    # M55: a vector instruction takes 2 cycles, and 1 behind one of another unit.
    ("cortex-m55", "vldrb.u8 q0, [r0], #16; vldrb.u8 q1, [r1], #16", 0, 4),
    ("cortex-m55", "vldrb.u8 q0, [r0], #16; vmladava.s8 r2, q0, q1", 0, 3),
    (
        "cortex-m55",
        "vldrb.u8 q0, [r0]; vmladava.s8 r2, q0, q1; vldrb.u8 q0, [r0]; le lr, 100",
        1,
        4,
    ),
    ("cortex-m55", "vldrw.u32 q0, [r0, q1, uxtw #2]", 0, 4),  # an address a cycle
    ("cortex-m55", "vldrb.s32 q0, [r0, q1]; vstrb.8 q0, [r0, q1]", 0, 4 + 16),
    ("cortex-m55", "vpst; vmlavat.s8 r0, q0, q1", 0, 3),
    ("cortex-m55", "vmov.8 q0[3], r1; csel r0, r1, r2, eq; dls lr, r0", 0, 3),
]


@pytest.mark.parametrize(("core", "text", "taken", "want"), OTHER_RUNS)
def test_runs_on_other_cores_by_hand(core: str, text: str, taken: int, want: float) -> None:
    last = code(text)[-1]
    assert total(text, core, taken if cycles.may_be_taken(last) else 0) == want


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("bls.n 100", "branch"),
        ("ble.w 100", "branch"),
        ("blt.n 100", "branch"),
        ("bleq 100", "branch-link"),
        ("blx r3", "branch-exchange"),
        ("le lr, 100", "loop-end"),
        ("movs r0, #1", "alu"),
        ("lslsne r0, r1", "alu"),
        ("teq r0, r1", "alu"),
        ("bics r0, r1", "alu"),
        ("sbcs r0, r1", "alu"),
        ("muls r0, r1, r0", "multiply"),
        ("mls r0, r1, r2, r3", "multiply-accumulate"),
        ("smlald r0, r1, r2, r3", "multiply-dsp"),
        ("ldrhi r0, [r1, #0]", "load"),
        ("ldrsb.w r0, [r1], #1", "load"),
        ("strne.w r0, [r1, r2, lsl #2]", "store-register-offset"),
        ("str.w r0, [r1], #4", "store"),
        ("vmov.f32 s0, s1", "float"),
        ("vmov d8, r0, r1", "float-move-double"),
        ("vmov s15, sl", "float"),
        ("vmov q0[2], q0[0], r0, r1", "vector-lane"),
        ("vmov q0, q1", "vector-alu"),
        ("vadd.i32 q0, q1, q2", "vector-alu"),
        ("vaddt.i32 q0, q1, q2", "vector-alu"),
        ("vmul.i32 q0, q1, r2", "vector-multiply"),
        ("vmul.f32 s0, s1, s2", "float-multiply"),
        ("vpte.i8 eq, q0, q1", "vector-alu"),
        ("vpstete", "vector-predicate"),
        ("vctp.8 r2", "vector-predicate"),
        ("popne {r4, pc}", "multiple-pc"),
    ],
)
def test_classes(text: str, name: str) -> None:
    assert cycles.classify(code(text)[0]) == name


def test_unknown_instructions_and_cores_are_named() -> None:
    with pytest.raises(cycles.UnknownInstruction, match="`frob r0, r1` at 0x100"):
        cycles.classify(code("frob r0, r1")[0])
    with pytest.raises(ValueError, match="no timings for cortex-a53"):
        cycles.estimate({"alu": 1}, "cortex-a53")
    with pytest.raises(ValueError, match="cortex-m3 has no instructions of the class dsp"):
        cycles.estimate({"dsp": 1}, "cortex-m3")
    with pytest.raises(KeyError):
        cycles.estimate({"nonsense": 1}, "cortex-m4")


def test_an_estimate_is_a_sum_of_products() -> None:
    counts = {"multiply-dsp": 1000, "load": 500, "pipelined": 400, "taken": 100}
    assert cycles.estimate(counts, "cortex-m4") == 1000 + 1000 - 400 + 200
    twice = {name: 2 * count for name, count in counts.items()}
    assert cycles.estimate(twice, "cortex-m4") == 2 * cycles.estimate(counts, "cortex-m4")


def test_waits_grow_with_wait_states_and_caches_hide_code() -> None:
    one = tally.Tally(instructions=10, counts=Counter(alu=10), code_lines=5, data_lines=3)
    waits = [tally.waits(one, Flash(n, 16, 128, code_cached=False)) for n in range(8)]
    assert waits == [n * 8 for n in range(8)]
    assert tally.waits(one, Flash(7, 16, 128, code_cached=True)) == 21
    assert tally.cycles(one, "cortex-m4") == 10


KERNEL_CORES = ("cortex-m0plus", "cortex-m4", "cortex-m55")  # one for each tier


@ARM
@pytest.mark.slow
@pytest.mark.parametrize("core", KERNEL_CORES)
def test_every_instruction_of_the_kernels_has_a_class_and_a_cost(core: str, tmp_path: Path) -> None:
    board = next(board for board in boards.all() if board.core == core)
    sources = [
        str(kernel_table.source(kernel, tier))
        for kernel in kernel_table.kernels().values()
        for tier in kernel.tiers
    ]
    command = [machine.compiler(), *board.flags, *machine.ENGINE_FLAGS, f"-I{kernel_table.INCLUDE}"]
    subprocess.run([*command, "-c", *sorted(set(sources))], cwd=tmp_path, check=True)
    objects = sorted(tmp_path.glob("*.o"))
    assert len(objects) > 40
    seen: Counter[str] = Counter()
    for path in objects:
        for one in disassembly.disassemble(path, board).values():
            name = cycles.classify(one)
            cycles.cost(name, core)
            seen[name] += 1
    assert seen.total() > 5000
    assert {"alu", "load", "store", "branch", "multiple"} <= set(seen)
