"""A stage that makes some columns at a time, as C: a loop of steps, and in it a loop of parts.

    /* stage 0: ops 0 to 5 in 22 steps of 1 row, each in 10 parts of 2 columns */
    {
        int step;
        int part;
        int32_t base1 = 0;                                  the row in the first slot of a ring
        for (step = 0; step < 22; step++) {
            const uint8_t *const r = stage0_rows + 6 * step;         rows before the step, by op
            for (part = 0; part < 10; part++) {
                const uint8_t *const x0 = stage0_columns + 6 * part; columns before the part
                const uint8_t *const x1 = x0 + 6;                    and after it
                /* 1 DEPTHWISE_CONV_2D: ... */
                const tflm_opt_lines in0 = {&shape0, ...};          ring and front of its input
                for (y = r[1]; y < r[7]; y++) {
                    const tflm_opt_span span = {y, x0[1], x1[1] - x0[1]};
                    ... the kernel's call
                }
                ... what nobody reads again in this step goes from the fronts to the rings
            }
        }
    }

For strips the two loops change places. Windows run on kernels that take rows as
`tflm_opt_lines` (`lines` in the kernel table); all other ops make a pixel of the pixels at the
same place, so that a run of pixels is an op like any other. `patch_split.columns` decides what is
where; this module only writes it down.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from tflm_opt.codegen import emit
from tflm_opt.codegen.call import Call, Lines, Lowered, Pointer, Span, Struct
from tflm_opt.codegen.calls import Calls
from tflm_opt.codegen.lower import lower
from tflm_opt.codegen.stage import result_traces
from tflm_opt.codegen.steps import REST, Cells, merged
from tflm_opt.errors import UnsupportedModel
from tflm_opt.graph.ir import Op, Tensor
from tflm_opt.kernels import table
from tflm_opt.patch_split.columns import ColumnWalk, pixel_bytes
from tflm_opt.patch_split.regions import COLUMN_AXIS, ROW_AXIS, NotStreamable, is_pixelwise

# Above every row: a ring without a front.
_NO_FRONT = (1 << 31) - 1


@dataclass(frozen=True, slots=True, eq=False)
class ColumnFrame:
    """What the blocks of a stage share.

    Attributes:
        columns: of the stage.
        number: of the stage in the schedule.
        positions: of the ops in the graph.
        constants: where tables go.
        offsets: arena offsets of whole tensors and of rings.
        fronts: arena offsets of fronts.
        scratch: arena offset and bytes of scratch, by op.
        calls: collects what the code calls.
        shapes: collects names for what stays the same of tensors' lines.
    """

    columns: ColumnWalk
    number: int
    positions: Mapping[Op, int]
    constants: emit.Constants
    offsets: Mapping[Tensor, int]
    fronts: Mapping[Tensor, int]
    scratch: Mapping[Op, tuple[int, int]]
    calls: Calls
    shapes: dict[Tensor, str] = field(default_factory=dict)

    @property
    def rows(self) -> tuple[Tensor, ...]:
        """Tensors by column of the tables of rows and columns: one an op, then the source."""
        walk = self.columns.walk
        source = () if walk.source is None else (walk.source,)
        return (*(op.outputs[0] for op in walk.stage.ops), *source)

    def column(self, tensor: Tensor) -> int:
        """The column of a tensor that is made in the stage."""
        walk = self.columns.walk
        for number, op in enumerate(walk.stage.ops):
            if tensor in op.outputs:
                return number
        return len(walk.stage.ops)

    def base(self, tensor: Tensor) -> str:
        """The variable with the row in the first slot of a tensor's ring."""
        column, walk = self.column(tensor), self.columns.walk
        outputs = walk.stage.ops[column].outputs if column < len(walk.stage.ops) else ()
        number = outputs.index(tensor) if tensor in outputs else 0
        return f"base{column}_{number}" if number else f"base{column}"

    @property
    def moving(self) -> tuple[Tensor, ...]:
        """Tensors with a front, by column of the table of lowest columns."""
        return tuple(self.columns.lowest)


