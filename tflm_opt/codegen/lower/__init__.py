"""From ops to kernel calls: a registry with one lowering function for each kind of op.

Every module of this folder registers its functions on import:

    @lowers("CONV_2D")
    def conv_2d(op: Op) -> Lowered: ...

A lowering reads the op and nothing else, and refuses with `UnsupportedModel(reason,
tensor=…, remedy=…)`; who called it adds the op's position. What it accepts must be what TFLM
accepts, or less.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from functools import cache

from tflm_opt.codegen.call import Lowered, Lowering
from tflm_opt.errors import UnsupportedModel
from tflm_opt.graph.ir import Op

_REGISTRY: dict[str, Lowering] = {}


def lowers(*kinds: str) -> Callable[[Lowering], Lowering]:
    """Register a lowering function for kinds of ops.

    Raises:
        ValueError: another function has that kind already.
    """

    def register(function: Lowering) -> Lowering:
        for kind in kinds:
            if kind in _REGISTRY:
                raise ValueError(f"{kind} is lowered twice")
            _REGISTRY[kind] = function
        return function

    return register


@cache
def registry() -> dict[str, Lowering]:
    """All lowering functions by kind of op, sorted."""
    for module in sorted(info.name for info in pkgutil.iter_modules(__path__)):
        importlib.import_module(f"{__name__}.{module}")
    return dict(sorted(_REGISTRY.items()))


def lower(op: Op) -> Lowered:
    """The kernel calls of one op.

    Raises:
        UnsupportedModel: the engine has no kernel for it, or not for these shapes or types.
    """
    function = registry().get(op.kind)
    if function is None:
        known = ", ".join(registry())
        raise UnsupportedModel(
            f"the engine has no kernel for {op.custom_code or op.kind}",
            tensor=op.outputs[0].name if op.outputs else None,
            remedy=f"Supported: {known}; or deploy the .tflite with TFLM (runtime='tflm')",
        )
    return function(op)
