"""Commands of the search for nets: search, study."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import click

_INTERRUPTED = 130  # as a shell has it after Ctrl-C


@click.command()
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@click.option("--workers", type=click.IntRange(1), help="Processes that evaluate candidates.")
@click.option("--trials", type=click.IntRange(1), help="Candidates in all.")
@click.option("--minutes", type=click.FloatRange(0, min_open=True), help="Time for this call.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def search(
    source: Path,
    workers: int | None,
    trials: int | None,
    minutes: float | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Search for the best net for a board.

    SOURCE is a TOML file (docs/search.md), or the directory of a study to go on with. Ctrl-C loses
    the evaluations in flight at most; the same command goes on.
    """
    from . import nas
    from .nas import config
    from .nas.child import ONEDNN
    from .nas.search import Interrupted
    from .nas.search import search as run

    for name, value in ONEDNN.items():
        os.environ.setdefault(name, value)  # of this process, in which a supernet is trained
    options = {"workers": workers, "trials": trials, "minutes": minutes}
    arguments: dict[str, Any] = {"directory": source}
    described = None
    if source.is_dir():
        nas.load(source)  # or an error that says that it is no study
    else:
        described = config.read(source)
        sys.path.insert(0, str(source.parent.resolve()))  # for functions and spaces of one's own
        arguments = described.arguments()
    arguments |= {name: value for name, value in options.items() if value is not None}
    try:
        study = run(**arguments, verbose=0 if quiet else 1)
    except Interrupted as stopped:
        click.echo(f"tflm-opt: {_stopped(stopped.study, source)}", err=True)
        sys.exit(_INTERRUPTED)
    if described is not None and described.finish is not None:
        result = study.best.optimize(**described.finish, verbose=0 if quiet else 1)
        if not as_json:
            click.echo(str(result))
    _show(study, as_json)


@click.command()
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--csv", "table", is_flag=True, help="Print all trials as CSV.")
@click.option("--plot", metavar="FILE.svg", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--against",
    type=click.Choice(["sram", "latency", "flash", "macs"]),
    default="sram",
    show_default=True,
    help="What accuracy is plotted against.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def study(directory: Path, table: bool, plot: Path | None, against: str, as_json: bool) -> None:
    """Show the study in DIRECTORY, also while it runs: the best net, the front, all trials."""
    from . import nas
    from .export.folder import write_file

    found = nas.load(directory)
    if plot is not None:
        write_file(plot.resolve(), found.plot(against))
        click.echo(f"wrote {plot}", err=True)
    if table:
        click.echo(found.to_csv(), nl=False)
    elif plot is None or as_json:
        _show(found, as_json)


def _stopped(found: Any, source: Path) -> str:
    count = len(found.complete)
    return f"interrupted after {count} trials; `tflm-opt search {source}` goes on"


def _show(found: Any, as_json: bool) -> None:
    from .report.search import search_data, search_text

    click.echo(json.dumps(search_data(found), indent=2) if as_json else search_text(found))


COMMANDS = (search, study)
