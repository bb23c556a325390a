"""A space, a price and evaluators of a search that take no time, for tests of everything else."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from tflm_opt.nas import Cost
from tflm_opt.nas.net import Layer, Net
from tflm_opt.nas.space import Architecture, key


class ToySpace:
    """Widths of four layers and a resolution; the last layer may be absent."""

    def __init__(self, widths: tuple[int, ...] = (4, 8, 12, 16, 24, 32)) -> None:
        self.choices: Mapping[str, tuple[Any, ...]] = {
            "resolution": (16, 24, 32),
            **{f"width{i}": widths for i in range(4)},
            "deep": (0, 1),
        }

    def net(self, architecture: Mapping[str, Any]) -> Net:
        size = architecture["resolution"]
        layers = [Layer("image", "input", shape=(size, size, 1))]
        for i in range(4 if architecture["deep"] else 3):
            layers.append(
                Layer(f"conv{i}", "conv", (layers[-1].name,), architecture[f"width{i}"], (3, 3))
            )
        layers.append(Layer("pool", "global_pool", (layers[-1].name,)))
        layers.append(Layer("scores", "dense", ("pool",), 4))
        return Net(tuple(layers))

    def canonical(self, architecture: Mapping[str, Any]) -> Architecture:
        plain = dict(architecture)
        if not plain["deep"]:
            plain["width3"] = self.choices["width3"][0]
        return plain

    def to_json(self) -> dict[str, Any]:
        return {"kind": "toy:ToySpace"}


def price(net: Net) -> Cost:
    """Sizes of the right order: the largest pair of tensors, all weights, time by MACs."""
    shapes = [s for s in net.shapes().values() if len(s) == 3]
    sizes = [h * w * c for h, w, c in shapes]
    arena = max(a + b for a, b in pairwise(sizes))
    weights = sum(9 * a[2] * b[2] for a, b in pairwise(shapes) if b[0] == a[0])
    return Cost(
        sram=arena + 800,
        arena=arena,
        stack=800,
        flash=weights + 9000,
        weights=weights,
        macs=net.macs,
        instructions=2 * net.macs,
        latency_ms=net.macs / 1e4,
        input="resident",
        rows=False,
    )


def priced(net: Net) -> Cost:
    """`price`, which takes a while, and has a line a call in the file that TOY_PRICES names."""
    with Path(os.environ["TOY_PRICES"]).open("a", encoding="utf-8") as file:
        file.write(f"{net.macs} {os.getpid()} {net.to_json()}\n")
    time.sleep(0.05)
    return price(net)


def accuracy(architecture: Mapping[str, Any], net: Net, *, seed: int) -> float:
    """Larger is better, with a knot: the widths should agree; and a ripple that hangs on all."""
    widths = [architecture[f"width{i}"] for i in range(3 + architecture["deep"])]
    even = 1 - (max(widths) - min(widths)) / 64
    size = 1 - 3 / (sum(widths) + 4)
    ripple = (sum(net.shapes()["conv0"]) * 7919 + net.macs) % 101 / 5000
    return 0.5 + 0.4 * even * size * (architecture["resolution"] / 32) ** 0.3 + ripple


def logged(
    architecture: Mapping[str, Any], net: Net, *, seed: int, epochs: Sequence[int] = ()
) -> float:
    """`accuracy`, with a line a call in the file that TOY_LOG names, and what TOY_… say.

    With epochs it is less, the fewer there are, and deep nets learn more slowly.

    TOY_SECONDS: how long it takes. TOY_FATAL: in which call, of all processes, everybody is killed
    who is named: "worker", "parent" or both. TOY_FAIL: which choice it can't take, "deep=1".
    """
    path = Path(os.environ["TOY_LOG"])
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{key(architecture)} {os.getpid()} {'+'.join(map(str, epochs))}\n")
    time.sleep(float(os.environ.get("TOY_SECONDS", "0")))
    fatal, _, victims = os.environ.get("TOY_FATAL", "").partition(" ")
    if fatal and len(path.read_text("utf-8").splitlines()) in map(int, fatal.split(",")):
        if "parent" in victims:
            os.kill(os.getppid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)
    name, _, value = os.environ.get("TOY_FAIL", "").partition("=")
    if name and (name == "all" or str(architecture[name]) == value):
        raise RuntimeError(f"can't do {name}")
    learned = 1 - (0.3 + 0.3 * architecture["deep"]) / epochs[-1] if epochs else 1
    return learned * accuracy(architecture, net, seed=seed)


def climbing(
    architecture: Mapping[str, Any], net: Net, *, seed: int, epochs: Sequence[int]
) -> float:
    """`accuracy`, which comes with epochs."""
    return accuracy(architecture, net, seed=seed) * (1 - 0.5 / epochs[-1])


def guess(architecture: Mapping[str, Any], net: Net, *, seed: int) -> float:
    """For any net: larger ones are better."""
    return 1 - 1 / (2 + net.macs / 1e6)


class Scored:
    """An evaluator that has a proxy of its own: small images are better, it says."""

    def __init__(self, settings: Mapping[str, Any], directory: Path) -> None:
        pass

    def evaluate(self, architecture: Mapping[str, Any], net: Net, **how: Any) -> Any:
        from tflm_opt.nas.evaluate import Evaluation

        return Evaluation(logged(architecture, net, **how))

    def score(self, net: Net, *, seed: int) -> float:
        if net.input_shape[0] == 24:
            raise RuntimeError("no score for 24")
        return -float(net.input_shape[0])


class TinySpace(ToySpace):
    """Six nets."""

    def __init__(self) -> None:
        super().__init__((4,))

    def to_json(self) -> dict[str, Any]:
        return {"kind": "toy:TinySpace"}
