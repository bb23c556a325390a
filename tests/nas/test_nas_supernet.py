"""A supernet computes what its subnets compute when they are built; its training can be resumed."""

from __future__ import annotations

import json
import resource
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from elastic_space import ElasticSpace, TinySpace

from tflm_opt.nas import checkpoints
from tflm_opt.nas.best import tuning
from tflm_opt.nas.data import Dataset, resized
from tflm_opt.nas.finish import TUNING
from tflm_opt.nas.space import largest, sample, smallest
from tflm_opt.nas.subnet import locate
from tflm_opt.nas.supernet import Supernet, SupernetEvaluator, adopt
from tflm_opt.nas.training import Steps, Training, size_of
from tflm_opt.progress import Silent

pytestmark = [
    pytest.mark.tensorflow,
    # Of Keras's, on NumPy 2.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

SPACE = ElasticSpace()
HOW = Training(epochs=12, batch=32, members=3, rate=3e-2, smoothing=0.0, augment=("shift",), seed=3)


def data(count: int = 320, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Stripes in noise: across, down, diagonal, or a checkerboard."""
    rng = np.random.default_rng(seed)
    row, column = np.mgrid[:16, :16]
    kinds = (row // 2, column // 2, (row + column) // 2, row // 2 + column // 2)
    y = rng.integers(0, 4, count)
    x = np.stack(kinds)[y] % 2 + rng.normal(0, 0.3, (count, 16, 16))
    return x[..., None].astype(np.float32), y


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Supernet, Path]:
    """And the directory of its checkpoints."""
    folder = tmp_path_factory.mktemp("study") / "supernet"
    return Supernet(SPACE).train(*data(), HOW, directory=folder), folder


def lively(supernet: Supernet) -> Supernet:
    """With factors that no channel shares, and none of which is zero."""
    rng = np.random.default_rng(1)
    for name, weight in supernet.weights.items():
        if not name.endswith("/kernel"):
            supernet.weights[name] = rng.normal(1, 0.5, weight.shape).astype(np.float32)
    return supernet


def test_a_part_of_the_largest_net_is_the_subnet_that_is_built() -> None:
    import keras

    from tflm_opt.nas.elastic import logits

    supernet, (x, _), rng = lively(Supernet(SPACE, seed=1)), data(24), np.random.default_rng(0)
    weights = {k: keras.ops.convert_to_tensor(v) for k, v in supernet.weights.items()}
    for architecture in (smallest(SPACE), largest(SPACE), *(sample(SPACE, rng) for _ in range(6))):
        subnet = supernet.locate(architecture)
        images = resized(x, size_of(subnet.net))
        sizes = keras.ops.convert_to_tensor(subnet.sizes)
        built = np.array(supernet.extract(architecture, x)(images, training=False))
        for masked in (True, False):
            ours: Any = logits(supernet.whole, weights, images, sizes=sizes, masked=masked)
            scores = np.array(ours)
            assert np.ptp(scores, axis=0).min() > 0.01  # not all the same
            expected = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
            np.testing.assert_allclose(built, expected, rtol=0, atol=3e-6)


def test_channels_that_a_subnet_lacks_get_no_gradient(trained: tuple[Supernet, Path]) -> None:
    """And those that it has get the gradient of the subnet that is built."""
    import tensorflow as tf

    from tflm_opt.nas.elastic import logits
    from tflm_opt.nas.subnet import cut

    supernet, (x, _) = trained[0], data(16)
    subnet = supernet.locate(sample(SPACE, np.random.default_rng(4)))
    images = resized(x, size_of(subnet.net))

    def gradients(net: Any, weights: dict[str, np.ndarray], **how: Any) -> dict[str, np.ndarray]:
        variables = {name: tf.constant(value) for name, value in weights.items()}
        with tf.GradientTape() as tape:
            tape.watch(list(variables.values()))
            loss = tf.reduce_mean(logits(net, variables, images, **how)[:, 0] ** 2)
        found = tape.gradient(loss, variables, unconnected_gradients="zero")
        return {name: np.array(g) for name, g in found.items()}

    whole, sizes = supernet.whole, tf.constant(subnet.sizes)
    sliced = gradients(whole, supernet.weights, sizes=sizes)
    masked = gradients(whole, supernet.weights, sizes=sizes, masked=True)
    alone = gradients(subnet.net, cut(whole, subnet, supernet.weights))
    for name, gradient in sliced.items():
        np.testing.assert_allclose(masked[name], gradient, rtol=1e-3, atol=1e-6)
        own = alone.get(name, np.zeros(0))
        assert np.isclose(np.abs(gradient).sum(), np.abs(own).sum(), rtol=1e-3, atol=1e-5)
    cuts = cut(whole, subnet, sliced)
    for name, gradient in alone.items():
        np.testing.assert_allclose(cuts[name], gradient, rtol=1e-3, atol=1e-5)


def test_batch_norm_has_the_gradient_that_tensorflow_derives() -> None:
    import tensorflow as tf

    from tflm_opt.nas.fused import EPSILON, normalized

    rng = np.random.default_rng(0)
    x, weight = (tf.constant(rng.normal(1, 2, (8, 5, 4, 3)).astype("float32")) for _ in "xy")
    gamma, beta = (tf.constant(rng.normal(1, 1, 3).astype("float32")) for _ in "gb")

    def plain(x: Any, gamma: Any, beta: Any) -> Any:
        mean, variance = tf.nn.moments(x, (0, 1, 2))
        return (x - mean) * gamma / tf.sqrt(variance + EPSILON) + beta

    found = []
    for norm in (normalized, plain):
        with tf.GradientTape() as tape:
            tape.watch([x, gamma, beta])
            y = norm(x, gamma, beta)
            loss = tf.reduce_sum(y * y * weight)
        found.append([y, *tape.gradient(loss, [x, gamma, beta])])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)


def test_calibration_pools_passes_to_the_moments_of_all_images(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from tflm_opt.nas import supernet as module

    supernet, (x, _) = Supernet(SPACE), data(40)
    subnet = supernet.locate(largest(SPACE))
    _, once = supernet.calibrated(subnet, x)
    monkeypatch.setattr(module, "_CHUNK", 20)
    _, twice = supernet.calibrated(subnet, x)
    for left, right in zip(once["stem"], twice["stem"], strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-5)


def test_training_teaches_small_nets_too(trained: tuple[Supernet, Path]) -> None:
    supernet, (x, y) = trained[0], data(200, seed=9)
    assert len(supernet.history) == HOW.epochs
    assert supernet.history[-1] < supernet.history[0]
    for architecture in (largest(SPACE), smallest(SPACE)):
        assert supernet.accuracy(architecture, data(64)[0], x, y) > 0.6  # by chance 0.25


def test_a_resumed_training_ends_as_one_that_was_not_interrupted(tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    class StopAfterAnEpoch(Silent):
        def detail(self, done: int, total: int) -> None:
            if done == 1:
                raise Stop

    space, how = TinySpace(), Training(epochs=3, batch=32, seed=5)
    whole = Supernet(space).train(*data(), how)
    with pytest.raises(Stop):
        Supernet(space).train(
            *data(), how, directory=tmp_path, seconds=0, progress=StopAfterAnEpoch()
        )
    with np.load(tmp_path / "state.npz") as state:
        assert int(state["step"]) == 9  # of ten in an epoch: the tenth was done, and not saved
        assert np.abs(state["weights/stem/kernel"] - whole.weights["stem/kernel"]).max() > 1e-3
    resumed = Supernet(space).train(*data(), how, directory=tmp_path)
    for name, weight in whole.weights.items():
        np.testing.assert_allclose(resumed.weights[name], weight, rtol=1e-5, atol=1e-6)
    assert len(resumed.history) == len(whole.history) == 3
    assert resumed.history[1:] == pytest.approx(whole.history[1:], rel=1e-5)


def test_a_trained_directory_is_loaded_and_not_trained_again(
    trained: tuple[Supernet, Path],
) -> None:
    supernet, folder = trained
    loaded = Supernet.load(folder)  # the space from its JSON
    again = Supernet(SPACE).train(*data(), HOW, directory=folder)
    for name, weight in supernet.weights.items():
        np.testing.assert_array_equal(loaded.weights[name], weight)
        np.testing.assert_array_equal(again.weights[name], weight)
    assert loaded.history == supernet.history == again.history


def test_its_nets_are_trained_on_as_it_was_trained(trained: tuple[Supernet, Path]) -> None:
    """So that `Trial.optimize` doesn't forget what the search was told of the images."""
    supernet, folder = trained
    loaded = Supernet.load(folder, space=SPACE)
    assert loaded.how == supernet.how == HOW
    assert tuning(loaded) == replace(TUNING, smoothing=0.0, augment=("shift",))
    loaded.how = replace(HOW, augment=("flip",), smoothing=0.1)
    assert tuning(loaded) == replace(TUNING, smoothing=0.1, augment=("flip",))
    assert tuning(Supernet(SPACE)) == TUNING


def test_the_evaluator_of_a_study_gives_what_the_extracted_model_does(
    trained: tuple[Supernet, Path],
) -> None:
    folder = trained[1].parent
    (x, y), (x_val, y_val) = data(), data(50, seed=5)
    Dataset(x, y, x_val, y_val, 4).save(folder)
    evaluator, other = SupernetEvaluator.load(folder), SupernetEvaluator.load(folder)
    architecture = sample(SPACE, np.random.default_rng(2))
    net = SPACE.net(architecture)
    found = evaluator.evaluate(architecture, net, seed=1)
    assert found == other.evaluate(architecture, net, seed=2)
    model = evaluator.supernet.extract(architecture, evaluator.calibration)
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    _, accuracy = model.evaluate(resized(x_val, size_of(net)), y_val, verbose=0)
    assert found.accuracy == pytest.approx(accuracy, abs=1e-6)


def test_a_full_disk_leaves_the_checkpoint_before(
    trained: tuple[Supernet, Path], tmp_path: Path
) -> None:
    from tflm_opt.nas import checkpoints

    checkpoints.open_folder(tmp_path, {})
    checkpoints.save_state(tmp_path, {"a": np.arange(3)})
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, old[1]))
        with pytest.raises(OSError, match=r"state\.npz"):
            checkpoints.save_state(tmp_path, {"a": np.zeros(10_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)
    state = checkpoints.read_state(tmp_path)
    assert state is not None
    assert state["a"].tolist() == [0, 1, 2]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["state.npz", "supernet.json"]


def test_directories_that_hold_something_else_are_refused(
    trained: tuple[Supernet, Path], tmp_path: Path
) -> None:
    folder = trained[1]
    before = (folder / "state.npz").read_bytes()
    with pytest.raises(ValueError, match="another training"):
        Supernet(SPACE).train(*data(), Training(epochs=3), directory=folder)
    with pytest.raises(ValueError, match="another data"):
        Supernet(SPACE).train(*data(319), HOW, directory=folder)
    with pytest.raises(ValueError, match="another space"):
        Supernet.load(folder, space=ElasticSpace(sizes=(16,)))
    with pytest.raises(ValueError, match="holds no supernet"):
        Supernet.load(tmp_path)
    assert (folder / "state.npz").read_bytes() == before

    settings = json.loads((folder / "supernet.json").read_text())
    (tmp_path / "supernet.json").write_text(json.dumps(settings))
    with pytest.raises(ValueError, match="no state yet"):
        Supernet.load(tmp_path)
    (tmp_path / "state.npz").write_bytes(before[:1000])
    with pytest.raises(ValueError, match="damaged"):
        Supernet.load(tmp_path)
    (tmp_path / "supernet.json").write_text(json.dumps({**settings, "format": 99}))
    with pytest.raises(ValueError, match="format 99"):
        Supernet.load(tmp_path)


def test_data_that_do_not_suit_the_nets_are_refused() -> None:
    supernet, (x, y) = Supernet(SPACE), data()
    with pytest.raises(ValueError, match="resolutions can't be above the data's"):
        supernet.train(x[:, :12, :12], y, HOW)
    with pytest.raises(ValueError, match="the nets have 4 classes"):
        supernet.train(x, y + 1, HOW)
    with pytest.raises(ValueError, match="n images, n class numbers"):
        supernet.train(x, y[:5], HOW)


def test_a_loss_that_is_no_number_ends_the_training() -> None:
    from tflm_opt.nas import sandwich

    class Diverges:
        optimizer: Any = type("", (), {})()

        def train_on_batch(self, x: Any, y: Any, return_dict: bool) -> dict[str, float]:
            return {"loss": float("nan")}

    steps, saved = Steps(SPACE, *data(), HOW), []
    model: Any = Diverges()
    with pytest.raises(ValueError, match="the loss of step 3 is nan: lower the rate"):
        sandwich.run(model, steps, 3, seconds=0, save=saved.append, report=lambda *_: None)
    assert not saved


@pytest.mark.parametrize(
    "wrong", [{"epochs": 0}, {"rate": 0.0}, {"smoothing": 1.0}, {"members": 1}]
)
def test_trainings_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Training(**wrong)


def test_the_rate_rises_and_falls_to_zero() -> None:
    rates = [HOW.rate_at(step / 1000) for step in range(1001)]
    assert max(rates) == rates[50] == HOW.rate
    assert rates[:51] == sorted(rates[:51])
    assert rates[50:] == sorted(rates[50:], reverse=True)
    assert rates[-1] == pytest.approx(0)


def test_steps_are_a_function_of_the_seed() -> None:
    x, y = data()
    one, same, other = (Steps(SPACE, x, y, Training(seed=s, batch=16)) for s in (1, 1, 2))
    for step in (0, 4):
        members, labels = one(step)
        again, labels_again = same(step)
        assert [m["images"].shape[1] for m in members][:2] == [16, 11]
        assert [float(m["teaches"][0, 0]) for m in members] == [1, 0, 0, 0]
        np.testing.assert_array_equal(labels, labels_again)
        for a, b in zip(members, again, strict=True):
            assert all(np.array_equal(a[k], b[k]) for k in a)
        assert not np.array_equal(other(step)[0][0]["images"], members[0]["images"])


def test_steps_of_some_nets_train_those_and_the_labels_teach_them_all() -> None:
    rng, (x, y) = np.random.default_rng(2), data()
    nets = [sample(SPACE, rng) for _ in range(3)]
    steps = Steps(SPACE, x, y, Training(batch=16), nets)
    known = [steps.space.net(net) for net in nets]
    sizes = [locate(steps.whole, net).sizes.reshape(1, -1) for net in known]
    seen = []
    for step in range(20):
        members, _ = steps(step)
        assert len(members) == 4
        for one in members:
            assert one["teaches"].min() == 1
            seen += [i for i in range(3) if np.array_equal(one["sizes"][:1], sizes[i])][:1]
    assert len(seen) == 80
    assert set(seen) == {0, 1, 2}


def test_a_supernet_of_some_nets_knows_those(tmp_path: Path) -> None:
    nets = [smallest(SPACE), sample(SPACE, np.random.default_rng(1))]
    supernet = Supernet(SPACE).train(*data(), HOW, nets=nets, directory=tmp_path)
    x, y = data(200, seed=9)
    assert min(supernet.accuracy(net, data(64)[0], x, y) for net in nets) > 0.6
    assert Supernet.load(tmp_path).how == HOW
    with pytest.raises(ValueError, match="another nets"):
        Supernet(SPACE).train(*data(), HOW, nets=nets[:1], directory=tmp_path)
    with pytest.raises(ValueError, match="another nets"):
        Supernet(SPACE).train(*data(), HOW, directory=tmp_path)


def test_a_study_takes_over_a_supernet_of_its_own_space_and_data(
    trained: tuple[Supernet, Path], tmp_path: Path
) -> None:
    supernet, folder = trained
    x, y = data()
    of_study = Dataset(x, y, x[:8], y[:8], int(y.max()) + 1)
    adopt(folder, tmp_path / "taken", SPACE, of_study)
    taken = Supernet.load(tmp_path / "taken", space=SPACE)
    for name, weight in supernet.weights.items():
        np.testing.assert_array_equal(taken.weights[name], weight)

    others = Dataset(x[::-1].copy(), y, x[:8], y[:8], of_study.classes)
    with pytest.raises(ValueError, match="trained on other data"):
        adopt(folder, tmp_path / "other", SPACE, others)
    with pytest.raises(ValueError, match="holds no supernet"):
        adopt(tmp_path, tmp_path / "other", SPACE, of_study)
    state = checkpoints.read_state(folder)
    assert state is not None
    half = Path(shutil.copytree(folder, tmp_path / "half"))
    checkpoints.save_state(half, {**state, "step": state["step"] - 1})
    with pytest.raises(ValueError, match="go on there"):
        adopt(half, tmp_path / "other", SPACE, of_study)
    assert not (tmp_path / "other").exists()
