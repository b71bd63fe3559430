"""`rnnlab serve`: the REST API and the pages."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.options import HomeOption

if TYPE_CHECKING:
    from services.settings import ServiceSettings
    from sweeps.home import Home


def serve(
    home: HomeOption = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on (or RNNLAB_HOST; default 127.0.0.1).")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port to listen on (or RNNLAB_PORT; default 8000).")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="CPUs that trials may use (default: all).")] = None,
) -> None:
    """Serve the REST API and the pages; launched sweeps run one after the other. Ctrl-C ends it, sweeps go on later.

    Starts a Ray and an MLflow server here unless RNNLAB_RAY_DASHBOARD and RNNLAB_MLFLOW name others. Whoever can reach
    it from another machine needs a token: `rnnlab token make NAME`.

    Example: rnnlab serve --port 8000, then rnnlab sweep launch first --server http://127.0.0.1:8000
    """
    from services.settings import ServiceSettings
    from sweeps.home import Home

    given = {"home": home, "host": host, "port": port, "workers": workers}
    settings = ServiceSettings(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    run(settings, Home(settings.home, settings.lab, settings.mlflow))


def run(settings: ServiceSettings, home: Home) -> None:
    """Serve until a signal ends it.

    Raises:
        PlaceError: it would be open to others without a token, or a part of it does not start.
    """
    import uvicorn

    from rnnlab.errors import PlaceError
    from services.api.app import create_app
    from services.api.service import Service
    from services.jobs.embedded import free_port, mlflow_here, ray_here
    from services.jobs.foreman import Foreman
    from services.jobs.ray_jobs import RayJobs
    from sweeps.home import Home
    from sweeps.store.queue import Queue
    from sweeps.store.tokens import Tokens

    home.make()
    guarded = settings.tokens == "required" or (settings.tokens == "auto" and not settings.loopback)
    if settings.tokens == "off" and not settings.loopback:
        raise PlaceError(
            f"without tokens the service listens on loopback alone, but got the address {settings.host}; "
            "set RNNLAB_TOKENS=required, or listen on 127.0.0.1"
        )
    with contextlib.ExitStack() as stack:
        queue = stack.enter_context(Queue.open(home.lab_url))
        if guarded and not any(token.revoked_at is None for token in Tokens(queue.engine).all()):
            raise PlaceError(
                f"the service needs a token on {settings.host}, but this lab has none; make one with "
                "`rnnlab token make NAME --role admin`"
            )
        if home.mlflow is None:
            home = Home(home.path, home.lab, stack.enter_context(mlflow_here(home)))
        dashboard = settings.ray_dashboard or stack.enter_context(ray_here(home, settings.workers))
        engine = RayJobs(dashboard, home.path.resolve())
        foreman = Foreman(queue, engine, settings.max_running_sweeps)
        app = create_app(Service(settings, home, queue, engine, foreman, guarded))
        foreman.start()
        stack.callback(foreman.end)
        port = settings.port or free_port()
        typer.echo(f"rnnlab on http://{settings.host}:{port} (home {home.path}); Ctrl-C ends it", err=True)
        uvicorn.run(app, host=settings.host, port=port, log_level="warning", server_header=False, access_log=False)
