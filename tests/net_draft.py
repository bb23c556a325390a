"""What random nets are drawn with: tensors, weights and constants of an int8 net in the making.

Scales follow from the number of terms, so that values spread over most of int8's range at every
layer, and an error anywhere shows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tflm_opt.graph.ir import NUMPY_DTYPES, Op, Quantization, Tensor

Rng = np.random.Generator


class Draft:
    """A net under construction.

    Attributes:
        ops: so far.
        nodes: image tensors that ops may still read.
        out_scale: of the output of the convolution whose weights were drawn last.
    """

    def __init__(self, rng: Rng) -> None:
        self.rng = rng
        self.ops: list[Op] = []
        self.nodes: list[Tensor] = []
        self.names = 0
        self.out_scale = 1.0

    def tensor(self, shape: Sequence[int], scale: float, zero_point: int | None = None) -> Tensor:
        """A new int8 tensor; its zero point is drawn if not given."""
        self.names += 1
        if zero_point is None:
            zero_point = int(self.rng.integers(-60, 60))
        quant = Quantization.per_tensor(float(np.float32(scale)), zero_point)
        return Tensor(f"t{self.names}", tuple(int(n) for n in shape), "int8", quant)

    def like(self, x: Tensor, shape: Sequence[int]) -> Tensor:
        """A new tensor with the quantization of `x`."""
        return self.tensor(shape, x.scale, x.zero_point)

    def constant(self, values: object, dtype: str = "int32", scale: float | None = None) -> Tensor:
        self.names += 1
        data = np.array(values, NUMPY_DTYPES[dtype])
        quant = None if scale is None else Quantization.per_tensor(scale)
        return Tensor(f"c{self.names}", data.shape, dtype, quant, data)

    def weighted(self, x: Tensor, shape: tuple[int, ...], axis: int, terms: int) -> list[Tensor]:
        """[x, filter, bias] of a convolution with a scale for each place along `axis`."""
        count = shape[axis]
        scales = (0.01 * self.rng.uniform(0.5, 2, count)).astype(np.float32)
        weights = self.rng.integers(-127, 128, shape).astype(np.int8)
        bias = np.round(self.rng.normal(0, 2000, count)).astype(np.int32)
        zeros = np.zeros(count, np.int64)
        self.names += 1
        name = f"w{self.names}"
        self.out_scale = x.scale * 0.01 * 74 * 60 * math.sqrt(terms) / 45
        summed = (scales * np.float32(x.scale)).astype(np.float32)
        return [
            x,
            Tensor(name, shape, "int8", Quantization(scales, zeros, axis), weights),
            Tensor(f"{name}_bias", (count,), "int32", Quantization(summed, zeros, 0), bias),
        ]
