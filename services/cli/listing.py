"""`rnnlab list`: what a spec may choose from."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from services.cli.options import JsonOption

HEAD = """# The tables

What a spec may choose from. Written by `rnnlab list --markdown > docs/tables.md`; a test holds this page equal to the
tables in the code. The first option of a line may be written alone (`{orthogonal: 1.2}`), several by name; *fits* says
which cells accept a line.

"""


def list_tables(
    name: Annotated[str | None, typer.Argument(metavar="TABLE", help="cells, inits, clips, tasks, ...")] = None,
    as_json: JsonOption = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print Markdown: the whole of docs/tables.md, or one table.")
    ] = False,
) -> None:
    """Name the tables, or list one: names, what they are, options with defaults, which cells they fit, sources.

    Examples: rnnlab list;  rnnlab list tasks;  rnnlab list inits --json
    """
    from rnnlab.errors import SpecError
    from sweeps.alternatives import TABLES, as_markdown, fits, option_lines, option_text, table_of

    if as_json and markdown:
        raise SpecError("give one of --json and --markdown")
    if markdown:
        typer.echo(as_markdown([name]) if name else HEAD + as_markdown(list(TABLES)), nl=False)
        return
    if name is None:
        if as_json:
            typer.echo(json.dumps([{"name": table, "lines": list(table_of(table))} for table in TABLES]))
            return
        for table in TABLES:
            typer.echo(f"{table}: {', '.join(table_of(table))}")
        typer.echo("\nMore of one: rnnlab list TABLE")
        return
    lines = table_of(name).items()
    if as_json:
        typer.echo(
            json.dumps(
                [
                    {
                        "name": key, "summary": line.summary, "source": line.source, "options": option_lines(line),
                        "cells": line.cells, "activations": line.activations,
                    }
                    for key, line in lines
                ]
            )
        )  # fmt: skip
        return
    for key, line in lines:
        typer.echo(f"{key}: {line.summary} [{line.source}]")
        for option in option_lines(line):
            typer.echo(f"    {option_text(option)}")
        if fits(line):
            typer.echo(f"    fits: {fits(line)}")
