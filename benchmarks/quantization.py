"""What quantization costs: accuracy of nets that are hard to quantize, training, int4 weights.

    python benchmarks/quantization.py [--task digits ...] [--way rescaled ...] [--recipe minmax ...]
                                      [--seeds 3] [--quick] [--no-speed] [--int4 MODEL.tflite]
                                      [--json]

Each net of `hard_nets.py` is trained once for a seed, and every recipe quantizes that same net,
with 200 of its training images to calibrate. Accuracy is that of the whole `.tflite` in LiteRT's
reference kernels, on images that were not trained on; `bit-exact` counts the files whose outputs
the engine gave as TFLM did, byte for byte, when they were optimized. `float` and `int8` are means
over seeds; the 95% intervals are Wilson's, of the images of all seeds together. `lost` is float
less int8 in points, each seed's in brackets, with Newcombe's paired interval of all images; `of
min-max` the share of what plain min-max conversion loses.

Then what training with quantization takes (`qat_speed.py`), and for a model named with `--int4`
which layers get int4 weights so that all weights take 30% less (`int4.py`).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import qat_speed
from hard_nets import TASKS, WAYS, HardNet, hard_net

import tflm_opt
from tflm_opt import intervals, quant

Recipe = Callable[[HardNet], bytes]


def ptq(**options: Any) -> Recipe:
    """Post-training quantization."""
    chosen = quant.PTQ(**options)
    return lambda net: quant.quantize(net.model, net.calibration, options=chosen).tflite


def qat(net: HardNet) -> bytes:
    """Trained with quantization, with the defaults (`qat_speed.py` has what that costs)."""
    return quant.quantize(net.model, train=net.train).tflite


RECIPES: dict[str, Recipe] = {
    "minmax": ptq(equalize=None),
    "percentile": ptq(method="percentile", equalize=None),
    "mse": ptq(method="mse", equalize=None),
    "bias correction": ptq(equalize=None, correct_bias=True),
    "equalize, data-free": ptq(equalize="data-free"),
    "default": ptq(),
    "default, bias correction": ptq(correct_bias=True),
    "default, bias correction, mse": ptq(method="mse", correct_bias=True),
    "qat": qat,
}
RIGHT = ("float_right", "int8_right")
BASE = "minmax"
BELOW = 30.0  # percent


@dataclass(frozen=True, slots=True)
class Run:
    """One recipe on one net: which of the test images are classified rightly."""

    task: str
    way: str
    recipe: str
    seed: int
    float_right: np.ndarray
    int8_right: np.ndarray
    bit_exact: bool
    seconds: float

    @property
    def lost(self) -> float:
        """Points of accuracy."""
        return 100 * float(self.float_right.mean() - self.int8_right.mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--task", action="append", choices=TASKS)
    parser.add_argument("--way", action="append", choices=WAYS)
    parser.add_argument("--recipe", action="append", choices=list(RECIPES))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one seed, few epochs: a smoke test")
    parser.add_argument("--no-speed", action="store_true", help="only accuracy")
    parser.add_argument("--int4", type=Path, metavar="MODEL.tflite", help="choose its int4 layers")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    chosen = {name: RECIPES[name] for name in arguments.recipe or RECIPES}
    chosen = {BASE: RECIPES[BASE], **chosen}
    seeds, epochs = (1, 4) if arguments.quick else (arguments.seeds, 20)
    runs = []
    for task in arguments.task or TASKS:
        for way in arguments.way or WAYS:
            for seed in range(seeds):
                runs += net_runs(hard_net(task, way=way, seed=seed, epochs=epochs), chosen)
    rows = [row(runs, key) for key in dict.fromkeys((r.task, r.way, r.recipe) for r in runs)]
    found: dict[str, Any] = {"nets": rows}
    texts = [table(rows)]
    if not arguments.no_speed:
        found["training"] = qat_speed.measured()
        texts.append(qat_speed.table(found["training"]))
    if arguments.int4:
        import int4  # which needs compilers for emulated boards

        mixed = int4.choice(arguments.int4.read_bytes(), BELOW)
        found["int4"] = mixed.to_dict()
        texts.append(str(mixed))
    print(json.dumps(found, indent=2) if arguments.json else "\n\n".join(texts))


def net_runs(net: HardNet, recipes: dict[str, Recipe]) -> Iterator[Run]:
    """All recipes on one net."""
    images, labels = net.test
    expected = net.model.predict(images, batch_size=256, verbose=0).argmax(1)
    for name, recipe in recipes.items():
        began = time.monotonic()
        tflite = recipe(net)
        seconds = time.monotonic() - began
        right = classes(tflite, images) == labels
        exact = bool(tflm_opt.optimize(tflite, verbose=0).bit_exact)
        run = Run(net.task, net.way, name, net.seed, expected == labels, right, exact, seconds)
        print(f"{run.task} {run.way} {name} {run.seed}: {run.lost:.2f} lost", file=sys.stderr)
        yield run


def classes(tflite: bytes, images: np.ndarray) -> np.ndarray:
    """The class that an int8 file gives each image, by LiteRT's reference kernels."""
    from ai_edge_litert import interpreter as litert

    engine = litert.Interpreter(
        model_content=tflite,
        experimental_op_resolver_type=litert.OpResolverType.BUILTIN_REF,
    )
    engine.allocate_tensors()
    (taken,), (given,) = engine.get_input_details(), engine.get_output_details()
    scale, zero = taken["quantization"]
    codes = np.clip(np.round(images / scale) + zero, -128, 127).astype(np.int8)
    found = []
    for one in codes:
        engine.set_tensor(taken["index"], one[np.newaxis])
        engine.invoke()
        found.append(int(engine.get_tensor(given["index"]).argmax()))
    return np.array(found)


