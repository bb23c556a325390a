"""What the search for nets finds, against what a person would try, at the same budgets.

    python benchmarks/nas.py [--task shapes ...] [--minutes 60] [--workers 2] [--directory DIR]
                             [--only budgets,correlation,workers,firmware] [--json]

For each task: a supernet is trained once; for each budget (SRAM and latency on an emulated
Cortex-M4), nets come from four variants (`nas_experiments.py` says which and how they are judged).
`from scratch` is the mean accuracy over three seeds of such a training, on images that nothing has
seen before; its interval is Wilson's, of all seeds' images. `search gains` is `search` less another
variant, in points, each seed's in brackets, with Newcombe's paired interval of all images.
`finished` is the same of a study's own favourite, with the supernet's weights and trained on.

Then: how the supernet's order of nets agrees with that of nets trained alone; whether a study that
is killed, or shared by two workers, ends as one that isn't; and whether the best net's firmware is
what the study recorded.

`--minutes` is the effort for a task. Results are kept in `--directory`, and a second run goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nas_experiments as experiments
import nas_tasks
import nas_workers
import numpy as np
from nas_experiments import Effort, Entry, Job, Kept, Tuning

from tflm_opt import intervals
from tflm_opt.nas.cost import Pricer

SECTIONS = ("budgets", "correlation", "workers", "firmware")


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

    def supernet(self) -> Path:
        """The folder of the trained supernet."""
        self.told(f"supernet, {self.effort.supernet_epochs} epochs")
        return nas_tasks.supernet(
            self.task, self.space, self.effort.supernet_epochs, self.directory / "supernet"
        )

    def job(self, net: Any, seed: int, *, test: bool) -> Job:
        layers = json.dumps(net.to_json())
        epochs = self.effort.final_epochs if test else self.effort.first_epochs
        return Job(self.task.name, self.samples, layers, epochs, seed, test)

    def entries(self, variant: str, number: int) -> list[Entry]:
        """What a variant hands in for a budget."""
        limits = self.task.budgets[number]
        name = f"entries-{variant}-{number}"
        if (found := self.kept.get(name)) is None:
            self.told(f"{variant} within {limits.sram:,} B and {limits.latency_ms:g} ms")
            if variant == "family":
                made = experiments.family(self.task, limits, Pricer(nas_tasks.BOARD, input="any"))
            else:
                made = experiments.searched(
                    self.directory / f"study-{variant}-{number}",
                    self.task,
                    self.space,
                    limits,
                    variant,
                    self.effort,
                    self.supernet(),
                    self.workers,
                )
            found = self.kept.put(name, [entry.to_json() for entry in made])
        return [Entry.from_json(one) for one in found]

    def trained(self, jobs: Sequence[Job]) -> list[dict[str, Any]]:
        return experiments.train_all(self.kept, jobs, self.workers, self.told)

    def budgets(self) -> list[dict[str, Any]]:
        rows = []
        for number, limits in enumerate(self.task.budgets):
            finals: dict[str, list[dict[str, Any]]] = {}
            tuned: dict[str, list[dict[str, Any]]] = {}
            for variant in experiments.VARIANTS:
                entries = self.entries(variant, number)
                if not entries:
                    continue
                first = self.trained([self.job(e.net, 0, test=False) for e in entries])
                best = int(np.argmax([one["val"] for one in first]))
                net = entries[best].net
                jobs = [self.job(net, 1 + s, test=True) for s in range(self.effort.seeds)]
                finals[variant] = self.trained(jobs)
                rows.append(self.row(limits, variant, entries, best, finals[variant]))
                if variant != "family":
                    tuned[variant] = self.tuned(variant, number, entries[0].label)
                    rows[-1] |= described("tuned", tuned[variant])
            for row in rows:
                mine = finals.get(row["variant"])
                if row["budget"] == limits.to_json() and row["variant"] != "search" and mine:
                    row["search_gains"] = experiments.compared(mine, finals["search"])
                    if other := tuned.get(row["variant"]):
                        row["search_gains_tuned"] = experiments.compared(other, tuned["search"])
        return rows

    def tuned(self, variant: str, number: int, key: str) -> list[dict[str, Any]]:
        """A study's favourite, finished from the supernet's weights."""
        from tflm_opt import nas

        study = nas.load(self.directory / f"study-{variant}-{number}")
        (found,) = (t.architecture for t in study.complete if t.key == key)
        folder, epochs = str(self.supernet()), self.effort.supernet_epochs
        jobs = [
            Tuning(self.task.name, self.samples, json.dumps(dict(found)), folder, epochs, 1 + s)
            for s in range(self.effort.seeds)
        ]
        return experiments.train_all(self.kept, jobs, self.workers, self.told, experiments.tune)

    def row(
        self,
        limits: Any,
        variant: str,
        entries: Sequence[Entry],
        best: int,
        finals: Sequence[dict[str, Any]],
    ) -> dict[str, Any]:
        cost = entries[best].cost
        return {
            "task": self.task.name,
            "budget": limits.to_json(),
            "variant": variant,
            "handed_in": len(entries),
            "net": entries[best].label,
            "input": list(entries[best].net.input_shape),
            "sram": cost.sram,
            "latency_ms": cost.latency_ms,
            "flash": cost.flash,
            "macs": cost.macs,
            **described("test", finals),
        }

    def correlation(self) -> dict[str, Any]:
        """Supernet against training alone."""
        from tflm_opt.nas.supernet import SupernetEvaluator

        folder = self.supernet()
        chosen = list(experiments.sampled(self.space, self.effort.correlated))
        nets = [self.space.net(one) for one in chosen]
        shared = self.kept.get("shared")
        if shared is None:
            evaluator = SupernetEvaluator.load(folder.parent)
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
        """The best net of the middle budget as firmware, against the study's record."""
        return self.kept.of("firmware", self._firmware)

    def _firmware(self) -> dict[str, Any]:
        from tflm_opt import nas

        self.entries("search", 1)
        study = nas.load(self.directory / "study-search-1")
        self.told("firmware of the best net")
        return nas_workers.firmware(study, self.task, self.effort.final_epochs)


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


def _budget_table(rows: Sequence[dict[str, Any]]) -> str:
    lines = [
        "",
        "| task | SRAM, ms | variant | input | SRAM | ms | MACs | from scratch % (95%) "
        "| search gains | finished % (95%) | search gains |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        budget = row["budget"]
        lines.append(
            f"| {row['task']} | {budget['sram'] // 1024} KiB, {budget['latency_ms']:g} "
            f"| {row['variant']} ({row['net']}) | {'×'.join(map(str, row['input']))} "
            f"| {row['sram']:,} | {row['latency_ms']:.1f} | {row['macs'] / 1e6:.2f}M "
            f"| {_share(row, 'test')} | {_gain(row, 'search_gains')} "
            f"| {_share(row, 'tuned')} | {_gain(row, 'search_gains_tuned')} |"
        )
    return "\n".join(lines)


def _share(row: dict[str, Any], name: str) -> str:
    if name not in row:
        return ""
    low, high = (100 * end for end in row[f"{name}_interval"])
    return f"{100 * row[name]:.1f} ({low:.1f}-{high:.1f})"


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
