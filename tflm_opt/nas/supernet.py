"""One set of weights for all nets of a space: trained once, then any subnet's accuracy is measured
in a fraction of a second, and any subnet comes out as a plain Keras model.

    supernet = Supernet(space)
    supernet.train(x_train, y_train, Training(epochs=40), directory="study/supernet")
    supernet.accuracy(architecture, x_train[:256], x_val, y_val)
    model = supernet.extract(architecture, x_train[:256])     # recalibrated, ready to fine-tune

Weights are shared as in Once-for-All (Cai et al., 2020): `subnet` says how; `sandwich` trains.
Batch norm's statistics are not shared, as no statistics suit all subnets: they are measured for
each one on a few hundred training images (Yu & Huang, 2019).

It is data parallel where `keras.distribution.set_distribution(DataParallel())` was called before:
each batch is then split over the devices, by whose number it must be divisible.

Keras is imported when something is computed, not before.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..progress import Progress, Silent
from . import checkpoints
from .data import Dataset, resized
from .net import Net
from .space import Space, check, largest, smallest
from .subnet import Subnet, cut, folded, locate, weight_shapes
from .training import Steps, Training, size_of

if TYPE_CHECKING:
    from .child import ChildEvaluator
    from .evaluate import Evaluation
    from .sandwich import Sandwich

CALIBRATION = 256  # images that batch norm's statistics are measured on
_CHUNK = 256  # images in a pass

Architecture = Mapping[str, Any]
Weights = dict[str, np.ndarray]
Moments = dict[str, tuple[np.ndarray, np.ndarray]]


class Supernet:
    """The largest net of a space, whose weights all others share.

    Example:
        >>> supernet = Supernet(space).train(x, y, Training(epochs=20))
        >>> supernet.accuracy(smallest(space), x[:256], x_val, y_val)
        0.947

    Attributes:
        space: whose nets it holds.
        whole: the largest net.
        weights: of the largest net, by "layer/part".
        history: mean loss of each epoch that was trained; of one that was resumed in its middle,
            of the steps since.
        how: it was trained; None for one that wasn't.

    Raises:
        ValueError: the space's largest and smallest nets aren't nested, or don't end in scores.
    """

    def __init__(self, space: Space, *, seed: int = 0) -> None:
        self.space = space
        self.whole = space.net(largest(space))
        locate(self.whole, space.net(smallest(space)))
        _check_output(self.whole)
        self.weights = untrained(self.whole, seed)
        self.history: list[float] = []
        self.how: Training | None = None

    def train(
        self,
        x: np.ndarray,
        y: np.ndarray,
        how: Training | None = None,
        *,
        nets: Sequence[Architecture] | None = None,
        directory: str | Path | None = None,
        seconds: float = 60.0,
        progress: Progress | None = None,
    ) -> Supernet:
        """Train, or go on with a training that was interrupted.

        Args:
            x, y: images, (n, rows, columns, channels) at least as large as the largest net's, and
                class numbers.
            how: epochs, rates, seed.
            nets: architectures to train alone, as `members.fitting` draws them: all others are
                left to what these have in common with them. By default a sandwich of the space.
            directory: of the checkpoints. If it holds one of the same training, that is resumed,
                and ends with the weights that it would have had.
            seconds: between checkpoints. What was trained since the last one is lost when the
                process ends; nothing else is.
            progress: what to report epochs to.

        Raises:
            ValueError: the directory has another training's checkpoints; the data don't fit the
                nets; the loss is no number any more.
            OSError: a checkpoint can't be written, as on a full disk. The one before it stays.
        """
        from . import sandwich

        how, progress = how or Training(), progress or Silent()
        _check_data(self.whole, x, y)
        steps = Steps(self.space, x, y, how, nets)
        model = sandwich.sandwich(steps)
        self.weights = untrained(self.whole, how.seed)
        model.assign(self.weights)
        self.history, start = [], 0
        folder = None if directory is None else Path(directory)
        if folder is not None:
            made_of = {"training": asdict(how), "data": checkpoints.digest(x, y)}
            if nets is not None:
                made_of["nets"] = [dict(net) for net in nets]
            checkpoints.open_folder(folder, {"space": self.space.to_json(), **made_of})
            if (state := checkpoints.read_state(folder)) is not None:
                start, self.history = _restore(folder, model, state)
        progress.step(f"training the supernet, {how.epochs} epochs")
        progress.detail(start // steps.per_epoch, how.epochs)

        def report(done: int, loss: float) -> None:
            self.history.append(loss)
            progress.detail(done // steps.per_epoch, how.epochs)

        def save(done: int) -> None:
            if folder is not None:
                checkpoints.save_state(folder, _state(model, done, self.history))

        sandwich.run(model, steps, start, seconds=seconds, save=save, report=report)
        self.weights, self.how = model.values(), how
        return self

    @staticmethod
    def load(directory: str | Path, *, space: Space | None = None) -> Supernet:
        """What `train` wrote.

        Args:
            directory: as it was given to `train`.
            space: if it is at hand; by default it is made of what the directory says.

        Raises:
            ValueError: there is no supernet, it is damaged or its training isn't done, it is of
                another format or of another space.
        """
        folder = Path(directory)
        settings = checkpoints.read_settings(folder)
        if settings is None:
            raise ValueError(f"{folder} holds no supernet: train one there")
        if space is None:
            from .spaces import from_json

            supernet = Supernet(from_json(settings["space"]))
        elif space.to_json() == settings["space"]:
            supernet = Supernet(space)
        else:
            raise ValueError(f"the supernet in {folder} is of another space: {settings['space']}")
        state = checkpoints.read_state(folder)
        if state is None:
            raise ValueError(f"the supernet in {folder} has no state yet: let its training end")
        _check_state(folder, state, supernet.weights)
        supernet.weights = {name: state[f"weights/{name}"] for name in supernet.weights}
        supernet.history = state["history"].tolist()
        supernet.how = Training(**settings["training"])
        return supernet

    def locate(self, architecture: Architecture) -> Subnet:
        """The subnet of an architecture.

        Raises: ValueError: not of this space, or not nested.
        """
        check(self.space, architecture)
        return locate(self.whole, self.space.net(architecture))

    def calibrated(self, subnet: Subnet, images: np.ndarray) -> tuple[Weights, Moments]:
        """A subnet's own weights, and mean and variance of each of its layers with norm.

        Args:
            subnet: as `locate` gives it.
            images: of the training data, at the data's size. They pass by 256 at a time, each
                time normalized by their own statistics; the results are pooled.
        """
        import keras

        from .elastic import as_numpy, logits

        weights = cut(self.whole, subnet, self.weights)
        tensors = {name: keras.ops.convert_to_tensor(w) for name, w in weights.items()}
        passes: list[Moments] = []
        for x in _chunks(resized(images, size_of(subnet.net))):
            seen: dict[str, Any] = {}
            logits(subnet.net, tensors, x, seen=seen)
            passes.append({k: (as_numpy(mean), as_numpy(var)) for k, (mean, var) in seen.items()})
        return weights, _pooled(passes)

    def scores(
        self, architecture: Architecture, calibration: np.ndarray, x: np.ndarray
    ) -> np.ndarray:
        """Logits of a subnet, (n, classes), after its batch norm was calibrated."""
        import keras

        from .elastic import as_numpy, logits

        subnet = self.locate(architecture)
        net, weights = folded(subnet.net, *self.calibrated(subnet, calibration))
        tensors = {name: keras.ops.convert_to_tensor(w) for name, w in weights.items()}
        images = resized(x, size_of(net))
        return np.concatenate([as_numpy(logits(net, tensors, c)) for c in _chunks(images)])

    def accuracy(
        self, architecture: Architecture, calibration: np.ndarray, x: np.ndarray, y: np.ndarray
    ) -> float:
        """The part of `x` that a subnet classifies right, without training it any further."""
        return float((self.scores(architecture, calibration, x).argmax(-1) == y).mean())

    def extract(self, architecture: Architecture, calibration: np.ndarray) -> Any:
        """A subnet as a plain Keras model, batch norm calibrated: `build(net)` with its weights.

        Args:
            architecture: which.
            calibration: training images, a few hundred of all classes.
        """
        from .build import build

        subnet = self.locate(architecture)
        weights, moments = self.calibrated(subnet, calibration)
        model = build(subnet.net, seed=0)
        for layer in subnet.net.layers:
            own = [weights.get(f"{layer.name}/{part}") for part in ("kernel", "bias")]
            if own[0] is not None:
                model.get_layer(layer.name).set_weights([w for w in own if w is not None])
            if layer.norm:
                affine = [weights[f"{layer.name}/{part}"] for part in ("gamma", "beta")]
                model.get_layer(f"{layer.name}_norm").set_weights([*affine, *moments[layer.name]])
        return model


def adopt(given: str | Path, folder: Path, space: Space, data: Dataset) -> None:
    """Copy a supernet that was trained before to a study's directory.

    Raises:
        ValueError: there is none, its training isn't done, or it is of another space or of other
            training data.
    """
    source = Path(given)
    supernet = Supernet.load(source, space=space)
    settings, state = checkpoints.read_settings(source), checkpoints.read_state(source)
    assert settings is not None  # both were read just now
    assert state is not None
    how = Training(**settings["training"])
    if settings["data"] != checkpoints.digest(data.x_train, data.y_train):
        raise ValueError(f"the supernet in {source} was trained on other data")
    done, total = int(state["step"]), Steps(supernet.space, data.x_train, data.y_train, how).total
    if done < total:
        raise ValueError(f"the supernet in {source} has done {done} of {total} steps: go on there")
    checkpoints.open_folder(folder, {k: v for k, v in settings.items() if k != "format"})
    checkpoints.save_state(folder, state)


class SupernetEvaluator:
    """Accuracy of a candidate from a trained supernet: what a search's workers ask.

    Args:
        supernet: trained.
        data: the search's.
        images: of the training data, that batch norm is calibrated on; drawn once, with a seed.
        folder: for the weights of nets that were in finals; None to keep none.
        child: who trains them; by default this process does.
    """

    def __init__(
        self,
        supernet: Supernet,
        data: Dataset,
        *,
        images: int = CALIBRATION,
        folder: Path | None = None,
        child: ChildEvaluator | None = None,
    ) -> None:
        self.supernet, self.data = supernet, data
        self.folder, self.child = folder, child
        order = np.random.default_rng(0).permutation(len(data.x_train))
        self.calibration = data.x_train[np.sort(order[:images])]

    @staticmethod
    def load(
        directory: str | Path, *, space: Space | None = None, child: ChildEvaluator | None = None
    ) -> SupernetEvaluator:
        """From a study's directory: its data and its supernet/."""
        from .climb import FOLDER

        folder = Path(directory)
        supernet, data = Supernet.load(folder / "supernet", space=space), Dataset.load(folder)
        return SupernetEvaluator(supernet, data, folder=folder / FOLDER, child=child)

    def evaluate(
        self, architecture: Architecture, net: Net, *, seed: int = 0, epochs: Sequence[int] = ()
    ) -> Evaluation:
        """Accuracy on the validation data, of the supernet's weights or, in finals, after training.

        Args:
            seed: of training; nothing else is random.
            epochs: of training by itself, the last of them; () for none.
        """
        from .evaluate import Evaluation

        if epochs and self.child is not None:
            return self.child.evaluate(architecture, net, seed=seed, epochs=list(epochs))
        if epochs:
            return self._trained(architecture, seed, epochs[-1])
        scores = self.supernet.scores(architecture, self.calibration, self.data.x_val)
        right = scores.argmax(-1) == self.data.y_val
        return Evaluation(float(right.mean()), {"by": "supernet"})

    def _trained(self, architecture: Architecture, seed: int, epochs: int) -> Evaluation:
        from .best import tuning
        from .climb import weights_file
        from .data import written
        from .evaluate import Evaluation, fresh_session
        from .recipe import accuracy, train

        with fresh_session():
            model = self.supernet.extract(architecture, self.calibration)
            data = self.data.at(model.input_shape[1:])
            recipe = tuning(self.supernet).of(epochs)
            loss = train(model, data.x_train, data.y_train, recipe, seed=seed)
            if not math.isfinite(loss):
                return Evaluation(0.0, {"diverged": True, "epochs": epochs})
            found = accuracy(model, data.x_val, data.y_val)
            if self.folder is not None:
                with written(weights_file(self.folder, architecture, epochs)) as file:
                    np.savez(file, *model.get_weights())
        return Evaluation(found, {"by": "training", "epochs": epochs})


