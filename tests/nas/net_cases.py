"""Small nets that have every kind of layer and activation between them, and the odd corners."""

from __future__ import annotations

from typing import Any

from tflm_opt.nas.net import Layer, Net


def image(*shape: int) -> Layer:
    return Layer("image", "input", shape=shape)


def conv(
    name: str, source: str, filters: int, kernel: int = 3, stride: int = 1, **more: Any
) -> Layer:
    given: dict[str, Any] = {"norm": True, "activation": "relu6", **more}
    pairs = (kernel, kernel), (stride, stride)
    return Layer(name, "conv", (source,), filters, *pairs, **given)


def depthwise(name: str, source: str, kernel: int = 3, stride: int = 1, **more: Any) -> Layer:
    given: dict[str, Any] = {"norm": True, "activation": "relu6", **more}
    pairs = (kernel, kernel), (stride, stride)
    return Layer(name, "depthwise", (source,), 0, *pairs, **given)


def pool(kind: str, name: str, source: str, size: int, stride: int, **more: Any) -> Layer:
    return Layer(name, f"{kind}_pool", (source,), 0, (size, size), (stride, stride), **more)


def dense(name: str, source: str, filters: int, **more: Any) -> Layer:
    return Layer(name, "dense", (source,), filters, **more)


def join(kind: str, name: str, *sources: str, **more: Any) -> Layer:
    return Layer(name, kind, sources, **more)


def mean(name: str, source: str, **more: Any) -> Layer:
    return Layer(name, "global_pool", (source,), **more)


def flat(name: str, source: str) -> Layer:
    return Layer(name, "flatten", (source,))


def act(name: str, source: str, activation: str) -> Layer:
    return Layer(name, "activation", (source,), activation=activation)


_CASES: dict[str, tuple[Layer, ...]] = {
    "every kind, odd sizes": (
        image(33, 30, 3),
        conv("stem", "image", 8, 3, 2),
        depthwise("deep", "stem", 5, 2),
        conv("swished", "deep", 8, 1, activation="hard_swish"),
        mean("squeeze", "swished", keep=True),
        conv("reduce", "squeeze", 4, 1, norm=False, activation="relu"),
        conv("excite", "reduce", 8, 1, norm=False, activation="sigmoid"),
        join("multiply", "gated", "swished", "excite"),
        conv("linear", "gated", 8, 1, activation=""),
        depthwise("deep2", "linear", 3, activation="relu"),
        conv("linear2", "deep2", 8, 1, activation=""),
        join("add", "sum", "linear", "linear2", activation="relu"),
        pool("max", "most", "sum", 2, 2),
        pool("average", "mid", "sum", 3, 2),
        join("concat", "both", "most", "mid"),
        conv("inside", "both", 6, 3, padding="valid", activation="relu"),
        act("swish", "inside", "hard_swish"),
        flat("vector", "swish"),
        dense("hidden", "vector", 16, norm=True, activation="relu"),
        dense("scores", "hidden", 5, activation="softmax"),
    ),
    "sigmoids": (
        image(24, 24, 2),
        conv("stem", "image", 8, 3, 2, activation="sigmoid"),
        depthwise("deep", "stem", norm=False),
        mean("pool", "deep"),
        dense("score", "pool", 1, activation="sigmoid"),
    ),
    "one pixel read as a vector": (
        image(24, 24, 2),
        conv("stem", "image", 8, activation="hard_swish"),
        mean("pool", "stem", keep=True),
        flat("vector", "pool"),
        dense("scores", "vector", 3),
    ),
    "activations beside others that read the same": (
        image(16, 16, 3),
        conv("a", "image", 8, activation=""),
        act("b", "a", "relu"),
        conv("c", "image", 8, 1, activation="", norm=False),
        join("concat", "all", "a", "c", "b", activation="relu"),
        pool("max", "most", "all", 2, 2, activation="relu6"),
        pool("average", "mid", "most", 2, 2, padding="valid", activation="relu"),
        join("multiply", "square", "mid", "mid", activation="relu"),
        mean("pool", "square", activation="relu"),
        dense("scores", "pool", 3),
    ),
    "a sigmoid beside others": (
        image(16, 16, 3),
        conv("a", "image", 8, activation="sigmoid"),
        conv("b", "image", 4, activation="relu"),
        pool("max", "most", "b", 3, 1),
        join("concat", "all", "a", "most", "b"),
        conv("c", "all", 4, 1),
        flat("vector", "c"),
        dense("d", "vector", 3, activation="relu"),
        act("scores", "d", "softmax"),
    ),
    "a signal": (
        image(128, 1, 6),
        Layer("a", "conv", ("image",), 8, (5, 1), (2, 1), norm=True, activation="relu"),
        Layer("b", "depthwise", ("a",), 0, (7, 1), (2, 1), norm=True, activation="relu"),
        Layer("most", "max_pool", ("b",), 0, (2, 1), (2, 1)),
        mean("pool", "most"),
        dense("scores", "pool", 4, activation="softmax"),
    ),
    "down to one pixel": (
        image(8, 8, 3),
        conv("a", "image", 8, 3, 2),
        conv("b", "a", 8, 3, 2),
        conv("c", "b", 8, 3, 2),
        mean("pool", "c"),
        dense("d", "pool", 4, norm=True, activation="hard_swish"),
        dense("scores", "d", 4, activation="sigmoid"),
    ),
    "layers that do nothing": (
        image(8, 8, 3),
        conv("a", "image", 8, 3, 2),
        pool("max", "same", "a", 1, 1),
        mean("pool", "same"),
        flat("vector", "pool"),
        flat("vector2", "vector"),
        dense("scores", "vector2", 4),
    ),
    "a vector in": (
        image(1, 1, 64),
        flat("vector", "image"),
        dense("hidden", "vector", 16, norm=True, activation="relu"),
        dense("restored", "hidden", 64),
    ),
    "vectors side by side": (
        image(8, 8, 2),
        conv("a", "image", 8, 3, 2),
        mean("pool", "a"),
        flat("vector", "a"),
        join("concat", "both", "pool", "vector"),
        dense("scores", "both", 3),
    ),
    "a convolution for a head": (
        image(8, 8, 2),
        conv("a", "image", 8, 3, 2),
        pool("average", "pool", "a", 4, 4, padding="valid"),
        conv("b", "pool", 5, 1, activation="", norm=False),
        flat("vector", "b"),
        act("scores", "vector", "softmax"),
    ),
    "one channel": (
        image(8, 8, 1),
        depthwise("a", "image", 3, 2),
        depthwise("b", "a", 1),
        conv("c", "b", 1, 1),
        flat("vector", "c"),
    ),
    "sums of sums": (
        image(8, 8, 3),
        act("positive", "image", "relu"),
        conv("a", "positive", 4),
        conv("b", "a", 4),
        conv("c", "b", 4),
        conv("d", "a", 4, 1),
        join("add", "sum", "c", "d"),
        join("add", "twice", "sum", "sum"),
        conv("e", "twice", 2, 1),
        join("concat", "both", "e", "sum"),
        join("multiply", "square", "both", "both"),
        mean("mid", "square", keep=True),
        join("multiply", "scaled", "square", "mid"),
        act("last", "scaled", "relu6"),
    ),
}
NETS = {name: Net(layers) for name, layers in _CASES.items()}