def column_stage_text(frame: ColumnFrame) -> str:
    """The statements of a stage.

    Raises:
        UnsupportedModel: as `generate`; NotStreamable if an op's parts can't share a call.
    """
    columns, walk = frame.columns, frame.columns.walk
    blocks = "\n".join(_op_block(frame, op) for op in walk.stage.ops)
    source = _source_block(frame) if walk.source is not None else ""
    rung = [frame.base(t) for t in columns.lines if _rung(frame, t)]
    bases = "".join(f"        int32_t {base} = 0;\n" for base in rung)
    if columns.kept:
        shifts = "".join(_shift(frame, t) for t in frame.moving)
        parts = _loop("part", columns.parts, _part_tables(frame) + blocks + shifts)
        inner = source + parts + _closing(frame)
        body = _loop("step", walk.steps, _step_table(frame) + inner)
        head = bases
    else:
        inner = _loop("step", walk.steps, _step_table(frame) + blocks)
        body = _loop("part", columns.parts, bases + _part_tables(frame) + inner)
        head = ""
    traces = result_traces(walk, frame.positions, frame.constants, frame.offsets)
    counters = "".join(
        f"        static const tflm_opt_lines_shape {name} = {_shape(frame, tensor)};\n"
        for tensor, name in frame.shapes.items()
    )
    counters += "        int step;\n        int part;\n"
    return f"    /* {_title(frame)} */\n    {{\n{counters}{head}{body}    }}\n{traces}"


def _title(frame: ColumnFrame) -> str:
    columns, walk = frame.columns, frame.columns.walk
    numbers = [frame.positions[op] for op in walk.stage.ops]
    ops = f"op {numbers[0]}" if len(numbers) == 1 else f"ops {numbers[0]} to {numbers[-1]}"
    stage = walk.stage
    assert stage.band is not None
    assert stage.columns is not None
    steps = f"{walk.steps} steps of {stage.band} row{'' if stage.band <= 1 else 's'}"
    width = f"{stage.columns.width} column{'' if stage.columns.width == 1 else 's'}"
    if columns.kept:
        return f"stage {frame.number}: {ops} in {steps}, each in {columns.parts} parts of {width}"
    return f"stage {frame.number}: {ops} in {columns.parts} strips of {width}, each in {steps}"


def _loop(counter: str, count: int, body: str) -> str:
    inner = "".join(f"    {line}\n" if line else "\n" for line in body.splitlines())
    head = f"        for ({counter} = 0; {counter} < {count}; {counter}++) {{\n"
    return f"{head}{inner}        }}\n"


def _table(frame: ColumnFrame, name: str, values: np.ndarray) -> tuple[str, str]:
    """(C type, name) of an array of small numbers."""
    largest = int(values.max(initial=0))
    dtype = np.uint8 if largest < 256 else np.int16 if largest < 1 << 15 else np.int32
    array = values.astype(dtype).ravel()
    name = frame.constants.pointer(f"stage{frame.number}_{name}", array, "steps of a stage")
    return emit.C_TYPES[array.dtype.name], name


def _step_table(frame: ColumnFrame) -> str:
    made = frame.columns.walk.made
    values = np.stack([made[t] for t in frame.rows], axis=1)
    ctype, name = _table(frame, "rows", values)
    return f"        const {ctype} *const r = {name} + {len(frame.rows)} * step;\n"


def _part_tables(frame: ColumnFrame) -> str:
    columns = frame.columns
    ops = columns.walk.stage.ops
    made = np.stack([columns.made[op.outputs[0]] for op in ops], axis=1)
    count = len(ops)
    if columns.kept:
        values = np.concatenate([made[:, :, 0], made[-1:, :, 1]])
        ctype, name = _table(frame, "columns", values)
        step = count
    else:
        values = np.concatenate([made[:, :, 0], made[:, :, 1]], axis=1)
        ctype, name = _table(frame, "columns", values)
        step = 2 * count
    text = f"        const {ctype} *const x0 = {name} + {step} * part;\n"
    text += f"        const {ctype} *const x1 = x0 + {count};\n"
    if frame.moving:
        lowest = np.stack([columns.lowest[t] for t in frame.moving], axis=1)
        ctype, name = _table(frame, "lowest", lowest)
        text += f"        const {ctype} *const low = {name} + {len(frame.moving)} * part;\n"
    return text


def _source_block(frame: ColumnFrame) -> str:
    """The streamed input's rows, from the caller, one at a time into its ring."""
    tensor = frame.columns.walk.source
    assert tensor is not None
    column, count = frame.column(tensor), len(frame.rows)
    place = f"arena + {frame.offsets[tensor]}"
    lines = frame.columns.lines[tensor]
    step = lines.ring_columns * lines.pixel
    slot = f"(y - {frame.base(tensor)}) * {step}" if _rung(frame, tensor) else "0"
    call = f"next_rows(user, (int8_t *)({place} + {slot}), (int)y, 1)"
    return f"""        /* rows of the input */
        {{
            int32_t y;
            for (y = r[{column}]; y < r[{column + count}]; y++) {{
{_turn(frame, tensor, "y", "                ")}                if ({call} != 0) {{ return -1; }}
            }}
        }}
"""


