"""Each wrong argument of the functions with CMSIS-NN's names: an error, and nothing written.

A table of calls that are right, each with changes that make one argument wrong. All of it is one C
program, run here under AddressSanitizer and UBSan, and on emulated cores with each tier of kernels.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import targets
from emulated import marked

from tflm_opt import boards
from tflm_opt.kernels import table
from tflm_opt.runtime import machine, qemu
from tflm_opt.runtime.host import compiler

# Small, and right for every function that takes them: a 2x2 window over 3x3 pixels of 4 channels.
VALUES = {
    "ctx": ("cmsis_nn_context", "{scratch, 0}"),
    "conv": ("cmsis_nn_conv_params", "{3, -2, {1, 1}, {0, 0}, {1, 1}, {-128, 127}}"),
    "dw": ("cmsis_nn_dw_conv_params", "{3, -2, 1, {1, 1}, {0, 0}, {1, 1}, {-128, 127}}"),
    "transposed": (
        "cmsis_nn_transpose_conv_params",
        "{3, -2, {1, 1}, {0, 0}, {0, 0}, {1, 1}, {-128, 127}}",
    ),
    "pool": ("cmsis_nn_pool_params", "{{1, 1}, {0, 0}, {-128, 127}}"),
    "fc": ("cmsis_nn_fc_params", "{3, 0, -2, {-128, 127}}"),
    "bmm": ("cmsis_nn_bmm_params", "{false, false, {3, 1, -2, {-128, 127}}}"),
    "svdf": ("cmsis_nn_svdf_params", "{2, 3, -2, {-128, 127}, {-128, 127}}"),
    "each": ("cmsis_nn_per_channel_quant_params", "{multipliers, shifts}"),
    "any": ("cmsis_nn_quant_params", "{multipliers, shifts, 1}"),
    "one": ("cmsis_nn_per_tensor_quant_params", "{1 << 30, -5}"),
    "two": ("cmsis_nn_per_tensor_quant_params", "{1 << 30, -5}"),
    "in_dims": ("cmsis_nn_dims", "{1, 3, 3, 4}"),
    "same": ("cmsis_nn_dims", "{1, 3, 3, 4}"),
    "taps": ("cmsis_nn_dims", "{1, 2, 2, 4}"),
    "bias_dims": ("cmsis_nn_dims", "{1, 1, 1, 4}"),
    "out_dims": ("cmsis_nn_dims", "{1, 2, 2, 4}"),
    "rows": ("cmsis_nn_dims", "{2, 1, 1, 9}"),
    "matrix": ("cmsis_nn_dims", "{9, 1, 1, 4}"),
    "products": ("cmsis_nn_dims", "{2, 1, 1, 4}"),
    "left": ("cmsis_nn_dims", "{2, 1, 3, 5}"),
    "right": ("cmsis_nn_dims", "{1, 1, 2, 5}"),
    "made": ("cmsis_nn_dims", "{2, 1, 3, 2}"),
    "none": ("cmsis_nn_dims", "{0, 0, 0, 0}"),
    "ring": ("cmsis_nn_dims", "{0, 1, 0, 1}"),
    "padded": ("cmsis_nn_dims", "{1, 5, 3, 5}"),
    "vectors": ("cmsis_nn_dims", "{1, 9, 0, 0}"),
    "features": ("cmsis_nn_dims", "{4, 9, 0, 0}"),
    "times": ("cmsis_nn_dims", "{4, 3, 0, 0}"),
    "turned": ("cmsis_nn_dims", "{3, 1, 4, 3}"),
    "turn": ("cmsis_nn_transpose_params", "{4, permutation}"),
    "wide_bias": ("cmsis_nn_bias_data", "{biases64, false}"),
    "luts": ("cmsis_nn_softmax_lut_s16", "{lut, lut}"),
    "lstm": ("cmsis_nn_lstm_params", "LSTM"),
    "kept": ("cmsis_nn_lstm_context", "{NULL, NULL, cells, NULL}"),
}

STARTS = """
#include "tflm_opt_kernels.h"
#include <string.h>
static int32_t multipliers[4] = {1 << 30, 1 << 30, 1 << 30, 1 << 30};
static int32_t shifts[4] = {-5, -5, -5, -5};
static const int8_t in8[64] = {1, -100, 50, 9, -7, 120, 33, 4, 99, -3, 25, 61, -88, 17};
static const int16_t in16[64] = {1000, -10000, 5000, 900, -700, 12000, 330, 400, 9900, 1, 2, 3};
static const int8_t weights[256] = {90, -70, 101, 33, -128, 127, 55, 66, 7, 8, 9, 10, 11, 12, 99};
static const int16_t times16[64] = {900, -700, 101, 33, -1280, 1270, 55, 66, 7, 8, 9, 10};
static const int32_t biases[4] = {5000, -5000, 700, -90};
static const int64_t biases64[4] = {50000, -50000, 7000, -900};
static const int16_t lut[513] = {100, 200, 300, 32000, 7};
static const uint32_t permutation[4] = {2, 0, 3, 1};
static int16_t cells[16];
static int32_t scratch[4096];
#define GATE(bias) {1 << 30, -3, weights, bias, 1 << 30, -3, weights, bias, NULL, ARM_SIGMOID}
#define LSTM \\
    {0, 1, 2, 4, 4, 0, 1 << 30, 0, 1 << 30, 0, 0, -11, 1 << 30, -8, 0, \\
     GATE(BIAS), GATE(BIAS), GATE(BIAS), GATE(BIAS)}
