"""`rnnlab sweep record`: what a sweep could not send to MLflow is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from services.cli.options import HomeOption, PatienceOption, SweepArgument, home_at

if TYPE_CHECKING:
    from sweeps.recording.actor import RecorderStatus


def record(id: SweepArgument, home: HomeOption = None, mlflow_patience: PatienceOption = None) -> None:
    """Send to MLflow what waits on disk of a sweep that has ended, since MLflow was away; trains nothing.

    Example: rnnlab sweep record first
    """
    from rnnlab.errors import PlaceError
    from services.cli.screen import console
    from sweeps.running.catching_up import record_sweep

    screen, said = console(stderr=True), ""

    def seen(status: RecorderStatus, notice: str) -> None:
        nonlocal said
        if notice and notice != said:
            screen.print(notice, markup=False, soft_wrap=True)
        said = notice

    last = record_sweep(id, home_at(home, mlflow_patience), seen)
    if last is None:
        typer.echo(f"nothing of {id} waits: MLflow has all of it")
        return
    if not last.settled:
        raise PlaceError(f"{last.lag.words()}; try `rnnlab sweep record {id}` again when MLflow is back")
    typer.echo("; ".join([f"MLflow has all of {id}: {last.points} points sent", *last.lag.lost]))
