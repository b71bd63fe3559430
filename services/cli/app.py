"""The `rnnlab` command: thin commands over sweeps, which load torch and Ray only when they need them."""

from __future__ import annotations

import os
import signal
import sys
from typing import Annotated

import typer

from rnnlab.errors import RnnlabError
from services.cli import listing, probing, recipes, serving, sweep, tokens, ui

app = typer.Typer(
    help="Which mitigation keeps gradients alive through time in a recurrent network, and does it make the "
    "task learnable?\n\nStart with `rnnlab sweep run first`, then `rnnlab ui`.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("recipes")(recipes.recipes)
app.command("list")(listing.list_tables)
app.command("probe")(probing.probe)
app.add_typer(sweep.app, name="sweep")
app.command("ui")(ui.ui)
app.command("serve")(serving.serve)
app.add_typer(tokens.app, name="token")


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"rnnlab {version('rnnlab')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Options of all commands."""


def main() -> None:
    """Run the command; a user's mistake is one message and code 2, a database that is away code 75, Ctrl-C code 130."""
    try:
        app()
    except RnnlabError as error:
        from sweeps.store.retrying import DatabaseAway

        typer.echo(f"error: {error}", err=True)
        sys.exit(os.EX_TEMPFAIL if isinstance(error, DatabaseAway) else 2)
    except OSError as error:
        from sweeps.home import place_behind

        place = place_behind(error)
        if place is None:  # a bug
            raise
        typer.echo(f"error: {place}; mend that and try again", err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Python's own end would let a further one kill it
        sys.exit(130)


if __name__ == "__main__":
    main()
