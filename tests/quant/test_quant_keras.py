"""Keras, tf_keras, files and SavedModels to int8, against the float model's own outputs."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tflm_opt
from tflm_opt import quant
from tflm_opt.errors import CalibrationError, InvalidModel, TflmOptError, UnsupportedModel

pytestmark = [
    pytest.mark.tensorflow,
    # Keras's own, with NumPy 2, whenever it saves a model.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

keras = pytest.importorskip("keras")
tf = pytest.importorskip("tensorflow")

SHAPE = (12, 10, 3)
SAMPLES = 40


@pytest.fixture(scope="module")
def data() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(SAMPLES, *SHAPE)).astype(np.float32)


def tiny(api: Any, last: str = "softmax") -> Any:
    """A small CNN with batch-norm, in Keras 3 or tf_keras."""
    layers = api.layers
    inputs = layers.Input(SHAPE, name="image")
    x = layers.Conv2D(6, 3, use_bias=False, name="conv")(inputs)
    x = layers.ReLU(name="relu")(layers.BatchNormalization(name="norm")(x))
    x = layers.DepthwiseConv2D(3, strides=2, padding="same", name="depthwise")(x)
    x = layers.Dense(4, activation=last, name="scores")(layers.Flatten(name="flat")(x))
    return api.Model(inputs, x, name="tiny")


@pytest.fixture(scope="module")
def net(data: np.ndarray) -> Any:
    from models.builders import calibrate_batchnorm, randomize_offsets

    keras.utils.set_random_seed(1)
    model = tiny(keras)
    randomize_offsets(model, np.random.default_rng(1))
    calibrate_batchnorm(model, [data])
    return model


@pytest.fixture(scope="module")
def quantized(net: Any, data: np.ndarray) -> quant.Quantized:
    return quant.quantize(net, data)


def details(tflite: bytes) -> SimpleNamespace:
    """The file in LiteRT's reference interpreter, with its inputs and outputs described."""
    from ai_edge_litert import interpreter as litert

    engine = litert.Interpreter(
        model_content=tflite,
        experimental_op_resolver_type=litert.OpResolverType.BUILTIN_REF,
    )
    engine.allocate_tensors()
    return SimpleNamespace(
        engine=engine,
        inputs=engine.get_input_details(),
        outputs=engine.get_output_details(),
        ops=[op["op_name"] for op in engine._get_ops_details()],
    )


def run(tflite: bytes, samples: list[tuple[np.ndarray, ...]]) -> list[list[np.ndarray]]:
    """Float samples through the file, quantizing and dequantizing at its borders."""
    file = details(tflite)
    results = []
    for sample in samples:
        for tensor, value in zip(file.inputs, sample, strict=True):
            value = value[np.newaxis]
            if tensor["dtype"] == np.int8:
                scale, zero = tensor["quantization"]
                value = np.clip(np.round(value / scale) + zero, -128, 127)
            file.engine.set_tensor(tensor["index"], value.astype(tensor["dtype"]))
        file.engine.invoke()
        row = []
        for tensor in file.outputs:
            value = file.engine.get_tensor(tensor["index"])[0].astype(np.float32)
            if tensor["dtype"] == np.int8:
                scale, zero = tensor["quantization"]
                value = (value - zero) * scale
            row.append(value)
        results.append(row)
    return results


def assert_follows_float(result: quant.Quantized, samples: list[tuple[np.ndarray, ...]]) -> None:
    """Every output tracks the float model's: a swap of inputs or outputs can't pass."""
    expected, got = result.predict(samples), run(result.tflite, samples)
    assert len(got[0]) == len(result.outputs)
    for index in range(len(result.outputs)):
        float_values = np.stack([row[index] for row in expected])
        int8_values = np.stack([row[index] for row in got])
        assert float_values.shape == int8_values.shape
        spread = float_values.std(axis=0).mean()
        assert spread > 0
        assert np.abs(float_values - int8_values).mean() < 0.12 * spread


def singles(data: np.ndarray) -> list[tuple[np.ndarray, ...]]:
    return [(one,) for one in data]


