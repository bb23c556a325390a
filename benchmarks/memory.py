"""Arena of real models, beside what others publish: resident and streamed input.

    python benchmarks/memory.py [MODEL.tflite ...] [--net NAME ...] [--all]
                                [--max-extra-macs F ...] [--write docs/memory.md] [--json]

Without arguments: the real models at hand. `--net` adds a Keras net of the tests, built with
calibrated batch-norm statistics the first time (minutes), `--all` the nets that the goals name.
Ours is the whole arena with all kernel scratch of the schedule of least memory, planned;
`optimize` proves such schedules bit-exact. `bound` is what no schedule that the search knows goes
below. The peers' figures are in `peers.py`, with their sources.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import memory_page
from peers import INPUTS, NOBODY, PEERS

from tflm_opt import codegen, graph, passes
from tflm_opt.bottleneck import bottleneck
from tflm_opt.errors import UnsupportedModel
from tflm_opt.patch_split.live import live_bytes
from tflm_opt.patch_split.orders import search
from tflm_opt.patch_split.regions import NotStreamable
from tflm_opt.patch_split.schedule import Stage
from tflm_opt.patch_split.search import Found

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "models"
NETS = ("mobilenet_v2_035_144", "mobilenet_v2_100_224")


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options(arguments)
    models = [(path.stem, path.read_bytes()) for path in options.models]
    models += [(name, keras_net(name)) for name in options.net]
    rows = [
        row
        for name, data in models
        for row in model_rows(name, data, sorted(set(options.max_extra_macs or [0.0])))
    ]
    if options.write is not None:
        options.write.write_text(memory_page.page(rows, _command(options)), "utf-8")
    print(json.dumps(rows, indent=2) if options.json else memory_page.table(rows))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--net", action="append", default=[], help="a Keras net of the tests")
    parser.add_argument("--all", action="store_true", help=f"and {', '.join(NETS)}")
    parser.add_argument(
        "--max-extra-macs",
        action="append",
        type=float,
        metavar="F",
        help="rows with so much recomputation allowed; 0 unless given; may be repeated",
    )
    parser.add_argument("--write", type=Path, metavar="PAGE", help="a Markdown page, too")
    parser.add_argument("--json", action="store_true", help="print one JSON array")
    options = parser.parse_args(arguments)
    options.named = [path.name for path in options.models]
    if options.all:
        options.net = [*options.net, *(net for net in NETS if net not in options.net)]
    if not options.models and (options.all or not options.net):
        options.models = sorted(SHARED.glob("*.tflite"))
    return options


def _command(options: argparse.Namespace) -> str:
    """How the page was made, by files' names only."""
    nets = [] if options.all else [f"--net {net}" for net in options.net]
    limits = [f"--max-extra-macs {limit:g}" for limit in options.max_extra_macs or ()]
    every = ["--all"] if options.all else []
    words = [*options.named, *nets, *every, *limits, f"--write docs/{options.write.name}"]
    return " ".join(["python benchmarks/memory.py", *words])


def keras_net(name: str) -> bytes:
    """A Keras net of the tests as an int8 `.tflite`, from their cache or built now."""
    sys.path.insert(0, str(ROOT / "tests"))
    from models.cache import tflite

    return tflite(name)


def model_rows(name: str, data: bytes, limits: Sequence[float]) -> list[dict[str, Any]]:
    """A row for each kind of input and limit of extra MACs."""
    model = passes.run(graph.read(data, name), passes.default_pipeline())
    return [model_row(name, model, kind, limit) for limit in limits for kind in INPUTS]


def model_row(name: str, model: graph.Graph, kind: str, limit: float = 0.0) -> dict[str, Any]:
    """Ours, the goal and the peers' for one kind of input; ours is None where it can't be."""
    began = time.process_time()
    found, reason = _searched(model, kind, limit)
    seconds = round(time.process_time() - began, 1)
    peers = PEERS.get(name, NOBODY)
    goal = peers.goal(kind, limit)
    return {
        "model": name,
        "input": kind,
        "max_extra_macs": limit,
        "arena": None if found is None else found.peak,
        "extra_macs": None if found is None else found.chosen.extra_macs,
        "goal": None if goal is None else goal.arena,
        "bound": None if found is None else found.bound,
        "fastest": None if found is None else found.front[0].peak,
        "peers": [
            {"tool": tool, "arena": figure.arena, "extra_macs": figure.extra_macs}
            for tool, figure in peers.of(kind)
        ],
        "seconds": seconds,
        "binding": None if found is None else _binding(found),
        "reason": reason,
    }


def _searched(model: graph.Graph, kind: str, limit: float) -> tuple[Found | None, str | None]:
    more: dict[str, Any] = {"max_extra_macs": limit} if limit else {}
    try:
        found = search(model, input=kind, scratch=codegen.scratch, access=codegen.access, **more)
    except UnsupportedModel as error:
        return None, error.reason
    return found, None


def _binding(found: Found) -> dict[str, Any]:
    peak = bottleneck(found.chosen.graph, found.chosen.plan)
    alive = least_alive(found.chosen.graph, streamed=found.schedule.input == "streamed")
    return {"stage": str(peak), "buffers": list(peak.largest), "alive": alive}


def least_alive(model: graph.Graph, *, streamed: bool) -> int | None:
    """Bytes alive at once in the first stage, whichever ops it holds; None if none runs on rows.

    Every schedule has a stage that begins with the first op.
    """
    found = []
    for count in range(1, len(model.ops) + 1):
        try:
            found.append(live_bytes(model, Stage(model.ops[:count], 1), streamed=streamed))
        except NotStreamable:
            break
        except ValueError:  # the streamed input is read after these ops, too
            continue
    return min(found, default=None)


if __name__ == "__main__":
    main()
