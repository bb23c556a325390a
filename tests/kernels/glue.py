"""CMSIS-NN's functions of the library, called as TFLM's glue for CMSIS-NN calls them.

    output = glue.call(op, {tensor: values})    # an op of a graph, by the function for its types

Arguments are what the glue makes of an op: structs of int32, filters with n = 1, a context whose
size is 0. Buffers are allocated to the byte, so that AddressSanitizer sees what lies beyond.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np

from tflm_opt.graph.ir import NUMPY_DTYPES, Op, Tensor
from tflm_opt.graph.options import (
    ConvOptions,
    FullyConnectedOptions,
    PoolOptions,
    SoftmaxOptions,
    TransposeConvOptions,
)
from tflm_opt.kernels import table
from tflm_opt.quant.numerics import (
    activation_range,
    channel_multipliers,
    mul_parameters,
    multiplier_below_one,
    product_multiplier,
    quantize_multiplier,
    softmax_parameters,
)
from tflm_opt.runtime.host import compiler

SANITIZE = ("-O0", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g")
SUCCESS = 0
GUARD = 64  # bytes on both sides of an output
INT = ctypes.c_int32


@cache
def library() -> ctypes.CDLL:
    """All portable kernels; in a process with sanitizers, without the engine's of int8."""
    sanitized = "libasan" in os.environ.get("LD_PRELOAD", "")
    options = SANITIZE if sanitized else ()
    names = [
        name
        for name, kernel in table.kernels().items()
        if not (sanitized and kernel.engine) or name.endswith("_s16")
    ]
    kernels = [k for k in table.closure(names) if "portable" in k.tiers]
    sources = sorted({table.source(k) for k in kernels})
    with tempfile.TemporaryDirectory() as folder:
        product = Path(folder, "kernels.so")
        command = [compiler(), "-std=c99", "-O1", "-shared", "-fPIC", *options]
        subprocess.run(
            [*command, f"-I{table.INCLUDE}", *map(str, sources), "-o", str(product)], check=True
        )
        return ctypes.CDLL(str(product))


class PerChannel(ctypes.Structure):
    """cmsis_nn_per_channel_quant_params, and the beginning of cmsis_nn_quant_params."""

    _fields_ = (
        ("multiplier", ctypes.c_void_p),
        ("shift", ctypes.c_void_p),
        ("is_per_channel", INT),
    )


class Bias(ctypes.Structure):
    """cmsis_nn_bias_data"""

    _fields_ = (("data", ctypes.c_void_p), ("is_int32_bias", ctypes.c_bool))


class Context(ctypes.Structure):
    """cmsis_nn_context"""

    _fields_ = (("buf", ctypes.c_void_p), ("size", INT))


class Pair(ctypes.Structure):
    """Two pointers: cmsis_nn_softmax_lut_s16."""

    _fields_ = (("first", ctypes.c_void_p), ("second", ctypes.c_void_p))


@dataclass(slots=True)
class Memory:
    """Buffers of one call, each of just its size."""

    blocks: list[int] = field(default_factory=list)

    def put(self, values: np.ndarray) -> int:
        """The address of a copy of these values."""
        libc = ctypes.CDLL(None)
        libc.malloc.restype = ctypes.c_void_p
        data = np.ascontiguousarray(values).tobytes()
        block = libc.malloc(ctypes.c_size_t(len(data)))
        ctypes.memmove(block, data, len(data))
        self.blocks.append(block)
        return block

    def free(self) -> None:
        libc = ctypes.CDLL(None)
        for block in self.blocks:
            libc.free(ctypes.c_void_p(block))
        self.blocks.clear()


def ints(*values: float) -> ctypes.Array[INT]:
    """A struct of int32, or an array."""
    return (INT * len(values))(*(int(v) for v in values))


def nhwc(shape: Sequence[int]) -> ctypes.Array[INT]:
    """cmsis_nn_dims; axes that are missing are 1, on the left."""
    return ints(*([1] * (4 - len(shape))), *shape)


