"""Build and run what `optimize` saved, on an emulated board: the figures of the artifact itself."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from . import boards
from .errors import TflmOptError


def measure(directory: str | Path, board: str = "qemu_m4") -> dict[str, Any]:
    """Measure a saved folder on an emulated board.

    Example:
        >>> measure("out", "qemu_m4")["bit_exact"]
        True

    Args:
        directory: what `Result.save` or `tflm-opt optimize -o` wrote.
        board: an emulated board, or a real one whose core an emulated one has.

    Returns:
        `instructions` per inference (exact; not cycles), `bit_exact` against TFLM on the model
        that came in, `vectors` (samples run), `arena`, `stack` (deepest seen) and
        `stack_worst_case` (over all paths of the call graph), `flash`; sizes in bytes.

    Raises:
        UnknownBoard, MissingTool, ToolFailed, InvalidModel: as they say.
    """
    from . import saved
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
    difference = vectors.compare(expected, run.outputs)
    counts = sorted(set(run.instructions))
    return {
        "board": target.id,
        "core": target.core,
        "instructions": counts[len(counts) // 2],
        "instructions_range": [counts[0], counts[-1]],
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


def emulator(board_id: str) -> boards.Board:
    """The emulated board for an id: itself, or the one with a real board's core."""
    board = boards.get(board_id)
    if board.qemu is not None:
        return board
    if board.emulated_by is None:
        names = ", ".join(b.id for b in boards.all() if b.qemu is not None)
        raise TflmOptError(
            f"no emulated board has the core of {board.id} ({board.core}); there are {names}"
        )
    return boards.get(board.emulated_by)