"""


# What a wrong call may point to instead, and numbers that calls pass.
LOCALS = """
    int32_t far[4] = {-5, -5, -5, 8};
    int32_t farther[4] = {-32, -5, -5, -5};
    const uint32_t twice[4] = {0, 1, 1, 2};
    const uint32_t beyond[4] = {0, 1, 2, 4};
    int32_t down[3] = {0, -1, -7};
    int32_t left_shift = 15;
    int32_t low = -128;
    int32_t count = 4;
    int32_t length = 9;
    int8_t outputs[16];
    int8_t *sink = outputs;
"""

ENDS = """
/* 1 if this call went as it should. */
static int verdict(int which, arm_cmsis_nn_status status, const void *written, size_t size)
{
    const unsigned char *bytes = (const unsigned char *)written;
    size_t i;
    int changed = 0;
    for (i = 0; i < size; i++) {
        changed |= bytes[i] != 0x5A;
    }
    return which == 0 ? status == ARM_CMSIS_NN_SUCCESS && changed
                      : status == ARM_CMSIS_NN_ARG_ERROR && !changed;
}
"""


@dataclass(frozen=True, slots=True)
class Function:
    """A right call, in C: p_x points to VALUES or an array x, p_out to the output.

    Attributes:
        wrong: statements that each make it wrong, beside null pointers.
        optional: names that may be null.
        output: the output's element type.
        scratch: how much of it the function asks for, in C. If that is more than nothing, none is
            wrong too; too little is either wrong or makes no difference to the output.
    """

    name: str
    arguments: str
    wrong: Sequence[str]
    optional: tuple[str, ...] = ("ctx", "bias_dims", "biases", "biases64", "wide_bias")
    output: str = "int8_t"
    scratch: str = "0"

    def names(self) -> list[str]:
        return list(dict.fromkeys(re.findall(r"\bp_(\w+)", self.arguments)))

    def cases(self) -> list[str]:
        nulls = [f"p_{name} = NULL" for name in self.names() if name not in self.optional]
        scratch = ["ctx.buf = NULL", "ctx.size = 4"] if self.scratch != "0" else []
        return [*nulls, *self.wrong, *scratch]

    def code(self) -> str:
        """A C function that makes wrong call number `which`; 0 is the right one."""
        lines = [f"    {self.output} written[256];", f"    {self.output} *p_out = written;"]
        for name in self.names():
            if name in VALUES:
                kind, initial = VALUES[name]
                lines += [f"    {kind} {name} = {initial};", f"    {kind} *p_{name} = &{name};"]
            elif name != "out":
                lines.append(f"    const {ARRAYS[name]} *p_{name} = {name};")
        cases = [f"    case {i}: {bad}; break;" for i, bad in enumerate(self.cases(), 1)]
        bias = "biases64" if self.output == "int16_t" else "biases"
        return "\n".join(
            [
                f"#undef BIAS\n#define BIAS {bias}\nstatic int {self.name}_case(int which)\n{{",
                *lines,
                "    arm_cmsis_nn_status status;",
                LOCALS,
                "    memset(written, 0x5A, sizeof written);",
                *self._skip(),
                "    switch (which) {",
                *cases,
                "    default: break;",
                "    }",
                f"    status = {self.name}({self.arguments});",
                *self._verdict(),
                "}",
            ]
        )

    def _verdict(self) -> list[str]:
        """The last call may be as good as the right one, if the function asks for scratch."""
        plain = "    return verdict(which, status, written, sizeof written);"
        if self.scratch == "0":
            return [plain]
        return [
            f"    static {self.output} right[256];",
            "    if (which == 0) memcpy(right, written, sizeof right);",
            f"    if (which == {len(self.cases())} && status == ARM_CMSIS_NN_SUCCESS) {{",
            "        return memcmp(right, written, sizeof right) == 0;",
            "    }",
            plain,
        ]

    def _skip(self) -> list[str]:
        """Where no scratch is asked for, the last two calls are right."""
        if self.scratch == "0":
            return []
        last = len(self.cases())
        return [f"    if (which > {last - 2} && {self.scratch} == 0) return 1;"]


ARRAYS = {
    "in8": "int8_t",
    "in16": "int16_t",
    "weights": "int8_t",
    "times16": "int16_t",
    "biases": "int32_t",
    "biases64": "int64_t",
}


def sizes(name: str, axes: str = "nhwc") -> list[str]:
    return [f"{name}.{axis} = {value}" for axis in axes for value in (0, -1)]


def windows(params: str, taps: str = "hw", dilated: bool = True) -> list[str]:
    """What is wrong with any window: sizes, strides, paddings, bounds."""
    wrong = [*sizes("in_dims"), *sizes("out_dims"), *sizes("taps", taps), "out_dims.n = 2"]
    for tile in ("stride", "dilation") if dilated else ("stride",):
        wrong += [f"{params}.{tile}.{axis} = 0" for axis in "wh"]
    wrong += [f"{params}.padding.{axis} = -1" for axis in "wh"]
    return [*wrong, f"{params}.activation.min = 200"]


EACH = ["each.multiplier = NULL", "each.shift = NULL"]
GROUPS = ["taps.c = 3", "taps.c = 0", "taps.c = 2; out_dims.c = 3"]
DEPTH = ["dw.ch_mult = 0", "dw.ch_mult = 2", "out_dims.c = 3"]
POOLED = ["out_dims.c = 3", "pool.padding.h = 2", "pool.padding.w = 2", "out_dims.h = 4",
          "out_dims.w = 4"]  # fmt: skip
FC = ["rows.n = 0", "matrix.n = 0", "products.c = 0", "fc.activation.max = -129"]
BATCHES = [*sizes("left"), *sizes("right"), *sizes("made"), "right.c = 4", "made.w = 2",
           "made.c = 3", "made.n = 3", "right.h = 2", "one.shift = 40",
           "bmm.fc_params.activation.min = 200"]  # fmt: skip
SVDF = [*sizes("vectors", "nh"), *sizes("features", "nh"), *sizes("times", "nh"), "svdf.rank = 0",
        "svdf.rank = 3", "features.h = 8", "times.n = 3", "one.shift = 32", "two.shift = -32",
        "svdf.input_activation.min = 200", "svdf.output_activation.min = 200"]  # fmt: skip
LSTM = [
    *(f"lstm.{field} = 0" for field in ("batch_size", "time_steps", "input_size", "hidden_size")),
    *(f"lstm.{field} = 32" for field in ("forget_to_cell_shift", "input_to_cell_shift")),
    "lstm.output_shift = -32",
    "lstm.cell_scale_power = 3",
    "kept.cell_state = NULL",
    *(
        f"lstm.{gate}_gate.{field}"
        for gate in ("forget", "input", "cell", "output")
        for field in ("input_weights = NULL", "input_effective_bias = NULL",
                      "hidden_weights = NULL", "hidden_effective_bias = NULL",
                      "input_shift = -32", "hidden_shift = 32")
    ),
]  # fmt: skip

CONV = (
    "p_ctx, p_conv, p_each, p_in_dims, p_%s, p_taps, p_weights, p_bias_dims, %s, p_out_dims, p_out"
)
DW = "p_ctx, p_dw, p_each, p_in_dims, p_%s, p_taps, p_weights, p_bias_dims, %s, p_out_dims, p_out"
FULL = "p_ctx, p_fc, p_%s, p_rows, p_%s, p_matrix, p_weights, p_bias_dims, %s, p_products, p_out"
POOL = "p_ctx, p_pool, p_in_dims, p_%s, p_taps, p_out_dims, p_out"

FUNCTIONS = [
    Function(
        "arm_convolve_wrapper_s8", CONV % ("in8", "p_biases"), [*windows("conv"), *EACH, *GROUPS],
        ("bias_dims", "biases"),
        scratch="arm_convolve_wrapper_s8_get_buffer_size(&conv, &in_dims, &taps, &out_dims)",
    ),
    Function(
        "arm_convolve_1x1_s8_fast", CONV % ("in8", "p_biases"),
        [*sizes("in_dims"), "out_dims.c = 0", *(f"conv.stride.{axis} = 2" for axis in "wh"),
         *(f"conv.padding.{axis} = 1" for axis in "wh"), "conv.activation.max = -129", *EACH],
        ("taps", "bias_dims", "biases"),
        scratch="arm_convolve_1x1_s8_fast_get_buffer_size(&in_dims)",
    ),
    Function(
        "arm_convolve_wrapper_s4", CONV % ("in8", "p_biases"), [*windows("conv"), *EACH, *GROUPS]
    ),
    Function(
        "arm_convolve_wrapper_s16", CONV % ("in16", "p_wide_bias"),
        [*windows("conv"), *EACH, *GROUPS, "each.shift = far", "each.shift = farther",
         "each.shift = farther; wide_bias.is_int32_bias = true"],
        output="int16_t",
    ),
    Function(
        "arm_depthwise_conv_wrapper_s8", DW % ("in8", "p_biases"),
        [*windows("dw"), *EACH, *DEPTH], ("bias_dims", "biases"),
        scratch="arm_depthwise_conv_wrapper_s8_get_buffer_size(&dw, &in_dims, &taps, &out_dims)",
    ),
    Function(
        "arm_depthwise_conv_wrapper_s4", DW % ("in8", "p_biases"), [*windows("dw"), *EACH, *DEPTH]
    ),
    *(
        Function(
            name, DW % ("in16", "p_biases64"),
            [*windows("dw"), *EACH, *DEPTH, "each.shift = far"], output="int16_t",
        )
        for name in ("arm_depthwise_conv_s16", "arm_depthwise_conv_wrapper_s16")
    ),
    Function(
        "arm_transpose_conv_wrapper_s8",
        "p_ctx, NULL, p_transposed, p_each, p_in_dims, p_in8, p_taps, p_weights, p_bias_dims, "
        "p_biases, p_out_dims, p_out",
        [*windows("transposed"), *EACH, "taps.c = 3", "transposed.dilation.h = 2"],
    ),
    Function(
        "arm_fully_connected_wrapper_s8", FULL % ("any", "in8", "p_biases"),
        [*FC, "any.multiplier = NULL", "any.shift = NULL"], ("bias_dims", "biases"),
    ),
    Function(
        "arm_fully_connected_s4", FULL % ("one", "in8", "p_biases"), [*FC, "one.shift = 32"]
    ),
    Function(
        "arm_fully_connected_s16", FULL % ("one", "in16", "p_biases64"), [*FC, "one.shift = 8"],
        output="int16_t",
    ),
    Function(
        "arm_batch_matmul_s8",
        "p_ctx, p_bmm, p_one, p_left, p_in8, p_right, p_weights, p_made, p_out", BATCHES,
    ),
    Function(
        "arm_batch_matmul_s16",
        "p_ctx, p_bmm, p_one, p_left, p_in16, p_right, p_times16, p_made, p_out",
        [*BATCHES, "one.shift = 8"], output="int16_t",
    ),
    *(
        Function(
            f"arm_{name}_s{bits}", POOL % f"in{bits}",
            [*windows("pool", dilated=False), *POOLED],
            output=f"int{bits}_t",
        )
        for name in ("avgpool", "max_pool")
        for bits in (8, 16)
    ),
    *(
        Function(
            f"arm_elementwise_add_s{bits}",
            f"p_{one}, p_{two}, 0, 1 << 30, down[0], 0, 1 << 30, down[1], left_shift, p_out, 0, "
            "1 << 30, down[2], low, 127, count",
            ["count = -1", "left_shift = 21", "left_shift = -1", "low = 200",
             *(f"down[{i}] = {shift}" for i in range(3) for shift in (1, -32))],
            output=f"int{bits}_t",
        )
        for bits, one, two in ((8, "in8", "weights"), (16, "in16", "times16"))
    ),
    *(
        Function(
            f"arm_elementwise_mul_s{bits}",
            f"p_{one}, p_{two}, 0, 0, p_out, 0, 1 << 30, down[0], low, 127, count",
            ["count = -1", "down[0] = 32", "down[0] = -32", "low = 200"],
            output=f"int{bits}_t",
        )
        for bits, one, two in ((8, "in8", "weights"), (16, "in16", "times16"))
    ),
    Function(
        "arm_softmax_s16", "p_in16, count, length, 1 << 30, down[0], p_luts, p_out",
        ["count = 0", "length = 0", "down[0] = 32", "luts.exp_lut = NULL",
         "luts.one_by_one_lut = NULL"],
        output="int16_t",
    ),
    *(
        Function(
            f"arm_{name}_s8", "NULL, p_in8, p_in_dims, p_weights, p_bias_dims, p_out, p_same",
            [*sizes("in_dims"), *sizes("bias_dims"), *sizes("same"), "bias_dims.c = 3",
             "same.h = 2"],
            optional=(),
        )
        for name in ("minimum", "maximum")
    ),
    Function(
        "arm_pad_s8", "p_in8, p_out, 5, p_in_dims, p_none, p_ring",
        [*sizes("in_dims"), *(f"{name}.{a} = -1" for name in ("none", "ring") for a in "nhwc")],
    ),
    Function(
        "arm_transpose_s8", "p_in8, p_out, p_in_dims, p_turned, p_turn",
        [*sizes("in_dims"), *sizes("turned"), "turned.c = 4", "turn.num_dims = 0",
         "turn.num_dims = 5", "turn.permutations = NULL", "turn.permutations = twice",
         "turn.permutations = beyond"],
    ),
    Function(
        "arm_svdf_s8",
        "NULL, NULL, NULL, p_svdf, p_one, p_two, p_vectors, p_in8, NULL, p_out, p_features, "
        "p_weights, p_times, p_weights, NULL, p_biases, NULL, sink",
        [*SVDF, "sink = NULL"],
    ),
    Function(
        "arm_svdf_state_s16_s8",
        "NULL, NULL, p_svdf, p_one, p_two, p_vectors, p_in8, NULL, p_out, p_features, "
        "p_weights, p_times, p_times16, NULL, p_biases, NULL, sink",
        [*SVDF, "sink = NULL"], output="int16_t",
    ),
    Function("arm_lstm_unidirectional_s8", "p_in8, p_out, p_lstm, p_kept", LSTM),
    Function(
        "arm_lstm_unidirectional_s16", "p_in16, p_out, p_lstm, p_kept", LSTM, output="int16_t"
    ),
    Function(
        "arm_vector_sum_s8", "p_out, length, count, p_weights, 3, 0, p_biases",
        ["length = 0", "count = 0"], output="int32_t",
    ),
    Function(
        "arm_vector_sum_s8_s64", "p_out, length, count, p_weights, 3, p_biases64",
        ["length = 0", "count = 0"], output="int64_t",
    ),
]  # fmt: skip


def cases_of(function: str) -> list[str]:
    return ["right", *next(f for f in FUNCTIONS if f.name == function).cases()]


def program(failed: str) -> str:
    """All calls, in C; `failed` is done where one, (number, i), does not go as it should."""
    runs = "\n".join(
        f"    for (i = 0; i <= {len(f.cases())}; i++) {{\n"
        f"        if (!{f.name}_case(i)) {{ const int number = {number}; {failed} }}\n    }}"
        for number, f in enumerate(FUNCTIONS)
    )
    functions = "\n".join(f.code() for f in FUNCTIONS)
    everything = runs.replace("\n", " \\\n")
    return f"{STARTS}{ENDS}{functions}\n#define RUNS \\\n{everything}\n"


def said(pairs: Iterable[Sequence[int]]) -> list[str]:
    """Calls that went wrong, for people."""
    functions = [(FUNCTIONS[number].name, i) for number, i in pairs]
    return [f"{name}: {cases_of(name)[i]}" for name, i in functions]


def test_wrong_arguments_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    main = "int main(void)\n{\n    int i;\n    RUNS\n    return 0;\n}\n"
    source, product = tmp_path / "arguments.c", tmp_path / "arguments"
    report = 'printf("%d %d\\n", number, i);'
    source.write_text(f"#include <stdio.h>\n{program(report)}{main}")
    kernels = table.closure(f.name for f in FUNCTIONS)
    sources = sorted({str(table.source(k)) for k in kernels if "portable" in k.tiers})
    flags = ["-std=c99", "-O0", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    command = [compiler(), *flags, f"-I{table.INCLUDE}", str(source), *sources, "-o", str(product)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    done = subprocess.run([str(product)], capture_output=True, text=True, check=False)
    assert said([int(word) for word in line.split()] for line in done.stdout.splitlines()) == []
    assert done.returncode == 0, done.stderr[-3000:]


TARGET = """
#include "semihost.h"
int main(void)
{
    const int results = semihost_open("results.bin", SEMIHOST_WRITE);
    int i;
    RUNS
    return 0;
}
"""


@pytest.mark.skipif(shutil.which("qemu-system-arm") is None, reason="no emulator")
@pytest.mark.parametrize("name", marked("qemu_m3", "qemu_m4", "qemu_m55", "qemu_rv32"))
def test_wrong_arguments_on_emulated_cores(name: str, tmp_path: Path) -> None:
    board = boards.get(name)
    report = "const int32_t pair[2] = {number, i}; semihost_write(results, pair, sizeof pair);"
    (tmp_path / "main.c").write_text(program(report) + TARGET)
    (tmp_path / "script.ld").write_text(machine.linker_script(board))
    elf = tmp_path / "arguments.elf"
    gcc = [machine.compiler(board=board), *board.flags, *machine.ENGINE_FLAGS, "-std=gnu11"]
    targets.run(
        [
            *(*gcc, f"-I{table.INCLUDE}", f"-I{machine.CORE}"),
            *(f"-D{macro}" for macro in machine.defines(board)),
            *("main.c", *map(str, sorted(machine.CORE.glob("*.c")))),
            *map(str, targets.library(board.id)),
            *(*machine.LINK_FLAGS, "-Tscript.ld", "-o", str(elf)),
        ],
        tmp_path,
    )
    qemu.start(elf, board, tmp_path)
    pairs = np.frombuffer((tmp_path / "results.bin").read_bytes(), np.int32).reshape(-1, 2)
    assert said(pairs.tolist()) == []
