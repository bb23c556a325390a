"""Make a graph that TFLite can express: padding that is neither SAME nor VALID becomes a PAD.

TFLite's convolutions and poolings know two paddings. Others are split into a PAD and an op
with SAME or VALID, whichever needs the smaller PAD; ops that can share one PAD do. It undoes
`fold_pad` where TFLite has no word for the result, and costs no more than what was folded: along
each axis the PAD is the smallest that some split allows, so no larger than an original one.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..errors import UnsupportedModel
from ..graph import edit, ir, options
from ..graph.write import padding_flag
from .fold_pad import never_wins
from .rewrite import (
    CONVOLUTIONS,
    POOLS,
    Window,
    padding_of,
    rebuilt,
    size_of,
    source_of,
    window,
    with_source,
    zero_of,
)

_NONE = options.Padding()


@dataclass(frozen=True, slots=True)
class Legalize:
    """`CONV_2D` with explicit padding becomes `CONV_2D(PAD(x))` where TFLite needs it.

    Raises:
        UnsupportedModel: an average over padding that TFLite can't express (no exporter and
            no pass of ours makes one).
    """

    name: ClassVar[str] = "legalize"

    def __call__(self, graph: ir.Graph) -> ir.Graph:
        needy = dict.fromkeys(op for op in graph.ops if _needs_pad(op))
        if not needy:
            return graph
        pads = _Pads(graph)
        for index, op in enumerate(graph.ops):
            if op in needy and op.kind == "AVERAGE_POOL_2D":
                raise UnsupportedModel(
                    f"TFLite can't express the padding {padding_of(op)} of an average",
                    op=f"{index}:{op.kind}",
                    tensor=op.output.name,
                    remedy="Use SAME or VALID padding there",
                )
        split = pads.split(list(needy))
        ops: list[ir.Op] = []
        placed: set[ir.Op] = set()
        for op in graph.ops:
            if op in split:
                pad, op = split[op]
                if pad not in placed:
                    placed.add(pad)
                    ops.append(pad)
            ops.append(op)
        return rebuilt(graph, ops=ops)


def _needs_pad(op: ir.Op) -> bool:
    if op.kind not in CONVOLUTIONS and op.kind not in POOLS:
        return False
    sliding, size = window(op), size_of(source_of(op))
    flag = padding_flag(padding_of(op), size, sliding.kernel, sliding.stride, sliding.dilation)
    return flag is None


class _Pads:
    """The PADs that one graph gets; lives for one call of the pass."""

    def __init__(self, graph: ir.Graph) -> None:
        self.producers = edit.producers(graph)
        self.amounts: dict[options.Padding, ir.Tensor] = {}
        self.lowest: dict[ir.Tensor, ir.Tensor] = {}
        self.names = {t.name for op in graph.ops for t in (*op.inputs, *op.outputs) if t}

    def split(self, needy: list[ir.Op]) -> dict[ir.Op, tuple[ir.Op, ir.Op]]:
        """For each op, the PAD it needs and the op that reads that PAD."""
        groups: dict[tuple[ir.Tensor, bool], list[_Group]] = {}
        for op in needy:
            alike = groups.setdefault((source_of(op), self._plain(op)), [])
            group = _Group([op], smallest_pad(op))
            if not any(other.join(group) for other in alike):
                alike.append(group)
        split: dict[ir.Op, tuple[ir.Op, ir.Op]] = {}
        for (source, plain), alike in groups.items():
            for group in alike:
                pad = self._pad(source, group.pad, plain)
                for op in group.ops:
                    split[op] = (pad, _over(op, pad.output, group.pad))
        return split

    def _plain(self, op: ir.Op) -> bool:
        """Whether a PAD does, which writes zero points, or a PADV2 with the least value must."""
        if op.kind in CONVOLUTIONS:
            return True
        zero = zero_of(source_of(op))
        return zero is not None and never_wins(op, zero, self.producers)

    def _pad(self, source: ir.Tensor, pad: options.Padding, plain: bool) -> ir.Op:
        batch, height, width, channels = source.shape
        shape = (batch, height + pad.top + pad.bottom, width + pad.left + pad.right, channels)
        output = ir.Tensor(self._name(f"{source.name}/pad"), shape, source.dtype, source.quant)
        inputs = (source, self._amounts(pad))
        if plain:
            return ir.Op("PAD", inputs, (output,))
        return ir.Op("PADV2", (*inputs, self._lowest(source)), (output,))

    def _amounts(self, pad: options.Padding) -> ir.Tensor:
        if pad not in self.amounts:
            values = [[0, 0], [pad.top, pad.bottom], [pad.left, pad.right], [0, 0]]
            data = np.array(values, np.int32)
            name = self._name(f"pad_{pad.top}_{pad.bottom}_{pad.left}_{pad.right}")
            self.amounts[pad] = ir.Tensor(name, (4, 2), "int32", data=_frozen(data))
        return self.amounts[pad]

    def _lowest(self, source: ir.Tensor) -> ir.Tensor:
        if source not in self.lowest:
            dtype = np.dtype(source.dtype)
            least = np.iinfo(dtype).min if dtype.kind == "i" else np.finfo(dtype).min
            data = _frozen(np.array([least], dtype))
            name = self._name(f"{source.name}/pad_value")
            self.lowest[source] = ir.Tensor(name, (1,), source.dtype, source.quant, data)
        return self.lowest[source]

    def _name(self, wish: str) -> str:
        name, number = wish, 1
        while name in self.names:
            name, number = f"{wish}_{number}", number + 1
        self.names.add(name)
        return name


def _frozen(data: np.ndarray) -> np.ndarray:
    data.flags.writeable = False
    return data


@dataclass(slots=True)
class _Group:
    """Ops over one tensor, and the PAD that serves them all so far."""

    ops: list[ir.Op]
    pad: options.Padding

    def join(self, other: _Group) -> bool:
        """Take the other group's ops in, if one PAD for all is smaller than two."""
        ops = [*self.ops, *other.ops]
        size = size_of(source_of(ops[0]))
        limit = _area(self.pad, size) + _area(other.pad, size)
        known = {self.pad, other.pad, *(_all_padding(op) for op in ops)}
        sides = (
            sorted({getattr(pad, side) for pad in known})
            for side in ("top", "bottom", "left", "right")
        )
        pads = [options.Padding(*chosen) for chosen in itertools.product(*sides)]
        for pad in sorted(pads, key=lambda pad: _area(pad, size)):
            if _area(pad, size) > limit:
                return False
            if all(remaining_padding(op, pad) is not None for op in ops):
                self.ops, self.pad = ops, pad
                return True
        return False