def run(name: str, *arguments: object) -> int:
    """Call a function: its status. Numbers are int32, records go by address, None is NULL."""
    converted = [
        None
        if a is None
        else a
        if isinstance(a, ctypes.c_void_p)
        else INT(int(a))
        if isinstance(a, (int, np.integer))
        else ctypes.byref(a)  # type: ignore[arg-type]
        for a in arguments
    ]
    return int(getattr(library(), name)(*converted))


def pointer(address: int | None) -> ctypes.c_void_p:
    return ctypes.c_void_p(address)


def packed(values: np.ndarray) -> np.ndarray:
    """Values of -8 to 7, two in a byte, the first in its lower half."""
    flat = values.astype(np.int8).reshape(-1)
    flat = np.append(flat, np.zeros(flat.size % 2, np.int8))
    return ((flat[0::2] & 15) | (flat[1::2] << 4)).astype(np.int8)


def line_table(function: Callable[[np.ndarray], np.ndarray], low: int, width: float) -> np.ndarray:
    """513 values in Q0.15 of a function over [low, low + 1] * width, with TFLite's float32.

    Each is moved by half of what the line to the next one misses midway. Source: LUTPopulateInt16.
    """
    one = np.float32
    levels = one(65535)
    least = one(width) / levels * one(65535 * low)
    greatest = one(width) / levels * one(65535 * (low + 1))
    step = (greatest - least) / one(512)
    unit = one(65536) / (one(2) / levels * one(32767) - one(2) / levels * one(-32768))

    def at(x: np.ndarray | np.float32) -> np.ndarray:
        return function(np.asarray(x, np.float64)).astype(np.float32)

    def rounded(x: np.ndarray) -> np.ndarray:
        return (np.sign(x) * np.floor(np.abs(x) + one(0.5))).astype(np.float32)

    starts = least + np.arange(513, dtype=np.float32) * step
    samples = rounded(at(starts) * unit)
    lines = rounded((at(starts)[1:] * unit + samples[:-1]) / one(2))
    missed = lines - rounded(at(starts[:-1] + step / one(2)) * unit)
    values = np.append(samples[:-1] - rounded(missed / one(2)), rounded(at(greatest) * unit))
    return np.clip(values, -32768, 32767).astype(np.int16)


def _scales(tensor: Tensor) -> np.ndarray:
    assert tensor.quant is not None
    return tensor.quant.scale


def _suffix(op: Op) -> str:
    source = next(t for t in op.inputs if t is not None and not t.constant)
    weights = [t for t in op.inputs if t is not None and t.name.startswith("int4")]
    return "s4" if weights else {"int8": "s8", "int16": "s16"}[source.dtype]


def bounds(op: Op) -> tuple[int, int]:
    """The least and greatest value of an op's output."""
    out = op.output
    activation = getattr(op.options, "activation", "NONE")
    return activation_range(activation, out.scale, out.zero_point, out.dtype)


@dataclass(slots=True)
class _Call:
    """One op being called: its memory, its tensors' places."""

    op: Op
    values: Mapping[Tensor, np.ndarray]
    memory: Memory = field(default_factory=Memory)

    def data(self, index: int) -> ctypes.c_void_p:
        """An input, or NULL."""
        tensor = self.op.inputs[index] if len(self.op.inputs) > index else None
        if tensor is None:
            return pointer(None)
        values = tensor.data if tensor.data is not None else self.values[tensor]
        if tensor.name.startswith("int4"):
            values = packed(values)
        return pointer(self.memory.put(values))

    def factors(self, scales: np.ndarray, source: Tensor, channels: int) -> PerChannel:
        multipliers, shifts = channel_multipliers(
            source.scale, scales, self.op.output.scale, channels
        )
        put = self.memory.put
        return PerChannel(put(multipliers), put(shifts), scales.size > 1)

    def finish(self, name: str, *arguments: object) -> np.ndarray:
        """The function's output, its last pointer; nothing around it may have changed."""
        out = self.op.output
        dtype = np.dtype(NUMPY_DTYPES[out.dtype])
        size = out.elements * dtype.itemsize
        frame = self.memory.put(np.full(size + 2 * GUARD, 0x5A, np.uint8))
        given = [pointer(frame + GUARD) if a is ... else a for a in arguments]
        status = run(name, *given)
        after = ctypes.string_at(frame, size + 2 * GUARD)
        self.memory.free()
        assert status == SUCCESS or name.startswith("arm_softmax_s8"), (name, status)
        assert set(after[:GUARD] + after[GUARD + size :]) == {0x5A}, name
        return np.frombuffer(after[GUARD : GUARD + size], dtype).reshape(out.shape)


