"""Separable convolutions: for spectrograms (DS-CNN) and for signals in time.

    ┌──────────────────────────────────┐
    x ─ k×columns depthwise ─ (gate) ─ 1×1 pointwise ─ add

Zhang et al., 2017 (Hello Edge) found DS-CNN best for spotting keywords on microcontrollers. A
spectrogram has time in its rows and frequencies in its columns, and isn't square; a signal is one
with a single column, whose channels are the sensor's axes. Either can be streamed row by row, as
time goes on.

DS-CNN itself has no shortcuts: here, the first block of a stage has none, and further ones have
one, so that they can drop out. MLPerf Tiny's is four stages of one block each.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ..net import Shape
from .chain import Chain
from .staged import Block, Stage, Staged, allowed, centred, is_whole


@dataclass(frozen=True)
class _Separable(Staged):
    """What both have in common.

    Attributes:
        stem: filters of the first convolution, at width 1.
        stem_rows: rows (time) of its kernel, smallest first; all odd or all even.
        stem_stride: of it, along rows.
    """

    stem: int = 64
    stem_rows: tuple[int, ...] = (3,)
    stem_stride: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("stem", "stem_stride"):
            if not is_whole(value := getattr(self, name)) or value < 1:
                raise ValueError(f"{name} is {value!r}: a whole number from 1")
        allowed("stem_rows", self.stem_rows, whole=True)
        centred("stem_rows", self.stem_rows, self.stem_stride)
        if any(stage.expansions != (1,) for stage in self.stages):
            raise ValueError("separable blocks have no expansion: leave a stage's at (1,)")

    def shape_at(self, resolution: int) -> Shape:
        """Time gets coarser or finer; frequencies and axes stay."""
        return (resolution, *self.input_shape[1:])

    def _more_choices(self) -> dict[str, tuple[Any, ...]]:
        return {"stem_rows": self.stem_rows} if len(self.stem_rows) > 1 else {}

    def _ends(self, architecture: Mapping[str, Any]) -> tuple[int, int]:
        return (self.rounded(self.stem * architecture["width"]), 0)

    @abstractmethod
    def _columns(self) -> tuple[int, int, int]:
        """Columns of the stem's kernel, its stride along them, and columns of blocks' kernels."""

    @abstractmethod
    def _stride(self, stage: int) -> tuple[int, int]:
        """Of a stage's first block."""

    def _stem(self, chain: Chain, architecture: Mapping[str, Any]) -> None:
        columns, stride, _ = self._columns()
        filters, _ = self._ends(architecture)
        rows = architecture.get("stem_rows", self.stem_rows[0])
        options: dict[str, Any] = {"kernel": (rows, columns), "strides": (self.stem_stride, stride)}
        chain.add("stem", "conv", filters=filters, norm=True, activation="relu", **options)

    def _block(self, chain: Chain, block: Block) -> None:
        source, name = chain.last, block.name
        chain.add(
            f"{name}_depthwise",
            "depthwise",
            kernel=(block.kernel, self._columns()[2]),
            strides=(1, 1) if block.index else self._stride(block.stage),
            norm=True,
            activation="relu",
        )
        if block.squeeze:
            chain.gate(f"{name}_gate", block.inner, max(4, block.inner // 4))
        filters = {"filters": block.filters, "norm": True, "activation": "relu"}
        chain.add(f"{name}_pointwise", "conv", **filters)
        if block.index:
            chain.add(f"{name}_add", "add", source, chain.last)

    def _inner(self, block: Block, expansion: float) -> int:
        return block.source


@dataclass(frozen=True)
class DsCnn(_Separable):
    """Separable convolutions for spectrograms: rows are time frames, columns frequencies.

    Example:
        >>> space = DsCnn.default((49, 10, 1), classes=12)
        >>> from tflm_opt.nas.space import largest
        >>> space.net(largest(space)).shapes()["stem"]
        (25, 5, 64)

    Attributes:
        stem_columns, stem_column_stride: of the first convolution, along frequencies.
        columns: of all blocks' kernels; a stage's `kernels` are their rows. A stage's stride is
            along both.
    """

    stem_columns: int = 4
    stem_column_stride: int = 2
    columns: int = 3

    kind: ClassVar[str] = "ds_cnn"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("stem_columns", "stem_column_stride", "columns"):
            if not is_whole(value := getattr(self, name)) or value < 1:
                raise ValueError(f"{name} is {value!r}: a whole number from 1")

    @classmethod
    def default(cls, input_shape: Shape, classes: int) -> DsCnn:
        """A space around MLPerf Tiny's net, whose stem halves time and frequencies."""
        rows, columns, _ = input_shape
        kernels = tuple(k for k in (3, 5, 7) if k == 3 or 2 * k <= rows)
        wide = columns >= 20  # such as 40 mel bands; 10 cepstral coefficients are few
        stages = (
            Stage(64, depths=(1, 2), kernels=kernels),
            Stage(64, stride=2 if wide else 1, depths=(1, 2, 3), kernels=kernels),
            Stage(96, depths=(1, 2, 3), kernels=kernels),
        )
        return cls(
            input_shape,
            classes,
            stages,
            width=(0.25, 0.5, 0.75, 1.0),
            stem_rows=tuple(k for k in (4, 6, 8, 10) if k == 4 or 2 * k <= rows),
            stem_columns=min(4, columns),
        )

    def _columns(self) -> tuple[int, int, int]:
        return (self.stem_columns, self.stem_column_stride, self.columns)

    def _stride(self, stage: int) -> tuple[int, int]:
        return (self.stages[stage].stride, self.stages[stage].stride)


@dataclass(frozen=True)
class Signal(_Separable):
    """Separable convolutions along time: rows are samples, there is one column.

    Example:
        >>> space = Signal.default((128, 1, 9), classes=6)
        >>> from tflm_opt.nas.space import largest
        >>> space.net(largest(space)).shapes()["stem"]
        (64, 1, 32)
    """

    kind: ClassVar[str] = "signal"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.input_shape[1] != 1:
            raise ValueError(
                f"input_shape is {self.input_shape}: a signal is samples × 1 × channels"
            )

    @classmethod
    def default(cls, input_shape: Shape, classes: int) -> Signal:
        """A space for a signal of this length.

        Raw sound is thinned out by the stem, so that stages work on a thousand steps at most.
        """
        rows = input_shape[0]
        strides = _strides(rows)
        stem = sorted({max(3, k * strides[0] // 2 * 2 + 1) for k in (1, 2, 4)})
        stages, left = [], -(-rows // strides[0])
        for (filters, depths), stride in zip(_SIGNAL_STAGES, strides[1:], strict=True):
            kernels = _odd(stride, left)
            stages.append(Stage(filters, stride, depths, kernels))
            left = -(-left // stride)
        return cls(
            input_shape,
            classes,
            tuple(stages),
            width=(0.25, 0.5, 0.75, 1.0),
            stem=32,
            stem_rows=tuple(k for k in stem if k == stem[0] or k <= rows),
            stem_stride=strides[0],
        )

    def _columns(self) -> tuple[int, int, int]:
        return (1, 1, 1)

    def _stride(self, stage: int) -> tuple[int, int]:
        return (self.stages[stage].stride, 1)


_SIGNAL_STAGES = ((32, (1, 2)), (64, (1, 2, 3)), (96, (1, 2, 3)), (128, (1, 2)))
_MOST_STEPS, _LAST_STEPS = 1024, 8  # that stages work on


def _odd(stride: int, rows: int) -> tuple[int, ...]:
    """Kernels from the stride to what there is.

    >>> _odd(2, 100), _odd(4, 100), _odd(1, 6), _odd(1, 1)
    ((3, 5, 9), (5, 9), (3, 5), (3,))
    """
    fits = [k for k in (3, 5, 9) if k >= stride]
    return tuple(k for k in fits if k == fits[0] or k <= rows)


def _strides(rows: int) -> list[int]:
    """Of the stem and of each stage, so that the last has 8 steps or a few more.

    >>> _strides(128), _strides(16_000), _strides(10)
    ([2, 1, 2, 2, 2], [16, 2, 4, 4, 4], [1, 1, 1, 1, 1])
    """
    found = [1] * (1 + len(_SIGNAL_STAGES))
    while rows > _MOST_STEPS:
        found[0] *= 2
        rows = -(-rows // 2)
    for most in (2, 4):
        for index in (0, 2, 3, 4, 1):
            if found[index] < most and rows >= 2 * _LAST_STEPS:
                found[index] *= 2
                rows = -(-rows // 2)
    return found
