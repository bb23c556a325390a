"""Exports for stock TFLM built with TFLM, where its sources are given.

TFLM_OPT_TFLM_TREE     a tree that create_tflm_tree.py wrote with OPTIMIZED_KERNEL_DIR=cmsis_nn
TFLM_OPT_TFLM_LIBRARY  an archive of it for the Cortex-M4 of qemu_m4, with CMSIS-NN's headers: else
                       TFLM is compiled, which takes minutes
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from saved_model import run, saved

from tflm_opt import boards
from tflm_opt.export import export_saved, tflm_ops
from tflm_opt.export import tflm_structs as structs
from tflm_opt.export.tflm_structs import ARM, OTHER_32, Target

TREE = os.environ.get("TFLM_OPT_TFLM_TREE", "")
LIBRARY = os.environ.get("TFLM_OPT_TFLM_LIBRARY", "")
BOARD = boards.get("qemu_m4")
COMPILING = 3000  # seconds: TFLM is some 260 files of C++

pytestmark = pytest.mark.skipif(not TREE, reason="TFLM_OPT_TFLM_TREE names no tree of TFLM")

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


def test_tflm_has_every_op_under_our_name(tmp_path: Path) -> None:
    adds = "".join(f"  r.Add{tflm_ops.method(kind)}();\n" for kind in sorted(tflm_ops.KINDS))
    (tmp_path / "ops.cc").write_text(
        '#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"\n'
        f"void all() {{\n  tflite::MicroMutableOpResolver<128> r;\n{adds}}}\n"
    )
    run("arm-none-eabi-g++", *flags(), "-fsyntax-only", tmp_path / "ops.cc")


@pytest.mark.qemu
def test_it_runs_with_cmsis_nn(tmp_path: Path) -> None:
    """In the arena that the header gives for these kernels."""
    out = export_saved(saved(), "cmake", tmp_path / "p", runtime="tflm")
    words = [f"-DTFLM_DIR={TREE}", *([f"-DTFLM_LIBRARY={LIBRARY}"] if LIBRARY else [])]
    run("cmake", "--preset", BOARD.id, *words, cwd=out)
    run("cmake", "--build", "--preset", BOARD.id, "-j2", cwd=out, timeout=COMPILING)
    assert "PASS: 4 of 4 vectors" in run("ctest", "--preset", BOARD.id, cwd=out)


@pytest.mark.qemu
@pytest.mark.skipif(bool(LIBRARY), reason="an archive is built with one set of kernels")
def test_it_runs_with_our_kernels(tmp_path: Path) -> None:
    out = export_saved(saved(), "cmake", tmp_path / "p", runtime="tflm")
    run("cmake", "--preset", BOARD.id, f"-DTFLM_DIR={TREE}", "-DTFLM_OPT_KERNELS=ON", cwd=out)
    run("cmake", "--build", "--preset", BOARD.id, "-j2", cwd=out, timeout=COMPILING)
    assert "PASS: 4 of 4 vectors" in run("ctest", "--preset", BOARD.id, cwd=out)
