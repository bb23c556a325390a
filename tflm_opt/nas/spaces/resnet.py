"""Basic residual blocks (He et al., 2016), as in MLPerf Tiny's ResNet-8.

    ┌─────────── (1×1) ───────────┐
    x ─ k×k conv ─ 3×3 conv ─ (gate) ─ add ─ relu

The first block of a stage has a 1×1 convolution in its shortcut, since size or width change there;
that of the first stage only where it has a stride, since the stem is as wide as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ..net import Shape
from .chain import Chain
from .staged import Block, Stage, Staged, is_whole, resolutions


@dataclass(frozen=True)
class ResNet(Staged):
    """Basic residual blocks for images. A stage's `expansions` are of its filters.

    Example:
        >>> stages = (Stage(16), Stage(32, stride=2), Stage(64, stride=2))
        >>> space = ResNet((32, 32, 3), 10, stages)
        >>> space.net({"resolution": 32, "width": 1.0}).macs  # MLPerf Tiny's net
        12501632

    Attributes:
        stem_stride: of the first convolution, which has the filters of the first stage.
    """

    stem_stride: int = 1

    kind: ClassVar[str] = "resnet"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not is_whole(self.stem_stride) or self.stem_stride < 1:
            raise ValueError(f"stem_stride is {self.stem_stride!r}: a whole number from 1")

    @classmethod
    def default(cls, input_shape: Shape, classes: int) -> ResNet:
        """A space around MLPerf Tiny's net; images of 64 rows and more are halved by the stem."""
        side = min(input_shape[:2])
        large = side >= 64
        halves = [side >= 8, side >= 16]
        stages = [Stage(16, 1, (1, 2), (3, 5), (0.5, 1))]
        for filters, halved in zip((32, 64), halves, strict=True):
            stages.append(Stage(filters, 2 if halved else 1, (1, 2, 3), (3, 5), (0.5, 1)))
        return cls(
            input_shape,
            classes,
            tuple(stages),
            width=(0.25, 0.5, 0.75, 1.0),
            resolution=resolutions(input_shape[0]),
            stem_stride=2 if large else 1,
        )

    def _ends(self, architecture: Mapping[str, Any]) -> tuple[int, int]:
        return (self._widths(architecture)[0], 0)

    def _inner(self, block: Block, expansion: float) -> int:
        return self.rounded(block.filters * expansion)

    def _stem(self, chain: Chain, architecture: Mapping[str, Any]) -> None:
        filters, _ = self._ends(architecture)
        _conv(chain, "stem", chain.last, filters, 3, self.stem_stride, "relu")

    def _block(self, chain: Chain, block: Block) -> None:
        source, name = chain.last, block.name
        shortcut = source
        if not block.index and (block.stage or block.stride > 1):
            shortcut = _conv(chain, f"{name}_shortcut", source, block.filters, 1, block.stride)
        kernel, stride = block.kernel, block.stride
        inner = _conv(chain, f"{name}_first", source, block.inner, kernel, stride, "relu")
        _conv(chain, f"{name}_second", inner, block.filters, 3, 1)
        if block.squeeze:
            chain.gate(f"{name}_gate", block.filters, max(4, block.filters // 4))
        chain.add(f"{name}_add", "add", shortcut, chain.last, activation="relu")


def _conv(
    chain: Chain,
    name: str,
    source: str,
    filters: int,
    kernel: int,
    stride: int,
    activation: str = "",
) -> str:
    square, strides = (kernel, kernel), (stride, stride)
    options: dict[str, Any] = {"kernel": square, "strides": strides, "activation": activation}
    return chain.add(name, "conv", source, filters=filters, norm=True, **options)
