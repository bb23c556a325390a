"""A graph and its memory plan in, C code out.

The plan says where every tensor lies and in which order the ops run; the lowering functions say
which kernels an op calls; this module joins them and fills the two templates. There is no
interpreter: the generated `invoke` is a list of calls, one block an op, and a loop for each stage
that runs band by band (`stage`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Protocol

from tflm_opt.codegen import emit, short_form
from tflm_opt.codegen.call import Lowered
from tflm_opt.codegen.calls import Calls
from tflm_opt.codegen.columns import ColumnFrame, column_stage_text
from tflm_opt.codegen.lower import lower
from tflm_opt.codegen.names import check_model_name, comment
from tflm_opt.codegen.sources import Port, Sources
from tflm_opt.codegen.stage import Frame, stage_text
from tflm_opt.errors import UnsupportedModel
from tflm_opt.graph.ir import Graph, Op, Tensor
from tflm_opt.kernels import table
from tflm_opt.patch_split.columns import column_walk
from tflm_opt.patch_split.schedule import Schedule, Stage
from tflm_opt.patch_split.walk import Walk, walks

_LIMITS = {"int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767)}


class MoveLike(Protocol):
    @property
    def tensors(self) -> Sequence[Tensor]: ...
    @property
    def size(self) -> int: ...
    @property
    def source(self) -> int: ...
    @property
    def target(self) -> int: ...


class PlanLike(Protocol):
    """What code generation reads of an `arena.Plan`."""

    @property
    def schedule(self) -> Schedule: ...
    @property
    def offsets(self) -> Mapping[Tensor, int]: ...
    @property
    def moves(self) -> Mapping[Op, Sequence[MoveLike]]: ...
    @property
    def scratch(self) -> Mapping[Op, tuple[int, int]]: ...
    @property
    def fronts(self) -> Mapping[Tensor, int]: ...
    @property
    def peak(self) -> int: ...


def generate(graph: Graph, plan: PlanLike, *, name: str = "model") -> Sources:
    """C code that computes a graph with its tensors where the plan puts them.

        sources = generate(graph, plan, name="digits")
        write(sources, "build/digits")

    The same graph, plan and name give the same bytes. Ops are numbered by their place in
    `graph.ops`, in comments, errors and traces, and run in the schedule's order.

    Raises:
        UnsupportedModel: an op, type or shape that the engine has no kernel for.
        TflmOptError: the name can't start a C identifier.
    """
    check_model_name(name)
    bands = _bands(graph, plan)
    streamed = any(walk.source is not None for walk in bands.values())
    _check_plan(graph, plan, bands)
    constants = emit.Constants()
    offsets = dict(plan.offsets)
    body, calls = _body(graph, plan, bands, constants, offsets)
    short_form.check(graph)
    inputs = [_port(t, "input", i, len(graph.inputs), name) for i, t in enumerate(graph.inputs)]
    outputs = [_port(t, "output", i, len(graph.outputs), name) for i, t in enumerate(graph.outputs)]
    for row, tensor in zip(inputs, graph.inputs, strict=True):
        row["offset"] = plan.offsets[tensor]
        row["row"] = tensor.nbytes // max(tensor.shape[1], 1) if len(tensor.shape) == 4 else 0
    io = emit.OpContext("output", constants, offsets)
    for row, tensor in zip(outputs, graph.outputs, strict=True):
        row["place"] = emit.tensor_pointer(tensor, io, writable=False)
    values: dict[str, Any] = {
        "name": name,
        "upper": name.upper(),
        "arena": plan.peak,
        "storage": max(plan.peak, 16),
        "inputs": inputs,
        "outputs": outputs,
        "streamed": streamed,
        "interpreter": False,
        "abi": abi(),
        "description": _description(graph, plan, constants),
        "constants": constants.definitions(),
        "calls": calls.definitions(),
        "body": body,
    }
    return Sources(
        files={
            f"include/{name}.h": _render("model.h.j2", values),
            f"src/{name}.c": _render("model.c.j2", values),
        },
        name=name,
        arena=plan.peak,
        weights=constants.nbytes,
        kernels=tuple(kernel.function for kernel in table.closure(calls.kernels)),
        inputs=tuple(row["port"] for row in inputs),
        outputs=tuple(row["port"] for row in outputs),
        streamed=streamed,
    )


def interpreter_header(
    graph: Graph, name: str, description: Sequence[str], arena: Mapping[str, Any]
) -> tuple[str, tuple[Port, ...], tuple[Port, ...]]:
    """The header of a graph that an interpreter runs: the same functions; and its ports.

    Args:
        description: lines on the model.
        arena: bytes by core and kernels, see `export.tflm`.
    """
    inputs = [_port(t, "input", i, len(graph.inputs), name) for i, t in enumerate(graph.inputs)]
    outputs = [_port(t, "output", i, len(graph.outputs), name) for i, t in enumerate(graph.outputs)]
    values: dict[str, Any] = {
        "name": name,
        "upper": name.upper(),
        "arena": arena,
        "inputs": inputs,
        "outputs": outputs,
        "streamed": False,
        "interpreter": True,
        "description": description,
    }
    text = _render("model.h.j2", values)
    return text, tuple(row["port"] for row in inputs), tuple(row["port"] for row in outputs)


def _bands(graph: Graph, plan: PlanLike) -> dict[Stage, Walk]:
    """The walks of the stages that have a band; a plan without any needs no look at the graph."""
    if all(stage.band is None for stage in plan.schedule.stages):
        return {}
    return walks(graph, plan.schedule)


def _body(
    graph: Graph,
    plan: PlanLike,
    bands: Mapping[Stage, Walk],
    constants: emit.Constants,
    offsets: dict[Tensor, int],
) -> tuple[str, Calls]:
    """The statements of `invoke`, and what they call; `offsets` follows moved tensors."""
    positions = {op: index for index, op in enumerate(graph.ops)}
    calls = Calls()
    blocks: list[str] = []
    for number, stage in enumerate(plan.schedule.stages):
        if stage.band is not None:
            blocks.extend(_moves(plan.moves.get(stage.ops[0], ()), offsets, calls))
            walk = bands[stage]
            if stage.columns is None:
                frame = Frame(walk, number, positions, constants, offsets, plan.scratch, calls)
                blocks.append(stage_text(frame))
            else:
                frame = ColumnFrame(
                    column_walk(walk),
                    number,
                    positions,
                    constants,
                    offsets,
                    plan.fronts,
                    plan.scratch,
                    calls,
                )
                blocks.append(column_stage_text(frame))
            continue
        for op in stage.ops:
            _op(op, positions[op], plan, constants, offsets, blocks, calls)
    return "\n".join(blocks), calls


def _op(
    op: Op,
    index: int,
    plan: PlanLike,
    constants: emit.Constants,
    offsets: dict[Tensor, int],
    blocks: list[str],
    calls: Calls,
) -> None:
    """Append the statements of a whole op."""
    try:
        lowered = lower(op)
        blocks.extend(_moves(plan.moves.get(op, ()), offsets, calls))
        place = emit.scratch_place(plan.scratch, op, lowered)
        ctx = emit.OpContext(f"op{index}", constants, offsets, place)
        blocks.append(_block(index, op, lowered, ctx, calls))
    except UnsupportedModel as error:
        raise _placed(error, index, op) from error


def _check_plan(graph: Graph, plan: PlanLike, bands: Mapping[Stage, Walk]) -> None:
    """Every buffer lies inside the arena, aligned for its type. ValueError: the plan is broken."""
    tensors = [*graph.inputs, *(t for op in graph.ops for t in op.outputs)]
    windows: dict[Tensor, int] = {}
    fronts: dict[Tensor, int] = {}
    for walk in bands.values():
        if walk.stage.columns is None:
            windows.update((t, walk.window_bytes(t)) for t in walk.windows)
        else:
            lines = column_walk(walk).lines
            windows.update((t, one.ring_bytes) for t, one in lines.items())
            fronts.update((t, one.front_bytes) for t, one in lines.items())
    places = [
        (repr(t.name), plan.offsets[t], windows.get(t, t.nbytes), t.itemsize)
        for t in tensors
        if t in plan.offsets
    ]
    places += [
        (f"front of {t.name!r}", at, fronts.get(t, 0), t.itemsize) for t, at in plan.fronts.items()
    ]
    for tensor in graph.inputs:
        if tensor not in plan.offsets:
            raise ValueError(f"the plan has no place for the input {tensor.name!r}")
    places += [(f"scratch of {op.kind}", at, n, 4) for op, (at, n) in plan.scratch.items()]
    for what, start, size, alignment in places:
        if start < 0 or start + size > plan.peak or start % alignment:
            raise ValueError(
                f"the plan puts {what} ({size} bytes) at {start}, outside an arena of "
                f"{plan.peak} bytes or not aligned to {alignment}"
            )


@cache
def abi() -> int:
    """The kernel library's ABI number, from its header."""
    text = (table.INCLUDE / "tflm_opt_types.h").read_text(encoding="utf-8")
    found = re.search(r"#define TFLM_OPT_KERNELS_ABI (\d+)", text)
    if found is None:
        raise ValueError("tflm_opt_types.h has no ABI number")
    return int(found.group(1))


