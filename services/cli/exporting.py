"""`rnnlab sweep export`: a sweep's numbers as files for one's own analysis."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.options import HomeOption, JsonOption, SweepArgument, home_at

if TYPE_CHECKING:
    from sweeps.report.export import Exported


def export(
    id: SweepArgument,
    to: Annotated[
        str, typer.Option(metavar="parquet|csv|optuna", help="Tables, or a study for Optuna's dashboard.")
    ] = "parquet",
    out: Annotated[
        Path | None, typer.Option(help="Folder of the tables, or file of the study (default: ID-parquet and so on).")
    ] = None,
    curves: Annotated[
        bool, typer.Option(help="Also the table of all curves by timestep, which is by far the largest.")
    ] = True,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier export.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write every number of a sweep, finished or not, as tables or as an Optuna study.

    Examples: rnnlab sweep export first;  rnnlab sweep export first --to csv --no-curves;
    rnnlab sweep export first --to optuna && optuna-dashboard sqlite:///first-optuna.db
    """
    place = home_at(home)
    place.must_exist()
    from sweeps.store import Lab

    with Lab.open(place.lab_url) as lab:
        trials = len(lab.trials(id))
        from sweeps.report.export import check_target, export_study, export_tables, form_of, target_of

        form = form_of(to)
        path = out or target_of(id, form)
        check_target(path, form, force, place)
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        from services.cli.screen import console

        columns = (TextColumn("trials"), BarColumn(), MofNCompleteColumn())
        with Progress(*columns, console=console(stderr=True), transient=True) as bar:
            task = bar.add_task("", total=trials)

            def each(done: int) -> None:
                bar.update(task, completed=done)

            if form == "optuna":
                done = export_study(lab, id, path, each)
            else:
                done = export_tables(lab, place, id, form, path, curves=curves, each=each)
    if as_json:
        typer.echo(json.dumps([done.as_dict()]))
        return
    console().print(*_said(done), sep="\n", markup=False, soft_wrap=True)


def _said(done: Exported) -> list[str]:
    states = ", ".join(f"{count} {state}" for state, count in done.ended.items()) or "none yet"
    said = [f"Sweep {done.sweep_id} ({done.status}), trials: {states}."]
    if done.status != "finished":
        said.append(f"It is {done.status}: this is what there is now; export it again when it has finished.")
    if done.missing:
        said.append(f"{len(done.missing)} trials ended without curves: {', '.join(map(str, done.missing[:20]))}.")
    if done.form == "optuna":
        said.append(f"Study  {done.path}   (name {done.sweep_id}; optuna-dashboard sqlite:///{done.path})")
    else:
        rows = ", ".join(f"{name} {count:,}" for name, count in done.rows.items())
        said.append(f"Folder {done.path}   (rows: {rows}; {done.path}/about.json tells the columns)")
    return said
