"""Flash and stack as a search estimates them, against compiled models.

    python benchmarks/nas_footprint.py [--board qemu_m4] [--json]     the errors, net by net
    python benchmarks/nas_footprint.py --write                        tflm_opt/nas/footprint.toml

What is written holds, for every core with a compiler: the parts of the kernel library (what the
linker keeps together) with their bytes, which parts each kernel needs and the stack it takes, both
read from the kernel linked alone; and a least squares fit of the code that models have of their
own. The nets that are compared are others than those of the fit. Weights are random (`nas.lower`).
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tflm_opt import arena, boards, codegen
from tflm_opt.arena import Plan
from tflm_opt.boards import Board
from tflm_opt.errors import MissingTool
from tflm_opt.furnish import Furnishing
from tflm_opt.graph import Graph
from tflm_opt.kernels import table
from tflm_opt.nas import footprint as nas
from tflm_opt.nas import zoo
from tflm_opt.nas.lower import lower
from tflm_opt.nas.net import Layer, Net
from tflm_opt.patch_split.schedule import layer_by_layer
from tflm_opt.runtime import elf, firmware, machine
from tflm_opt.runtime.stack import worst_case

CORES = ("qemu_m0plus", "qemu_m3", "qemu_m4", "qemu_m7", "nucleo_u575zi_q", "qemu_m55", "qemu_rv32")
Case = tuple[Graph, Plan]


def squeezed(size: int, width: int) -> Net:
    """A net with squeeze-and-excitation and hard swishes."""
    layers = [Layer("image", "input", shape=(size, size, 3))]
    last = "image"

    def put(name: str, kind: str, *inputs: str, **more: Any) -> str:
        layers.append(Layer(name, kind, inputs or (last,), **more))
        return name

    pairs = {"kernel": (3, 3), "norm": True, "activation": "hard_swish"}
    last = put("stem", "conv", filters=width, strides=(2, 2), **pairs)
    for block in range(3):
        start = last
        last = put(f"deep{block}", "depthwise", **pairs)
        gate = put(f"squeeze{block}", "global_pool", last, keep=True)
        gate = put(f"reduce{block}", "conv", gate, filters=width // 2, activation="relu")
        gate = put(f"excite{block}", "conv", gate, filters=width, activation="sigmoid")
        last = put(f"gated{block}", "multiply", last, gate)
        last = put(f"linear{block}", "conv", filters=width, norm=True)
        last = put(f"sum{block}", "add", start, last)
    last = put("pool", "global_pool")
    put("scores", "dense", filters=6, activation="softmax")
    return Net(tuple(layers))


def signal(length: int, width: int) -> Net:
    """Convolutions over time."""
    layers = [Layer("image", "input", shape=(length, 1, 3))]
    for block in range(3):
        before, more = layers[-1].name, {"norm": True, "activation": "relu"}
        layers.append(Layer(f"c{block}", "conv", (before,), width << block, (5, 1), (2, 1), **more))
        layers.append(Layer(f"p{block}", "max_pool", (f"c{block}",), 0, (2, 1), (2, 1)))
    layers.append(Layer("pool", "global_pool", (layers[-1].name,)))
    layers.append(Layer("scores", "dense", ("pool",), 5, activation="softmax"))
    return Net(tuple(layers))


def two_paths(size: int, width: int) -> Net:
    """Concatenated branches, pools, a dense layer on all pixels."""
    more: dict[str, Any] = {"norm": True, "activation": "relu"}
    return Net(
        (
            Layer("image", "input", shape=(size, size, 1)),
            Layer("stem", "conv", ("image",), width, (3, 3), (2, 2), **more),
            Layer("a", "conv", ("stem",), width, (3, 3), **more),
            Layer("b", "conv", ("stem",), width, (1, 1), **more),
            Layer("both", "concat", ("a", "b")),
            Layer("most", "max_pool", ("both",), 0, (2, 2), (2, 2)),
            Layer("c", "conv", ("most",), 2 * width, (3, 3), padding="valid", **more),
            Layer("mid", "average_pool", ("c",), 0, (2, 2), (2, 2)),
            Layer("vector", "flatten", ("mid",)),
            Layer("hidden", "dense", ("vector",), 32, norm=True, activation="relu"),
            Layer("scores", "dense", ("hidden",), 10, activation="softmax"),
        )
    )


FITTED: Mapping[str, Net] = {
    "DS-CNN": zoo.mlperf_tiny_kws(),
    "ResNet-8": zoo.mlperf_tiny_ic(),
    "autoencoder": zoo.mlperf_tiny_ad(),
    "MobileNetV2 0.35, 32": zoo.mobilenet_v2(0.35, 32, 10, head=64),
    "MobileNetV1 0.25, 48": zoo.mobilenet_v1(0.25, 48, 4),
    "squeezed 24": squeezed(24, 16),
    "signal 64": signal(64, 8),
    "two paths 20": two_paths(20, 8),
}
COMPARED: Mapping[str, Net] = {
    "MobileNetV1 0.25, 96": zoo.mlperf_tiny_vww(),
    "MobileNetV1 0.5, 64, gray": zoo.mobilenet_v1(0.5, 64, 10, channels=1),
    "MobileNetV2 0.35, 64": zoo.mobilenet_v2(0.35, 64, 2),
    "MobileNetV2 0.5, 48": zoo.mobilenet_v2(0.5, 48, 10, head=128),
    "MobileNetV2 0.1, 96": zoo.mobilenet_v2(0.1, 96, 2, head=64),
    "MCUNet vww1": zoo.mcunet_vww1(),
    "DS-CNN, 4 words": zoo.mlperf_tiny_kws(4),
    "ResNet-8, 100 classes": zoo.mlperf_tiny_ic(100),
    "autoencoder 320": zoo.mlperf_tiny_ad(320),
    "squeezed 40": squeezed(40, 24),
    "signal 128": signal(128, 16),
    "two paths 33": two_paths(33, 12),
    "two paths 16": two_paths(16, 4),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--board", default="qemu_m4")
    parser.add_argument("--write", action="store_true", help="measure all cores: the table")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    if arguments.write:
        write()
        return
    rows = []
    for name, net in COMPARED.items():
        for row in compared(name, net, arguments.board):
            rows.append(row)
            if not arguments.json:
                show(row)
    if arguments.json:
        print(json.dumps({"board": arguments.board, "rows": rows}, indent=1))
        return
    errors = [abs(row["flash_error"]) for row in rows]
    stacks = [abs(row["stack_estimated"] - row["stack"]) for row in rows]
    print(f"flash: median {statistics.median(errors):.2%}, most {max(errors):.2%}")
    print(f"stack: median {statistics.median(stacks):.0f} bytes, most {max(stacks):.0f}")


def show(row: Mapping[str, Any]) -> None:
    print(
        f"{row['net']:26} {row['schedule']:8} flash {row['flash']:>9,} "
        f"estimated {row['flash_estimated']:>9,} {row['flash_error']:+7.2%}  "
        f"stack {row['stack']:>5} estimated {row['stack_estimated']:>5}",
        flush=True,
    )


def compared(name: str, net: Net, board_id: str) -> Iterable[dict[str, Any]]:
    """Layer by layer and the least memory that isn't too slow: estimated, and as compiled."""
    board = boards.get(board_id)
    for how, (graph, plan) in cases(net, board).items():
        known = plan.scratch if how == "layers" else None  # else as a search knows it
        guess = nas.footprint(graph, plan.schedule, board, known)
        sizes, stack = built(graph, plan, board)
        yield {
            "net": name,
            "schedule": how,
            "flash": sizes.flash,
            "flash_estimated": guess.flash,
            "flash_error": guess.flash / sizes.flash - 1,
            "stack": stack,
            "stack_estimated": guess.stack,
        }


