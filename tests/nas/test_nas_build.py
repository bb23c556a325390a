"""The Keras model of a net and the graph that is priced for it are one net."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from net_cases import NETS, image, pool

from tflm_opt import graph, passes, quant
from tflm_opt.graph.ir import Graph, Tensor
from tflm_opt.nas import zoo
from tflm_opt.nas.build import build
from tflm_opt.nas.lower import lower
from tflm_opt.nas.net import Net

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::tflm_opt.quant.CalibrationWarning"),
]
keras = pytest.importorskip("keras")
pytest.importorskip("tensorflow")

CONVERTED = {**NETS, "mlperf_tiny_ic": zoo.mlperf_tiny_ic()}


def structure(g: Graph) -> Any:
    """Kinds, options, shapes and who reads whom, from the output back; no names, no order."""
    makers = {op.output: op for op in g.ops}
    known: dict[Tensor, Any] = {}

    def of(tensor: Tensor | None) -> Any:
        if tensor is None:
            return None
        if tensor not in known:
            op = makers.get(tensor)
            what = (tensor.shape, tensor.dtype, len(tensor.quant.scale) if tensor.quant else 0)
            # Axes are part of what an op does; weights are not.
            values = tensor.data.tolist() if tensor.constant and tensor.quant is None else None
            read = tuple(of(t) for t in op.inputs) if op else ()
            known[tensor] = (op and (op.kind, op.options), *what, values, read)
        return known[tensor]

    return len(g.ops), [of(t) for t in g.inputs], [of(t) for t in g.outputs]


def awake(model: Any) -> Any:
    """The model with biases that training would have given it; the converter drops zeros."""
    rng = np.random.default_rng(0)
    for weight in model.weights:
        if weight.path.endswith(("bias", "beta")):
            weight.assign(rng.normal(0, 0.1, weight.shape))
    return model


@pytest.mark.parametrize("name", CONVERTED)
def test_the_converter_makes_the_same_graph(name: str) -> None:
    net = CONVERTED[name]
    data = np.random.default_rng(0).normal(size=(8, *net.input_shape)).astype(np.float32)
    converted = quant.quantize(awake(build(net, seed=1)), data).tflite
    ours = lower(net)
    theirs = passes.run(graph.read(converted), passes.default_pipeline())
    assert structure(ours) == structure(theirs)


@pytest.mark.parametrize("name", CONVERTED)
def test_shapes_and_names_are_the_net_s(name: str) -> None:
    net = CONVERTED[name]
    model = build(net)
    shapes = net.shapes()
    for layer in net.layers:
        made = model.get_layer(layer.name)
        if layer.kind != "input":
            assert made.output.shape[1:] == shapes[layer.name]
        assert not (layer.norm and made.use_bias)
    assert model.output.shape[1:] == shapes[net.layers[-1].name]
    norms = [one for one in model.layers if isinstance(one, keras.layers.BatchNormalization)]
    assert {one.name for one in norms} == {f"{one.name}_norm" for one in net.layers if one.norm}


def test_the_seed_decides_layer_by_layer() -> None:
    net = NETS["sigmoids"]
    one, same, other = (build(net, seed=seed) for seed in (0, 0, 1))
    pairs = list(zip(one.get_weights(), same.get_weights(), strict=True))
    assert all(np.array_equal(a, b) for a, b in pairs)
    assert not np.array_equal(one.get_weights()[0], other.get_weights()[0])
    shorter = build(Net(net.layers[:2]), seed=0)  # the same first layer in another net
    assert np.array_equal(one.get_weights()[0], shorter.get_weights()[0])


def test_norm_needs_weights() -> None:
    with pytest.raises(ValueError, match=r"layer 'p'.*norm=True"):
        build(Net((image(8, 8, 2), pool("max", "p", "image", 2, 2, norm=True))))


def run_on(backend: str, code: str, **environment: str) -> None:
    search = os.pathsep.join((os.path.dirname(__file__), *sys.path))
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": search, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def with_backend(name: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(find_spec(name) is None, reason=f"{name} is not installed")


OTHERS = [pytest.param(name, marks=with_backend(name)) for name in ("jax", "torch")]


@pytest.mark.parametrize("backend", OTHERS)
def test_another_backend(backend: str) -> None:
    run_on(
        backend,
        """
import sys, keras, numpy as np
from net_cases import NETS
from tflm_opt.nas.build import build
model = build(NETS["every kind, odd sizes"], seed=0)
out = keras.ops.convert_to_numpy(model(np.ones((2, 33, 30, 3), "float32")))
assert out.shape == (2, 5) and np.allclose(out.sum(1), 1, atol=1e-5)
assert "tensorflow" not in sys.modules, "TensorFlow"
""",
    )


@pytest.mark.parametrize("backend", OTHERS)
def test_a_supernet_is_trained_and_cut_on_another_backend(backend: str) -> None:
    """What it says of a net is what the net does that comes out of it, which can be trained on."""
    run_on(
        backend,
        """
import keras, numpy as np
from elastic_space import ElasticSpace
from tflm_opt.nas import recipe
from tflm_opt.nas.data import resized
from tflm_opt.nas.space import smallest
from tflm_opt.nas.supernet import Supernet
from tflm_opt.nas.training import Training
rng, space = np.random.default_rng(0), ElasticSpace()
y = rng.integers(0, 4, 160)
x = rng.normal(y[:, None, None, None], 1, (160, 16, 16, 1)).astype("float32")
supernet = Supernet(space).train(x, y, Training(epochs=4, batch=32, drawn=1, rate=1e-2))
assert supernet.history[-1] < supernet.history[0], supernet.history
scores = supernet.scores(smallest(space), x[:64], x)
model = supernet.extract(smallest(space), x[:64])
small = resized(x, model.input_shape[1:3])
found = keras.ops.convert_to_numpy(model(small, training=False))
assert np.allclose(np.exp(scores) / np.exp(scores).sum(1, keepdims=True), found, atol=1e-5)
before = recipe.accuracy(model, small, y)
how = recipe.Recipe(epochs=6, batch=32, rate=1e-2, augment=("shift", "flip"))
recipe.train(model, small, y, how, seed=0)
assert recipe.accuracy(model, small, y) > max(before, 0.5)
""",
    )


@with_backend("jax")
def test_a_supernet_is_trained_on_several_devices_as_on_one() -> None:
    """But for the order in which floats are summed up."""
    run_on(
        "jax",
        """
import keras, numpy as np
from elastic_space import TinySpace
from tflm_opt.nas.supernet import Supernet
from tflm_opt.nas.training import Training
rng = np.random.default_rng(0)
net = Supernet(TinySpace()).whole
x = rng.normal(size=(32, *net.input_shape)).astype("float32")
y = rng.integers(0, net.shapes()[net.layers[-1].name][-1], 32)
assert len(keras.distribution.list_devices()) == 2
histories = []
for split in (None, keras.distribution.DataParallel()):
    keras.distribution.set_distribution(split)
    histories.append(Supernet(TinySpace()).train(x, y, Training(epochs=2, batch=16)).history)
assert np.allclose(*histories, rtol=0.01) and histories[0] != [0, 0], histories
""",
        XLA_FLAGS="--xla_force_host_platform_device_count=2",
    )