def untrained(net: Net, seed: int) -> Weights:
    """Fresh weights: kernels normal, as He et al. (2015) scale them."""
    rng = np.random.default_rng((seed, 2))
    weights: Weights = {}
    for name, shape in weight_shapes(net).items():
        layer, part = net[name.rpartition("/")[0]], name.rpartition("/")[2]
        if part == "kernel":
            reads = int(np.prod(shape[:2] if layer.kind == "depthwise" else shape[:-1]))
            gain = 2.0 if layer.activation in ("relu", "relu6", "hard_swish") else 1.0
            weights[name] = rng.normal(0, np.sqrt(gain / reads), shape).astype(np.float32)
        else:
            weights[name] = np.full(shape, float(part == "gamma"), np.float32)
    return weights


def _check_output(net: Net) -> None:
    last = net.layers[-1]
    shape = net.shapes()[last.name]
    if len(shape) != 1 or shape[0] < 2 or last.activation not in ("", "softmax"):
        raise ValueError(
            f"the nets of the space end in {last.name!r} of shape {shape}, with the activation "
            f"{last.activation!r}: a supernet needs two or more scores, as they are or by softmax"
        )


def _check_data(net: Net, x: np.ndarray, y: np.ndarray) -> None:
    if x.ndim != 4 or len(x) != len(y) or not len(x):
        raise ValueError(f"images {x.shape} and labels {y.shape}: n images, n class numbers")
    rows, columns, channels = net.input_shape
    if x.shape[1] < rows or x.shape[2] < columns or x.shape[3] != channels:
        raise ValueError(
            f"the largest net takes {net.input_shape}, the images are {x.shape[1:]}: the space's "
            "resolutions can't be above the data's, and the channels must be the same"
        )
    classes = net.shapes()[net.layers[-1].name][0]
    if y.min() < 0 or y.max() >= classes:
        raise ValueError(f"labels are {y.min()} to {y.max()}; the nets have {classes} classes")