def test_int8_follows_float(quantized: quant.Quantized, data: np.ndarray) -> None:
    assert_follows_float(quantized, singles(data))
    file = details(quantized.tflite)
    assert [tensor["dtype"] for tensor in file.inputs + file.outputs] == [np.int8, np.int8]
    assert [tensor["name"] for tensor in file.inputs] == ["image"]
    assert list(file.inputs[0]["shape_signature"]) == [1, *SHAPE]
    assert (quantized.calibration, quantized.warnings, quantized.samples) == ("given", (), SAMPLES)
    assert quantized.outputs == ("scores",)


def test_predict_is_the_float_model(net: Any, quantized: quant.Quantized, data: np.ndarray) -> None:
    rows = quantized.predict(singles(data))
    np.testing.assert_allclose(np.stack([row[0] for row in rows]), net(data), rtol=1e-4, atol=1e-6)


def test_same_call_same_bytes(net: Any, quantized: quant.Quantized, data: np.ndarray) -> None:
    assert quant.quantize(net, data).tflite == quantized.tflite
    assert quant.quantize(net, list(data)).tflite == quantized.tflite
    few = [quant.quantize(net, data, samples=12, seed=seed).tflite for seed in (1, 1, 2)]
    assert few[0] == few[1]
    assert few[0] != few[2]


def test_float_borders(net: Any, data: np.ndarray) -> None:
    result = quant.quantize(net, data, io="float32")
    file = details(result.tflite)
    assert [tensor["dtype"] for tensor in file.inputs + file.outputs] == [np.float32, np.float32]
    assert (file.ops[0], file.ops[-1]) == ("QUANTIZE", "DEQUANTIZE")
    assert_follows_float(result, singles(data))


def test_without_data_it_works_and_warns(net: Any) -> None:
    with pytest.warns(quant.CalibrationWarning, match="NOT TO BE TRUSTED") as caught:
        result = quant.quantize(net)
    assert Path(caught[0].filename).name == Path(__file__).name  # points at the caller
    assert result.calibration == "drawn"
    assert result.samples == 200
    assert "NOT TO BE TRUSTED" in result.warnings[0]
    with pytest.warns(quant.CalibrationWarning):
        assert quant.quantize(net).tflite == result.tflite
    with pytest.warns(quant.CalibrationWarning):
        assert quant.quantize(net, seed=1).tflite != result.tflite
    with pytest.warns(quant.CalibrationWarning) as caught:
        tflm_opt.optimize(net, verbose=0, verify=False)
    assert Path(caught[0].filename).name == Path(__file__).name  # and through the front door too


def test_datasets(net: Any, quantized: quant.Quantized, data: np.ndarray) -> None:
    labels = np.zeros(SAMPLES)
    pairs = tf.data.Dataset.from_tensor_slices((data, labels))

    class Sequence(keras.utils.PyDataset):
        def __len__(self) -> int:
            return 4

        def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
            part = slice(10 * index, 10 * index + 10)
            return data[part], labels[part]

    for given in (
        pairs,
        pairs.batch(16),
        tf.data.Dataset.from_tensor_slices({"image": data}).batch(7),
        tf.data.Dataset.from_tensor_slices(data).repeat().take(SAMPLES),
        Sequence(),
        tf.constant(data),
    ):
        assert quant.quantize(net, given).tflite == quantized.tflite


def save_with_keras_3(model: Any, path: Path) -> Path:
    model.save(path)
    return path


def save_with_tf_keras(model: Any, path: Path) -> Path:
    pytest.importorskip("tf_keras").saving.save_model(as_tf_keras(model), str(path))
    return path


def export(model: Any, path: Path) -> Path:
    model.export(path, verbose=False)
    return path


