"""Zero-cost proxies: what an untrained net says about how well it will train, in a second or so.

Each is a function (model, x, y) -> float, the larger the better, that leaves the model as it was.
They are filters and no judges: how well they go with accuracy differs from space to space, and the
number of MACs is a proxy too, often as good a one (White et al., "A Deeper Look at Zero-Cost
Proxies for Lightweight NAS", 2022). `correlation` says what one is worth on nets that were trained.

Gradients are taken in the backend that Keras runs on (TensorFlow, JAX, Torch), by `_gradients`;
the rest is Keras's ops.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

BATCH = 64  # samples that are enough for all of these

Proxy = Callable[[Any, np.ndarray, np.ndarray], float]


def grad_norm(model: Any, x: np.ndarray, y: np.ndarray) -> float:
    """The norm of the loss's gradient by the weights, summed over layers.

    Source: Abdelfattah et al., "Zero-Cost Proxies for Lightweight NAS", 2021.
    """
    from .recipe import loss_of

    loss, targets = loss_of(model)
    wanted = targets(y)
    found = _gradients(model, lambda: loss(wanted, model(x, training=True)))
    return _finite(sum(float(np.sqrt(np.sum(np.square(g)))) for g in found))


def synflow(model: Any, x: np.ndarray, y: np.ndarray) -> float:
    """The logarithm of the sum of weight times gradient, where all weights are positive.

    The gradient is that of the sum of outputs for an input of ones, so no data are needed: it
    counts the paths through the net by their strength. Batch norm is left at its start, where it
    changes nothing.

    Source: Tanaka et al., "Pruning neural networks without any data by iteratively conserving
    synaptic flow", 2020; as a proxy, Abdelfattah et al., 2021. The last activation is left out:
    softmax's outputs sum to one whatever the weights are.
    """
    import keras

    logits = _without_last_activation(model)
    before = [variable.numpy() for variable in model.variables]
    try:
        for variable in model.trainable_variables:
            variable.assign(keras.ops.abs(variable))
        ones = np.ones((1, *x.shape[1:]), np.float32)
        found = _gradients(logits, lambda: keras.ops.sum(logits(ones, training=False)))
        flow = sum(
            float(np.sum(np.abs(gradient * variable.numpy())))
            for gradient, variable in zip(found, logits.trainable_variables, strict=True)
        )
    finally:
        for variable, value in zip(model.variables, before, strict=True):
            variable.assign(value)
    return math.log(flow) if 0 < flow < math.inf else -math.inf


def naswot(model: Any, x: np.ndarray, y: np.ndarray) -> float:
    """How differently a net's ReLUs switch for different samples: the log-determinant of a kernel.

    Its entries count the units that are both on or both off for two samples. Where two samples
    switch all alike the net can't tell them apart, and the determinant is zero.

    Source: Mellor et al., "Neural Architecture Search without Training", 2021.
    """
    count = len(x)
    kernel = np.zeros((count, count))
    for outputs in _activations(model, x):
        on = (outputs.reshape(count, -1) > 0).astype(np.float64)
        kernel += on @ on.T + (1 - on) @ (1 - on).T
    if not kernel.any():
        return -math.inf
    sign, log = np.linalg.slogdet(kernel)
    return float(log) if sign > 0 else -math.inf


def jacob_cov(model: Any, x: np.ndarray, y: np.ndarray) -> float:
    """How little gradients by different inputs go together, by their correlation's eigenvalues.

    Source: Mellor et al., 2020, the first version of the same paper.
    """
    import keras

    logits = _without_last_activation(model)
    variable = keras.Variable(x)
    (found,) = _gradients(
        logits, lambda: keras.ops.sum(logits(variable, training=True)), [variable]
    )
    rows = np.asarray(found, np.float64).reshape(len(x), -1)
    rows = rows - rows.mean(1, keepdims=True)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    if not np.isfinite(norms).all() or (norms <= 1e-12).any():
        return -math.inf
    values = np.linalg.eigvalsh((rows / norms) @ (rows / norms).T)
    small = 1e-5
    values = np.maximum(values, 0) + small
    return float(-np.sum(np.log(values) + 1 / values))


PROXIES: Mapping[str, Proxy] = {
    "grad_norm": grad_norm,
    "synflow": synflow,
    "naswot": naswot,
    "jacob_cov": jacob_cov,
}


def scores(
    model: Any, x: np.ndarray, y: np.ndarray, which: Sequence[str] = ("naswot", "synflow")
) -> dict[str, float]:
    """Several proxies of one model, on the first samples.

    Raises:
        ValueError: a proxy that isn't known.
    """
    if unknown := [name for name in which if name not in PROXIES]:
        raise ValueError(f"no proxy {unknown[0]!r}; known are {', '.join(PROXIES)}")
    return {name: PROXIES[name](model, x[:BATCH], y[:BATCH]) for name in which}


def rank(table: Sequence[Mapping[str, float]]) -> list[float]:
    """One figure for each net of several proxies': the mean of its ranks, 0 (worst) to 1 (best).

    Proxies have units of their own, so their ranks are what can be added up.

    Example:
        >>> rank([{"naswot": 100.0, "synflow": 9.0}, {"naswot": 200.0, "synflow": 5.0}])
        [0.5, 0.5]
    """
    if not table:
        return []
    columns = [_ranks([row[name] for row in table]) for name in table[0]]
    return np.mean(columns, axis=0).tolist()


def correlation(one: Sequence[float], other: Sequence[float]) -> float:
    """Spearman's rank correlation, -1 to 1; NaN where one side is all the same."""
    first, second = _ranks(one), _ranks(other)
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return math.nan
    return float(np.corrcoef(first, second)[0, 1])


