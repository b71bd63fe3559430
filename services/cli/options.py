"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sweeps.home import Home

HomeOption = Annotated[
    Path | None,
    typer.Option("--home", help="Folder of stores and files (or RNNLAB_HOME; default ./rnnlab-home)."),
]
SweepArgument = Annotated[str, typer.Argument(metavar="ID", help="Of the sweep; `rnnlab sweep list` knows them.")]
WorkersOption = Annotated[
    int | None, typer.Option(min=1, help="Trials at a time (default: as many as there is room for).")
]
FailuresOption = Annotated[
    int, typer.Option("--max-failures", min=0, help="Times a trial is taken up again after its worker died.")
]
CpusOption = Annotated[
    int | None, typer.Option("--cpus-per-trial", min=1, help="Processors of a trial, and its threads (spec: 1).")
]
GpusOption = Annotated[
    float | None,
    typer.Option("--gpus-per-trial", min=0, help="GPUs, or a fraction of one, that a trial trains on (spec: 0)."),
]
StackOption = Annotated[
    int | None,
    typer.Option("--stack", min=1, help="Trials of one shape that share a process, and its GPU, as lanes (spec: 1)."),
]
MemoryOption = Annotated[
    str | None,
    typer.Option("--memory-per-trial", metavar="SIZE", help="Memory that a trial reserves and is held to, as 2GB."),
]
QuickOption = Annotated[bool, typer.Option("--quick", help="A claim's recipe in seconds, to see that it runs.")]
NightlyOption = Annotated[
    bool, typer.Option("--nightly", help="A claim's recipe nearer to its paper, for a night or a cluster.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON array instead of a table.")]


PatienceOption = Annotated[
    float | None,
    typer.Option(
        "--mlflow-patience",
        min=0,
        metavar="SECONDS",
        help="Without progress, to wait for MLflow at the end (or RNNLAB_MLFLOW_PATIENCE; default 600).",
    ),
]


def home_at(path: Path | None, mlflow_patience: float | None = None) -> Home:
    """The home that an option, the environment or the default names."""
    from services.settings import Settings
    from sweeps.home import Home

    settings = Settings()
    patience = settings.mlflow_patience if mlflow_patience is None else mlflow_patience
    return Home(path or settings.home, settings.lab, settings.mlflow, settings.database_patience, patience)
