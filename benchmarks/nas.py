"""What the search for nets finds, against what a person would try, at the same budgets.

    python benchmarks/nas.py [--task shapes ...] [--minutes 60] [--workers 2] [--directory DIR]
                             [--only budgets,correlation,workers,firmware] [--json]

For each task, and each budget (SRAM and latency on an emulated Cortex-M4), nets come from five
variants (`nas_experiments.py` says which). `accuracy` is the mean
of a variant's net over three seeds, finished as it would ship, on images that nothing has seen
before; its interval is Wilson's, of all seeds' images. `search gains` is `search` less another
variant, in points, with Newcombe's paired interval of all images, and each seed's. A variant has
one net: the intervals say nothing of what another search would have found. `layer by layer` is the
SRAM that the net would need without streamed schedules; `from scratch` is the search's net trained
like the family's, without the supernet.

Then: how the supernet's order of nets agrees with that of nets trained alone; whether a study that
is killed, or shared by two workers, ends as one that isn't; and how long one whole study takes, and
whether its firmware is what it recorded.

`--minutes` is the effort for a task. Results are kept in `--directory`, and a second run goes on.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import nas_experiments as experiments
import nas_tasks
import nas_workers
import numpy as np
from nas_experiments import Effort, Entry, Job, Kept, Tuning

from tflm_opt import intervals
from tflm_opt.nas.child import ONEDNN
from tflm_opt.nas.cost import Pricer

SECTIONS = ("budgets", "correlation", "workers", "firmware")
MIDDLE = 1  # of the budgets


class Run:
    """One task."""

    def __init__(self, name: str, minutes: float, workers: int, directory: Path) -> None:
        self.effort = Effort.of(minutes)
        self.samples = nas_tasks.samples(minutes)
        self.task = nas_tasks.load(name, self.samples)
        self.space = nas_tasks.space(self.task)
        self.workers = workers
        self.directory = directory / f"{name}-{minutes:g}"
        self.kept = Kept(self.directory / "results")
        self.began = time.time()

    def told(self, words: str) -> None:
        minutes = (time.time() - self.began) / 60
        print(f"{minutes:5.1f} min  {self.task.name}: {words}", file=sys.stderr, flush=True)

    def job(self, net: Any, seed: int, *, test: bool) -> Job:
        layers = json.dumps(net.to_json())
        epochs = self.effort.final_epochs if test else self.effort.compared_epochs
        return Job(self.task.name, self.samples, layers, epochs, seed, test)

    def entry(self, variant: str, number: int) -> Entry | None:
        """A variant's net for a budget; None where nothing fits."""
        limits = self.task.budgets[number]
        name = f"entry-{variant}-{number}"
        if (found := self.kept.get(name)) is None:
            self.told(f"{variant} within {limits.sram:,} B and {limits.latency_ms:g} ms")
            if variant == "family":
                pricer = Pricer(nas_tasks.BOARD, input="any")
                made = self.chosen(experiments.family(self.task, limits, pricer))
            elif variant == "drawn":
                count = self.worth(number)
                made = self.chosen(experiments.drawn(self.space, limits, count))
            else:
                if variant == "random":
                    self.entry("search", number)
                with self.clocked(f"{variant}-{number}"):
                    best = self.searched(variant, number).best
                net = best.study.space.net(best.architecture)
                made = Entry(best.key, net, best.cost, best.accuracy)
            found = self.kept.put(name, [made.to_json()] if made else [])
        return Entry.from_json(found[0]) if found else None

    @contextlib.contextmanager
    def clocked(self, name: str) -> Iterator[None]:
        """Keep how many seconds of a core something took, those before an interruption included."""
        began, before = time.monotonic(), self.kept.get(f"seconds-{name}") or 0.0
        try:
            yield
        finally:
            seconds = before + (time.monotonic() - began) * self.workers
            self.kept.put(f"seconds-{name}", seconds)
            self.told(f"{name} took {seconds / 60:.1f} min of a core")

    def worth(self, number: int) -> int:
        """How many nets can be trained, to choose one, in the time that a search takes."""
        found, searching = self.entry("search", number), self.kept.get(f"seconds-search-{number}")
        assert found is not None  # or the search would have said that nothing fits
        (one,) = self.trained([self.job(found.net, 0, test=False)])
        return max(2, round(searching / one["seconds"]))

    def searched(self, variant: str, number: int) -> Any:
        """A study. Random search has the space and the supernet that the search came to."""
        from tflm_opt import nas

        space, supernet = self.space, None
        if variant == "random":
            found = nas.load(self.study("search", number))
            space, supernet = found.space, found.directory / "supernet"
        return experiments.searched(
            self.study(variant, number),
            self.task,
            space,
            self.task.budgets[number],
            variant,
            self.effort,
            supernet,
            self.workers,
        )

    def study(self, variant: str, number: int) -> Path:
        return self.directory / f"study-{variant}-{number}"

    def chosen(self, entries: Sequence[Entry]) -> Entry | None:
        """Of several nets, the best on validation data after a short training."""
        if not entries:
            return None
        found = self.trained([self.job(one.net, 0, test=False) for one in entries])
        return entries[int(np.argmax([one["val"] for one in found]))]

    def trained(self, jobs: Sequence[Job]) -> list[dict[str, Any]]:
        return experiments.train_all(self.kept, jobs, self.workers, self.told)

    def seeds(self) -> range:
        return range(1, 1 + self.effort.seeds)

    def alone(self, entry: Entry) -> list[dict[str, Any]]:
        """A net trained from scratch, by seed."""
        return self.trained([self.job(entry.net, seed, test=True) for seed in self.seeds()])

    def finished(self, variant: str, number: int) -> list[dict[str, Any]]:
        """A study's favourite, trained on as it would be to ship, by seed."""
        from tflm_opt import nas

        folder = self.study(variant, number)
        best = nas.load(folder).best.number
        jobs = [
            Tuning(self.task.name, self.samples, str(folder), best, seed) for seed in self.seeds()
        ]
        return experiments.train_all(self.kept, jobs, self.workers, self.told, experiments.tune)

    def budgets(self) -> list[dict[str, Any]]:
        return [row for number in range(len(self.task.budgets)) for row in self.budget(number)]

    def budget(self, number: int) -> list[dict[str, Any]]:
        entries = {v: self.entry(v, number) for v in experiments.VARIANTS}
        finals = {
            variant: self.alone(entry)
            if variant in experiments.SCRATCH
            else self.finished(variant, number)
            for variant, entry in entries.items()
            if entry is not None
        }
        rows = []
        for variant, found in finals.items():
            row = self.row(number, variant, entries[variant]) | described("accuracy", found)
            if variant != "search":
                row["search_gains"] = experiments.compared(found, finals["search"])
            else:
                alone = self.alone(entries[variant])
                row |= described("alone", alone)
                if family := finals.get("family"):
                    row["alone_gains"] = experiments.compared(family, alone)
            rows.append(row)
        return rows

    def row(self, number: int, variant: str, entry: Entry) -> dict[str, Any]:
        cost = entry.cost
        return {
            "task": self.task.name,
            "budget": self.task.budgets[number].to_json(),
            "variant": variant,
            "net": entry.label,
            "input": list(entry.net.input_shape),
            "sram": cost.sram,
            "layered_sram": experiments.layered_price(entry.net).sram,
            "latency_ms": cost.latency_ms,
            "flash": cost.flash,
            "macs": cost.macs,
            "said_by_study": entry.said,
        }

    def correlation(self) -> dict[str, Any]:
        """Supernet against training alone, of nets within the middle budget."""
        from tflm_opt import nas
        from tflm_opt.nas.supernet import SupernetEvaluator

        self.entry("search", MIDDLE)
        study, limits = nas.load(self.study("search", MIDDLE)), self.task.budgets[MIDDLE]
        chosen = self.kept.of(
            "correlated",
            lambda: experiments.fitting(study.space, limits, self.effort.correlated),
        )
        nets = [study.space.net(one) for one in chosen]
        shared = self.kept.get("shared")
        if shared is None:
            evaluator = SupernetEvaluator.load(study.directory)
            started = time.time()
            pairs = zip(chosen, nets, strict=True)
            accuracies = [evaluator.evaluate(a, n, seed=0).accuracy for a, n in pairs]
            seconds = (time.time() - started) / len(nets)
            shared = self.kept.put("shared", {"accuracies": accuracies, "seconds": seconds})
        alone = [one["val"] for one in self.trained([self.job(n, 0, test=False) for n in nets])]
        low, high = experiments.bootstrapped(shared["accuracies"], alone)
        return {
            "task": self.task.name,
            "nets": len(nets),
            "spearman": experiments.spearman(shared["accuracies"], alone),
            "interval": [low, high],
            "macs_alone": experiments.spearman([n.macs for n in nets], alone),
            "seconds_a_net": shared["seconds"],
            "shared": shared["accuracies"],
            "alone": alone,
        }

    def firmware(self) -> dict[str, Any]:
        """The search of the middle budget, and its firmware."""
        return self.kept.of("firmware", self._firmware)

    def _firmware(self) -> dict[str, Any]:
        from tflm_opt import nas

        self.entry("search", MIDDLE)
        seconds = self.kept.get(f"seconds-search-{MIDDLE}") / self.workers
        return {
            "minutes of searching, the supernet's training included": seconds / 60,
            **nas_workers.firmware(nas.load(self.study("search", MIDDLE)), self.task),
        }