def as_tf_keras(model: Any) -> Any:
    twin = tiny(pytest.importorskip("tf_keras"))
    twin.set_weights(model.get_weights())
    return twin


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda net, at: save_with_keras_3(net, at / "m.keras"), id="keras"),
        pytest.param(lambda net, at: save_with_keras_3(net, at / "m.h5"), id="h5"),
        pytest.param(lambda net, at: export(net, at / "m"), id="saved_model"),
        pytest.param(lambda net, at: as_tf_keras(net), id="tf_keras"),
        pytest.param(lambda net, at: save_with_tf_keras(net, at / "t.keras"), id="tf_keras-keras"),
        pytest.param(lambda net, at: save_with_tf_keras(net, at / "t.h5"), id="tf_keras-h5"),
        pytest.param(lambda net, at: save_with_tf_keras(net, at / "t"), id="tf_keras-saved"),
    ],
)
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5:UserWarning")
def test_every_source_gives_the_same_function(
    net: Any, quantized: quant.Quantized, data: np.ndarray, tmp_path: Path, make: Callable
) -> None:
    model = make(net, tmp_path)
    assert quant.is_keras(model)
    if isinstance(model, Path):
        model = str(model)
    result = quant.quantize(model, data)
    assert [one.name for one in result.inputs] == ["image"]
    expected, got = run(quantized.tflite, singles(data)), run(result.tflite, singles(data))
    np.testing.assert_allclose(got, expected, atol=2 / 256)  # two steps of a softmax's output


def test_inputs_and_outputs_keep_their_order() -> None:
    from models.builders import build

    model, (right, left, pose) = build("two_eyes")
    given = {"pose": pose, "left": left, "right": right}
    result = quant.quantize(model, given)
    assert [one.name for one in result.inputs] == ["right", "left", "pose"]
    assert [one["name"] for one in details(result.tflite).inputs] == ["right", "left", "pose"]
    assert result.outputs == ("kind", "depth")
    samples = list(zip(right, left, pose, strict=True))
    assert_follows_float(result, samples)
    swapped = [(b, a, c) for a, b, c in samples]
    assert (
        np.abs(
            np.stack([r[0] for r in run(result.tflite, samples)])
            - np.stack([r[0] for r in run(result.tflite, swapped)])
        ).max()
        > 0.1
    )
    assert quant.quantize(model, [right, left, pose]).tflite == result.tflite


@pytest.mark.filterwarnings("ignore:When providing `inputs` as a dict:UserWarning")
def test_dict_of_inputs_by_key_or_by_name(data: np.ndarray) -> None:
    flat = data[:, 0, :4, 0], 5 * data[:, 1, :4, 0]
    inputs = {"z": keras.Input((4,), name="first"), "a": keras.Input((4,), name="second x")}
    outputs = {
        "up": keras.layers.Dense(2)(inputs["z"]),
        "down": keras.layers.Dense(3)(inputs["a"]),
    }
    model = keras.Model(inputs, outputs)
    by_key = quant.quantize(model, {"z": flat[0], "a": flat[1]})
    by_name = quant.quantize(model, {"first": flat[0], "second x": flat[1]})
    assert by_key.tflite == by_name.tflite
    assert [one.name for one in by_key.inputs] == ["second_x", "first"]
    assert_follows_float(by_key, list(zip(flat[1], flat[0], strict=True)))


def test_nearest_upsampling_becomes_a_resize_and_the_model_stays(data: np.ndarray) -> None:
    inputs = keras.Input(SHAPE)
    up = keras.layers.UpSampling2D((2, 3))
    model = keras.Model(inputs, keras.layers.Conv2D(2, 3)(up(inputs)))
    result = quant.quantize(model, data)
    assert details(result.tflite).ops == ["RESIZE_NEAREST_NEIGHBOR", "CONV_2D"]
    assert_follows_float(result, singles(data))
    assert "call" not in vars(up)


def test_mixed_precision_converts_and_the_policy_stays(data: np.ndarray) -> None:
    inputs = keras.Input(SHAPE)
    layer = keras.layers.Conv2D(3, 3, dtype="mixed_float16", activation="relu")
    result = quant.quantize(keras.Model(inputs, layer(inputs)), data)
    assert details(result.tflite).ops == ["CONV_2D"]
    assert layer.dtype_policy.name == "mixed_float16"
    assert_follows_float(result, singles(data))