def _rung(frame: ColumnFrame, tensor: Tensor) -> bool:
    """Whether the rows of an inner tensor go round in a ring."""
    return tensor in frame.columns.lines and frame.columns.lines[tensor].ring_rows > 0


def _turn(frame: ColumnFrame, tensor: Tensor, row: str, pad: str) -> str:
    """The first slot takes a later row once `row` has come round to it."""
    if not _rung(frame, tensor):
        return ""
    rows, base = frame.columns.lines[tensor].ring_rows, frame.base(tensor)
    return f"{pad}if ({row} - {base} >= {rows}) {{ {base} += {rows}; }}\n"


def _lines(frame: ColumnFrame, tensor: Tensor) -> str:
    """The initializer of the `tflm_opt_lines` of a tensor."""
    shape = frame.shapes.setdefault(tensor, f"shape{len(frame.shapes)}")
    if tensor not in frame.columns.lines:
        return f"{{&{shape}, 0, 0, 0, {tensor.shape[ROW_AXIS]}}}"
    lines, column = frame.columns.lines[tensor], frame.column(tensor)
    base = frame.base(tensor) if _rung(frame, tensor) else "0"
    if lines.front_rows:
        return f"{{&{shape}, 0, low[{frame.moving.index(tensor)}], {base}, r[{column}]}}"
    whole = frame.columns.kept or tensor is frame.columns.walk.source
    first = "0" if whole else f"x0[{column}]"
    return f"{{&{shape}, {first}, 0, {base}, {_NO_FRONT}}}"


def _shape(frame: ColumnFrame, tensor: Tensor) -> str:
    """The initializer of what stays the same of a tensor's lines."""
    place = f"(const int8_t *)(arena + {frame.offsets[tensor]})"
    lines = frame.columns.lines.get(tensor)
    if lines is None:
        height, width = tensor.shape[ROW_AXIS], tensor.shape[COLUMN_AXIS]
        return f"{{{place}, NULL, {height}, {width * pixel_bytes(tensor)}, 0}}"
    step = lines.ring_columns * lines.pixel
    if not lines.front_rows:
        return f"{{{place}, NULL, {lines.ring_rows}, {step}, 0}}"
    front = f"(const int8_t *)(arena + {frame.fronts[tensor]})"
    across = lines.front_columns * lines.pixel
    return f"{{{place}, {front}, {lines.ring_rows}, {step}, {across}}}"


def _shift(frame: ColumnFrame, tensor: Tensor) -> str:
    """After a part: what nobody reads again in this step goes from the front to the ring."""
    lines, column = frame.columns.lines[tensor], frame.column(tensor)
    if not lines.ring_rows and not lines.columns_kept:
        return ""
    frame.calls.kernels.add("tflm_opt_lines_shift")
    number = frame.moving.index(tensor)
    first, end = f"r[{column}]", f"r[{column + len(frame.rows)}]"
    rows, after = f"{end} - {first}", f"low[{number + len(frame.moving)}]"
    moved = f"const tflm_opt_lines moved = {_lines(frame, tensor)};"
    call = f"tflm_opt_lines_shift(&moved, {rows}, {after}, x1[{column}], {lines.pixel});"
    pad = "            "
    return f"        if ({first} < {end}) {{\n{pad}{moved}\n{pad}{call}\n        }}\n"


def _closing(frame: ColumnFrame) -> str:
    """After a step: the rings have its rows."""
    text = ""
    for tensor in frame.moving:
        if _rung(frame, tensor):
            rows, base = frame.columns.lines[tensor].ring_rows, frame.base(tensor)
            after = f"r[{frame.column(tensor) + len(frame.rows)}]"
            text += f"        while ({after} - {base} >= {rows}) {{ {base} += {rows}; }}\n"
    return text


def _op_block(frame: ColumnFrame, op: Op) -> str:
    index = frame.positions[op]
    try:
        text = _pixels(frame, op) if is_pixelwise(op) else _windows(frame, op)
    except NotStreamable:
        raise
    except UnsupportedModel as error:
        if error.op is not None:
            raise
        raise UnsupportedModel(
            error.reason, op=f"{index}:{op.kind}", tensor=error.tensor, remedy=error.remedy
        ) from error
    comment = emit.op_comment(index, op.kind, op.outputs)
    return f"    {comment}{text}"


