"""What tensorflow-model-optimization leaves around the layers of a tf_keras model, and how it goes.

A pruned or clustered layer is wrapped; the wrapper's inference is the layer's own, but its
bookkeeping doesn't convert. `stripped` makes the model that is meant: layers anew from their
configs, with the weights that inference uses, so nothing of the user's model is touched or shared.
The wrappers of quantization-aware training stay, for they hold the ranges.

tfmot itself is never imported here: what it made is known by the modules of its classes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import ToolFailed, UnsupportedModel

PACKAGE = "tensorflow_model_optimization"

CLUSTERING = "clustering"
_PRUNED = ("PruneLowMagnitude",)
_CLUSTERED = ("ClusterWeights",)
_OTHER_CLUSTERED = ("ClusterWeightsMHA",)
_ANNOTATED = ("QuantizeAnnotate",)
_QUANTIZED = ("QuantizeWrapper", "QuantizeWrapperV2", "QuantizeLayer")
_NOT_COMPUTING = ("InputLayer",)
_UNTRAINED = ((-6.0, 6.0), (0.0, 0.0))  # where tfmot's ranges begin: of activations, of inputs
_SAMPLES = 4


@dataclass(frozen=True, slots=True)
class Stripped:
    """A model without wrappers of pruning and clustering.

    Attributes:
        model: a copy; or the model that was given, where there was nothing to strip.
        remarks: what was done, a sentence each.
    """

    model: Any
    remarks: tuple[str, ...] = ()


def kind_of(layer: Any) -> str:
    """The name of tfmot's class that a layer is, "" for any other layer."""
    for base in type(layer).__mro__:
        if base.__module__.startswith(PACKAGE):
            return base.__name__
    return ""


def layers_of(model: Any) -> list[Any]:
    """Every layer of a tf_keras model, those of nested models too, the models themselves not."""
    found: list[Any] = []
    for layer in getattr(model, "layers", ()):
        if hasattr(layer, "layers") and not kind_of(layer):
            found += layers_of(layer)
        else:
            found.append(layer)
    return found


def is_quantized(model: Any) -> bool:
    """Whether tfmot's quantization-aware training was applied to any layer."""
    return any(kind_of(layer) in _QUANTIZED for layer in layers_of(model))


def has_all_ranges(model: Any) -> bool:
    """Whether every layer that computes was made for quantization, so that no data is needed."""
    rest = [layer for layer in layers_of(model) if kind_of(layer) not in _QUANTIZED]
    return is_quantized(model) and all(type(one).__name__ in _NOT_COMPUTING for one in rest)


def is_untrained(model: Any) -> bool:
    """Whether all of a quantized model's activation ranges are still where tfmot begins them."""
    ranges = [pair for layer in layers_of(model) for pair in activation_ranges(layer)]
    found = [(float(low.numpy()), float(high.numpy())) for low, high in ranges]
    return bool(found) and all(pair in _UNTRAINED for pair in found)


def activation_ranges(layer: Any) -> list[tuple[Any, Any]]:
    """The variables (minimum, maximum) of what a quantized layer puts out."""
    kept = []
    if kind_of(layer) == "QuantizeLayer":
        kept.append(getattr(layer, "quantizer_vars", None))
    if kind_of(layer) in ("QuantizeWrapper", "QuantizeWrapperV2"):
        kept.append(getattr(layer, "_output_quantizer_vars", None))
        for activation in getattr(layer, "_quantize_activations", ()):
            kept += [
                getattr(activation, name, None)
                for name in ("_pre_activation_vars", "_post_activation_vars")
            ]
    return [(v["min_var"], v["max_var"]) for v in kept if v and "min_var" in v]


def stripped(model: Any) -> Stripped:
    """The model without wrappers of pruning and clustering, and what to say about it.

    Example:
        >>> stripped(tfmot.sparsity.keras.prune_low_magnitude(model)).model.layers[1]
        <tf_keras.src.layers.convolutional.conv2d.Conv2D object>

    Raises:
        UnsupportedModel: annotated for quantization which was never applied; a subclassed model;
            a layer that can't be made anew from its config.
    """
    names = {kind_of(layer) for layer in layers_of(model)}
    if names.intersection(_ANNOTATED):
        raise UnsupportedModel(
            f"model {model.name!r} is annotated for quantization, and that was never applied",
            remedy="Call tfmot.quantization.keras.quantize_apply(model) and train what it returns",
        )
    wrapped = names.intersection((*_PRUNED, *_CLUSTERED, *_OTHER_CLUSTERED))
    if not wrapped:
        return Stripped(model)
    copy = _rebuilt(model)
    _require_same(model, copy)
    pruned, clustered = wrapped & set(_PRUNED), wrapped & set(_CLUSTERED)
    what = " and ".join((["pruning"] if pruned else []) + ([CLUSTERING] if clustered else []))
    remark = (
        f"wrappers of {what} were still around layers: they were taken off on a copy "
        f"({zero_share(copy):.0%} of the weights are zero)"
    )
    return Stripped(copy, (remark,))


