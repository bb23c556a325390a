"""Stages of a stock `.tflite` as calls of a shared subgraph: bodies, windows, and their results.

A subgraph is prepared once, however often it is called, so a band costs the tail of one `IF` and
one `SLICE` instead of copies of its convolutions. `IF` with a constant true condition, and the
same subgraph on both sides, is a call:

    x [rows 0:13]  = SLICE(x)          the window that a band depends on, …
    x [rows -5:13] = PAD(x [rows 0:13])    … padded at the edges of the image
    y [rows 0:2]   = IF(true, x [rows -5:13], masks)
    …
    y              = CONCATENATION(y [rows 0:2], y [rows 2:4], …)

Data flow is honest: any interpreter runs the file, whatever its memory plan. What TFLM's plan
makes of it (bands written where the result keeps them, windows where the body reads them) is
`tflm_layout`'s business.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ..graph import schema
from ..graph.edit import rebuild
from ..graph.ir import Graph, Op, Tensor
from ..graph.options import ConcatenationOptions, ConvOptions, PoolOptions, Raw
from ..passes.rewrite import without_positional_metadata
from .tflm_bands import LOWEST, Body, Kept, Piece, Step, Unfit

MOST_INPUTS = 10  # of TFLM's CONCATENATION
KEEP = 127


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """One input of a body, and where its bands come from.

    Attributes:
        piece: of the body.
        inner: the body's tensor.
        tensors: what each call gets, in order.
        parts: rows of the image that are padded to become one of `tensors`, at the edges.
    """

    piece: Piece
    inner: Tensor
    tensors: tuple[Tensor, ...]
    parts: tuple[Tensor, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """One stage in the file.

    Attributes:
        body: what it was made from.
        graph: the shared subgraph.
        places: the subgraph's tensor of each piece.
        masks: inputs of the subgraph.
        kept: the main graph's tensors that hold kept rows, those of each `Kept` of the body.
        windows: the other inputs.
        bands: (tensor, first row) of what the calls return and of what `CONCATENATION`s make of
            them, the result included: together they are the result.
        last: what the last call returns where the result needs less of it; else None.
        ops: of the main graph, in order.
    """

    body: Body
    graph: Graph
    places: Mapping[Piece, Tensor]
    masks: tuple[Tensor, ...]
    windows: tuple[Window, ...]
    bands: tuple[tuple[Tensor, int], ...]
    last: Tensor | None
    ops: tuple[Op, ...]
    kept: tuple[tuple[Tensor, ...], ...] = ()

    @property
    def result(self) -> Tensor:
        return self.body.ops[-1].output


@dataclass(frozen=True, slots=True, eq=False)
class Banded:
    """A graph whose stages are calls, and the stages, in order."""

    graph: Graph
    stages: tuple[Stage, ...]


def banded(graph: Graph, bodies: Sequence[Body]) -> Banded:
    """The graph with some of its ops run band by band.

    Example:
        >>> banded(g, [body(g.ops[:6], band=2)]).graph.model.subgraphs[0].name
        'stage 0: b1/expand to b2/project, 2 rows at a time'

    Args:
        graph: without other subgraphs.
        bodies: of consecutive ops of `graph`, in order, no op in two of them.

    Raises:
        Unfit: the graph has subgraphs, or uses what a stage keeps inside.
    """
    if graph.model.subgraphs:
        raise Unfit("the model has subgraphs")
    constants = _Constants()
    stages = tuple(_StageWriter(i, b, constants).stage() for i, b in enumerate(bodies))
    ends = {stage.body.ops[-1]: stage for stage in stages}
    inside = {op for stage in stages for op in stage.body.ops}
    ops: list[Op] = []
    for op in graph.ops:
        if op in ends:
            ops.extend(ends[op].ops)
        elif op not in inside:
            ops.append(op)
    _check_reads(graph, ops)
    clean = without_positional_metadata(graph)
    main = rebuild(clean, ops=ops)
    model = replace(main.model, subgraphs=tuple(stage.graph for stage in stages))
    return Banded(replace(main, model=model), stages)


def _check_reads(graph: Graph, ops: Sequence[Op]) -> None:
    made = {t for op in ops for t in op.outputs} | set(graph.inputs)
    read = {t for op in ops for t in op.inputs if t is not None} | set(graph.outputs)
    missing = [t.name for t in read - made if t.data is None and not t.variable]
    if missing:
        raise Unfit(f"{missing[0]!r} is used outside its stage")


@dataclass(slots=True)
class _Constants:
    """Small constants, each made once a subgraph; lives for one call of `banded`."""

    made: dict[tuple[str, bytes, tuple[int, ...]], Tensor] = field(default_factory=dict)

    def get(
        self, name: str, data: np.ndarray, like: Tensor | None = None, graph: int = 0
    ) -> Tensor:
        key = (f"{graph} {data.dtype} {id(like.quant) if like else ''}", data.tobytes(), data.shape)
        if key not in self.made:
            data.flags.writeable = False
            quant = like.quant if like else None
            self.made[key] = Tensor(name, data.shape, data.dtype.name, quant, data)
        return self.made[key]

    def ints(self, name: str, values: object, graph: int = 0) -> Tensor:
        return self.get(name, np.array(values, np.int32), graph=graph)


def pick(
    constants: _Constants, source: Tensor, out: Tensor, begin: tuple[int, int], graph: int = 0
) -> Op:
    """`SLICE` of rows and columns from `begin` on."""
    first = constants.ints(f"begin {begin[0]}, {begin[1]}", [0, *begin, 0], graph)
    size = constants.ints(f"size {out.shape}", out.shape, graph)
    return Op("SLICE", (source, first, size), (out,))


def pad(
    constants: _Constants,
    source: Tensor,
    out: Tensor,
    before: tuple[int, int],
    graph: int = 0,
) -> Op:
    """`PAD` with `before` rows and columns, and as many after as `out` has room for."""
    after = [out.shape[a + 1] - source.shape[a + 1] - before[a] for a in (0, 1)]
    amounts = [[0, 0], [before[0], after[0]], [before[1], after[1]], [0, 0]]
    name = f"pad rows {before[0]}, {after[0]}, columns {before[1]}, {after[1]}"
    return Op("PAD", (source, constants.ints(name, amounts, graph)), (out,))


@dataclass(slots=True)
class _StageWriter:
    """Writes one stage; lives for one call of `banded`."""

    number: int
    body: Body
    constants: _Constants
    places: dict[Piece, Tensor] = field(default_factory=dict)
    ops: list[Op] = field(default_factory=list)
    cuts: dict[int, list[Op]] = field(default_factory=dict)
    kept: list[list[Tensor]] = field(default_factory=list)

    def stage(self) -> Stage:
        inner, masks = self.subgraph()
        windows = tuple(self.window(piece) for piece in self.body.windows)
        returned, last = self.calls(windows, masks)
        bands, kept = self.joined(returned), tuple(map(tuple, self.kept))
        ops = tuple(self.ops)
        return Stage(self.body, inner, self.places, masks, windows, bands, last, ops, kept)

    # The body.

    def subgraph(self) -> tuple[Graph, tuple[Tensor, ...]]:
        held = [kept.held for kept in self.body.kept]
        for piece in (*self.body.windows, *held):
            self.places[piece] = self.inner(piece)
        masks = tuple(self.mask(piece) for piece in self.body.masks)
        by_piece = dict(zip(self.body.masks, masks, strict=True))
        ops = []
        for step in self.body.steps:
            self.places[step.output] = self.inner(step.output)
            ops.append(self.step(step, by_piece.get(step.output)))
        inputs = (*(self.places[p] for p in (*self.body.windows, *held)), *masks)
        returned = (self.body.result, *(kept.after for kept in self.body.kept))
        outputs = tuple(self.places[piece] for piece in returned)
        made = [short_name(op.output.name) for op in self.body.ops]
        name = f"stage {self.number}: {made[0]} to {made[-1]}, {self.body.band} rows at a time"
        return Graph(tuple(ops), inputs, outputs, name), masks

    def inner(self, piece: Piece) -> Tensor:
        note = f" {piece.note}" if piece.note else ""
        name = f"{short_name(piece.tensor.name)} [{piece.span.rows} rows{note}]"
        return Tensor(name, piece.shape, piece.tensor.dtype, piece.tensor.quant)

    def mask(self, piece: Piece) -> Tensor:
        shape = mask_values(piece, 0).shape
        name = f"mask of {short_name(piece.tensor.name)}"
        return Tensor(name, shape, piece.tensor.dtype, piece.tensor.quant)

    def step(self, step: Step, mask: Tensor | None) -> Op:
        out, first = self.places[step.output], step.inputs[0]
        source, graph = self.places[first], self.number + 1
        if step.kind == "join":
            return _concatenation([(self.places[piece], 0) for piece in step.inputs], out)
        if step.kind in ("slice", "keep"):
            begin = (step.output.span.lo - first.span.lo, step.output.span.left - first.span.left)
            return pick(self.constants, source, out, begin, graph)
        if step.kind == "pad":
            before = first.span.left - step.output.span.left
            return pad(self.constants, source, out, (0, before), graph)
        if step.kind == "mask":
            return Op("MINIMUM", (source, mask), (out,))
        assert step.op is not None
        return self.banded_op(step, step.op, out)

    def banded_op(self, step: Step, op: Op, out: Tensor) -> Op:
        pieces = iter(step.inputs)
        inputs = [
            self.places[next(pieces)] if t is not None and t.data is None else t for t in op.inputs
        ]
        options = op.options
        if isinstance(options, ConvOptions | PoolOptions):
            options = replace(options, padding=step.padding)
        if step.taps and inputs[1] is not None:
            inputs[1] = with_taps(inputs[1], (inputs[1].shape[1], step.taps))
        return replace(op, inputs=tuple(inputs), outputs=(out,), options=options)

    # The main graph.

    def window(self, piece: Piece) -> Window:
        tensors, parts = [], []
        for number in range(self.body.bands):
            tensor, part = self.cut(piece, number)
            tensors.append(tensor)
            if part is not None:
                parts.append(part)
        return Window(piece, self.places[piece], tuple(tensors), tuple(parts))

    def cut(self, piece: Piece, number: int) -> tuple[Tensor, Tensor | None]:
        """The window of one band, and the part of it that lies in the image where that is less."""
        source, ops = piece.tensor, self.cuts.setdefault(number, [])
        low = number * piece.span.step + piece.span.lo
        high = low + piece.span.rows
        first, stop = max(low, 0), min(high, source.shape[1])
        inside = source
        if (first, stop) != (0, source.shape[1]):
            inside = self.rows(source, first, stop)
            ops.append(pick(self.constants, source, inside, (first, 0)))
        if (first, stop) == (low, high):
            return inside, None
        padded = self.rows(source, low, high)
        ops.append(pad(self.constants, inside, padded, (first - low, 0)))
        return padded, inside if inside is not source else None

    def rows(self, tensor: Tensor, low: int, high: int) -> Tensor:
        _, _, width, channels = tensor.shape
        name = f"{short_name(tensor.name)} [rows {low}:{high}]"
        return Tensor(name, (1, high - low, width, channels), tensor.dtype, tensor.quant)

    def calls(
        self, windows: tuple[Window, ...], masks: tuple[Tensor, ...]
    ) -> tuple[list[tuple[Tensor, int]], Tensor | None]:
        """What the calls make, with first rows; and what the last one returns, if that is more."""
        result = self.body.ops[-1].output
        true = self.constants.get("true", np.array([True]))
        options = schema.new_table("IfOptions")
        options.thenSubgraphIndex = options.elseSubgraphIndex = self.number + 1
        returned: list[tuple[Tensor, int]] = []
        last = None
        state = [self.start(kept) for kept in self.body.kept]
        self.kept = [[] for _ in self.body.kept]
        for number in self.body.order:
            self.ops.extend(self.cuts.get(number, ()))
            first = number * self.body.band
            out = self.rows(result, first, first + self.body.band)
            values = [
                self.constants.get(
                    f"{mask.name}, band {number}", mask_values(piece, number), piece.tensor
                )
                for piece, mask in zip(self.body.masks, masks, strict=True)
            ]
            inputs = (true, *(w.tensors[number] for w in windows), *state, *values)
            state = [self.kept_rows(kept.after, number) for kept in self.body.kept]
            for row, tensor in zip(self.kept, state, strict=True):
                row.append(tensor)
            raw = Raw(schema.OPTION_CODES["IfOptions"], options)
            self.ops.append(Op("IF", inputs, (out, *state), raw))
            over = first + self.body.band - result.shape[1]
            if over > 0:
                last, out = out, self.rows(result, first, result.shape[1])
                self.ops.append(pick(self.constants, last, out, (0, 0)))
            returned.append((out, first))
        return sorted(returned, key=lambda row: row[1]), last

    def start(self, kept: Kept) -> Tensor:
        """What the first call gets: rows outside the image."""
        piece = kept.held
        zeros = np.full(piece.shape, piece.tensor.zero_point, np.int8)
        return self.constants.get(f"{short_name(piece.tensor.name)} outside", zeros, piece.tensor)

    def kept_rows(self, piece: Piece, number: int) -> Tensor:
        low = number * piece.span.step + piece.span.lo
        name = f"{short_name(piece.tensor.name)} [rows {low}:{low + piece.span.rows}]"
        return Tensor(name, piece.shape, piece.tensor.dtype, piece.tensor.quant)

    def joined(self, bands: list[tuple[Tensor, int]]) -> tuple[tuple[Tensor, int], ...]:
        """Concatenate; in groups, where they are more than TFLM takes at once."""
        result, every = self.body.ops[-1].output, list(bands)
        while len(bands) > MOST_INPUTS:
            groups = [bands[i : i + MOST_INPUTS] for i in range(0, len(bands), MOST_INPUTS)]
            bands = []
            for group in groups:
                first, stop = group[0][1], group[-1][1] + group[-1][0].shape[1]
                out = group[0][0] if len(group) == 1 else self.rows(result, first, stop)
                if len(group) > 1:
                    self.ops.append(_concatenation(group, out))
                    every.append((out, first))
                bands.append((out, first))
        self.ops.append(_concatenation(bands, result))
        return (*every, (result, 0))


def _concatenation(parts: Sequence[tuple[Tensor, int]], out: Tensor) -> Op:
    return Op("CONCATENATION", tuple(t for t, _ in parts), (out,), ConcatenationOptions(axis=1))


def short_name(name: str) -> str:
    """The layer that a tensor is from, as people call it.

    TensorFlow's converter joins the names of all ops that it fused by semicolons, and each is the
    path of a layer: model, block, layer, and the op that makes its result.

    Example:
        >>> short_name("model/b3/dw/Relu6;model/b3/bn/FusedBatchNormV3;model/b3/dw/depthwise")
        'b3/dw'
    """
    first = name.split(";")[0]
    path = first.split("/")
    return "/".join(path[1:-1]) if len(path) > 2 else first


def mask_values(piece: Piece, number: int) -> np.ndarray:
    """int8 (1, rows, columns, 1): 127 for what lies in the image, -128 for what does not.

    Only channels are broadcast: with one column for all, CMSIS-NN's `arm_minimum_s8` advances
    twice a row, and takes half of the mask and what lies behind it.
    """
    span, (_, height, width, _) = piece.span, piece.tensor.shape
    rows = np.arange(span.rows) + number * span.step + span.lo
    columns = np.arange(span.left, span.right)
    inside = np.outer((rows >= 0) & (rows < height), (columns >= 0) & (columns < width))
    return np.where(inside, KEEP, LOWEST).astype(np.int8)[None, :, :, None]


def with_taps(weights: Tensor, kernel: tuple[int, int]) -> Tensor:
    """A filter with zero taps below and to the right: (.., h, w, ..) becomes `kernel`."""
    assert weights.data is not None
    more = [(0, 0), *((0, kernel[a] - weights.shape[a + 1]) for a in (0, 1)), (0, 0)]
    zero = 0 if weights.quant is None else int(weights.quant.zero_point.flat[0])
    data = np.pad(weights.data, more, constant_values=zero)
    data.flags.writeable = False
    return replace(weights, shape=data.shape, data=data)
