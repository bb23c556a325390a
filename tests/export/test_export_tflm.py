"""Exports for stock TFLM: what is generated, without TFLM's sources; a stub stands in for them."""

from __future__ import annotations

import ast
import configparser
import dataclasses
import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from arduino_core import ARDUINO, SKETCH
from saved_model import LABELS, files, run, saved

from tflm_opt import boards, cli, graph
from tflm_opt.errors import TflmOptError, UnsupportedModel
from tflm_opt.export import KINDS, export_saved, package, tflm, tflm_ops
from tflm_opt.graph.optable import OPS
from tflm_opt.kernels import table

STOCK = [kind for kind, row in KINDS.items() if "tflm" in row.runtimes]
WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The four exports of one model, each in a folder of its kind's name."""
    root = tmp_path_factory.mktemp("stock")
    for kind in STOCK:
        export_saved(saved(), kind, root / kind, runtime="tflm", labels=LABELS, name="digits")
    return root


def test_kinds_for_the_engine_alone_say_so(tmp_path: Path) -> None:
    with pytest.raises(TflmOptError, match="edge-impulse export is for the engine alone"):
        export_saved(saved(), "edge-impulse", tmp_path / "out", runtime="tflm")
    assert not list(tmp_path.iterdir())


SOURCES = {"cmake": "", "c": "", "arduino": "", "platformio": "lib/digits"}


@pytest.mark.parametrize("kind", sorted(STOCK))
def test_the_array_is_the_file(kind: str, exported: Path) -> None:
    text = (exported / kind / SOURCES[kind] / "src" / "digits_tflite.c").read_text()
    body = text[text.index("= {") + 3 : text.rindex("}")]
    assert bytes(map(int, body.replace("\n", "").strip(" ,").split(","))) == _file()
    assert "aligned(16)" in text
    header = (exported / kind / SOURCES[kind] / "src" / "digits_tflite.h").read_text("utf-8")
    assert f"DIGITS_TFLITE_SIZE {len(_file())}\n" in header


def _file() -> bytes:
    return (saved() / "model.tflite").read_bytes()


@pytest.mark.parametrize("kind", sorted(STOCK))
def test_the_resolver_has_the_model_s_ops_and_no_others(kind: str, exported: Path) -> None:
    text = (exported / kind / SOURCES[kind] / "src" / "digits.cpp").read_text()
    added = re.findall(r"ops\.Add(\w+)\(\)", text)
    wanted = {tflm_ops.method(op.kind) for op in graph.read(_file()).ops}
    assert sorted(added) == sorted(wanted)
    assert f"MicroMutableOpResolver<{len(wanted)}>" in text


def test_every_op_of_the_table_has_a_name_in_tflm() -> None:
    assert set(OPS) <= tflm_ops.KINDS
    names = [tflm_ops.method(kind) for kind in tflm_ops.KINDS]
    assert len(set(names)) == len(names)
    odd = {"RESIZE_NEAREST_NEIGHBOR": "ResizeNearestNeighbor", "L2_POOL_2D": "L2Pool2D"}
    odd |= {"SPACE_TO_BATCH_ND": "SpaceToBatchNd", "REVERSE_V2": "ReverseV2", "SPLIT_V": "SplitV"}
    assert {kind: tflm_ops.method(kind) for kind in odd} == odd


def test_an_op_that_stock_tflm_lacks() -> None:
    with pytest.raises(UnsupportedModel, match=r"GELU: stock TFLM has no such op.*engine"):
        tflm_ops.methods(["ADD", "GELU"])


# ---- the functions, over a stub of TFLM -------------------------------------------------------

