"""What stages cost in stock TFLM, and which to take: head and tail together, under a limit of MACs.

The *head* holds tensors; bands make it smaller. The *tail* holds what TFLM keeps about every op
and tensor; bands make it larger. Prices below are those of the allocator of `tflite-micro` on a
64-bit host, in bytes, as the recording allocator tells them; they only rank candidates, the best
of which are then measured.

The graph's ops form a line; a way from its start to its end takes each op whole, whole with zero
taps instead of a `PAD`, or as part of a stage. `tflm_sweep` finds the best ways along the line.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

from ..arena.overlap import in_place_in_tflm
from ..arena.problem import align_up
from ..arena.tflm_scratch import REFERENCE, tflm_scratch
from ..graph import geometry
from ..graph.ir import Graph, Op, Tensor
from ..graph.options import ConvOptions, Padding, same_padding
from ..graph.write import padding_flag
from ..passes.legalize import smallest_pad
from ..passes.rewrite import CONVOLUTIONS, POOLS, padding_of, size_of, source_of, window
from .tflm_bands import Body, Piece, Step, Unfit, body
from .tflm_calls import MOST_INPUTS, with_taps
from .tflm_joins import in_place, joins
from .tflm_layout import safe_distance
from .tflm_sweep import Part, Way, limits, sweep

# Bytes of tail an op, its output's record included; constants and inputs have records of their own.
PRICES = {"slice": 88, "keep": 88, "mask": 88, "pad": 152, "call": 112, "join": 176}
CONSTANTS = {"slice": 2, "keep": 2, "pad": 1, "mask": 1}
TENSOR = 24
SUBGRAPH = 64
# An op that is written once a band; convolutions besides 8 bytes an output channel.
COPIES = {"CONV_2D": 200, "DEPTHWISE_CONV_2D": 200}
COPY = 160

STYLES = ("wide", "pad", "same")
LONGEST = 14
MOST_COPIES = 4  # bands: with more, calls are cheaper for any op
COUNTS = (2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 32, 48)
# A stage must hold an op that needs this share of the worst op's memory, run whole.
WORTH = 6


def ways(
    graph: Graph, max_extra_macs: float, count: int = 12, kernels: str = REFERENCE
) -> list[Way]:
    """The most promising ways to run a graph, the smallest estimate of head + tail first.

    Example:
        >>> ways(graph, max_extra_macs=0.1)[0].head

    Args:
        graph: as the passes leave it.
        max_extra_macs: as a share of the graph's.
        count: at most so many.
        kernels: whose scratch is counted, one of `arena.tflm_scratch.KERNELS`.
    """
    lives = _Lives(graph, kernels)
    whole = [part for i in range(len(graph.ops)) for part in _whole(lives, i)]
    worst = max(part.head for part in whole)
    limit = int(max_extra_macs * geometry.macs(graph))
    parts = [*whole, *_stages(lives, whole, worst // WORTH, limit)]
    found: dict[tuple[Part, ...], Way] = {}
    for head in limits(parts, len(graph.ops), limit):
        for way in sweep([p for p in parts if p.head <= head], len(graph.ops), limit):
            found.setdefault(way.parts, way)
    return sorted(found.values(), key=lambda w: (w.head + w.tail, w.macs))[:count]


def widened(op: Op) -> Op | None:
    """The convolution with zero taps below and to the right, whose padding SAME can express.

    A filter of k + 1 with a zero last tap makes SAME pad (1, 1) at stride 2 and even sizes, as
    PyTorch's nets want it. None where the op needs no `PAD`, or no few taps help.
    """
    if op.kind not in CONVOLUTIONS or not _needs_pad(op):
        return None
    slides, pads, weights = window(op), padding_of(op), op.inputs[1]
    size, out = size_of(source_of(op)), size_of(op.output)
    if weights is None or weights.data is None:
        return None
    kernel, sides = [], []
    for axis, before in enumerate((pads.top, pads.left)):
        for taps in range(slides.kernel[axis], slides.kernel[axis] + 3):
            pair = same_padding(size[axis], taps, slides.stride[axis], slides.dilation[axis])
            if pair[0] == before and -(-size[axis] // slides.stride[axis]) == out[axis]:
                kernel.append(taps)
                sides.extend(pair)
                break
        else:
            return None
    wider = with_taps(weights, (kernel[0], kernel[1]))
    assert isinstance(op.options, ConvOptions)
    options = replace(op.options, padding=type(pads)(*sides))
    return replace(op, inputs=(op.inputs[0], wider, *op.inputs[2:]), options=options)


def _needs_pad(op: Op) -> bool:
    if op.kind not in CONVOLUTIONS and op.kind not in POOLS:
        return False
    slides, size = window(op), size_of(source_of(op))
    flag = padding_flag(padding_of(op), size, slides.kernel, slides.stride, slides.dilation)
    return flag is None


class _Lives:
    """Which tensors are alive where; op i is step i."""

    def __init__(self, graph: Graph, kernels: str) -> None:
        self.ops = graph.ops
        self.kernels = kernels
        self.known: dict[tuple[Op, Padding, int], int] = {}
        self.macs = {op: geometry.op_macs(op) for op in graph.ops}
        self.born = {t: -1 for t in graph.inputs if t.data is None}
        self.dies = dict(self.born)
        for step, op in enumerate(graph.ops):
            self.born.update({t: step for t in op.outputs})
            for tensor in (*op.outputs, *op.inputs):
                if tensor in self.born:
                    self.dies[tensor] = step
        self.dies.update({t: len(graph.ops) for t in graph.outputs if t in self.born})

    def beside(self, start: int) -> dict[Tensor, int]:
        """Bytes of what is made before op `start` and used by it or after it."""
        return {
            t: align_up(t.nbytes, 16)
            for t in self.born
            if self.born[t] < start and self.dies[t] >= start
        }

    def scratch(self, op: Op, padding: Padding | None = None, taps: int = 0) -> int:
        """Bytes of scratch of an op, with another padding and filter of so many columns."""
        options = op.options
        if self.kernels == REFERENCE or not isinstance(options, ConvOptions):
            return tflm_scratch(op, self.kernels)
        padding = options.padding if padding is None else padding
        if (op, padding, taps) not in self.known:
            source, weights, *rest = op.inputs
            if taps and weights is not None:
                weights = with_taps(weights, (weights.shape[1], taps))
            other = replace(
                op, inputs=(source, weights, *rest), options=replace(options, padding=padding)
            )
            self.known[op, padding, taps] = tflm_scratch(other, self.kernels)
        return self.known[op, padding, taps]


def _whole(lives: _Lives, step: int) -> Iterator[Part]:
    op = lives.ops[step]
    beside = sum(lives.beside(step).values())
    out = sum(align_up(t.nbytes, 16) for t in op.outputs if t.data is None)
    for position, tensor in enumerate(op.inputs):
        if tensor in lives.dies and lives.dies[tensor] == step and in_place_in_tflm(op, position):
            out = 0
    if not _needs_pad(op):
        yield Part(step, step + 1, beside + out + lives.scratch(op), 0, 0)
        return
    pad, source = smallest_pad(op), source_of(op)
    rows, columns = size_of(source)
    area = (rows + pad.top + pad.bottom) * (columns + pad.left + pad.right)
    padded = align_up(source.nbytes * area // (rows * columns), 16)
    gone = align_up(source.nbytes, 16) if lives.dies[source] == step else 0
    head = max(beside + padded, beside - gone + padded + out + lives.scratch(op, Padding()))
    yield Part(step, step + 1, head, PRICES["pad"] + TENSOR, 0)
    wider = widened(op)
    if wider is not None:
        macs = geometry.op_macs(wider) - geometry.op_macs(op)
        yield Part(step, step + 1, beside + out + lives.scratch(wider), 0, macs, taps=True)


def _stages(lives: _Lives, whole: Sequence[Part], worth: int, limit: int) -> list[Part]:
    """The stages worth a thought: of each range of ops, those that no other one beats."""
    least = [min(p.head for p in whole if p.start == i) for i in range(len(lives.ops))]
    on_rows = [_on_rows(op) for op in lives.ops]
    found: list[Part] = []
    for start in range(len(lives.ops)):
        for stop in range(start + 1, min(start + LONGEST, len(lives.ops)) + 1):
            if not on_rows[stop - 1]:
                break
            if not limit and _recomputes(lives, start, stop):
                break
            if max(least[start:stop]) >= worth:
                every = _bodies(lives, start, stop)
                found.extend(_front([part for part in every if part.macs <= limit]))
    return found


def _recomputes(lives: _Lives, start: int, stop: int) -> bool:
    """Whether bands of ops [start, stop) surely compute some rows twice."""
    halo, above, below = _halo(lives, start, stop - 1)
    return halo > max(0, above, below)


def _halo(lives: _Lives, start: int, step: int) -> tuple[int, int, int]:
    """Rows of an inner tensor that two neighbouring rows of an op both read, and its padding.

    They can be kept where the padding on one side, above or below, is no less.
    """
    op = lives.ops[step]
    if op.kind not in CONVOLUTIONS and op.kind not in POOLS:
        return 0, 0, 0
    slides, above, source = window(op), padding_of(op).top, source_of(op)
    reach = (op.output.shape[1] - 1) * slides.stride[0] + slides.span(0)
    inner = lives.born[source] >= start
    halo = slides.span(0) - slides.stride[0] if inner else 0
    return halo, above, reach - above - source.shape[1]


def _on_rows(op: Op) -> bool:
    try:
        body((op,), 1, "pad")
    except Unfit:
        return False
    return True


def _bodies(lives: _Lives, start: int, stop: int) -> Iterator[Part]:
    ops = lives.ops[start:stop]
    if any(lives.dies[t] >= stop for op in ops[:-1] for t in op.outputs):
        return
    rows = ops[-1].output.shape[1]
    halos = [h for h in (_halo(lives, start, i) for i in range(start, stop)) if h[0] > 0]
    for band in sorted({-(-rows // count) for count in COUNTS if count <= rows}):
        # A last band that reaches below the result is padding enough for any halo.
        up = rows % band or any(below >= halo for halo, _, below in halos)
        ways = ["", *["down"] * any(above >= halo for halo, above, _ in halos)]
        for keep in ways + ["up"] * bool(halos and up):
            for style in STYLES[: 2 if keep else 3]:
                with suppress(Unfit):
                    made = body(ops, band, style, lives.macs, keep)
                    if not keep or made.kept:
                        yield _part(lives, start, stop, made)
                        if made.bands <= MOST_COPIES and not any(s.taps for s in made.steps):
                            yield _part(lives, start, stop, replace(made, copied=True))


def _part(lives: _Lives, start: int, stop: int, made: Body) -> Part:
    return Part(start, stop, _head(lives, start, stop, made), tail_of(made), made.extra_macs, made)


def _head(lives: _Lives, start: int, stop: int, made: Body) -> int:
    beside = lives.beside(start)
    result = align_up(made.ops[-1].output.nbytes, 16)
    row = made.ops[-1].output.nbytes // made.ops[-1].output.shape[1]
    over = 0
    if made.band * row % 16 == 0:
        dying = [w for w in made.windows if lives.dies[w.tensor] < stop]
        over = max((_overlap(w, made, result, beside[w.tensor]) for w in dying), default=0)
    windows = sum(align_up(w.nbytes, 16) for w in made.windows)
    states = sum(align_up(kept.after.nbytes, 16) for kept in made.kept)
    each = [lives.scratch(s.op, s.padding, s.taps) for s in made.steps if s.op is not None]
    scratch = max(each) if made.copied else sum(each)  # of a body: as long as its calls
    return sum(beside.values()) + result - over + states + scratch + max(windows, _inner(made))


def _overlap(piece: Piece, made: Body, result: int, source: int) -> int:
    """Bytes that the result and an input of the stage share at best."""
    distance = align_up(safe_distance(made, piece), 16)
    lower, upper = (source, result) if made.upwards else (result, source)
    return result + source - max(distance + upper, lower)


def _inner(made: Body) -> int:
    """The most bytes of pieces alive at one step of a body."""
    last: dict[Piece, int] = {}
    for number, step in enumerate(made.steps):
        last.update(dict.fromkeys(step.inputs, number))
    last[made.result] = len(made.steps)
    together = {join.kept.held: join for join in joins(made)}
    wholes = {join.kept.whole for join in together.values()}
    free = {kept.after for kept in made.kept}  # counted as the stage's state
    free.update(piece for join in together.values() for piece in join.line)
    alive = {piece: 0 if piece in free else align_up(piece.nbytes, 16) for piece in made.windows}
    for kept in made.kept:
        held = kept.whole if kept.held in together else kept.held
        alive[kept.held] = align_up(held.nbytes, 16)
    most = 0
    for number, step in enumerate(made.steps):
        gone = [p for p in dict.fromkeys(step.inputs) if last[p] == number]
        if step.output in wholes:
            over = gone
        else:
            over = [] if step.output in free else [p for p in in_place(step) if p in gone][:1]
        for piece in over:
            alive.pop(piece)
        alive[step.output] = 0 if step.output in free else align_up(step.output.nbytes, 16)
        most = max(most, sum(alive.values()))
        for piece in gone:
            alive.pop(piece, None)
    return most


def tail_of(made: Body) -> int:
    cuts = made.bands * len(made.windows) * (PRICES["slice"] + TENSOR)
    edges = sum(_outside(w, made.bands) for w in made.windows) * (PRICES["pad"] + TENSOR)
    joins = PRICES["join"] * (
        1 + (-(-made.bands // MOST_INPUTS) if made.bands > MOST_INPUTS else 0)
    )
    if made.copied:
        return cuts + edges + joins + _copies(made)
    steps = sum(_step(step) for step in made.steps)
    masks = 3 * TENSOR * len(made.masks)
    calls = made.bands * PRICES["call"]
    calls += len(made.kept) * TENSOR * (made.bands + 2)
    return cuts + edges + joins + masks + calls + SUBGRAPH + steps


def _step(step: Step) -> int:
    """Tail of what a band needs beside the graph's own ops."""
    return PRICES.get(step.kind, 0) + TENSOR * CONSTANTS.get(step.kind, 0)


def _outside(window: Piece, bands: int) -> int:
    """How many bands have a window that reaches outside the image."""
    span, height = window.span, window.tensor.shape[1]
    lows = [number * span.step + span.lo for number in range(bands)]
    return sum(low < 0 or low + span.rows > height for low in lows)


def _copies(made: Body) -> int:
    """Tail of the ops of copies, beyond those of one: masks are for the first and last band."""
    ops = sum(
        COPIES.get(op.kind, COPY) + (8 * op.output.shape[3] if op.kind in COPIES else 0)
        for op in made.ops
    )
    tail = (made.bands - 1) * ops
    for step in made.steps:
        tail += _step(step) * (min(made.bands, 2) if step.kind == "mask" else made.bands)
    return tail


def _front(parts: list[Part]) -> list[Part]:
    """Those that no other beats in head, tail and MACs at once."""
    kept: list[Part] = []
    for part in sorted(parts, key=lambda p: (p.head, p.tail, p.macs)):
        if not any(k.tail <= part.tail and k.macs <= part.macs for k in kept):
            kept.append(part)
    return kept
