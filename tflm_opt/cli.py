"""The command line: `tflm-opt COMMAND --help`.

Commands import what they need when they run, so that `--help` answers at once. Exit status: 0
done, 1 outputs differ or a tool failed, 2 bad input, 3 the budget can't be met, 130 interrupted.
"""

from __future__ import annotations

import errno
import json
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from . import __version__, cli_more, cli_search, cli_tables

DIFFERS, BAD_INPUT, DOES_NOT_FIT, INTERRUPTED = 1, 2, 3, 130

_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
_input = click.option(
    "--input",
    type=click.Choice(["resident", "streamed"]),
    default="resident",
    show_default=True,
    help="The input whole in RAM, or its rows by callback.",
)
_max_extra_macs = click.option(
    "--max-extra-macs",
    metavar="FRACTION",
    type=click.FloatRange(0),
    default=0.0,
    show_default=True,
    help="Recomputation allowed to save memory, as a share of the model's MACs.",
)
_max_slowdown = click.option(
    "--max-slowdown",
    metavar="FACTOR",
    type=click.FloatRange(1),
    default=1.3,
    show_default=True,
    help="Without a budget: how much slower than the fastest the smallest may be. inf: any.",
)
_seed = click.option("--seed", type=int, default=0, show_default=True, help="For test vectors.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def cli() -> None:
    """Make neural networks fit and run on microcontrollers, bit for bit as TFLM runs them."""


@cli.command()
@click.argument("model")
@click.option("--sram", metavar="SIZE", help='Budget: 320000, "320kB" or "320KiB".')
@click.option(
    "--flash",
    metavar="SIZE",
    help="Budget of weights and code: where int8 is too much, layers get int4 weights.",
)
@click.option("--runtime", type=click.Choice(["engine", "tflm"]), default="engine")
@_input
@click.option("--board", metavar="ID", help="Target board; `tflm-opt boards` lists them.")
@click.option(
    "--io", type=click.Choice(["int8", "float32", "int16"]), default="int8", show_default=True
)
@click.option(
    "--activations",
    type=click.Choice(["int8", "int16"]),
    default="int8",
    show_default=True,
    help="int16 between a Keras model's layers: more accurate, twice the memory.",
)
@click.option(
    "--int16",
    multiple=True,
    metavar="LAYER",
    help="A layer to put on int16, by its output's name or a pattern; may be repeated.",
)
@_max_extra_macs
@_max_slowdown
@click.option(
    "--kernels",
    type=click.Choice(["reference", "cmsis_nn", "tflm_opt"]),
    default="reference",
    show_default=True,
    help="What stock TFLM is built with: whose scratch to leave room for.",
)
@click.option("--compress", is_flag=True, help="Encode weights, for --runtime tflm.")
@click.option("--reserve", metavar="SIZE", default="0", help="SRAM to leave to the application.")
@click.option(
    "--calibration",
    type=click.Path(exists=True, dir_okay=False),
    help="Real inputs for quantization: a .npy array or an .npz of one array an input.",
)
@click.option(
    "--diagnose",
    type=click.Path(exists=True, dir_okay=False),
    help="Real inputs, .npy or .npz: show where quantization loses accuracy, layer by layer.",
)
@click.option("--name", help="C identifier for the generated code.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder to write.")
@click.option("--force", is_flag=True, help="Replace what is in the output folder.")
@click.option("--vectors", type=click.IntRange(1), default=16, show_default=True)
@click.option("--no-verify", is_flag=True, help="Skip the proof that outputs equal TFLM's.")
@_seed
@_json
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def optimize(
    model: str,
    sram: str | None,
    flash: str | None,
    runtime: str,
    input: str,
    board: str | None,
    io: str,
    activations: str,
    int16: tuple[str, ...],
    max_extra_macs: float,
    max_slowdown: float,
    kernels: str,
    compress: bool,
    reserve: str,
    calibration: str | None,
    diagnose: str | None,
    name: str | None,
    output: Path | None,
    force: bool,
    vectors: int,
    no_verify: bool,
    seed: int,
    as_json: bool,
    quiet: bool,
) -> None:
    """Optimize MODEL: a .tflite, .keras or .h5 file, or a SavedModel folder.

    With --sram, the fastest that fits; without, the least SRAM that is not much slower
    (--max-slowdown), at no extra MACs unless --max-extra-macs allows some. Exit status 3 if it
    can't fit: the best result is reported (and written) all the same.
    """
    from .api import optimize as run
    from .errors import DoesNotFit
    from .quant import CalibrationWarning
    from .report import terminal

    if output is not None:
        from .export.folder import check_folder

        check_folder(output, force=force)
    warnings.simplefilter("ignore", CalibrationWarning)  # the report shows what it says
    examined = None if diagnose is None else _arrays(diagnose)
    try:
        result = run(
            model,
            sram,
            flash=flash,
            calibration=None if calibration is None else _arrays(calibration),
            board=board,
            runtime=runtime,
            input=input,
            io=io,
            activations=activations,
            int16=int16,
            max_extra_macs=max_extra_macs,
            max_slowdown=max_slowdown,
            kernels=kernels,
            compress=compress,
            reserve=0 if reserve in ("", "0") else reserve,
            name=name,
            vectors=vectors,
            verify=not no_verify,
            seed=seed,
            verbose=0 if quiet else 1,
        )
        misfit = None
    except DoesNotFit as error:
        if error.best is None:
            raise
        result, misfit = error.best, error
    try:
        found = None if diagnose is None else _diagnosed(result, examined, diagnose)
    finally:  # data of the wrong shape don't cost the result
        if output is not None:
            result.save(output, force=force)
    if not as_json:
        terminal.show_summary(str(result) if found is None else f"{result}\n\n{found}")
    else:
        click.echo(_with_misfit(result, misfit))
        for warning in result.warnings:
            click.echo(f"tflm-opt: warning: {warning}", err=True)
    if misfit is not None:
        click.echo(f"tflm-opt: {misfit}", err=True)
        sys.exit(DOES_NOT_FIT)


def _diagnosed(result: Any, arrays: Any, path: str) -> Any:
    from .errors import TflmOptError

    try:
        return result.diagnose(list(arrays.values()) if isinstance(arrays, dict) else arrays)
    except ValueError as error:
        raise TflmOptError(f"{path}: {error}") from error


def _with_misfit(result: Any, misfit: Any) -> str:
    """The result's figures as JSON; where it doesn't fit, why, and what would help, too."""
    from .report.data import misfit_data

    more = {} if misfit is None else {"misfit": misfit_data(misfit)}
    return json.dumps({**result.to_dict(), **more}, indent=2)


@cli.command()
@click.argument("model", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--full", is_flag=True, help="Every tensor, its quantization and its options.")
@_json
def inspect(model: Path, full: bool, as_json: bool) -> None:
    """Show what a .tflite file holds, one line an op."""
    from . import graph
    from .graph import text
    from .report.data import graph_data
    from .report.text import print_graph

    loaded = graph.read(model.read_bytes(), str(model))
    if as_json:
        click.echo(json.dumps(graph_data(loaded), indent=2))
        return
    if full:
        click.echo(text.dump(loaded))
    else:
        print_graph(loaded)


@cli.command()
@click.argument("model")
@_input
@click.option("--io", type=click.Choice(["int8", "float32"]), default="int8", show_default=True)
@_max_extra_macs
@click.option("--board", metavar="ID", default="qemu_m4", help="Whose core's instructions count.")
@click.option(
    "--plot", type=click.Path(path_type=Path, dir_okay=False), help="Write an SVG picture, too."
)
@_json
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def tradeoffs(
    model: str,
    input: str,
    io: str,
    max_extra_macs: float,
    board: str,
    plot: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Show how much memory MODEL can do with, and what that costs.

    Each line is a schedule that was planned: fastest first, least memory last. The arena holds
    tensors and kernel scratch; stack and state come on top.
    """
    from .api import tradeoffs as run
    from .report import front
    from .report.data import point_data
    from .report.text import print_front

    verbose = 0 if quiet else 1
    found = run(
        model,
        input=input,
        io=io,
        max_extra_macs=max_extra_macs,
        board=board,
        verbose=verbose,
    )
    points = [point_data(point) for point in found]
    if plot is not None:
        picture = front.svg(points, chosen=points[-1]["arena"], name=Path(model).stem)
        plot.write_text(picture, "utf-8")
    if as_json:
        click.echo(json.dumps({"input": input, "front": points}, indent=2))
    else:
        print_front(points)


@cli.command()
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--board", metavar="ID", default="qemu_m4", show_default=True)
@click.option("--no-cycles", is_flag=True, help="Skip the estimate of cycles.")
@_json
def measure(directory: Path, board: str, no_cycles: bool, as_json: bool) -> None:
    """Build what `optimize` left in DIRECTORY and run it on an emulated board.

    Instructions are exact. Cycles are an estimate, for the core, clock and flash of --board.
    """
    from .measure import measure as run
    from .report import terminal
    from .report.text import measurement_text

    data = run(directory, board, cycles=not no_cycles)
    if as_json:
        click.echo(json.dumps(data, indent=2))
    else:
        terminal.show_summary(measurement_text(data))
    if not data["bit_exact"]:
        sys.exit(DIFFERS)


@cli.command()
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--board", metavar="ID", default="qemu_m4", show_default=True)
@click.option("--top", metavar="N", type=click.IntRange(1), help="Only the N largest, sorted.")
@click.option(
    "--html", type=click.Path(path_type=Path, dir_okay=False), help="Write a page with tables, too."
)
@_json
def profile(directory: Path, board: str, top: int | None, html: Path | None, as_json: bool) -> None:
    """Show which layers and functions of DIRECTORY's code take the instructions.

    DIRECTORY is what `optimize` left. Its code runs on an emulated board, unchanged: instructions
    are exact, and cycles are estimates for the core, clock and flash of --board.
    """
    from .profiling import profile as run
    from .report import terminal
    from .report.profile import profile_text

    found = run(directory, board)
    if html is not None:
        html.write_text(found.to_html(), "utf-8")
    if as_json:
        click.echo(json.dumps(found.to_dict(), indent=2))
    else:
        terminal.show_summary(profile_text(found.to_dict(), top))


@cli.command()
@click.argument(
    "kind",
    type=click.Choice(
        ["platformio", "arduino", "cmake", "c", "edge-impulse", "edge-impulse-arduino"]
    ),
)
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help='Folder to write, or a zip file where it ends in ".zip".',
)
@click.option(
    "--board", metavar="ID", multiple=True, help="Real board to build for (platformio); repeatable."
)
@click.option(
    "--runtime",
    type=click.Choice(["engine", "tflm"]),
    default="engine",
    show_default=True,
    help="Generated C, or stock TensorFlow Lite Micro.",
)
@click.option("--labels", metavar="A,B,C", help="What the output's values stand for.")
@click.option("--name", metavar="NAME", help="What C identifiers start with.")
@click.option("--sensor", metavar="NAME", help="camera, microphone, ... (edge-impulse*).")
@click.option("--frequency", metavar="HZ", type=float, help="Of the sensor (edge-impulse*).")
@click.option("--axes", metavar="X,Y,Z", help="What is sampled at once (edge-impulse*).")
@click.option(
    "--scaling", metavar="RANGE", help="Of pixels in training: 0..1, -1..1, ... (edge-impulse*)."
)
@click.option(
    "--threshold", metavar="SCORE", type=float, help="Of a box on an output map (edge-impulse*)."
)
@click.option("--force", is_flag=True, help="Replace other files that are there.")
def export(
    kind: str,
    directory: Path,
    output: Path,
    board: tuple[str, ...],
    runtime: str,
    labels: str | None,
    name: str | None,
    axes: str | None,
    force: bool,
    **options: str | float | None,
) -> None:
    """Write a project that builds from DIRECTORY, what `optimize` left."""
    from .export import KINDS, export_saved

    export_saved(
        directory,
        kind,
        output,
        board=list(board) or None,
        runtime=runtime,
        labels=_words(labels) or [],
        name=name,
        force=force,
        axes=_words(axes),
        **options,
    )
    click.echo(f"wrote {output}")
    then = KINDS[kind].then.format(out=output)
    if runtime == "tflm":
        then = "its README.md says how to give it TensorFlow Lite Micro"
    click.echo(f"next: {then}")


def _words(text: str | None) -> list[str] | None:
    return None if text is None else [word.strip() for word in text.split(",")]


@cli.command()
@click.argument("a", type=click.Path(exists=True, path_type=Path))
@click.argument("b", type=click.Path(exists=True, path_type=Path))
@click.option("--vectors", type=click.IntRange(1), default=100, show_default=True)
@_seed
@_json
def verify(a: Path, b: Path, vectors: int, seed: int, as_json: bool) -> None:
    """Run A and B in TFLM on the same seeded inputs and compare every output byte.

    A and B are .tflite files, or folders that `optimize` wrote. A folder's generated C is
    compared as well. Exit status 1 if anything differs.
    """
    from .report.data import difference_data
    from .verify import verify as run

    difference = run(a, b, vectors=vectors, seed=seed)
    data = difference_data(difference)
    if as_json:
        click.echo(json.dumps(data, indent=2))
    elif difference.equal:
        click.echo(f"equal: every output byte of {difference.samples} samples")
    else:
        click.echo(f"DIFFERENT by up to {difference.maximum:g}: {difference.first}")
    if not difference.equal:
        sys.exit(DIFFERS)


def _arrays(path: str) -> Any:
    import numpy as np

    from .errors import CalibrationError

    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            arrays = {name: loaded[name] for name in loaded.files}
    except (OSError, ValueError) as error:
        why = f" ({error})" if "pickle" not in str(error) else ""  # numpy's word for other files
        raise CalibrationError(f"{path}: not a .npy or .npz file of plain arrays{why}") from error
    return next(iter(arrays.values())) if len(arrays) == 1 else arrays


for _command in (*cli_tables.COMMANDS, *cli_more.COMMANDS, *cli_search.COMMANDS):
    cli.add_command(_command)


def main(arguments: list[str] | None = None) -> None:
    """Entry point: turns errors into one message and an exit status."""
    from .errors import TflmOptError, ToolFailed

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # clean up as after Ctrl-C
    run: Callable[..., Any] = cli.main
    try:
        run(args=arguments, prog_name="tflm-opt", standalone_mode=False)
    except click.exceptions.Abort:
        _stop("interrupted; nothing was left half-written", INTERRUPTED)
    except KeyboardInterrupt:
        _stop("interrupted; nothing was left half-written", INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(BAD_INPUT)
    except ToolFailed as error:
        _stop(str(error), DIFFERS)
    except TflmOptError as error:
        _stop(str(error), BAD_INPUT)
    except OSError as error:
        _stop(_input_output(error), BAD_INPUT)


def _input_output(error: OSError) -> str:
    place = f"{error.filename}: " if error.filename else ""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT) and not error.filename
    hint = f" (temporary files go to {tempfile.gettempdir()}; TMPDIR changes that)" if full else ""
    return f"{place}{error.strerror or error}{hint}"


def _stop(message: str, status: int) -> None:
    click.echo(f"tflm-opt: {message}", err=True)
    sys.exit(status)
