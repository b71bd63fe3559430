"""Routes of sweeps: launch, check, list, show, stop, resume, delete; report, log and events."""

from __future__ import annotations

import asyncio
import json
import shutil
import uuid
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, PlainTextResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent

from rnnlab.errors import SpecError
from services.api.errors import RESPONSES, Refused
from services.api.launching import asked, checked, spec_of
from services.api.models import Checked, EventSeen, Launch, Page, SweepSeen, Wanted
from services.api.planning import planned
from services.api.security import Here, Launcher, Viewer, own
from services.api.seeing import event_seen, sweep_seen, sweeps_seen
from services.jobs.engine import EngineAway
from sweeps.store import SweepStatus
from sweeps.store.paging import Paging

router = APIRouter(prefix="/api/sweeps", tags=["sweeps"], responses=RESPONSES)
BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": Launch.model_json_schema()},
            "application/yaml": {"schema": {"type": "string"}},
        },
    }
}
REPORTS = {"html": "text/html", "md": "text/markdown", "json": "application/json"}
STORED = "sandbox allow-scripts allow-downloads"
"""A stored page's scripts run, but not as ours: they cannot ask the API with the reader's cookie."""
LOOK_EVERY = 1.0
"""Seconds between two looks for news of a stream."""


@router.post("", status_code=201, openapi_extra=BODY)
async def launch(
    request: Request,
    response: Response,
    service: Here,
    caller: Launcher,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=200, pattern=r"^[\x21-\x7e]+$")] = None,
) -> SweepSeen:
    """Queue a sweep. With an `Idempotency-Key` a repeated launch is the sweep of the first time (status 200)."""
    wanted = await asked(request)

    def make() -> tuple[SweepSeen, bool]:
        spec = spec_of(wanted, service.settings, caller)
        key = f"{caller.name or ''}/{idempotency_key}" if idempotency_key else uuid.uuid4().hex
        sweep, new = service.queue.launch(
            spec.name,
            spec.model_dump(mode="json", exclude_defaults=True),
            spec.content_hash,
            key=key,
            launched_by=caller.name,
            workers=wanted.workers,
            most=min(caller.most_sweeps or service.settings.most_sweeps, service.settings.most_sweeps),
        )
        return sweep_seen(service, sweep.id), new

    seen, new = await run_in_threadpool(make)
    response.status_code = 201 if new else 200
    response.headers["Location"] = f"/api/sweeps/{seen.id}"
    return seen


@router.post("/check", openapi_extra=BODY)
async def check(request: Request, service: Here, caller: Viewer) -> Checked:
    """Say what a spec means, or what is wrong with it; nothing is created."""
    wanted = await asked(request)
    return await run_in_threadpool(lambda: checked(spec_of(wanted, service.settings, caller)))


@router.post("/plan", response_class=PlainTextResponse, openapi_extra=BODY)
async def plan(request: Request, service: Here, caller: Launcher) -> PlainTextResponse:
    """What a spec would run and about what it would cost, as `rnnlab sweep plan` tells it; takes seconds."""
    wanted = await asked(request)
    spec = await run_in_threadpool(lambda: spec_of(wanted, service.settings, caller))
    return PlainTextResponse(await planned(spec, service.home.path))


@router.get("")
def sweeps(
    service: Here,
    caller: Viewer,
    span: Wanted,
    status: SweepStatus | None = None,
    launched_by: Annotated[str | None, Query(max_length=100)] = None,
    text: Annotated[str | None, Query(max_length=100, description="a part of the id or name")] = None,
) -> Page[SweepSeen]:
    """Sweeps, newest first."""
    found, total = Paging(service.queue.engine).sweeps_page(
        status=status, launched_by=launched_by, text=text, offset=span.offset, limit=span.limit
    )
    return Page(items=sweeps_seen(service, found), total=total, offset=span.offset, limit=span.limit)


@router.get("/{id}")
def sweep(service: Here, caller: Viewer, id: str) -> SweepSeen:
    """One sweep, as far as it is."""
    return sweep_seen(service, id)


@router.get("/{id}/spec", response_class=PlainTextResponse)
def spec(service: Here, caller: Viewer, id: str) -> PlainTextResponse:
    """Its spec as YAML."""
    from sweeps.spec import SweepSpec

    return PlainTextResponse(SweepSpec.model_validate(service.queue.sweep(id).spec).to_yaml())


@router.post("/{id}/stop")
def stop(service: Here, caller: Launcher, id: str) -> SweepSeen:
    """Ask it to stop after its current updates; it can be resumed. Of a sweep that has ended nothing changes."""
    found = own(service, caller, id)
    if found.status in ("queued", "running") and not service.queue.stop_waiting(id):
        service.queue.request_stop(id)
        service.queue.event(id, "stop_requested", f"by {caller.name}" if caller.name else "through the service")
    return sweep_seen(service, id)