def cases(net: Net, board: Board, *, streamed: bool = False) -> dict[str, Case]:
    """Schedules of a net, planned: layer by layer; the smallest; what `optimize` takes."""
    graph = lower(net)
    whole = arena.plan(graph, layer_by_layer(graph), scratch=codegen.scratch, access=codegen.access)
    found: dict[str, Case] = {"layers": (graph, whole)}
    inputs = ("resident", "streamed") if streamed and net.input_shape[0] > 1 else ("resident",)
    for input in inputs:
        runs = Furnishing(graph, table.pace_of(board.core), input=input, slowdown=1.3)
        points = runs.found()
        found[input] = (points.chosen.graph, points.chosen.plan)
        if streamed:
            least = min(points.front, key=lambda point: point.peak)
            found[f"{input}, least"] = (least.graph, least.plan)
    return found


def built(graph: Graph, plan: Plan, board: Board) -> tuple[firmware.Sizes, int]:
    """Sizes and worst-case stack of a compiled model."""
    sources = codegen.generate(graph, plan, name="model")
    with tempfile.TemporaryDirectory(prefix="tflm_opt_") as folder:
        codegen.write(sources, f"{folder}/model")
        alone = firmware.build_model(f"{folder}/model", board, f"{folder}/build")
    return alone.sizes, alone.stack.size or 0


