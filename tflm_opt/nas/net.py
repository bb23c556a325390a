"""A net as a list of layers, with no framework behind it: what a space makes of an architecture.

One description, two readers: `nas.lower` makes the int8 graph that the planner prices, without
TensorFlow, and `nas.build` makes the Keras model that is trained. So what a search paid for and
what it trains can't be two nets.

Layers have *names*, and names are what weight sharing goes by: two nets of a space share the
weights of layers that have the same name, and the smaller one uses the first filters and the middle
of the kernels (`nas.supernet`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

KINDS = (
    "input",
    "conv",
    "depthwise",
    "dense",
    "add",
    "multiply",
    "concat",
    "max_pool",
    "average_pool",
    "global_pool",
    "flatten",
    "activation",
)
ACTIVATIONS = ("relu", "relu6", "sigmoid", "hard_swish", "softmax")
EPSILON = 1e-3  # what batch norm adds to the variance, as Keras's layer does

Shape = tuple[int, ...]
Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer.

    Attributes:
        name: unique in its net; layers of the same name share weights in a supernet.
        kind: one of `KINDS`. "multiply" may have a second input of shape (1, 1, c), the gate of a
            squeeze-and-excitation block; "global_pool" is the mean over rows and columns and keeps
            them as 1×1 if `keep` is set.
        inputs: names of the layers that it reads.
        filters: of "conv" and "dense": output channels.
        kernel, strides: rows, columns; of "conv", "depthwise" and pooling.
        padding: "same" or "valid".
        norm: whether batch norm follows (before the activation); then there is no bias.
        activation: one of `ACTIVATIONS`, or "" for none.
        shape: of "input": rows, columns, channels.
        keep: of "global_pool": the result is (1, 1, channels), not (channels,).
    """

    name: str
    kind: str
    inputs: tuple[str, ...] = ()
    filters: int = 0
    kernel: Pair = (1, 1)
    strides: Pair = (1, 1)
    padding: str = "same"
    norm: bool = False
    activation: str = ""
    shape: Shape = ()
    keep: bool = False

    def to_json(self) -> dict[str, Any]:
        """The fields that differ from their defaults."""
        plain = {f.name: f.default for f in fields(self)}
        return {k: v for k, v in asdict(self).items() if v != plain[k]}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Layer:
        """The inverse of `to_json`: lists become tuples again.

        Raises:
            ValueError: a key that no layer has, or a name or kind that is missing.
        """
        known = {f.name for f in fields(Layer)}
        if unknown := sorted(set(data) - known):
            raise ValueError(f"a layer has no {', '.join(unknown)}")
        if missing := {"name", "kind"} - set(data):
            raise ValueError(f"a layer without {' and '.join(sorted(missing))}")
        values: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in data.items()
        }
        return Layer(**values)


