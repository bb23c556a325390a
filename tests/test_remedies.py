"""What a user is told of a budget that can't be met, and of ops that can't run on rows."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from functools import cache

import numpy as np
import pytest
from small_models import Net

import tflm_opt
from tflm_opt import boards, graph, remedies
from tflm_opt.errors import DoesNotFit
from tflm_opt.graph import Graph, Tensor
from tflm_opt.patch_split.schedule import layer_by_layer


def plain_net(size: int = 32) -> Graph:
    net = Net((1, size, size, 3))
    x = net.conv(net.conv(net.input, 8), 16)
    x = net.conv(net.conv(x, 8, stride=2), 8, stride=2)
    return net.graph(net.softmax(net.dense(net.flatten(x), 10)))


def interrupted_net(size: int = 32) -> Graph:
    """A TRANSPOSE between two pairs of convolutions."""
    net = Net((1, size, size, 3))
    x = net.conv(net.conv(net.input, 8), 4, stride=2)
    order = Tensor("order", (4,), "int32", None, np.array([0, 2, 1, 3], np.int32))
    x = net._append("TRANSPOSE", (x, order), x.shape, x.quant, None)
    return net.graph(net.conv(net.conv(x, 12), 4, stride=2))


@cache
def least(input: str = "resident") -> tflm_opt.Result:
    data = graph.write(plain_net())
    return tflm_opt.optimize(data, input=input, max_slowdown=math.inf, verify=False, verbose=0)


def misfit(budget: int, input: str = "resident") -> DoesNotFit:
    with pytest.raises(DoesNotFit) as caught:
        tflm_opt.optimize(graph.write(plain_net()), budget, input=input, verify=False, verbose=0)
    return caught.value


def test_the_binding_stage_is_named_with_its_ops_and_band() -> None:
    error = misfit(least().sram.total - 1)
    stage, *buffers = error.binding
    found = re.fullmatch(
        r"stage (\d+) of (\d+) \(ops 0:CONV_2D to (\d+):CONV_2D, (\S+) rows? a step"
        r"(?:, (\d+) columns? at a time)?\)",
        stage,
    )
    assert found is not None
    stages = error.best.schedule.stages
    assert int(found[2]) == len(stages)
    bound = stages[int(found[1]) - 1]
    assert bound.ops[-1] is error.best.graph.ops[int(found[3])]
    assert found[4] == str(bound.band)
    assert found[5] == (None if bound.columns is None else str(bound.columns.width))
    assert "3,072 bytes of image" in buffers
    assert stage in str(error)


def test_below_the_bound_it_says_so() -> None:
    result = least()
    assert result.bound is not None
    assert result.bound <= result.sram.arena
    rest = result.sram.total - result.sram.arena
    error = misfit(result.bound + rest - 1)
    assert f"needs less than {result.bound:,} bytes" in error.limit
    assert f"leaves {result.bound - 1:,}" in error.limit
    assert error.limit in str(error)
    if result.bound < result.sram.arena:
        assert misfit(result.bound + rest).limit == ""


def test_streaming_the_input_is_measured_and_judged() -> None:
    streamed = least("streamed").sram.arena
    rest = least().sram.total - least().sram.arena
    fits = next(r for r in misfit(streamed + rest).remedies if "input='streamed'" in r)
    assert f"to {streamed:,}, and the model fits" in fits
    told = [r for r in misfit(streamed + rest - 100).remedies if "input='streamed'" in r]
    assert f"to {streamed:,}: still 100 too many" in told[0]
    assert "lower the resolution from 32x32 to about" in told[1]
    assert not [r for r in misfit(streamed, "streamed").remedies if "stream the input" in r]


def test_the_resolution_told_fits_when_it_is_built() -> None:
    result = least()
    budget = result.sram.total - result.sram.arena // 3
    told = next(r for r in misfit(budget).remedies if r.startswith("lower the resolution"))
    found = re.search(r"from 32x32 to about (\d+)x(\d+) \(an estimate", told)
    assert found is not None
    size = int(found[1])
    assert found[1] == found[2]
    assert 16 < size < 32
    smaller = tflm_opt.optimize(
        graph.write(plain_net(size)), max_slowdown=math.inf, verify=False, verbose=0
    )
    assert smaller.sram.total <= 1.1 * budget


def test_further_allowances_of_the_search_are_one_row(monkeypatch: pytest.MonkeyPatch) -> None:
    words = "allow what is allowed"
    monkeypatch.setattr(remedies, "ALLOWANCES", ((words, {"input": "streamed", "seed": 3}),))
    assert misfit(least().sram.total - 8).remedies[0].startswith(f"{words}: the arena falls by")


def test_ops_that_run_whole_are_named_and_the_rest_is_optimized() -> None:
    g = interrupted_net()
    result = tflm_opt.optimize(graph.write(g), verbose=0, vectors=2)
    assert result.bit_exact
    (whole,) = result.whole
    assert (whole.op, whole.kind) == (2, "TRANSPOSE")
    assert "row by row" in whole.reason
    bands = [stage for stage in result.schedule.stages if stage.band is not None]
    position = {op: i for i, op in enumerate(result.graph.ops)}
    assert bands
    assert all(2 not in {position[op] for op in stage.ops} for stage in bands)
    plain = tflm_opt.arena.plan(
        result.graph,
        layer_by_layer(result.graph),
        scratch=tflm_opt.codegen.scratch,
        access=tflm_opt.codegen.access,
    )
    assert result.sram.arena < plain.peak
    data = json.loads(result.to_json())
    assert data["whole"] == [dataclasses.asdict(whole)]
    assert data["schedule_bound"] == result.bound
    lines = str(result).splitlines()
    at = next(i for i, line in enumerate(lines) if "1  op can't run on rows:" in line)
    assert "2:TRANSPOSE: it can't be computed row by row" in lines[at + 1]
    assert max(map(len, lines)) <= 80


def test_a_larger_board_is_measured_on_its_own_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """Boards of the core that a result is for, and of another: on the other it takes more."""
    from tflm_opt.runtime import footprint

    result = least()
    need, flash = result.sram.total, result.flash.total
    made = footprint.footprint(result.sources, boards.get("qemu_m0plus"), len(result.graph.ops))
    other = result.sram.arena + made.data + made.stack
    assert (other, made.weights + made.code) != (need, flash)
    row = boards.get("nucleo_f446re")
    m0 = dataclasses.replace(boards.get("nucleo_l073rz"), flash=1 << 20)

    def told(*table: boards.Board) -> list[str]:
        monkeypatch.setattr(boards, "all", lambda: table)
        return remedies._board_remedy(result)

    (text,) = told(dataclasses.replace(m0, sram=other), dataclasses.replace(row, sram=other + 8))
    assert f"nucleo_l073rz ({other:,} bytes" in text
    assert f"on its cortex-m0plus, {other:,} and {made.weights + made.code:,}" in text
    (text,) = told(dataclasses.replace(m0, sram=other - 1), dataclasses.replace(row, sram=need))
    assert f"nucleo_f446re ({need:,} bytes" in text
    assert f"on its cortex-m4, {need:,} and {flash:,}" in text
    assert not told(dataclasses.replace(m0, sram=other - 1), dataclasses.replace(row, flash=9))


def test_an_op_that_binds_and_runs_whole_says_why() -> None:
    with pytest.raises(DoesNotFit) as caught:
        tflm_opt.optimize(graph.write(interrupted_net()), 1500, verify=False, verbose=0)
    result = caught.value.best
    step = result.plan.steps[result.plan.peak_step()]
    told = caught.value.binding[0]
    assert ("which can't run on rows" in told) == step.startswith("TRANSPOSE")


def test_many_reasons_are_shortened() -> None:
    result = least()
    kinds = [tflm_opt.result.Whole(0, "CONV_2D", "x", f"reason {n}") for n in range(5)]
    same = [tflm_opt.result.Whole(1, "CONV_2D", "x", "reason 0")] * 3
    text = str(dataclasses.replace(result, whole=(*kinds, *same)))
    assert "8  ops can't run on rows:" in text
    assert "0:CONV_2D, 1:CONV_2D and 2 more: reason 0" in text
    assert "and 2 more reasons" in text
    assert "reason 3" not in text


def test_vectors_are_not_told_to_have_no_rows() -> None:
    assert any(whole.kind == "SOFTMAX" for whole in least().whole)
    assert "SOFTMAX" not in str(least())


def test_no_more_than_all_weights_is_to_be_removed() -> None:
    result = least()
    code = result.flash.total - result.flash.weights
    (first, *_) = remedies.remedies(result, "flash", code - 1)
    assert first == (
        f"use fewer kinds of layers, which need fewer kernels: the code alone takes {code:,} bytes"
    )
    (first, *_) = remedies.remedies(result, "flash", code + result.flash.weights // 4)
    assert re.match(r"remove 7\d% of the weights", first)
