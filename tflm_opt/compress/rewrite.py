"""A `.tflite` with encoded weights: a DECODE op goes in before each op that reads such weights.

What a tensor saves is told by writing the file, for ops and tensors take bytes too; what it costs
in arena by TFLM's own allocator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from .. import arena, graph
from ..arena.tflm_scratch import REFERENCE, tflm_scratch
from ..graph import Graph, Op, Tensor
from ..patch_split.rewrite import Stock, allocations
from ..patch_split.schedule import layer_by_layer
from ..result import TflmMemory
from ..runtime import tflm
from ..runtime.tflm import Allocations
from .codings import Encoded, best

CODE = "TFLM_DECODE"
# Position of the weights among the inputs of the ops whose kernels read them while they run.
WEIGHTS = {"CONV_2D": 1, "DEPTHWISE_CONV_2D": 1, "FULLY_CONNECTED": 1, "TRANSPOSE_CONV": 1}


@dataclass(frozen=True, slots=True)
class Squeezed:
    """A tensor that was encoded. `before`, `after`: bytes of its values."""

    name: str
    coding: str
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Compression:
    """A file with encoded weights.

    Attributes:
        tflite: the file; the one that was given where nothing gains.
        tensors: what was encoded.
        left: names of tensors that would have gained, and whose decoding would not fit the room.
        before, after: bytes of the file.
        memory_before, memory: TFLM's arena for both, on this host; None without its wheel.
    """

    tflite: bytes
    tensors: tuple[Squeezed, ...]
    left: tuple[str, ...]
    before: int
    after: int
    memory_before: Allocations | None
    memory: Allocations | None

    @property
    def saved(self) -> int:
        """Bytes of flash."""
        return self.before - self.after


def compress(
    tflite: bytes, *, room: int | None = None, kernels: str = REFERENCE, seed: int = 0
) -> Compression:
    """Encode the weights of a file for stock TFLM, where that makes the file smaller.

    Example:
        >>> compress(result.tflite).saved
        41208

    Args:
        tflite: as `patch_split.rewrite.for_tflm` leaves it. Only its main graph's weights are
            encoded: what a band reads would be decoded once a band.
        room: bytes that TFLM's arena may take; the largest weights stay as they are until it does.
        kernels: with which TFLM will run it, as for `for_tflm`; `seed`: of the planner's search.

    Source of the format: tflite-micro's DECODE op.
    """
    original = graph.read(tflite)
    found = _gaining(original, tflite)
    if not found:
        memory = allocations([tflite], kernels)[0] if tflm.available() else None
        return Compression(tflite, (), (), len(tflite), len(tflite), memory, memory)
    if not tflm.available():
        file = _written(original, found, kernels, seed)[0]
        return Compression(file, _squeezed(found), (), len(tflite), len(file), None, None)
    return _fitting(original, tflite, found, room, kernels, seed)


def compressed(
    stock: Stock, *, room: int | None, kernels: str, seed: int
) -> tuple[Compression, Stock]:
    """The same of what `for_tflm` returns, whose `memory` then is that of the new file."""
    found = compress(stock.tflite, room=room, kernels=kernels, seed=seed)
    memory = stock.memory and TflmMemory(
        stock.memory.before, found.memory or stock.memory.after, stock.memory.kernels
    )
    return found, replace(stock, tflite=found.tflite, plan=None, memory=memory)


def _gaining(original: Graph, tflite: bytes) -> dict[Tensor, Encoded]:
    """Weights whose coding makes the file smaller by itself, with all that it takes."""
    plain = len(graph.write(original))
    found = {}
    for tensor in _candidates(original):
        encoded = best(tensor)
        if encoded and len(graph.write(decoding(original, {tensor: encoded}))) < plain:
            found[tensor] = encoded
    return found


def _candidates(original: Graph) -> list[Tensor]:
    """Weights that only kernels with weights read, each once."""
    readers: dict[Tensor, bool] = {}
    for op in original.ops:
        for place, tensor in enumerate(op.inputs):
            if tensor is not None and tensor.constant:
                fits = WEIGHTS.get(op.kind) == place
                readers[tensor] = readers.get(tensor, True) and fits
    used = set(original.outputs)
    for other in original.model.subgraphs:
        used |= {t for op in other.ops for t in op.inputs if t is not None}
    shared = {id(t.data) for t in used if t.data is not None}
    return [t for t, fits in readers.items() if fits and t not in used and id(t.data) not in shared]


def decoding(original: Graph, encoded: dict[Tensor, Encoded]) -> Graph:
    """The graph with these weights encoded, and a DECODE before each op that reads them."""
    stored = {tensor: _stored(tensor, code) for tensor, code in encoded.items()}
    ops: list[Op] = []
    for op in original.ops:
        place = WEIGHTS.get(op.kind, 0)
        weights = op.inputs[place] if place and len(op.inputs) > place else None
        if weights is None or weights not in stored:
            ops.append(op)
            continue
        plain = replace(weights, name=f"{weights.name}_decoded", data=None)
        ops.append(Op("CUSTOM", stored[weights], (plain,), custom_code=CODE))
        inputs = tuple(plain if i == place else t for i, t in enumerate(op.inputs))
        ops.append(replace(op, inputs=inputs))
    kept = tuple(stored[t][0] if t in stored else t for t in original.tensors)
    return replace(original, ops=tuple(ops), tensors=kept)


def _stored(tensor: Tensor, code: Encoded) -> tuple[Tensor, Tensor]:
    def of(name: str, content: bytes) -> Tensor:
        data = np.frombuffer(content, np.uint8)
        return Tensor(name, data.shape, "uint8", data=data)

    return of(tensor.name, code.packed), of(f"{tensor.name}_ancillary", code.ancillary)


def _written(
    original: Graph, encoded: dict[Tensor, Encoded], kernels: str, seed: int
) -> list[bytes]:
    """The file with the plan that it had, planned by TFLM, and planned anew by us."""
    made = decoding(original, encoded)
    files = [graph.write(arena.offline.detach(made))]
    old = arena.offline.read(original)
    if old is not None:
        offsets = dict(zip(_order(original), old.offsets, strict=True))
        values = [offsets.get(t, arena.offline.AT_RUN_TIME) for t in _order(made)]
        data = arena.offline.encode(values, 1 + len(made.model.subgraphs))
        files.append(graph.write(_with_plan(made, data)))
    if not made.model.subgraphs:
        scratch = partial(tflm_scratch, kernels=kernels)
        schedule = layer_by_layer(made)
        plan = arena.plan(made, schedule, target="tflm", scratch=scratch, seed=seed)
        files.append(graph.write(arena.offline.attach(made, plan)))
    return files


def _with_plan(made: Graph, data: bytes) -> Graph:
    rows = tuple(row for row in made.model.metadata if row[0] != arena.offline.NAME)
    model = replace(made.model, metadata=(*rows, (arena.offline.NAME, data)))
    return replace(made, model=model)


def _order(g: Graph) -> list[Tensor]:
    return [tensor for one in (g, *g.model.subgraphs) for tensor in graph.tensor_order(one)]


def _fitting(
    original: Graph,
    tflite: bytes,
    found: dict[Tensor, Encoded],
    room: int | None,
    kernels: str,
    seed: int,
) -> Compression:
    """As many encoded weights as the room allows, the largest left out first."""
    ranked = sorted(found, key=lambda tensor: tensor.nbytes)
    (before,) = allocations([tflite], kernels)
    count = len(ranked)
    while count:
        kept = {tensor: found[tensor] for tensor in ranked[:count]}
        files = _written(original, kept, kernels, seed)
        memory, file = min(
            zip(allocations(files, kernels), files, strict=True),
            key=lambda pair: (pair[0].total, len(pair[1])),
        )
        if room is None or memory.total <= max(room, before.total):
            left = tuple(tensor.name for tensor in ranked[count:])
            return Compression(file, _squeezed(kept), left, len(tflite), len(file), before, memory)
        count -= max(1, count // 8)
    left = tuple(tensor.name for tensor in ranked)
    return Compression(tflite, (), left, len(tflite), len(tflite), before, before)


def _squeezed(kept: dict[Tensor, Encoded]) -> tuple[Squeezed, ...]:
    return tuple(Squeezed(t.name, code.coding, t.nbytes, code.size) for t, code in kept.items())


def summary(found: Compression) -> Sequence[str]:
    """What compression gained and cost, a sentence each."""
    if not found.tensors:
        return ("no weights get smaller by TFLM's codings: nothing was compressed",)
    codings = sorted({one.coding for one in found.tensors})
    lines = [
        f"{len(found.tensors)} weights are compressed ({', '.join(codings)}): the file takes "
        f"{found.after:,} bytes instead of {found.before:,}"
    ]
    if found.memory_before and found.memory:
        grown = found.memory.total - found.memory_before.total
        lines[0] += f", TFLM's arena {grown:+,} bytes"
    lines.append("the firmware's op resolver must register DECODE (AddDecode), of TFLM since 2025")
    if found.left:
        lines.append(f"{len(found.left)} weights stay as they are: decoded they would not fit")
    return lines
