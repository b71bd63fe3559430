"""Routes about the service itself: recipes, tables, health, version, metrics."""

from __future__ import annotations

import platform
from importlib.metadata import version as version_of
from typing import Annotated, Any

import httpx2 as httpx
from fastapi import APIRouter, Path
from fastapi.responses import PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest

from rnnlab.choices import Table, choose
from rnnlab.errors import RnnlabError
from services.api.errors import RESPONSES, Refused
from services.api.models import Health, Page, TableLine, Version
from services.api.security import Here, Viewer
from services.api.service import Service
from sweeps.recipes import RECIPES

router = APIRouter(prefix="/api", tags=["about"])
PACKAGES = ("torch", "ray", "optuna", "mlflow", "sqlalchemy", "fastapi")
STATUSES = ("queued", "running", "stopped", "failed", "finished")


def tables() -> dict[str, Table]:
    """Every table of alternatives that a spec chooses from."""
    from rnnlab.activations import ACTIVATIONS
    from rnnlab.between import BETWEEN
    from rnnlab.cells import CELLS
    from rnnlab.clipping import CLIPS
    from rnnlab.inits import INITS
    from rnnlab.probes import PROBES
    from rnnlab.regularisers import REGULARISERS
    from rnnlab.tasks import TASKS
    from sweeps.search import PRUNERS, SAMPLERS

    return {
        "cells": CELLS, "activations": ACTIVATIONS, "inits": INITS, "clips": CLIPS, "tasks": TASKS,
        "between": BETWEEN, "regularisers": REGULARISERS,
        "probes": PROBES, "samplers": SAMPLERS, "pruners": PRUNERS, "recipes": RECIPES,
    }  # fmt: skip


@router.get("/tables/{kind}", responses=RESPONSES)
def table(caller: Viewer, kind: Annotated[str, Path(max_length=50)]) -> Page[TableLine]:
    """What a spec may choose from: cells, activations, inits, clips, tasks, between, regularisers, probes,
    samplers, pruners, recipes."""
    known = tables()
    if kind not in known:
        raise Refused(404, f"there is no table {kind!r} (tables: {', '.join(known)})")
    lines = [
        TableLine(name=name, summary=line.summary, source=line.source, options=list(line.options),
                  cells=None if line.cells is None else list(line.cells))
        for name, line in known[kind].items()
    ]  # fmt: skip
    return Page(items=lines, total=len(lines), offset=0, limit=len(lines))


@router.get("/recipes/{name}", response_class=PlainTextResponse, responses=RESPONSES)
def recipe(caller: Viewer, name: Annotated[str, Path(max_length=100)]) -> PlainTextResponse:
    """A recipe's spec as YAML, to start from."""
    if name not in RECIPES:
        raise Refused(404, f"there is no recipe {name!r} (recipes: {', '.join(RECIPES)})")
    return PlainTextResponse(choose(RECIPES, name).load()().to_yaml())


@router.get("/version", responses=RESPONSES)
def version(caller: Viewer) -> Version:
    """What runs here."""
    return Version(
        rnnlab=version_of("rnnlab"),
        python=platform.python_version(),
        packages={name: version_of(name) for name in PACKAGES},
    )


@router.get("/health")
def health() -> dict[str, str]:
    """The process answers; needs no token and looks at nothing else."""
    return {"status": "ok"}


@router.get("/ready", responses={503: {"model": Health}})
def ready(service: Here, response: Response) -> Health:
    """Whether sweeps can be launched and seen: the lab database, Ray and MLflow answer. Needs no token."""
    lab = _tried(lambda: service.queue.now())
    engine = "ok" if service.foreman.away is None else "away"
    mlflow = _tried(lambda: _mlflow(service))
    good = lab == engine == mlflow == "ok"
    response.status_code = 200 if good else 503
    return Health(status="ok" if good else "degraded", lab=lab, engine=engine, mlflow=mlflow)


@router.get("/metrics", response_class=PlainTextResponse, responses=RESPONSES)
def metrics(service: Here, caller: Viewer) -> Response:
    """Gauges for Prometheus."""
    registry = CollectorRegistry()
    sweeps = Gauge("rnnlab_sweeps", "Sweeps by status", ["status"], registry=registry)
    found = service.queue.sweeps()
    for status in STATUSES:
        sweeps.labels(status).set(sum(sweep.status == status for sweep in found))
    waiting = Gauge("rnnlab_queue_length", "Launched sweeps that wait for a job", registry=registry)
    waiting.set(len(service.queue.waiting()))
    from sweeps.store.paging import Paging

    counts = Paging(service.queue.engine).counts_of([sweep.id for sweep in found if sweep.status == "running"])
    trials = Gauge("rnnlab_running_sweep_trials", "Trials of sweeps that run, by state", ["state"], registry=registry)
    for state in ("running", "complete", "pruned", "interrupted", "failed"):
        trials.labels(state).set(sum(one.by_state.get(state, 0) for one in counts.values()))
    away = Gauge("rnnlab_engine_away", "1 while Ray or the lab database cannot be asked", registry=registry)
    away.set(service.foreman.away is not None)
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


def _mlflow(service: Service) -> None:
    if service.home.mlflow is not None:  # a call that people's pages make, through the host's name
        url = f"{service.home.mlflow}/api/2.0/mlflow/experiments/search"
        httpx.post(url, json={"max_results": 1}, timeout=5).raise_for_status()


def _tried(part: Any) -> str:
    try:
        part()
    except (RnnlabError, httpx.HTTPError):
        return "away"
    return "ok"
