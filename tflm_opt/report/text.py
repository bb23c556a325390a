"""Figures as text that a person can read in ten seconds."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import terminal

if TYPE_CHECKING:
    from ..boards import Board
    from ..graph import Graph, Op
    from ..graph.ir import Tensor
    from ..result import Result, Whole

_WIDTH = 22  # of the column of labels
_MOST_REASONS = 3
_PAGE = 80  # columns of a plain terminal


def result_text(result: Result) -> str:
    """The summary that `print(result)` shows."""
    rows = [
        *_verdict(result),
        *_sram(result),
        *_flash(result),
        *_mixed(result),
        *_stages(result),
        *_work(result),
        *_stock(result),
        *_accuracy(result),
    ]
    return "\n".join((*map(_row, rows), *map(_note, result.warnings)))


def _row(row: tuple[str, str]) -> str:
    """Label and value side by side; a label too wide for its column gets a line of its own."""
    label, value = row
    if len(label) < _WIDTH:
        return f"{label:<{_WIDTH}}{value}"
    return f"{label}\n{'':<{_WIDTH}}{value}"


def _note(warning: str) -> str:
    return textwrap.fill(
        warning,
        _PAGE,
        initial_indent="! ",
        subsequent_indent="  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _bytes(value: int) -> str:
    return f"{value:>11,}"


def _marked(value: int, part: str, estimated: tuple[str, ...], what: str) -> str:
    mark = "  (estimate)" if part in estimated else ""
    return f"{_bytes(value)}  {what}{mark}"


def _verdict(result: Result) -> list[tuple[str, str]]:
    target = f"{result.runtime} on {result.board.core}"
    if result.budget is None:
        return [(result.name, f"{target}: {result.sram.total:,} bytes of SRAM, no budget set")]
    within = result.sram.total <= result.budget
    word = "fits" if within else "does NOT fit"
    rows = [
        (result.name, f"{target}: {result.sram.total:,} of {result.budget:,} bytes of SRAM: {word}")
    ]
    return rows


def _sram(result: Result) -> list[tuple[str, str]]:
    sram = result.sram
    rows = [
        ("SRAM, bytes", f"{_bytes(sram.total)}  total"),
        ("", _marked(sram.arena, "arena", sram.estimated, "arena: tensors and kernel scratch")),
        ("", _marked(sram.runtime, "runtime", sram.estimated, "runtime: the library's own state")),
        ("", _marked(sram.stack, "stack", sram.estimated, "stack of one inference, worst case")),
    ]
    if sram.reserve:
        rows.append(("", _marked(sram.reserve, "reserve", (), "reserve, as asked")))
    return rows


def _flash(result: Result) -> list[tuple[str, str]]:
    flash, most = result.flash, result.flash_budget
    word = "fits" if most is None or flash.total <= most else "does NOT fit"
    limit = "" if most is None else f" of {most:,}: {word}"
    rows = [("flash, bytes", f"{_bytes(flash.total)}  total{limit}")]
    rows.append(("", _marked(flash.weights, "weights", (), "weights and other constants")))
    if flash.code is None:
        rows.append(("", f"{'':>11}  and TFLM's own code, not counted here"))
    else:
        rows.append(("", _marked(flash.code, "code", flash.estimated, "code")))
    return rows


def _mixed(result: Result) -> list[tuple[str, str]]:
    """The layers in int4; what each loses is in the JSON, and in `print(result.mixed)`."""
    if result.mixed is None:
        return []
    from ..mixed import summary

    labels = ("int4 weights", "")
    return list(zip(labels, summary(result.mixed), strict=True))


def _stages(result: Result) -> list[tuple[str, str]]:
    """How the engine runs: input, stages that go band by band, and their steps."""
    if result.runtime != "engine":
        return []
    from .data import schedule_data

    data = schedule_data(result.graph, result.schedule)
    bands = data["streamed"]
    rows = [("schedule", f"{data['stages']:>11,}  stages; {data['input']} input")]
    if bands:
        steps = sum(stage["steps"] for stage in bands)
        ops = sum(len(stage["ops"]) for stage in bands)
        rows.append(("", f"{len(bands):>11,}  run band by band: {ops} ops, {steps} steps"))
    columns = [stage["columns"]["kept"] for stage in bands if stage["columns"]]
    for kept, words in ((True, "of them a few columns at a time"), (False, "of them in strips")):
        if kept in columns:
            rows.append(("", f"{columns.count(kept):>11,}  {words}"))
    if data["made_again"]:
        count = len(data["made_again"])
        rows.append(("", f"{count:>11,}  ops run twice: what they make is never whole (--json)"))
    images = [one for one in result.whole if _has_image(result.graph.ops[one.op])]
    return [*rows, *_whole(images)]


def _has_image(op: Op) -> bool:
    """Whether there are rows at all that it could run on: vectors have none."""
    computed = [t for t in (*op.inputs, *op.outputs) if t is not None and t.data is None]
    return any(len(t.shape) == 4 and t.shape[1] > 1 for t in computed)


def _whole(ops: Sequence[Whole]) -> list[tuple[str, str]]:
    """Ops that can't run on rows, by reason; a few of them if they are many."""
    if not ops:
        return []
    by_reason: dict[str, list[str]] = {}
    for one in ops:
        by_reason.setdefault(one.reason, []).append(f"{one.op}:{one.kind}")
    head = f"{len(ops):>11,}  op{'s' * (len(ops) > 1)} can't run on rows:"
    rows = [("", head)]
    for reason, names in list(by_reason.items())[:_MOST_REASONS]:
        more = f" and {len(names) - 2} more" if len(names) > 2 else ""
        lines = textwrap.wrap(f"{', '.join(names[:2])}{more}: {reason}", _PAGE - _WIDTH - 13)
        rows += [("", f"{'':>13}{line}") for line in lines]
    left = len(by_reason) - _MOST_REASONS
    return [*rows, ("", f"{'':>13}and {left} more reasons (--json)")] if left > 0 else rows


