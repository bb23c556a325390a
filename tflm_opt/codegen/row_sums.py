"""Some rows of a global mean, sum or maximum, added to what runs: what those kernels share."""

from __future__ import annotations

from tflm_opt.codegen.call import Call, Lowered, Pointer, Scratch, Struct, dims
from tflm_opt.graph.ir import Tensor
from tflm_opt.graph.options import RowSumOptions


def row_sums(
    function: str, part: RowSumOptions, params: Struct, rows: Tensor, output: Tensor, size: int
) -> Lowered:
    """One call that adds `rows`; the part that is last writes the output.

    Args:
        function: the kernel.
        part: which rows they are.
        params: the kernel's own.
        rows: (1, rows, width, channels), int8.
        output: a pixel of as many channels. The scratch holds the sums from part to part.
        size: bytes of one of them.
    """
    which = Struct("tflm_opt_row_part", "part", (int(part.first), int(part.last), part.count))
    arguments = (
        Scratch(),
        which,
        params,
        dims("input_dims", rows.shape),
        Pointer(rows),
        Pointer(output),
    )
    return Lowered((Call(function, arguments),), scratch=size * rows.shape[3])
