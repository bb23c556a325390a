"""Keras's callbacks on a prepared model: weights and ranges together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import keras
from keras import layers

from tflm_opt.quant import qat, quantize

pytestmark = [pytest.mark.tensorflow, pytest.mark.filterwarnings("ignore")]

RATES = (0.02, 0.01, 50.0, 50.0, 50.0)  # the third epoch ruins the net


def test_callbacks_stop_schedule_and_keep_the_best(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 6)).astype(np.float32)
    y = x[:, :3].argmax(1)
    net = keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(8, activation="relu"),
            layers.Dense(3, activation="softmax"),
        ]
    )
    prepared = qat.prepare(net)
    prepared.compile(keras.optimizers.SGD(), "sparse_categorical_crossentropy")
    file = tmp_path / "best.keras"
    states: list[list[np.ndarray]] = []
    callbacks: list[Any] = [
        keras.callbacks.LearningRateScheduler(lambda epoch: RATES[epoch]),
        keras.callbacks.EarlyStopping("val_loss", patience=2, restore_best_weights=True),
        keras.callbacks.ModelCheckpoint(file, "val_loss", save_best_only=True),
        keras.callbacks.LambdaCallback(
            on_epoch_end=lambda *_: states.append([np.array(w) for w in prepared.get_weights()])
        ),
    ]
    history = prepared.fit(
        x, y, validation_data=(x, y), epochs=5, verbose=0, callbacks=callbacks
    ).history
    np.testing.assert_allclose(history["learning_rate"], RATES[:4])  # stopped after two worse ones
    assert int(np.argmin(history["val_loss"])) == 1
    kept = prepared.get_weights()
    for now, best in zip(kept, states[1], strict=True):
        np.testing.assert_array_equal(now, best)
    # Ranges are among them, and had moved on.
    moved = [
        w.path
        for w, last in zip(prepared.weights, states[3], strict=True)
        if np.any(np.array(w) != last)
    ]
    assert any("range" in path for path in moved)
    again: Any = keras.saving.load_model(file)
    np.testing.assert_array_equal(again(x), prepared(x))
    assert quantize(again).tflite == quantize(prepared).tflite
