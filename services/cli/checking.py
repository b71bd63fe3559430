"""`rnnlab sweep check`: does the lab database agree with MLflow and with the files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.options import HomeOption, JsonOption, SweepArgument, home_at

if TYPE_CHECKING:
    from rich.table import Table

    from sweeps.checking.check import Checked
    from sweeps.checking.findings import Finding

GROUPS = {"lab": "lab database", "mlflow": "MLflow", "files": "files"}
"""What the groups are called."""
SHOWN = 40
"""Rows of a group that a terminal shows; `--json` has all."""


def check(
    id: SweepArgument,
    repair: Annotated[
        bool, typer.Option("--repair", help="Mend what can be mended; refused while the sweep runs.")
    ] = False,
    everything: Annotated[
        bool, typer.Option("--everything", help="Read every point of every metric, which takes some times as long.")
    ] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare a sweep's lab database with MLflow and with its files, and mend what can be mended.

    Leaves with 0 where they agree (a sweep that runs may lag) or all is mended, with 1 where something is left.
    Examples: rnnlab sweep check first;  rnnlab sweep check first --repair
    """
    place = home_at(home)
    place.must_exist()
    from sweeps.store import Lab

    with Lab.open(place.lab_url) as lab:
        sweep = lab.sweep(id)
        if repair and sweep.status == "running":
            from rnnlab.errors import PlaceError

            raise PlaceError(
                f"sweep {id!r} is being run by pid {sweep.driver_pid} on {sweep.driver_host}, and is repaired only "
                f"when nobody runs it; stop that first: `rnnlab sweep stop {id}`"
            )
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        from services.cli.screen import console
        from sweeps.checking.check import check_sweep

        columns = (TextColumn("runs"), BarColumn(), MofNCompleteColumn())
        with Progress(*columns, console=console(stderr=True), transient=True) as bar:
            task = bar.add_task("", total=None)

            def each(done: int, total: int) -> None:
                bar.update(task, completed=done, total=total)

            found = check_sweep(lab, place, id, everything=everything, each=each)
            if repair:
                from sweeps.checking.mending import mend_sweep

                found = mend_sweep(lab, place, found, everything=everything, each=each)
    if as_json:
        typer.echo(json.dumps([finding.as_dict() for finding in found.findings]))
    else:
        _show(id, found)
    raise typer.Exit(1 if found.left else 0)


def _show(id: str, found: Checked) -> None:
    from services.cli.screen import console

    screen = console()
    for group, name in GROUPS.items():
        of_group = [finding for finding in found.findings if finding.kind.group == group]
        if of_group:
            screen.print(_table(name, of_group[:SHOWN]))
            more = len(of_group) - SHOWN
            screen.print(f"... and {more} more; `--json` has all\n" if more > 0 else "")
    screen.print(_closing(id, found), markup=False, soft_wrap=True)


def _table(name: str, findings: list[Finding]) -> Table:
    from rich.table import Table

    table = Table(
        "where", "code", "what", "must be", "is", "mended", title=name, title_justify="left", box=None,
        header_style="bold", pad_edge=False,
    )  # fmt: skip
    for one in findings:
        if one.lag:
            mended = "lags only"
        elif one.mended:
            mended = f"yes: {one.kind.mend}"
        else:
            mended = f"by --repair: {one.mend}" if one.mend else "cannot be"
        table.add_row(one.where, one.code, one.kind.means, _short(one.wanted), _short(one.found), mended)
    return table


def _short(text: str, most: int = 60) -> str:
    return text if len(text) <= most else f"{text[: most - 4]} ..."


def _closing(id: str, found: Checked) -> str:
    left, mended = found.left, [finding for finding in found.findings if finding.mended]
    can = [finding for finding in left if finding.mend is not None]
    lags = [finding for finding in found.findings if finding.lag]
    said = [f"{len(mended)} mended"] if mended else []
    if left:
        said.append(f"{len(left)} left" if mended else f"{len(left)} found")
        said.append(f"{len(can)} can be mended: `rnnlab sweep check {id} --repair`" if can else "none can be mended")
    elif lags:
        said.append(f"MLflow lags behind the sweep, which runs ({len(lags)} differences, none a fault)")
    else:
        said.append("the lab database and MLflow agree")
    return f"checked {found.counts}: {', '.join(said)}"
