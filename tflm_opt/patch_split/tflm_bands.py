"""What one band of a stage is made of, for stock TFLM: which rows, by which standard ops.

A stage is a chain of ops (residual branches included) whose result is made band by band, each
band by the same ops. Band `j` of a result holds its rows [j b, j b + b); the rows that every
inner tensor must have for it follow backwards through the receptive fields, and move by a fixed
number of rows from band to band, so that one body serves all bands.

Rows above and below the image are part of these windows. Those of a stage's inputs are padded in
when a window is cut; those of inner tensors come out as garbage, and `MINIMUM` with a mask (127
for rows of the image, -128 for others) turns them into the zero points that the next window must
see, which it can where the zero point is -128, as after a ReLU.

TFLite's padding is one flag for both axes. Where columns need padding, there are four ways: all
columns outside the image that the result depends on are computed and masked, like rows, and every
window is VALID; SAME, which adds rows too, and whose first and last rows are dropped (`SLICE`);
zero taps at the end of the filter's rows, which make SAME pad the columns that the op wants at
some wasted multiplications; or a `PAD` of the columns before VALID.

Rows that two neighbouring bands both need of an inner tensor are computed twice, or *kept*: the
body returns them, and the next call gets them back and joins them with the rows that it computes.
That takes a first call which needs none that are in the image, so bands run downwards where the
padding above a window is all of what is kept, upwards where it is the padding below.

The idea is patch-based inference (MCUNetV2, NeurIPS 2021) on rows; kept halos are those of
streaming engines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod

from ..graph import geometry
from ..graph.ir import Op, Tensor
from ..graph.options import Padding, same_padding
from ..passes.rewrite import CONVOLUTIONS, POOLS, padding_of, source_of, window, zero_of

STYLES = ("wide", "same", "pad", "first")
_UNARY = frozenset({"RELU", "RELU6", "QUANTIZE", "LOGISTIC", "HARD_SWISH", "LEAKY_RELU", "TANH"})
_BINARY = frozenset({"ADD", "SUB", "MUL"})
LOWEST = -128
_NONE = Padding()


@dataclass(frozen=True, slots=True)
class Span:
    """Rows [j step + lo, j step + hi) and columns [left, right) of a tensor, for band j."""

    step: int
    lo: int
    hi: int
    left: int
    right: int

    @property
    def rows(self) -> int:
        return self.hi - self.lo

    @property
    def columns(self) -> int:
        return self.right - self.left


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Rows of a tensor as the body holds them; compared by identity.

    Attributes:
        tensor: of the graph.
        span: which rows.
        note: what was done to it, for its name.
    """

    tensor: Tensor
    span: Span
    note: str = ""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return (1, self.span.rows, self.span.columns, self.tensor.shape[3])

    @property
    def nbytes(self) -> int:
        return prod(self.shape) * self.tensor.itemsize


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One op of the body.

    Attributes:
        kind: "op" for rows of an op of the graph, "slice", "mask" or "pad"; "join" puts kept rows
            and new ones together, and "keep" slices off those that the next call gets.
        op: the graph's op, for kind "op".
        inputs: pieces read; for "op", those of its inputs that are computed, in order.
        padding: explicit padding of an op with a window.
        taps: columns of the filter, zero ones included; 0 where it is unchanged.
        macs: multiply-accumulates of one band.
    """

    kind: str
    inputs: tuple[Piece, ...]
    output: Piece
    op: Op | None = None
    padding: Padding = _NONE
    taps: int = 0
    macs: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """Rows of an inner tensor that go from one call to the next.

    Attributes:
        held: what a call gets.
        fresh: what it computes.
        whole: the two joined.
        after: what it returns.
    """

    held: Piece
    fresh: Piece
    whole: Piece
    after: Piece


@dataclass(frozen=True, slots=True, eq=False)
class Body:
    """What makes one band.

    Attributes:
        ops: of the graph, in order.
        band: rows of the result that a band makes.
        windows: the pieces of the stage's inputs.
        masks: pieces that a mask is applied to, in order of the steps.
        steps: in order.
        result: the piece that a band adds to the result.
        bands: how many bands make the whole result.
        extra_macs: of all bands together, beyond those of the ops run whole.
        kept: what goes from call to call.
        upwards: whether the last band is made first.
        copied: whether each band gets ops of its own, instead of a call of shared ones.
    """

    ops: tuple[Op, ...]
    band: int
    windows: tuple[Piece, ...]
    masks: tuple[Piece, ...]
    steps: tuple[Step, ...]
    result: Piece
    bands: int
    extra_macs: int
    kept: tuple[Kept, ...] = ()
    upwards: bool = False
    copied: bool = False

    @property
    def order(self) -> tuple[int, ...]:
        """The numbers of the bands, in the order in which they are made."""
        numbers = tuple(range(self.bands))
        return numbers[::-1] if self.upwards else numbers


class Unfit(Exception):
    """These ops can't be a stage of stock TFLM; the message says why."""


