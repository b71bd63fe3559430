"""`rnnlab token`: make, list and revoke what lets people into the service."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from services.cli.options import HomeOption, JsonOption, home_at

app = typer.Typer(help="Make, list and revoke tokens of the service.", no_args_is_help=True)
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Whose token it is.")]


@app.command()
def make(
    name: NameArgument,
    role: Annotated[
        str, typer.Option(help="viewer: look; launcher: run sweeps of one's own; admin: everything.")
    ] = "launcher",
    days: Annotated[int | None, typer.Option(min=1, help="Days until it expires (default: never).")] = None,
    most_sweeps: Annotated[int | None, typer.Option(min=1, help="Sweeps queued or running at a time.")] = None,
    most_trials: Annotated[int | None, typer.Option(min=1, help="Trials of one sweep.")] = None,
    home: HomeOption = None,
) -> None:
    """Make a token and print it: this once, since only its hash is kept.

    Example: rnnlab token make ann --role launcher --days 90
    """
    from rnnlab.choices import nearest
    from rnnlab.errors import SpecError
    from sweeps.store.queue import Queue
    from sweeps.store.tokens import ROLES, Tokens

    if role not in ROLES:
        raise SpecError(f"role {role!r} is unknown{nearest(role, ROLES)} (roles: {', '.join(ROLES)})")
    place = home_at(home)
    place.make()
    with Queue.open(place.lab_url) as lab:
        secret = Tokens(lab.engine).make(name, role, days=days, most_sweeps=most_sweeps, most_trials=most_trials)
    typer.echo(f"token of {name}, a {role}; it is shown this once:", err=True)
    typer.echo(secret)


@app.command("list")
def list_tokens(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List tokens, without their secrets."""
    from sweeps.store.queue import Queue
    from sweeps.store.tokens import Tokens

    place = home_at(home)
    place.must_exist()
    with Queue.open(place.lab_url) as lab:
        found = [token.model_dump(mode="json") for token in Tokens(lab.engine).all()]
    if as_json:
        typer.echo(json.dumps(found))
        return
    from rich.table import Table

    from services.cli.screen import console

    table = Table("name", "role", "made", "expires", "revoked", "last used", box=None, header_style="bold")
    for token in found:
        times = [(token[key] or "")[:16] for key in ("created_at", "expires_at", "revoked_at", "used_at")]
        table.add_row(token["name"], token["role"], *times)
    console().print(table)


@app.command()
def revoke(name: NameArgument, home: HomeOption = None) -> None:
    """Make a token worthless at once."""
    from sweeps.store.queue import Queue
    from sweeps.store.tokens import Tokens

    place = home_at(home)
    place.must_exist()
    with Queue.open(place.lab_url) as lab:
        Tokens(lab.engine).revoke(name)
    typer.echo(f"token {name} is revoked")