def write() -> None:
    """Measure every core that has a compiler here, and write the table whole."""
    board = boards.get("qemu_m4")
    planned = {name: cases(net, board, streamed=True) for name, net in FITTED.items()}
    text = (
        "# What kernels and generated code take, by core, in bytes. Made by\n"
        "#     python benchmarks/nas_footprint.py --write\n"
        "# parts: [code, constants] of what the linker keeps together; kernels: the parts each\n"
        "# needs, and its stack; code, constants: of a model's own, fitted; frames: of `invoke`.\n"
    )
    for board in map(boards.get, CORES):
        try:
            text += core_text(board, planned)
        except MissingTool as error:
            sys.exit(f"nothing was written: {board.core} has no compiler here ({error})")
    nas.TABLE.write_text(text, encoding="utf-8")
    print(f"wrote {nas.TABLE.name}, {len(text):,} bytes")


def core_text(board: Board, models: Mapping[str, Case]) -> str:
    """One core's section of the table."""
    kernels = measured_kernels(board)
    parts, needs = parted({name: one[0] for name, one in kernels.items()})
    core: dict[str, Any] = {
        "parts": parts,
        "kernels": {
            name: {"stack": stack, "parts": needs[name]} for name, (_, stack) in kernels.items()
        },
    }
    core.update(fitted(board, core, models))
    return section(board.core, core)


def section(name: str, core: Mapping[str, Any]) -> str:
    """A core's figures as TOML."""
    parts = core["parts"]
    lines = [f"\n[{name}]", "parts = ["]
    for first in range(0, len(parts), 8):
        lines.append("    " + " ".join(f"[{a}, {b}]," for a, b in parts[first : first + 8]))
    lines.append("]")
    for title in ("code", "constants", "frames"):
        pairs = ", ".join(f"{name} = {value:g}" for name, value in core[title].items())
        lines.append(f"{title} = {{ {pairs} }}")
    lines.append(f"\n[{name}.kernels]")
    for kernel, one in core["kernels"].items():
        lines.append(f"{kernel} = {{ stack = {one['stack']}, parts = {one['parts']} }}")
    return "\n".join(lines) + "\n"


Symbols = Counter  # of (name, code, constants)


def measured_kernels(board: Board) -> dict[str, tuple[Symbols, int]]:
    """Of every kernel linked alone, what is left of the library, and its worst-case stack."""
    graph = lower(Net((Layer("i", "input", shape=(4, 4, 4)), Layer("c", "conv", ("i",), 4))))
    plan = arena.plan(graph, layer_by_layer(graph), scratch=codegen.scratch, access=codegen.access)
    sources = codegen.generate(graph, plan, name="model")
    names = sorted(name for name, row in table.kernels().items() if row.engine)
    sources = replace(sources, kernels=tuple(names))
    found = {}
    with tempfile.TemporaryDirectory(prefix="tflm_opt_") as folder:
        codegen.write(sources, f"{folder}/model")
        alone = firmware.build_model(f"{folder}/model", board, f"{folder}/build")
        objects = [str(path) for path in alone.objects]
        usage = [Path(path).with_suffix(".su") for path in objects]
        texts = [path.read_text("utf-8") for path in usage if path.exists()]
        for name, root in roots(names, board, Path(folder)).items():
            target = Path(folder) / "kernel.elf"
            if not linked(root, objects, board, target):
                continue  # this core's tier has no such kernel
            disassembly = output(board, "objdump", "-d", "--no-show-raw-insn", str(target))
            stack = worst_case(root, disassembly, texts).size or 0
            found[name] = (symbols(board, target), stack)
    return found


