"""Where an inference spends its instructions: by layer and by function, with cycles estimated.

    profile = tflm_opt.profile("out", board="nucleo_f446re")
    print(profile)                        # a table for people
    profile.layers[3].instructions        # exact
    profile.layers[3].cycles              # an estimate

The folder's C is compiled as `measure` compiles it and runs in QEMU, watched by a plugin
(`runtime.profiler`). `invoke` is a list of blocks, one an op; the compiler's table of lines and the
marks that codegen leaves (`codegen.blocks`) tell which address is whose, and what a callee runs
belongs to the op that called it. Cycles come from classes of instructions (`runtime.cycles`).
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import boards
from .errors import NoProfiler, TflmOptError

if TYPE_CHECKING:
    from .boards import Board
    from .codegen.blocks import Owner
    from .result import Result
    from .runtime.tally import Tally


_PATIENCE = 3600.0  # seconds for a run of one inference


@dataclass(frozen=True, slots=True)
class Share:
    """A part of an inference.

    Attributes:
        instructions: exact.
        cycles: estimated, waits for flash included; None where there is no estimate.
        waits: cycles of these that are waits for flash.
        classes: instructions by class of `runtime/cycles.toml`, and effects between neighbours;
            empty where they are not known.
    """

    instructions: int
    cycles: float | None
    waits: float = 0.0
    classes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Layer:
    """What one op runs, with all that it calls.

    Attributes:
        index: of the op in the optimized graph. `kind`: "CONV_2D". `name`, `shape`: of its output.
        stage: number of the stage, for ops that run band by band; else None.
        macs: multiply-accumulates; None where the folder doesn't tell.
        share: its part of the inference.
        functions: instructions by function, most first.
    """

    index: int
    kind: str
    name: str
    shape: tuple[int, ...]
    stage: int | None
    macs: int | None
    share: Share
    functions: tuple[tuple[str, int], ...]

    @property
    def instructions(self) -> int:
        return self.share.instructions

    @property
    def cycles(self) -> float | None:
        return self.share.cycles


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile of one inference, of the first test vector.

    Attributes:
        name: of the model. `board`: what was asked for. `emulator`: the emulated board it ran on.
        total: of the whole inference.
        layers: by op, in the graph's order.
        rest: what belongs to no op, by what it is: loops of stages, rows taken from the caller,
            moves of tensors between ops, and `invoke` itself.
        functions: by function, most instructions first; empty where QEMU takes no plugins.
        notes: what a person should know, a sentence each.
    """

    name: str
    board: Board
    emulator: str
    total: Share
    layers: tuple[Layer, ...]
    rest: tuple[tuple[str, Share], ...]
    functions: tuple[tuple[str, Share], ...]
    notes: tuple[str, ...] = field(default=())

    @property
    def instructions(self) -> int:
        return self.total.instructions

    @property
    def cycles(self) -> float | None:
        return self.total.cycles

    @property
    def macs(self) -> int | None:
        """Of all layers; None where the folder doesn't tell."""
        known = [layer.macs for layer in self.layers if layer.macs is not None]
        return sum(known) if known else None

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain data: what `tflm-opt profile --json` prints."""
        from .report.profile import profile_data

        return profile_data(self)

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=2) + "\n"

    def to_html(self) -> str:
        """A page of its own, with sortable tables."""
        from .report.profile import profile_page

        return profile_page(self.to_dict())

    def __str__(self) -> str:
        from .report.profile import profile_text

        return profile_text(self.to_dict())


def profile(directory: str | Path, board: str = "qemu_m4") -> Profile:
    """Profile a saved folder by layer and function on an emulated board.

    Example:
        >>> tflm_opt.profile("out", board="qemu_m4").layers[0].instructions
        1291342

    Args:
        directory: what `Result.save` or `tflm-opt optimize -o` wrote.
        board: an emulated board, or a real one whose code an emulated one runs; cycles are
            estimated for its core, clock and flash.

    Returns:
        A `Profile`. Instructions are exact and their sum is what `measure` counts for the first
        test vector; cycles are estimates. Without a C compiler for this computer, or with a QEMU
        that takes no plugins, there are layers alone, counted more slowly with QEMU's debugger, and
        a note that says so.

    Raises:
        UnknownBoard, MissingTool, ToolFailed, InvalidModel: as they say.
    """
    from . import saved
    from .measure import emulator

    folder = Path(directory)
    target, real = emulator(board), boards.get(board)
    samples, _ = saved.load_vectors(folder)
    if not samples:
        raise TflmOptError(
            f"{folder} holds no test vectors: it was made with verify=False. Optimize it again"
        )
    with tempfile.TemporaryDirectory(prefix="tflm_opt_") as out:
        return _profile(folder, Path(out), target, real, samples[0])


def profile_result(result: Result, board: str | None) -> Profile:
    """See `Result.profile`."""
    if result.runtime != "engine":
        raise TflmOptError(
            f'runtime="{result.runtime}" has no generated code to profile; '
            'optimize with runtime="engine"'
        )
    with tempfile.TemporaryDirectory(prefix="tflm_opt_") as folder:
        return profile(result.save(f"{folder}/model"), board or result.board.id)


def _profile(folder: Path, out: Path, target: Board, real: Board, sample: Sequence[Any]) -> Profile:
    from .codegen import blocks
    from .runtime import debugger, firmware, profiler, tally

    built = firmware.build(folder, target, out, lines=True)
    name = built.interface.name
    text = (folder / "src" / f"{name}.c").read_text("utf-8")
    owners = tally.owners(built, blocks.pieces(text, built.interface.invoke))
    notes: tuple[str, ...] = ()
    try:
        trace = profiler.trace(
            built, target, sample, owners.ranges, flash=real.flash_reads, timeout=_PATIENCE
        )
        tallies = tally.tallies(trace, built.elf, owners, real)
    except NoProfiler as error:
        counts = debugger.contexts(built, target, sample, owners.ranges, timeout=_PATIENCE)
        tallies = tally.without_functions(counts, owners, str(error))
        notes = (f"counted with QEMU's debugger, which tells no functions and no cycles. {error}",)
    return _assemble(folder, name, real, target, tallies, notes)


def _assemble(
    folder: Path,
    name: str,
    real: Board,
    target: Board,
    tallies: Mapping[tuple[Owner, str], Tally],
    notes: tuple[str, ...],
) -> Profile:
    """The profile, from what was counted for each owner and function."""
    from .runtime import tally

    known = _known_layers(folder)
    by_owner = tally.grouped(tallies, lambda owner, _: owner)
    stages = {owner: owner.stage for owner, _ in tallies}
    layers, rest = [], []
    for owner in sorted(by_owner):
        share = share_of(by_owner[owner], real)
        if owner.what != "op":
            rest.append((_what(owner), share))
            continue
        by_function = tally.grouped(
            {key: one for key, one in tallies.items() if key[0] == owner}, lambda _, f: f
        )
        layer = known.get(owner.index, {})
        layers.append(
            Layer(
                index=owner.index,
                kind=owner.kind,
                name=layer.get("name", ""),
                shape=tuple(layer.get("shape", ())),
                stage=stages[owner],
                macs=layer.get("macs"),
                share=share,
                functions=_ranked({f: one.instructions for f, one in by_function.items() if f}),
            )
        )
    by_function = tally.grouped(tallies, lambda _, function: function)
    functions = [
        (function, share_of(one, real)) for function, one in by_function.items() if function
    ]
    total = tally.total(tallies.values())
    return Profile(
        name=name,
        board=real,
        emulator=target.id,
        total=share_of(total, real),
        layers=tuple(layers),
        rest=tuple(rest),
        functions=tuple(sorted(functions, key=lambda item: (-item[1].instructions, item[0]))),
        notes=notes or _notes(total),
    )


def share_of(one: Tally, board: Board) -> Share:
    """What was counted, with cycles estimated for a board."""
    from .runtime import tally

    waits = tally.waits(one, board.flash_reads)
    cycles = tally.cycles(one, board.core)
    known = None if cycles is None else cycles + waits
    return Share(one.instructions, known, waits, dict(one.counts))


def _ranked(counts: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    return tuple(Counter(counts).most_common())


def _what(owner: Owner) -> str:
    match owner.what:
        case "stage":
            return f"stage {owner.index}: loops and rows kept"
        case "input":
            return "input: rows from the caller"
        case "move":
            return "moves of tensors between ops"
        case _:
            return "invoke itself"


def _known_layers(folder: Path) -> dict[int, dict[str, Any]]:
    """What the folder's report says of each op; nothing where it is an older one."""
    from . import saved

    return {layer["index"]: layer for layer in saved.load_report(folder).get("layers", ())}


def _notes(total: Tally) -> tuple[str, ...]:
    if total.unknown:
        return (f"no estimate of cycles: {total.unknown}",)
    return ()
