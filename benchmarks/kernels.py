"""What each kind of layer costs on a core: instructions per multiply-accumulate, or per output.

    python benchmarks/kernels.py [--board qemu_m4] [--only CONV_2D] [--json]

Every row is a model of one op with seeded random weights, optimized and run like any other model
and compared with TFLM byte for byte. The count is of one whole inference on the emulated board:
instructions, not cycles, with the call from the harness in it. `overhead` is what is left of a
unit after the two loads and the multiply-accumulate that no plain C kernel with one product at a
time does without; below 0, loads are shared.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import tflm_opt
from tflm_opt import graph
from tflm_opt.graph import ir
from tflm_opt.graph import options as opt
from tflm_opt.measure import measure

ONE_PRODUCT = 3.0  # two loads and a multiply-accumulate
Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Case:
    """One layer: `filter` is the shape of its weights in the file, None for ops without."""

    kind: str
    source: Shape
    filter: Shape | None = None
    window: tuple[int, int] = (1, 1)
    stride: int = 1
    dilation: int = 1
    same: bool = True

    @property
    def name(self) -> str:
        parts = ["x".join(map(str, self.source[1:]))]
        if self.kind == "CONV_2D" and self.filter is not None:
            parts.append(f"to {self.filter[0]}")
        if self.kind == "FULLY_CONNECTED" and self.filter is not None:
            parts.append(f"to {self.filter[0]}")
        if self.window != (1, 1):
            parts.append(f"{self.window[0]}x{self.window[1]}")
        if self.stride != 1:
            parts.append(f"stride {self.stride}")
        if self.dilation != 1:
            parts.append(f"dilation {self.dilation}")
        return " ".join(parts + ([] if self.same else ["valid"]))


def conv(size: int, channels: int, out: int, k: int = 1, **more: Any) -> Case:
    return Case("CONV_2D", (1, size, size, channels), (out, k, k, channels), (k, k), **more)


def depthwise(size: int, channels: int, k: int, **more: Any) -> Case:
    shape = (1, size, size, channels)
    return Case("DEPTHWISE_CONV_2D", shape, (1, k, k, channels), (k, k), **more)


def dense(depth: int, out: int) -> Case:
    return Case("FULLY_CONNECTED", (1, depth), (out, depth))


def sweep() -> Iterator[Case]:
    """Shapes as they occur in nets for microcontrollers, and what is odd about them."""
    yield from (conv(20, 16, 48), conv(20, 48, 16), conv(20, 64, 64), conv(10, 137, 24))
    yield from (conv(3, 96, 439), conv(20, 8, 47), conv(20, 5, 3), conv(20, 16, 32, stride=2))
    yield from (conv(32, 3, 16, 3, stride=2), conv(32, 16, 16, 3), conv(8, 64, 64, 3))
    yield from (conv(16, 32, 32, 3, same=False), conv(16, 16, 16, 3, dilation=2), conv(16, 1, 8, 5))
    yield from (depthwise(20, 48, 3), depthwise(20, 47, 3, stride=2), depthwise(32, 8, 3))
    yield from (depthwise(10, 118, 5), depthwise(5, 198, 7), depthwise(3, 439, 3))
    yield from (depthwise(20, 48, 3, same=False), depthwise(16, 16, 3, dilation=2))
    yield from (dense(640, 128), dense(128, 10), dense(8, 128))
    yield from (Case("ADD", (1, 16, 16, 16)), Case("MUL", (1, 16, 16, 16)))
    yield from (Case("MEAN", (1, 8, 8, 64)), Case("SOFTMAX", (1, 12)))
    yield from (Case("QUANTIZE", (1, 32, 32, 3)), Case("DEQUANTIZE", (1, 32, 32, 3)))
    yield Case("AVERAGE_POOL_2D", (1, 8, 8, 64), None, (8, 8), 8, same=False)
    yield Case("AVERAGE_POOL_2D", (1, 16, 16, 16), None, (3, 3))
    yield Case("MAX_POOL_2D", (1, 16, 16, 16), None, (2, 2), 2, same=False)


def padding(case: Case) -> tuple[opt.Padding, int]:
    """SAME or VALID padding of a square image, and the output's size."""
    size, reach = case.source[1], (case.window[0] - 1) * case.dilation + 1
    if not case.same:
        return opt.Padding(), (size - reach) // case.stride + 1
    out = -(-size // case.stride)
    total = max((out - 1) * case.stride + reach - size, 0)
    low, high = total // 2, total - total // 2
    return opt.Padding(low, high, low, high), out


def tensor(name: str, shape: Shape, scale: float, zero_point: int = 0) -> ir.Tensor:
    return ir.Tensor(name, shape, "int8", ir.Quantization.per_tensor(scale, zero_point))


def constants(case: Case, rng: np.random.Generator) -> tuple[ir.Tensor, ir.Tensor]:
    """Weights and biases, with one scale for each output channel but in fully connected ops."""
    assert case.filter is not None
    axis = 3 if case.kind == "DEPTHWISE_CONV_2D" else 0
    channels = case.filter[axis]
    count = 1 if case.kind == "FULLY_CONNECTED" else channels
    scale = rng.uniform(0.5, 2.0, count).astype(np.float32) / 128
    zeros = np.zeros(count, np.int64)
    values = rng.integers(-127, 128, case.filter, dtype=np.int8)
    bias = rng.integers(-3000, 3000, channels, dtype=np.int32)
    return (
        ir.Tensor("w", case.filter, "int8", ir.Quantization(scale, zeros, axis), values),
        ir.Tensor("b", (channels,), "int32", ir.Quantization(scale * 0.05, zeros), bias),
    )


def model(case: Case, seed: int = 0) -> tuple[bytes, int, int]:
    """The case as a `.tflite`, its multiply-accumulates and its output elements."""
    rng = np.random.default_rng(seed)
    source = tensor("x", case.source, 0.05, -128)
    weights = list(constants(case, rng)) if case.filter is not None else []
    inputs = (source, *weights)
    steps, stretch = (case.stride, case.stride), (case.dilation, case.dilation)
    result = case.source
    record: opt.Options | None = None
    if case.kind in ("CONV_2D", "DEPTHWISE_CONV_2D"):
        borders, size = padding(case)
        result = (1, size, size, weights[1].shape[0])
        record = opt.ConvOptions(steps, borders, stretch)
    elif case.kind == "FULLY_CONNECTED":
        result = (1, weights[1].shape[0])
        record = opt.FullyConnectedOptions()
    elif case.kind.endswith("POOL_2D"):
        borders, size = padding(case)
        result = (1, size, size, case.source[3])
        record = opt.PoolOptions(case.window, steps, borders)
    elif case.kind in ("ADD", "MUL"):
        inputs = (*inputs, tensor("y", case.source, 0.07, 3))
        record = opt.AddOptions() if case.kind == "ADD" else opt.MulOptions()
    elif case.kind == "MEAN":
        result = (1, case.source[3])
        inputs = (*inputs, ir.Tensor("axes", (2,), "int32", None, np.array([1, 2], np.int32)))
        record = opt.ReducerOptions(keep_dims=False)
    elif case.kind == "QUANTIZE":
        inputs = (ir.Tensor("x", case.source, "float32"),)
    elif case.kind == "SOFTMAX":
        record = opt.SoftmaxOptions(beta=1.0)
    output = tensor("out", result, *_output_scale(case))
    if case.kind == "DEQUANTIZE":
        output = ir.Tensor("out", result, "float32")
    op = ir.Op(case.kind, inputs, (output,), record)
    free = tuple(t for t in inputs if t.data is None)
    elements = int(np.prod(result))
    taps = int(np.prod(weights[0].shape)) // weights[1].shape[0] if weights else 0
    return graph.write(ir.Graph((op,), free, (output,))), elements * taps, elements


def _output_scale(case: Case) -> tuple[float, int]:
    if case.kind == "SOFTMAX":
        return 1 / 256, -128
    return (0.05, -128) if case.kind.endswith("POOL_2D") else (0.3, -10)


def row(case: Case, board: str) -> dict[str, Any]:
    data, macs, elements = model(case)
    result = tflm_opt.optimize(data, name="layer", board=board, vectors=2, verbose=0)
    with tempfile.TemporaryDirectory() as folder:
        result.save(Path(folder) / "out")
        measured = measure(Path(folder) / "out", board)
    units = macs or elements
    cost = measured["instructions"] / units
    return {
        "kind": case.kind,
        "layer": case.name,
        "unit": "mac" if macs else "output",
        "units": units,
        "instructions": measured["instructions"],
        "per_unit": round(cost, 2),
        "overhead": round(cost - ONE_PRODUCT, 2) if macs else None,
        "stack": measured["stack_worst_case"],
        "code": measured["flash"]["code"],
        "bit_exact": bool(result.bit_exact and measured["bit_exact"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--board", default="qemu_m4", help="an emulated board")
    parser.add_argument("--only", default="", help="only ops whose kind has this in its name")
    parser.add_argument("--json", action="store_true", help="print one JSON array")
    arguments = parser.parse_args()
    rows = [row(case, arguments.board) for case in sweep() if arguments.only in case.kind]
    print(json.dumps(rows, indent=2) if arguments.json else table(rows))


def table(rows: list[dict[str, Any]]) -> str:
    columns = list(rows[0]) if rows else []
    cells = [[_cell(line[column]) for column in columns] for line in rows]
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]

    def line(texts: list[str]) -> str:
        return "| " + " | ".join(t.ljust(w) for t, w in zip(texts, widths, strict=True)) + " |"

    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([line(columns), rule, *map(line, cells)])


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "NO"
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else str(value)


if __name__ == "__main__":
    main()
