"""Working memory that stock TFLM's kernels ask for, so that a plan leaves room for it.

TFLM places scratch itself, at run time, around the tensors of an offline plan: smallest offset
that fits, largest first. A hole as large as all scratch of one op together is therefore enough.
In a subgraph that is called more than once, scratch is alive from the first call to the last,
and so is that of all its ops at once.

The sizes are those of the reference kernels (`reduce_common.cc`, `transpose_conv.cc`,
`mirror_pad.cc`, `add_n.cc`), of CMSIS-NN's (`cmsis_scratch`), which ask for some in
convolutions too, or of this library's in their place (`own_scratch`). With other kernels TFLM may
need more than the plan says.
"""

from __future__ import annotations

from collections.abc import Iterable

from tflm_opt.arena.cmsis_scratch import INSTRUCTIONS, OF_CORE, cmsis_sizes
from tflm_opt.arena.own_scratch import own_sizes
from tflm_opt.arena.problem import align_up
from tflm_opt.graph.ir import Op

REFERENCE = "reference"
# "reference", or "cmsis_nn_" or, for this library's in CMSIS-NN's place, "tflm_opt_" and the
# instructions that the core has.
KERNELS = (
    REFERENCE,
    *(f"{library}_{name}" for library in ("cmsis_nn", "tflm_opt") for name in INSTRUCTIONS),
)
ALIGNMENT = 16
_INT = 4
_POINTER = 8  # on a 64-bit host; a target's is smaller


def tflm_scratch(op: Op, kernels: str = REFERENCE) -> int:
    """Bytes of scratch of TFLM's kernel for `op`, each buffer rounded up to 16.

    Example:
        >>> tflm_scratch(mean_of_96_channels)     # 4 × 96, and two lists of axes
        416
        >>> tflm_scratch(conv_3x3_of_8_channels, "cmsis_nn_dsp")
        288

    Raises:
        ValueError: `kernels` is none of `KERNELS`.
    """
    return sum(align_up(size, ALIGNMENT) for size in scratch_sizes(op, kernels))


def scratch_sizes(op: Op, kernels: str = REFERENCE) -> tuple[int, ...]:
    """Bytes of each scratch buffer of an op. Raises as `tflm_scratch`."""
    if kernels not in KERNELS:
        raise ValueError(f"kernels are {kernels!r}; they are one of {', '.join(KERNELS)}")
    sizes = None
    library, _, instructions = kernels.rpartition("_")
    if library:
        sizes = (own_sizes if library == "tflm_opt" else cmsis_sizes)(op, instructions)
    return tuple(size for size in (_sizes(op) if sizes is None else sizes) if size)


def kernels_of(name: str, core: str) -> str:
    """The row of `KERNELS` for "reference", "cmsis_nn" or "tflm_opt" on a core of `boards.toml`.

    Example:
        >>> kernels_of("cmsis_nn", "cortex-m4")
        'cmsis_nn_dsp'
    """
    return name if name == REFERENCE else f"{name}_{OF_CORE[core]}"


def _sizes(op: Op) -> Iterable[int]:
    first = op.inputs[0] if op.inputs else None
    if first is None or not op.outputs:
        return ()
    out = op.outputs[0]
    if op.kind in ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_ALL"):
        axes = op.inputs[1]
        lists = (_INT * len(first.shape), _INT * (axes.elements if axes else 0))
        sums = op.kind in ("MEAN", "SUM") and first.dtype in ("int8", "int16")
        return (*lists, _INT * out.elements) if sums else lists
    if op.kind == "TRANSPOSE_CONV":
        return _transpose_conv(op)
    if len(op.inputs) > 1 and (filters := op.inputs[1]) is not None and filters.dtype == "int4":
        return (filters.elements,)  # unpacked
    if op.kind == "MIRROR_PAD":
        return (_INT * len(first.shape),) * 2
    if op.kind == "ADD_N":
        return (_POINTER * len(op.inputs),)
    return ()


def _transpose_conv(op: Op) -> Iterable[int]:
    source = op.inputs[2]
    bias = op.inputs[3] if len(op.inputs) > 3 else None
    wide = {"int8": 4, "int16": 8}.get(source.dtype if source else "", 0)
    # A 16-bit bias is widened to 64 bits.
    widened = 8 * bias.elements if bias is not None and bias.dtype == "int16" and wide == 8 else 0
    return (wide * op.output.elements, widened)