def zero_share(model: Any) -> float:
    """The share of zeros in a model's kernels: weights of more than one dimension."""
    kernels = [w for w in model.get_weights() if np.ndim(w) > 1]
    count = sum(kernel.size for kernel in kernels)
    return sum(int((kernel == 0).sum()) for kernel in kernels) / count if count else 0.0


def _rebuilt(model: Any) -> Any:
    """A copy of a Sequential or Functional model, its wrapped layers replaced by plain ones."""
    import tf_keras

    weights: list[tuple[Any, list[np.ndarray]]] = []

    def plain(layer: Any) -> Any:
        if isinstance(layer, tf_keras.Model):
            return _rebuilt(layer)
        inner = layer.layer if kind_of(layer) in (*_PRUNED, *_CLUSTERED) else layer
        if kind_of(layer) in _OTHER_CLUSTERED:
            raise UnsupportedModel(
                f"layer {layer.name!r} is a clustered {type(inner.layer).__name__}",
                remedy="Give the model that tfmot.clustering.keras.strip_clustering returns",
            )
        new = _from_config(inner)
        weights.append((new, _weights(layer)))
        return new

    if not (isinstance(model, tf_keras.Sequential) or getattr(model, "_is_graph_network", False)):
        raise UnsupportedModel(
            f"model {model.name!r} ({type(model).__name__}) is subclassed: its wrappers can't be "
            "taken off",
            remedy="Give the model that tfmot's strip_pruning or strip_clustering returns",
        )
    copy = tf_keras.models.clone_model(model, clone_function=plain)
    if not copy.built:
        copy.build(model.input_shape)
    for layer, values in weights:
        layer.set_weights(values)
    return copy


def _from_config(layer: Any) -> Any:
    try:
        return type(layer).from_config(layer.get_config())
    except Exception as error:
        raise UnsupportedModel(
            f"layer {layer.name!r} ({type(layer).__name__}) can't be made anew from its config, "
            f"and so its model's wrappers can't be taken off a copy: {error}",
            remedy="Give the model that tfmot's strip_pruning or strip_clustering returns",
        ) from error


def _weights(layer: Any) -> list[np.ndarray]:
    """The weights that inference uses, in the order of the plain layer."""
    if kind_of(layer) in _PRUNED:
        return layer.layer.get_weights()
    if kind_of(layer) not in _CLUSTERED:
        return layer.get_weights()
    values = list(layer.layer.get_weights())
    for position, name in sorted(layer.position_original_weights.items()):
        values.insert(position, _clustered_weight(layer, name))
    return values


def _clustered_weight(layer: Any, name: str) -> np.ndarray:
    """The nearest centroid of each weight: as `strip_clustering` has it, changing no variable."""
    algorithm, original = (
        layer.clustering_algorithms[name],
        layer.original_clusterable_weights[name],
    )
    indices = algorithm.get_pulling_indices(original)
    value = np.array(algorithm.get_clustered_weight(indices, original))
    if not getattr(layer, "preserve_sparsity", False):
        return value
    if not getattr(layer, "cluster_per_channel", False):
        value[np.asarray(indices) == int(layer.zero_idx[name])] = 0.0
    return value * np.asarray(layer.sparsity_masks[name])


def _require_same(model: Any, copy: Any) -> None:
    """Run both on drawn inputs: what ships must be what the user evaluated."""
    import tensorflow as tf

    rng = np.random.default_rng(0)
    shapes = [tuple(1 if size is None else size for size in i.shape[1:]) for i in model.inputs]
    batch = [rng.normal(size=(_SAMPLES, *shape)).astype(np.float32) for shape in shapes]
    given: Any = batch if len(batch) > 1 else batch[0]
    if isinstance(model.input, dict):
        given = dict(zip(sorted(model.input), batch, strict=True))
    with untouched(model):
        expected = tf.nest.flatten(model(given, training=False))
    for want, have in zip(expected, tf.nest.flatten(copy(given, training=False)), strict=True):
        error = float(np.abs(want.numpy() - have.numpy()).max())
        if not error <= 1e-4 * max(1.0, float(np.abs(want.numpy()).max())):
            raise ToolFailed(
                "stripping of tfmot's wrappers",
                f"the copy's outputs differ from the model's by up to {error:.3g}. Give the model "
                "that tfmot's own strip_pruning or strip_clustering returns",
            )


@contextlib.contextmanager
def untouched(model: Any) -> Iterator[None]:
    """Put back what tfmot's wrappers write into their layers whenever they are called."""
    inner = [
        layer.layer for layer in layers_of(model) if kind_of(layer) and hasattr(layer, "layer")
    ]
    holders = [*inner, *(getattr(layer, "activation", None) for layer in inner)]
    before = [(holder, dict(vars(holder))) for holder in holders if hasattr(holder, "__dict__")]
    try:
        yield
    finally:
        for holder, fields in before:
            vars(holder).clear()
            vars(holder).update(fields)


def keeping(model: Any, call: Callable[..., Any]) -> Callable[..., Any]:
    """`call`, which runs `model`, leaving the model as it was."""

    def kept(*args: Any) -> Any:
        with untouched(model):
            return call(*args)

    return kept
