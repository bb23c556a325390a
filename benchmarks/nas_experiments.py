"""What `nas.py` measures: nets from several searches under the same budgets, as they would ship.

A *variant* is a way to come by a net for a budget:

- `family`: MobileNetV2, the largest that fit of each resolution and number of strides; what a
  person would try first. All are trained for a third as long as a final net, and the best on
  validation data is taken.
- `drawn`: nets of the space that fit, drawn evenly, and trained like the family's: as many as take
  the time of `search`.
- `random`: nets of the space that fit, drawn evenly; of the same supernet, as many are asked as by
  `search`.
- `search`: a survey, a supernet of nets that fit, and evolution, with the memory of streamed
  schedules.
- `layers`: the same, with the memory of nets that run layer by layer.

A study's favourite is trained on from the supernet's weights, as `Trial.optimize` does it. A net
of the first two has no such weights: it is trained from scratch, for as many epochs as the supernet
and the other nets' training on together. So is the search's net once more, to tell what the net is
worth without the supernet. All of it is done with several seeds, and only these nets are asked
about the test images, which nothing has seen before.

All results are kept in a folder, by what they are of: a run that was interrupted goes on.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import nas_tasks
import numpy as np

from tflm_opt import boards, codegen, intervals
from tflm_opt.furnish import furnish
from tflm_opt.kernels.table import pace_of
from tflm_opt.nas import zoo
from tflm_opt.nas.cost import Cost, Pricer
from tflm_opt.nas.data import resized
from tflm_opt.nas.evolution import Candidate, Evolution
from tflm_opt.nas.finish import TUNING
from tflm_opt.nas.folder import POPULATION
from tflm_opt.nas.limits import Limits
from tflm_opt.nas.lower import lower
from tflm_opt.nas.net import Net
from tflm_opt.nas.recipe import Recipe
from tflm_opt.patch_split import cuts
from tflm_opt.patch_split.search import Search

HALVINGS = (5, 4, 3)  # small images have no use for all strides
WIDTHS = (0.1, 0.15, 0.2, 0.25, 0.35, 0.5, 0.75, 1.0)
FINALISTS = 2  # of each generation, each trained for a quarter as long as what ships
VARIANTS = ("family", "search", "drawn", "random", "layers")
SCRATCH = ("family", "drawn")  # have no supernet


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is done, of one number: minutes on two cores, about."""

    supernet_epochs: int
    trials: int
    seeds: int
    correlated: int

    @property
    def final_epochs(self) -> int:
        """Of nets that are trained from scratch: those behind a net that a supernet gave."""
        return self.supernet_epochs + TUNING.epochs

    @property
    def compared_epochs(self) -> int:
        """Of nets trained from scratch to put them in order: after a few, all are near chance."""
        return max(1, self.final_epochs // 3)

    @staticmethod
    def of(minutes: float) -> Effort:
        part = minutes / 60
        return Effort(
            supernet_epochs=max(1, round(130 * part)),
            trials=max(12, round(600 * part)),
            seeds=3,
            correlated=20,
        )


class Kept:
    """Results by name, in a file each."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    def path(self, name: str) -> Path:
        return self.directory / f"{name}.json"

    def get(self, name: str) -> Any:
        path = self.path(name)
        return json.loads(path.read_text("utf-8")) if path.exists() else None

    def put(self, name: str, value: Any) -> Any:
        written = self.path(name).with_suffix(".new")
        written.write_text(json.dumps(value), "utf-8")
        written.replace(self.path(name))
        return value

    def of(self, name: str, make: Callable[[], Any]) -> Any:
        found = self.get(name)
        return self.put(name, make()) if found is None else found


# ---- training, in processes of their own ----


@dataclass(frozen=True, slots=True)
class Job:
    """A net to be trained from scratch. `test`: whether it is asked about the test images."""

    task: str
    samples: int
    layers: str  # the net, as JSON
    epochs: int
    seed: int
    test: bool

    @property
    def recipe(self) -> Recipe:
        augment = nas_tasks.AUGMENT[self.task]
        return Recipe(epochs=self.epochs, smoothing=0.1, augment=augment)

    @property
    def name(self) -> str:
        data = {**asdict(self), "recipe": self.recipe.to_json()}
        digest = hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
        return f"trained-{digest[:20]}"


def train_job(job: Job) -> dict[str, Any]:
    """Accuracy on validation data, and seconds; with `test`, which test images it got right."""
    from tflm_opt.nas import recipe
    from tflm_opt.nas.build import build
    from tflm_opt.nas.evaluate import fresh_session

    began = time.monotonic()
    task = nas_tasks.load(job.task, job.samples)
    net = Net.from_json(json.loads(job.layers))
    size, how = net.input_shape[:2], job.recipe
    with fresh_session():
        model = build(net, seed=job.seed)
        recipe.train(model, resized(task.x_train, size), task.y_train, how, seed=job.seed)
        found = {"val": recipe.accuracy(model, resized(task.x_val, size), task.y_val)}
        if job.test:
            found |= _answers(model, task)
    return {**found, "seconds": time.monotonic() - began}


@dataclass(frozen=True, slots=True)
class Tuning:
    """A study's net, finished as `Trial.optimize` does it."""

    task: str
    samples: int
    study: str  # its directory
    trial: int
    seed: int

    @property
    def name(self) -> str:
        data = {**asdict(self), "study": Path(self.study).name, "tuning": TUNING.to_json()}
        digest = hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
        return f"tuned-{digest[:20]}"


def tune(job: Tuning) -> dict[str, Any]:
    """Accuracy on validation data, and which test images it got right."""
    from tflm_opt import nas
    from tflm_opt.nas import recipe
    from tflm_opt.nas.best import begun
    from tflm_opt.nas.data import Dataset
    from tflm_opt.nas.evaluate import fresh_session

    task = nas_tasks.load(job.task, job.samples)
    with fresh_session():
        study = nas.load(job.study)
        (trial,) = (one for one in study.complete if one.number == job.trial)
        model, how = begun(trial, study, Dataset.load(job.study))
        size = model.input_shape[1:3]
        recipe.train(model, resized(task.x_train, size), task.y_train, how, seed=job.seed)
        return {
            "val": recipe.accuracy(model, resized(task.x_val, size), task.y_val),
            **_answers(model, task),
        }


def _answers(model: Any, task: nas_tasks.Task) -> dict[str, Any]:
    """Which test images a model gets right; see `right`."""
    x = resized(task.x_test, model.input_shape[1:3])
    hits = model.predict(x, batch_size=256, verbose=0).argmax(-1) == task.y_test
    return {"right": np.packbits(hits).tobytes().hex(), "samples": len(hits)}


def right(found: dict[str, Any]) -> np.ndarray:
    bits = np.frombuffer(bytes.fromhex(found["right"]), np.uint8)
    return np.unpackbits(bits)[: found["samples"]].astype(bool)


def train_all(
    kept: Kept,
    jobs: Sequence[Any],
    workers: int,
    told: Callable[[str], None],
    train: Callable[[Any], dict[str, Any]] = train_job,
) -> list[dict[str, Any]]:
    """All jobs, each once; what was trained before is read."""
    missing = list({job.name: job for job in jobs if kept.get(job.name) is None}.values())
    if missing:
        told(f"training {len(missing)} nets")
        context = get_context("spawn")  # TensorFlow does not survive a fork
        with ProcessPoolExecutor(workers, mp_context=context) as pool:
            for job, found in zip(missing, pool.map(train, missing), strict=True):
                kept.put(job.name, found)
                told(", ".join(f"{k} {v:.3f}" for k, v in found.items() if isinstance(v, float)))
    return [kept.get(job.name) for job in jobs]


# ---- variants ----


@dataclass(frozen=True, slots=True)
class Entry:
    """A net that a variant hands in. `said`: how accurate its study found it."""

    label: str
    net: Net
    cost: Cost
    said: float | None = None

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "net": self.net.to_json()}

    @staticmethod
    def from_json(data: dict[str, Any]) -> Entry:
        own = {"net": Net.from_json(data["net"]), "cost": Cost(**data["cost"])}
        return Entry(**{**data, **own})


