"""`rnnlab sweep`: run, list and show sweeps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.cli.options import HomeOption, JsonOption, home_at

if TYPE_CHECKING:
    from sweeps.home import Home
    from sweeps.report.table import Row
    from sweeps.spec import SweepSpec
    from sweeps.store import Lab, SweepRecord

app = typer.Typer(help="Run sweeps and look at them.", no_args_is_help=True)

EXITS = {"finished": 0, "stopped": 130, "failed": 1}
"""Exit code by how a sweep ended."""


@app.command()
def run(
    what: Annotated[str, typer.Argument(metavar="SPEC.yaml|RECIPE", help="A spec file, or the name of a recipe.")],
    home: HomeOption = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Trials at a time, one CPU each (default: the CPUs there are).")
    ] = None,
    address: Annotated[str | None, typer.Option(help="Of a running Ray cluster; else one is started here.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Run a sweep here and print its table; Ctrl-C once stops gently, and what was recorded stays.

    Examples: rnnlab sweep run first;  rnnlab sweep run mine.yaml --workers 2
    """
    spec = spec_of(what)
    place = home_at(home)
    from services.cli.screen import LiveWatcher, console
    from sweeps.running.run import run_sweep

    with LiveWatcher() as watcher:
        end = run_sweep(spec, place, workers=workers, address=address, watcher=watcher)
    with _lab(place) as lab:
        rows = _rows(lab, end.sweep_id)
    if as_json:
        typer.echo(json.dumps([row.as_dict() for row in rows]))
    else:
        show_rows(end.sweep_id, rows, end.folder, end.status)
        console().print(
            f"\nDashboard   rnnlab ui --home {place.path}   (MLflow, experiment {end.sweep_id})\n"
            f"Files       {end.folder}   (table.md, table.json, gradients.png, trials/*/curves.npz)\n"
            f"Stores      {place.path}/lab.db, {place.path}/mlflow.db",
            soft_wrap=True,
        )
    raise typer.Exit(EXITS[end.status])


@app.command("list")
def list_sweeps(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List the sweeps of this home, newest first."""
    place = home_at(home)
    place.must_exist()
    with _lab(place) as lab:
        found = [_summary(sweep, lab) for sweep in lab.sweeps()]
    if as_json:
        typer.echo(json.dumps(found))
        return
    from rich.table import Table

    from services.cli.screen import console

    table = Table("id", "status", "trials", "started", "took", "asks", box=None, header_style="bold")
    for sweep in found:
        took = "" if sweep["seconds"] is None else f"{sweep['seconds']:.0f} s"
        table.add_row(
            sweep["id"], sweep["status"], f"{sweep['ended']}/{sweep['trials']}", (sweep["started_at"] or "")[:19],
            took, sweep["description"],
        )  # fmt: skip
    console().print(table)


@app.command()
def show(
    id: Annotated[str, typer.Argument(help="Of the sweep; `rnnlab sweep list` knows them.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a sweep's table of configurations, as far as it is."""
    place = home_at(home)
    place.must_exist()
    with _lab(place) as lab:
        sweep = lab.sweep(id)
        rows = _rows(lab, id, running=sweep.status == "running")
    if as_json:
        typer.echo(json.dumps([row.as_dict() for row in rows]))
        return
    show_rows(id, rows, place.sweep_folder(id), sweep.status, sweep.message)


def spec_of(what: str) -> SweepSpec:
    """The spec in a file, or of a recipe.

    Raises:
        SpecError: neither, or not a valid spec.
    """
    from rnnlab.choices import nearest
    from rnnlab.errors import SpecError
    from sweeps.recipes import RECIPES
    from sweeps.spec import SweepSpec

    path = Path(what)
    if what in RECIPES:
        spec: SweepSpec = RECIPES[what].load()()
        return spec
    if path.exists() or path.suffix in (".yaml", ".yml", ".json") or len(path.parts) > 1:
        return SweepSpec.from_file(path)
    raise SpecError(
        f"{what!r} is neither a file nor a recipe{nearest(what, RECIPES)} (recipes: {', '.join(RECIPES)}); "
        "`rnnlab recipes first > mine.yaml` makes a file to start from"
    )


def show_rows(id: str, rows: list[Row], folder: Path, status: str, message: str | None = None) -> None:
    """Print a sweep's table, and what it shows."""
    from services.cli.screen import console, rows_table

    screen = console()
    note = f" ({message})" if message else ""
    screen.print(rows_table(rows, f"Sweep {id}: {status}{note}"))
    screen.print(
        "\nscore: log10(validation loss / trivial baseline), mean ± sd over replicates, lower is better; decades: "
        "log10 of the gradient left over the task's lag",
        style="dim",
    )
    summary = folder / "table.md"
    if summary.is_file():
        said = [line for line in summary.read_text().splitlines() if line.startswith("- ")]
        screen.print("\n" + "\n".join(said), markup=False)


def _rows(lab: Lab, id: str, *, running: bool = False) -> list[Row]:
    from sweeps.report.table import rows_of

    return rows_of(lab.trials(id), lab.replicates(id), running=running)


def _lab(place: Home) -> Lab:
    from sweeps.store import Lab

    return Lab.open(place.lab_url)


def _summary(sweep: SweepRecord, lab: Lab) -> dict[str, Any]:
    from sweeps.spec import SweepSpec

    trials = lab.trials(sweep.id)
    ends = sweep.ended_at or sweep.heartbeat_at
    return {
        "id": sweep.id,
        "name": sweep.name,
        "status": sweep.status,
        "description": sweep.spec.get("description", ""),
        "trials": SweepSpec.model_validate(sweep.spec).trials,
        "ended": sum(trial.state != "running" for trial in trials),
        "created_at": sweep.created_at.isoformat(),
        "started_at": sweep.started_at.isoformat() if sweep.started_at else None,
        "ended_at": sweep.ended_at.isoformat() if sweep.ended_at else None,
        "seconds": (ends - sweep.started_at).total_seconds() if ends and sweep.started_at else None,
        "message": sweep.message,
    }
