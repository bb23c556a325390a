"""Build and run what `optimize` saved, on an emulated board: the figures of the artifact itself."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from . import boards
from .errors import NoProfiler, TflmOptError

# No machine of QEMU's has these cores, enough memory and a counter that we read, but these execute
# all of their instructions: code compiled for the one runs on the other, with the same count.
_EXECUTED_BY = {"cortex-m33": "qemu_m7"}


def measure(
    directory: str | Path, board: str = "qemu_m4", *, cycles: bool = True
) -> dict[str, Any]:
    """Measure a saved folder on an emulated board.

    Example:
        >>> measure("out", "qemu_m4")["bit_exact"]
        True

    Args:
        directory: what `Result.save` or `tflm-opt optimize -o` wrote.
        board: an emulated board, or a real one whose code an emulated one runs.
        cycles: whether to estimate them, in one more run.

    Returns:
        `instructions` per inference (exact; not cycles), `cycles_estimate` (for the board that was
        asked for, `report.profile.estimate_data`; None where QEMU can't be watched, or for the
        reason that `no_estimate` says: a core without documented timings), `bit_exact` against
        TFLM on the model that came in, `vectors` (samples run), `arena`, `stack` (deepest seen)
        and `stack_worst_case` (over all paths of the call graph), `flash`; sizes in bytes.

    Raises:
        UnknownBoard, MissingTool, ToolFailed, InvalidModel: as they say.
    """
    from . import saved
    from .runtime import cycles as timings
    from .runtime import firmware, qemu, vectors

    folder = Path(directory)
    target = emulator(board)
    samples, expected = saved.load_vectors(folder)
    if not samples:
        raise TflmOptError(
            f"{folder} holds no test vectors: it was made with verify=False. Optimize it again"
        )
    with tempfile.TemporaryDirectory(prefix="tflm_opt_") as out:
        built = firmware.build(folder, target, out)
        run = qemu.run(built, target, samples)
        middle = sorted(run.instructions)[len(samples) // 2]
        sample = samples[run.instructions.index(middle)]
        why_not = timings.missing(target.core) if cycles else None
        wanted = cycles and why_not is None
        estimate = _estimate(built, target, boards.get(board), sample) if wanted else None
    difference = vectors.compare(expected, run.outputs)
    counts = sorted(set(run.instructions))
    return {
        "board": target.id,
        "core": target.core,
        "instructions": counts[len(counts) // 2],
        "instructions_range": [counts[0], counts[-1]],
        "cycles_estimate": estimate,
        "no_estimate": why_not,
        "bit_exact": difference.equal,
        "agreement": difference.agreement,
        "max_difference": difference.maximum,
        "vectors": len(samples),
        "arena": built.sizes.arena,
        "stack": run.stack,
        "stack_worst_case": built.stack.size,
        "flash": {
            "total": built.sizes.flash,
            "weights": built.sizes.weights,
            "code": built.sizes.code,
        },
    }


def _estimate(
    built: Any, target: boards.Board, real: boards.Board, sample: Any
) -> dict[str, Any] | None:
    """Cycles of one inference on the real board, estimated; None where QEMU can't be watched."""
    from .profiling import share_of
    from .report.profile import estimate_data
    from .runtime import profiler, tally

    try:
        trace = profiler.trace(built, target, sample, flash=real.flash_reads)
    except NoProfiler:
        return None
    found = tally.tallies(trace, built.elf, tally.NOBODY, real)
    return estimate_data(share_of(tally.total(found.values()), real), real)


def emulator(board_id: str) -> boards.Board:
    """The emulated board for an id: itself, or one that runs code for the real board's core."""
    board = boards.get(board_id)
    if board.qemu is not None:
        return board
    if board.emulated_by is not None:
        return boards.get(board.emulated_by)
    if board.core in _EXECUTED_BY:
        machine = boards.get(_EXECUTED_BY[board.core])
        return replace(machine, core=board.core, flags=board.flags)
    names = ", ".join(b.id for b in boards.all() if b.qemu is not None)
    raise TflmOptError(
        f"no emulated board has the core of {board.id} ({board.core}); there are {names}"
    )
