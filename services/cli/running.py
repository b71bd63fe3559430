"""Driving a sweep in this terminal: what `run` and `resume` share."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from sweeps.home import Home

EXITS = {"finished": 0, "stopped": 130, "failed": 1}
"""Exit code by how a sweep ended."""
AddressOption = Annotated[str | None, typer.Option(help="Of a running Ray cluster; else one is started here.")]


def drive(
    begin: Callable[..., Any],
    place: Home,
    *,
    workers: int | None,
    address: str | None,
    max_failures: int,
    resources: dict[str, Any],
    as_json: bool,
) -> None:
    """Run or resume a sweep under a live table, then print what it came to; exits as it ended."""
    from services.cli.screen import LiveWatcher, console
    from services.cli.showing import say_lag, show_rows, shown_of
    from sweeps.store import Lab

    with LiveWatcher() as watcher:
        end = begin(workers=workers, address=address, max_failures=max_failures, resources=resources, watcher=watcher)
    with Lab.open(place.lab_url) as lab:
        shown = shown_of(lab, end.sweep_id, everything=as_json)
        message = lab.sweep(end.sweep_id).message
    if as_json:
        typer.echo(json.dumps([row.as_dict() for row in shown.rows]))
        say_lag(end.sweep_id, end.folder, end.status)
        raise typer.Exit(EXITS[end.status])
    show_rows(end.sweep_id, shown, end.folder, end.status, message)
    where = (
        f"\nReport      {end.folder / 'report.html'}\n"
        f"Dashboard   rnnlab ui --home {place.path}   (MLflow, experiment {end.sweep_id})\n"
        f"Files       {end.folder}   (table.md, gradients.png, trials/*/curves.npz)\n"
        f"Stores      {place.path}/lab.db, {place.path}/mlflow.db"
    )
    if end.status != "finished":
        where += f"\nGo on       rnnlab sweep resume {end.sweep_id} --home {place.path}"
    console().print(where, soft_wrap=True)
    raise typer.Exit(EXITS[end.status])
