"""`rnnlab ui`: the MLflow dashboard on this home."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from services.cli.options import HomeOption, home_at


def ui(
    home: HomeOption = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 5000,
    host: Annotated[str, typer.Option(help="Address to listen on; loopback unless you know why.")] = "127.0.0.1",
) -> None:
    """Open the MLflow dashboard on the sweeps of this home; Ctrl-C ends it."""
    place = home_at(home)
    if place.mlflow:
        typer.echo(f"MLflow on {place.mlflow}, which runs already (RNNLAB_MLFLOW)")
        return
    place.must_exist()
    typer.echo(f"MLflow on http://{host}:{port} (home {place.path}); Ctrl-C ends it")
    sys.stdout.flush()
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
    command = [
        sys.executable, "-m", "mlflow", "server", "--backend-store-uri", place.mlflow_uri,
        "--default-artifact-root", place.artifacts.as_uri(), "--host", host, "--port", str(port), "--workers", "1",
    ]  # fmt: skip
    os.execv(sys.executable, command)
