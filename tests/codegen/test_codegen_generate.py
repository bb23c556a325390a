"""Generated sources: reproducible, safe against hostile names, accepted by C and C++ compilers."""

from __future__ import annotations

import ctypes
import json
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tflm_opt import codegen
from tflm_opt.codegen import sources
from tflm_opt.codegen.generate import abi
from tflm_opt.errors import InvalidModel, TflmOptError, UnsupportedModel
from tflm_opt.graph.ir import Graph, Op, Quantization, Tensor
from tflm_opt.graph.options import ConvOptions, Padding, ReshapeOptions, SoftmaxOptions
from tflm_opt.kernels import table
from tflm_opt.runtime import host

WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Werror"]


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """One tensor after the other."""

    schedule: object
    offsets: Mapping[Tensor, int]
    peak: int
    scratch: Mapping[Op, tuple[int, int]] = field(default_factory=dict)
    moves: Mapping[Op, tuple[()]] = field(default_factory=dict)
    fronts: Mapping[Tensor, int] = field(default_factory=dict)


def layout(g: Graph) -> Layout:
    offsets: dict[Tensor, int] = {}
    end = 0
    for tensor in [*g.inputs, *(t for op in g.ops for t in op.outputs)]:
        if tensor not in offsets:
            offsets[tensor] = end
            end += (tensor.nbytes + 15) // 16 * 16
    return Layout(SimpleNamespace(stages=[SimpleNamespace(ops=g.ops, band=None)]), offsets, end)


def activation(
    name: str, shape: tuple[int, ...], scale: float = 0.5, zero_point: int = 0
) -> Tensor:
    return Tensor(name, shape, "int8", Quantization.per_tensor(scale, zero_point))


def small_net(names: tuple[str, str, str] = ("in", "hidden", "out")) -> Graph:
    """Convolution, reshape, softmax."""
    rng = np.random.default_rng(0)
    x = activation(names[0], (1, 4, 4, 3), 0.02, -5)
    filters = Tensor(
        "w",
        (2, 3, 3, 3),
        "int8",
        Quantization(np.array([0.01, 0.02], np.float32), np.zeros(2, np.int64), 0),
        rng.integers(-127, 128, (2, 3, 3, 3)).astype(np.int8),
    )
    hidden = activation(names[1], (1, 2, 2, 2), 0.1)
    flat = activation("flat", (1, 8), 0.1)
    y = activation(names[2], (1, 8), 1 / 256, -128)
    ops = (
        Op("CONV_2D", (x, filters), (hidden,), ConvOptions((2, 2), Padding(1, 0, 0, 1))),
        Op("RESHAPE", (hidden,), (flat,), ReshapeOptions((1, 8))),
        Op("SOFTMAX", (flat,), (y,), SoftmaxOptions(1.0)),
    )
    return Graph(ops, (x,), (y,))


def generated(g: Graph, name: str = "net") -> codegen.Sources:
    return codegen.generate(g, layout(g), name=name)


def compiles(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    assert done.returncode == 0, done.stderr


def test_the_same_input_gives_the_same_bytes_in_another_process() -> None:
    code = (
        f"import sys; sys.path[:0] = [{str(Path(__file__).parent)!r}];"
        "import test_codegen_generate as t; s = t.generated(t.small_net());"
        "print(repr(sorted(s.files.items())), end='')"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed, "PATH": ""},
        ).stdout
        for seed in ("1", "2")
    }
    assert texts == {repr(sorted(generated(small_net()).files.items()))}


def test_no_paths_and_no_dates() -> None:
    for text in generated(small_net()).files.values():
        assert not re.search(r"/(home|work|tmp|usr|root)/|20\d\d", text)
        assert all(len(line) <= 120 for line in text.splitlines())


HOSTILE = [
    ('a"; system("x"); /*', "*/ int evil(void) {", "x\n#error y\\"),
    ("??/", "\udcff\u202e", "int"),
    ("", "%s%n", "*/*/"),
]


@pytest.mark.parametrize("names", HOSTILE)
def test_hostile_names_compile_as_c_and_as_cpp(tmp_path: Path, names: tuple[str, str, str]) -> None:
    codegen.write(generated(small_net(names)), tmp_path)
    flags = [*WARNINGS, "-Wpedantic", "-Iinclude", "-c", "-o", "out.o", "src/net.c"]
    compiles(["gcc", "-std=c99", *flags], tmp_path)
    compiles(["gcc", "-std=c99", "-DTFLM_OPT_TRACE", *flags], tmp_path)
    compiles(["g++", "-std=c++11", "-x", "c++", *flags], tmp_path)
    content = json.loads((tmp_path / "model.json").read_text())
    assert content["inputs"][0]["name"] == names[0]
    assert content["outputs"][0]["name"] == names[2]