# Each input byte plus one is an output byte; an arena below 2000 bytes is too small.
STUB = {
    "tensorflow/lite/schema/schema_generated.h": """\
#pragma once
#define TFLITE_SCHEMA_VERSION (3)
namespace tflite {
struct Model { unsigned version() const { return 3; } };
inline const Model *GetModel(const void *data) { return static_cast<const Model *>(data); }
}
""",
    "tensorflow/lite/micro/micro_mutable_op_resolver.h": """\
#pragma once
enum TfLiteStatus { kTfLiteOk, kTfLiteError };
extern int refused, added;
namespace tflite {
struct MicroOpResolver { virtual ~MicroOpResolver() {} };
template <unsigned N> struct MicroMutableOpResolver : MicroOpResolver {
  TfLiteStatus add() { return ++added > static_cast<int>(N) || refused ? kTfLiteError : kTfLiteOk; }
@ADDS@};
}
""",
    "tensorflow/lite/micro/micro_interpreter.h": """\
#pragma once
#include <cstddef>
#include <cstdint>
#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
#include "tensorflow/lite/schema/schema_generated.h"
struct TfLiteTensor { union { void *data; } data; };
namespace tflite {
struct MicroInterpreter {
  MicroInterpreter(const Model *, const MicroOpResolver &, uint8_t *arena, size_t size)
      : bytes(size) { in.data.data = arena; out.data.data = arena + 512; }
  TfLiteStatus AllocateTensors() { return bytes < 2000 ? kTfLiteError : kTfLiteOk; }
  TfLiteStatus Invoke() {
    for (int i = 0; i < 10; i++)
      static_cast<uint8_t *>(out.data.data)[i] =
          static_cast<uint8_t>(static_cast<uint8_t *>(in.data.data)[i] + 1);
    return kTfLiteOk;
  }
  TfLiteTensor *input(size_t) { return &in; }
  TfLiteTensor *output(size_t) { return &out; }
  size_t arena_used_bytes() const { return 1234; }
  size_t bytes; TfLiteTensor in, out;
};
}
""",
}
USE = """\
#include "digits.h"
#include <stdio.h>
#include <string.h>
int refused, added;
int main(void)
{
    int8_t image[DIGITS_INPUT0_SIZE];
    memset(image, 6, sizeof image);
    if (digits_input(0) || digits_output(0) || !digits_invoke() || digits_arena_used()) return 1;
    refused = 1;
    if (digits_init() != 1 || digits_input(0)) return 2;
    refused = 0;
    added = 0;
    if (digits_init() != EXPECTED) return 3;
    if (EXPECTED) return digits_input(0) != NULL;
    if (digits_init()) return 4; /* again: the ops are there, and are not added twice */
    if (digits_input(1) || digits_input(-1) || digits_output(1)) return 5;
    memcpy(digits_input(0), image, sizeof image);
    if (digits_invoke() || *(const int8_t *)digits_output(0) != 7) return 6;
    return digits_arena_used() != 1234;
}
"""


def stub(folder: Path) -> None:
    """Write the headers of a TFLM that runs nothing, and that of its Arduino library."""
    adds = "".join(
        f"  TfLiteStatus Add{tflm_ops.method(kind)}() {{ return add(); }}\n"
        for kind in sorted(tflm_ops.KINDS)
    )
    for place, text in STUB.items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_text(text.replace("@ADDS@", adds))
    (folder / tflm.LIBRARY["header"]).write_text("#define FOUND 1\n")