def _convolution(call: _Call) -> np.ndarray:
    op = call.op
    image, filters = op.inputs[0], op.inputs[1]
    assert image
    assert filters
    assert isinstance(op.options, ConvOptions)
    options, suffix = op.options, _suffix(op)
    depthwise = op.kind == "DEPTHWISE_CONV_2D"
    extra = (op.output.shape[3] // image.shape[3],) if depthwise else ()
    params = ints(
        -image.zero_point, op.output.zero_point, *extra, *options.stride[::-1],
        options.padding.left, options.padding.top, *options.dilation[::-1], *bounds(op),
    )  # fmt: skip
    bias: object = call.data(2)
    if suffix == "s16" and not depthwise:
        tensor = op.inputs[2] if len(op.inputs) > 2 else None
        bias = Bias(bias.value, tensor is not None and tensor.dtype == "int32")
    name = {True: "arm_depthwise_conv", False: "arm_convolve"}[depthwise]
    return call.finish(
        f"{name}_wrapper_{suffix}", Context(None, 0), params,
        call.factors(_scales(filters), image, op.output.shape[3]),
        nhwc(image.shape), call.data(0), nhwc((1, *filters.shape[1:])), call.data(1),
        nhwc(op.output.shape[3:]), bias, nhwc(op.output.shape), ...,
    )  # fmt: skip


def _transpose_conv(call: _Call) -> np.ndarray:
    op = call.op
    filters, image = op.inputs[1], op.inputs[2]
    assert image
    assert filters
    assert isinstance(op.options, TransposeConvOptions)
    pad, stride = op.options.padding, op.options.stride[::-1]
    offsets = (pad.left + pad.right, pad.top + pad.bottom)
    params = ints(
        -image.zero_point, op.output.zero_point, *stride, pad.left, pad.top, *offsets, 1, 1,
        *bounds(op),
    )  # fmt: skip
    return call.finish(
        "arm_transpose_conv_wrapper_s8", Context(None, 0), Context(None, 0), params,
        call.factors(_scales(filters), image, op.output.shape[3]),
        nhwc(image.shape), call.data(2), nhwc(filters.shape), call.data(1),
        nhwc(op.output.shape[3:]), call.data(3), nhwc(op.output.shape), ...,
    )  # fmt: skip


def _fully_connected(call: _Call) -> np.ndarray:
    op = call.op
    vectors, filters = op.inputs[0], op.inputs[1]
    assert vectors
    assert filters
    assert isinstance(op.options, FullyConnectedOptions)
    channels, depth = filters.shape
    rows = op.output.elements // channels
    suffix = _suffix(op)
    params = ints(-vectors.zero_point, 0, op.output.zero_point, *bounds(op))
    quant: object = ints(
        *product_multiplier(vectors.scale, float(_scales(filters)[0]), op.output.scale)
    )
    if suffix == "s8":
        quant = call.factors(_scales(filters), vectors, channels)
    name = {"s8": "arm_fully_connected_wrapper_s8"}.get(suffix, f"arm_fully_connected_{suffix}")
    return call.finish(
        name, Context(None, 0), params, quant, ints(rows, 1, 1, depth), call.data(0),
        ints(depth, 1, 1, channels), call.data(1), ints(1, 1, 1, channels), call.data(2),
        ints(rows, 1, 1, channels), ...,
    )  # fmt: skip


def _batch_matmul(call: _Call) -> np.ndarray:
    op = call.op
    left, right = op.inputs
    assert left
    assert right
    sides = []
    for tensor, transposed in ((left, op.options.adj_x), (right, not op.options.adj_y)):  # type: ignore[union-attr]
        values = call.values[tensor]
        sides.append(np.swapaxes(values, -1, -2) if transposed else values)
    fc = ints(-left.zero_point, -right.zero_point, op.output.zero_point, *bounds(op))
    params = (ctypes.c_uint8 * 24)()
    ctypes.memmove(ctypes.addressof(params) + 4, fc, 20)
    quant = ints(*product_multiplier(left.scale, right.scale, op.output.scale))
    data = [pointer(call.memory.put(side)) for side in sides]
    return call.finish(
        f"arm_batch_matmul_{_suffix(op)}", Context(None, 0), params, quant,
        nhwc(sides[0].shape), data[0], nhwc(sides[1].shape), data[1], nhwc(op.output.shape), ...,
    )  # fmt: skip


def _add(call: _Call) -> np.ndarray:
    op = call.op
    first, second = op.inputs
    assert first
    assert second
    left_shift = {"int8": 20, "int16": 15}[op.output.dtype]
    twice = 2 * max(first.scale, second.scale)
    factors = [multiplier_below_one(t.scale / twice) for t in (first, second)]
    down = multiplier_below_one(twice / (2.0**left_shift * op.output.scale))
    return call.finish(
        f"arm_elementwise_add_{_suffix(op)}", call.data(0), call.data(1),
        -first.zero_point, *factors[0], -second.zero_point, *factors[1], left_shift, ...,
        op.output.zero_point, *down, *bounds(op), op.output.elements,
    )  # fmt: skip


def _mul(call: _Call) -> np.ndarray:
    op = call.op
    first, second = op.inputs
    assert first
    assert second
    factor = mul_parameters(first.scale, second.scale, op.output.scale)
    return call.finish(
        f"arm_elementwise_mul_{_suffix(op)}", call.data(0), call.data(1),
        -first.zero_point, -second.zero_point, ..., op.output.zero_point, *factor, *bounds(op),
        op.output.elements,
    )  # fmt: skip


def _pool(call: _Call) -> np.ndarray:
    op = call.op
    image = op.inputs[0]
    assert image
    assert isinstance(op.options, PoolOptions)
    pad = op.options.padding
    params = ints(*op.options.stride[::-1], pad.left, pad.top, *bounds(op))
    name = {"AVERAGE_POOL_2D": "arm_avgpool", "MAX_POOL_2D": "arm_max_pool"}[op.kind]
    return call.finish(
        f"{name}_{_suffix(op)}", Context(None, 0), params, nhwc(image.shape), call.data(0),
        nhwc((*op.options.kernel, 1)), nhwc(op.output.shape), ...,
    )  # fmt: skip


def _softmax(call: _Call) -> np.ndarray:
    op = call.op
    logits = op.inputs[0]
    assert logits
    assert isinstance(op.options, SoftmaxOptions)
    size = logits.shape[-1]
    rows = logits.elements // size
    if logits.dtype == "int16":
        factor = quantize_multiplier(logits.scale * op.options.beta / (10.0 / 65535.0))
        put = call.memory.put
        tables = Pair(
            put(line_table(np.exp, -1, 10.0)), put(line_table(lambda x: 1 / (1 + x), 0, 1.0))
        )
        return call.finish("arm_softmax_s16", call.data(0), rows, size, *factor, tables, ...)
    suffix = {"int8": "s8", "int16": "s8_s16"}[op.output.dtype]
    params = softmax_parameters(op.options.beta, logits.scale)
    return call.finish(
        f"arm_softmax_{suffix}", call.data(0), rows, size, params.multiplier, params.shift,
        params.diff_min, ...,
    )  # fmt: skip


_CALLS = {
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _convolution,
    "TRANSPOSE_CONV": _transpose_conv,
    "FULLY_CONNECTED": _fully_connected,
    "BATCH_MATMUL": _batch_matmul,
    "ADD": _add,
    "MUL": _mul,
    "AVERAGE_POOL_2D": _pool,
    "MAX_POOL_2D": _pool,
    "SOFTMAX": _softmax,
}


def call(op: Op, values: Mapping[Tensor, np.ndarray]) -> np.ndarray:
    """The op's output, by the function that TFLM's glue calls for it."""
    return _CALLS[op.kind](_Call(op, values))
