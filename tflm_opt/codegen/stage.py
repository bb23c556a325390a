"""A stage that runs band by band, as C: one loop, and in it one block an op.

    /* stage 2: ops 4 to 9 in 40 steps of 1 row */
    {
        int step;
        int32_t y9 = 0;                                       rows of results, as bytes
        for (step = 0; step < 40; step++) {
            /* 4 CONV_2D: ... */
            if (op4_when[step] != 255) {                      left out if it never rests
                const int16_t *const v = op4_rows + 3 * op4_when[step];
                tflm_opt_move_bytes(arena + 512, arena + 512 + v[0], (size_t)v[1]);   kept rows
                ... the kernel's call, as for a whole op, on pointers to rows
            }

Where a tensor's rows are: those of a window at a distance from its start that is part of the
op's table of steps; those of a whole tensor at a running number of bytes, which every turn moves
on. `patch_split.walk` decides all of it; this module only writes it down.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from tflm_opt.codegen import emit
from tflm_opt.codegen.call import Vary
from tflm_opt.codegen.calls import Calls
from tflm_opt.codegen.lower import lower
from tflm_opt.codegen.steps import REST, Cells, merged
from tflm_opt.errors import UnsupportedModel
from tflm_opt.graph.ir import Op, Tensor
from tflm_opt.patch_split.regions import NotStreamable
from tflm_opt.patch_split.slices import Turn, Turns, turns
from tflm_opt.patch_split.walk import Walk, row_bytes

_DEEP = " " * 8


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """What the blocks of a stage share.

    Attributes:
        walk: of the stage.
        number: of the stage in the schedule.
        positions: of the ops in the graph.
        constants: where tables go.
        offsets: arena offsets of whole tensors and of windows.
        scratch: arena offset and bytes of scratch, by op.
        calls: collects what the code calls.
        running: names and first values of the variables that count bytes of whole tensors.
    """

    walk: Walk
    number: int
    positions: Mapping[Op, int]
    constants: emit.Constants
    offsets: Mapping[Tensor, int]
    scratch: Mapping[Op, tuple[int, int]]
    calls: Calls
    running: dict[str, int] = field(default_factory=dict)


def stage_text(frame: Frame) -> str:
    """The statements of a stage.

    Raises:
        UnsupportedModel: as `generate`; NotStreamable if an op's bands can't share a call.
    """
    walk = frame.walk
    blocks = [_source_block(frame)] if walk.source is not None else []
    blocks += [_op_block(frame, turns(walk, op)) for op in walk.stage.ops]
    counters = "".join(f"        int32_t {n} = {v};\n" for n, v in frame.running.items())
    return (
        f"    /* {_title(frame)} */\n    {{\n        int step;\n{counters}"
        f"        for (step = 0; step < {walk.steps}; step++) {{\n"
        + "\n".join(blocks)
        + "        }\n    }\n"
        + result_traces(walk, frame.positions, frame.constants, frame.offsets)
    )


def _title(frame: Frame) -> str:
    walk = frame.walk
    numbers = [frame.positions[op] for op in walk.stage.ops]
    ops = f"op {numbers[0]}" if len(numbers) == 1 else f"ops {numbers[0]} to {numbers[-1]}"
    band = walk.stage.band
    rows = "row" if band is not None and band <= 1 else "rows"
    return f"stage {frame.number}: {ops} in {walk.steps} steps of {band} {rows}"


def result_traces(
    walk: Walk,
    positions: Mapping[Op, int],
    constants: emit.Constants,
    offsets: Mapping[Tensor, int],
) -> str:
    """Traces of a stage's results, which are whole only at its end."""
    text = ""
    for op in walk.stage.ops:
        for number, tensor in enumerate(op.outputs):
            if tensor in walk.results:
                ctx = emit.OpContext("", constants, offsets)
                pointer = emit.tensor_pointer(tensor, ctx, writable=False)
                text += f"    TRACE({positions[op]}, {number}, {pointer}, {tensor.nbytes});\n"
    return text


def _source_block(frame: Frame) -> str:
    """The streamed input's rows, from the caller."""
    walk, tensor = frame.walk, frame.walk.source
    assert tensor is not None
    made = walk.made[tensor]
    found = [
        Turn(step, (int(made[step]), int(made[step + 1])), (), 0)
        for step in range(walk.steps)
        if made[step] < made[step + 1]
    ]
    cells = Cells()
    lines = _keep(frame, tensor, found, cells)
    place = _window_place(frame, tensor, [(t.step, t.rows[0]) for t in found], cells)
    count = _number(cells.cell([t.rows[1] - t.rows[0] for t in found]))
    frame.running["row"] = 0
    target = f"(int8_t *)(arena + {place})"
    lines += [
        f"if (next_rows(user, {target}, (int)row, {count}) != 0) {{ return -1; }}",
        f"row += {count};",
    ]
    head, close = _opening(frame, "input", found, cells)
    text = "".join(f"                {line}\n" for line in lines)
    return f"            /* rows of the input */\n{head}{text}{close}"


