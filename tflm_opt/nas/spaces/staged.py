"""What our spaces have in common: stages of blocks, and choices of how many, how wide, how large.

    image ─ stem ─ [block block block] ─ [block block] ─ … ─ head ─ mean ─ scores
                    stage 1: same width   stage 2: its first block may halve the image

The idea is MCUNet's and Once-for-All's (Lin et al., 2020; Cai et al., 2020): all nets of a space
are parts of its largest one. So that this holds,

- the first block of a stage is always there, and the others have a shortcut: a block that drops
  out leaves it;
- blocks of a stage have the same number of filters, and fewer filters are the first ones;
- kernels of one choice are all odd or all even and no smaller than the stride, so that the smaller
  lies in the middle of the larger;
- whether a layer exists is never a matter of a width, kernel or expansion.

`nesting.check_nested` checks it of any space.
"""

from __future__ import annotations

import dataclasses
import math
import operator
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any, ClassVar, TypeVar

from ..net import Net, Shape
from ..space import Architecture, check
from .chain import Chain

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Stage:
    """Blocks that work at one image size, with the same number of filters.

    Attributes:
        filters: output channels of each block, at width 1.
        stride: of the first block.
        depths: how many blocks, at least 1.
        kernels: of each block: rows and columns, or rows alone in a space of spectrograms or
            signals. All odd or all even, and none smaller than the stride if there are several.
        expansions: of each block: channels inside it, in units of its input's channels
            (MobileNet) or its own filters (ResNet).
        widths: by what `filters` is multiplied, besides the space's own width.
        squeeze: whether the blocks have squeeze-and-excitation gates. A supernet of (False, True)
            must be one that passes "multiply" layers over, as it does "add" layers.
    """

    filters: int
    stride: int = 1
    depths: tuple[int, ...] = (1,)
    kernels: tuple[int, ...] = (3,)
    expansions: tuple[float, ...] = (1,)
    widths: tuple[float, ...] = (1.0,)
    squeeze: tuple[bool, ...] = (False,)

    def __post_init__(self) -> None:
        for name in ("filters", "stride"):
            value = getattr(self, name)
            if not is_whole(value) or value < 1:
                raise ValueError(f"a stage's {name} is {value!r}: it is a whole number from 1")
        for name in ("depths", "kernels"):
            allowed(f"a stage's {name}", getattr(self, name), whole=True)
        for name in ("expansions", "widths"):
            allowed(f"a stage's {name}", getattr(self, name))
        if self.squeeze not in ((False,), (True,), (False, True)):
            raise ValueError(
                f"a stage's squeeze is {self.squeeze!r}: (False,), (True,) or (False, True)"
            )
        centred("a stage's kernels", self.kernels, self.stride)


def is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def allowed(what: str, values: Any, *, whole: bool = False) -> None:
    """Raise ValueError unless the values are positive numbers, each larger than the last."""
    kind = "whole numbers" if whole else "numbers"
    fine = isinstance(values, tuple) and all(
        is_whole(v) or (not whole and isinstance(v, float) and math.isfinite(v)) for v in values
    )
    if not fine or not values:
        raise ValueError(f"{what} are {values!r}: a tuple of {kind}, and not an empty one")
    if values[0] <= 0 or any(a >= b for a, b in pairwise(values)):
        raise ValueError(f"{what} are {values!r}: positive, each larger than the one before")


def centred(what: str, kernels: Sequence[int], stride: int) -> None:
    """Raise ValueError unless each kernel has its middle where the largest one has it.

    With padding "same", a kernel smaller than its stride gets no padding at all, not less than 0.
    """
    if len({k % 2 for k in kernels}) > 1:
        raise ValueError(
            f"{what} are {tuple(kernels)!r}: all odd or all even, since the smaller ones are the "
            "middle of the largest"
        )
    if len(kernels) > 1 and kernels[0] < stride:
        raise ValueError(
            f"{what} are {tuple(kernels)!r}, with a stride of {stride}: one that is smaller than "
            "its stride isn't the middle of a larger one"
        )