def _state(model: Sandwich, done: int, history: list[float]) -> dict[str, np.ndarray]:
    from .elastic import as_numpy

    optimizer: Any = model.optimizer
    return {
        "step": np.array(done),
        "history": np.array(history, np.float64),
        **{f"weights/{name}": w for name, w in model.values().items()},
        **{f"optimizer/{i}": as_numpy(v) for i, v in enumerate(optimizer.variables)},
    }


def _restore(
    folder: Path, model: Sandwich, state: Mapping[str, np.ndarray]
) -> tuple[int, list[float]]:
    """Give the model the state; returns the step that it is of, and the losses so far."""
    optimizer: Any = model.optimizer
    weights = model.values()
    _check_state(folder, state, weights)
    model.assign({name: state[f"weights/{name}"] for name in weights})
    for i, variable in enumerate(optimizer.variables):
        if f"optimizer/{i}" not in state:
            raise ValueError(f"the state in {folder} is of another optimizer: train again")
        variable.assign(state[f"optimizer/{i}"])
    return int(state["step"]), state["history"].tolist()


def _check_state(folder: Path, state: Mapping[str, np.ndarray], weights: Weights) -> None:
    for name, weight in weights.items():
        found = state.get(f"weights/{name}")
        if found is None or found.shape != weight.shape:
            raise ValueError(
                f"the supernet in {folder} has not the weights of {name!r} that the space's "
                "largest net has now: the space's code has changed since; train again"
            )


def _chunks(images: np.ndarray) -> list[np.ndarray]:
    return [images[i : i + _CHUNK] for i in range(0, len(images), _CHUNK)]


def _pooled(passes: list[Moments]) -> Moments:
    """Mean and variance of all passes together, taken as equally long."""
    pooled: Moments = {}
    for name in passes[0]:
        means = np.stack([one[name][0] for one in passes])
        variances = np.stack([one[name][1] for one in passes])
        pooled[name] = means.mean(0), variances.mean(0) + means.var(0)
    return pooled
