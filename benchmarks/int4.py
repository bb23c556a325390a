"""What int4 weights cost and save: layers on an emulated board, and the choice for a flash budget.

    python benchmarks/int4.py [--board qemu_m4] [--json]   # layers: int8 beside int4
    python benchmarks/int4.py MODEL.tflite --below 30      # which layers: weights 30% below int8's

Layers have the scratch that makes them fastest; both of a pair give TFLM's bytes. `bytes` is what
weights take in flash. Of a model, harms are measured on seeded vectors: without data of your own
they are a guess.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kernel_cases import Case, conv, dense, depthwise, model
from kernels import inference, table

from tflm_opt import graph, mixed
from tflm_opt.quant import int4

# 3x3 maps of 96 to 440 channels are the largest layers of small nets.
CASES = (
    conv(20, 48, 16),
    conv(10, 64, 64),
    conv(10, 24, 137),
    conv(5, 48, 192),
    conv(5, 198, 40),
    conv(3, 96, 440),
    conv(3, 440, 96),
    conv(3, 288, 160),
    conv(10, 16, 16, 3),
    conv(10, 3, 16, 3),
    depthwise(10, 48, 3),
    depthwise(5, 200, 7),
    dense(160, 10),
    dense(640, 128),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", nargs="?", type=Path, help="a .tflite: show what is chosen")
    parser.add_argument("--below", type=float, default=30.0, help="percent of int8's weights")
    parser.add_argument("--board", default="qemu_m4", help="an emulated board")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    if options.model is not None:
        found = choice(options.model.read_bytes(), options.below)
        print(json.dumps(found.to_dict(), indent=2) if options.json else found)
        return 0
    rows = list(layer_rows(options.board))
    print(json.dumps(rows, indent=2) if options.json else table(rows))
    return int(not all(row["bit_exact"] for row in rows))


def choice(data: bytes, below: float) -> mixed.Mixed:
    """The layers whose int4 weights bring all weights so many percent below those of int8."""
    whole = sum(filters.nbytes for filters in int4.candidates(graph.read(data)))
    return mixed.choose(data, save=round(whole * below / 100))


def layer_rows(board: str) -> Iterator[dict[str, Any]]:
    for case in CASES:
        data, _, _ = model(case)
        wide = graph.read(data)
        (filters,) = int4.candidates(wide)
        narrow = int4.rewrite(wide, [filters])
        counts = [inference(d, board, None, target=board) for d in (data, graph.write(narrow))]
        yield row(case, counts, (filters.nbytes, mixed.int4_bytes(filters)))


def row(case: Case, counts: list[dict[str, Any]], sizes: tuple[int, int]) -> dict[str, Any]:
    before, after = counts
    return {
        "kind": case.kind,
        "layer": case.name,
        "bytes_int8": sizes[0],
        "bytes_int4": sizes[1],
        "instructions_int8": before["instructions"],
        "instructions_int4": after["instructions"],
        "ratio": round(after["instructions"] / before["instructions"], 3),
        "arena_int8": before["arena"],
        "arena_int4": after["arena"],
        "bit_exact": before["bit_exact"] and after["bit_exact"],
    }


if __name__ == "__main__":
    sys.exit(main())
