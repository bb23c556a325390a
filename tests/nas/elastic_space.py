"""A small nested space with everything that a supernet has to get right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tflm_opt.nas.net import Layer, Net


@dataclass(frozen=True)
class ElasticSpace:
    """Inverted residuals with squeeze-and-excitation, a concat of two branches, a ResNet block."""

    sizes: tuple[int, ...] = (11, 16)
    classes: int = 4
    channels: int = 1
    widths: tuple[int, ...] = (4, 8)

    @property
    def choices(self) -> Mapping[str, tuple[Any, ...]]:
        blocks = {
            f"{k}{i}": v
            for i in (1, 2)
            for k, v in (("kernel", (3, 5, 7)), ("expand", (2, 3)), ("gate", (0, 1)))
        }
        return {
            "resolution": self.sizes,
            "width": self.widths,
            "depth": (1, 2),
            "tail": (0, 1),
            "split": (3, 5),
            **blocks,
        }

    def net(self, architecture: Mapping[str, Any]) -> Net:
        a, size = architecture, architecture["resolution"]
        layers = [
            Layer("image", "input", shape=(size, size, self.channels)),
            Layer("stem", "conv", ("image",), a["width"], (3, 3), (2, 2), norm=True,
                  activation="relu6"),
        ]  # fmt: skip
        last = "stem"
        for i in range(1, a["depth"] + 1):
            last = self._block(layers, a, i, last)
        last = self._concat(layers, a, last)
        if a["tail"]:
            last = self._residual(layers, last)
        layers += [
            Layer("pool", "global_pool", (last,)),
            Layer("scores", "dense", ("pool",), self.classes, activation="softmax"),
        ]
        return Net(tuple(layers))

    def _block(self, layers: list[Layer], a: Mapping[str, Any], i: int, last: str) -> str:
        k, wide = a[f"kernel{i}"], a[f"expand{i}"] * a["width"]
        act = "hard_swish" if i == 2 else "relu6"
        stride = (2, 2) if i == 1 else (1, 1)
        layers += [
            Layer(f"up{i}", "conv", (last,), wide, norm=True, activation=act),
            Layer(f"dw{i}", "depthwise", (f"up{i}",), kernel=(k, k), strides=stride, norm=True,
                  activation=act),
        ]  # fmt: skip
        inner = f"dw{i}"
        if a[f"gate{i}"]:
            layers += [
                Layer(f"mean{i}", "global_pool", (inner,), keep=True),
                Layer(f"squeeze{i}", "conv", (f"mean{i}",), wide // 2, activation="relu"),
                Layer(f"excite{i}", "conv", (f"squeeze{i}",), wide, activation="sigmoid"),
                Layer(f"gated{i}", "multiply", (inner, f"excite{i}")),
            ]
            inner = f"gated{i}"
        layers.append(Layer(f"down{i}", "conv", (inner,), a["width"], norm=True))
        if i == 1:
            return "down1"
        layers.append(Layer(f"add{i}", "add", (last, f"down{i}")))
        return f"add{i}"

    def _concat(self, layers: list[Layer], a: Mapping[str, Any], last: str) -> str:
        layers += [
            Layer("left", "conv", (last,), a["split"], (1, 1), norm=True, activation="relu"),
            Layer("right", "depthwise", (last,), kernel=(3, 3), activation="relu"),
            Layer("both", "concat", ("left", "right")),
            Layer("most", "max_pool", ("both",), kernel=(2, 2), strides=(1, 1)),
            Layer("mixed", "depthwise", ("most",), kernel=(3, 3), norm=True),
            Layer("joined", "conv", ("mixed",), 6, norm=True),
            Layer("bent", "activation", ("joined",), activation="sigmoid"),
        ]
        return "bent"

    def _residual(self, layers: list[Layer], last: str) -> str:
        layers += [
            Layer("one", "conv", (last,), 6, (3, 3), norm=True, activation="relu"),
            Layer("two", "conv", ("one",), 6, (3, 3), norm=True),
            Layer("sum", "add", (last, "two"), activation="hard_swish"),
        ]
        return "sum"

    def canonical(self, architecture: Mapping[str, Any]) -> dict[str, Any]:
        found = dict(architecture)
        if found["depth"] == 1:
            found.update({f"{k}2": self.choices[f"{k}2"][0] for k in ("kernel", "expand", "gate")})
        return found

    def to_json(self) -> dict[str, Any]:
        return {"kind": "elastic_space:ElasticSpace", "sizes": list(self.sizes)}


@dataclass(frozen=True)
class TinySpace:
    """One convolution whose filters and kernel vary: traced in a second."""

    choices = {"filters": (2, 4, 6), "kernel": (1, 3)}  # noqa: RUF012

    def net(self, architecture: Mapping[str, Any]) -> Net:
        kernel = (architecture["kernel"],) * 2
        return Net(
            (
                Layer("image", "input", shape=(16, 16, 1)),
                Layer("stem", "conv", ("image",), architecture["filters"], kernel, norm=True,
                      activation="relu"),
                Layer("pool", "global_pool", ("stem",)),
                Layer("scores", "dense", ("pool",), 4),
            )
        )  # fmt: skip

    def canonical(self, architecture: Mapping[str, Any]) -> dict[str, Any]:
        return dict(architecture)

    def to_json(self) -> dict[str, Any]:
        return {"kind": "elastic_space:TinySpace"}
