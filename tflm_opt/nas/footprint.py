"""Flash of a graph's engine and stack of its `invoke`, without a compiler.

What kernels take is measured once, for every core: `footprint.toml` says which parts of the library
a kernel needs and how many bytes each has, as the linker leaves them, so that parts which two
kernels share count once. Constants are what the code generator makes for each op. Only the code of
the model itself, a few bytes a call, is a least squares fit over generated models.

`python benchmarks/nas_footprint.py --write` makes the table; without `--write` it prints how far
these estimates are from compiled models.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from ..boards import Board
from ..codegen.call import Argument, Call, Constant, Field, Null, Scratch, Struct
from ..codegen.calls import FEW
from ..codegen.rooms import form, key, lowered
from ..codegen.uses import Use
from ..errors import UnsupportedModel
from ..graph.ir import Graph, Op, Tensor
from ..graph.options import RowSumOptions
from ..kernels import table
from ..patch_split.regions import is_pixelwise, sum_reaches
from ..patch_split.schedule import Schedule, Stage

TABLE = Path(__file__).parent / "footprint.toml"
# A core that was not measured has the figures of one with kernels of the same tier.
_NEAREST = {"portable": "cortex-m3", "dsp": "cortex-m4", "mve": "cortex-m55"}
# What the fit of a model's own code is over; one coefficient each.
FEATURES = (
    "model",
    "record_calls",
    "other_calls",
    "records",
    "row_stages",
    "row_ops",
    "column_ops",
    "steps",
)
KINDS = ("layers", "rows", "columns")
_MOVE = "tflm_opt_move_bytes"
_SHIFT = "tflm_opt_lines_shift"


@dataclass(frozen=True, slots=True)
class Footprint:
    """Estimated bytes.

    Attributes:
        weights: constants in flash: weights, biases, multipliers, tables, records of calls.
        code: kernels and the model's own code, with what they need of the C library.
        stack: the most that `invoke` takes.
    """

    weights: int
    code: int
    stack: int

    @property
    def flash(self) -> int:
        """weights + code."""
        return self.weights + self.code


def footprint(
    graph: Graph, schedule: Schedule, board: Board, scratch: Container[Op] | None = None
) -> Footprint:
    """What a graph's engine takes under a schedule.

    Example:
        >>> footprint(graph, layer_by_layer(graph), boards.get("qemu_m4")).flash
        74120

    Args:
        graph: after the default passes, as `lower` gives it.
        schedule: of its ops.
        board: whose core counts.
        scratch: ops whose kernels have scratch, `plan.scratch`; others call smaller and slower
            ones. None: all that are faster with it.

    Raises:
        UnsupportedModel: an op that the engine has no kernel for.
    """
    core = measured(board.core)
    uses = Uses.of(schedule, table.pace_of(board.core), scratch)
    text, rodata = kernel_bytes(core, uses.functions)
    features = uses.features
    code = text + round(_dot(core["code"], features))
    weights = uses.constants + rodata + round(_dot(core["constants"], features))
    stack = deepest(core, uses.functions) + core["frames"][uses.kind]
    return Footprint(weights, code, stack)


@cache
def _tables() -> Mapping[str, Any]:
    try:
        import tomllib
    except ModuleNotFoundError:  # Python 3.10
        import tomli as tomllib  # pyright: ignore[reportMissingImports]

    return tomllib.loads(TABLE.read_text(encoding="utf-8"))


def measured(core: str) -> Mapping[str, Any]:
    """The rows of a core, or of the nearest one that was measured."""
    found = _tables()
    return found[core] if core in found else found[_NEAREST[table.tier_of(core)]]


def kernel_bytes(core: Mapping[str, Any], functions: Iterable[str]) -> tuple[int, int]:
    """(code, constants) of kernels and all that they need, each part once."""
    parts: set[int] = set()
    for function in functions:
        if function in core["kernels"]:
            parts.update(core["kernels"][function]["parts"])
    sizes = [core["parts"][part] for part in parts]
    return sum(size[0] for size in sizes), sum(size[1] for size in sizes)


def deepest(core: Mapping[str, Any], functions: Iterable[str]) -> int:
    """The most stack that one of these kernels takes."""
    rows = core["kernels"]
    return max((rows[name]["stack"] for name in functions if name in rows), default=0)


def _dot(weights: Mapping[str, float], features: Mapping[str, int]) -> float:
    return sum(weights[name] * features[name] for name in FEATURES)


@dataclass(frozen=True, slots=True)
class Uses:
    """What a schedule makes of the kernels.

    Attributes:
        functions: kernels that are called.
        constants: bytes of the ops' constants and of the records of their calls.
        features: counts by name, of `FEATURES`.
        kind: of `KINDS`: the most that any stage is.
    """

    functions: frozenset[str]
    constants: int
    features: Mapping[str, int]
    kind: str

    @staticmethod
    def of(schedule: Schedule, pace: str, scratch: Container[Op] | None = None) -> Uses:
        """Count them; `pace` as `table.pace_of` says, `scratch` as for `footprint`."""
        functions, records = {_MOVE}, set()
        counts: dict[str, int] = dict.fromkeys(FEATURES, 0)
        counts["model"] = 1
        constants = 0
        kind = "layers"
        for stage in schedule.stages:
            how = _kind(stage)
            kind = max(kind, how, key=KINDS.index)
            if how == "columns":
                functions.add(_SHIFT)
            if how != "layers":
                counts["row_stages"] += 1
                counts["steps"] += _steps(stage) * len(stage.ops)
            for op in stage.ops:
                facts = _facts(op, pace, None if scratch is None else op in scratch)
                constants += facts.constants
                functions.update(facts.called[how])
                if how != "layers":
                    counts["row_ops" if how == "rows" else "column_ops"] += 1
                    continue
                constants += facts.records
                counts["record_calls"] += len(facts.recorded)
                counts["other_calls"] += facts.calls - len(facts.recorded)
                records.update(facts.recorded)
        counts["records"] = len(records)
        return Uses(frozenset(functions), constants, counts, kind)


def _kind(stage: Stage) -> str:
    if stage.band is None:
        return "layers"
    return "rows" if stage.columns is None else "columns"


def _steps(stage: Stage) -> int:
    assert stage.band is not None
    shape = stage.ops[-1].output.shape
    return -(-(shape[1] if len(shape) == 4 else 1) // stage.band).__ceil__()


@dataclass(frozen=True, slots=True)
class _Facts:
    """What an op needs, whatever its weights are.

    Attributes:
        constants: bytes.
        records: bytes of records, of a call of the whole op.
        recorded: kernels called by a record.
        calls: how many calls.
        called: kernels, by how the op runs.
    """

    constants: int
    records: int
    recorded: tuple[str, ...]
    calls: int
    called: Mapping[str, tuple[str, ...]]


_known: dict[Any, _Facts] = {}


def _facts(op: Op, pace: str, fast: bool | None) -> _Facts:
    """The facts of an op; ops that differ only in the values of weights have the same."""
    name = (pace, fast, op.kind, op.options, *map(_seen, op.inputs), *map(_seen, op.outputs))
    if name not in _known:
        if len(_known) >= 65536:
            _known.clear()
        _known[name] = _found(op, _gets_scratch(op, pace) if fast is None else fast)
    return _known[name]


def _seen(tensor: Tensor | None) -> Any:
    """What lowerings look at in a tensor, but for the values of weights."""
    if tensor is None:
        return None
    quant = tensor.quant
    single = quant is not None and quant.scale.size == 1
    scales = (float(quant.scale[0]), int(quant.zero_point[0])) if single and quant else None
    return tensor.shape, tensor.dtype, tensor.constant, scales if not tensor.constant else None


def _found(op: Op, fast: bool) -> _Facts:
    calls = lowered(op).calls
    functions = tuple(_function(call.function, fast) for call in calls)
    recorded = [len(call.arguments) >= FEW for call in calls]
    return _Facts(
        constants=sum(_constants(a) for call in calls for a in call.arguments),
        records=sum(_record(call) for call, one in zip(calls, recorded, strict=True) if one),
        recorded=tuple(f for f, one in zip(functions, recorded, strict=True) if one),
        calls=len(functions),
        called={
            "layers": functions,
            "rows": _on_rows(op) or functions,
            "columns": _on_rows(op) or tuple(_on_part(op, call.function, fast) for call in calls),
        },
    )


def _on_rows(op: Op) -> tuple[str, ...]:
    """The kernels of an op that adds rows to running sums; empty for others."""
    if sum_reaches(op) is None:
        return ()
    source = op.inputs[0]
    assert source is not None
    part = RowSumOptions(op.options, True, True, source.shape[1] * source.shape[2])
    return tuple(call.function for call in lowered(replace(op, options=part)).calls)


def _gets_scratch(op: Op, pace: str) -> bool:
    one = form(op)
    return one is not None and key(op) is not None and len(Use(op, {one: 1}).sizes(pace)) > 1


def _function(name: str, fast: bool) -> str:
    without = table.kernels()[name].without
    return name if fast or without is None else without


def _on_part(op: Op, name: str, fast: bool) -> str:
    """The kernel that makes some pixels of a row, where there is another one."""
    rows = table.kernels()
    kernel = rows[name]
    if key(op) is None or kernel.lines is None or _is_pixelwise(op):
        return rows[kernel.without or name].pixels or _function(name, fast)
    return _function(kernel.lines, fast)


def _is_pixelwise(op: Op) -> bool:
    try:
        return is_pixelwise(op)
    except UnsupportedModel:
        return False


def _constants(item: Argument | Field) -> int:
    match item:
        case Constant(data=data):
            return -(-data.nbytes // 4) * 4
        case Struct(fields=fields):
            return sum(map(_constants, fields))
        case tuple():
            return sum(map(_constants, item))
        case _:
            return 0


def _record(call: Call) -> int:
    """Bytes of the record that a call passes: four for each number or pointer."""
    return 4 * sum(map(_words, call.arguments))


def _words(item: Argument | Field) -> int:
    match item:
        case Struct(fields=fields):
            return sum(map(_words, fields))
        case tuple():
            return sum(map(_words, item))
        case Null():
            return 0
        case Scratch():
            return 2
        case _:
            return 1