def _over(op: ir.Op, padded: ir.Tensor, pad: options.Padding) -> ir.Op:
    rest = remaining_padding(op, pad)
    if rest is None:
        raise ValueError(f"{pad} does not serve {op}")
    return with_source(op, padded, rest)


def remaining_padding(op: ir.Op, pad: options.Padding) -> options.Padding | None:
    """What VALID or SAME must add after a PAD by `pad` for `op` to see all its padding.

    None where neither does: other outputs would come out, or windows would start elsewhere.
    """
    sliding, size, out = window(op), size_of(source_of(op)), size_of(op.output)
    have = ((pad.top, pad.bottom), (pad.left, pad.right))
    padded = [size[axis] + sum(have[axis]) for axis in (0, 1)]
    wanted = padding_of(op)
    starts = (wanted.top, wanted.left)
    valid = [
        have[axis][0] == starts[axis]
        and options.out_size(
            padded[axis], sliding.kernel[axis], sliding.stride[axis], sliding.dilation[axis], 0, 0
        )
        == out[axis]
        for axis in (0, 1)
    ]
    if all(valid):
        return _NONE
    same = [_same(sliding, axis, padded[axis]) for axis in (0, 1)]
    fits = [
        -(-padded[axis] // sliding.stride[axis]) == out[axis]
        and have[axis][0] + same[axis][0] == starts[axis]
        for axis in (0, 1)
    ]
    return options.Padding(*same[0], *same[1]) if all(fits) else None


def _same(sliding: Window, axis: int, size: int) -> tuple[int, int]:
    return options.same_padding(
        size, sliding.kernel[axis], sliding.stride[axis], sliding.dilation[axis]
    )


def smallest_pad(op: ir.Op) -> options.Padding:
    """The PAD with the fewest elements after which VALID or SAME gives what `op` needs."""
    sliding, size, out = window(op), size_of(source_of(op)), size_of(op.output)
    all_of_it = _all_padding(op)
    rows = _same_splits(sliding, 0, size[0], out[0], all_of_it.top, all_of_it.bottom)
    columns = _same_splits(sliding, 1, size[1], out[1], all_of_it.left, all_of_it.right)
    if not rows or not columns:
        return all_of_it
    partial = options.Padding(*rows, *columns)
    return min((all_of_it, partial), key=lambda pad: _area(pad, size))


def _all_padding(op: ir.Op) -> options.Padding:
    """The op's padding as far as its windows reach."""
    size, out = size_of(source_of(op)), size_of(op.output)
    return window(op).trim(padding_of(op), size, out)


def _area(pad: options.Padding, size: tuple[int, int]) -> int:
    return (size[0] + pad.top + pad.bottom) * (size[1] + pad.left + pad.right)


def _same_splits(
    sliding: Window, axis: int, size: int, out: int, before: int, after: int
) -> tuple[int, int] | None:
    """The least (before, after) of a PAD along one axis that SAME completes, if there is one."""
    for total in range(before + after + 1):
        rest = _same(sliding, axis, size + total)
        start = before - rest[0]
        if 0 <= start <= total and -(-(size + total) // sliding.stride[axis]) == out:
            return start, total - start
    return None
