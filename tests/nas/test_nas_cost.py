"""A candidate's cost is that of the artifact that is built from it."""

from __future__ import annotations

import pytest
from small_models import residual_net, residual_tflite

import tflm_opt
from tflm_opt.nas import exact_cost


@pytest.mark.parametrize("size", [12, 33])
@pytest.mark.parametrize("mode", ["resident", "streamed"])
def test_cost_is_what_ships(size: int, mode: str) -> None:
    data = residual_tflite(size=size)
    predicted = exact_cost(data, input=mode)
    result = tflm_opt.optimize(data, input=mode, verify=False, verbose=0)
    assert predicted.arena == result.sram.arena
    assert predicted.macs == result.macs
    # Flash also holds multipliers and shifts, and no shapes or axes.
    assert predicted.weights <= 1.5 * result.flash.weights


def test_a_graph_costs_what_its_file_does() -> None:
    assert exact_cost(residual_net()) == exact_cost(residual_tflite())


def test_a_larger_net_costs_more() -> None:
    small, large = exact_cost(residual_net(channels=8)), exact_cost(residual_net(channels=16))
    assert small.arena < large.arena
    assert small.weights < large.weights
    assert small.macs < large.macs