@pytest.mark.parametrize("small", [False, True])
def test_functions_work_over_an_interpreter(small: bool, exported: Path, tmp_path: Path) -> None:
    stub(tmp_path)
    project = exported / "c"
    (tmp_path / "main.c").write_text(USE)
    flags = [f"-I{tmp_path}", f"-I{project / 'include'}", *WARNINGS, "-O1"]
    if small:
        flags.append("-DDIGITS_ARENA_SIZE=1999")
    run("g++", "-std=c++17", *flags, "-c", project / "src" / "digits.cpp", "-o", tmp_path / "a.o")
    array = project / "src" / "digits_tflite.c"
    run("gcc", "-std=c99", *flags, "-c", array, "-o", tmp_path / "b.o")
    main = ["-x", "c", f"-DEXPECTED={2 if small else 0}", tmp_path / "main.c"]
    run("gcc", "-std=c99", *flags, "-c", *main, "-o", tmp_path / "main.o")
    run("g++", tmp_path / "main.o", tmp_path / "a.o", tmp_path / "b.o", "-o", tmp_path / "main")
    run(tmp_path / "main")
    # As the Arduino IDE does it: the library's own header goes first.
    check = ["-include", "digits.cpp", "-x", "c++", tmp_path / "found.cpp"]
    (tmp_path / "found.cpp").write_text('static_assert(FOUND == 1, "");\n')
    source = exported / "arduino" / "src"
    run("g++", "-std=c++17", "-DARDUINO=10819", *flags, f"-I{source}", "-fsyntax-only", *check)


@pytest.mark.parametrize("wrong", [0, 1])
def test_the_arduino_sketch_runs(wrong: int, tmp_path: Path) -> None:
    """Over the stub, whose outputs are its inputs plus one: PASS, and FAIL where one isn't."""
    with package.open_saved(saved()) as found:
        vectors = [
            (given, [given[0].reshape(1, -1)[:, :10] + np.int8(1 + wrong)])
            for given, _ in found.vectors
        ]
        shown = dataclasses.replace(found, vectors=tuple(vectors))
        (tmp_path / "p").mkdir()
        tflm.fill("arduino", shown, tmp_path / "p")
    stub(tmp_path)
    (tmp_path / "Arduino.h").write_text(ARDUINO)
    (tmp_path / "sketch.cpp").write_text(f"{SKETCH}int refused, added;\n")
    sketch = tmp_path / "p" / "examples" / "self_test"
    flags = ["-DARDUINO=10819", "-w", f"-I{tmp_path}", f"-I{tmp_path / 'p' / 'src'}", f"-I{sketch}"]
    sources = [tmp_path / "p" / "src" / "small_tflite.c", *sketch.glob("*.c")]
    run("gcc", *flags, "-c", *sources, cwd=tmp_path)
    cpp = [tmp_path / "sketch.cpp", tmp_path / "p" / "src" / "small.cpp"]
    objects = sorted(tmp_path.glob("*.o"))
    run("g++", "-std=gnu++17", *flags, *cpp, *objects, "-o", tmp_path / "sketch")
    said = run(tmp_path / "sketch")
    assert said.startswith(f"{'FAIL' if wrong else 'PASS'}, microseconds per inference: ")