def _row_loop(frame: ColumnFrame, op: Op, condition: str, images: _Images, body: str) -> str:
    """`body` for every row that the op makes in a step."""
    column = frame.columns.walk.stage.ops.index(op)
    turns = "".join(
        _turn(frame, t, "y", "                ")
        for t in op.outputs
        if t in frame.columns.lines and not frame.columns.lines[t].front_rows
    )
    first, end = f"r[{column}]", f"r[{column + len(frame.rows)}]"
    return (
        f"        if ({first} < {end} && {condition}) {{\n            int32_t y;\n"
        f"{_declared(images.inputs, '            ')}"
        f"            for (y = {first}; y < {end}; y++) {{\n"
        f"{turns}{_declared(images.outputs, '                ')}{body}            }}\n        }}\n"
    )


@dataclass(slots=True)
class _Images:
    """What one op's calls name: `tflm_opt_lines` by name, apart for what turns row by row."""

    inputs: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)

    def pixel(self, frame: ColumnFrame, op: Op, tensor: Tensor, name: str) -> str:
        """Where pixel x0 of row y of an op's input or output is."""
        column, made = frame.columns.walk.stage.ops.index(op), tensor in op.outputs
        lines = frame.columns.lines.get(tensor)
        size = pixel_bytes(tensor)
        if lines is None:
            width = tensor.shape[COLUMN_AXIS]
            return f"(arena + {frame.offsets[tensor]} + (y * {width} + x0[{column}]) * {size})"
        if lines.front_rows and (made or not lines.ring_rows):
            at = f"arena + {frame.fronts[tensor]}"
            row = f"(y - r[{frame.column(tensor)}]) * {lines.front_columns * size}"
            if made and not lines.columns_kept:
                return f"({at} + {row})"
            return f"({at} + {row} + (x0[{column}] - low[{frame.moving.index(tensor)}]) * {size})"
        (self.outputs if made else self.inputs)[name] = _lines(frame, tensor)
        frame.calls.kernels.add("tflm_opt_lines_at")
        return f"tflm_opt_lines_at(&{name}, y, x0[{column}], {size})"


def _windows(frame: ColumnFrame, op: Op) -> str:
    """An op whose kernel takes windows over rows that lie apart."""
    column, index = frame.columns.walk.stage.ops.index(op), frame.positions[op]
    call = lines_call(lower(op))
    source, target = op.inputs[0], op.output
    assert source is not None
    images = _Images({"in0": _lines(frame, source)})
    pointers = {target: images.pixel(frame, op, target, "out0")}
    place = frame.scratch.get(op, (0, 0))
    ctx = emit.OpContext(f"op{index}", frame.constants, frame.offsets, place, pointers)
    body = (
        f"                const tflm_opt_span span = "
        f"{{y, x0[{column}], x1[{column}] - x0[{column}]}};\n"
    )
    body += _indented(frame.calls.text(call, op.outputs, ctx, index + 1))
    return _row_loop(frame, op, f"x0[{column}] < x1[{column}]", images, body)


def _declared(lines: Mapping[str, str], pad: str) -> str:
    return "".join(
        f"{pad}const tflm_opt_lines {name} = {value};\n" for name, value in lines.items()
    )


def _indented(text: str) -> str:
    return "".join(f"        {line}\n" for line in text.splitlines())


def lines_call(lowered: Lowered) -> Call:
    """The call for parts of rows, from that for the whole op.

    Raises:
        UnsupportedModel: its kernel has no such form.
    """
    kernel = table.kernels()[lowered.calls[0].function] if len(lowered.calls) == 1 else None
    if kernel is None or kernel.lines is None:
        raise UnsupportedModel("its kernel can't make parts of rows")
    arguments = list(lowered.calls[0].arguments)
    first = next(i for i, item in enumerate(arguments) if isinstance(item, Pointer))
    arguments[first] = Lines("in0")
    arguments.insert(len(arguments) - 1, Span())
    return Call(kernel.lines, tuple(arguments), lowered.calls[0].status)


def pixels_call(call: Call) -> Call:
    """The call for neighbouring pixels without scratch that takes fewest arguments."""
    kernels = table.kernels()
    pixels = kernels[kernels[call.function].without or call.function].pixels
    if pixels is None:
        return call
    _, params, quant, inputs, source, filters, weights, _, bias, outputs, target = call.arguments
    dims = [one.fields for one in (inputs, filters, outputs) if isinstance(one, Struct)]
    if dims[0][-1] != dims[1][-1]:  # in groups
        return call
    arguments = (params, quant, inputs, source, weights, bias, dims[2][-1], target)
    return Call(pixels, arguments, status=False)  # type: ignore[arg-type]


