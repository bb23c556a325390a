"""Copies within memory: every distance and size, and what they cost beside the C library's."""

from __future__ import annotations

import ctypes
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from emulated import marked

from tflm_opt import boards
from tflm_opt.kernels import table
from tflm_opt.runtime import elf, firmware, qemu
from tflm_opt.runtime.host import compiler

SOURCE = table.source(table.kernels()["tflm_opt_move_bytes"])
SPACE = 160
CHECKED = ["-fsanitize=undefined", "-fno-sanitize-recover=all"]
# Without words at any address, as on cores that forbid them; the sanitizer then sees wrong ones.
STRICT = ["-DTFLM_OPT_PORTABLE"]


@pytest.mark.parametrize("options", [[], STRICT], ids=["anywhere", "aligned"])
def test_every_distance_and_size(options: list[str], tmp_path: Path) -> None:
    library = tmp_path / "moves.so"
    flags = ["-std=c99", "-O2", "-fPIC", "-shared", f"-I{table.INCLUDE}"]
    command = [compiler(), *flags, *CHECKED, *options, str(SOURCE), "-o", str(library)]
    subprocess.run(command, check=True)
    move = ctypes.CDLL(str(library)).tflm_opt_move_bytes
    move.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
    given = np.random.default_rng(1).integers(0, 256, SPACE, np.uint8)
    for start in range(48, 52):
        for distance in (*range(-45, 46), 0):
            for size in (*range(38), 63, 64):
                wanted = given.copy()
                wanted[start + distance :][:size] = given[start:][:size]
                space = given.copy()
                at = space.ctypes.data
                move(at + start + distance, at + start, size)
                assert np.array_equal(space, wanted), (start, distance, size)


HEADER = """
int moves_init(void);
void *moves_input(int index);
int moves_invoke(void);
const void *moves_output(int index);
"""
# In: target, source and size; 0 for the C library's, 1 for ours, 2 for neither.
PROGRAM = """
#include "moves.h"
#include "tflm_opt_movement.h"

#include <string.h>

static int32_t given[4];
static uint32_t space[3000];
int moves_init(void) { return 0; }
void *moves_input(int index) { (void)index; return given; }
const void *moves_output(int index) { (void)index; return given; }

int moves_invoke(void)
{
    char *const start = (char *)space;
    if (given[3] == 0) {
        memmove(start + given[0], start + given[1], (size_t)given[2]);
    } else if (given[3] == 1) {
        tflm_opt_move_bytes(start + given[0], start + given[1], (size_t)given[2]);
    }
    return 0;
}
"""
PLACES = {
    "down": (0, 64),
    "down, unlike": (0, 65),
    "down, odd": (1, 65),
    "up": (64, 0),
    "up, unlike": (65, 0),
    "next": (1, 0),
}


@pytest.mark.qemu
@pytest.mark.parametrize("name", marked("qemu_m0plus", "qemu_m4", "qemu_m55", "qemu_rv32"))
def test_no_slower_than_the_c_library(name: str, tmp_path: Path) -> None:
    board = boards.get(name)
    for part in ("include", "src"):
        (tmp_path / "m" / part).mkdir(parents=True)
    for header in table.headers():
        (tmp_path / "m" / "include" / header.name).write_text(header.read_text("utf-8"))
    (tmp_path / "m" / "include" / "moves.h").write_text(HEADER)
    (tmp_path / "m" / "src" / "moves.c").write_text(PROGRAM)
    (tmp_path / "m" / "src" / SOURCE.name).write_text(SOURCE.read_text("utf-8"))
    port = {"bytes": 16, "dtype": "int32", "shape": [1, 4]}
    record = {"name": "moves", "arena": 16, "inputs": [port], "outputs": [port]}
    (tmp_path / "m" / "model.json").write_text(json.dumps(record))
    built = firmware.build(tmp_path / "m", board, tmp_path / "out")
    cases = [(*place, size) for size in (100, 1000, 10_000) for place in PLACES.values()]
    samples = [[np.array([[*case, how]], np.int32)] for case in cases for how in range(3)]
    counts = np.reshape(qemu.run(built, board, samples).instructions, (-1, 3))
    theirs, ours = (counts[:, :2] - counts[:, 2:]).T
    slower = [case for case, a, b in zip(cases, theirs, ours, strict=True) if b > a]
    assert not slower
    assert np.mean(ours / theirs) < 0.7
    sizes = {name: size for name, (_, size) in elf.symbols(built.elf).items()}
    if name in ("qemu_m4", "qemu_m55"):
        assert sizes["tflm_opt_move_bytes"] <= sizes["memmove"]
