"""A small typed client of the service: what the command line and notebooks use."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx2 as httpx
from pydantic import BaseModel

from rnnlab.errors import PlaceError, RnnlabError, SpecError
from services.api.models import Checked, CurvesSeen, EventSeen, Page, SweepSeen, TableLine, TrialSeen, Version

M = TypeVar("M", bound=BaseModel)
KINDS: dict[int, type[RnnlabError]] = {404: SpecError, 422: SpecError, 400: SpecError, 413: SpecError}
"""What a refusal is here; every other one is a PlaceError."""
AGAIN_AFTER = 2.0
"""Seconds before a stream that broke is opened again."""


class Client:
    """Talks to a service.

    Args:
        server: its address, `http://127.0.0.1:8000`. token: from `rnnlab token make`; None where none is needed.
        timeout: seconds for an answer.

    Every method raises SpecError or PlaceError with the service's own sentence where it refuses, and PlaceError where
    it does not answer.
    """

    def __init__(self, server: str, token: str | None = None, timeout: float = 30.0) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.server = server.rstrip("/")
        if not self.server.startswith(("http://", "https://")):
            raise PlaceError(f"a server is an address as http://127.0.0.1:8000, but got {server!r}")
        self._http = httpx.Client(base_url=self.server, headers=headers, timeout=timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def launch(
        self,
        spec: str | dict[str, Any] | None = None,
        *,
        recipe: str | None = None,
        workers: int | None = None,
        key: str | None = None,
    ) -> SweepSeen:
        """Queue a sweep from a spec (YAML text or a mapping) or a recipe; with a `key`, once however often asked."""
        body = _launch(spec, recipe) | ({"workers": workers} if workers else {})
        headers = {"Idempotency-Key": key} if key else {}
        return self._get(SweepSeen, "POST", "/api/sweeps", json=body, headers=headers)

    def check(self, spec: str | dict[str, Any] | None = None, *, recipe: str | None = None) -> Checked:
        """What a spec means; nothing is created."""
        return self._get(Checked, "POST", "/api/sweeps/check", json=_launch(spec, recipe))

    def sweeps(self, **filters: Any) -> Page[SweepSeen]:
        """Sweeps, newest first. Filters: status, launched_by, text, offset, limit."""
        return self._get(Page[SweepSeen], "GET", "/api/sweeps", params=filters)

    def sweep(self, id: str) -> SweepSeen:
        """One sweep, as far as it is."""
        return self._get(SweepSeen, "GET", f"/api/sweeps/{_part(id)}")

    def stop(self, id: str) -> SweepSeen:
        """Ask it to stop after its current updates."""
        return self._get(SweepSeen, "POST", f"/api/sweeps/{_part(id)}/stop")

    def resume(self, id: str) -> SweepSeen:
        """Queue it again."""
        return self._get(SweepSeen, "POST", f"/api/sweeps/{_part(id)}/resume")

    def delete(self, id: str) -> None:
        """Forget it, its trials and its files, for ever."""
        self._ask("DELETE", f"/api/sweeps/{_part(id)}", params={"confirm": id})

    def trials(self, id: str, **filters: Any) -> Page[TrialSeen]:
        """Its trials. Filters: state, verdict, sort, descending, offset, limit."""
        return self._get(Page[TrialSeen], "GET", f"/api/sweeps/{_part(id)}/trials", params=filters)

    def trial(self, id: str, number: int) -> TrialSeen:
        """One trial."""
        return self._get(TrialSeen, "GET", f"/api/sweeps/{_part(id)}/trials/{number}")

    def curves(self, id: str, number: int, **which: Any) -> CurvesSeen:
        """Curves of a trial. Which: name, replicate."""
        return self._get(CurvesSeen, "GET", f"/api/sweeps/{_part(id)}/trials/{number}/curves", params=which)

    def events(self, id: str, after: int = 0) -> list[EventSeen]:
        """What happened to it since the event `after`."""
        path, params = f"/api/sweeps/{_part(id)}/events", {"after": after, "limit": 500}
        return self._get(Page[EventSeen], "GET", path, params=params).items

    def report(self, id: str, kind: str = "md") -> bytes:
        """Its report as html, md or json."""
        return self._ask("GET", f"/api/sweeps/{_part(id)}/report.{_part(kind)}").content

    def rows(self, id: str) -> list[dict[str, Any]]:
        """Its table of configurations, as `rnnlab sweep show --json` prints it."""
        found: list[dict[str, Any]] = self._ask("GET", f"/api/sweeps/{_part(id)}/table").json()["items"]
        return found

    def findings(self, id: str) -> list[dict[str, Any]]:
        """Its findings so far, strongest first; none before its first report."""
        found: list[dict[str, Any]] = self._ask("GET", f"/api/sweeps/{_part(id)}/findings").json()["items"]
        return found

    def log(self, id: str) -> str:
        """What its job has printed."""
        return self._ask("GET", f"/api/sweeps/{_part(id)}/log").text

    def table(self, kind: str) -> list[TableLine]:
        """What a spec may choose from: cells, inits, clips, ..., recipes."""
        return self._get(Page[TableLine], "GET", f"/api/tables/{_part(kind)}").items

    def version(self) -> Version:
        """What runs there."""
        return self._get(Version, "GET", "/api/version")

    def watch(self, id: str) -> Iterator[SweepSeen | EventSeen]:
        """Its events and its state whenever that changes, until it has ended; goes on after the service was away."""
        last: str | None = None
        while True:
            headers = {"Last-Event-ID": last} if last else {}
            try:
                path = f"/api/sweeps/{_part(id)}/stream"
                with self._http.stream("GET", path, headers=headers, timeout=httpx.Timeout(30, read=None)) as answer:
                    if answer.status_code in (502, 503):
                        raise httpx.ReadError(f"status {answer.status_code}")
                    if answer.is_error:
                        answer.read()
                        raise _refusal(answer)
                    for kind, number, data in _events(answer.iter_lines()):
                        last = number or last
                        yield (SweepSeen if kind == "sweep" else EventSeen).model_validate(data)
                    return
            except httpx.TransportError:
                time.sleep(AGAIN_AFTER)

    def _get(self, kind: type[M], method: str, path: str, **options: Any) -> M:
        return kind.model_validate(self._ask(method, path, **options).json())

    def _ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            answer = self._http.request(method, path, **options)
        except httpx.HTTPError as error:
            raise PlaceError(
                f"no rnnlab service answers at {self.server} ({type(error).__name__}: {error}); start one with "
                "`rnnlab serve`, or name the right one with --server or RNNLAB_SERVER"
            ) from None
        if answer.is_error:
            raise _refusal(answer)
        return answer


def _launch(spec: str | dict[str, Any] | None, recipe: str | None) -> dict[str, Any]:
    if recipe is not None:
        return {"recipe": recipe}
    return {"yaml": spec} if isinstance(spec, str) else {"spec": spec}


def _part(text: str) -> str:
    return quote(text, safe="")


def _refusal(answer: httpx.Response) -> RnnlabError:
    try:
        detail = str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        detail = f"status {answer.status_code}, and no rnnlab service's words: is this the right address?"
    if answer.status_code == 401:
        detail = f"{detail} (set RNNLAB_TOKEN)"
    return KINDS.get(answer.status_code, PlaceError)(detail)


def _events(lines: Iterator[str]) -> Iterator[tuple[str, str | None, Any]]:
    """Server-sent events: kind, id, data."""
    kind, number = "message", None
    data: list[str] = []
    for line in lines:
        if not line:
            if data:
                yield kind, number, json.loads("\n".join(data))
            kind, number, data = "message", None, []
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            kind = value
        elif name == "id":
            number = value
        elif name == "data":
            data.append(value)