def _pixels(frame: ColumnFrame, op: Op) -> str:
    """An op on runs of pixels, of a few lengths; those that run the same kernels share a call."""
    counts = [int(b - a) for a, b in frame.columns.made[op.outputs[0]]]
    groups: dict[tuple[str, ...], list[tuple[int, Op, Lowered]]] = {}
    for count in sorted({n for n in counts if n}):
        variant = op_pixels(op, count)
        lowered = lower(variant)
        key = tuple(call.function for call in lowered.calls)
        groups.setdefault(key, []).append((count, variant, lowered))
    return "".join(
        _run_block(frame, op, counts, group, alone=len(groups) == 1) for group in groups.values()
    )


def _run_block(
    frame: ColumnFrame,
    op: Op,
    counts: Sequence[int],
    group: Sequence[tuple[int, Op, Lowered]],
    *,
    alone: bool,
) -> str:
    """One call for the parts whose run of pixels has a length of the group."""
    column, index = frame.columns.walk.stage.ops.index(op), frame.positions[op]
    sizes = [count for count, _, _ in group]
    works = [part for part, count in enumerate(counts) if count in sizes]
    variant = group[0][1]
    cells = Cells()
    order = [sizes.index(counts[part]) for part in works]
    lowered = merged(op, [one for _, _, one in group], order, cells)
    images, pointers = _run_pointers(frame, op, variant)
    place = emit.scratch_place(frame.scratch, op, lowered)
    ctx = emit.OpContext(f"op{index}", frame.constants, frame.offsets, place, pointers)
    body = ""
    for call in lowered.calls if place[1] else map(pixels_call, lowered.calls):
        text = frame.calls.text(call, variant.outputs, ctx, index + 1)
        body += _indented(text if len(lowered.calls) == 1 else f"        {{\n{text}        }}\n")
    condition, head = _opening(frame, f"op{index}", works, cells, always=not alone)
    condition = condition or f"x0[{column}] < x1[{column}]"
    return _row_loop(frame, op, condition, images, head + body)


def _run_pointers(frame: ColumnFrame, op: Op, variant: Op) -> tuple[_Images, dict[Tensor, str]]:
    """Where a run of pixels of each of the op's images begins."""
    images = _Images()
    pointers: dict[Tensor, str] = {}
    for prefix, tensors, slices in (
        ("in", op.inputs, variant.inputs),
        ("out", op.outputs, variant.outputs),
    ):
        for number, (tensor, piece) in enumerate(zip(tensors, slices, strict=True)):
            if tensor is None or piece is None or piece is tensor or piece in pointers:
                continue
            pointers[piece] = images.pixel(frame, op, tensor, f"{prefix}{number}")
    return images, pointers


def _opening(
    frame: ColumnFrame, prefix: str, works: Sequence[int], cells: Cells, *, always: bool
) -> tuple[str, str]:
    """The condition for a part in which the op works, and its row of the table of numbers."""
    values, order = cells.table()
    if values is None and not always:
        return "", ""
    marks = np.full(frame.columns.parts, REST, np.uint8)
    marks[list(works)] = order or [0] * len(works)
    when = frame.constants.pointer(f"{prefix}_when", marks, prefix) + "[part]"
    head = ""
    if values is not None:
        name = frame.constants.pointer(f"{prefix}_parts", values, prefix)
        ctype, width = emit.C_TYPES[values.dtype.name], len(cells.columns)
        head = f"                const {ctype} *const v = {name} + {width} * {when};\n"
    return f"{when} != {REST}", head


def op_pixels(op: Op, count: int) -> Op:
    """The op that makes `count` neighbouring pixels of a row of `op`, which is pixelwise.

    Example:
        >>> op_pixels(conv_1x1, 4).output.shape
        (1, 1, 4, 16)
    """
    from tflm_opt.patch_split.regions import row_reaches

    pieces: dict[Tensor, Tensor] = {}

    def piece(tensor: Tensor) -> Tensor:
        if tensor not in pieces:
            shape = (1, 1, count, *tensor.shape[COLUMN_AXIS + 1 :])
            pieces[tensor] = replace(tensor, shape=shape, shape_signature=None, carried=None)
        return pieces[tensor]

    inputs = tuple(
        t if t is None or reach is None else piece(t)
        for t, reach in zip(op.inputs, row_reaches(op), strict=True)
    )
    return replace(op, inputs=inputs, outputs=tuple(map(piece, op.outputs)), carried=None)