def _work(result: Result) -> list[tuple[str, str]]:
    saved = "" if result.macs == result.macs_before else f", from {result.macs_before:,}"
    saved += f", and {result.extra_macs:.1%} more recomputed" if result.extra_macs else ""
    if result.bit_exact is None:
        proof = "not checked"
    else:
        proof = f"yes, over {result.vectors} samples" if result.bit_exact else "NO"
    return [
        ("MACs", f"{_bytes(result.macs)}{saved}"),
        ("bit-exact with TFLM", f"{proof:>11}"),
    ]


def _stock(result: Result) -> list[tuple[str, str]]:
    if result.tflm is None:
        return []
    before, after = result.tflm.before, result.tflm.after
    rows = [
        (
            "stock TFLM, bytes",
            f"{_bytes(before.total)}  before: {before.head:,} tensors + {before.tail:,} state",
        ),
        ("", f"{_bytes(after.total)}  after:  {after.head:,} tensors + {after.tail:,} state"),
    ]
    if result.tflm.kernels != "reference":
        library, _, instructions = result.tflm.kernels.rpartition("_")
        whose = "CMSIS-NN" if library == "cmsis_nn" else "tflm_opt's kernels"
        rows.append(("", f"{'':>11}  tensors with the scratch of {whose} ({instructions})"))
    return rows


def _accuracy(result: Result) -> list[tuple[str, str]]:
    """What `evaluate` and `diagnose` found, with the worst layer."""
    from .data import accuracy_data
    from .quantization import accuracy_lines

    found = result.findings
    rows: list[tuple[str, str]] = []
    if found.accuracy is not None:
        lines = accuracy_lines(accuracy_data(found.accuracy))
        wrapped = [part for line in lines for part in textwrap.wrap(line, _PAGE - _WIDTH)]
        rows += [("" if i else "accuracy", line) for i, line in enumerate(wrapped)]
    named = () if found.diagnosis is None else found.diagnosis.findings[:1]
    for one in named:
        words = f"{one.label or 'the model'}: {one.reason}. {one.remedy}"
        lines = textwrap.wrap(words, _PAGE - _WIDTH)
        rows += [("" if i else "quantization, worst", line) for i, line in enumerate(lines)]
    return rows


def graph_text(graph: Graph) -> str:
    """What `tflm-opt inspect` prints for a person: one line an op, in 80 columns."""
    from ..graph.geometry import macs, op_macs
    from ..graph.text import short_name

    lines = [f"{'#':>4}  {'op':<26}{'first output':<24}{'MACs':>12}{'constants':>12}"]
    for index, op in enumerate(graph.ops):
        constants = sum(t.nbytes for t in op.inputs if t is not None and t.constant)
        lines.append(
            f"{index:>4}  {op.kind:<26}{_type(op.outputs[0]):<24}"
            f"{_or_blank(op_macs(op)):>12}{_or_blank(constants):>12}"
        )
    lines += [f"{'in':>4}  {short_name(t.name)} {_type(t)}" for t in graph.inputs]
    lines += [f"{'out':>4}  {short_name(t.name)} {_type(t)}" for t in graph.outputs]
    total = f"{len(graph.ops)} ops, {macs(graph):,} MACs; constants in bytes"
    return "\n".join((*lines, total))