def described(name: str, finals: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Accuracy on the test images: mean, interval, by seed."""
    hits = [experiments.right(one) for one in finals]
    every = np.concatenate(hits)
    share = intervals.wilson(float(every.mean()), every.size)
    return {
        name: float(every.mean()),
        f"{name}_interval": [share.low, share.high],
        f"{name}_by_seed": [float(one.mean()) for one in hits],
    }


def show(found: dict[str, Any]) -> None:
    for rows in found.get("budgets", {}).values():
        print(_budget_table(rows))
    for one in found.get("correlation", []):
        low, high = one["interval"]
        print(
            f"\n{one['task']}: rank correlation of supernet and training alone, "
            f"{one['nets']} nets: {one['spearman']:.2f} (95% {low:.2f} to {high:.2f}; goal 0.6); "
            f"of MACs alone {one['macs_alone']:.2f}; {one['seconds_a_net']:.2f} s a net"
        )
    for name in ("workers", "firmware"):
        for one in found.get(name, []):
            print(f"\n{name}")
            for key, value in one.items():
                print(f"  {key}: {value}")


_COLUMNS = (
    *("task", "SRAM, ms", "variant", "input", "SRAM", "layer by layer", "ms", "flash", "MACs"),
    *("by the study %", "accuracy % (95%)", "by seed", "search gains (95%; by seed)"),
)


def _budget_table(rows: Sequence[dict[str, Any]]) -> str:
    lines = ["", _line(_COLUMNS), "|---" * len(_COLUMNS) + "|"]
    for row in rows:
        budget, said = row["budget"], row["said_by_study"]
        begin = row["task"], f"{budget['sram'] // 1024} KiB, {budget['latency_ms']:g}"
        needs = (
            "×".join(map(str, row["input"])),
            f"{row['sram']:,}",
            f"{row['layered_sram']:,}",
            f"{row['latency_ms']:.1f}",
            f"{row['flash']:,}",
            f"{row['macs'] / 1e6:.2f}M",
            "" if said is None else f"{100 * said:.1f}",
        )
        name, gain = f"{row['variant']} ({row['net']})", _gain(row, "search_gains")
        lines.append(_line((*begin, name, *needs, *_share(row, "accuracy"), gain)))
        if "alone" in row:
            name, gain = f"{row['variant']}, from scratch", _gain(row, "alone_gains")
            lines.append(
                _line((*begin, name, *needs, *_share(row, "alone"), f"{gain} on the family"))
            )
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _share(row: dict[str, Any], name: str) -> tuple[str, str]:
    """Of all seeds, and by seed."""
    low, high = (100 * end for end in row[f"{name}_interval"])
    seeds = ", ".join(f"{100 * one:.1f}" for one in row[f"{name}_by_seed"])
    return f"{100 * row[name]:.1f} ({low:.1f}-{high:.1f})", seeds


def _gain(row: dict[str, Any], name: str) -> str:
    gain = row.get(name)
    if gain is None:
        return ""
    seeds = ", ".join(f"{100 * one:.1f}" for one in gain["by_seed"])
    low, high = (100 * end for end in gain["interval"])
    return f"{100 * gain['gain']:+.1f} ({low:.1f} to {high:.1f}; {seeds})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", action="append", choices=nas_tasks.TASKS)
    parser.add_argument("--minutes", type=float, default=60.0, help="effort for a task")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--directory", type=Path, default=Path("nas-benchmark"))
    parser.add_argument("--only", default=",".join(SECTIONS), help=f"of {', '.join(SECTIONS)}")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    asked = parser.parse_args()
    sections = asked.only.split(",")
    if unknown := set(sections) - set(SECTIONS):
        parser.error(f"--only: no section {sorted(unknown)[0]!r}; there are {', '.join(SECTIONS)}")
    for name, value in ONEDNN.items():
        os.environ.setdefault(name, value)  # before TensorFlow is imported
    # For the processes of a study, which import pricers and tasks by name.
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    found: dict[str, Any] = {}
    for name in asked.task or ["shapes"]:
        run = Run(name, asked.minutes, asked.workers, asked.directory)
        if "budgets" in sections:
            found.setdefault("budgets", {})[name] = run.budgets()
        for section in ("correlation", "firmware"):
            if section in sections:
                found.setdefault(section, []).append(getattr(run, section)())
    if "workers" in sections:
        found["workers"] = [nas_workers.compared(asked.directory / "workers")]
    if asked.json:
        print(json.dumps(found, indent=2))
    else:
        show(found)


if __name__ == "__main__":
    main()
