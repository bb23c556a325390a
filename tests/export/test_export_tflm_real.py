"""Exports for stock TFLM built with TFLM, where its sources are given.

TFLM_OPT_TFLM_TREE     a tree that create_tflm_tree.py wrote with OPTIMIZED_KERNEL_DIR=cmsis_nn
TFLM_OPT_TFLM_LIBRARY  an archive of it for the Cortex-M4 of qemu_m4, with CMSIS-NN's headers: else
                       TFLM is compiled, which takes minutes
TFLM_OPT_TFLM_ARDUINO  the Arduino library that TFLM comes in (`tflm.LIBRARY`), unpacked; of these
                       tests, `test_the_arduino_sketch_runs` alone needs it, and needs no tree
"""

from __future__ import annotations

import os
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from arduino_core import ARDUINO, SKETCH
from saved_model import run, saved

from tflm_opt import boards
from tflm_opt.export import export_saved, tflm_ops
from tflm_opt.export import tflm_structs as structs
from tflm_opt.export.tflm_structs import ARM, OTHER_32, Target
from tflm_opt.runtime import machine

TREE = os.environ.get("TFLM_OPT_TFLM_TREE", "")
LIBRARY = os.environ.get("TFLM_OPT_TFLM_LIBRARY", "")
BOARD = boards.get("qemu_m4")
COMPILING = 3000  # seconds: TFLM is some 260 files of C++

ARDUINO_LIBRARY = os.environ.get("TFLM_OPT_TFLM_ARDUINO", "")
needs_tree = pytest.mark.skipif(not TREE, reason="TFLM_OPT_TFLM_TREE names no tree of TFLM")

RECORDS = {
    "SingleArenaBufferAllocator": structs.ALLOCATOR,
    "GreedyMemoryPlanner": structs.PLANNER,
    "MicroAllocator": structs.MICRO_ALLOCATOR,
    "SubgraphAllocations": structs.SUBGRAPH,
    "TfLiteEvalTensor": structs.EVAL_TENSOR,
    "NodeAndRegistration": structs.NODE,
    "TfLiteTensor": structs.TENSOR,
    "TfLiteAffineQuantization": structs.QUANTIZATION,
    "ScratchBufferHandle": structs.HANDLE,
    "internal::ScratchBufferRequest": structs.REQUEST,
    "AllocationInfo": structs.ALLOCATION,
}
_RECORD_OF = {  # where it isn't the op's name in TFLM
    "AVERAGE_POOL_2D": "Pool",
    "CONV_2D": "Conv",
    "DEPTHWISE_CONV_2D": "DepthwiseConv",
    "L2_NORMALIZATION": "L2Norm",
    "MAX_POOL_2D": "Pool",
    "MIRROR_PAD": "MirrorPadding",
    **dict.fromkeys(("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN"), "Reducer"),
}


def flags() -> list[str | Path]:
    third = Path(TREE) / "third_party"
    folders = [Path(TREE), third / "flatbuffers" / "include", third / "gemmlowp", third / "ruy"]
    words = ["-std=c++17", "-w", "-fno-exceptions", "-fno-rtti", "-fno-threadsafe-statics"]
    words += ["-DTF_LITE_STATIC_MEMORY", "-DCMSIS_NN", *BOARD.flags]
    return [*words, *(f"-I{folder}" for folder in folders)]


@needs_tree
@pytest.mark.parametrize(("target", "more"), [(ARM, ()), (OTHER_32, ("-fno-short-enums",))])
def test_records_are_as_large_as_we_say(
    target: Target, more: tuple[str, ...], tmp_path: Path
) -> None:
    sizes = {name: target.layout(fields) for name, fields in RECORDS.items()}
    for kind, fields in structs.OPTIONS.items():
        record = _RECORD_OF.get(kind, tflm_ops.method(kind))
        sizes[f"TfLite{record}Params"] = target.layout(fields)
    text = "".join(
        f'static_assert(sizeof({name}) == {size} && alignof({name}) == {alignment}, "{name}");\n'
        for name, (size, alignment) in sizes.items()
    )
    includes = (
        "micro_interpreter",
        "micro_allocation_info",
        "memory_planner/greedy_memory_planner",
    )
    (tmp_path / "sizes.cc").write_text(
        "".join(f'#include "tensorflow/lite/micro/{name}.h"\n' for name in includes)
        + '#include "tensorflow/lite/c/builtin_op_data.h"\n'
        + f"using namespace tflite;\n{text}"
    )
    run("arm-none-eabi-g++", *flags(), *more, "-fsyntax-only", tmp_path / "sizes.cc")


@needs_tree
def test_tflm_has_every_op_under_our_name(tmp_path: Path) -> None:
    adds = "".join(f"  r.Add{tflm_ops.method(kind)}();\n" for kind in sorted(tflm_ops.KINDS))
    (tmp_path / "ops.cc").write_text(
        '#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"\n'
        f"void all() {{\n  tflite::MicroMutableOpResolver<128> r;\n{adds}}}\n"
    )
    run("arm-none-eabi-g++", *flags(), "-fsyntax-only", tmp_path / "ops.cc")


