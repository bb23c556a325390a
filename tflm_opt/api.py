"""`optimize`: the whole pipeline, on one page.

Keras model → int8 `.tflite` → Graph → passes → Schedule → Plan → C, and the proof at the end:
the C is run against TFLM, byte for byte, and its memory is read from what was compiled.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from . import boards, sizes
from .errors import DoesNotFit, MissingTool, TflmOptError
from .loading import UNUSED_CALIBRATION, Loaded, Training, load, widened
from .narrow import narrowed
from .progress import Progress, reporter
from .result import Flash, Result, Sram, Whole

if TYPE_CHECKING:
    from .arena import Plan
    from .codegen import Sources
    from .graph import Graph
    from .patch_split.rewrite import Stock
    from .patch_split.search import Point
    from .quant import PTQ

RUNTIMES = ("engine", "tflm")
INPUTS = ("resident", "streamed")
KERNELS = ("reference", "cmsis_nn", "tflm_opt")
IO = ("int8", "float32", "int16")
ACTIVATIONS = ("int8", "int16")
TRAINERS = ("qat", "tfmot")
QUANTIZE = ("ptq", *TRAINERS)
SLOWDOWN = 1.3
DEFAULT_BOARD = "qemu_m4"
TFLM_STACK = 1900  # bytes; 1.1 to 1.9 kB were seen on an emulated Cortex-M4


def optimize(
    model: Any,
    sram: int | str | None = None,
    *,
    flash: int | str | None = None,
    calibration: Any = None,
    quantize: str | PTQ = "ptq",
    train: Any = None,
    epochs: int = 3,
    board: str | boards.Board | None = None,
    runtime: str = "engine",
    input: str = "resident",
    io: str = "int8",
    activations: str = "int8",
    int16: str | Sequence[str] = (),
    max_extra_macs: float = 0.0,
    max_slowdown: float = SLOWDOWN,
    kernels: str = "reference",
    compress: bool = False,
    reserve: int | str = 0,
    name: str | None = None,
    vectors: int = 16,
    verify: bool = True,
    seed: int = 0,
    verbose: int = 1,
) -> Result:
    """Make a model fit and run on a microcontroller, bit for bit as TFLM runs it.

    Example:
        >>> result = tflm_opt.optimize(model, sram=320_000, calibration=x_train)
        >>> print(result)
        >>> result.save("out")

    Args:
        model: a Keras 3 or tf_keras model, a `.keras`, `.h5` or `.tflite` path, a SavedModel
            folder, or the bytes of a `.tflite`. It is never changed.
        sram: the budget for everything in RAM that the model causes, in bytes, or as text
            ("320KiB"). The result is the fastest that fits: layer by layer if that does. Without
            a budget of yours or of a board, it is the one of least SRAM within `max_extra_macs` and
            `max_slowdown`.
        flash: the budget for weights and code in flash, as `sram`. Where int8 weights are too
            much, those layers get int4 weights that lose least by it (see `mixed`): `result.mixed`
            has the table, and `bit_exact` is then with TFLM on the model with those layers.
        calibration: real inputs for quantization (see `quant.quantize`) of a Keras model, and for
            the choice of int4 layers of any. Without it the ranges come from drawn data, and a
            warning says so.
        quantize: "ptq" rounds the model as it is, a `quant.PTQ` says how; "qat" trains a copy of it
            with quantization for some epochs (a Keras 3 model, see `quant.qat`); "tfmot" does so by
            tensorflow-model-optimization's own training, in a child process (tf_keras or Keras 3).
            A model that `quant.qat.prepare` or tfmot made and you trained needs neither.
        train: for "qat" and "tfmot": a tuple of inputs and labels, or a data set of such batches.
        epochs: of that training.
        board: a board's id; its core decides stack and code, its SRAM and flash are budgets too.
            None measures for a Cortex-M4 and sets no limit.
        runtime: "engine" for generated C, "tflm" for a `.tflite` that stock TFLM runs.
        input: "resident" for an input that is whole in RAM, "streamed" for one whose rows the
            firmware hands over by callback as they are needed (engine only, one input).
        io: element type of the inputs and outputs: "int8", or "float32" to keep float ones; with
            int16 activations also "int16". Those of a quantized `.tflite` stay what they are.
        activations: "int16" quantizes a Keras model with int16 between layers, and int8 weights
            (TFLite's 16x8): more accurate, for twice the memory.
        int16: layers of an int8 model that get int16 in and out, by names of their output tensors
            or patterns: `("dense_1", "*logits*")`. QUANTIZE ops go around them.
        max_extra_macs: how much recomputation may save memory, as a fraction of the model's MACs.
            With a budget, no more is spent than it takes.
        max_slowdown: without a budget, how many times the instructions of the fastest schedule the
            one of least SRAM may take, by estimate. `math.inf` for the least whatever the speed.
        kernels: those that stock TFLM is built with: "reference", "cmsis_nn", or "tflm_opt" for
            ours in CMSIS-NN's place; on the board's core. Their scratch is left room for and
            counted.
        compress: for runtime="tflm": encode weights where that makes the file smaller (few
            different values a channel, or many zeros); TFLM decodes them as it runs, into its
            arena. The result's `compression` and warnings say what it gains and costs.
        reserve: bytes of SRAM to set aside for the application, counted in the total.
        name: a C identifier for the generated code; made from the model's name by default.
        vectors: how many seeded samples the proof of equality runs.
        verify: False skips that proof (no need for the `tflite-micro` wheel then).
        seed: for drawn calibration data and test vectors.
        verbose: 0 for silence.

    Returns:
        The optimized model and its figures.

    Raises:
        DoesNotFit: the budget can't be met; the best result is attached.
        UnsupportedModel: an op, type or shape outside what runs; says which, and the remedy.
        InvalidModel, CalibrationError, UnknownBoard, MissingTool: as they say.

    Source of the idea: MCUNet (Lin et al., 2020): model and runtime are fitted to each other
    and to the memory at hand.
    """
    budget = sizes.parse(sram, what="an SRAM budget")
    flash_budget = sizes.parse(flash, what="a flash budget")
    set_aside = sizes.parse(reserve, what="a reserve") if reserve else 0
    _choose("runtime", runtime, RUNTIMES)
    _choose("io", io, IO)
    _choose("activations", activations, ACTIVATIONS)
    _choose("input", input, INPUTS)
    _choose("kernels", kernels, KERNELS)
    rounding = _rounding(quantize)
    if (train is not None) != (quantize in TRAINERS):
        raise TflmOptError(
            'quantize="qat" or "tfmot" needs train=(inputs, labels), and nothing else takes it'
        )
    training = None if train is None else Training(train, epochs, str(quantize))
    if runtime == "tflm" and input == "streamed":
        raise TflmOptError("stock TFLM takes whole inputs; input='streamed' needs runtime='engine'")
    if compress and runtime != "tflm":
        raise TflmOptError('compress=True is for runtime="tflm": the engine has no decoder')
    _check_fraction(max_extra_macs)
    if not max_slowdown >= 1:
        raise TflmOptError(f"max_slowdown of {max_slowdown!r} is below 1: write 1.5")
    target = board if isinstance(board, boards.Board) else boards.get(board or DEFAULT_BOARD)
    with reporter(verbose) as progress:
        loaded = load(
            model,
            calibration=calibration,
            io=io,
            activations=activations,
            seed=seed,
            training=training,
            rounding=rounding,
            progress=progress,
        )
        layers = (int16,) if isinstance(int16, str) else tuple(int16)
        if layers:
            loaded = widened(loaded, layers)
        if flash_budget is not None:  # what else a .tflite's calibration is for
            unused = [w for w in loaded.warnings if w != UNUSED_CALIBRATION]
            loaded = dataclasses.replace(loaded, warnings=tuple(unused))
        build = partial(
            _optimize,
            target=target,
            limit=_least_of(budget, target.sram if board is not None else None),
            runtime=runtime,
            input=input,
            io=io,
            max_extra_macs=max_extra_macs,
            max_slowdown=max_slowdown,
            kernels=kernels,
            compress=compress,
            reserve=set_aside or 0,
            name=name,
            vectors=vectors if verify else 0,
            seed=seed,
            progress=progress,
        )
        result = build(loaded)
        if flash_budget is not None and result.flash.total > flash_budget:
            result = narrowed(result, build, loaded, flash_budget, calibration, seed, progress)
    asked = {
        "model": Path(model).name if isinstance(model, (str, Path)) else None,
        "sram": budget,
        "flash": flash_budget,
        "calibration": calibration is not None,
        "board": None if board is None else target.id,
        "runtime": runtime,
        "input": input,
        "io": io,
        "activations": activations,
        "int16": list(layers),
        "max_extra_macs": max_extra_macs,
        "max_slowdown": max_slowdown if math.isfinite(max_slowdown) else None,
        "kernels": kernels,
        "compress": compress,
        "reserve": set_aside,
        "name": name,
        "vectors": vectors,
        "verify": verify,
        "seed": seed,
    }
    result = dataclasses.replace(result, request=asked)
    return _judge(result, budget, flash_budget, target if board is not None else None)


def tradeoffs(
    model: Any,
    *,
    calibration: Any = None,
    input: str = "resident",
    io: str = "int8",
    max_extra_macs: float = 0.0,
    board: str = DEFAULT_BOARD,
    seed: int = 0,
    verbose: int = 1,
) -> tuple[Point, ...]:
    """The schedules between fastest and smallest, each planned: arena against estimated work.

    Work is that of the board's core.

    Example:
        >>> [point.peak for point in tflm_opt.api.tradeoffs("model.tflite")]
        [75216, 35720, 20896]

    Args and errors: as `optimize`.
    """
    from . import graph, passes
    from .furnish import Furnishing
    from .kernels.table import pace_of

    _choose("io", io, IO)
    _choose("input", input, INPUTS)
    _check_fraction(max_extra_macs)
    with reporter(verbose) as progress:
        loaded = load(model, calibration=calibration, io=io, seed=seed, progress=progress)
        progress.step("Optimizing the graph")
        original = graph.read(loaded.tflite, loaded.source)
        optimized = passes.run(original, passes.default_pipeline(_borders(io)))
        progress.step("Searching for schedules")
        runs = Furnishing(
            optimized,
            pace_of(boards.get(board).core),
            input=input,
            max_extra_macs=max_extra_macs,
            progress=progress,
            slowdown=SLOWDOWN,
            seed=seed,
        )
        return runs.found().front


def _borders(io: str) -> Literal["int8", "float32"]:
    """What passes do at the borders: leave floats, or make them what is stored, int8 or int16."""
    return "float32" if io == "float32" else "int8"


def _optimize(
    loaded: Loaded,
    *,
    target: boards.Board,
    limit: int | None,
    runtime: str,
    input: str,
    io: str,
    max_extra_macs: float,
    max_slowdown: float,
    kernels: str,
    compress: bool,
    reserve: int,
    name: str | None,
    vectors: int,
    seed: int,
    progress: Progress,
) -> Result:
    from . import arena, graph, passes, proof
    from . import compress as compressing
    from .codegen.names import identifier
    from .graph.geometry import macs
    from .patch_split.rewrite import for_tflm

    progress.step("Reading the graph")
    original = graph.read(loaded.tflite, loaded.source)
    progress.step("Optimizing the graph")
    optimized = passes.run(original, passes.default_pipeline(_borders(io)))
    stock = for_tflm(
        optimized,
        loaded.tflite,
        max_extra_macs=max_extra_macs,
        kernels=arena.tflm_scratch.kernels_of(kernels, target.core),
        seed=seed,
    )
    room = None if limit is None else max(limit - reserve, 0)
    squeezed = None
    if compress:
        progress.step("Compressing weights")
        left = None if room is None else max(room - TFLM_STACK, 0)
        squeezed, stock = compressing.compressed(stock, room=left, kernels=kernels, seed=seed)
    shape = _Shape(
        name or identifier(loaded.name), target, runtime, input, max_extra_macs, max_slowdown, seed
    )
    built = _built(optimized, stock, shape, room, progress)
    sources = built.sources
    sram = dataclasses.replace(built.sram, reserve=reserve)
    gains = compressing.remarks(loaded.warnings, original, optimized, squeezed)
    progress.step("Proving it equal to TFLM")
    checked = proof.prove(original, loaded.tflite, optimized, stock.tflite, sources, vectors, seed)
    return Result(
        name=sources.name,
        runtime=runtime,
        board=target,
        budget=None,
        fits=True,
        sram=sram,
        flash=built.flash,
        macs=macs(optimized),
        macs_before=macs(original),
        extra_macs=built.extra_macs,
        bit_exact=checked.equal,
        tflm=stock.memory,
        tflite=stock.tflite,
        original=loaded.tflite,
        graph=built.graph,
        plan=built.plan,
        sources=sources,
        samples=checked.samples,
        expected=checked.expected,
        float_model=loaded.float_model,
        warnings=(*loaded.warnings, *built.notes, *gains),
        compression=squeezed,
        front=built.front,
        bound=built.bound,
        whole=built.whole,
    )


@dataclass(frozen=True, slots=True)
class _Shape:
    """What is to be built."""

    name: str
    target: boards.Board
    runtime: str
    input: str
    max_extra_macs: float
    max_slowdown: float
    seed: int


@dataclass(frozen=True, slots=True, eq=False)
class _Built:
    """The engine, and the memory of what ships, read from what was compiled or allocated."""

    graph: Graph
    plan: Plan
    front: tuple[Point, ...]
    sources: Sources
    sram: Sram
    flash: Flash
    notes: tuple[str, ...]
    extra_macs: float
    bound: int | None = None
    whole: tuple[Whole, ...] = ()


def _built(
    optimized: Graph, stock: Stock, shape: _Shape, room: int | None, progress: Progress
) -> _Built:
    """The fastest schedule that fits `room`; for TFLM, which runs its own file, layer by layer."""
    from . import arena, codegen
    from .fit import fit
    from .patch_split.schedule import layer_by_layer

    if shape.runtime == "tflm":
        plan = arena.plan(
            optimized,
            layer_by_layer(optimized),
            scratch=codegen.scratch,
            access=codegen.access,
            seed=shape.seed,
        )
        sources = codegen.generate(optimized, plan, name=shape.name)
        return _Built(optimized, plan, (), sources, *_tflm_footprint(stock), stock.extra_macs)
    fitted = fit(
        optimized,
        room,
        name=shape.name,
        target=shape.target,
        input=shape.input,
        max_extra_macs=shape.max_extra_macs,
        slowdown=shape.max_slowdown,
        progress=progress,
        seed=shape.seed,
    )
    of = fitted.measured
    sram = Sram(fitted.sources.arena, of.data, of.stack, 0, of.estimated)
    flash = Flash(of.weights, of.code, of.estimated)
    ran = fitted.point.graph
    return _Built(
        ran,
        fitted.point.plan,
        fitted.front,
        fitted.sources,
        sram,
        flash,
        of.notes,
        fitted.point.extra_macs,
        fitted.bound,
        tuple(
            Whole(i, op.kind, op.outputs[0].name, fitted.whole[op])
            for i, op in enumerate(ran.ops)
            if op in fitted.whole
        ),
    )


def _tflm_footprint(stock: Stock) -> tuple[Sram, Flash, tuple[str, ...]]:
    if stock.memory is None:
        raise MissingTool(
            "the wheel tflite-micro",
            needed_for="to measure the arena of stock TFLM",
            install="pip install --pre tflite-micro",
        )
    after = stock.memory.after
    sram = Sram(after.head, after.tail, TFLM_STACK, 0, ("runtime", "stack"))
    note = (
        "runtime is TFLM's persistent memory on this 64-bit computer, an upper bound for a 32-bit "
        f"target; stack is taken as {TFLM_STACK} bytes, the most seen of TFLM with CMSIS-NN"
    )
    return sram, Flash(len(stock.tflite), None), (note,)


def _judge(
    result: Result, budget: int | None, flash: int | None, board: boards.Board | None
) -> Result:
    """The result with its verdict, or the error that says what would make it fit."""
    sram_limit = _least_of(budget, board.sram if board else None)
    flash_limit = _least_of(flash, board.flash if board else None)
    over_sram = sram_limit is not None and result.sram.total > sram_limit
    over_flash = flash_limit is not None and result.flash.total > flash_limit
    result = dataclasses.replace(
        result,
        budget=sram_limit,
        flash_budget=flash_limit,
        fits=not (over_sram or over_flash),
    )
    if result.fits:
        return result
    from .remedies import binding, limit, remedies

    what = "sram" if over_sram else "flash"
    need, have = (result.sram.total, sram_limit) if over_sram else (result.flash.total, flash_limit)
    assert have is not None
    raise DoesNotFit(
        need=need,
        have=have,
        what=what,
        binding=binding(result) if over_sram else (),
        limit=limit(result, have) if over_sram else "",
        best=result,
        remedies=remedies(result, what, have),
    )


def _least_of(*limits: int | None) -> int | None:
    return min((limit for limit in limits if limit is not None), default=None)


def _check_fraction(max_extra_macs: float) -> None:
    if not 0 <= max_extra_macs < math.inf:
        raise TflmOptError(f"max_extra_macs of {max_extra_macs!r} is not a fraction: write 0.1")


def _rounding(quantize: str | PTQ) -> PTQ | None:
    from .quant import PTQ

    if isinstance(quantize, PTQ):
        return quantize
    _choose("quantize", quantize, (*QUANTIZE, "a tflm_opt.quant.PTQ(...)"))
    return None


def _choose(what: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise TflmOptError(f"{what} {value!r} is not one of {', '.join(allowed)}")
