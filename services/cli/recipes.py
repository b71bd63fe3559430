"""`rnnlab recipes`: list them, or print one as YAML."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from services.cli.options import JsonOption, NightlyOption, QuickOption


def recipes(
    name: Annotated[str | None, typer.Argument(help="Print this recipe as YAML, to start from.")] = None,
    quick: QuickOption = False,
    nightly: NightlyOption = False,
    as_json: JsonOption = False,
) -> None:
    """List the recipes, or print one as a spec to run or to change.

    Examples: rnnlab recipes first > mine.yaml;  rnnlab recipes claim_c6 --quick
    """
    from sweeps.recipes import RECIPES, recipe
    from sweeps.recipes.budgets import budget_of

    if name is not None:
        spec = recipe(name, **budget_of(quick, nightly))
        typer.echo(json.dumps([spec.model_dump(mode="json")]) if as_json else spec.to_yaml(), nl=as_json)
        return
    if as_json:
        typer.echo(json.dumps([{"name": name, "summary": line.summary} for name, line in RECIPES.items()]))
        return
    from rich.table import Table

    from services.cli.screen import console

    table = Table("recipe", "what it asks", box=None, header_style="bold")
    for name, line in RECIPES.items():
        table.add_row(name, line.summary)
    console().print(table)
    console().print("\nRun one: rnnlab sweep run NAME.  Start from one: rnnlab recipes NAME > mine.yaml", style="dim")
