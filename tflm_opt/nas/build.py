"""A net as a Keras model: the one that is trained, beside the graph that is priced (`nas.lower`).

Keras 3 alone, so that any of its backends trains it. Keras layers are named as in the net; what
one layer of the net is made of beside that has a suffix: `<name>_norm` is its batch norm,
`<name>_act` its activation.
"""

from __future__ import annotations

import zlib
from typing import Any

from .net import Layer, Net, check_norm


def build(net: Net, *, seed: int | None = None) -> Any:
    """The Keras model of a net, with fresh weights.

    Example:
        >>> model = build(zoo.mobilenet_v2(width=0.35, resolution=96, classes=2), seed=0)
        >>> model.get_layer("stem").use_bias, model.get_layer("stem_norm").name
        (False, 'stem_norm')

    Args:
        net: what to build.
        seed: of the initial weights; each layer draws from a seed of its own, which depends on
            `seed` and the layer's name alone. None draws anew each time.

    Returns:
        keras.Model: float32, (n, rows, columns, channels) in. Softmax is part of the model where
            the net has it.

    Raises:
        ValueError: batch norm after a layer that has no weights to take it.
    """
    import keras

    for layer in net.layers:
        check_norm(layer)
    made: dict[str, Any] = {}
    for layer in net.layers:
        made[layer.name] = _add(keras, layer, [made[name] for name in layer.inputs], seed)
    first, last = net.layers[0], net.layers[-1]
    return keras.Model(made[first.name], made[last.name], name="net")


def _add(keras: Any, layer: Layer, inputs: list[Any], seed: int | None) -> Any:
    """What the layer makes of `inputs`, batch norm and activation included."""
    if layer.kind == "input":
        return keras.Input(layer.shape, name=layer.name)
    if layer.kind == "activation":
        return _activation(keras, layer.activation, layer.name)(inputs[0])
    made = _LAYERS[layer.kind](keras, layer, _initializer(keras, layer, seed))
    x = made(inputs if layer.kind in ("add", "multiply", "concat") else inputs[0])
    if layer.norm:
        x = keras.layers.BatchNormalization(name=f"{layer.name}_norm")(x)
    if layer.activation:
        x = _activation(keras, layer.activation, f"{layer.name}_act")(x)
    return x


def _initializer(keras: Any, layer: Layer, seed: int | None) -> Any:
    """He's for what a ReLU follows; Glorot's, which keeps the variance, for the rest."""
    own = None if seed is None else (seed * 1_000_003 + _number(layer.name)) % 2**31
    if layer.activation in ("relu", "relu6", "hard_swish"):
        return keras.initializers.HeNormal(seed=own)
    return keras.initializers.GlorotUniform(seed=own)


def _number(name: str) -> int:
    """The same on every machine and in every process, unlike `hash`."""
    return zlib.crc32(name.encode())


def _activation(keras: Any, kind: str, name: str) -> Any:
    if kind == "relu6":
        return keras.layers.ReLU(max_value=6.0, name=name)
    if kind == "relu":
        return keras.layers.ReLU(name=name)
    return keras.layers.Activation(kind, name=name)


def _conv(keras: Any, layer: Layer, initializer: Any) -> Any:
    return keras.layers.Conv2D(
        layer.filters,
        layer.kernel,
        layer.strides,
        layer.padding,
        use_bias=not layer.norm,
        kernel_initializer=initializer,
        name=layer.name,
    )


def _depthwise(keras: Any, layer: Layer, initializer: Any) -> Any:
    return keras.layers.DepthwiseConv2D(
        layer.kernel,
        layer.strides,
        layer.padding,
        use_bias=not layer.norm,
        depthwise_initializer=initializer,
        name=layer.name,
    )


def _dense(keras: Any, layer: Layer, initializer: Any) -> Any:
    return keras.layers.Dense(
        layer.filters, use_bias=not layer.norm, kernel_initializer=initializer, name=layer.name
    )


def _pool(keras: Any, layer: Layer, initializer: Any) -> Any:
    of = keras.layers.MaxPooling2D if layer.kind == "max_pool" else keras.layers.AveragePooling2D
    return of(layer.kernel, layer.strides, layer.padding, name=layer.name)


def _global_pool(keras: Any, layer: Layer, initializer: Any) -> Any:
    return keras.layers.GlobalAveragePooling2D(keepdims=layer.keep, name=layer.name)


def _named(kind: str) -> Any:
    return lambda keras, layer, initializer: getattr(keras.layers, kind)(name=layer.name)


_LAYERS = {
    "conv": _conv,
    "depthwise": _depthwise,
    "dense": _dense,
    "max_pool": _pool,
    "average_pool": _pool,
    "global_pool": _global_pool,
    "add": _named("Add"),
    "multiply": _named("Multiply"),
    "concat": _named("Concatenate"),
    "flatten": _named("Flatten"),
}
