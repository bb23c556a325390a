"""Evaluators: the same answer for the same question, errors before training, the user's own."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tflm_opt.errors import DataError, TflmOptError, ToolFailed
from tflm_opt.nas.child import ChildEvaluator
from tflm_opt.nas.data import Dataset, checked
from tflm_opt.nas.evaluate import Evaluation, Evaluator, TrainEvaluator, make_evaluator
from tflm_opt.nas.net import Layer, Net
from tflm_opt.nas.recipe import Recipe, augmented, batches


def net(size: int = 6, classes: int = 3, activation: str = "softmax", filters: int = 8) -> Net:
    return Net(
        (
            Layer("image", "input", shape=(size, size, 1)),
            Layer("a", "conv", ("image",), filters, (3, 3), norm=True, activation="relu6"),
            Layer("p", "global_pool", ("a",)),
            Layer("s", "dense", ("p",), classes, activation=activation),
        )
    )


def stripes(count: int, classes: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows, columns or diagonals that alternate, in noise."""
    rng = np.random.default_rng(seed)
    row, column = np.mgrid[:12, :12]
    bases = np.stack([row // 2 % 2, column // 2 % 2, (row + column) // 2 % 2])
    y = rng.integers(0, classes, count)
    x = bases[y] + rng.normal(0, 0.3, (count, 12, 12))
    return x.astype(np.float32)[..., None], y


@pytest.fixture(scope="module")
def data() -> Dataset:
    return checked(stripes(320), stripes(150, seed=1))


@pytest.mark.tensorflow
def test_the_same_question_has_the_same_answer(data: Dataset) -> None:
    recipe = Recipe(epochs=4, batch=32, rate=0.02, augment=("shift", "flip"), smoothing=0.05)
    evaluator = TrainEvaluator(data, recipe)
    assert isinstance(evaluator, Evaluator)
    first = evaluator.evaluate({}, net(12), seed=1)
    other = evaluator.evaluate({}, net(12), seed=2)
    again = TrainEvaluator(data, recipe).evaluate({}, net(12), seed=1)
    assert first == again
    assert first.detail["loss"] != other.detail["loss"]
    assert first.accuracy > 0.8  # of three classes, so training did something
    assert 0 < first.detail["loss"] < 1.1


@pytest.mark.tensorflow
def test_a_net_of_another_size_gets_resized_data(data: Dataset) -> None:
    evaluator = TrainEvaluator(data, Recipe(epochs=1))
    assert evaluator.evaluate({}, net(6), seed=0).accuracy > 0
    assert evaluator.sized(net(6)).shape == (6, 6, 1)


@pytest.mark.tensorflow
def test_training_that_breaks_down_counts_as_nothing(data: Dataset) -> None:
    evaluator = TrainEvaluator(data, Recipe(epochs=2, rate=1e38))
    found = evaluator.evaluate({}, net(12, activation=""), seed=0)
    assert found == Evaluation(0.0, {"diverged": True})


@pytest.mark.tensorflow
def test_two_classes_by_one_output_and_int8() -> None:
    data = checked(stripes(320, 2), stripes(100, 2, seed=1))
    evaluator = TrainEvaluator(data, Recipe(epochs=4, batch=32, rate=0.02), int8=True)
    found = evaluator.evaluate({}, net(12, 1, "sigmoid"), seed=0)
    assert found.accuracy > 0.8
    assert found.accuracy == pytest.approx(found.detail["float_accuracy"], abs=0.05)


def test_nets_that_do_not_suit_the_data(data: Dataset) -> None:
    evaluator = TrainEvaluator(data)
    with pytest.raises(TflmOptError, match="4 outputs and the data 3 classes"):
        evaluator.build(net(12, 4), 0)
    with pytest.raises(DataError, match="can't become 24×24"):
        evaluator.sized(net(24))


def test_few_sizes_are_kept(data: Dataset) -> None:
    evaluator = TrainEvaluator(data)
    for size in (12, 11, 10, 9, 8, 10, 7):
        assert evaluator.sized(net(size)).shape == (size, size, 1)
    assert list(evaluator._sized) == [(8, 8, 1), (10, 10, 1), (7, 7, 1)]


def test_evaluators_of_a_study(tmp_path: Path, data: Dataset) -> None:
    with pytest.raises(DataError, match="does not exist"):
        make_evaluator({"evaluator": "train"}, tmp_path)
    data.save(tmp_path)
    recipe = Recipe(epochs=7, augment=("flip",))
    settings = {"evaluator": "train", "training": recipe.to_json(), "int8": True}
    made = make_evaluator({**settings, "processes": False}, tmp_path)
    assert isinstance(made, TrainEvaluator)
    assert (made.recipe, made.int8) == (recipe, True)
    assert (made.data.x_val == data.x_val).all()


@pytest.mark.tensorflow
def test_a_child_answers_as_the_evaluator_does(tmp_path: Path, data: Dataset) -> None:
    data.save(tmp_path)
    training = Recipe(epochs=1, batch=32, rate=0.01)
    here = TrainEvaluator(data, training).evaluate({"width": 8}, net(12), seed=3)
    there = make_evaluator({"training": training.to_json()}, tmp_path)
    assert isinstance(there, ChildEvaluator)
    found = there.evaluate({"width": 8}, net(12), seed=3)
    there.close()
    assert found.accuracy == here.accuracy
    # It may have other kernels of TensorFlow than this process (`child.ONEDNN`).
    assert found.detail == pytest.approx(here.detail, rel=1e-5)


CHILD = """
import os, sys

class Counting:
    def __init__(self, settings, directory):
        self.asked = 0
    def score(self, net, *, seed):
        if seed == 9:
            raise KeyError("nine")
        return -float("inf") if seed else float(net.macs)
    def evaluate(self, architecture, net, *, seed, epochs=()):
        from tflm_opt.errors import DataError
        from tflm_opt.nas.evaluate import Evaluation
        print("chatter")
        self.asked += 1
        if architecture.get("end"):
            os._exit(3)
        if architecture.get("bad") == "data":
            raise DataError("no data")
        if architecture.get("bad"):
            raise KeyError("what")
        if architecture.get("sleep"):
            __import__("time").sleep(60)
        return Evaluation(seed / 10, {"asked": self.asked, "pid": os.getpid(), "epochs": epochs})
"""


def test_children_are_replaced_and_their_ends_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "counting_evaluator.py").write_text(CHILD)
    monkeypatch.syspath_prepend(tmp_path)
    made = ChildEvaluator({"evaluator": "counting_evaluator:Counting"}, tmp_path, trials=2)
    found = [made.evaluate({}, net(), seed=n) for n in range(3)]
    assert [one.accuracy for one in found] == [0.0, 0.1, 0.2]
    assert [one.detail["asked"] for one in found] == [1, 2, 1]
    assert found[0].detail["pid"] == found[1].detail["pid"] != found[2].detail["pid"]
    with pytest.raises(DataError, match="no data"):
        made.evaluate({"bad": "data"}, net(), seed=0)
    with pytest.raises(ToolFailed, match="KeyError: 'what'"):
        made.evaluate({"bad": True}, net(), seed=0)
    with pytest.raises(ToolFailed, match="status 3"):
        made.evaluate({"end": True}, net(), seed=0)
    assert made.evaluate({}, net(), seed=5).accuracy == 0.5
    child = made._child
    assert child is not None

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("json.loads", interrupted)
    with pytest.raises(KeyboardInterrupt):
        made.evaluate({}, net(), seed=5)
    assert child.returncode is not None


def test_a_child_scores_and_climbs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "counting_evaluator.py").write_text(CHILD)
    monkeypatch.syspath_prepend(tmp_path)
    made = ChildEvaluator({"evaluator": "counting_evaluator:Counting"}, tmp_path)
    assert made.score(net(), seed=0) == net().macs
    assert made.score(net(), seed=1) == -math.inf
    with pytest.raises(ToolFailed, match="nine"):
        made.score(net(), seed=9)
    assert made.evaluate({}, net(), seed=1, epochs=(1, 2)).detail["epochs"] == [1, 2]
    made.close()


