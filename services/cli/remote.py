"""The same commands through a service: `--server URL`, or RNNLAB_SERVER; its token is RNNLAB_TOKEN."""

from __future__ import annotations

import json
import os
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.cli.options import JsonOption, NightlyOption, QuickOption, SweepArgument

if TYPE_CHECKING:
    from services.api.models import EventSeen, SweepSeen
    from services.client import Client

ServerOption = Annotated[
    str | None,
    typer.Option("--server", envvar="RNNLAB_SERVER", help="A service to ask instead of the home here (RNNLAB_TOKEN)."),
]
NeededServer = Annotated[
    str, typer.Option("--server", envvar="RNNLAB_SERVER", help="Address of the service; its token is RNNLAB_TOKEN.")
]
LOCAL = "http://127.0.0.1:8000"
"""Where `rnnlab serve` listens."""
LISTED = (
    "id", "name", "status", "description", "trials", "ended", "created_at", "started_at", "ended_at", "seconds",
    "message", "recording",
)  # fmt: skip
"""What `sweep list --json` gives, here and through a service."""


def launch(
    what: Annotated[str, typer.Argument(metavar="SPEC.yaml|RECIPE", help="A spec file, or the name of a recipe.")],
    quick: QuickOption = False,
    nightly: NightlyOption = False,
    server: NeededServer = LOCAL,
    workers: Annotated[int | None, typer.Option(min=1, help="Trials at a time (default: what Ray has).")] = None,
    key: Annotated[str | None, typer.Option(help="A launch repeated with the same key is one sweep.")] = None,
    follow: Annotated[bool, typer.Option("--watch", help="Show its progress until it ends.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Queue a sweep on a service, which runs it when its turn comes.

    Example: rnnlab sweep launch first --server http://127.0.0.1:8000 --watch
    """
    from services.cli.sweep import spec_of
    from sweeps.recipes import RECIPES

    with client_of(server) as client:
        if quick or nightly:
            text = spec_of(what, quick, nightly).to_yaml()
            seen = client.launch(text, workers=workers, key=key or uuid.uuid4().hex)
        elif what in RECIPES:
            seen = client.launch(recipe=what, workers=workers, key=key or uuid.uuid4().hex)
        else:
            seen = client.launch(_text(what), workers=workers, key=key or uuid.uuid4().hex)
        if as_json:
            typer.echo(seen.model_dump_json())
        else:
            typer.echo(f"{seen.id} is {seen.status}: {seen.trials} trials; `rnnlab sweep watch {seen.id}` follows it")
        if follow:
            _follow(client, seen.id)


def watch(id: SweepArgument, server: NeededServer = LOCAL) -> None:
    """Follow a sweep on a service: its live table, until it ends. Ctrl-C ends the watching, not the sweep.

    Example: rnnlab sweep watch first
    """
    with client_of(server) as client:
        _follow(client, id)


def client_of(server: str) -> Client:
    """A client with the token that the environment has."""
    from services.client import Client

    return Client(server, os.environ.get("RNNLAB_TOKEN"))


def listed(server: str) -> list[dict[str, Any]]:
    """All sweeps of a service, newest first, as `sweep list --json` gives them."""
    found: list[dict[str, Any]] = []
    with client_of(server) as client:
        while True:
            page = client.sweeps(offset=len(found), limit=500)
            found += [{name: item.model_dump(mode="json")[name] for name in LISTED} for item in page.items]
            if len(found) >= page.total or not page.items:
                return found


def show(server: str, id: str, *, as_json: bool) -> None:
    """A sweep's table of configurations and its findings, from a service."""
    from services.cli.screen import console, rows_table
    from sweeps.report.table import Row

    with client_of(server) as client:
        sweep, rows = client.sweep(id), client.rows(id)
        if as_json:
            typer.echo(json.dumps(rows))
            return
        note = f" ({sweep.message})" if sweep.message else ""
        title = f"Sweep {id}: {sweep.status}{note}, {sweep.ended} of {sweep.trials} trials"
        best = sorted(rows, key=lambda row: (row["score"] is None, row["score"]))[:24]
        console().print(rows_table([Row(**row) for row in best], title))
        for number, finding in enumerate(client.findings(id)[:6], 1):
            console().print(f"{number}. {finding['text']}", markup=False)


def stop(server: str, id: str) -> None:
    """Ask a sweep on a service to stop."""
    with client_of(server) as client:
        seen = client.stop(id)
    typer.echo(f"{id} is {seen.status}{', and was asked to stop' if seen.stop_requested else ''}")


def resume(server: str, id: str) -> None:
    """Queue a sweep on a service again."""
    with client_of(server) as client:
        typer.echo(f"{id} is {client.resume(id).status}; `rnnlab sweep watch {id}` follows it")


def report(server: str, id: str, *, as_json: bool) -> None:
    """A sweep's report from a service: Markdown on the screen, or the findings as JSON."""
    with client_of(server) as client:
        if as_json:
            typer.echo(json.dumps(client.findings(id)))
        else:
            typer.echo(client.report(id, "md").decode())


def _text(what: str) -> str:
    from rnnlab.written import dump_yaml, read_spec_file

    # through our own reader: its errors name the file, and a data file's path becomes a whole one
    return dump_yaml(read_spec_file(Path(what)))


def _follow(client: Client, id: str) -> None:
    """Show a sweep until it ends; exits as it ended."""
    from rich.live import Live

    from services.api.models import SweepSeen
    from services.cli.running import EXITS
    from services.cli.screen import console

    screen = console(stderr=True)
    live = Live(console=screen, refresh_per_second=4, transient=True) if screen.is_terminal else None
    last: SweepSeen | None = None
    if live is not None:
        live.start()
    try:
        for news in client.watch(id):
            if isinstance(news, SweepSeen):
                last = news
                if live is not None:
                    live.update(_view(client, news))
                else:
                    screen.print(f"{news.id}: {news.status}, {news.ended} of {news.trials} trials", markup=False)
            elif live is None:
                screen.print(_line(news), markup=False)
    finally:
        if live is not None:
            live.stop()
    if last is not None:
        typer.echo(f"{id} is {last.status}{f': {last.message}' if last.message else ''}", err=True)
        sys.exit(EXITS.get(last.status, 0))


def _line(event: EventSeen) -> str:
    return f"{event.at:%H:%M:%S} {event.kind}: {event.message}"


def _view(client: Client, sweep: SweepSeen) -> Any:
    """Progress, and the trials that run or are best."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    left = "" if sweep.eta_seconds is None else f", about {sweep.eta_seconds:.0f} s left"
    head = Text(f"sweep {sweep.id}: {sweep.status}, {sweep.ended} of {sweep.trials} trials{left}")
    table = Table(
        "#", "configuration", "state", "updates", "score", "verdict: init → now", box=None, header_style="bold"
    )
    trials = (
        client.trials(sweep.id, state="running", limit=8).items + client.trials(sweep.id, sort="score", limit=8).items
    )
    for trial in dict.fromkeys(trial.number for trial in trials):
        one = next(found for found in trials if found.number == trial)
        score = "" if one.score is None else f"{one.score:+.2f}"
        verdicts = f"{one.verdict_init or '-'} → {one.verdict or '-'}"
        table.add_row(str(one.number), one.label, one.state, str(one.updates), score, verdicts)
    return Group(head, ProgressBar(total=max(1, sweep.trials), completed=sweep.ended, width=60), table)
