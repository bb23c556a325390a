"""What zero-cost proxies are worth: their rank correlation with accuracy after a short training.

    python benchmarks/nas_proxies.py [--nets 15] [--epochs 6] [--seed 0] [--json]

Nets of one to three separable blocks, drawn at random, on scikit-learn's digits of 8×8 pixels. MACs
are in the table as what a proxy has to beat.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def net(rng: np.random.Generator) -> Any:
    """A net of random width, depth and kernels."""
    from tflm_opt.nas.net import Layer, Net

    width = int(rng.choice([2, 4, 8, 16]))
    layers = [
        Layer("image", "input", shape=(8, 8, 1)),
        Layer("stem", "conv", ("image",), width, (3, 3), norm=True, activation="relu6"),
    ]
    for i in range(int(rng.integers(1, 4))):
        size = int(rng.choice([1, 3, 5]))
        deep = Layer(
            f"d{i}",
            "depthwise",
            (layers[-1].name,),
            kernel=(size, size),
            strides=(1 + i % 2, 1 + i % 2),
            norm=True,
            activation="relu6",
        )
        layers += [
            deep,
            Layer(f"p{i}", "conv", (deep.name,), width * (1 + i), norm=True, activation="relu6"),
        ]
    layers += [
        Layer("pool", "global_pool", (layers[-1].name,)),
        Layer("scores", "dense", ("pool",), 10, activation="softmax"),
    ]
    return Net(tuple(layers))


def measured(nets: int, epochs: int, seed: int) -> list[dict[str, float]]:
    """Accuracy, MACs and all proxies of each net."""
    from sklearn.datasets import load_digits

    from tflm_opt.nas.data import checked
    from tflm_opt.nas.evaluate import TrainEvaluator, fresh_session
    from tflm_opt.nas.proxies import PROXIES, scores
    from tflm_opt.nas.recipe import Recipe

    raw = load_digits()
    x, y = (raw.images / 16).astype(np.float32), raw.target
    order = np.random.default_rng(seed).permutation(len(y))
    train, val = order[:1200], order[1200:]
    data = checked((x[train], y[train]), (x[val], y[val]))
    evaluator = TrainEvaluator(data, Recipe(epochs=epochs, batch=32, augment=()))
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(nets):
        one = net(rng)
        with fresh_session():
            model = evaluator.build(one, seed + i)
            row = scores(model, data.x_train, data.y_train, list(PROXIES))
        accuracy = evaluator.evaluate({}, one, seed=seed + i).accuracy
        rows.append({"accuracy": accuracy, "macs": float(one.macs), **row})
        print(rows[-1], file=sys.stderr, flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nets", type=int, default=15)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    rows = measured(given.nets, given.epochs, given.seed)
    from tflm_opt.nas.proxies import correlation, rank

    truth = [row["accuracy"] for row in rows]
    table = {
        name: correlation([row[name] for row in rows], truth)
        for name in rows[0]
        if name != "accuracy"
    }
    both = rank([{name: row[name] for name in ("naswot", "synflow")} for row in rows])
    table["naswot and synflow"] = correlation(both, truth)
    if given.json:
        print(json.dumps({"rows": rows, "correlation": table}))
        return
    print(f"{len(rows)} nets, accuracy {min(truth):.1%} to {max(truth):.1%}; rank correlation:")
    for name, value in table.items():
        print(f"  {name:20} {value:+.2f}")


if __name__ == "__main__":
    main()