def print_graph(graph: Graph) -> None:
    """The same, as a table where there is a terminal for it."""
    text = graph_text(graph)
    if not terminal.is_rich():
        terminal.say(text)
        return
    from ..graph.geometry import op_macs

    rows = []
    for index, op in enumerate(graph.ops):
        constants = sum(t.nbytes for t in op.inputs if t is not None and t.constant)
        counts = (_or_blank(op_macs(op)), _or_blank(constants))
        rows.append([str(index), op.kind, _type(op.outputs[0]), *counts])
    heads = ("#", "op", "first output", "MACs", "constants")
    terminal.show_table(heads, rows, right=(0, 3, 4))
    terminal.say("\n".join(text.splitlines()[len(graph.ops) + 1 :]))


def _or_blank(count: int) -> str:
    return f"{count:,}" if count else ""


def _type(tensor: Tensor) -> str:
    return f"{tensor.dtype}[{','.join(map(str, tensor.shape))}]"


_FRONT = ("arena, bytes", "extra MACs", "extra calls", "moved bytes", "instructions", "stages")
_FRONT_NOTE = "instructions: an estimate, of kernels; stages: those that run band by band"


def front_text(points: Sequence[dict[str, Any]]) -> str:
    """The front as a table; `points` is what `tradeoffs --json` prints."""
    widths = (13, 12, 13, 13, 14, 8)
    lines = [
        "".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True))
        for row in (_FRONT, *map(_front_row, points))
    ]
    return "\n".join((*lines, _FRONT_NOTE))


def _front_row(point: dict[str, Any]) -> tuple[str, ...]:
    counts = ("extra_calls", "moved", "instructions")
    return (
        f"{point['arena']:,}",
        f"{point['extra_macs']:.0%}",
        *(f"{point[key]:,}" for key in counts),
        str(point["streamed_stages"]),
    )


def print_front(points: Sequence[dict[str, Any]]) -> None:
    """The same, as a table where there is a terminal for it."""
    if not terminal.is_rich():
        terminal.say(front_text(points))
        return
    terminal.show_table(_FRONT, [*map(_front_row, points)], right=range(len(_FRONT)))
    terminal.say(_FRONT_NOTE)


def print_boards(boards: Sequence[Board]) -> None:
    """One line a board. KiB, rounded down, so that a row fits a terminal; --json has bytes."""
    heads = ("id", "core", "SRAM KiB", "flash KiB", "MHz", "name")
    rows = [
        [
            board.id,
            board.core.removeprefix("cortex-"),
            *(f"{board.sram >> 10:,}", f"{board.flash >> 10:,}"),
            *(str(board.clock_hz // 1_000_000), board.name),
        ]
        for board in boards
    ]
    terminal.show_table(heads, rows, right=(2, 3, 4))


def measurement_text(data: dict[str, object]) -> str:
    """What `tflm-opt measure` prints for a person; `data` is what `--json` prints."""
    instructions = data["instructions"]
    proof = "every output byte equals TFLM's" if data["bit_exact"] else "outputs DIFFER from TFLM's"
    flash = data["flash"]
    assert isinstance(flash, dict)
    rows = [
        ("board", f"{data['board']} ({data['core']}, emulated)"),
        ("instructions", f"{instructions:,} per inference (not cycles)"),
        *_cycles(data.get("cycles_estimate"), data.get("no_estimate")),
        ("bit-exact", f"{proof}, over {data['vectors']} samples"),
        ("arena", f"{data['arena']:,} bytes"),
        ("stack", f"{data['stack']:,} bytes, measured; {data['stack_worst_case']:,} worst case"),
        (
            "flash",
            f"{flash['total']:,} bytes: {flash['weights']:,} constants, {flash['code']:,} code",
        ),
    ]
    return "\n".join(map(_row, rows))


def _cycles(estimate: Any, why_not: Any) -> list[tuple[str, str]]:
    if estimate is None:
        return [("cycles", f"no estimate: {why_not}")] if why_not else []
    waits = f", {estimate['waits']:,} of them for flash" if estimate["waits"] else ""
    time = f"{estimate['ms']:.3g} ms at {estimate['clock_hz'] / 1e6:g} MHz on {estimate['board']}"
    return [
        ("cycles, an ESTIMATE", f"about {estimate['cycles']:,} per inference{waits}"),
        ("", f"about {time}"),
    ]
