"""From a graph and a schedule to buffers: what is alive when, and what shares memory by nature.

Time is counted in steps. At step 0 the caller writes the inputs; the op at position `i` of the
schedule runs at step `i + 1`; at a last step of its own the caller reads the outputs.

    step          0        1        2        3
    what          inputs   an op    an op    outputs
    input    x    |################|                      until its last reader is done
    inner    t             |################|             from its op to its last reader
    output   y                      |################|    to the end

An input may be overwritten once its last reader is done. Constants need no buffer. Views (the
same bytes under another shape) share the buffer of what they look at, which then lives as long
as the longest of them. Lifetimes are those of TFLM's `AllocationInfoBuilder`; in stages that run
band by band, those of `streams`, and what lives only inside one is as large as its window.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tflm_opt.arena.problem import Buffer
from tflm_opt.arena.streams import Streamed, stretched
from tflm_opt.graph.ir import Graph, Op, Tensor
from tflm_opt.patch_split.schedule import Schedule

VIEWS = frozenset({"RESHAPE", "SQUEEZE", "EXPAND_DIMS"})

# Stock TFLM: RESHAPE skips its memcpy when both pointers are equal and EXPAND_DIMS copies element
# by element; SQUEEZE calls memcpy always, which C does not allow on the same memory.
TFLM_VIEWS = frozenset({"RESHAPE", "EXPAND_DIMS"})


# How the names of scratch buffers start.
SCRATCH = "scratch of "
FRONT = "front of "


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """Buffers, and whose they are.

    Attributes:
        buffers: tensors' buffers in order of appearance, then scratch; sizes in bytes.
        tensors: position in `buffers` of each tensor that has one.
        fronts: position in `buffers` of the front of each tensor that has one (see
            `patch_split.columns`); its place in `tensors` is its ring's.
        scratch: position in `buffers` of the scratch of each op that has some.
        steps: names of the steps: "inputs", the ops, "outputs".
    """

    buffers: tuple[Buffer, ...]
    tensors: dict[Tensor, int]
    scratch: dict[Op, int]
    steps: tuple[str, ...]
    fronts: dict[Tensor, int] = field(default_factory=dict)


def lifetimes(
    graph: Graph,
    schedule: Schedule,
    *,
    views: frozenset[str] = VIEWS,
    scratch: Callable[[Op], int] | None = None,
    variables: bool = True,
    unused: bool = False,
    stages: Sequence[Streamed] = (),
) -> Lifetimes:
    """The buffers of a graph under a schedule.

    Example:
        >>> lifetimes(graph, layer_by_layer(graph)).buffers[0]
        Buffer(name='x', size=9216, start=0, stop=2, offset=None)

    Args:
        graph: whose tensors need memory.
        schedule: all ops of `graph`, in a valid order.
        views: op kinds whose output shares its input's buffer.
        scratch: bytes that an op's kernel needs while it runs; none by default.
        variables: whether variable tensors (state kept between invocations) get a buffer, alive
            all the time.
        unused: whether tensors that the file lists and nothing uses get one (TFLM allocates
            them); they share one at a step of their own, -1.
        stages: those of the schedule that have a band.

    Raises:
        ValueError: the schedule does not hold every op of the graph exactly once, or runs an op
            before what it reads is made.
    """
    ops = schedule.ops
    if len(ops) != len(graph.ops) or set(ops) != set(graph.ops):
        raise ValueError(f"the schedule holds {len(ops)} ops, and the graph {len(graph.ops)}")
    spans = stretched(_spans(graph, ops, variables), stages)
    roots = _roots(ops, views, spans)
    inner = {t: _inner_bytes(s, t) for s in stages for t in s.walk.windows}
    groups = {root: [t for t in roots if roots[t] is root] for root in roots.values()}
    found = _with_fronts(_buffers(graph, spans, groups, inner, unused), stages)
    sums = {s.walk.summed: s.first for s in stages if s.walk.summed is not None}
    return _with_scratch(found, ops, _scratch(ops, scratch, stages), sums)


def _spans(graph: Graph, ops: tuple[Op, ...], variables: bool) -> dict[Tensor, tuple[int, int]]:
    """(start, stop) of every tensor that needs memory, in order of appearance."""
    end = len(ops) + 2
    spans: dict[Tensor, tuple[int, int]] = {t: (0, 1) for t in graph.inputs if t.data is None}
    for step, op in enumerate(ops, start=1):
        for tensor in _held(op.outputs):
            spans.setdefault(tensor, (step, step + 1))
        for tensor in _held(op.inputs):
            if tensor.variable:
                spans[tensor] = (0, end)
            elif tensor not in spans or spans[tensor][0] > step:
                raise ValueError(f"{op!r} reads {tensor.name!r}, which nothing has made by then")
            spans[tensor] = (spans[tensor][0], max(spans[tensor][1], step + 1))
    for tensor in _held(graph.outputs):
        if tensor not in spans:
            raise ValueError(f"the graph output {tensor.name!r} is made by no op")
        spans[tensor] = (spans[tensor][0], end)
    return {t: span for t, span in spans.items() if variables or not t.variable}


def _held(tensors: tuple[Tensor | None, ...]) -> Iterator[Tensor]:
    return (t for t in tensors if t is not None and t.data is None)


def _roots(
    ops: tuple[Op, ...], views: frozenset[str], spans: dict[Tensor, tuple[int, int]]
) -> dict[Tensor, Tensor]:
    """For every tensor, the one whose buffer it shares: itself, unless it is a view."""
    roots = {tensor: tensor for tensor in spans}
    for op in ops:
        source = op.inputs[0] if op.inputs else None
        if op.kind not in views or source not in roots or op.output not in roots:
            continue
        # A variable keeps its place for the next invocation: nobody else may write there.
        if source.nbytes == op.output.nbytes and not source.variable:
            roots[op.output] = roots[source]
    return roots


def _buffers(
    graph: Graph,
    spans: dict[Tensor, tuple[int, int]],
    groups: dict[Tensor, list[Tensor]],
    inner: dict[Tensor, int],
    unused: bool,
) -> Lifetimes:
    """Buffers of tensors; `inner` has the sizes of windows."""
    buffers: list[Buffer] = []
    tensors: dict[Tensor, int] = {}
    for root, members in groups.items():
        tensors.update(dict.fromkeys(members, len(buffers)))
        start, stop = spans[root][0], max(spans[t][1] for t in members)
        buffers.append(Buffer(root.name, inner.get(root, root.nbytes), start, stop))
    idle = [t for t in _held(graph.tensors) if unused and t not in spans and not t.variable]
    if idle:
        tensors.update(dict.fromkeys(idle, len(buffers)))
        buffers.append(Buffer("unused tensors", max(t.nbytes for t in idle), -1, 0))
    return Lifetimes(tuple(buffers), tensors, {}, ())


def _inner_bytes(stage: Streamed, tensor: Tensor) -> int:
    if stage.columns is None:
        return stage.walk.window_bytes(tensor)
    return stage.columns.lines[tensor].ring_bytes


def _with_fronts(found: Lifetimes, stages: Sequence[Streamed]) -> Lifetimes:
    """A front lives for its whole stage where it keeps columns, else to its last reader.

    Where rows are kept, its columns go to the ring at the end of a step.
    """
    buffers, fronts = list(found.buffers), {}
    for stage in stages:
        ops = stage.walk.stage.ops
        for tensor, lines in stage.columns.lines.items() if stage.columns else ():
            if not lines.front_bytes:
                continue
            start, stop = stage.first, stage.last + 1
            if not lines.columns_kept:
                start += next(k for k, op in enumerate(ops) if tensor in op.outputs)
                if not lines.rows_kept:
                    last = max((k for k, op in enumerate(ops) if tensor in op.inputs), default=0)
                    stop = max(stage.first + last, start) + 1
            fronts[tensor] = len(buffers)
            buffers.append(Buffer(FRONT + tensor.name, lines.front_bytes, start, stop))
    return replace(found, buffers=tuple(buffers), fronts=fronts)


def _scratch(
    ops: tuple[Op, ...], scratch: Callable[[Op], int] | None, stages: Sequence[Streamed]
) -> dict[Op, int]:
    """Bytes of scratch of the ops that need some; in a stage, what the hungriest band needs."""
    bands = {every.op: every.variants for stage in stages for every in stage.turns}
    if scratch is None:
        return {}
    sizes = {op: max(map(scratch, bands.get(op, (op,)))) for op in ops}
    return {op: size for op, size in sizes.items() if size}


def _with_scratch(
    found: Lifetimes, ops: tuple[Op, ...], sizes: dict[Op, int], sums: Mapping[Op, int]
) -> Lifetimes:
    """Scratch lives while its op runs; running sums from the first step of their stage, `sums`."""
    buffers = list(found.buffers)
    places: dict[Op, int] = {}
    for step, op in enumerate(ops, start=1):
        if op in sizes:
            places[op] = len(buffers)
            buffers.append(
                Buffer(SCRATCH + _step_name(op), sizes[op], sums.get(op, step), step + 1)
            )
    steps = ("inputs", *map(_step_name, ops), "outputs")
    return replace(found, buffers=tuple(buffers), scratch=places, steps=steps)


def _step_name(op: Op) -> str:
    return f"{op.kind} {op.outputs[0].name}" if op.outputs else op.kind
