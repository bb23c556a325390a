"""What a generated model costs on a target's core: code, RAM beside the arena, worst-case stack.

Read from the model compiled for that core and linked alone (`firmware.build_model`). Where no
Arm compiler is installed, rules of thumb stand in, and are called what they are: estimates.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass

from .. import codegen
from ..boards import Board
from ..errors import MissingTool
from . import firmware

# Where GCC finds no bound on the stack (a call through a pointer), this is assumed and said so.
STACK_GUESS = 2048

# Bytes of code an op and a kernel take on a Cortex-M, rounded up from those of real models.
_CODE_PER_KERNEL = 900
_CODE_PER_OP = 80


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes; `estimated` names the parts that were not measured on the target's own code."""

    weights: int
    code: int
    data: int
    stack: int
    estimated: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def footprint(sources: codegen.Sources, board: Board, ops: int) -> Footprint:
    """Compile generated sources for a board's core and read what they cost.

    Args:
        ops: how many ops the model has, for the estimate where there is no compiler.
    """
    with tempfile.TemporaryDirectory(prefix="tflm_opt_") as folder:
        codegen.write(sources, f"{folder}/model")
        try:
            built = firmware.build_model(f"{folder}/model", board, f"{folder}/build")
        except MissingTool as error:
            return _estimate(sources, ops, error)
    sizes, stack = built.sizes, built.stack
    if stack.size is None:
        note = f"the stack has no static bound ({stack.reason}); {STACK_GUESS} bytes are assumed"
        return Footprint(
            sizes.weights, sizes.code, sizes.data + sizes.bss, STACK_GUESS, ("stack",), (note,)
        )
    return Footprint(sizes.weights, sizes.code, sizes.data + sizes.bss, stack.size)


def _estimate(sources: codegen.Sources, ops: int, missing: MissingTool) -> Footprint:
    code = _CODE_PER_KERNEL * len(sources.kernels) + _CODE_PER_OP * ops
    note = f"code and stack are rough estimates, since {missing.tool} is not installed"
    if missing.install:
        note += f"; to measure them: {missing.install}"
    unmeasured = ("runtime", "stack", "code")
    return Footprint(sources.weights, code, 0, STACK_GUESS, unmeasured, (note,))
