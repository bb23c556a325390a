"""A supernet under limits is trained for nets that fit, the larger half of them."""

from __future__ import annotations

import numpy as np
from toy import TinySpace, ToySpace, price

from tflm_opt.nas.evolution import every
from tflm_opt.nas.limits import Limits
from tflm_opt.nas.members import fitting
from tflm_opt.nas.space import key, sample

LIMITS = Limits(sram=30_000, latency_ms=100)


def test_they_fit_and_are_larger_than_most_that_do() -> None:
    space, told = ToySpace(), []
    nets = fitting(space, price, LIMITS, count=20, report=lambda *now: told.append(now))
    costs = [price(space.net(net)) for net in nets]
    assert len({key(net) for net in nets}) == len(nets) == 20
    assert not any(LIMITS.broken(cost) for cost in costs)
    rng = np.random.default_rng(3)
    drawn = [price(space.net(sample(space, rng))) for _ in range(200)]
    fit = [cost.macs for cost in drawn if not LIMITS.broken(cost)]
    assert np.median([cost.macs for cost in costs]) > np.median(fit)
    assert told[-1] == (40, 40)


def test_for_a_front_they_are_of_all_sizes() -> None:
    space = ToySpace()
    every = fitting(space, price, LIMITS, larger=False, count=40)
    half = fitting(space, price, LIMITS, count=20)
    assert len(every) == 40
    assert half == every[:20]  # the same nets, by size
    assert not any(LIMITS.broken(price(space.net(net))) for net in every)


def test_they_are_a_function_of_the_seed() -> None:
    one, same, other = (fitting(ToySpace(), price, LIMITS, count=8, seed=s) for s in (1, 1, 2))
    assert one == same != other


def test_of_a_small_space_there_are_as_many_as_there_are() -> None:
    space = TinySpace()
    nets = fitting(space, price, Limits(sram=10**9), count=50)
    total = len(every(space))
    assert len(nets) == -(-total // 2)
    assert min(space.net(n).macs for n in nets) >= np.median(
        [space.net(n).macs for n in every(space)]
    )