# ---- projects ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(STOCK))
def test_exporting_twice_gives_the_same_bytes(kind: str, exported: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export_saved(saved(), kind, out, runtime="tflm", labels=LABELS, name="digits")
    assert files(out) == files(exported / kind)
    text = b"".join(files(out).values())
    assert str(tmp_path).encode() not in text
    assert str(saved()).encode() not in text


@pytest.mark.parametrize("kind", sorted(STOCK))
def test_no_template_is_left_unfilled(kind: str, exported: Path) -> None:
    for place, data in files(exported / kind).items():
        assert "NAME" not in place
        if Path(place).name.startswith(("arm_", "tflm_opt_")):
            continue  # kernels are no templates
        text = re.sub(r"}\s*}", "", data.decode("utf-8"))
        assert not re.search(r"{{|}}|{%|@[A-Z_]+@", text), place
        if place.endswith(".py"):
            ast.parse(text)
        if place.endswith(".json"):
            json.loads(data)


def test_kernels_that_the_model_s_ops_need_are_there(exported: Path) -> None:
    """All that TFLM's glue for these ops names, 4 and 16 bits too: it must link."""
    used = {op.kind for op in graph.read(_file()).ops}
    wanted = {
        kernel.file
        for name, kernel in table.kernels().items()
        if name.startswith("arm_") and used & set(kernel.ops)
    }
    assert {"arm_convolve_wrapper_s4.c", "arm_convolve_wrapper_s16.c"} <= wanted
    for kind, place in (("cmake", "kernels"), ("c", "kernels"), ("platformio", "lib/tflm/kernels")):
        kernels = exported / kind / place
        assert wanted <= {path.name for path in kernels.rglob("*.c")}
        assert (kernels / "cmsis_nn" / "Include" / "arm_nnfunctions.h").is_file()
    assert not list((exported / "arduino").rglob("arm_*"))


def test_a_streamed_model_gets_its_whole_input(tmp_path: Path) -> None:
    out = export_saved(saved(True), "c", tmp_path / "p", runtime="tflm")
    text = (out / "include" / "small.h").read_text()
    assert "int small_invoke(void);" in text
    assert "invoke_rows" not in text + (out / "test" / "check.c").read_text()


def test_platformio_takes_tflm_from_a_library_where_there_is_one(tmp_path: Path) -> None:
    named = ["nucleo_f446re", "nano33ble", "portenta_h7", "pico", "teensy41"]
    ids = {board.id for board in boards.all()}
    named = [name for name in named if name in ids]
    out = export_saved(saved(), "platformio", tmp_path / "p", runtime="tflm", board=named)
    ini = configparser.ConfigParser(interpolation=None)
    ini.read(out / "platformio.ini")
    for name in named:
        row = ini[f"env:{name}"]
        assert ("lib_deps" in row) == (name in ("nano33ble", "portenta_h7"))
        assert ("extra_scripts" in row) != ("lib_deps" in row)
    assert ini["env:qemu_m4"]["extra_scripts"] == "pre:tflm.py"
    library = json.loads((out / "lib" / "small" / "library.json").read_text())
    assert library["dependencies"] == [{"name": "tflm"}]


@pytest.mark.skipif(not shutil.which("cmake"), reason="needs cmake")
def test_cmake_says_what_is_missing(exported: Path, tmp_path: Path) -> None:
    for tree in ("", f"-DTFLM_DIR={tmp_path}"):
        with pytest.raises(AssertionError, match=r"create_tflm_tree\.py"):
            run("cmake", "-S", exported / "cmake", "-B", tmp_path / "build", *filter(None, [tree]))


def test_make_says_what_is_missing(exported: Path) -> None:
    with pytest.raises(AssertionError, match=r"create_tflm_tree\.py"):
        run("make", "-C", exported / "c", "lib")


# ---- refusals ---------------------------------------------------------------------------------


def test_a_board_too_small() -> None:
    with package.open_saved(saved()) as found:
        model = tflm.stock(found)
    board = boards.get("nucleo_f446re")
    needs = model.needs.total("dsp")
    tflm.check_board(model, dataclasses.replace(board, sram=needs))
    with pytest.raises(TflmOptError, match=f"{needs:,} bytes of SRAM.*{needs - 1:,}"):
        tflm.check_board(model, dataclasses.replace(board, sram=needs - 1))
    with pytest.raises(TflmOptError, match="bytes of flash"):
        tflm.check_board(model, dataclasses.replace(board, flash=len(_file()) - 1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"runtime": "tflite"}, "no runtime 'tflite'; there is engine, tflm"),
        ({"runtime": "tflm", "board": "pico"}, "no option 'board'"),
        ({"runtime": "tflm", "labels": ["a"]}, "1 labels"),
        ({"runtime": "tflm", "name": "int"}, "int_model"),
    ],
)
def test_bad_input_writes_nothing(options, message, tmp_path: Path) -> None:
    with pytest.raises(TflmOptError, match=message):
        export_saved(saved(), "c", tmp_path / "out", **options)
    assert list(tmp_path.iterdir()) == []


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "p"
    cli.main(["export", "cmake", str(saved()), "-o", str(out), "--runtime", "tflm"])
    assert "README.md" in capsys.readouterr().out
    assert (out / "src" / "small_tflite.c").is_file()
