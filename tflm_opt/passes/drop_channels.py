"""Rebuild a graph without some channels: the doing half of `dead_channels`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np

from ..graph import ir, options
from .channel_ties import ELEMENTWISE
from .constant_channels import Channels
from .linear import linear, operands, values_of
from .rewrite import rebuilt


def drop(
    graph: ir.Graph, keep: Mapping[ir.Tensor, np.ndarray], known: Mapping[ir.Tensor, Channels]
) -> ir.Graph:
    """The graph with only the kept channels.

    Args:
        keep: bool for each channel of each computed tensor.
        known: values of the channels that go where a convolution reads them.
    """
    return _Dropper(keep, known).run(graph)


class _Dropper:
    """Lives for one call of `drop`; shares equal slices of shared constants."""

    def __init__(
        self, keep: Mapping[ir.Tensor, np.ndarray], known: Mapping[ir.Tensor, Channels]
    ) -> None:
        self.keep = keep
        self.known = known
        self.slices: dict[tuple[ir.Tensor, int, bytes], ir.Tensor] = {}
        self.biases: dict[tuple[ir.Tensor | None, bytes], ir.Tensor] = {}
        self.rules: dict[str, Callable[[ir.Op], ir.Op]] = {
            "CONV_2D": self._linear,
            "FULLY_CONNECTED": self._linear,
            "DEPTHWISE_CONV_2D": self._depthwise,
            **dict.fromkeys(ELEMENTWISE, self._elementwise),
        }

    def run(self, graph: ir.Graph) -> ir.Graph:
        narrow = {t: self._narrow(t, kept) for t, kept in self.keep.items() if not kept.all()}
        ops = [self._op(op, narrow) for op in graph.ops]
        return rebuilt(graph, ops=ops, tensors=narrow)

    def _narrow(self, tensor: ir.Tensor, kept: np.ndarray) -> ir.Tensor:
        count = int(kept.sum())
        signature = tensor.shape_signature
        return dataclasses.replace(
            tensor,
            shape=(*tensor.shape[:-1], count),
            shape_signature=None if signature is None else (*signature[:-1], count),
        )

    def _op(self, op: ir.Op, narrow: Mapping[ir.Tensor, ir.Tensor]) -> ir.Op:
        if not any(t in narrow for t in (*op.inputs, *op.outputs)):
            return op
        if op.kind == "RESHAPE":
            return _reshaped(op, narrow.get(op.output, op.output).shape)
        rule = self.rules.get(op.kind)
        return op if rule is None else rule(op)

    def _kept(self, tensor: ir.Tensor) -> np.ndarray:
        kept = self.keep.get(tensor)
        return np.ones(tensor.shape[-1], np.bool_) if kept is None else kept

    def _slice(self, tensor: ir.Tensor, axis: int, kept: np.ndarray) -> ir.Tensor:
        """A constant with only some positions along `axis`."""
        axis %= len(tensor.shape)
        if kept.all():
            return tensor
        key = (tensor, axis, kept.tobytes())
        if key not in self.slices:
            data = np.ascontiguousarray(np.compress(kept, values_of(tensor), axis=axis))
            data.flags.writeable = False
            quant = _sliced_quantization(tensor.quant, axis, kept)
            self.slices[key] = dataclasses.replace(
                tensor, shape=data.shape, data=data, quant=quant, shape_signature=None
            )
        return self.slices[key]

    def _linear(self, op: ir.Op) -> ir.Op:
        source, filters, bias = operands(op)
        sums = linear(op)
        if sums is None:
            return op
        into, out = self._kept(source), self._kept(op.output)
        gone = ~into & sums.weights.any(axis=(0, 1))
        if gone.any():
            shares = sums.shares(self.known[source].values, gone).sum(axis=1)
            if shares.any():
                bias = self._bias(op, sums.bias + shares)
        weights = self._slice(self._slice(filters, -1, into), 0, out)
        if bias is not None:
            bias = self._slice(bias, 0, out)
        rest = op.inputs[2:3] if bias is None else (bias,)
        return dataclasses.replace(op, inputs=(source, weights, *rest))

    def _bias(self, op: ir.Op, values: np.ndarray) -> ir.Tensor:
        data = values.astype(np.int32)
        data.flags.writeable = False
        source, filters, old = operands(op)
        key = (old, data.tobytes())
        if old is not None:
            if key not in self.biases:
                self.biases[key] = dataclasses.replace(old, data=data.reshape(old.shape))
            return self.biases[key]
        filter_scales = filters.quant.scale if filters.quant else np.ones(1, np.float32)
        scale = np.float32(source.scale) * filter_scales.astype(np.float32)
        quant = ir.Quantization(scale, np.zeros(scale.size, np.int64))
        return ir.Tensor(f"{op.output.name}/bias", data.shape, "int32", quant, data)

    def _depthwise(self, op: ir.Op) -> ir.Op:
        source, filters, _ = operands(op)
        out = self._kept(op.output)
        rest = tuple(None if t is None else self._slice(t, 0, out) for t in op.inputs[2:])
        return dataclasses.replace(op, inputs=(source, self._slice(filters, -1, out), *rest))

    def _elementwise(self, op: ir.Op) -> ir.Op:
        out = self._kept(op.output)
        inputs = tuple(
            self._slice(t, -1, out)
            if t is not None and t.constant and t.shape and t.shape[-1] == out.size
            else t
            for t in op.inputs
        )
        return dataclasses.replace(op, inputs=inputs)


def _sliced_quantization(
    quant: ir.Quantization | None, axis: int, kept: np.ndarray
) -> ir.Quantization | None:
    if quant is None or not quant.per_channel or quant.axis != axis:
        return quant
    # What else the file says of the quantization (ranges seen) has an entry a channel too.
    return ir.Quantization(quant.scale[kept], quant.zero_point[kept], axis)


def _reshaped(op: ir.Op, shape: tuple[int, ...]) -> ir.Op:
    """A RESHAPE to another shape."""
    inputs = op.inputs
    if len(inputs) > 1 and inputs[1] is not None:
        data = np.array(shape, np.int32)
        data.flags.writeable = False
        target = dataclasses.replace(inputs[1], shape=data.shape, data=data, shape_signature=None)
        inputs = (inputs[0], target)
    record = op.options
    if isinstance(record, options.ReshapeOptions) and record.new_shape:
        record = dataclasses.replace(record, new_shape=shape)
    return dataclasses.replace(op, inputs=inputs, options=record)