class Subclassed(keras.Model):
    def __init__(self) -> None:
        super().__init__(name="mine")
        self.conv = keras.layers.Conv2D(3, 3)

    def call(self, x: Any) -> Any:
        return self.conv(x), keras.ops.relu(x)


def test_built_subclassed_model(data: np.ndarray) -> None:
    model = Subclassed()
    model(data[:2])
    result = quant.quantize(model, data)
    assert result.outputs == ("output_0", "output_1")
    assert_follows_float(result, singles(data))


class Branching(keras.Model):
    def call(self, x: Any) -> Any:
        return x + 1 if keras.ops.sum(x) > 0 else x * 2


def branching() -> Any:
    model = Branching()
    model(np.ones((1, 4)))
    return model


def on_image(make: Callable[[Any], Any]) -> Any:
    inputs = keras.Input(SHAPE, name="image")
    return keras.Model(inputs, make(inputs))


def sequential(*layers: Any) -> Any:
    return keras.Sequential(list(layers))


UNSUPPORTED = {
    "dynamic": (
        lambda: sequential(keras.Input((None, None, 3)), keras.layers.Conv2D(2, 3)),
        r"\(None, None, None, 3\) is dynamic.*Rebuild it with fixed sizes",
    ),
    "batch": (
        lambda: sequential(keras.Input(batch_shape=(4, 8)), keras.layers.Dense(2)),
        "batch is fixed at 4",
    ),
    "unbuilt": (lambda: sequential(keras.layers.Dense(2)), "never built.*Call it once"),
    "unbuilt class": (Subclassed, "'mine'.*never built"),
    "tokens": (
        lambda: sequential(keras.Input((8,), dtype="int32"), keras.layers.Embedding(9, 4)),
        "the input is int32",
    ),
    "no TFLite op": (
        lambda: on_image(lambda x: keras.ops.erf(keras.layers.Conv2D(2, 3)(x))),
        "Erf: TFLite has no such op.*Replace it",
    ),
    "float island": (
        lambda: on_image(lambda x: keras.ops.cos(keras.layers.Conv2D(2, 3)(x))),
        "2:COS.*left it in float",
    ),
    "loop": (
        lambda: sequential(keras.Input((6, 3)), keras.layers.GRU(4)),
        "While: a loop.*unroll=True",
    ),
    "branch": (branching, "can't trace.*depends on a tensor's values"),
    "float64": (
        lambda: sequential(keras.Input((6,)), keras.layers.Dense(4, dtype="float64")),
        "float type other than float32",
    ),
    "nothing": (lambda: on_image(keras.layers.Identity()), "computes nothing"),
    "not a model": (lambda: keras.layers.Dense(2), "nothing that we know"),
    "bytes": (lambda: b"\x1c\0\0\0TFL3", "no Keras model can be read"),
}


@pytest.mark.parametrize("case", UNSUPPORTED)
@pytest.mark.filterwarnings("ignore::tflm_opt.quant.calibration.CalibrationWarning")
def test_unsupported_models_are_refused_with_a_reason(case: str) -> None:
    make, message = UNSUPPORTED[case]
    with pytest.raises(UnsupportedModel, match=message):
        quant.quantize(make())


def test_damaged_files_are_invalid(net: Any, tmp_path: Path) -> None:
    for suffix in ("keras", "h5"):
        path = tmp_path / f"m.{suffix}"
        net.save(path)
        path.write_bytes(path.read_bytes()[:2000])
        with pytest.raises(InvalidModel, match=r"m\."):
            quant.quantize(path)
    net.save_weights(tmp_path / "m.weights.h5")
    with pytest.raises(UnsupportedModel, match=r"weights only.*load_weights"):
        quant.quantize(tmp_path / "m.weights.h5")
    with pytest.raises(InvalidModel, match="no such file"):
        quant.quantize(tmp_path / "missing.keras")
    (tmp_path / "saved_model.pb").write_bytes(b"junk")
    with pytest.raises(InvalidModel, match="can't load this SavedModel"):
        quant.quantize(tmp_path)