def test_a_child_ends_with_its_parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "counting_evaluator.py").write_text(CHILD)
    monkeypatch.syspath_prepend(tmp_path)
    made = ChildEvaluator({"evaluator": "counting_evaluator:Counting"}, tmp_path)
    made.evaluate({}, net(), seed=0)
    child = made._child
    assert child is not None
    assert child.stdin is not None
    question = {
        "net": net().to_json(),
        "evaluate": {"architecture": {"sleep": True}, "seed": 0},
    }
    child.stdin.write(json.dumps(question) + "\n")
    child.stdin.close()
    assert child.wait(timeout=20) == 0


OWN = """
from tflm_opt.nas.evaluate import Evaluation

class Own:
    def __init__(self, settings, directory):
        self.name = directory.name
    def evaluate(self, architecture, net, *, seed):
        return Evaluation(0.25, {"directory": self.name})

def by_size(architecture, net, *, seed):
    return architecture["width"] / 100 + seed

def percent(architecture, net, *, seed):
    return 93.0
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "their_evaluator.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    yield "their_evaluator"
    sys.modules.pop("their_evaluator", None)


def test_evaluators_of_the_users(own: str, tmp_path: Path) -> None:
    made = make_evaluator({"evaluator": f"{own}:Own"}, tmp_path)
    assert made.evaluate({}, net(), seed=0).detail == {"directory": tmp_path.name}
    made = make_evaluator({"evaluator": f"{own}:by_size"}, tmp_path)
    assert made.evaluate({"width": 50}, net(), seed=0) == Evaluation(0.5)
    made = make_evaluator({"evaluator": f"{own}:percent"}, tmp_path)
    with pytest.raises(TflmOptError, match=r"in 0\.\.1"):
        made.evaluate({}, net(), seed=0)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"evaluator": "oracle"}, "supernet, train, halving, nor 'module:function'"),
        ({"evaluator": "no.such:thing"}, "PYTHONPATH"),
        ({"evaluator": "json:no_such_thing"}, "PYTHONPATH"),
        ({"training": {"epoch": 3}}, "no setting 'epoch'; known are augment, batch"),
        ({"training": {"epochs": 0}}, "0 epochs"),
        ({"training": {"epochs": 2.5}}, "2.5 epochs"),
        ({"training": {"batch": 0}}, "batch of 0"),
        ({"training": {"rate": -1}}, "rate of -1"),
        ({"training": {"smoothing": 1}}, "smoothing of 1"),
        ({"training": {"augment": "rotate"}}, "'rotate' is not one of shift, flip"),
    ],
)
def test_bad_settings(settings: dict[str, Any], says: str, tmp_path: Path, data: Dataset) -> None:
    data.save(tmp_path)
    with pytest.raises(TflmOptError, match=says):
        make_evaluator(settings, tmp_path)


@pytest.mark.parametrize("accuracy", [-0.1, 1.01, float("nan")])
def test_accuracies_are_fractions(accuracy: float) -> None:
    with pytest.raises(TflmOptError, match=r"in 0\.\.1"):
        Evaluation(accuracy)


def test_recipes_survive_json() -> None:
    recipe = Recipe(3, 16, 0.01, 0.1, ("shift",))
    assert Recipe.from_json(recipe.to_json()) == recipe
    assert Recipe.from_json({}) == Recipe()
    assert Recipe.from_json({"augment": "flip"}).augment == ("flip",)
    assert Recipe.from_json({"augment": []}).augment == ()


def test_batches_are_passes_in_new_orders() -> None:
    x = np.arange(10, dtype=np.float32).reshape(10, 1, 1, 1)
    stream = batches(x, np.arange(10), Recipe(batch=5), np.random.default_rng(0))
    passes = [np.concatenate([next(stream)[1] for _ in range(2)]) for _ in range(2)]
    assert sorted(passes[0]) == sorted(passes[1]) == list(range(10))
    assert list(passes[0]) != list(passes[1])
    few = batches(x[:3], np.arange(3), Recipe(batch=5), np.random.default_rng(0))
    assert sorted(next(few)[1]) == [0, 1, 2]


def test_augmentation_moves_and_turns() -> None:
    rng = np.random.default_rng(0)
    x = rng.random((200, 20, 10, 2), dtype=np.float32)
    assert augmented(x, (), rng) is x
    turned = augmented(x, ("flip",), rng)
    same = (turned == x).all((1, 2, 3))
    assert (turned[~same] == x[~same][:, :, ::-1]).all()
    assert 60 < same.sum() < 140
    moved = augmented(x, ("shift",), rng)
    down, right = set(), set()
    for before, after in zip(x, moved, strict=True):
        place = np.argwhere((before == after[10, 5]).all(-1))
        down.add(int(10 - place[0, 0]))
        right.add(int(5 - place[0, 1]))
    assert down == {-2, -1, 0, 1, 2}
    assert right == {-1, 0, 1}