def _placed(error: UnsupportedModel, index: int, op: Op) -> UnsupportedModel:
    if error.op is not None:
        return error
    return UnsupportedModel(
        error.reason, op=f"{index}:{op.kind}", tensor=error.tensor, remedy=error.remedy
    )


def _moves(moves: Sequence[MoveLike], offsets: dict[Tensor, int], calls: Calls) -> list[str]:
    """The moves before an op, as C; `offsets` then says where their tensors are from now on."""
    lines = []
    for move in moves:
        offsets.update(dict.fromkeys(move.tensors, move.target))
        to, what = f"arena + {move.target}", f"arena + {move.source}"
        lines.append(f"    {calls.move(to, what, move.size)}\n")
    return lines


def _block(index: int, op: Op, lowered: Lowered, ctx: emit.OpContext, calls: Calls) -> str:
    text = emit.op_comment(index, op.kind, op.outputs)
    if lowered.view:
        text += _view(op, ctx, calls)
    for call in lowered.calls:
        text += "    {\n" + calls.text(call, op.outputs, ctx, index + 1) + "    }\n"
    for number, tensor in enumerate(op.outputs):
        pointer = emit.tensor_pointer(tensor, ctx, writable=False)
        text += f"    TRACE({index}, {number}, {pointer}, {tensor.nbytes});\n"
    return text