def _ranks(values: Sequence[float]) -> np.ndarray:
    """From 0 to 1; equal values share the mean of their ranks. NaN counts as least."""
    array = np.nan_to_num(
        np.asarray(values, np.float64), nan=-np.inf, posinf=np.inf, neginf=-np.inf
    )
    below = (array[None, :] < array[:, None]).sum(1)
    same = (array[None, :] == array[:, None]).sum(1)
    return (below + (same - 1) / 2) / max(1, len(array) - 1)


def _finite(value: float) -> float:
    return value if math.isfinite(value) else -math.inf


def _numpy(tensor: Any) -> np.ndarray:
    import keras

    return np.asarray(keras.ops.convert_to_numpy(tensor))


def _activations(model: Any, x: np.ndarray) -> list[np.ndarray]:
    """What ReLUs give out, those inside of other layers too."""
    import keras

    tensors = [layer.output for layer in model.layers if _is_relu(layer)]
    if not tensors:
        return []
    statistics = [variable.numpy() for variable in model.non_trainable_variables]
    try:  # with the statistics of the batch: those at the start are nobody's
        outputs = keras.Model(model.inputs[0], tensors)(x, training=True)
    finally:
        for variable, value in zip(model.non_trainable_variables, statistics, strict=True):
            variable.assign(value)
    return [_numpy(one) for one in keras.tree.flatten(outputs)]


def _is_relu(layer: Any) -> bool:
    name = getattr(getattr(layer, "activation", None), "__name__", type(layer).__name__).lower()
    return name in ("relu", "relu6", "hard_swish", "hard_silu")


def _without_last_activation(model: Any) -> Any:
    """The same model, weights shared, up to its logits."""
    import keras

    last = model.layers[-1]
    if isinstance(last, (keras.layers.Activation, keras.layers.Softmax)):
        return keras.Model(model.inputs[0], last.input)
    if getattr(last, "activation", None) is None:
        return model
    twin = type(last).from_config({**last.get_config(), "activation": "linear"})
    logits = keras.Model(model.inputs[0], twin(last.input))
    twin.set_weights(last.get_weights())
    return logits


def _gradients(
    model: Any, value: Callable[[], Any], variables: Sequence[Any] | None = None
) -> list[np.ndarray]:
    """Of a scalar by variables, by default the model's trainable ones; zeros where none reach."""
    import keras

    variables = list(model.trainable_variables if variables is None else variables)
    statistics = [variable.numpy() for variable in model.non_trainable_variables]
    try:
        found = _DERIVED[keras.backend.backend()](value, variables)
    finally:
        for variable, before in zip(model.non_trainable_variables, statistics, strict=True):
            variable.assign(before)
    return [
        np.zeros(tuple(v.shape)) if g is None else _numpy(g)
        for g, v in zip(found, variables, strict=True)
    ]


def _by_tensorflow(value: Callable[[], Any], variables: list[Any]) -> list[Any]:
    import tensorflow as tf

    inner = [variable.value for variable in variables]
    with tf.GradientTape() as tape:
        result = value()
    return [None if g is None else tf.convert_to_tensor(g) for g in tape.gradient(result, inner)]


def _by_jax(value: Callable[[], Any], variables: list[Any]) -> list[Any]:
    import jax  # type: ignore[import-not-found]
    import keras

    def of(values: list[Any]) -> Any:
        with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
            return value()

    return jax.grad(of)([variable.value for variable in variables])


def _by_torch(value: Callable[[], Any], variables: list[Any]) -> list[Any]:
    import torch  # type: ignore[import-not-found]

    return list(torch.autograd.grad(value(), [v.value for v in variables], allow_unused=True))


_DERIVED: Mapping[str, Callable[..., list[Any]]] = {
    "tensorflow": _by_tensorflow,
    "jax": _by_jax,
    "torch": _by_torch,
}