def _op_block(frame: Frame, every: Turns) -> str:
    index = frame.positions[every.op]
    prefix = f"op{index}"
    try:
        cells = Cells()
        lowered = merged(
            every.op, [lower(v) for v in every.variants], [t.variant for t in every.turns], cells
        )
        offsets, moved_on = _places(frame, every, cells)
        keep = [
            line
            for tensor in every.op.outputs
            if tensor in frame.walk.windows
            for line in _keep(frame, tensor, every.turns, cells)
        ]
        place = emit.scratch_place(frame.scratch, every.op, lowered)
        ctx = emit.OpContext(prefix, frame.constants, offsets, place)
        body = "".join(f"        {line}\n" for line in keep)
        for call in lowered.calls:
            text = frame.calls.text(call, every.variants[0].outputs, ctx, index + 1)
            one = len(lowered.calls) == 1
            body += text if one else f"        {{\n{text}        }}\n"
        body += "".join(f"        {line}\n" for line in moved_on)
        head, close = _opening(frame, prefix, every.turns, cells)
    except NotStreamable:
        raise
    except UnsupportedModel as error:
        if error.op is not None:
            raise
        raise UnsupportedModel(
            error.reason,
            op=f"{index}:{every.op.kind}",
            tensor=error.tensor,
            remedy=error.remedy,
        ) from error
    comment = emit.op_comment(index, every.op.kind, every.op.outputs)
    return f"{_DEEP}{comment}{head}{_indented(body)}{close}"


def _indented(text: str) -> str:
    return "".join(f"{_DEEP}{line}\n" for line in text.splitlines())


def _opening(frame: Frame, prefix: str, found: Sequence[Turn], cells: Cells) -> tuple[str, str]:
    """The condition and the table's row, and what closes them."""
    table, order = cells.table()
    steps = frame.walk.steps
    rests = len(found) < steps
    when = ""
    if table is not None or rests:
        rows = order or [0] * len(found)
        if max(rows) >= REST:
            raise UnsupportedModel(f"a stage with more than {REST} different steps for one op")
        marks = np.full(steps, REST, np.uint8)
        marks[[turn.step for turn in found]] = rows
        when = frame.constants.pointer(f"{prefix}_when", marks, prefix) + "[step]"
    head = f"            if ({when} != {REST}) {{\n" if rests else "            {\n"
    if table is not None:
        name = frame.constants.pointer(f"{prefix}_rows", table, prefix)
        width, ctype = len(cells.columns), emit.C_TYPES[table.dtype.name]
        head += f"                const {ctype} *const v = {name} + {width} * {when};\n"
    return head, "            }\n"


def _keep(frame: Frame, tensor: Tensor, found: Sequence[Turn], cells: Cells) -> list[str]:
    """The move of a window's kept rows to where this step has them."""
    window, size = frame.walk.windows[tensor], row_bytes(tensor)
    before = int(window.starts[found[0].step])
    sources, targets, counts = [], [], []
    for turn in found:
        start = int(window.starts[turn.step])
        low = max(start, 0)
        kept = max(turn.rows[0] - low, 0) if start > before else 0
        sources.append((low - before) * size if kept else 0)
        targets.append((low - start) * size if kept else 0)
        counts.append(kept * size)
        before = start
    if not any(counts):
        return []
    at = frame.offsets[tensor]
    target, source, count = (_number(cells.cell(v)) for v in (targets, sources, counts))
    where = f"arena + {at}" if target == "0" else f"arena + {at} + {target}"
    return [frame.calls.move(where, f"arena + {at} + {source}", f"(size_t){count}")]


def _places(frame: Frame, every: Turns, cells: Cells) -> tuple[dict[Tensor, int | str], list[str]]:
    """Where the rows of the first variant's tensors are, and what moves on after each turn."""
    offsets: dict[Tensor, int | str] = dict(frame.offsets)
    moved_on: list[str] = []
    variant = every.variants[0]
    for position, (tensor, slice_) in enumerate(zip(every.op.inputs, variant.inputs, strict=True)):
        if tensor is None or slice_ is None or slice_ in offsets or slice_.data is not None:
            continue
        rows = [turn.needs[position] for turn in every.turns]
        lows = [row[0] for row in rows if row is not None]
        offsets[slice_] = _place(frame, every, tensor, lows, f"x{position}", cells, moved_on)
    for position, (tensor, slice_) in enumerate(
        zip(every.op.outputs, variant.outputs, strict=True)
    ):
        lows = [turn.rows[0] for turn in every.turns]
        offsets[slice_] = _place(frame, every, tensor, lows, f"y{position}", cells, moved_on)
    return offsets, moved_on


def _place(
    frame: Frame,
    every: Turns,
    tensor: Tensor,
    lows: list[int],
    name: str,
    cells: Cells,
    moved_on: list[str],
) -> int | str:
    if tensor in frame.walk.windows:
        steps = [turn.step for turn in every.turns]
        return _window_place(frame, tensor, list(zip(steps, lows, strict=True)), cells)
    base, size = frame.offsets[tensor], row_bytes(tensor)
    if len(set(lows)) == 1:
        return base + lows[0] * size
    ways = [(b - a) * size for a, b in pairwise(lows)]
    # The last turn has nowhere to go; going on as before keeps its row of the table common.
    way = _number(cells.cell([*ways, ways[-1]]))
    variable = f"op{frame.positions[every.op]}_{name}"
    frame.running[variable] = lows[0] * size
    moved_on.append(f"{variable} += {way};")
    return f"{base} + {variable}"


def _window_place(
    frame: Frame, tensor: Tensor, rows: Sequence[tuple[int, int]], cells: Cells
) -> int | str:
    """Where, in each step, a row of a tensor is in its window."""
    starts, size = frame.walk.windows[tensor].starts, row_bytes(tensor)
    base = frame.offsets[tensor]
    place = cells.cell([(row - int(starts[step])) * size for step, row in rows])
    return f"{base} + v[{place.column}]" if isinstance(place, Vary) else base + place


def _number(value: int | Vary) -> str:
    return f"v[{value.column}]" if isinstance(value, Vary) else emit.number(value)
