"""A net written layer by layer: each layer reads the one before it unless told otherwise."""

from __future__ import annotations

from typing import Any

from ..net import Layer, Net, Shape


class Chain:
    """Layers in the order in which they are added.

    Example:
        >>> chain = Chain((8, 8, 3))
        >>> chain.add("stem", "conv", filters=4, kernel=(3, 3))
        'stem'
        >>> chain.scores(10).macs
        6952
    """

    def __init__(self, shape: Shape) -> None:
        self._layers = [Layer("image", "input", shape=shape)]

    @property
    def last(self) -> str:
        """Name of the layer that was added last."""
        return self._layers[-1].name

    def add(self, name: str, kind: str, *inputs: str, **options: Any) -> str:
        """Append a layer, and return its name; `options` are fields of `Layer`."""
        self._layers.append(Layer(name, kind, inputs or (self.last,), **options))
        return name

    def gate(self, name: str, filters: int, squeezed: int) -> str:
        """Squeeze and excitation of the last layer, which has so many filters.

        A mean per channel, two dense layers (as 1×1 convolutions) and a sigmoid weigh the
        channels (Hu et al., 2018).
        """
        source = self.last
        self.add(f"{name}_pool", "global_pool", keep=True)
        self.add(f"{name}_squeeze", "conv", filters=squeezed, activation="relu")
        self.add(f"{name}_excite", "conv", filters=filters, activation="sigmoid")
        return self.add(f"{name}_scale", "multiply", source, f"{name}_excite")

    def scores(self, classes: int) -> Net:
        """The net, ended by a mean over rows and columns, a dense layer and softmax."""
        self.add("pool", "global_pool")
        self.add("scores", "dense", filters=classes, activation="softmax")
        return Net(tuple(self._layers))