def test_the_header_and_kernels_compile_without_a_warning(tmp_path: Path) -> None:
    codegen.write(generated(small_net()), tmp_path)
    for source in (tmp_path / "src").glob("*.c"):
        compiles(
            ["gcc", "-std=c99", *WARNINGS, "-Iinclude", "-c", "-o", "o.o", str(source)], tmp_path
        )
    (tmp_path / "use.cc").write_text(
        '#include "net.h"\n#include "net.h"\n'
        "int main() { return net_init() + net_quantize(0.5f) + (int)net_dequantize(3); }\n"
    )
    compiles(["g++", "-std=c++11", *WARNINGS, "-Iinclude", "-c", "-o", "u.o", "use.cc"], tmp_path)


def test_another_kernel_library_is_an_error_at_compile_time(tmp_path: Path) -> None:
    codegen.write(generated(small_net()), tmp_path)
    header = tmp_path / "include" / "tflm_opt_types.h"
    text = header.read_text()
    header.write_text(text.replace(f"KERNELS_ABI {abi()}", f"KERNELS_ABI {abi() + 1}"))
    with pytest.raises(TflmOptError, match="not the ones"):
        host.Engine(tmp_path)


def test_the_arena_can_be_placed(tmp_path: Path) -> None:
    codegen.write(generated(small_net()), tmp_path)
    place = '-DNET_ARENA_ATTRIBUTE=__attribute__((section(".fast")))'
    compiles(["gcc", "-std=c99", place, "-Iinclude", "-c", "-o", "o.o", "src/net.c"], tmp_path)
    listing = subprocess.run(
        ["objdump", "-t", "o.o"], capture_output=True, text=True, cwd=tmp_path, check=True
    ).stdout
    assert re.search(r"\.fast\s.*arena$", listing, re.MULTILINE)


def test_model_json_and_macros_tell_the_same(tmp_path: Path) -> None:
    net = generated(small_net())
    codegen.write(net, tmp_path)
    content = json.loads((tmp_path / "model.json").read_text())
    header = (tmp_path / "include" / "net.h").read_text()
    macros = dict(re.findall(r"#define (NET_\w+) (\S+)", header))
    assert macros["NET_ARENA_SIZE"] == str(content["arena"]) == str(net.arena)
    (port,) = content["inputs"]
    assert macros["NET_INPUT0_SIZE"] == str(port["bytes"]) == "48"
    assert np.float32(macros["NET_INPUT0_SCALE"].rstrip("f")) == np.float32(port["scale"])
    assert macros["NET_INPUT0_ZERO_POINT"] == str(port["zero_point"]) == "-5"
    assert macros["NET_OUTPUT_COUNT"] == "1"
    assert port["shape"] == [1, 4, 4, 3]
    assert port["dtype"] == "int8"
    assert content["kernels"] == list(net.kernels)
    assert net.weights == 54 + 2 * 4 + 2 * 4  # weights, multipliers, shifts


def test_the_kernels_in_use_are_written_with_all_their_tiers(tmp_path: Path) -> None:
    net = generated(small_net())
    codegen.write(net, tmp_path)
    written = {path.relative_to(tmp_path / "src").as_posix() for path in c_files(tmp_path)}
    kernels = table.closure(net.kernels)
    assert {kernel.function for kernel in kernels} == set(net.kernels)
    for tier in table.TIERS:
        folder = "" if tier == "portable" else f"{tier}/"
        assert {folder + kernel.file for kernel in kernels if tier in kernel.tiers} <= written
    assert len(written) == 1 + len({(tier, k.file) for k in kernels for tier in k.tiers})
    assert "arm_softmax_s8.c" in written
    assert "arm_depthwise_conv_s8.c" not in written


def c_files(folder: Path) -> list[Path]:
    return sorted((folder / "src").rglob("*.c"))


def test_writing_again_removes_what_the_new_model_lacks_and_nothing_else(tmp_path: Path) -> None:
    codegen.write(generated(small_net()), tmp_path)
    mine = tmp_path / "src" / "main.c"
    mine.write_text("int main(void) { return 0; }\n")
    g = small_net()
    only_softmax = Graph(g.ops[2:], (g.ops[1].output,), g.outputs)
    codegen.write(generated(only_softmax, "other"), tmp_path)
    names = [path.name for path in c_files(tmp_path)]
    common = "tflm_opt_requantize_up.c"
    assert names == ["arm_softmax_s8.c", "main.c", "other.c", common]
    assert not (tmp_path / "include" / "net.h").exists()


def test_a_forged_record_removes_nothing_outside(tmp_path: Path) -> None:
    victim = tmp_path / "victim.c"
    victim.write_text("")
    folder = tmp_path / "out"
    folder.mkdir()
    forged = {"name": "x", "files": ["../victim.c", str(victim), "src/../../victim.c", 3]}
    (folder / sources.RECORD).write_text(json.dumps(forged))
    codegen.write(generated(small_net()), folder)
    assert victim.exists()


def test_a_folder_without_a_model_says_so(tmp_path: Path) -> None:
    with pytest.raises(InvalidModel, match="not a folder of generated code"):
        codegen.load_record(tmp_path)
    (tmp_path / sources.RECORD).write_text("[1]")
    with pytest.raises(InvalidModel):
        codegen.load_record(tmp_path)