def roots(names: list[str], board: Board, folder: Path) -> dict[str, str]:
    """What the tier's macros make of kernels' names."""
    source = folder / "names.c"
    source.write_text(
        '#include "tflm_opt_tier.h"\n' + "".join(f"{name} {name}_\n" for name in names)
    )
    text = output(board, "gcc", *board.flags, f"-I{table.INCLUDE}", "-E", "-P", str(source))
    pairs = [line.split() for line in text.splitlines() if line.endswith("_")]
    return {name: root for root, other in pairs for name in names if f"{name}_" == other}


def linked(name: str, objects: list[str], board: Board, target: Path) -> bool:
    command = [
        *(machine.compiler(board=board), *board.flags, *machine.LINK_FLAGS),
        *(*machine.alone_flags(board), f"-Wl,--undefined={name}", "-Wl,--entry=0"),
        *(*objects, "-lm", "-o", str(target)),
    ]
    target.unlink(missing_ok=True)
    subprocess.run(command, check=True, capture_output=True)
    return name in elf.symbols(target)


def output(board: Board, tool: str, *arguments: str) -> str:
    command = [machine.compiler(tool, board), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def symbols(board: Board, path: Path) -> Symbols:
    """Functions and constants that are left, with their bytes; the rest counts as one of them."""
    counts: Symbols = Counter()
    sums = [0, 0]
    for line in output(board, "nm", "-S", str(path)).splitlines():
        fields = line.split()
        if len(fields) != 4 or fields[2] not in "tTwWrRvV":
            continue
        size, constant = int(fields[1], 16), fields[2] in "rRvV"
        size = -(-size // 4) * 4
        sums[constant] += size
        counts[(fields[3].split(".")[0], *((0, size) if constant else (size, 0)))] += 1
    sections = elf.sections(path)
    rest = (max(sections.code - sums[0], 0), max(sections.constants - sums[1], 0))
    if max(rest) > 0:
        counts[(f"rest of {sorted(counts)[0][0]}", *rest)] += 1
    return counts


def parted(kernels: Mapping[str, Symbols]) -> tuple[list[list[int]], dict[str, list[int]]]:
    """Symbols that the same kernels need make one part: the parts' bytes, and each kernel's."""
    readers: dict[tuple[Any, int], list[str]] = {}
    for name, counts in kernels.items():
        for symbol, times in counts.items():
            for number in range(times):
                readers.setdefault((symbol, number), []).append(name)
    groups: dict[tuple[str, ...], list[int]] = {}
    for ((_, code, constants), _), names in readers.items():
        part = groups.setdefault(tuple(names), [0, 0])
        part[0] += code
        part[1] += constants
    needs: dict[str, list[int]] = {name: [] for name in kernels}
    for place, names in enumerate(groups):
        for name in names:
            needs[name].append(place)
    return list(groups.values()), needs


def fitted(board: Board, core: Mapping[str, Any], models: Mapping[str, Case]) -> dict[str, Any]:
    """What models take beside kernels and constants, by what they consist of."""
    pace = table.pace_of(board.core)
    rows, code, constants = [], [], []
    frames: dict[str, list[int]] = {kind: [] for kind in nas.KINDS}
    for graph, plan in models.values():
        uses = nas.Uses.of(plan.schedule, pace, plan.scratch)
        sizes, stack = built(graph, plan, board)
        text, rodata = nas.kernel_bytes(core, uses.functions)
        rows.append([uses.features[name] for name in nas.FEATURES])
        code.append(sizes.code - text)
        constants.append(sizes.weights - rodata - uses.constants)
        frames[uses.kind].append(stack - nas.deepest(core, uses.functions))
    found: dict[str, Any] = {}
    for title, values in (("code", code), ("constants", constants)):
        weights, *_ = np.linalg.lstsq(np.array(rows, float), np.array(values, float), rcond=None)
        found[title] = {
            name: round(float(one), 1) for name, one in zip(nas.FEATURES, weights, strict=True)
        }
        off = np.array(rows) @ weights - np.array(values)
        worst = list(models)[int(np.abs(off).argmax())]
        print(
            f"{board.core} {title}: off by {np.abs(off).mean():.0f} bytes, at most "
            f"{np.abs(off).max():.0f} ({worst})",
            flush=True,
        )
    most = max((value for values in frames.values() for value in values), default=0)
    found["frames"] = {
        kind: round(statistics.median(values)) if values else most
        for kind, values in frames.items()
    }
    return found


if __name__ == "__main__":
    main()