def family(task: nas_tasks.Task, limits: Limits, pricer: Pricer) -> list[Entry]:
    """MobileNetV2: of each resolution and number of strides, the net of most MACs that fits.

    Its head is as published, or scaled too.
    """
    found: dict[tuple[int, int], Entry] = {}
    rows, _, channels = task.shape
    for size, halvings in itertools.product(sorted({rows, rows * 3 // 4, rows // 2}), HALVINGS):
        for width, scaled in itertools.product(WIDTHS, (False, True)):
            head = zoo.make_divisible(1280 * width) if scaled else 1280
            net = zoo.mobilenet_v2(width, size, task.classes, channels, head, halvings)
            cost = pricer.price(net, sram=limits.sram, latency_ms=limits.latency_ms)
            best = found.get((size, halvings))
            if not limits.broken(cost) and (best is None or cost.macs > best.cost.macs):
                label = f"MobileNetV2 {width} at {size}, head {head}, halved {halvings} times"
                found[size, halvings] = Entry(label, net, cost)
    return list(found.values())


def fitting(space: Any, limits: Limits, count: int, seed: int = 7) -> list[dict[str, Any]]:
    """So many nets of the space that fit, or all; drawn evenly as a search's first generation."""
    return [one.architecture for one in _candidates(space, limits, count, seed)]


def drawn(space: Any, limits: Limits, count: int) -> list[Entry]:
    """The same as entries, others."""
    found = _candidates(space, limits, count, seed=11)
    return [Entry(one.key, space.net(one.architecture), one.cost) for one in found]


def _candidates(space: Any, limits: Limits, count: int, seed: int) -> list[Candidate]:
    pricer = Pricer(nas_tasks.BOARD, input="any")
    price = functools.partial(pricer.price, sram=limits.sram, latency_ms=limits.latency_ms)
    draws = Evolution(space, price, limits, population=count, seed=seed)
    found: dict[str, Candidate] = {}
    while len(found) < count and (one := draws.candidate(len(found), (), found)):
        found[one.key] = one
    return list(found.values())


def layered_price(net: Net) -> Cost:
    """What a net costs if it runs layer by layer, input resident: a pricer by name, for workers.

    Tensors overlap where the kernels allow it, and kernels have the scratch that the peak leaves
    free: the memory that a search without streamed schedules would count.
    """
    board = boards.get(nas_tasks.BOARD)
    graph = lower(net)
    layers = Search(graph, scratch=codegen.scratch, access=codegen.access)
    path = cuts.cheapest(layers.costs, cuts.FAR)
    assert path is not None  # without a limit there is one
    point = layers._point(path)
    point = furnish(point, point.peak, pace_of(board.core)).point
    whole = streamed_pricer().price(net)  # flash, stack and cycles don't hang on the schedule much
    return replace(
        whole,
        sram=point.peak + whole.stack,
        arena=point.peak,
        instructions=point.work,
        latency_ms=whole.latency_ms * point.work / whole.instructions,
        input="resident",
        rows=False,
    )


@functools.lru_cache(1)
def streamed_pricer() -> Pricer:
    return Pricer(nas_tasks.BOARD, input="resident")


def searched(
    directory: Path,
    task: nas_tasks.Task,
    space: Any,
    limits: Limits,
    variant: str,
    effort: Effort,
    supernet: Path | None,
    workers: int,
) -> Any:
    """A study. Without a supernet, it surveys the space, and trains its own."""
    import tflm_opt

    generations = max(4, effort.trials // POPULATION)
    population = effort.trials // generations
    finals = FINALISTS
    if variant == "random":  # of one generation, all are drawn evenly
        population, finals = population * generations, finals * generations
    return tflm_opt.search(
        (task.x_train, task.y_train),
        (task.x_val, task.y_val),
        board=nas_tasks.BOARD,
        **limits.to_json(),
        space=space,
        directory=directory,
        trials=generations * (population + finals) if supernet is None else population + finals,
        population=population,
        evaluator="supernet",
        supernet=supernet,
        options={
            "supernet": nas_tasks.training(task, effort.supernet_epochs),
            "finals": {"nets": finals, "epochs": TUNING.epochs // 4},
        },
        survey=supernet is None,
        objectives=("accuracy",),
        pricer="nas_experiments:layered_price" if variant == "layers" else None,
        input="any",
        workers=workers,
        verbose=0,
    )


# ---- what is told of them ----


def compared(first: Sequence[dict[str, Any]], second: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Points of accuracy that the second gains: by seed, with an interval of all test images."""
    one, two = [right(f) for f in first], [right(f) for f in second]
    by_seed = [float(b.mean() - a.mean()) for a, b in zip(one, two, strict=True)]
    pair = intervals.paired(np.concatenate(one), np.concatenate(two))
    return {
        "gain": float(np.mean(by_seed)),
        "by_seed": by_seed,
        "interval": [pair.interval.low, pair.interval.high],
    }


def spearman(x: Sequence[float], y: Sequence[float]) -> float:
    """Rank correlation; equal values share their ranks.

    >>> round(spearman([1, 2, 3, 4], [1, 3, 2, 4]), 2)
    0.8
    """
    a, b = _ranks(x), _ranks(y)
    return float(np.corrcoef(a, b)[0, 1])


def _ranks(values: Sequence[float]) -> np.ndarray:
    array = np.asarray(values, float)
    return np.array([((array < v).sum() + (array <= v).sum() - 1) / 2 for v in array])


def bootstrapped(x: Sequence[float], y: Sequence[float], draws: int = 2000) -> tuple[float, float]:
    """A 95% interval of the rank correlation, over nets drawn again with replacement."""
    rng = np.random.default_rng(0)
    a, b = np.asarray(x), np.asarray(y)
    found = []
    for _ in range(draws):
        chosen = rng.integers(0, len(a), len(a))
        if np.ptp(a[chosen]) and np.ptp(b[chosen]):
            found.append(spearman(a[chosen].tolist(), b[chosen].tolist()))
    low, high = np.percentile(found, [2.5, 97.5])
    return float(low), float(high)
