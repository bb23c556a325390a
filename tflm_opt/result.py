"""What `optimize` returns: the model that ships, and every figure measured on it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .arena import Plan
    from .boards import Board
    from .codegen import Sources
    from .compress import Compression
    from .graph import Graph
    from .intervals import Interval, Paired
    from .mixed import Mixed
    from .patch_split.schedule import Schedule
    from .patch_split.search import Point
    from .profiling import Profile
    from .quant import FloatModel
    from .quant.diagnosis import Diagnosis
    from .runtime.tflm import Allocations


@dataclass(frozen=True, slots=True)
class Sram:
    """Bytes of RAM that the model causes, by part.

    Attributes:
        arena: activations and all kernel scratch.
        runtime: the runtime's own state: the engine's .data and .bss beside the arena; for
            TFLM, its persistent allocations.
        stack: the deepest stack of `invoke`.
        reserve: what the caller set aside.
        estimated: names of the parts that were not measured on the target's own code.
    """

    arena: int
    runtime: int
    stack: int
    reserve: int = 0
    estimated: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        return self.arena + self.runtime + self.stack + self.reserve


@dataclass(frozen=True, slots=True)
class Flash:
    """Bytes of flash that the model causes.

    Attributes:
        weights: constants: weights, biases, multipliers, tables; for TFLM, the whole file.
        code: generated code and the kernels it calls; None for TFLM, whose code this toolkit
            doesn't build.
        estimated: names of the parts that were not measured on the target's own code.
    """

    weights: int
    code: int | None
    estimated: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        return self.weights + (self.code or 0)


@dataclass(frozen=True, slots=True)
class TflmMemory:
    """The arena of stock TFLM (on this 64-bit host), for the file that came in and for ours.

    Attributes:
        before, after: with their scratch, as TFLM's own allocator places it.
        kernels: whose scratch that is, one of `arena.tflm_scratch.KERNELS`.
    """

    before: Allocations
    after: Allocations
    kernels: str = "reference"


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Fraction of samples whose largest output is the label's.

    Attributes:
        float: the Keras model before quantization; None when there was only a `.tflite`.
        int8: the quantized model in TFLM, before any rewriting; None without the wheel.
        engine: the optimized model, run by the generated C on this computer.
        samples: how many samples were judged.
        change: the quantized model less the float one, sample by sample; None without a float one.
    """

    float: float | None
    int8: float | None
    engine: float
    samples: int
    change: Paired | None = None

    def interval(self, which: str) -> Interval | None:
        """The 95% interval (Wilson's) of "float", "int8" or "engine"; None where it wasn't judged.

        Example:
            >>> result.evaluate(x_test, y_test).interval("int8")
            Interval(low=0.9587, high=0.9834)
        """
        from .intervals import wilson

        share = {"float": self.float, "int8": self.int8, "engine": self.engine}[which]
        return None if share is None else wilson(share, self.samples)

    def __str__(self) -> str:
        from .report.quantization import accuracy_text

        return accuracy_text(self)


@dataclass(frozen=True, slots=True)
class OutputError:
    """How far an output of the engine lies from the float model's, over the samples evaluated.

    Attributes:
        name: of the output.
        step: what one int8 code is worth; None for a float output.
        maximum, rms: of the differences, in the output's own unit.
        snr_db: power of the float output over that of the differences, in dB; None where either
            is zero.
        samples: how many were compared.
    """

    name: str
    step: float | None
    maximum: float
    rms: float
    snr_db: float | None
    samples: int


@dataclass(slots=True)
class Findings:
    """What was found out about a result after it was made; its reports show it.

    `evaluate`, `diagnose` and `profile` put what they find here, the last of each.

    Attributes:
        errors: by output; empty where there was no float model to compare with.
    """

    accuracy: Accuracy | None = None
    errors: tuple[OutputError, ...] = ()
    profile: Profile | None = None
    diagnosis: Diagnosis | None = None


