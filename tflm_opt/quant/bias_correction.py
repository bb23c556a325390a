"""Bias correction: take the mean error that rounding makes out of each layer's output.

Rounded weights shift the mean of a channel. Layer by layer, in order, the mean of each output
channel in int8 is compared with float on calibration data and the difference given to the bias, so
that a layer is corrected on inputs that are corrected already. The empirical form of what Nagel et
al. (2019) do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from .calibration import Sample
from .float_graph import FloatGraph, watch

_SAMPLES = 64  # means need few


def correct(
    graph: FloatGraph,
    original: FloatGraph,
    samples: Sequence[Sample],
    quantized: Callable[[bytes], bytes],
) -> None:
    """Change the biases of `graph` in place, towards the means of `original`.

    `quantized` makes the int8 file of a float one. `original` computes the same function with the
    same tensors.
    """
    some = samples[:: max(1, len(samples) // _SAMPLES)][:_SAMPLES]
    expected = means(original.pack(), some)
    for op in range(len(graph.kinds)):
        name = graph.name(graph.outputs(op)[0])
        if not graph.has_weights(op) or name not in expected:
            continue
        found = means(quantized(graph.pack()), some).get(name)
        if found is not None and found.shape == expected[name].shape == graph.bias(op).shape:
            graph.set_constant(op, 2, graph.bias(op) + (expected[name] - found))


def means(tflite: bytes, samples: Sequence[Sample]) -> dict[str, np.ndarray]:
    """The mean of every channel of every activation."""
    sums: dict[str, np.ndarray] = {}

    def see(tensors: dict[str, np.ndarray]) -> None:
        for name, value in tensors.items():
            if value.ndim:
                mean = value.reshape(-1, value.shape[-1]).mean(axis=0, dtype=np.float64)
                sums[name] = sums.get(name, 0.0) + mean

    watch(tflite, samples, see)
    return {name: total / len(samples) for name, total in sums.items()}