@dataclass(frozen=True, slots=True)
class Block:
    """One block as an architecture has it; what a space's `_block` writes layers of.

    Attributes:
        name: prefix of its layers' names.
        stage, index: from 0.
        source: channels of its input.
        filters, inner: channels of its output, and inside it.
        expands: whether any architecture has more channels inside than at the input.
    """

    name: str
    stage: int
    index: int
    source: int
    filters: int
    inner: int
    expands: bool
    kernel: int
    stride: int
    squeeze: bool


@dataclass(frozen=True)
class Staged(ABC):
    """Base of our spaces: a subclass writes stem, blocks and head.

    Attributes:
        input_shape: rows, columns, channels of the data.
        classes: how many there are to tell apart.
        stages: from input to output.
        width: multipliers of all filters, smallest first.
        resolution: rows of the input, smallest first; columns go along. () is the data's own.
        divisor: filters are multiples of it.
    """

    input_shape: Shape
    classes: int
    stages: tuple[Stage, ...]
    width: tuple[float, ...] = (1.0,)
    resolution: tuple[int, ...] = ()
    divisor: int = field(default=4, kw_only=True)

    kind: ClassVar[str]

    @classmethod
    @abstractmethod
    def default(cls, input_shape: Shape, classes: int) -> Staged:
        """A space of this kind for data of this shape."""

    def __post_init__(self) -> None:
        try:
            shape = tuple(map(operator.index, self.input_shape))
            object.__setattr__(self, "classes", operator.index(self.classes))
        except TypeError as error:
            raise ValueError(
                f"input_shape and classes are whole numbers, and not {self.input_shape!r} and "
                f"{self.classes!r}"
            ) from error
        if len(shape) != 3:
            raise ValueError(f"input_shape is {shape!r}: rows, columns, channels")
        if min(shape) < 1:
            raise ValueError(f"input_shape is {shape!r}: nothing to see")
        object.__setattr__(self, "input_shape", shape)
        if self.classes < 2:
            raise ValueError(f"classes is {self.classes}: at least 2 are needed to tell apart")
        if not is_whole(self.divisor) or self.divisor < 1:
            raise ValueError(f"divisor is {self.divisor!r}: a whole number from 1")
        if not self.stages or not all(isinstance(one, Stage) for one in self.stages):
            raise ValueError("stages is a tuple of Stage, and not an empty one")
        if not self.resolution:
            object.__setattr__(self, "resolution", (shape[0],))
        allowed("width", self.width)
        allowed("resolution", self.resolution, whole=True)
        if self.resolution[-1] > shape[0]:
            raise ValueError(
                f"resolution goes up to {self.resolution[-1]} rows, and the data has {shape[0]}: "
                "larger images know no more"
            )

    @property
    def choices(self) -> Mapping[str, tuple[Any, ...]]:
        """Names are "resolution", "width", and those of stages and blocks, which count from 1.

        Of a stage and its blocks, only what leaves a choice.
        """
        return self._choices

    @cached_property
    def _choices(self) -> dict[str, tuple[Any, ...]]:
        found: dict[str, tuple[Any, ...]] = {"resolution": self.resolution, "width": self.width}
        found |= self._more_choices()
        for place, stage in enumerate(self.stages):
            prefix = stage_name(place)
            own: dict[str, tuple[Any, ...]] = {
                f"{prefix}_depth": stage.depths,
                f"{prefix}_width": stage.widths,
                f"{prefix}_squeeze": stage.squeeze,
            }
            for block in range(stage.depths[-1]):
                name = block_name(place, block)
                own |= {f"{name}_kernel": stage.kernels, f"{name}_expansion": stage.expansions}
            found |= {name: values for name, values in own.items() if len(values) > 1}
        return found

    def _more_choices(self) -> dict[str, tuple[Any, ...]]:
        """Choices that only this space has."""
        return {}

    def canonical(self, architecture: Mapping[str, Any]) -> Architecture:
        """The first of all architectures that mean the same net.

        Blocks that aren't there have their first kernels and expansions; widths and expansions
        that round to the same filters are the smallest that do.
        """
        check(self, architecture)
        # The space's own value: JSON and Optuna may have made 1 of 1.0, and keys tell them apart.
        found = {k: v[v.index(architecture[k])] for k, v in self.choices.items()}
        for place, stage in enumerate(self.stages):
            depth = self._value(found, f"{stage_name(place)}_depth", stage.depths)
            for block in range(depth, stage.depths[-1]):
                for what in ("kernel", "expansion"):
                    name = f"{block_name(place, block)}_{what}"
                    if name in found:
                        found[name] = self.choices[name][0]
        self._narrow_widths(found)
        for block in self._blocks(found):
            name, values = f"{block.name}_expansion", self.stages[block.stage].expansions
            if name in found:
                found[name] = next(v for v in values if self._inner(block, v) == block.inner)
        return found

    def _narrow_widths(self, found: Architecture) -> None:
        """The first width of the space, and then of its stages, with the same filters as now."""
        filters, ends = self._widths(found), self._ends(found)
        for width in self.width:
            trial = {**found, "width": width}
            for place, stage in enumerate(self.stages):
                if len(stage.widths) > 1:
                    same = (w for w in stage.widths if self._at(stage, width, w) == filters[place])
                    trial[f"{stage_name(place)}_width"] = next(same, stage.widths[0])
            if (self._widths(trial), self._ends(trial)) == (filters, ends):
                found.update(trial)
                return

    @abstractmethod
    def _ends(self, architecture: Mapping[str, Any]) -> tuple[int, int]:
        """Filters of stem and head; 0 for no head."""

    def rounded(self, filters: float) -> int:
        """Filters as a multiple of the divisor, not less than 90% of what was asked.

        The rule is MobileNet's.
        """
        most = max(self.divisor, int(filters + self.divisor / 2) // self.divisor * self.divisor)
        return most + self.divisor if most < 0.9 * filters else most

    def _at(self, stage: Stage, width: float, own: float) -> int:
        """Filters of a stage at a width of the space and one of its own."""
        return self.rounded(stage.filters * width * own)

    def _widths(self, architecture: Mapping[str, Any]) -> list[int]:
        """Filters by stage."""
        found = []
        for place, stage in enumerate(self.stages):
            own = self._value(architecture, f"{stage_name(place)}_width", stage.widths)
            found.append(self._at(stage, architecture["width"], own))
        return found

    @staticmethod
    def _value(architecture: Mapping[str, Any], name: str, values: tuple[_Value, ...]) -> _Value:
        """What was chosen, or the only value that there is."""
        return architecture.get(name, values[0])

    def _inner(self, block: Block, expansion: float) -> int:
        """Channels inside a block."""
        return self.rounded(block.source * expansion)

    def _blocks(self, architecture: Mapping[str, Any]) -> list[Block]:
        """The blocks that an architecture has, from input to output."""
        found = []
        source = self._ends(architecture)[0]
        for place, (stage, filters) in enumerate(
            zip(self.stages, self._widths(architecture), strict=True)
        ):
            prefix = stage_name(place)
            depth = self._value(architecture, f"{prefix}_depth", stage.depths)
            squeeze = self._value(architecture, f"{prefix}_squeeze", stage.squeeze)
            for position in range(depth):
                name = block_name(place, position)
                kernel = self._value(architecture, f"{name}_kernel", stage.kernels)
                expansion = self._value(architecture, f"{name}_expansion", stage.expansions)
                block = Block(
                    name,
                    place,
                    position,
                    source,
                    filters,
                    inner=0,
                    expands=stage.expansions != (1,),
                    kernel=kernel,
                    stride=1 if position else stage.stride,
                    squeeze=squeeze,
                )
                found.append(dataclasses.replace(block, inner=self._inner(block, expansion)))
                source = filters
        return found

    def shape_at(self, resolution: int) -> Shape:
        """The input's shape at so many rows; the image keeps its proportions."""
        rows, columns, channels = self.input_shape
        return (resolution, max(1, round(columns * resolution / rows)), channels)

    def net(self, architecture: Mapping[str, Any]) -> Net:
        """The net of an architecture.

        Raises:
            ValueError: the architecture isn't one of this space; it says which choice is wrong.
        """
        check(self, architecture)
        chain = Chain(self.shape_at(architecture["resolution"]))
        self._stem(chain, architecture)
        for block in self._blocks(architecture):
            self._block(chain, block)
        self._head(chain, architecture)
        return chain.scores(self.classes)

    @abstractmethod
    def _stem(self, chain: Chain, architecture: Mapping[str, Any]) -> None:
        """Write the layers before the first block."""

    @abstractmethod
    def _block(self, chain: Chain, block: Block) -> None:
        """Write a block's layers."""

    def _head(self, chain: Chain, architecture: Mapping[str, Any]) -> None:  # noqa: B027
        """Layers between the last block and the mean: none, unless a space has some."""

    def subspaces(self) -> list[tuple[dict[str, Any], Staged]]:
        """The space cut into one for each width and resolution, with their names and values."""
        return [
            (
                {"width": width, "resolution": resolution},
                dataclasses.replace(self, width=(width,), resolution=(resolution,)),
            )
            for width in self.width
            for resolution in self.resolution
        ]

    def to_json(self) -> dict[str, Any]:
        """All parameters, as plain lists, dicts and values."""
        return {"kind": self.kind, **_plain(dataclasses.asdict(self))}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Staged:
        """The inverse of `to_json`; "kind" may be left out.

        Raises:
            ValueError: a parameter that is unknown, missing or makes no sense; it says which.
        """
        known = {f.name for f in dataclasses.fields(cls)}
        values = {k: _tuples(v) for k, v in data.items() if k != "kind"}
        if unknown := sorted(set(values) - known):
            raise ValueError(
                f"a {cls.kind} space has no {unknown[0]!r}; it has {', '.join(sorted(known))}"
            )
        if missing := sorted({"input_shape", "classes", "stages"} - set(values)):
            raise ValueError(f"a {cls.kind} space needs {', '.join(missing)}")
        if not isinstance(values["stages"], tuple):
            raise ValueError(f"stages is {values['stages']!r}: a list of stages")
        values["stages"] = tuple(map(_stage, values["stages"]))
        return cls(**values)


def resolutions(rows: int) -> tuple[int, ...]:
    """Half, three quarters and all of the rows; images below 32 aren't made smaller.

    >>> resolutions(64), resolutions(28)
    ((32, 48, 64), (28,))
    """
    return (rows // 2, rows * 3 // 4, rows) if rows >= 32 else (rows,)


def stage_name(index: int) -> str:
    """
    >>> stage_name(0)
    'stage1'
    """
    return f"stage{index + 1}"


def block_name(stage: int, index: int) -> str:
    """
    >>> block_name(0, 1)
    'stage1_block2'
    """
    return f"{stage_name(stage)}_block{index + 1}"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, (tuple, list)) else value


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, (list, tuple)) else value


def _stage(data: Any) -> Stage:
    if isinstance(data, Stage):
        return data
    if not isinstance(data, Mapping):
        raise ValueError(f"a stage is {data!r}: a dict with filters, stride, depths, …")
    known = {f.name for f in dataclasses.fields(Stage)}
    if unknown := sorted(set(data) - known):
        raise ValueError(f"a stage has no {unknown[0]!r}; it has {', '.join(sorted(known))}")
    if "filters" not in data:
        raise ValueError("a stage needs filters")
    return Stage(**{k: _tuples(v) for k, v in data.items()})