@dataclass(frozen=True, slots=True)
class Whole:
    """An op that makes its whole output at once, since it can't run on rows.

    Attributes:
        op: its position in the graph; `kind`: what it is.
        output: name of its first output.
        reason: why, as a clause: "it needs all rows of its input at once".
    """

    op: int
    kind: str
    output: str
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """An optimized model, with what it needs, and the proof that it computes the same.

    Example:
        >>> result = tflm_opt.optimize("model.tflite", sram="64KiB")
        >>> result.fits, result.sram.total
        (True, 41332)
        >>> result.save("out")
        >>> result.export("platformio", "firmware", board="nucleo_f446re")

    Attributes:
        name: a C identifier, prefix of everything generated.
        runtime: "engine" (generated C) or "tflm" (a `.tflite` for stock TFLM).
        budget: bytes of SRAM allowed, or None.
        fits: total SRAM ≤ budget, and flash ≤ the board's; True where there is no budget.
        macs: multiply-accumulates of one inference, after the passes.
        macs_before: those of the file that came in.
        extra_macs: recomputed MACs as a fraction of `macs`.
        bit_exact: every output byte equals TFLM's on the file that came in, over `vectors`
            seeded samples; None if not checked (`verify=False`).
        tflite: our `.tflite`, with the arena plan inside, for stock TFLM.
        original: the int8 `.tflite` that came in or that quantization made.
        graph: the optimized graph. `plan`: where its buffers lie. `sources`: the generated C.
        board: the target whose core stack and code were measured on.
        samples, expected: the test vectors, in the optimized model's element types.
        warnings: what a person should know, a sentence each.
        front: the schedules that the search planned, from the fastest to the smallest; empty for
            "tflm".
        bound: bytes of arena that no schedule searched goes below, with this input and limit of
            what is computed again;
            None for "tflm".
        whole: ops that can't run on rows, and why; the rest is optimized all the same.
        compression: what `compress=True` encoded, and what that gained; None without it.
        request: what `optimize` was asked for, by its arguments' names; `model` is
            a file's name or None, `calibration` whether there was any, `max_slowdown` None for inf.
        findings: what `evaluate`, `diagnose` and `profile` found, for the reports.
        flash_budget: bytes of flash allowed, or None.
        mixed: which layers have int4 weights, and what each would lose by them; None where the
            flash budget asked for none.
    """

    name: str
    runtime: str
    board: Board
    budget: int | None
    fits: bool
    sram: Sram
    flash: Flash
    macs: int
    macs_before: int
    extra_macs: float
    bit_exact: bool | None
    tflm: TflmMemory | None
    tflite: bytes
    original: bytes
    graph: Graph
    plan: Plan
    sources: Sources
    samples: Sequence[Sequence[np.ndarray]]
    expected: Sequence[Sequence[np.ndarray]]
    float_model: FloatModel | None
    warnings: tuple[str, ...]
    front: tuple[Point, ...] = ()
    bound: int | None = None
    whole: tuple[Whole, ...] = ()
    compression: Compression | None = None
    request: Mapping[str, Any] | None = None
    findings: Findings = field(default_factory=Findings)
    flash_budget: int | None = None
    mixed: Mixed | None = None

    @property
    def schedule(self) -> Schedule:
        """The stages in which the engine runs."""
        return self.plan.schedule

    @property
    def vectors(self) -> int:
        """How many samples `bit_exact` rests on."""
        return len(self.samples) if self.bit_exact is not None else 0

    def predict(self, inputs: Any) -> Any:
        """Run the code that ships, built for this computer, over a batch.

        Args:
            inputs: one array (n, *shape), or for several inputs a list of them or a dict by
                name. Floats are quantized as the firmware would; arrays of the model's own
                element type (int8) go in as they are.

        Returns:
            One array (n, *shape), or a list of them for several outputs: float32 for float
            inputs, the model's own codes for int8 ones.

        Raises:
            ValueError: wrong count, names or shapes.
            MissingTool: no C compiler.
        """
        from .inference import predict

        return predict(self, inputs)

    def evaluate(self, inputs: Any, labels: Any = None) -> Accuracy:
        """Accuracy of the float model, of the int8 model in TFLM, and of the engine.

        Each with its 95% interval, and what quantization changed with its own. `quantization` is
        filled as well, from some of the samples.

        Example:
            >>> print(result.evaluate(x_test, y_test))

        Args:
            inputs: as for `predict`, floats; or a generator or data set of batches.
            labels: (n,) class numbers, or (n, classes) one-hot; None where batches are pairs of
                inputs and labels.

        Raises:
            ValueError: nothing to judge, NaN, shapes that don't match, labels that are no classes.
        """
        from .inference import evaluate

        accuracy, errors, diagnosis = evaluate(self, inputs, labels)
        self.findings.accuracy, self.findings.errors = accuracy, errors
        if diagnosis is not None:
            self.findings.diagnosis = diagnosis
        return accuracy

    def diagnose(self, inputs: Any, *, samples: int = 64) -> Diagnosis:
        """Float against int8, layer by layer, on your data: where accuracy is lost, and why.

        Example:
            >>> print(result.diagnose(x_test))

        Args:
            inputs: as for `evaluate`, floats.
            samples: at most so many are run, evenly spread over those given.

        Returns:
            The table, also kept as `quantization`. From a `.tflite` alone there is nothing to
            compare with: it has saturation, range use and dead channels then, and says so.

        Raises:
            ValueError: as `predict`.
        """
        from .inference import diagnose

        found = diagnose(self, inputs, samples=samples)
        self.findings.diagnosis = found
        return found

    @property
    def quantization(self) -> Diagnosis | None:
        """What `diagnose`, or `evaluate`, found of the layers; None before."""
        return self.findings.diagnosis

    def save(self, directory: str | Path, *, force: bool = False) -> Path:
        """Write everything to a folder: `.tflite`, C sources, plan, vectors, reports.

        All or nothing: the folder appears complete or not at all.

        Raises:
            OutputExists: the folder holds other files, and `force` is not set.
        """
        from .saved import save

        return save(self, Path(directory), force=force)

    def export(
        self,
        kind: str,
        out: str | Path,
        *,
        name: str | None = None,
        labels: Sequence[str] = (),
        force: bool = False,
        **options: Any,
    ) -> Path:
        """Write a project that builds.

        Example:
            >>> result.export("platformio", "firmware", board="nucleo_f446re")
            >>> result.export("arduino", "digits.zip", labels=list("0123456789"))
            >>> result.export("cmake", "project", runtime="tflm")

        Args:
            kind: "platformio", "arduino", "cmake", "c", "edge-impulse" or "edge-impulse-arduino".
            out: a folder, or a zip file where it ends in ".zip": complete, or not there at all.
            name: what C identifiers start with; by default the result's name.
            labels: what the values of output 0 stand for, one each.
            force: replace other files that are there.
            options: `runtime`, "engine" for the generated C or "tflm" for stock TFLM with the
                rewritten `.tflite`. Of "platformio": `board`, the id of a real board, or a list
                of them. Of "edge-impulse" and "edge-impulse-arduino": `sensor` ("camera",
                "microphone", "accelerometer", ...), `frequency` in Hz, `axes` (names of what is
                sampled at once), `scaling` of pixels ("0..1", "-1..1", "0..255", ...) and
                `threshold` of boxes; see docs/edge_impulse.md.

        Returns: `out`.

        Raises:
            TflmOptError: an unknown kind or option, a bad name, labels that don't match, a board
                that is too small, or a result without test vectors.
            UnknownBoard.
            OutputExists: other files are there, and `force` is not set.
        """
        from .export import export

        return export(self, kind, out, name=name, labels=labels, force=force, **options)

    def profile(self, board: str | None = None) -> Profile:
        """Which layers and functions take the instructions, on an emulated board.

        Example:
            >>> print(result.profile("nucleo_f446re"))

        Args:
            board: as for `tflm_opt.profile`; by default the board that was optimized for.

        Raises:
            As `tflm_opt.profile`; TflmOptError where there is no generated code ("tflm").
        """
        from .profiling import profile_result

        found = profile_result(self, board)
        self.findings.profile = found
        return found

    def plot(self) -> str:
        """The front as an SVG picture: arena against estimated work, the chosen schedule marked.

        Example:
            >>> Path("front.svg").write_text(result.plot(), "utf-8")
        """
        from .report.data import point_data
        from .report.front import svg

        return svg([point_data(p) for p in self.front], chosen=self.plan.peak, name=self.name)

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain data: what `--json` prints and `report.json` holds."""
        from .report.data import result_data

        return result_data(self)

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=2) + "\n"

    def to_html(self) -> str:
        """The report as one HTML file with nothing from outside: what `report.html` holds."""
        from .report.page import page

        return page(self.to_dict())

    def __str__(self) -> str:
        from .report.text import result_text

        return result_text(self)

    def __repr__(self) -> str:
        state = "fits" if self.fits else "does not fit"
        return f"<Result {self.name}: {self.sram.total:,} bytes of SRAM, {state}>"
