"""Stages of a stock `.tflite` whose bands are copies: each band's ops are ops of the main graph.

    x [rows 0:9]   = SLICE(x)
    x [rows -1:9]  = PAD(x [rows 0:9])
    y [rows 0:4]   = MAX_POOL_2D(x [rows -1:9])
    …
    y              = CONCATENATION(y [rows 0:4], y [rows 4:8], …)

A band then costs the tail of its ops instead of a call's; a few bands of few channels are
cheaper so. There is no subgraph to pay for, bands inside the image need no mask, kept rows are
read where they are, and scratch is alive for one op only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..graph.ir import Tensor
from .tflm_bands import Piece, Step
from .tflm_calls import KEEP, Stage, StageWriter, mask_values, short_name


@dataclass(slots=True)
class CopyWriter(StageWriter):
    """Writes one stage; lives for one call of `tflm_banded.banded`."""

    band: int = 0

    def stage(self) -> Stage:
        self.places = {piece: piece.tensor for piece in self.body.windows}
        windows = tuple(self.window(piece) for piece in self.body.windows)
        state = {kept.held: self.start(kept) for kept in self.body.kept}
        returned = []
        for number in self.body.order:
            self.band = number
            self.ops.extend(self.cuts.get(number, ()))
            self.places = {w.piece: w.tensors[number] for w in windows} | state
            for step in self.body.steps:
                self.copy(step)
            state = {kept.held: self.places[kept.after] for kept in self.body.kept}
            first = number * self.body.band
            returned.append((self.landed(self.places[self.body.result], first), first))
        bands = self.joined(sorted(returned, key=lambda row: row[1]))
        return Stage(self.body, None, {}, (), windows, bands, self.last, tuple(self.ops))

    def copy(self, step: Step) -> None:
        mask = None
        if step.kind == "mask":
            values = mask_values(step.output, self.band)
            if (values == KEEP).all():
                self.places[step.output] = self.places[step.inputs[0]]
                return
            source = step.output.tensor
            name = f"mask of {short_name(source.name)}, band {self.band}"
            mask = self.constants.get(name, values, source)
        self.places[step.output] = self.inner(step.output)
        self.ops.append(self.step(step, mask))

    def inner(self, piece: Piece) -> Tensor:
        made = self.kept_rows(piece, self.band)
        return replace(made, name=f"{made.name[:-1]} {piece.note}]") if piece.note else made