def test_an_op_without_a_kernel_is_named() -> None:
    x, y = activation("x", (1, 4)), activation("y", (1, 4))
    g = Graph((Op("CUSTOM", (x,), (y,), custom_code="Wavelet"),), (x,), (y,))
    with pytest.raises(UnsupportedModel, match="Wavelet") as caught:
        generated(g)
    assert caught.value.op == "0:CUSTOM"
    assert "CONV_2D" in str(caught.value)


def test_a_type_without_a_place_in_c_is_refused() -> None:
    x = Tensor("x", (1, 4), "complex64")
    y = Tensor("y", (1, 4), "complex64")
    with pytest.raises(UnsupportedModel):
        generated(Graph((Op("RESHAPE", (x,), (y,), ReshapeOptions((1, 4))),), (x,), (y,)))


@pytest.mark.parametrize(("start", "peak"), [(-16, 400), (0, 20), (352, 384)])
def test_a_plan_that_leaves_the_arena_is_refused(start: int, peak: int) -> None:
    g = small_net()
    plan = layout(g)
    offsets = {**plan.offsets, g.inputs[0]: start}
    with pytest.raises(ValueError, match="outside an arena"):
        codegen.generate(g, Layout(plan.schedule, offsets, peak), name="net")


class TestViews:
    def net(self) -> Graph:
        x, y = activation("x", (1, 6)), activation("y", (2, 3))
        return Graph((Op("RESHAPE", (x,), (y,), ReshapeOptions((2, 3))),), (x,), (y,))

    def test_at_the_same_place_costs_nothing(self) -> None:
        g = self.net()
        plan = Layout(layout(g).schedule, dict.fromkeys([g.inputs[0], g.outputs[0]], 0), 16)
        assert "move_bytes(" not in codegen.generate(g, plan, name="net").files["src/net.c"]

    def test_at_another_place_is_copied(self, tmp_path: Path) -> None:
        codegen.write(generated(self.net()), tmp_path)
        x = np.arange(6, dtype=np.int8).reshape(1, 6)
        ((got,),) = host.Engine(tmp_path).run([[x]])
        np.testing.assert_array_equal(got, x.reshape(2, 3))


def test_quantize_and_dequantize_round_as_tflm(tmp_path: Path) -> None:
    """The header's helpers, for every value and every half between, against float64."""
    codegen.write(generated(small_net()), tmp_path)
    (tmp_path / "help.c").write_text(
        '#include "net.h"\n'
        "int quantize(float x) { return net_quantize(x); }\n"
        "float dequantize(int x) { return net_dequantize((int8_t)x); }\n"
    )
    compiles(
        ["gcc", "-std=c99", "-shared", "-fPIC", "-Iinclude", "-o", "help.so", "help.c"], tmp_path
    )
    library = ctypes.CDLL(str(tmp_path / "help.so"))
    library.quantize.argtypes = [ctypes.c_float]
    library.dequantize.restype = ctypes.c_float
    scale = np.float32(0.02)
    rng = np.random.default_rng(0)
    values = np.concatenate([np.arange(-600, 600) * 0.25 * scale, rng.uniform(-4, 4, 2000)])
    for value in values.astype(np.float32):
        ratio = float(value / scale)
        nearest = np.floor(abs(ratio) + 0.5) * np.sign(ratio)
        assert library.quantize(float(value)) == np.clip(nearest - 5, -128, 127), value
    assert library.quantize(float("inf")) == 127
    assert library.quantize(float("-inf")) == -128
    assert library.quantize(float("nan")) == -128
    assert library.quantize(3.4e38) == 127
    for stored in range(-128, 128):
        assert library.dequantize(stored) == np.float32(1 / 256) * np.float32(stored + 128)


def test_several_inputs_and_outputs_have_helpers_of_their_own() -> None:
    a, b = activation("a", (1, 2)), activation("b", (1, 2))
    y = Tensor("y", (1, 2), "int8", a.quant)
    z = Tensor("z", (1, 2), "int8", b.quant)
    ops = (
        Op("RESHAPE", (a,), (y,), ReshapeOptions((1, 2))),
        Op("RESHAPE", (b,), (z,), ReshapeOptions((1, 2))),
    )
    header = generated(Graph(ops, (a, b), (y, z))).files["include/net.h"]
    for helper in (
        "quantize_input0",
        "quantize_input1",
        "dequantize_output0",
        "dequantize_output1",
    ):
        assert f"net_{helper}(" in header


def test_a_constant_output_and_an_input_that_passes_through(tmp_path: Path) -> None:
    x = activation("x", (1, 3))
    fixed = Tensor("c", (2,), "int8", x.quant, np.array([7, -9], np.int8))
    codegen.write(generated(Graph((), (x,), (fixed, x))), tmp_path)
    sample = np.array([[1, 2, 3]], np.int8)
    ((c, same),) = host.Engine(tmp_path).run([[sample]])
    assert c.tolist() == [7, -9]
    np.testing.assert_array_equal(same, sample)


def test_importing_codegen_loads_no_template_engine() -> None:
    code = (
        "import sys, tflm_opt.codegen; print('jinja2' in sys.modules, 'tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
