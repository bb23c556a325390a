"""What int8 costs nets that are hard to quantize, by method.

    python benchmarks/quantization.py [--task digits ...] [--way rescaled ...] [--recipe minmax ...]
                                      [--seeds 3] [--quick] [--json]

Each net of `hard_nets.py` is trained once for a seed, and every recipe quantizes that same net,
with 200 of its training images to calibrate. Accuracy is that of the whole `.tflite` in LiteRT's
reference kernels, which TFLM and the engine equal bit for bit, on images that were not trained on.
`float` and `int8` are means over seeds; the 95% intervals are Wilson's, of the images of all seeds
together. `lost` is float less int8 in points, each seed's in brackets; `of min-max` the share
of what plain min-max conversion loses.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from hard_nets import TASKS, WAYS, HardNet, hard_net

from tflm_opt import quant

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
BASE = "minmax"


@dataclass(frozen=True, slots=True)
class Run:
    """One recipe on one net: how many of `images` are classified rightly."""

    task: str
    way: str
    recipe: str
    seed: int
    images: int
    float_right: int
    int8_right: int
    seconds: float

    @property
    def lost(self) -> float:
        """Points of accuracy."""
        return 100 * (self.float_right - self.int8_right) / self.images


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--task", action="append", choices=TASKS)
    parser.add_argument("--way", action="append", choices=WAYS)
    parser.add_argument("--recipe", action="append", choices=list(RECIPES))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one seed, few epochs: a smoke test")
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
    print(json.dumps({"rows": rows}, indent=2) if arguments.json else table(rows))


def net_runs(net: HardNet, recipes: dict[str, Recipe]) -> Iterator[Run]:
    """All recipes on one net."""
    images, labels = net.test
    expected = net.model.predict(images, batch_size=256, verbose=0).argmax(1)
    float_right = int((expected == labels).sum())
    for name, recipe in recipes.items():
        began = time.monotonic()
        tflite = recipe(net)
        seconds = time.monotonic() - began
        right = int((classes(tflite, images) == labels).sum())
        run = Run(net.task, net.way, name, net.seed, len(images), float_right, right, seconds)
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
    images = sum(run.images for run in mine)
    float_right, int8_right = (
        sum(getattr(run, name) for run in mine) for name in ("float_right", "int8_right")
    )
    lost, base_lost = (float(np.mean([run.lost for run in some])) for some in (mine, base))
    return {
        "task": key[0],
        "way": key[1],
        "recipe": key[2],
        "images": images,
        "float": 100 * float_right / images,
        "float_interval": wilson(float_right, images),
        "int8": 100 * int8_right / images,
        "int8_interval": wilson(int8_right, images),
        "lost": lost,
        "lost_by_seed": [run.lost for run in mine],
        "of_minmax": lost / base_lost if base_lost > 0 else None,
        "seconds": float(np.mean([run.seconds for run in mine])),
    }


def wilson(right: int, of: int) -> tuple[float, float]:
    """The 95% interval of a share, in percent."""
    z = 1.959964
    centre, spread = right + z * z / 2, z * math.sqrt(right * (of - right) / of + z * z / 4)
    return 100 * (centre - spread) / (of + z * z), 100 * (centre + spread) / (of + z * z)


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown."""
    lines = [
        "| net | recipe | float % | int8 % | lost | of min-max | seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in rows:
        shares = (
            "{:.1f} ({:.1f}-{:.1f})".format(one[name], *one[f"{name}_interval"])
            for name in ("float", "int8")
        )
        seeds = ", ".join(f"{lost:.1f}" for lost in one["lost_by_seed"])
        share = "" if one["of_minmax"] is None else f"{one['of_minmax']:.0%}"
        lines.append(
            f"| {one['task']}, {one['way']} | {one['recipe']} | {' | '.join(shares)} "
            f"| {one['lost']:.2f} ({seeds}) | {share} | {one['seconds']:.1f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
