"""The page about profiles: what they say and rest on, with a real one of a small net.

    python benchmarks/profile_page.py [--write docs/profiling.md]

The net is one of the tests: a stem, two depthwise-separable blocks with a skip, a classifier. It is
optimized for least memory with a streamed input, so that its first ops run some rows at a time.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import tflm_opt
from tflm_opt.report.profile import profile_text
from tflm_opt.runtime import cycles

ROOT = Path(__file__).resolve().parents[1]
BOARD = "nucleo_f446re"

PAGE = """\
# Profiles and estimates of cycles

Made by

    python benchmarks/profile_page.py --write docs/profiling.md

not by hand.

```console
$ tflm-opt optimize model.tflite -o out
$ tflm-opt profile out --board {board}   # --json, --html page.html, --top 10
```

or `tflm_opt.profile("out", board="{board}")`, or `result.profile()`: which layers and which
functions take an inference's instructions, and about how many cycles. A real one, of a small net of
the tests:

{example}

- **#** is the op's place in the optimized graph; **stage** stands where ops run band by band or a
  few columns at a time. What an op calls is its own; loops of stages, rows taken from the caller
  and moves between ops are below the layers.
- **instructions** are exact, and so is every part: the sum over layers and the rest is the number
  that `tflm-opt measure` shows for the first test vector (some kernels' counts depend on the data
  a little).
- **cycles\\*** are an estimate, see below. `measure` shows their sum, and the time at the board's
  clock.

## How it counts

The code is the code that ships, on an emulated core, with nothing added. QEMU loads a plugin
(`tflm_opt/runtime/qemu_profiler.c`, compiled with this computer's C compiler when it is first
needed) that counts every block of instructions apart for each op. The compiler's table of lines
tells which addresses of `invoke` are which op's; the table changes no code. After each run the sum
is compared with a counter of the emulated machine, and a difference of one instruction is an error.

All that the plugin calls has been in QEMU since version 1 of its interface; where QEMU wants
another number it is built again with that one. It is tested with QEMU 7.2. Without a compiler or
without plugins, layers are counted with QEMU's debugger instead: as exact, slower, and without
functions or cycles. The profile says so. The tests compare the two.

Boards whose core QEMU has no machine for run on one that executes their instructions: a
Cortex-M0+ program on an M3, an M33's on an M7.

## Estimates of cycles

**They are estimates.** Instructions are sorted into classes, each with a documented cost; what
neighbours do to each other is added: loads that overlap, addresses that come late, two
instructions or two halves of vectors in a cycle. Branches that were taken are counted, not guessed.
`tflm_opt/runtime/cycles.toml` is the one table; `tflm_opt.runtime.cycles.estimate(counts, core)` is
the sum of products, for whoever has counts by class; `--json` has them for each function.

How far to trust them: for M0+, M3 and M4 Arm documents every instruction, and ranges are taken at
their middle. For M7, M33 and M55 it does not; pairs and overlaps follow what Arm says of the cores
and what others measured, and compare kernels on one core better than cores with each other. None
was compared with a real chip yet. Left out everywhere: unaligned accesses, mispredicted branches,
interrupts, contention on the bus, and that an instruction which a condition skips may be cheaper.

Flash is a property of the board (`flash_reads` in `tflm_opt/boards.toml`): reads of constants are
counted by lines of flash, through a cache of the board's size, and each line that is not there
costs the wait states. Where a cache or prefetcher hides instruction fetches these cost nothing,
else each block costs the lines it spans. `--board qemu_m4` has no wait states.

## The timings

Cycles by class, and for the effects. Sources are in the table's head, a row's in its last column.

{timings}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", type=Path, help="the page to write")
    options = parser.parse_args()
    text = PAGE.format(board=BOARD, example=_example(), timings=_timings())
    if options.write is not None:
        options.write.write_text(text, "utf-8")
    print(text)


def _example() -> str:
    sys.path.insert(0, str(ROOT / "tests"))
    from small_models import residual_tflite

    with tempfile.TemporaryDirectory() as folder:
        model = residual_tflite(24)
        result = tflm_opt.optimize(model, input="streamed", name="small", vectors=1, verbose=0)
        profile = tflm_opt.profile(result.save(f"{folder}/out"), BOARD)
    return "\n".join(
        f"    {line}".rstrip() for line in profile_text(profile.to_dict()).splitlines()
    )


def _timings() -> str:
    cores = cycles.cores()
    names = [core.removeprefix("cortex-").upper().replace("M0PLUS", "M0+") for core in cores]
    lines = [f"| class | {' | '.join(names)} | source |", f"|---|{'---|' * (len(names) + 1)}"]
    for row in cycles.rows().values():
        cells = [f"{row.cycles[core]:g}" if core in row.cycles else "–" for core in cores]
        lines.append(f"| {row.name} | {' | '.join(cells)} | {' '.join(row.source.split())} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