@needs_tree
@pytest.mark.qemu
def test_it_runs_with_cmsis_nn(tmp_path: Path) -> None:
    """In the arena that the header gives for these kernels."""
    out = export_saved(saved(), "cmake", tmp_path / "p", runtime="tflm")
    words = [f"-DTFLM_DIR={TREE}", *([f"-DTFLM_LIBRARY={LIBRARY}"] if LIBRARY else [])]
    run("cmake", "--preset", BOARD.id, *words, cwd=out)
    run("cmake", "--build", "--preset", BOARD.id, "-j2", cwd=out, timeout=COMPILING)
    assert "PASS: 4 of 4 vectors" in run("ctest", "--preset", BOARD.id, cwd=out)


@needs_tree
@pytest.mark.qemu
@pytest.mark.skipif(bool(LIBRARY), reason="an archive is built with one set of kernels")
def test_it_runs_with_our_kernels(tmp_path: Path) -> None:
    out = export_saved(saved(), "cmake", tmp_path / "p", runtime="tflm")
    run("cmake", "--preset", BOARD.id, f"-DTFLM_DIR={TREE}", "-DTFLM_OPT_KERNELS=ON", cwd=out)
    run("cmake", "--build", "--preset", BOARD.id, "-j2", cwd=out, timeout=COMPILING)
    assert "PASS: 4 of 4 vectors" in run("ctest", "--preset", BOARD.id, cwd=out)


# What the library's parts for boards would be: the rest of it is compiled as it is.
PARTS = """
#include <stdint.h>
extern "C" void DebugLog(const char *) {}
namespace tflite {
uint32_t ticks_per_second() { return 0; }
uint32_t GetCurrentTimeTicks() { return 0; }
}
"""
_NOT_FOR_US = (
    "test_helper",
    "mock_",
    "fake_",
    "system_setup",
    "micro_time",
    "debug_log",
    "kernel_runner",
)


_REGISTERS = re.compile(r"^TfLiteRegistration\*? Register_(\w+)\(\)", re.MULTILINE)


def _is_for_other_ops(source: Path, methods: set[str]) -> bool:
    """Whether a file has ops' kernels, and none that is used: the linker would leave it out."""
    kinds = _REGISTERS.findall(source.read_text("utf-8"))
    return bool(kinds) and not methods & set(map(tflm_ops.method, kinds))


def _compile(compiler: list[str], sources: list[Path], build: Path) -> list[Path]:
    """Their objects, from as many compilers at once as there are processors."""
    build.mkdir()
    objects = [build / f"{number}_{source.stem}.o" for number, source in enumerate(sources)]

    def one(source: Path, target: Path) -> None:
        run(*compiler, "-c", source, "-o", target, timeout=COMPILING)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(one, sources, objects))
    return objects


@pytest.mark.qemu
@pytest.mark.skipif(not ARDUINO_LIBRARY, reason="TFLM_OPT_TFLM_ARDUINO names no library")
def test_the_arduino_sketch_runs(tmp_path: Path) -> None:
    """The sketch, our library and TFLM's (its kernels are CMSIS-NN's), as the IDE compiles them."""
    out = export_saved(saved(), "arduino", tmp_path / "p", runtime="tflm")
    library, sketch = Path(ARDUINO_LIBRARY) / "src", out / "examples" / "self_test"
    stand_in = tmp_path / "core"
    stand_in.mkdir()
    (stand_in / "Arduino.h").write_text(ARDUINO)
    (stand_in / "Wire.h").write_text("")
    (stand_in / "sketch.cpp").write_text(SKETCH + PARTS)
    (stand_in / "board.ld").write_text(machine.linker_script(BOARD))
    found = [p for p in library.rglob("*.c*") if not p.name.startswith(_NOT_FOR_US)]
    skipped = ("peripherals", "experimental", "kissfft", "signal")
    found = [p for p in found if not set(skipped) & set(p.relative_to(library).parts)]
    methods = set(re.findall(r"\.Add(\w+)\(", (out / "src" / "small.cpp").read_text("utf-8")))
    assert "Conv2D" in methods
    found = [p for p in found if not _is_for_other_ops(p, methods)]
    c = [p for p in found if p.suffix == ".c"] + [*out.glob("src/*.c"), *sketch.glob("*.c")]
    cpp = [p for p in found if p.suffix != ".c"] + [out / "src" / "small.cpp"]
    folders = (stand_in, machine.CORE, library, out / "src", sketch)
    flags = [*BOARD.flags, "-Os", "-w", "-DARDUINO=10819", "-ffunction-sections", "-fdata-sections"]
    flags += [*(f"-D{macro}" for macro in machine.defines(BOARD)), *(f"-I{f}" for f in folders)]
    cxx = ["arm-none-eabi-g++", *flags, "-std=gnu++17", "-fno-exceptions", "-fno-rtti"]
    cxx += ["-fno-threadsafe-statics"]
    objects = _compile(cxx, [*cpp, stand_in / "sketch.cpp"], tmp_path / "cxx")
    c += sorted(machine.CORE.glob("*.c"))
    objects += _compile(["arm-none-eabi-gcc", *flags], c, tmp_path / "c")
    script = f"-T{stand_in / 'board.ld'}"
    run(*cxx, *objects, *machine.LINK_FLAGS, script, "-lm", "-o", tmp_path / "sketch.elf")
    said = run("qemu-system-arm", *machine.arguments(BOARD), "-kernel", tmp_path / "sketch.elf")
    assert said.startswith("PASS, microseconds per inference: ")