def _view(op: Op, ctx: emit.OpContext, calls: Calls) -> str:
    source = op.inputs[0]
    assert source is not None
    if source.data is None and ctx.offsets[source] == ctx.offsets[op.output]:
        return ""
    to = emit.tensor_pointer(op.output, ctx, writable=True)
    what = emit.tensor_pointer(source, ctx, writable=False)
    return f"    {calls.move(to, what, op.output.nbytes)}\n"


def _port(tensor: Tensor, direction: str, index: int, count: int, name: str) -> dict[str, Any]:
    """What the templates say about one input or output."""
    quant = tensor.quant
    plain = quant is not None and quant.scale.size == 1
    scale = float(tensor.scale) if plain else None
    zero_point = tensor.zero_point if plain else None
    ctype = emit.C_TYPES.get(tensor.dtype)
    if ctype is None:
        raise UnsupportedModel(
            f"the engine has no type {tensor.dtype} for a model's {direction}", tensor=tensor.name
        )
    low, high = _LIMITS.get(tensor.dtype, (0, 0))
    verb = "quantize" if direction == "input" else "dequantize"
    return {
        "port": Port(tensor.name, tensor.shape, tensor.dtype, tensor.nbytes, scale, zero_point),
        "direction": direction,
        "index": index,
        "macro": f"{name.upper()}_{direction.upper()}{index}",
        "comment": comment(tensor.name),
        "dtype": tensor.dtype,
        "shape": list(tensor.shape),
        "bytes": tensor.nbytes,
        "length": tensor.elements,
        "ctype": ctype,
        "pointer": f"{ctype} *",
        "scale": None if scale is None else emit.number(scale),
        "zero_point": zero_point,
        "quantized": plain and tensor.dtype in _LIMITS,
        "helper": verb if count == 1 else f"{verb}_{direction}{index}",
        "low": low,
        "high": high,
        "reach": 4 * (high - low),
    }


def _description(graph: Graph, plan: PlanLike, constants: emit.Constants) -> list[str]:
    ops = f"{len(graph.ops)} op{'' if len(graph.ops) == 1 else 's'}"
    return [f"{ops}, {plan.peak} bytes of arena, {constants.nbytes} bytes of constants."]


def _render(template: str, values: Mapping[str, Any]) -> str:
    return _environment().get_template(template).render(values)


@cache
def _environment() -> Any:
    from pathlib import Path

    import jinja2

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
        autoescape=False,
    )
