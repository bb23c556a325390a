"""Cases of the engine on an emulated board: the kernels of its tier, in stages that stream.

    failures = on_board.failures([drawn(0, n) for n in range(40)], boards.get("qemu_m4"), folder)

Outputs are compared, of all samples one after the other. What stages give out in between is the
business of the host's run: memory and order are the same there, only kernels differ.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path

from fuzz import battery
from fuzz.battery import Failure
from fuzz.cases import Case
from targets import served

from tflm_opt import codegen, graph
from tflm_opt.boards import Board
from tflm_opt.passes import Legalize
from tflm_opt.patch_split.regions import NotStreamable
from tflm_opt.runtime import tflm


def failures(cases: Sequence[Case], board: Board, folder: Path) -> Iterator[Failure]:
    """Run cases; those for stock TFLM are left out."""
    cases = [case for case in cases if not case.bodies]
    truth = tflm.run_many(
        [(graph.write(Legalize()(case.graph)), case.samples[:2]) for case in cases]
    )
    for case, want in zip(cases, truth, strict=True):
        try:
            sources = codegen.generate(case.graph, battery.planned(case), name="net")
            have = served(sources, case.samples, board, folder / str(case.number))
        except NotStreamable as error:
            yield Failure(case.number, str(error), refused=True)
        except Exception:
            yield Failure(case.number, traceback.format_exc(limit=-4))
        else:
            for turn, outputs in enumerate(have):
                expected = want[turn % len(want)]
                if any(a.tobytes() != b.tobytes() for a, b in zip(outputs, expected, strict=True)):
                    yield Failure(case.number, f"sample {turn}: an output differs on {board.id}")
                    break