@dataclass(frozen=True, slots=True)
class Net:
    """Layers in an order in which they can run: the first is the input, the last the output.

    Example:
        >>> net = Net(
        ...     (
        ...         Layer("image", "input", shape=(32, 32, 3)),
        ...         Layer("stem", "conv", ("image",), 8, (3, 3), (2, 2), norm=True),
        ...         Layer("pool", "global_pool", ("stem",)),
        ...         Layer("scores", "dense", ("pool",), 10, activation="softmax"),
        ...     )
        ... )
        >>> net.shapes()["stem"], net.macs
        ((16, 16, 8), 55376)

    Raises:
        ValueError: names that repeat or don't exist, kinds and activations that aren't known,
            shapes that don't fit together. It names the layer.
    """

    layers: tuple[Layer, ...]

    def __post_init__(self) -> None:
        self.shapes()

    def shapes(self) -> dict[str, Shape]:
        """Output shape by layer, without the batch: (rows, columns, channels) or (values,)."""
        found: dict[str, Shape] = {}
        for layer in self.layers:
            if layer.name in found:
                raise ValueError(f"two layers are called {layer.name!r}")
            if missing := [name for name in layer.inputs if name not in found]:
                raise ValueError(
                    f"layer {layer.name!r} reads {missing[0]!r}, which is not above it"
                )
            found[layer.name] = _shape(layer, [found[name] for name in layer.inputs])
        return found

    def __getitem__(self, name: str) -> Layer:
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise KeyError(name)

    @property
    def input_shape(self) -> Shape:
        """Rows, columns, channels."""
        return self.layers[0].shape

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference, padding included."""
        shapes = self.shapes()
        total = 0
        for layer in self.layers:
            out = shapes[layer.name]
            source = shapes[layer.inputs[0]] if layer.inputs else out
            taps = layer.kernel[0] * layer.kernel[1]
            if layer.kind == "conv":
                total += out[0] * out[1] * out[2] * taps * source[2]
            elif layer.kind == "depthwise":
                total += out[0] * out[1] * out[2] * taps
            elif layer.kind == "dense":
                total += out[-1] * source[-1]
        return total

    def to_json(self) -> list[dict[str, Any]]:
        """Plain lists and dicts; `from_json` reads them."""
        return [layer.to_json() for layer in self.layers]

    @staticmethod
    def from_json(data: Sequence[Mapping[str, Any]]) -> Net:
        """The inverse of `to_json`.

        Raises: ValueError, as `Layer.from_json` and `Net` do.
        """
        return Net(tuple(Layer.from_json(one) for one in data))


def check_norm(layer: Layer) -> None:
    """Batch norm belongs to layers with weights, where it costs nothing once trained.

    Raises: ValueError, which names the layer.
    """
    if layer.norm and layer.kind not in ("conv", "depthwise", "dense"):
        raise ValueError(
            f"layer {layer.name!r}, of kind {layer.kind!r}, has norm=True: batch norm follows "
            "conv, depthwise and dense alone; put it into the layer before"
        )


def _shape(layer: Layer, inputs: Sequence[Shape]) -> Shape:
    where = f"layer {layer.name!r}"
    if layer.kind not in KINDS:
        raise ValueError(f"{where} is of kind {layer.kind!r}; known are {', '.join(KINDS)}")
    if layer.activation and layer.activation not in ACTIVATIONS:
        known = ", ".join(ACTIVATIONS)
        raise ValueError(f"{where} has the activation {layer.activation!r}; known are {known}")
    if layer.padding not in ("same", "valid"):
        raise ValueError(f"{where} has the padding {layer.padding!r}: it is 'same' or 'valid'")
    if layer.kind == "input":
        if inputs or len(layer.shape) != 3 or min(layer.shape) < 1:
            raise ValueError(f"{where}, an input, needs a shape of rows, columns and channels")
        return layer.shape
    if not inputs:
        raise ValueError(f"{where} reads nothing")
    return _SHAPES[layer.kind](layer, inputs, where)


def _windowed(layer: Layer, inputs: Sequence[Shape], where: str) -> Shape:
    (source,) = inputs
    if len(source) != 3:
        raise ValueError(f"{where} needs rows and columns, and gets {source}")
    if min(*layer.kernel, *layer.strides) < 1:
        raise ValueError(f"{where} has the kernel {layer.kernel}, strides {layer.strides}")
    sizes = [
        -(-n // s) if layer.padding == "same" else (n - k) // s + 1
        for n, k, s in zip(source, layer.kernel, layer.strides, strict=False)
    ]
    if min(sizes) < 1:
        raise ValueError(f"{where}: a kernel of {layer.kernel} does not fit into {source[:2]}")
    return (*sizes, _filters(layer, where) if layer.kind == "conv" else source[2])


def _filters(layer: Layer, where: str) -> int:
    if layer.filters < 1:
        raise ValueError(f"{where} has {layer.filters} filters")
    return layer.filters


def _dense(layer: Layer, inputs: Sequence[Shape], where: str) -> Shape:
    (source,) = inputs
    if len(source) != 1:
        raise ValueError(f"{where} needs a vector, and gets {source}: flatten or pool before it")
    return (_filters(layer, where),)


def _joined(layer: Layer, inputs: Sequence[Shape], where: str) -> Shape:
    first = inputs[0]
    gate = layer.kind == "multiply" and inputs[-1] == (1, 1, first[-1])
    if len(inputs) != 2 or (inputs[1] != first and not gate):
        raise ValueError(f"{where} needs two of the same shape, and gets {list(inputs)}")
    return first


def _concat(layer: Layer, inputs: Sequence[Shape], where: str) -> Shape:
    if len({shape[:-1] for shape in inputs}) != 1:
        raise ValueError(f"{where} needs images of the same size, and gets {list(inputs)}")
    return (*inputs[0][:-1], sum(shape[-1] for shape in inputs))


def _pooled(layer: Layer, inputs: Sequence[Shape], where: str) -> Shape:
    (source,) = inputs
    if len(source) != 3:
        raise ValueError(f"{where} needs rows and columns, and gets {source}")
    return (1, 1, source[2]) if layer.keep else (source[2],)


def _flat(layer: Layer, inputs: Sequence[Shape], where: str) -> Shape:
    size = 1
    for n in inputs[0]:
        size *= n
    return (size,)


def _same(layer: Layer, inputs: Sequence[Shape], where: str) -> Shape:
    return inputs[0]


_SHAPES = {
    "conv": _windowed,
    "depthwise": _windowed,
    "max_pool": _windowed,
    "average_pool": _windowed,
    "dense": _dense,
    "add": _joined,
    "multiply": _joined,
    "concat": _concat,
    "global_pool": _pooled,
    "flatten": _flat,
    "activation": _same,
}
