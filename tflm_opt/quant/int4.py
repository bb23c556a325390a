"""int4 weights: an int8 model with chosen layers' weights in 4 bits.

    narrowed = int4.rewrite(graph, [int4.filters(op) for op in chosen])

TFLM runs CONV_2D, DEPTHWISE_CONV_2D and FULLY_CONNECTED with int4 filters. Weights become -7 to 7,
each output channel with the scale of least squared error (as MSE range setting has it, Banner et
al., 2019, "Post training 4-bit quantization"), the bias its value at the new scale; activations and
everything else are as they were. Fully connected layers get one scale, as TFLM takes no int4 filter
of theirs with more; others keep the number that they had.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from tflm_opt.graph import edit
from tflm_opt.graph.ir import Graph, Op, Quantization, Tensor
from tflm_opt.graph.optable.constraints import INT4_FILTERS

HIGHEST = 7
# Of the scale that has all weights in range, what is tried; and how often each is refined.
_PARTS = np.linspace(0.3, 1.02, 61)
_ROUNDS = 1
# Of TFLite's ops, the first ones that take int4 filters.
_VERSIONS = {"CONV_2D": 7, "DEPTHWISE_CONV_2D": 7, "FULLY_CONNECTED": 10}
_AXES = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0}


def filters(op: Op) -> Tensor | None:
    """The int8 filter of an op that TFLM runs with int4 too; None where there is none."""
    if op.kind not in INT4_FILTERS or len(op.inputs) < 2 or op.inputs[0] is None:
        return None
    tensor = op.inputs[1]
    if tensor is None or tensor.data is None or tensor.dtype != "int8" or tensor.quant is None:
        return None
    return tensor if op.inputs[0].dtype == "int8" else None


def candidates(graph: Graph) -> tuple[Tensor, ...]:
    """Filters that may become int4: int8 constants that only such ops read, in the ops' order."""
    readers = edit.consumers(graph)
    found = dict.fromkeys(t for op in graph.ops if (t := filters(op)) is not None)
    return tuple(t for t in found if all(filters(op) is t for op in readers.get(t, ())))


def rewrite(
    graph: Graph, chosen: Iterable[Tensor], floats: Mapping[Tensor, np.ndarray] | None = None
) -> Graph:
    """The graph with these filters in int4.

    Args:
        chosen: of `candidates`.
        floats: weights before they were rounded to int8, where they are known, in the filter's
            shape; by default what int8 stands for.

    Raises:
        ValueError: a filter that is none of the candidates.
    """
    allowed = set(candidates(graph))
    ops: dict[Op, Op] = {}
    made: dict[Tensor, Tensor] = {}
    for tensor in chosen:
        if tensor not in allowed:
            raise ValueError(f"{tensor!r} is no filter that could be int4")
        readers = [op for op in graph.ops if filters(op) is tensor]
        real = None if floats is None else floats.get(tensor)
        kinds = {op.kind for op in readers}
        one = "FULLY_CONNECTED" in kinds
        made[tensor] = narrowed(tensor, _AXES[readers[0].kind], real, one_scale=one)
        for op in readers:
            ops[op] = _with(op, made[tensor])
    return edit.rebuild(graph, ops=(ops.get(op, op) for op in graph.ops))


def narrowed(
    tensor: Tensor, axis: int, real: np.ndarray | None = None, *, one_scale: bool = False
) -> Tensor:
    """A filter in int4, with the scales of least squared error.

    Args:
        axis: of the output channels.
        real: the values that it stands for; by default those of the int8 tensor.
        one_scale: whether all channels share one; as many as the int8 tensor has by default.
    """
    assert tensor.data is not None
    assert tensor.quant is not None
    scales = tensor.quant.scale.astype(np.float64)
    rows = np.moveaxis(tensor.data.astype(np.float64), axis, 0).reshape(tensor.shape[axis], -1)
    if real is None:
        rows = rows * scales.reshape(-1, 1)
    else:
        rows = np.moveaxis(real.astype(np.float64), axis, 0).reshape(rows.shape)
    if scales.size == 1 or one_scale:
        rows, scales = rows.reshape(1, -1), scales[:1]
    found = best_scales(rows, scales).astype(np.float32)
    values = _rounded(rows, found.astype(np.float64)).astype(np.int8)
    moved = np.moveaxis(tensor.data, axis, 0).shape
    data = np.ascontiguousarray(np.moveaxis(values.reshape(moved), 0, axis))
    quant = Quantization(found, np.zeros(found.size, np.int64), tensor.quant.axis)
    return replace(tensor, dtype="int4", data=data, quant=quant)


def best_scales(rows: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    """For every row of values the scale whose rounding to -7..7 has the least squared error.

    Each try starts from a part of the largest value, and then takes the scale that is best for
    the rounded values it led to.

    Args:
        rows: float64 (n, values).
        otherwise: of rows of zeros.
    """
    largest = np.abs(rows).max(axis=1)
    best = np.where(largest > 0, largest / HIGHEST, otherwise)
    least = _error(rows, best)
    for part in _PARTS:
        scale = np.where(largest > 0, part * largest / HIGHEST, otherwise)
        for _ in range(_ROUNDS + 1):
            error = _error(rows, scale)
            better = error < least
            best, least = np.where(better, scale, best), np.where(better, error, least)
            steps = _rounded(rows, scale)
            square = (steps * steps).sum(axis=1)
            fitted = (rows * steps).sum(axis=1) / np.maximum(square, 1)
            scale = np.where((square > 0) & (fitted > 0), fitted, scale)
    return best


def _rounded(rows: np.ndarray, scales: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(rows / scales[:, None]), -HIGHEST, HIGHEST)


def _error(rows: np.ndarray, scales: np.ndarray) -> np.ndarray:
    result: np.ndarray = ((rows - _rounded(rows, scales) * scales[:, None]) ** 2).sum(axis=1)
    return result


def _with(op: Op, narrow: Tensor) -> Op:
    """The op with another filter, and its bias at that one's scales."""
    source, wide, *rest = op.inputs
    assert source is not None
    assert wide is not None
    assert wide.quant is not None
    assert narrow.quant is not None
    if rest and rest[0] is not None:
        rest[0] = rescaled(rest[0], source.scale, wide.quant, narrow.quant)
    return replace(op, inputs=(source, narrow, *rest), version=max(op.version, _VERSIONS[op.kind]))


def rescaled(bias: Tensor, source: float, before: Quantization, after: Quantization) -> Tensor:
    """An int32 bias at the scales of another filter.

    Args:
        source: the scale of the op's input.
    """
    assert bias.data is not None
    ratio = before.scale.astype(np.float64) / after.scale.astype(np.float64)
    data = np.clip(np.rint(bias.data * ratio), -(2**31), 2**31 - 1).astype(np.int32)
    scale = (np.float32(source) * after.scale).astype(np.float32)
    quant = Quantization(scale, np.zeros(scale.size, np.int64), 0)
    return replace(bias, data=data, quant=quant)