def row(runs: list[Run], key: tuple[str, str, str]) -> dict[str, Any]:
    """What one recipe does on the nets of one task and way, all seeds."""
    mine = [run for run in runs if (run.task, run.way, run.recipe) == key]
    base = [run for run in runs if (run.task, run.way, run.recipe) == (*key[:2], BASE)]
    both = [np.concatenate([getattr(run, name) for run in mine]) for name in RIGHT]
    lost, base_lost = (float(np.mean([run.lost for run in some])) for some in (mine, base))
    change = intervals.paired(*both)
    return {
        "task": key[0],
        "way": key[1],
        "recipe": key[2],
        "images": len(both[0]),
        "float": 100 * both[0].mean(),
        "float_interval": percent(intervals.wilson(both[0].mean(), len(both[0]))),
        "int8": 100 * both[1].mean(),
        "int8_interval": percent(intervals.wilson(both[1].mean(), len(both[1]))),
        "lost": lost,
        "lost_by_seed": [run.lost for run in mine],
        "lost_interval": [-end for end in reversed(percent(change.interval))],
        "of_minmax": lost / base_lost if base_lost > 0 else None,
        "bit_exact": sum(run.bit_exact for run in mine),
        "files": len(mine),
        "seconds": float(np.mean([run.seconds for run in mine])),
    }


def percent(interval: intervals.Interval) -> list[float]:
    return [100 * interval.low, 100 * interval.high]


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown."""
    lines = [
        "| net | recipe | float % | int8 % | lost | of min-max | bit-exact | seconds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in rows:
        shares = (
            "{:.1f} ({:.1f}-{:.1f})".format(one[name], *one[f"{name}_interval"])
            for name in ("float", "int8")
        )
        seeds = ", ".join(f"{lost:.1f}" for lost in one["lost_by_seed"])
        low, high = one["lost_interval"]
        share = "" if one["of_minmax"] is None else f"{one['of_minmax']:.0%}"
        lines.append(
            f"| {one['task']}, {one['way']} | {one['recipe']} | {' | '.join(shares)} "
            f"| {one['lost']:.2f} ({low:.1f} to {high:.1f}; {seeds}) | {share} "
            f"| {one['bit_exact']} of {one['files']} | {one['seconds']:.1f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
