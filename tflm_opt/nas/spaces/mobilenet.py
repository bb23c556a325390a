"""Inverted residual blocks: MobileNetV2's (Sandler et al., 2018), searched as MnasNet's are.

    ┌───────────────────────────────────────────┐
    x ─ 1×1 expand ─ k×k depthwise ─ (gate) ─ 1×1 project ─ add

Tan et al., 2019 (MnasNet) chose kernel, expansion, depth and gates by search; MCUNet (Lin et al.,
2020) searched the same for microcontrollers, after choosing width and resolution for a board.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ..net import ACTIVATIONS, Shape
from .chain import Chain
from .staged import Block, Stage, Staged, is_whole, resolutions


@dataclass(frozen=True)
class MobileNet(Staged):
    """Inverted residual blocks for images.

    Example:
        >>> space = MobileNet.default((64, 64, 3), classes=4)
        >>> from tflm_opt.nas.space import largest
        >>> space.net(largest(space)).macs
        32995584

    Attributes:
        stem: filters of the first convolution, at width 1.
        stem_stride: of it.
        head: filters of the last convolution, at width 1; 0 for none.
        activation: of all layers but the last of each block, whose output is linear.
    """

    stem: int = 16
    stem_stride: int = 2
    head: int = 0
    activation: str = "relu6"

    kind: ClassVar[str] = "mobilenet"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least in (("stem", 1), ("stem_stride", 1), ("head", 0)):
            value = getattr(self, name)
            if not is_whole(value) or value < least:
                raise ValueError(f"{name} is {value!r}: a whole number from {least}")
        if self.activation not in ACTIVATIONS:
            known = ", ".join(ACTIVATIONS)
            raise ValueError(f"activation is {self.activation!r}; known are {known}")

    @classmethod
    def default(cls, input_shape: Shape, classes: int) -> MobileNet:
        """A space for images of this size: 0.1 to 33 million MACs for those of 64×64.

        The image is halved as often as leaves 3 rows, at most five times.
        """
        side = min(input_shape[:2])
        halvings = 0
        while halvings < len(_HALVED) and side / 2 ** (halvings + 1) >= _LEAST_ROWS:
            halvings += 1
        halved = _HALVED[:halvings]
        rows = side / (2 if "stem" in halved else 1)
        stages = []
        for index, (filters, depths) in enumerate(_STAGES):
            stride = 2 if index in halved else 1
            rows /= stride
            kernels = (3,) if index == 0 else tuple(k for k in (3, 5, 7) if k == 3 or k <= rows + 1)
            expansions = (1,) if index == 0 else (3, 4, 6)
            stages.append(Stage(filters, stride, depths, kernels, expansions))
        return cls(
            input_shape,
            classes,
            tuple(stages),
            width=(0.25, 0.35, 0.5, 0.75, 1.0),
            resolution=resolutions(input_shape[0]),
            stem_stride=2 if "stem" in halved else 1,
        )

    def _ends(self, architecture: Mapping[str, Any]) -> tuple[int, int]:
        width = architecture["width"]
        return (self.rounded(self.stem * width), self.head and self.rounded(self.head * width))

    def _stem(self, chain: Chain, architecture: Mapping[str, Any]) -> None:
        filters, _ = self._ends(architecture)
        strides = (self.stem_stride, self.stem_stride)
        self._conv(chain, "stem", filters, kernel=(3, 3), strides=strides)

    def _head(self, chain: Chain, architecture: Mapping[str, Any]) -> None:
        _, filters = self._ends(architecture)
        if filters:
            self._conv(chain, "head", filters)

    def _conv(self, chain: Chain, name: str, filters: int, **options: Any) -> None:
        chain.add(name, "conv", filters=filters, norm=True, activation=self.activation, **options)

    def _block(self, chain: Chain, block: Block) -> None:
        source, name = chain.last, block.name
        if block.expands:
            self._conv(chain, f"{name}_expand", block.inner)
        chain.add(
            f"{name}_depthwise",
            "depthwise",
            kernel=(block.kernel, block.kernel),
            strides=(block.stride, block.stride),
            norm=True,
            activation=self.activation,
        )
        if block.squeeze:
            chain.gate(f"{name}_gate", block.inner, max(4, block.inner // 4))
        chain.add(f"{name}_project", "conv", filters=block.filters, norm=True)
        if block.index:
            chain.add(f"{name}_add", "add", source, chain.last)


_STAGES = ((16, (1,)), (24, (1, 2, 3)), (40, (1, 2, 3, 4)), (80, (1, 2, 3, 4)), (128, (1, 2, 3)))
# Where images are halved, most urgent first: late strides leave early layers more to see.
_HALVED = (2, 1, 3, "stem", 4)
_LEAST_ROWS = 3
