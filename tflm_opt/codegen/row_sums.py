"""Some rows of a global mean, added to running sums: what the kernels for it have in common."""

from __future__ import annotations

from tflm_opt.codegen.call import Call, Lowered, Pointer, Scratch, Struct, dims
from tflm_opt.graph.ir import Tensor
from tflm_opt.graph.options import RowSumOptions
from tflm_opt.patch_split.regions import SUM_BYTES


def row_sums(
    function: str, part: RowSumOptions, params: Struct, rows: Tensor, output: Tensor
) -> Lowered:
    """One call that adds `rows`; the part that is last writes the output.

    Args:
        function: the kernel.
        part: which rows they are.
        params: the kernel's own.
        rows: (1, rows, width, channels), int8.
        output: a pixel of as many channels. The scratch holds the sums from part to part.
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
    return Lowered((Call(function, arguments),), scratch=SUM_BYTES * rows.shape[3])