@dataclass(frozen=True, slots=True)
class _Cut:
    """How some rows of an op's output are made.

    Attributes:
        reads: rows of the inputs with rows.
        makes: rows of the output that come out, those to be dropped included.
        padding: explicit padding of the op over its window.
        taps: columns of a wider filter, or 0.
    """

    reads: Span
    makes: Span
    padding: Padding = _NONE
    taps: int = 0


def body(
    ops: Sequence[Op],
    band: int,
    style: str = "wide",
    macs: Mapping[Op, int] | None = None,
    keep: str = "",
) -> Body:
    """The body of a stage.

    Example:
        >>> body(graph.ops[:4], band=2).windows[0].span
        Span(step=8, lo=-5, hi=10, left=0, right=80)

    Args:
        ops: consecutive ops of a graph, whose last one makes the result.
        band: rows of the result.
        style: how padding of columns is written: "wide" by computing columns outside the image;
            "same" with SAME, and zero taps where SAME is another padding; "pad" with a PAD;
            "first" with a PAD for ops that read the stage's inputs, and as "same" for the others.
        macs: of each op run whole, where they are known already.
        keep: "down" or "up": rows of inner tensors are kept where bands made in this direction
            need none of them at first; "" to compute them again.

    Raises:
        Unfit: an op that can't run on rows, or rows outside the image that can't be masked.
    """
    if not ops or any(len(op.outputs) != 1 for op in ops):
        raise Unfit("an op with several results")
    result = ops[-1].output
    _check_image(result)
    made = {op.output for op in ops}
    needs: dict[Tensor, Span] = {result: Span(band, 0, band, 0, result.shape[2])}
    cuts: dict[Op, _Cut] = {}
    fresh: dict[Tensor, Span] = {}
    bands = -(-result.shape[1] // band)
    for op in reversed(ops):
        if op.output not in needs:
            raise Unfit(f"{op!r} makes what the stage does not read")
        inner = any(t in made for t in op.inputs if t is not None)
        manner = {"first": "same" if inner else "pad"}.get(style, style)
        fresh[op.output] = needs[op.output]
        if op.output is not result:
            fresh[op.output] = _fresh(op.output, needs[op.output], bands, keep)
        cuts[op] = _cut(op, fresh[op.output], manner)
        for tensor in _images(op):
            reads = cuts[op].reads
            if style != "wide":  # columns outside are padded where they are read
                reads = replace(reads, left=0, right=tensor.shape[2])
            needs[tensor] = _hull(needs.get(tensor), reads)
    known = macs or {op: geometry.op_macs(op) for op in ops}
    return _Emitter(tuple(ops), band, needs, cuts, known, fresh, keep == "up").body()


def _fresh(tensor: Tensor, need: Span, bands: int, keep: str) -> Span:
    """The rows that a call computes: all that are needed, or those that the one before had not."""
    if need.rows <= need.step or not keep:
        return need
    if keep == "down" and need.hi <= need.step:
        return replace(need, lo=need.hi - need.step)
    if keep == "up" and bands * need.step + need.lo >= tensor.shape[1]:
        return replace(need, hi=need.lo + need.step)
    return need


def _check_image(tensor: Tensor) -> None:
    if len(tensor.shape) != 4 or tensor.shape[0] != 1 or min(tensor.shape) < 1:
        raise Unfit(f"{tensor.name!r} is no image of batch 1")
    if tensor.dtype != "int8" or zero_of(tensor) is None:
        raise Unfit(f"{tensor.name!r} is not quantized to int8")


def _images(op: Op) -> tuple[Tensor, ...]:
    """The computed inputs of an op, in order."""
    return tuple(t for t in op.inputs if t is not None and t.data is None)


def _hull(a: Span | None, b: Span) -> Span:
    if a is None:
        return b
    if a.step != b.step:
        raise Unfit("branches of different strides")
    return Span(
        a.step, min(a.lo, b.lo), max(a.hi, b.hi), min(a.left, b.left), max(a.right, b.right)
    )


def _cut(op: Op, span: Span, style: str) -> _Cut:
    for tensor in (*_images(op), op.output):
        _check_image(tensor)
        if tensor.variable:
            raise Unfit(f"{tensor.name!r} is a variable")
    if not _images(op):
        raise Unfit(f"{op.kind} of constants")
    if op.kind in _UNARY | _BINARY:
        same = all(t.shape == op.output.shape for t in _images(op))
        flat = all(t.elements == 1 for t in op.inputs if t is not None and t.data is not None)
        if not same or not flat:
            raise Unfit(f"{op.kind} broadcasts")
        return _Cut(span, span)
    if op.kind not in CONVOLUTIONS and op.kind not in POOLS:
        raise Unfit(f"{op.kind} is not run on rows")
    if len(_images(op)) != 1:
        raise Unfit(f"{op.kind} with computed weights")
    return _window_cut(op, span, style)


def _window_cut(op: Op, span: Span, style: str) -> _Cut:
    slides, pads, width = window(op), padding_of(op), source_of(op).shape[2]
    if op.kind == "AVERAGE_POOL_2D" and not pads.empty:
        raise Unfit("an average over padding")
    lo = span.lo * slides.stride[0] - pads.top
    hi = lo + (span.rows - 1) * slides.stride[0] + slides.span(0)
    left = span.left * slides.stride[1] - pads.left
    right = left + (span.columns - 1) * slides.stride[1] + slides.span(1)
    reads = Span(span.step * slides.stride[0], lo, hi, left, right)
    if style == "same" and (left < 0 or right > width):
        taps = _same_columns(op, width, pads.left)
        if taps:
            return _same_cut(op, span, reads, taps)
    return _Cut(reads, span)


def _same_columns(op: Op, width: int, left: int) -> int:
    """Columns of the filter with which SAME pads `left` columns; 0 if there are none."""
    slides = window(op)
    kernel, stride, dilation = slides.kernel[1], slides.stride[1], slides.dilation[1]
    if -(-width // stride) != op.output.shape[2]:
        return 0
    widest = kernel if op.kind in POOLS else kernel + 2
    for taps in range(kernel, widest + 1):
        if same_padding(width, taps, stride, dilation)[0] == left:
            return taps
    return 0


def _same_cut(op: Op, span: Span, reads: Span, taps: int) -> _Cut:
    """The least window whose rows, padded as SAME pads, include those that are wanted.

    Output row i over a window of n rows begins at its row i stride - top; the first `drop` rows,
    which see padding, are garbage.
    """
    slides, width = window(op), source_of(op).shape[2]
    stride, kernel, dilation = slides.stride[0], slides.kernel[0], slides.dilation[0]
    for rows in range(reads.rows, reads.rows + 2 * slides.span(0) + 2 * stride):
        top, bottom = same_padding(rows, kernel, stride, dilation)
        made, drop = -(-rows // stride), -(-top // stride)
        lo = reads.lo - (drop * stride - top)
        if drop + span.rows <= made and lo + rows >= reads.hi:
            sides = same_padding(width, taps, slides.stride[1], slides.dilation[1])
            return _Cut(
                Span(reads.step, lo, lo + rows, 0, width),
                replace(span, lo=span.lo - drop, hi=span.lo - drop + made),
                Padding(top, bottom, *sides),
                taps=0 if taps == slides.kernel[1] else taps,
            )
    raise Unfit("SAME does not make these rows")


@dataclass(slots=True)
class _Emitter:
    """Writes the steps of a body forwards; lives for one call of `body`."""

    ops: tuple[Op, ...]
    band: int
    needs: dict[Tensor, Span]
    cuts: dict[Op, _Cut]
    macs: Mapping[Op, int]
    fresh: dict[Tensor, Span]
    upwards: bool
    pieces: dict[Tensor, Piece] = field(default_factory=dict)
    parts: dict[tuple[Tensor, Span], Piece] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    masks: list[Piece] = field(default_factory=list)
    kept: list[Kept] = field(default_factory=list)

    def body(self) -> Body:
        made = {op.output for op in self.ops}
        windows = [
            Piece(t, replace(span, left=0, right=t.shape[2]))
            for t, span in self.needs.items()
            if t not in made
        ]
        self.pieces.update({piece.tensor: piece for piece in windows})
        result = self.ops[-1].output
        bands = -(-result.shape[1] // self.band)
        for piece in windows:
            last = (bands - 1) * piece.span.step + piece.span.lo
            if piece.span.hi <= 0 or last >= piece.tensor.shape[1]:
                raise Unfit(f"a window of {piece.tensor.name!r} lies outside the image")
        for op in self.ops:
            self.op(op, bands)
        macs = sum(step.macs for step in self.steps) * bands
        return Body(
            ops=self.ops,
            band=self.band,
            windows=tuple(windows),
            masks=tuple(self.masks),
            steps=tuple(self.steps),
            result=self.pieces[result],
            bands=bands,
            extra_macs=macs - sum(self.macs[op] for op in self.ops),
            kept=tuple(self.kept),
            upwards=self.upwards,
        )

    def op(self, op: Op, bands: int) -> None:
        cut, out = self.cuts[op], op.output
        inputs = tuple(self.part(t, cut.reads) for t in _images(op))
        self.check_pool(op, inputs[0], bands)
        piece = Piece(out, cut.makes)
        scale = cut.taps / window(op).kernel[1] if cut.taps else 1
        share = prod(piece.shape) / out.elements
        macs = round(self.macs[op] * share * scale)
        self.steps.append(Step("op", inputs, piece, op, cut.padding, cut.taps, macs))
        self.pieces[out] = piece
        piece = self.part(out, self.fresh[out])
        if out is not self.ops[-1].output and self.padded(out) and not _inside(piece, bands):
            piece = self.masked(piece)
        self.pieces[out] = piece
        if self.fresh[out] != self.needs[out]:
            self.pieces[out] = self.joined(piece, self.needs[out])

    def joined(self, fresh: Piece, need: Span) -> Piece:
        """The new rows with those that were kept; and what is kept for the next call."""
        tensor, halo = fresh.tensor, need.rows - fresh.span.rows
        top, bottom = replace(need, hi=need.lo + halo), replace(need, lo=need.hi - halo)
        before, behind = (bottom, top) if self.upwards else (top, bottom)
        whole = Piece(tensor, need, "joined")
        kept = Kept(Piece(tensor, before, "held"), fresh, whole, Piece(tensor, behind, "kept"))
        both = (fresh, kept.held) if self.upwards else (kept.held, fresh)
        self.steps.append(Step("join", both, whole))
        self.steps.append(Step("keep", (whole,), kept.after))
        self.kept.append(kept)
        return whole

    def padded(self, tensor: Tensor) -> bool:
        """Whether an op reads padding from `tensor`."""
        return any(
            not padding_of(op).empty
            for op in self.ops
            if tensor in op.inputs and (op.kind in CONVOLUTIONS or op.kind in POOLS)
        )

    def check_pool(self, op: Op, piece: Piece, bands: int) -> None:
        if op.kind in POOLS and not _inside(piece, bands) and piece.tensor.zero_point != LOWEST:
            raise Unfit("padding that is not the lowest value")

    def part(self, tensor: Tensor, span: Span) -> Piece:
        """Those rows and columns: sliced out, and columns that are not there padded."""
        piece = self.pieces[tensor]
        if piece.span == span:
            return piece
        if (tensor, span) in self.parts:
            return self.parts[tensor, span]
        held = piece.span
        inner = replace(span, left=max(span.left, held.left), right=min(span.right, held.right))
        if inner != held:
            sliced = Piece(tensor, inner, "part")
            self.steps.append(Step("slice", (piece,), sliced))
            piece = sliced
        if inner != span:
            wide = Piece(tensor, span, "pad")
            self.steps.append(Step("pad", (piece,), wide))
            piece = wide
        self.parts[tensor, span] = piece
        return piece

    def masked(self, piece: Piece) -> Piece:
        tensor = piece.tensor
        if tensor.zero_point != LOWEST:
            raise Unfit(f"rows outside {tensor.name!r} can't be masked: its zero point is not -128")
        masked = Piece(tensor, piece.span, "masked")
        self.masks.append(masked)
        self.steps.append(Step("mask", (piece,), masked))
        return masked


def _inside(piece: Piece, bands: int) -> bool:
    """Whether the rows and columns of all bands are those of the tensor."""
    span, (_, height, width, _) = piece.span, piece.tensor.shape
    rows = span.lo >= 0 and (bands - 1) * span.step + span.hi <= height
    return rows and span.left >= 0 and span.right <= width
