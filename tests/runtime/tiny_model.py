"""A hand-written "generated" model, for the tests of firmware and emulator: no codegen needed.

Output = input + 1 (wrapping), with a nested frame and a call into the compiler's library.
"""

from __future__ import annotations

import json
from pathlib import Path

HEADER = """\
#ifndef TINY_H
#define TINY_H
int tiny_init(void);
void *tiny_input(int index);
int tiny_invoke(void);
const void *tiny_output(int index);
#endif
"""

SOURCE = """\
#include "tiny.h"
#include <stdint.h>
#include <string.h>

enum { COUNT = 16 };
static int8_t arena[2 * COUNT];
static const int8_t weights[1000] = {1, 2, 3};
static uint32_t calls = 7;
static uint32_t state[3];

int tiny_init(void) { state[1] = 0; return 0; }
void *tiny_input(int index) { (void)index; return arena; }
const void *tiny_output(int index) { (void)index; return arena + COUNT; }

__attribute__((noinline)) static int deep(const int8_t *data)
{
    volatile int8_t copy[200];
    memcpy((void *)copy, (const void *)data, COUNT);
    for (int i = COUNT; i < 200; i++) { copy[i] = weights[(state[1] + (uint32_t)i) % 1000u]; }
    return copy[3] + (int)(((uint64_t)state[1] << 20) / ((uint64_t)calls << 3 | 5u));
}

int tiny_invoke(void)
{
    state[2] += (uint32_t)deep(arena);
    calls++;
    state[1] += calls;
    for (int i = 0; i < COUNT; i++) { arena[COUNT + i] = (int8_t)(uint8_t)(arena[i] + 1); }
    return %(status)s;
}
"""

# Exactly 3 + 2 * input[0..3] instructions: load, subtract, branch ..., return.
LOOP = """\
#include "tiny.h"
#include <stdint.h>

static uint32_t arena[8];
int tiny_init(void) { return 0; }
void *tiny_input(int index) { (void)index; return arena; }
const void *tiny_output(int index) { (void)index; return arena + 4; }

__attribute__((naked)) static int loop(void)
{
#if defined(__riscv)
    __asm volatile(
        ".option norelax\\n"
        "lui a0, %%hi(%0)\\n"
        "lw a0, %%lo(%0)(a0)\\n"
        "1: addi a0, a0, -1\\n"
        "bnez a0, 1b\\n"
        "ret\\n"
        : : "i"(arena));
#else
    __asm volatile(
        ".syntax unified\\n"
        "ldr r0, =%c0\\n"
        "ldr r0, [r0]\\n"
        "1: subs r0, r0, #1\\n"
        "bne 1b\\n"
        "bx lr\\n"
        : : "i"(arena));
#endif
}

__attribute__((naked)) int tiny_invoke(void)
{
#if defined(__riscv)
    __asm volatile("j %0\\n" : : "i"(loop));
#else
    __asm volatile("b %c0\\n" : : "i"(loop));
#endif
}
"""


def loop_instructions(iterations: int) -> int:
    """Instructions that `LOOP`'s invoke executes."""
    return 1 + 2 + 2 * iterations + 1


def write_tiny(folder: Path, source: str = SOURCE, status: str = "0") -> Path:
    """Write the folder that codegen would; return it."""
    (folder / "include").mkdir(parents=True)
    (folder / "src").mkdir()
    (folder / "include" / "tiny.h").write_text(HEADER)
    (folder / "src" / "tiny.c").write_text(source.replace("%(status)s", status))
    port = {"bytes": 16, "dtype": "int8", "shape": [1, 16]}
    files = ["include/tiny.h", "src/tiny.c"]
    record = {"name": "tiny", "arena": 32, "inputs": [port], "outputs": [port], "files": files}
    (folder / "model.json").write_text(json.dumps(record))
    return folder
