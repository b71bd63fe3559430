"""`rnnlab sweep`: run, list and show sweeps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.cli import checking, comparing, exporting, planning, predicting, recording, remote, reporting, resuming
from services.cli.options import (
    CpusOption,
    FailuresOption,
    GpusOption,
    HomeOption,
    JsonOption,
    MemoryOption,
    NightlyOption,
    PatienceOption,
    QuickOption,
    StackOption,
    SweepArgument,
    WorkersOption,
    home_at,
)
from services.cli.running import AddressOption, drive
from services.cli.showing import say_lag, show_rows, shown_of

if TYPE_CHECKING:
    from sweeps.home import Home
    from sweeps.spec import SweepSpec
    from sweeps.store import Lab, SweepRecord

app = typer.Typer(help="Run sweeps and look at them.", no_args_is_help=True)
app.command("plan")(planning.plan)
app.command("export")(exporting.export)
app.command("compare")(comparing.compare)
app.command("report")(reporting.report)
app.command("predict")(predicting.predict)
app.command("check")(checking.check)
app.command("resume")(resuming.resume)
app.command("record")(recording.record)
app.command("stop")(resuming.stop)
app.command("launch")(remote.launch)
app.command("watch")(remote.watch)


@app.command()
def run(
    what: Annotated[str, typer.Argument(metavar="SPEC.yaml|RECIPE", help="A spec file, or the name of a recipe.")],
    home: HomeOption = None,
    quick: QuickOption = False,
    nightly: NightlyOption = False,
    workers: WorkersOption = None,
    address: AddressOption = None,
    max_failures: FailuresOption = 3,
    mlflow_patience: PatienceOption = None,
    cpus: CpusOption = None,
    gpus: GpusOption = None,
    memory: MemoryOption = None,
    stack: StackOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run a sweep here, print its findings and write its report; Ctrl-C once stops gently, `resume` goes on.

    Examples: rnnlab sweep run first;  rnnlab sweep run mine.yaml --workers 2;  rnnlab sweep run claim_c6 --quick
    """
    spec = spec_of(what, quick, nightly)
    place = home_at(home, mlflow_patience)
    from sweeps.recipes import RECIPES

    def begin(**options: object) -> object:
        from sweeps.running.run import run_sweep  # under the live table: it takes a moment

        return run_sweep(spec, place, again=what in RECIPES, **options)  # type: ignore[arg-type]

    resources = {"cpus": cpus, "gpus": gpus, "memory": memory, "stack": stack}
    drive(
        begin, place, workers=workers, address=address, max_failures=max_failures, resources=resources, as_json=as_json
    )


@app.command("list")
def list_sweeps(home: HomeOption = None, server: remote.ServerOption = None, as_json: JsonOption = False) -> None:
    """List the sweeps of this home, or of a service, newest first."""
    found = remote.listed(server) if server and home is None else _listed(home_at(home))
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
    id: SweepArgument,
    home: HomeOption = None,
    server: remote.ServerOption = None,
    everything: Annotated[bool, typer.Option("--all", help="Every trial, by number.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show a sweep's table of configurations, as far as it is; of a large one its arms, or the best trials first."""
    if server and home is None:
        remote.show(server, id, as_json=as_json)
        return
    place = home_at(home)
    place.must_exist()
    with _lab(place) as lab:
        sweep = lab.sweep(id)
        shown = shown_of(lab, id, running=sweep.status == "running", everything=everything or as_json)
    if as_json:
        typer.echo(json.dumps([row.as_dict() for row in shown.rows]))
        say_lag(id, place.sweep_folder(id), sweep.status)
        return
    show_rows(id, shown, place.sweep_folder(id), sweep.status, sweep.message)


def _listed(place: Home) -> list[dict[str, Any]]:
    place.must_exist()
    with _lab(place) as lab:
        counts = lab.counts()
        return [
            {
                **_summary(sweep, counts.get(sweep.id, {})),
                "recording": _recording(place.sweep_folder(sweep.id), sweep.status),
            }
            for sweep in lab.sweeps()
        ]


def spec_of(what: str, quick: bool = False, nightly: bool = False) -> SweepSpec:
    """The spec in a file, or of a recipe.

    Raises:
        SpecError: neither, or not a valid spec; or a budget where there is no choice of one.
    """
    from rnnlab.choices import nearest
    from rnnlab.errors import SpecError
    from sweeps.recipes import RECIPES, recipe
    from sweeps.recipes.budgets import BUDGETS, budget_of
    from sweeps.spec import SweepSpec

    path = Path(what)
    if quick and nightly:
        raise SpecError("a recipe has one budget, but got --quick and --nightly; leave one out")
    if what in RECIPES and (RECIPES[what].options == BUDGETS or not (quick or nightly)):
        return recipe(what, **budget_of(quick, nightly))
    if quick or nightly:
        budgets = ", ".join(name for name, line in RECIPES.items() if line.options == BUDGETS)
        raise SpecError(f"{what!r} has no budgets to choose from; leave --quick or --nightly out (recipes: {budgets})")
    if path.exists() or path.suffix in (".yaml", ".yml", ".json") or len(path.parts) > 1:
        return SweepSpec.from_file(path)
    raise SpecError(
        f"{what!r} is neither a file nor a recipe{nearest(what, RECIPES)} (recipes: {', '.join(RECIPES)}); "
        "`rnnlab recipes first > mine.yaml` makes a file to start from"
    )


def _lab(place: Home) -> Lab:
    from sweeps.store import Lab

    return Lab.open(place.lab_url)


def _recording(folder: Path, status: str) -> dict[str, Any] | None:
    """What of a sweep is not in MLflow; None where all of it is."""
    from sweeps.recording.lag import lag_of

    lag = lag_of(folder, running=status == "running")
    return None if lag is None else lag.as_dict()


def _planned(sweep: SweepRecord, begun: int) -> int:
    """Trials that a sweep has, or will have; a space is parsed only where nothing else says it."""
    if sweep.status == "finished":
        return begun
    search = sweep.spec.get("search", {})
    if "trials" in search and "design" not in search:
        return int(search["trials"])
    from sweeps.spec import SweepSpec

    return SweepSpec.model_validate(sweep.spec).trials


def _summary(sweep: SweepRecord, counts: dict[str, int]) -> dict[str, Any]:
    begun = sum(counts.values())
    ends = sweep.ended_at or sweep.heartbeat_at
    return {
        "id": sweep.id,
        "name": sweep.name,
        "status": sweep.status,
        "description": sweep.spec.get("description", ""),
        "trials": _planned(sweep, begun),
        "ended": begun - counts.get("running", 0),
        "created_at": sweep.created_at.isoformat(),
        "started_at": sweep.started_at.isoformat() if sweep.started_at else None,
        "ended_at": sweep.ended_at.isoformat() if sweep.ended_at else None,
        "seconds": (ends - sweep.started_at).total_seconds() if ends and sweep.started_at else None,
        "message": sweep.message,
    }
