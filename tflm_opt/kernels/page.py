"""The kernel table for people: the page `docs/kernels.md`."""

from __future__ import annotations

from collections.abc import Iterator

from tflm_opt.kernels.table import Kernel, kernels

_HEAD = """\
# Kernels

<!-- Generated: tflm-opt kernels --markdown > docs/kernels.md -->

The C library that generated code calls, and that takes CMSIS-NN's place under stock TFLM
([cmsis_nn.md](cmsis_nn.md)). Every kernel gives TFLM's bits.

**Tiers.** Each kernel has a portable source in C99. Some have one for cores with the DSP extension
(Cortex-M4, M7, M33), some one for Helium (M55, M85). All are compiled on every core, and the
compiler's macros leave one of each (`tflm_opt_tier.h`): exports need no switches.
`-DTFLM_OPT_PORTABLE` for the whole library leaves the portable ones.

**Scratch.** Faster kernels write weights or pixels into scratch in the order that their inner loops
read. They take what they are given: the more, the less is written twice; without any they are
slower and as exact. How much each layer gets is chosen when memory is planned: with a budget, what
makes the model fastest within it; without, what keeps the least memory within `max_slowdown` of the
fastest.

**Order.** Output elements are written in blocks, one block after the other in memory order. What a
block writes may lie over anything that only earlier blocks read, and the planner makes use of it.

**Requantization.** On cores with DSP, convolutions and fully connected layers make an output of a
channel's sum in a few instructions, with TFLM's double rounding. That the formulas are the same
function is proved for each channel when a model is compiled (`codegen/short_form.py`): a channel
for which they weren't would be an error; none is known. Shifts and sums out of the formulas' range
take TFLM's own steps, as everything does on other cores. That the instructions compute the formulas
is tested.

`python benchmarks/kernels.py` counts instructions by kernel and shape, and with `--models` for
whole models beside other engines.
"""


def page() -> str:
    """docs/kernels.md, in Markdown."""
    rows = [kernel for kernel in kernels().values() if "portable" in kernel.tiers]
    parts = [row for row in kernels().values() if "portable" not in row.tiers]
    return "\n".join(
        [
            _HEAD,
            "## Functions\n",
            *_table(rows),
            "\n## Inner parts of faster tiers\n",
            *_table(parts),
            "",
        ]
    )


def _table(rows: list[Kernel]) -> Iterator[str]:
    yield "| function | tiers | ops | header |"
    yield "|---|---|---|---|"
    for row in rows:
        ops = ", ".join(row.ops)
        yield f"| `{row.function}` | {', '.join(row.tiers)} | {ops} | `{row.header}` |"
