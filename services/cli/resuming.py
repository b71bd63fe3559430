"""`rnnlab sweep resume` and `rnnlab sweep stop`."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from services.cli import remote
from services.cli.options import (
    CpusOption,
    FailuresOption,
    GpusOption,
    HomeOption,
    JsonOption,
    MemoryOption,
    PatienceOption,
    StackOption,
    SweepArgument,
    WorkersOption,
    home_at,
)
from services.cli.running import AddressOption, drive


def resume(
    id: SweepArgument,
    home: HomeOption = None,
    workers: WorkersOption = None,
    address: AddressOption = None,
    max_failures: FailuresOption = 3,
    mlflow_patience: PatienceOption = None,
    cpus: CpusOption = None,
    gpus: GpusOption = None,
    memory: MemoryOption = None,
    stack: StackOption = None,
    server: remote.ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Go on with a sweep that was stopped, or whose driver died.

    Trials that ended stay; those in flight go on from their last checkpoint, with the numbers they would have had.
    Example: rnnlab sweep resume first
    """
    if server and home is None:
        remote.resume(server, id)
        return
    place = home_at(home, mlflow_patience)
    from sweeps.running.run import resume_sweep

    def go_on(**options: object) -> object:
        return resume_sweep(id, place, **options)  # type: ignore[arg-type]

    resources = {"cpus": cpus, "gpus": gpus, "memory": memory, "stack": stack}
    drive(
        go_on, place, workers=workers, address=address, max_failures=max_failures, resources=resources, as_json=as_json
    )


def stop(
    id: SweepArgument,
    home: HomeOption = None,
    wait: Annotated[float, typer.Option(help="Seconds to wait until it has stopped; 0 only asks.")] = 60.0,
    server: remote.ServerOption = None,
) -> None:
    """Ask a running sweep to stop after its current updates, as Ctrl-C in its own terminal does; it can be resumed.

    Example: rnnlab sweep stop first
    """
    if server and home is None:
        remote.stop(server, id)
        return
    from rnnlab.errors import PlaceError
    from sweeps.store import Lab

    place = home_at(home)
    place.must_exist()
    with Lab.open(place.lab_url) as lab:
        sweep = lab.sweep(id)
        if sweep.status not in ("running", "queued"):
            raise PlaceError(f"sweep {id!r} is not running, it is {sweep.status}; there is nothing to stop")
        lab.request_stop(id)
        typer.echo(f"asked {id} to stop after its current updates")
        until = time.monotonic() + wait
        while time.monotonic() < until:
            sweep = lab.sweep(id)
            if sweep.status != "running":
                typer.echo(f"{id} is {sweep.status}; `rnnlab sweep resume {id}` goes on")
                return
            time.sleep(0.5)
    if wait:
        raise PlaceError(f"sweep {id!r} was asked to stop, but still runs after {wait:g} s; `rnnlab sweep show {id}`")
