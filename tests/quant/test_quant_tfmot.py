"""tensorflow-model-optimization: its models come out full int8, its training leaves no trace."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")
tf_keras = pytest.importorskip("tf_keras")

import tflm_opt  # noqa: E402
from tflm_opt.errors import CalibrationError, MissingTool, ToolFailed, UnsupportedModel  # noqa: E402
from tflm_opt.quant import CalibrationWarning, quantize  # noqa: E402
from tflm_opt.quant.floatmodel import ModelInput  # noqa: E402
from tflm_opt.quant.tfmot import data, files, training, wrappers  # noqa: E402

try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tfmot = files.import_tfmot("for tests")
except MissingTool:
    pytest.skip("needs tensorflow-model-optimization", allow_module_level=True)

pytestmark = [pytest.mark.slow, pytest.mark.tensorflow, pytest.mark.filterwarnings("ignore")]

HERE = Path(__file__).parent
ROOT = Path(tflm_opt.__file__).parents[1]
RNG = np.random.default_rng(0)
X = RNG.normal(size=(48, 8, 8, 3)).astype("float32")
Y = RNG.integers(0, 3, 48)


def net() -> Any:
    layers = tf_keras.layers
    inputs = tf_keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(8, 3, use_bias=False)(inputs)
    x = layers.ReLU(6.0)(layers.BatchNormalization()(x))
    x = layers.Conv2D(16, 3, strides=2, activation="relu")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return tf_keras.Model(inputs, layers.Dense(3, activation="softmax")(x))


def fitted(model: Any, *callbacks: Any) -> Any:
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(X, Y, batch_size=16, epochs=1, verbose=0, callbacks=list(callbacks))
    return model


# Trained once each: what no call may change, tests can share.
@cache
def aware() -> Any:
    return fitted(tfmot.quantization.keras.quantize_model(net()))


@cache
def pruned() -> Any:
    sparsity = tfmot.sparsity.keras
    schedule = sparsity.ConstantSparsity(0.75, 0, frequency=1)
    model = sparsity.prune_low_magnitude(net(), pruning_schedule=schedule)
    return fitted(model, sparsity.UpdatePruningStep())


def stripped() -> Any:
    """The pruned net without wrappers, in layers of its own."""
    base = tfmot.sparsity.keras.strip_pruning(pruned())
    copy = tf_keras.models.clone_model(base)
    copy.set_weights(base.get_weights())
    return copy


@cache
def clustered() -> Any:
    clustering = tfmot.clustering.keras
    start = clustering.CentroidInitialization.LINEAR
    return fitted(clustering.cluster_weights(net(), 6, cluster_centroids_init=start))


def combined(scheme: str) -> Any:
    """Pruned, then trained with quantization that keeps the zeros; or clustered, and the like."""
    quantization = tfmot.quantization.keras
    if scheme == "PrunePreserve":
        base = stripped()
    else:
        base = tfmot.clustering.keras.strip_clustering(clustered())
    copy = tf_keras.models.clone_model(base)
    copy.set_weights(base.get_weights())
    rule = getattr(tfmot.experimental.combine, f"Default8Bit{scheme}QuantizeScheme")()
    return fitted(quantization.quantize_apply(quantization.quantize_annotate_model(copy), rule))


def snapshot(model: Any) -> Any:
    scores = model.predict(X[:4], verbose=0).tobytes()  # first: tfmot's layers note things then
    return (
        [w.tobytes() for w in model.get_weights()],
        [(type(one).__name__, one.name, len(one._inbound_nodes)) for one in model.layers],
        [sorted(vars(getattr(one, "layer", one))) for one in model.layers],
        scores,
    )


def saved(model: Any, folder: Path, ending: str) -> Path:
    path = folder / ("folder" if ending == "folder" else f"model.{ending}")
    model.save(path)
    return path


def check(tflite: bytes, model: Any) -> Any:
    """Full int8, bit-exact in TFLM and in the engine, and close to what the model says."""
    result = tflm_opt.optimize(tflite, verbose=0)
    assert result.bit_exact
    assert {t.dtype for op in result.graph.ops for t in op.outputs} == {"int8"}
    error = np.abs(result.predict(X) - model.predict(X, verbose=0)).max()
    assert error < 0.06, error
    return result


@pytest.mark.parametrize(
    ("make", "endings", "refused"),
    [
        pytest.param(aware, ("keras", "h5", "folder"), (), id="qat"),
        pytest.param(lambda: combined("PrunePreserve"), ("keras",), (), id="pqat"),
        pytest.param(lambda: combined("ClusterPreserve"), ("folder",), ("keras", "h5"), id="cqat"),
    ],
)
def test_trained_with_quantization_needs_no_calibration(
    make: Callable[[], Any], endings: tuple[str, ...], refused: tuple[str, ...], tmp_path: Path
) -> None:
    model = make()
    before = snapshot(model)
    made = quantize(model)
    assert (made.calibration, made.samples, made.warnings) == ("trained", 0, ())
    assert snapshot(model) == before
    check(made.tflite, model)
    for ending in endings:
        assert quantize(saved(model, tmp_path, ending)).tflite == made.tflite, ending
    for ending in refused:
        with pytest.raises(UnsupportedModel, match="strip_clustering_cqat"):
            quantize(saved(model, tmp_path, ending))


def test_given_data_is_not_used_and_that_is_said() -> None:
    made = quantize(aware(), X)
    assert made.calibration == "trained"
    assert "not used" in made.warnings[0]


@pytest.mark.parametrize("make", [pruned, clustered])
def test_wrappers_are_taken_off_a_copy(make: Callable[[], Any], tmp_path: Path) -> None:
    model = make()
    before = snapshot(model)
    made = quantize(model, X)
    assert "were taken off on a copy" in made.warnings[0]
    assert snapshot(model) == before
    own = tfmot.sparsity.keras.strip_pruning
    if make is clustered:
        own = tfmot.clustering.keras.strip_clustering
    for ending in ("keras", "h5") if make is pruned else ("folder",):
        assert quantize(saved(model, tmp_path, ending), X).tflite == made.tflite, ending
    assert quantize(own(model), X).tflite == made.tflite
    check(made.tflite, model)


def test_pruned_weights_gain_for_stock_tflm_and_it_is_said() -> None:
    model = pruned()
    result = tflm_opt.optimize(model, calibration=X, runtime="tflm", compress=True, verbose=0)
    assert result.bit_exact
    assert result.compression is not None
    assert result.compression.saved > 100
    assert {one.coding for one in result.compression.tensors} <= {"pruning", "lut4", "lut5", "lut6"}
    assert any("constants take" in w or "pruning left no channel" in w for w in result.warnings)


def test_nested_models_lose_their_wrappers_too() -> None:
    sparsity = tfmot.sparsity.keras
    block = tf_keras.Sequential(
        [tf_keras.layers.Dense(9, activation="relu", input_shape=(6,)), tf_keras.layers.Dense(4)]
    )
    inner = sparsity.prune_low_magnitude(block)
    inputs = tf_keras.Input((6,))
    model = tf_keras.Model(inputs, tf_keras.layers.Softmax()(inner(inputs)))
    clean = wrappers.stripped(model).model
    assert [type(one).__name__ for one in wrappers.layers_of(clean)] == [
        "InputLayer",
        "Dense",
        "Dense",
        "Softmax",
    ]


def test_untrained_ranges_warn() -> None:
    model = tfmot.quantization.keras.quantize_model(net())
    with pytest.warns(CalibrationWarning, match="not trained"):
        assert "NOT TO BE TRUSTED" in quantize(model).warnings[0]


def test_partly_quantized_models_are_calibrated() -> None:
    quantization = tfmot.quantization.keras

    def only_dense(layer: Any) -> Any:
        dense = isinstance(layer, tf_keras.layers.Dense)
        return quantization.quantize_annotate_layer(layer) if dense else layer

    annotated = tf_keras.models.clone_model(net(), clone_function=only_dense)
    with pytest.raises(UnsupportedModel, match="quantize_apply"):
        quantize(annotated, X)
    model = fitted(quantization.quantize_apply(annotated))
    made = quantize(model, X)
    assert made.calibration == "given"
    check(made.tflite, model)


def test_a_tf_keras_model_is_trained_and_zeros_stay() -> None:
    model = stripped()
    before = snapshot(model)
    made = quantize(model, train=(X, Y), trainer="tfmot", epochs=1)
    assert made.calibration == "trained"
    assert any("were kept in training" in one for one in made.warnings)
    assert snapshot(model) == before
    result = check(made.tflite, model)
    kernels = [
        t.data for op in result.graph.ops for t in op.inputs if t is not None and t.data is not None
    ]
    first = next(k for k in kernels if k.ndim == 4)
    assert (first == 0).mean() > 0.6


def test_training_leaves_no_trace(tmp_path: Path) -> None:
    """All of quantization, failing calls too, in a process with Keras 3; see the script."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("TF_USE_LEGACY_KERAS", None)
    command = [sys.executable, str(HERE / "tfmot_isolation.py"), str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    made = found.pop("made")
    assert {name: one["changed"] for name, one in found.items()} == {key: [] for key in found}
    errors = {name: one["error"] for name, one in found.items()}
    assert [name for name, error in errors.items() if error is None] == ["ptq", "qat", "tfmot"]
    assert errors["ptq, bad data"].startswith("CalibrationError")
    assert "'own" in errors["tfmot, own layer"]
    assert 'quantize="qat"' in errors["tfmot, own layer"]
    assert errors["tfmot, unknown to it"].startswith("UnsupportedModel")
    assert "p_re_lu" in errors["tfmot, unknown to it"]
    assert "40 and 3" in errors["qat, bad data"]
    assert "40, 3 samples" in errors["tfmot, bad data"]
    assert made["bit_exact"]
    assert made["inputs"] == [["image", "int8"]]
    assert made["dtypes"] == ["int8"]
    assert made["calibration"] == "trained"
    assert made["ticks"] == sorted(made["ticks"])
    assert made["ticks"][-1] == 1.0
    assert len(made["ticks"]) == 4  # 40 samples, 2 epochs
    assert made["snr"] > 30


def stub(folder: Path, text: str) -> str:
    path = folder / "child"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_ctrl_c_ends_the_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = f"echo $$ > {tmp_path}/pid\necho '{{\"fraction\": 0.5}}'\nexec sleep 600"
    monkeypatch.setattr(training.sys, "executable", stub(tmp_path, text))

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        training._run(tmp_path, interrupt)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("echo last words >&2; kill -SEGV $$", "signal 11"),
        ("echo last words >&2; exit 7", "status 7"),
        ("echo last words >&2; echo 'not JSON'", "status 0"),
    ],
)
def test_a_crash_is_told_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    monkeypatch.setattr(training.sys, "executable", stub(tmp_path, text))
    with pytest.raises(ToolFailed, match=message) as caught:
        training._run(tmp_path, lambda _: None)
    assert caught.value.output == "last words"


