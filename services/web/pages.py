"""The pages: sweeps, one sweep, one trial, the launch form. They show what the API gives, as it gives it."""

from __future__ import annotations

import gzip
import json
from functools import lru_cache
from typing import Annotated, Any, Literal, get_args

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, Response
from fastapi.staticfiles import StaticFiles

from rnnlab.spec import VerdictSpec
from rnnlab.tasks import TASKS
from services.api.models import SweepSeen, Verdict
from services.api.security import Here, Launcher, Viewer
from services.api.seeing import event_seen, sweep_seen, sweeps_seen, trial_seen
from services.api.service import Service
from services.web.configurations import configurations
from services.web.rendering import HERE, render
from sweeps.recipes import RECIPES
from sweeps.recipes import recipe as recipe_of
from sweeps.store import TrialState
from sweeps.store.paging import Paging, SortKey

router = APIRouter(include_in_schema=False)
static = StaticFiles(directory=HERE / "static")
PER_PAGE = 25
PANELS = 12
"""Configurations that a sweep's page shows with their curves."""
ROWS = 30
"""Configurations that it lists; the report and the API have all."""
FINDINGS = 6
"""Findings that it shows; the report has all."""


@router.get("/", response_class=HTMLResponse)
def sweeps(
    request: Request,
    service: Here,
    caller: Viewer,
    page: Annotated[int, Query(ge=1, le=100_000)] = 1,
    text: Annotated[str, Query(max_length=100)] = "",
) -> HTMLResponse:
    """Sweeps with their progress, newest first."""
    found, total = Paging(service.queue.engine).sweeps_page(
        status=None, launched_by=None, text=text or None, offset=(page - 1) * PER_PAGE, limit=PER_PAGE
    )
    return render(
        request, "sweeps.html", caller, sweeps=sweeps_seen(service, found), total=total, page=page, text=text,
        pages=max(1, -(-total // PER_PAGE)),
    )  # fmt: skip


@router.get("/sweeps/{id}", response_class=HTMLResponse)
def sweep(request: Request, service: Here, caller: Viewer, id: str) -> HTMLResponse:
    """One sweep: progress, verdicts, best configurations, gradients, findings so far."""
    return render(request, "sweep.html", caller, charts=True, **_sweep(service, id, caller))


@router.get("/sweeps/{id}/now", response_class=HTMLResponse)
def now(request: Request, service: Here, caller: Viewer, id: str) -> HTMLResponse:
    """The part of a sweep's page that changes; its script puts it in."""
    return render(request, "now.html", caller, **_sweep(service, id, caller))


@router.get("/sweeps/{id}/trials", response_class=HTMLResponse)
def trials(
    request: Request,
    service: Here,
    caller: Viewer,
    id: str,
    verdict: Verdict | Literal[""] = "",
    state: TrialState | Literal[""] = "",
    sort: SortKey = "number",
    page: Annotated[int, Query(ge=1, le=100_000)] = 1,
) -> HTMLResponse:
    """The trials of a sweep, those of one verdict or state if asked."""
    record = service.queue.sweep(id)
    found, total = Paging(service.queue.engine).trials_page(
        id, state=state or None, verdict=verdict or None, sort=sort, offset=(page - 1) * PER_PAGE, limit=PER_PAGE
    )
    return render(
        request, "trials.html", caller, sweep=record, trials=[trial_seen(service, record, one) for one in found],
        total=total, page=page, pages=max(1, -(-total // PER_PAGE)), verdict=verdict, state=state, sort=sort,
        choices={"verdict": get_args(Verdict), "state": get_args(TrialState), "sort": get_args(SortKey)},
    )  # fmt: skip


@router.get("/sweeps/{id}/trials/{number}", response_class=HTMLResponse)
def trial(request: Request, service: Here, caller: Viewer, id: str, number: int) -> HTMLResponse:
    """One trial: loss by timestep, gradient curves, a heatmap with a slider over updates."""
    from services.api.trials import trial as one

    found = one(service, caller, id, number)
    unit = _unit(service.queue.sweep(id).spec["task"]["kind"])
    return render(
        request,
        "trial.html",
        caller,
        charts=True,
        sweep=sweep_seen(service, id),
        trial=found,
        unit=unit,
    )


@router.get("/launch", response_class=HTMLResponse)
def launch(
    request: Request, service: Here, caller: Launcher, recipe: Annotated[str, Query(max_length=100)] = "first"
) -> HTMLResponse:
    """A recipe's YAML to edit, checked while one types, its plan and cost, and the button that launches it."""
    name = recipe if recipe in RECIPES else "first"
    recipes = {one: line.summary for one, line in RECIPES.items()}
    return render(request, "launch.html", caller, recipes=recipes, chosen=name, yaml=_recipe(name))


@router.get("/static/plotly.js")
def plotly(request: Request) -> Response:
    """The drawing library, from the package that we depend on anyway; as gzip it has a third of its bytes."""
    headers = {"Cache-Control": "public, max-age=86400", "Vary": "Accept-Encoding"}
    small = "gzip" in request.headers.get("accept-encoding", "")
    headers |= {"Content-Encoding": "gzip"} if small else {}
    return Response(_plotly_small() if small else _plotly(), media_type="text/javascript", headers=headers)


def _sweep(service: Service, id: str, caller: Any) -> dict[str, Any]:
    record = service.queue.sweep(id)
    seen: SweepSeen = sweep_seen(service, id)
    spec = record.spec  # as it stands there: to make a spec of it, its whole design, takes a second
    found = configurations(service.queue.lines(id), spec["search"].get("nuisance", []))
    verdict = VerdictSpec.model_validate(spec.get("probe", {}).get("verdict", {}))
    running, _ = Paging(service.queue.engine).trials_page(id, state="running", limit=PANELS)
    return {
        "sweep": seen,
        "found": found[:ROWS],
        "all": len(found),
        "panels": [{"trial": one.shown, "label": one.label} for one in found[:PANELS]],
        "limit": verdict.decades,
        "running": [trial_seen(service, record, one) for one in running] if record.status == "running" else [],
        "events": [event_seen(event) for event in service.queue.events(id)[-8:][::-1]],
        "findings": _findings(service, id),
        "report": (service.home.sweep_folder(id) / "report.html").is_file(),
        "mine": caller.may_change(record),
    }


def _findings(service: Service, id: str) -> list[dict[str, Any]]:
    """The strongest findings of the report, as far as there is one."""
    path = service.home.sweep_folder(id) / "report.json"
    try:
        found = json.loads(path.read_text())["analysis"]["findings"]
    except (OSError, ValueError, KeyError):
        return []
    return list(found[:FINDINGS])


@lru_cache
def _unit(kind: str) -> str:
    """Of a task's loss; nothing where its kind alone does not say."""
    from sweeps.report.curve_lines import UNITS

    line = TASKS.get(kind)
    return UNITS.get(getattr(line.load(), "objective", ""), "") if line else ""


@lru_cache
def _recipe(name: str) -> str:
    return recipe_of(name).to_yaml()


@lru_cache(maxsize=1)
def _plotly() -> bytes:
    from plotly.offline import get_plotlyjs  # type: ignore[import-untyped]

    return str(get_plotlyjs()).encode()


@lru_cache(maxsize=1)
def _plotly_small() -> bytes:
    return gzip.compress(_plotly())
