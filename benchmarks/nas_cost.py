"""How near the prices of nets in a search are to what ships, and how many a second there are.

    python benchmarks/nas_cost.py [--only speed,limits,planned,built] [--count 10] [--firmware 2]
                                  [--steps 100] [--board qemu_m4] [--json]

Nets are drawn from `spaces.MobileNet` for images of 96×96, at widths of 0.25 to 0.5. Four parts:

**Speed.** Seconds of the processor for a net by a new `Pricer` (cold), for nets drawn one after the
other by the same one, and for `--steps` nets each of which is changed from an earlier one, as
evolution does; the last half of these is called warm.

**Limits.** Seconds of the processor for a net under limits of SRAM and latency that few nets keep,
where `Pricer` knows of the latency and where it doesn't, and whether both find the same nets.

**Arena and instructions** of `Pricer` against `exact_cost`, which is all that `optimize` searches
and plans, for both inputs, without a budget, with one that is a fifth above the least, and with
one that is a little below it.

**SRAM, flash and instructions** against the artifact: compiled, and run on an emulated core,
without a budget and with a tenth and a third more than the least.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from tflm_opt import graph, measure, optimize
from tflm_opt.nas import Cost, Limits, Pricer, exact_cost, space
from tflm_opt.nas.lower import lower
from tflm_opt.nas.net import Net
from tflm_opt.nas.spaces.mobilenet import MobileNet

# Parts of the SRAM that a net needs without a budget.
BUDGETS = (None, 1.2, 0.97)
INPUTS = ("resident", "streamed")
PARTS = ("speed", "limits", "planned", "built")


def mobilenets() -> space.Space:
    """MobileNets of 96×96 of the sizes that the figures are of."""
    made = MobileNet.default((96, 96, 3), classes=2)
    plain = made.to_json()
    plain["width"], plain["resolution"] = [0.25, 0.35, 0.5], [96]
    found = MobileNet.from_json(plain)
    assert isinstance(found, space.Space)
    return found


def changed(nets: space.Space, count: int, seed: int) -> Iterator[Net]:
    """Nets, each like an earlier one but for a tenth of its choices; the first ones are drawn."""
    rng = np.random.default_rng(seed)
    parents = [space.sample(nets, rng) for _ in range(4)]
    for _ in range(count):
        parents.append(space.mutate(nets, parents[rng.integers(len(parents))], rng))
        yield nets.net(parents[-1])


def seconds(pricer: Pricer, net: Net) -> float:
    """Of the processor, to price a net."""
    begin = time.process_time()
    pricer.price(net)
    return time.process_time() - begin


def speed(nets: space.Space, drawn: list[Net], steps: int, board: str) -> dict[str, Any]:
    """Nets a second, and of how many ops they are."""
    cold = [seconds(Pricer(board), net) for net in drawn]
    shared = Pricer(board)
    one_by_one = [seconds(shared, net) for net in drawn]
    again = [seconds(shared, net) for net in drawn]
    evolving = Pricer(board)
    every = [seconds(evolving, net) for net in changed(nets, steps, 1)]
    means = {
        "cold": cold,
        "one after the other": one_by_one,
        "changed, all": every,
        "changed, warm": every[steps // 2 :],
        "the same again": again,
    }
    rates = {name: len(times) / sum(times) for name, times in means.items()}
    return {"ops": sorted(len(lower(net).ops) for net in drawn), "nets_a_second": rates}


def limited(nets: space.Space, count: int, board: str, seed: int) -> dict[str, Any]:
    """Nets of which a fifth keeps a limit of latency, priced with the limit and without."""
    rng = np.random.default_rng([seed, 2])
    drawn = [nets.net(space.sample(nets, rng)) for _ in range(count)]
    guide = Pricer(board, input="any")
    sram = int(1.2 * np.median([guide.price(net).sram for net in drawn]))
    latency = float(np.quantile([guide.price(net, sram=sram).latency_ms for net in drawn], 0.2))
    limits = Limits(sram=sram, latency_ms=latency)
    every, taken = {}, {}
    for name, told in (("untold", None), ("told", latency)):
        pricer = Pricer(board, input="any")
        begin = time.process_time()
        every[name] = [pricer.price(net, sram=sram, latency_ms=told) for net in drawn]
        taken[name] = (time.process_time() - begin) / count
    kept = {name: [c if not limits.broken(c) else None for c in every[name]] for name in every}
    return {
        "sram": sram,
        "latency_ms": latency,
        "nets": count,
        "keep them": sum(cost is not None for cost in kept["told"]),
        "seconds": taken,
        "same": kept["told"] == kept["untold"],
    }


def planned(drawn: list[Net], board: str) -> list[dict[str, Any]]:
    """Prices against `exact_cost`: arena, and the instructions both estimate."""
    rows = []
    for index, net in enumerate(drawn):
        for input in INPUTS:
            least = exact_cost(net, input=input, board=board)
            pricer = Pricer(board, input=input)
            for part in BUDGETS:
                budget = None if part is None else int(least.sram * part)
                exact = least if budget is None else exact_cost(
                    net, input=input, board=board, sram=budget
                )  # fmt: skip
                price = pricer.price(net, sram=budget)
                row = {"net": index, "input": input, "budget": part}
                for what in ("arena", "instructions"):
                    row[what] = getattr(price, what) / getattr(exact, what) - 1
                rows.append(row)
    return rows


def built(drawn: list[Net], board: str) -> list[dict[str, Any]]:
    """Prices against what was compiled and run, without a budget and with some to spare."""
    rows = []
    for index, net in enumerate(drawn):
        data = graph.write(lower(net))
        for input in INPUTS:
            pricer = Pricer(board, input=input)
            least = pricer.price(net)
            for part in (None, 1.1, 1.3):
                budget = None if part is None else int(least.sram * part)
                price = least if budget is None else pricer.price(net, sram=budget)
                result = optimize(data, sram=budget, input=input, vectors=1, verbose=0)
                row = {"net": index, "input": input, "budget": part}
                rows.append(row | _against(result, price, board))
    return rows


def _against(result: Any, price: Cost, board: str) -> dict[str, Any]:
    """What was built and run, and how far off the price was."""
    with tempfile.TemporaryDirectory() as folder:
        result.save(folder)
        found = measure.measure(folder, board)
    cycles = (found["cycles_estimate"] or {}).get("cycles")
    real = {
        "arena": result.sram.arena,
        "sram": result.sram.total,
        "flash": found["flash"]["total"],
        "instructions": found["instructions"],
    }
    off = {what: getattr(price, what) / value - 1 for what, value in real.items()}
    pace = cycles and cycles / found["instructions"]
    return {"real": real, "cycles_an_instruction": pace, **off}


def errors(rows: list[dict[str, Any]], what: str) -> str:
    """Median, 95th percentile, worst, and how many are within 2% and 10%."""
    found = np.abs([row[what] for row in rows])
    middle, high = np.percentile(found, [50, 95])
    return (
        f"{what:>14}  median {middle:6.2%}  95th {high:6.2%}  worst {found.max():6.2%}"
        f"  within 2%: {(found <= 0.02).mean():4.0%}  within 10%: {(found <= 0.1).mean():4.0%}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--count", type=int, default=10, help="nets that are priced both ways")
    parser.add_argument("--firmware", type=int, default=2, help="nets that are built and run")
    parser.add_argument(
        "--steps", type=int, default=100, help="nets changed from each other, and under limits"
    )
    parser.add_argument("--board", default="qemu_m4", help="an emulated one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", default=",".join(PARTS), help=f"of {', '.join(PARTS)}")
    asked = parser.parse_args()
    parts = asked.only.split(",")
    if unknown := sorted(set(parts) - set(PARTS)):
        parser.error(f"--only: no part {unknown[0]!r}; there are {', '.join(PARTS)}")
    nets, rng = mobilenets(), np.random.default_rng(asked.seed)
    drawn = [nets.net(space.sample(nets, rng)) for _ in range(max(asked.count, asked.firmware))]
    makes = {
        "speed": lambda: speed(nets, drawn, asked.steps, asked.board),
        "limits": lambda: limited(nets, asked.steps, asked.board, asked.seed),
        "planned": lambda: planned(drawn[: asked.count], asked.board),
        "built": lambda: built(drawn[: asked.firmware], asked.board),
    }
    data = {name: makes[name]() for name in PARTS if name in parts}
    print(json.dumps(data, indent=2) if asked.json else text(data))


def text(data: dict[str, Any]) -> str:
    """The figures as lines."""
    lines = []
    if speeds := data.get("speed"):
        ops, rates = speeds["ops"], speeds["nets_a_second"]
        lines.append(f"nets of {ops[0]} to {ops[-1]} ops; nets a second of one core:")
        lines += [f"  {name:>20}  {rate:6.1f}" for name, rate in rates.items()]
    if limits := data.get("limits"):
        untold, told = (limits["seconds"][name] for name in ("untold", "told"))
        found = "the same" if limits["same"] else "OTHERS"
        lines += [
            f"within {limits['sram']:,} B and {limits['latency_ms']:.0f} ms, input resident or "
            f"streamed, {limits['nets']} nets, of which {limits['keep them']} keep both:",
            f"  {untold:.3f} s a net, {told:.3f} s where the latency is told: "
            f"{untold / told:.2f} times as fast",
            f"  nets that keep both, and their prices: {found}",
        ]
    for part in BUDGETS:
        rows = [row for row in data.get("planned", []) if row["budget"] == part]
        if rows:
            name = "no budget" if part is None else f"a budget of {part:.0%} of that"
            lines.append(f"against all that optimize plans, {name} ({len(rows)}):")
            lines += [errors(rows, what) for what in ("arena", "instructions")]
    if data.get("built"):
        lines.append(f"against what was built and run ({len(data['built'])}):")
        every = ("arena", "sram", "flash", "instructions")
        lines += [errors(data["built"], what) for what in every]
        pace = [row["cycles_an_instruction"] for row in data["built"]]
        if all(pace):
            lines.append(f"  cycles an instruction, estimated: {np.mean(pace):.2f}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
