"""Calls of depthwise kernels on an emulated core: what they write, what it costs.

    calls = [Call(rng, kernel=(3, 3), output=(5, 7), channels=13, ...)]
    for call, result in zip(calls, run(calls, boards.get("qemu_m4"), folder)):
        call.check(result)

One program serves all calls. It reads a record a call: an arena that holds everything, and where in
it is what. The arena ends where memory ends, and with it an input or a filter: who reads on faults.
It comes back whole, so that nothing is written beside outputs and scratch unseen. The oracle is the
definition of the convolution and of TFLM's rounding, in int64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from targets import library, link

from tflm_opt.boards import Board
from tflm_opt.runtime import machine, qemu

Pair = tuple[int, int]
WITHOUT_SCRATCH = -1
_GAP = 32

MAIN = """\
#include "tflm_opt_kernels.h"
#include "harness.h"
#include "qemu_timer.h"
#include "semihost.h"

#include <string.h>

extern char qemu_heap_end[];

struct record {
    int32_t arena, wide, lines, multiplier, shift, bias, filter, input, output;
    int32_t scratch, scratch_size;
    cmsis_nn_dw_conv_params params;
    cmsis_nn_dims input_dims, filter_dims, output_dims;
    tflm_opt_span span;
    int32_t front, ring_rows, ring_step, front_step, ring_x, front_x, base, fresh;
};

static struct record now;
static char *arena;

static arm_cmsis_nn_status invoke(void)
{
    const cmsis_nn_context ctx = {now.scratch < 0 ? NULL : arena + now.scratch, now.scratch_size};
    const cmsis_nn_per_channel_quant_params quant = {(int32_t *)(arena + now.multiplier),
                                                     (int32_t *)(arena + now.shift)};
    const int32_t *bias = now.bias < 0 ? NULL : (int32_t *)(arena + now.bias);
    const int8_t *input = (int8_t *)(arena + now.input);
    const int8_t *filter = (int8_t *)(arena + now.filter);
    int8_t *output = (int8_t *)(arena + now.output);
    if (now.lines) {
        const tflm_opt_lines_shape shape = {input, (int8_t *)(arena + now.front), now.ring_rows,
                                            now.ring_step, now.front_step};
        const tflm_opt_lines lines = {&shape, now.ring_x, now.front_x, now.base, now.fresh};
        return tflm_opt_depthwise_lines_s8(&ctx, &now.params, &quant, &now.input_dims, &lines,
                                           &now.filter_dims, filter, NULL, bias, &now.output_dims,
                                           &now.span, output);
    }
    return arm_depthwise_conv_wrapper_s8(&ctx, &now.params, &quant, &now.input_dims, input,
                                         &now.filter_dims, filter, NULL, bias, &now.output_dims,
                                         output);
}

int main(void)
{
    const int calls = semihost_open("calls.bin", SEMIHOST_READ);
    const int results = semihost_open("results.bin", SEMIHOST_WRITE);
    qemu_timer_start();
    while (!semihost_read(calls, &now, sizeof now)) {
        int32_t result[4];
        struct qemu_time start, stop;
        arena = qemu_heap_end - now.arena;
        if (semihost_read(calls, arena, (size_t)now.arena)) {
            return 1;
        }
        start = qemu_timer_read();
        result[0] = invoke();
        stop = qemu_timer_read();
        result[1] = (int32_t)qemu_timer_instructions(stop.fine - start.fine,
                                                     stop.coarse - start.coarse);
        result[2] = arm_depthwise_conv_s8_get_buffer_size(&now.input_dims, &now.filter_dims);
        result[3] = arm_depthwise_conv_wrapper_s8_get_buffer_size(
            &now.params, &now.input_dims, &now.filter_dims, &now.output_dims);
        if (semihost_write(results, result, sizeof result) ||
            semihost_write(results, arena, (size_t)now.arena)) {
            return 2;
        }
    }
    return 0;
}
"""


def program(board: Board, folder: Path) -> Path:
    """The program that serves calls, for a board."""
    return link(MAIN, board, folder, library(board.id))