def test_unknown_class_in_a_file(data: np.ndarray, tmp_path: Path) -> None:
    model = Subclassed()
    model(data[:1])
    model.save(tmp_path / "mine.keras")
    with pytest.raises(UnsupportedModel, match=r"'Subclassed'.*pass the object"):
        quant.quantize(tmp_path / "mine.keras")


def test_bad_arguments(net: Any, data: np.ndarray) -> None:
    with pytest.raises(TflmOptError, match="io='int16'"):
        quant.quantize(net, data, io="int16")  # type: ignore[arg-type]
    with pytest.raises(CalibrationError, match=r"expected \(12, 10, 3\)"):
        quant.quantize(net, data[:, :5])


def test_nothing_global_changes(net: Any, data: np.ndarray, tmp_path: Path) -> None:
    path = save_with_keras_3(net, tmp_path / "m.keras")
    weights = [np.array(one) for one in net.get_weights()]

    def globals_now() -> list[Any]:
        return [
            dict(os.environ),
            random.getstate(),
            np.random.get_state()[1].tolist(),
            keras.config.dtype_policy().name,
            keras.config.floatx(),
            keras.config.image_data_format(),
            tf.config.functions_run_eagerly(),
            tf.get_logger().level,
            keras.layers.Dense(2).name,
            float(tf.random.uniform(())),
        ]

    seeds = []
    for convert in (False, True):
        keras.utils.clear_session()
        keras.utils.set_random_seed(3)
        assert keras.layers.Dense(2).name == "dense"  # the next one must be "dense_1"
        if convert:
            quant.quantize(net, data)
            quant.quantize(path, data).predict(singles(data[:2]))
        seeds.append(globals_now())
    assert seeds[0] == seeds[1]
    for before, after in zip(weights, net.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    assert not net.compiled


def test_eager_functions_and_other_policies_do_not_matter(
    net: Any, quantized: quant.Quantized, data: np.ndarray
) -> None:
    tf.config.run_functions_eagerly(True)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        assert quant.quantize(net, data).tflite == quantized.tflite
        assert tf.config.functions_run_eagerly()
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        tf.config.run_functions_eagerly(False)
        keras.config.set_dtype_policy("float32")


def test_progress_reports_phases(net: Any, data: np.ndarray) -> None:
    seen: list[tuple[str, float]] = []
    quant.quantize(net, data, progress=lambda phase, done: seen.append((phase, done)))
    phases = ["load", "convert", "calibrate", "equalize"]
    assert list(dict.fromkeys(phase for phase, _ in seen)) == phases
    for phase in phases[2:]:
        done = [fraction for one, fraction in seen if one == phase]
        assert done == [pytest.approx((i + 1) / len(data)) for i in range(len(data))]
        with pytest.raises(ZeroDivisionError, match=f"of {phase}"):
            quant.quantize(net, data, progress=failing(phase))


def failing(at: str) -> Callable[[str, float], None]:
    def broken(phase: str, done: float) -> None:
        if phase == at:
            raise ZeroDivisionError(f"the caller's own, of {at}")

    return broken


def test_images_already_divided_are_noticed(data: np.ndarray) -> None:
    model = on_image(lambda x: keras.layers.Conv2D(2, 3)(keras.layers.Rescaling(1 / 255)(x)))
    positive = np.abs(data) / np.abs(data).max()
    with pytest.warns(quant.CalibrationWarning, match="spans 0 to 1, but the model expects 0 to"):
        assert quant.quantize(model, positive.round(2)).warnings
    assert quant.quantize(model, positive * 255).warnings == ()


_CHILD = """
import os, signal, sys, tempfile
import numpy as np
from tflm_opt import quant
def interrupt(phase, done):
    if phase == "calibrate" and done > 0.3:
        print("progress bar", file=sys.stderr)
        os.kill(os.getpid(), signal.SIGINT)
data = np.random.default_rng(0).normal(size=(40, 12, 10, 3))
quant.quantize(sys.argv[1], data)
assert "tf_keras" not in sys.modules
print("quiet", flush=True)
try:
    quant.quantize(sys.argv[1], data, progress=interrupt)
except KeyboardInterrupt:
    print("interrupted", os.listdir(tempfile.gettempdir()), flush=True)
print("stderr is back", file=sys.stderr)
"""


def test_quiet_interruptible_and_leaves_no_files(net: Any, tmp_path: Path) -> None:
    path = save_with_keras_3(net, tmp_path / "m.keras")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, str(path)],
        env={**os.environ, "TMPDIR": str(scratch)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.stdout == "quiet\ninterrupted []\n"
    assert done.stderr == "progress bar\nstderr is back\n"
    assert done.returncode == 0
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_real_messages_on_stderr_are_passed_on() -> None:
    from tflm_opt.quant import isolate

    shown, write = os.pipe()
    saved = os.dup(2)
    os.dup2(write, 2)
    try:
        with isolate.quiet() as silence:
            os.write(2, b"I0000 00:00:1795351752.421598    7918 port.cc:153] chatter\n\n")
            os.write(2, b"F0000 00:00:1795351752.421598    7918 x.cc:1] Check failed\n")
            with silence.lifted():
                os.write(2, b"50%\n")
            os.write(2, b"another thread's words\n")
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(write)
    with os.fdopen(shown) as reader:
        lines = reader.read().splitlines()
    assert lines[0] == "50%"
    assert [line[-12:] for line in lines[1:]] == ["Check failed", "read's words"]


def test_mobilenet_v2_is_fast(data: np.ndarray) -> None:
    from models.builders import build

    model, (images,) = build("mobilenet_v2_035_96")
    start = time.perf_counter()
    result = quant.quantize(model, images)
    assert time.perf_counter() - start < 40
    assert len(result.tflite) < 700_000


@pytest.mark.parametrize("wrap", [False, True], ids=["plain", "reshaped"])
def test_an_untrained_nets_softmax_gets_a_scale_that_tflm_runs(wrap: bool) -> None:
    from tflm_opt.graph import read

    layers = keras.layers
    inputs = keras.Input((6, 6, 1))
    x = layers.Dense(4, kernel_initializer="zeros", use_bias=False)(layers.Flatten()(inputs))
    x = layers.Softmax()(layers.Reshape((2, 2))(x) if wrap else x)
    made = quant.quantize(keras.Model(inputs, x), np.random.default_rng(0).random((10, 6, 6, 1)))
    softmax = next(op for op in read(made.tflite).ops if op.kind == "SOFTMAX")
    assert softmax.inputs[0].quant.scale[0] == 2.0**-25
    assert any("untrained" in warning for warning in made.warnings)
    assert tflm_opt.optimize(made.tflite, verbose=0, vectors=4).bit_exact


def test_a_trained_nets_scales_stay(quantized: quant.Quantized) -> None:
    from tflm_opt.quant.widen import widened

    assert widened(quantized.tflite) == (quantized.tflite, ())


def test_an_input_that_nothing_reads_is_named() -> None:
    used, unused = keras.Input((4,), name="used"), keras.Input((3,), name="unused")
    model = keras.Model([used, unused], keras.layers.Dense(2)(used))
    data = [np.random.default_rng(0).random((10, size)) for size in (4, 3)]
    for io in ("int8", "float32"):
        with pytest.raises(UnsupportedModel, match=r"'unused'.*never reads this input"):
            quant.quantize(model, data, io=io)


@pytest.mark.parametrize(
    ("model", "layer"), [("größe", "a"), ("a b", "a"), ("ok", "größe"), ("ok", "x*y"), ("_x", "a")]
)
def test_a_name_that_tensorflow_refuses_is_named(model: str, layer: str) -> None:
    net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name=layer)], name=model)
    culprit = model if model != "ok" else layer
    with pytest.raises(UnsupportedModel, match=f"called '{re.escape(culprit)}'.*Name it with"):
        quant.quantize(net, np.random.default_rng(0).random((10, 4)))
    fresh = keras.layers.Dense(1, name="fresh")
    fresh.build((None, 2))
    assert fresh.kernel.path == "fresh/kernel"  # no scope of the refused model is open still
