"""What pruning and clustering by tfmot save in flash under stock TFLM, and what that costs.

    python benchmarks/compressed_weights.py           # a table
    python benchmarks/compressed_weights.py --json

Trains a small net on scikit-learn's handwritten digits, prunes and clusters copies of it, and
optimizes each for stock TFLM without and with `compress=True`. Accuracy is that of the int8 model
on held-out digits; every file is proved equal to the model that came in, by running both in TFLM.
"""

from __future__ import annotations

import argparse
import json
import os
import warnings
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
warnings.simplefilter("ignore")

import numpy as np  # noqa: E402

import tflm_opt  # noqa: E402
from tflm_opt.quant.tfmot import files  # noqa: E402

EPOCHS = 12
SPARSITY = 0.8
CLUSTERS = 16


def digits() -> tuple[np.ndarray, ...]:
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(images))
    x = (images[order].reshape(-1, 8, 8, 1) / 16).astype(np.float32)
    y = labels[order]
    return x[:1400], y[:1400], x[1400:], y[1400:]


def net() -> Any:
    import tf_keras

    layers = tf_keras.layers
    return tf_keras.Sequential(
        [
            tf_keras.Input((8, 8, 1)),
            layers.Conv2D(32, 3, activation="relu", padding="same"),
            layers.Conv2D(48, 3, strides=2, activation="relu", padding="same"),
            layers.Conv2D(64, 3, strides=2, activation="relu", padding="same"),
            layers.Flatten(),
            layers.Dense(32, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )


def fit(model: Any, x: np.ndarray, y: np.ndarray, epochs: int, *callbacks: Any) -> Any:
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(x, y, epochs=epochs, verbose=0, callbacks=list(callbacks))
    return model


def models(x: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    tfmot = files.import_tfmot("for this benchmark")
    import tf_keras

    tf_keras.utils.set_random_seed(0)
    base = fit(net(), x, y, EPOCHS)

    def copy() -> Any:
        made = tf_keras.models.clone_model(base)
        made.set_weights(base.get_weights())
        return made

    sparsity, clustering = tfmot.sparsity.keras, tfmot.clustering.keras
    schedule = sparsity.PolynomialDecay(0.3, SPARSITY, 0, 44 * (EPOCHS // 2))
    pruned = sparsity.prune_low_magnitude(copy(), pruning_schedule=schedule)
    fit(pruned, x, y, EPOCHS, sparsity.UpdatePruningStep())
    start = clustering.CentroidInitialization.KMEANS_PLUS_PLUS
    clustered = clustering.cluster_weights(copy(), CLUSTERS, cluster_centroids_init=start)
    fit(clustered, x, y, EPOCHS // 2)
    return {
        "as trained": base,
        f"pruned, {SPARSITY:.0%} zeros": pruned,
        f"clustered, {CLUSTERS} values": clustered,
    }


def row(model: Any, x: np.ndarray, held: tuple[np.ndarray, np.ndarray]) -> dict[str, Any]:
    plain = tflm_opt.optimize(model, calibration=x[:200], runtime="tflm", verbose=0)
    small = tflm_opt.optimize(model, calibration=x[:200], runtime="tflm", compress=True, verbose=0)
    assert plain.bit_exact
    assert small.bit_exact
    assert small.tflm is not None
    assert plain.tflm is not None
    return {
        "accuracy": small.evaluate(*held).int8,
        "flash": plain.flash.total,
        "compressed": small.flash.total,
        "arena": plain.tflm.after.total,
        "arena_compressed": small.tflm.after.total,
        "codings": sorted({one.coding for one in small.compression.tensors}),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    x, y, *held = digits()
    rows = {name: row(model, x, (held[0], held[1])) for name, model in models(x, y).items()}
    if asked.json:
        print(json.dumps(rows, indent=2))
        return
    print("| weights | int8 accuracy | file, bytes | compressed | arena | compressed | codings |")
    print("|---|---|---|---|---|---|---|")
    for name, one in rows.items():
        print(
            f"| {name} | {one['accuracy']:.3f} | {one['flash']:,} | {one['compressed']:,} "
            f"| {one['arena']:,} | {one['arena_compressed']:,} | {', '.join(one['codings'])} |"
        )


if __name__ == "__main__":
    main()