@router.post("/{id}/resume")
def resume(service: Here, caller: Launcher, id: str) -> SweepSeen:
    """Queue a sweep that was stopped or failed again: what ended stays, what did not goes on."""
    own(service, caller, id)
    service.queue.take_job(id, f"resumed by {caller.name}" if caller.name else "resumed")
    return sweep_seen(service, id)


@router.delete("/{id}", status_code=204)
def delete(service: Here, caller: Launcher, id: str, confirm: Annotated[str, Query(max_length=200)] = "") -> Response:
    """Forget a sweep, its trials and its files; `confirm` must repeat its id. Its MLflow runs stay."""
    own(service, caller, id)
    if confirm != id:
        raise Refused(400, f"this cannot be undone: repeat the id, `?confirm={id}`")
    folder = service.folder(id)
    service.queue.delete(id)
    shutil.rmtree(folder, ignore_errors=True)
    return Response(status_code=204)


@router.get("/{id}/report.{kind}", response_class=FileResponse)
def report(service: Here, caller: Viewer, id: str, kind: str) -> FileResponse:
    """The report as html, md or json; while a sweep runs, as of the last minute or so."""
    if kind not in REPORTS:
        raise Refused(404, f"a report is html, md or json, but got {kind!r}")
    path = service.folder(id) / f"report.{kind}"
    if not path.is_file():
        raise Refused(404, f"sweep {id!r} has no report yet; it comes with the first trials that end")
    return FileResponse(
        path, media_type=REPORTS[kind], headers={"Cache-Control": "no-cache", "Content-Security-Policy": STORED}
    )


@router.get("/{id}/findings")
def findings(service: Here, caller: Viewer, id: str) -> Page[dict[str, Any]]:
    """Its findings as far as it is, strongest first: text, effect, interval, n, caveats."""
    path = service.folder(id) / "report.json"
    found = json.loads(path.read_text())["analysis"]["findings"] if path.is_file() else []
    return Page(items=found, total=len(found), offset=0, limit=max(1, len(found)))


@router.get("/{id}/table")
def table(service: Here, caller: Viewer, id: str) -> Page[dict[str, Any]]:
    """Its table of configurations, a row a trial, as `rnnlab sweep show --json` prints it."""
    from sweeps.report.table import rows_of

    sweep = service.queue.sweep(id)
    rows = rows_of(service.queue.trials(id), service.queue.replicates(id), running=sweep.status == "running")
    return Page(items=[row.as_dict() for row in rows], total=len(rows), offset=0, limit=max(1, len(rows)))


@router.get("/{id}/log", response_class=PlainTextResponse)
def log(service: Here, caller: Launcher, id: str) -> PlainTextResponse:
    """What its job has printed, its last 200,000 characters."""
    found = own(service, caller, id)
    if found.job_id is None:
        return PlainTextResponse("")
    try:
        return PlainTextResponse(service.engine.log(found.job_id)[-200_000:])
    except EngineAway as error:
        raise Refused(503, f"Ray does not answer now: {error}") from None


@router.get("/{id}/events")
def events(
    service: Here, caller: Viewer, id: str, span: Wanted, after: Annotated[int, Query(ge=0, le=2**62)] = 0
) -> Page[EventSeen]:
    """What happened to it, oldest first."""
    found = [event for event in service.queue.events(id) if event.id > after]
    part = found[span.offset : span.offset + span.limit]
    return Page(items=[event_seen(event) for event in part], total=len(found), offset=span.offset, limit=span.limit)


def known(service: Here, caller: Viewer, id: str) -> str:
    """The id of a sweep that there is: once a stream has begun, no status can tell of one that is not."""
    return service.queue.sweep(id).id


@router.get("/{id}/stream", response_class=EventSourceResponse)
async def stream(
    service: Here,
    caller: Viewer,
    id: Annotated[str, Depends(known)],
    last_event_id: Annotated[str | None, Header(max_length=30)] = None,
) -> AsyncIterator[ServerSentEvent]:
    """Its events and, as `sweep`, its state whenever that changes; ends when the sweep has ended.

    Goes on after `Last-Event-ID` where a browser connects again; ends, too, when the sweep is deleted.
    """
    pages = Paging(service.queue.engine)
    after = int(last_event_id) if last_event_id and last_event_id.isdecimal() else 0
    before: SweepSeen | None = None
    while True:
        try:
            news = await run_in_threadpool(pages.events_after, id, after)
            now = await run_in_threadpool(sweep_seen, service, id)
        except SpecError:
            return
        for event in news:
            after = event.id
            seen = event_seen(event)
            yield ServerSentEvent(data=seen.model_dump(mode="json"), event="event", id=str(event.id))
        if before is None or _told(now) != _told(before):
            before = now
            yield ServerSentEvent(data=now.model_dump(mode="json"), event="sweep")
        if now.status in ("finished", "failed", "stopped") and not now.lost:
            if not news:
                return
            continue  # its last events may have come between the two looks
        await asyncio.sleep(LOOK_EVERY)


def _told(seen: SweepSeen) -> SweepSeen:
    return seen.model_copy(update={"seconds": None, "eta_seconds": None})
