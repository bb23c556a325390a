"""Calls as C text: what is passed on from constants, and what directly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tflm_opt.codegen import emit
from tflm_opt.codegen.call import (
    Call,
    Constant,
    Lowered,
    Null,
    Pointer,
    Scratch,
    Struct,
    Vary,
    dims,
)
from tflm_opt.codegen.calls import Calls
from tflm_opt.codegen.steps import Cells, merged
from tflm_opt.graph.ir import Op, Tensor
from tflm_opt.kernels import table
from tflm_opt.patch_split.regions import NotStreamable

X, Y = (Tensor(name, (1, 4), "int8") for name in "xy")
WHOLE = emit.OpContext("op7", emit.Constants(), {X: 16, Y: 64}, scratch=(128, 40))
ARGUMENTS = (Scratch(), dims("input_dims", (1, 4)), Pointer(X), Null(), Pointer(Y))


def text(calls: Calls, *arguments: object, ctx: emit.OpContext = WHOLE) -> str:
    return calls.text(Call("tflm_opt_lut_s8", arguments), (Y,), ctx, 8)  # type: ignore[arg-type]


def one_line(code: str) -> str:
    return " ".join(code.split())


def test_arguments_that_are_known_lie_in_a_constant() -> None:
    calls = Calls()
    assert one_line(text(calls, *ARGUMENTS)) == (
        "static const struct call_tflm_opt_lut_s8 call = { {arena + 128, 40}, {1, 1, 1, 4}, "
        "(const int8_t *)(arena + 16), (int8_t *)(arena + 64)}; "
        "if (run_tflm_opt_lut_s8(&call) != ARM_CMSIS_NN_SUCCESS) { return 8; }"
    )
    assert calls.kernels == {"tflm_opt_lut_s8"}
    assert one_line(calls.definitions()) == (
        "struct call_tflm_opt_lut_s8 { cmsis_nn_context ctx; cmsis_nn_dims input_dims; "
        "const int8_t *input; int8_t *output; }; "
        "static TFLM_OPT_CALL arm_cmsis_nn_status run_tflm_opt_lut_s8( "
        "const struct call_tflm_opt_lut_s8 *call) { return tflm_opt_lut_s8(&call->ctx, "
        "&call->input_dims, call->input, NULL, call->output); }"
    )


def test_calls_with_the_same_kinds_of_arguments_share_a_function() -> None:
    calls = Calls()
    text(calls, *ARGUMENTS)
    text(calls, *ARGUMENTS[:2], Pointer(Y), Null(), Pointer(X))
    text(calls, *ARGUMENTS[:3], Constant("table", np.zeros(2, np.int8)), Pointer(Y))
    assert calls.definitions().count("tflm_opt_lut_s8(&call->ctx") == 3
    assert text(calls, *ARGUMENTS).count("run_tflm_opt_lut_s8(") == 1


@pytest.mark.parametrize(
    ("arguments", "ctx"),
    [
        (ARGUMENTS[:4], WHOLE),
        ((*ARGUMENTS, Vary(1)), WHOLE),
        ((*ARGUMENTS, Struct("cmsis_nn_tile", "stride", (1, Vary(0)))), WHOLE),
        (ARGUMENTS, replace(WHOLE, offsets={X: "16 + x0", Y: 64})),
        (ARGUMENTS, replace(WHOLE, pointers={Y: "tflm_opt_lines_at(&out, y, x, 4)"})),
    ],
)
def test_few_arguments_and_those_that_vary_are_passed_directly(
    arguments: tuple[object, ...], ctx: emit.OpContext
) -> None:
    calls = Calls()
    assert "if (tflm_opt_lut_s8(&ctx," in text(calls, *arguments, ctx=ctx)
    assert not calls.definitions()


def test_a_struct_is_a_constant_unless_it_varies() -> None:
    varying = Struct("cmsis_nn_tile", "stride", (1, Vary(0)))
    written = text(Calls(), *ARGUMENTS, varying)
    assert "static const cmsis_nn_dims input_dims = {1, 1, 1, 4};" in written
    assert "        const cmsis_nn_tile stride = {1, v[0]};" in written


def test_without_scratch_another_kernel_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = dict(table.kernels())
    rows["tflm_opt_lut_s8"] = replace(rows["tflm_opt_lut_s8"], without="arm_softmax_s8")
    monkeypatch.setattr(table, "kernels", lambda: rows)
    calls = Calls()
    assert "arm_softmax_s8(" in text(calls, *ARGUMENTS, ctx=replace(WHOLE, scratch=(0, 0)))
    assert calls.kernels == {"arm_softmax_s8"}
    assert "run_tflm_opt_lut_s8(" in text(calls, *ARGUMENTS)


@pytest.mark.parametrize(
    ("functions", "shared"),
    [
        (("arm_softmax_s8", "arm_softmax_s8"), "arm_softmax_s8"),
        (
            ("tflm_opt_depthwise_plain_s8", "arm_depthwise_conv_wrapper_s8"),
            "arm_depthwise_conv_wrapper_s8",
        ),
        (("tflm_opt_depthwise_plain_s8",) * 2, "tflm_opt_depthwise_plain_s8"),
        (("tflm_opt_depthwise_plain_s8", "arm_softmax_s8"), None),
    ],
)
def test_bands_share_a_kernel_that_serves_all(
    functions: tuple[str, ...], shared: str | None
) -> None:
    op = Op("DEPTHWISE_CONV_2D", (X,), (Y,))
    variants = [Lowered((Call(function, (Scratch(),)),)) for function in functions]
    if shared is None:
        with pytest.raises(NotStreamable, match="different kernels"):
            merged(op, variants, [0, 1], Cells())
    else:
        assert merged(op, variants, [0, 1], Cells()).calls[0].function == shared
