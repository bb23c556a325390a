"""Commands about results and about this computer: report, doctor, completion."""

from __future__ import annotations

import errno
import json
import sys
from pathlib import Path

import click

_LACKING = 1  # exit status of doctor where something needed for every model is missing


@click.command()
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default="report.html",
    show_default=True,
    help="File to write: what it ends in (.html, .json, .csv) says what it is.",
)
@click.option("--profile", metavar="BOARD", help="Count instructions by layer, for this board.")
def report(directory: Path, output: Path, profile: str | None) -> None:
    """Write the report of DIRECTORY, what `optimize` left, as one file.

    A page for people, JSON for scripts (its schema is report.schema.json in the package), or a
    CSV file of the layers.
    """
    from .errors import TflmOptError
    from .saved import report_text

    kind = output.suffix.lower().removeprefix(".")
    if kind not in ("html", "json", "csv"):
        raise TflmOptError(f"{output}: a report's name ends in .html, .json or .csv")
    _write_whole(output, report_text(directory, kind, profile))
    click.echo(f"wrote {output}")


def _write_whole(path: Path, text: str) -> None:
    """Write a file complete or not at all; into what is no file, as it comes."""
    from .export.folder import write_file

    target = path.resolve()
    if target.exists() and not target.is_file():  # a pipe, a device: nothing to be replaced
        path.write_text(text, "utf-8", newline="")
        return
    if not target.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "no such folder", str(target.parent))
    write_file(target, text)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def doctor(as_json: bool) -> None:
    """Say what is installed, what is missing, for which feature, and how to get it.

    Exit status 1 if something is missing that every model needs; else 0.
    """
    from . import doctor as checks
    from .report.doctor import doctor_data, print_doctor

    found = checks.examine()
    data = doctor_data(found)
    if as_json:
        click.echo(json.dumps(data, indent=2))
    else:
        print_doctor(data)
    if not data["ok"]:
        sys.exit(_LACKING)


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what makes SHELL complete commands and options.

    \b
    bash: tflm-opt completion bash >>~/.bashrc
    zsh:  tflm-opt completion zsh >>~/.zshrc
    fish: tflm-opt completion fish >~/.config/fish/completions/tflm-opt.fish
    """
    from click.shell_completion import get_completion_class

    from .cli import cli

    made = get_completion_class(shell)
    assert made is not None  # the three that Choice allows are click's own
    click.echo(made(cli, {}, "tflm-opt", "_TFLM_OPT_COMPLETE").source())


COMMANDS = (report, doctor, completion)