def test_the_child_cleans_up_when_its_parent_is_gone(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    command = [sys.executable, "-m", "tflm_opt.quant.tfmot.child", str(folder)]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as child:
        assert child.stdin is not None
        child.stdin.close()
        assert child.wait(60) == 1
    assert not folder.exists()


INPUT = [ModelInput("image", (8, 8, 3), keys=("photo",))]


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ((X, Y[:5]), "48, 5 samples"),
        ((X[:, :4], Y), "the model takes"),
        ((np.where(X > 2, np.nan, X), Y), "NaN"),
        ((X[:0], Y[:0]), "empty"),
        (iter([(X, Y), (X[:, :4], Y)]), "batch 1"),
        (iter([X]), "must be a tuple"),
        (iter([]), "empty"),
        (((X, Y) for _ in iter(int, 1)), "larger than"),
        (({"other": X}, Y), "no 'image'"),
        ((X, np.array(["a"] * 48)), "no arrays of numbers"),
        (3, "can't be read"),
    ],
)
def test_bad_training_data_is_refused(train: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match=message):
        data.write(train, INPUT, ("scores",), tmp_path, bound=1 << 20)


def test_data_goes_over_as_it_is(tmp_path: Path) -> None:
    batches = [({"photo": X[i : i + 16]}, Y[i : i + 16], np.ones(16)) for i in (0, 16, 32)]
    record = data.write(iter(batches), INPUT, ("scores",), tmp_path).record()
    (images,), (labels,), (weights,) = record["inputs"], record["labels"], record["weights"]
    assert images["shape"] == [48, 8, 8, 3]
    assert np.array_equal(np.fromfile(tmp_path / images["file"], "<f4"), X.ravel())
    assert np.array_equal(np.fromfile(tmp_path / labels["file"], labels["dtype"]), Y)
    assert weights["shape"] == [48]
