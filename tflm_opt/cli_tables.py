"""Commands that list the tables: boards, ops, kernels; `--markdown` prints their pages in docs/."""

from __future__ import annotations

import json

import click

_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.command()
@_json
@click.option("--markdown", is_flag=True, help="Print the page that docs/boards.md holds.")
def boards(as_json: bool, markdown: bool) -> None:
    """List the boards."""
    from . import boards as table
    from .report.data import board_data
    from .report.text import print_boards

    if as_json:
        click.echo(json.dumps([board_data(board) for board in table.all()], indent=2))
    elif markdown:
        from .report.boards import page

        click.echo(page(), nl=False)
    else:
        print_boards(table.all())


@click.command()
@_json
@click.option("--markdown", is_flag=True, help="Print the page that docs/ops.md holds.")
def ops(as_json: bool, markdown: bool) -> None:
    """List the supported ops and their constraints."""
    from dataclasses import asdict

    from .graph import optable

    if as_json:
        click.echo(json.dumps([asdict(row) for row in optable.rows()], indent=2))
    elif markdown:
        click.echo(optable.page(), nl=False)
    else:
        for row in optable.rows():
            click.echo(row.kind)
            for constraint in row.constraints:
                click.echo(f"    {constraint}")


@click.command()
@_json
@click.option("--markdown", is_flag=True, help="Print the page that docs/kernels.md holds.")
def kernels(as_json: bool, markdown: bool) -> None:
    """List the kernels and the tiers that they have."""
    from dataclasses import asdict

    from .kernels import page, table

    rows = table.kernels().values()
    if as_json:
        click.echo(json.dumps([asdict(row) for row in rows], indent=2))
    elif markdown:
        click.echo(page.page(), nl=False)
    else:
        for row in rows:
            click.echo(f"{row.function:<42} {', '.join(row.tiers):<20} {', '.join(row.ops)}")


COMMANDS = (boards, ops, kernels)
