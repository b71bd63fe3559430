"""One shape for every error: RFC 9457's `application/problem+json`."""

from __future__ import annotations

from urllib.parse import quote

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from rnnlab.errors import DataError, PlaceError, RnnlabError, SpecError
from sweeps.store.retrying import DatabaseAway

log = structlog.get_logger()
TITLES = {
    400: "bad request",
    401: "no token, or one that is not valid",
    403: "not allowed",
    404: "not found",
    405: "no such method here",
    409: "conflict",
    413: "too large",
    415: "no such media type here",
    422: "not a valid spec or value",
    429: "quota used up",
    500: "a bug of ours",
    502: "a server behind this one fails",
    503: "away",
}


class Problem(BaseModel):
    """What went wrong, for people (`detail`) and for programs (`status`, `where`)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    where: list[str] = Field(default=[], description="what in the request is meant, as paths: `search.trials`")


class Refused(HTTPException):
    """A request that is refused with a sentence."""

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(status, detail, headers)


def problem(
    status: int, detail: str, where: list[str] | None = None, headers: dict[str, str] | None = None
) -> JSONResponse:
    """The answer that tells a problem."""
    told = Problem(title=TITLES.get(status, "error"), status=status, detail=detail, where=where or [])
    return JSONResponse(told.model_dump(), status, headers, "application/problem+json")


def told(
    request: Request,
    status: int,
    detail: str,
    where: list[str] | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    """A problem as whoever asks reads it: a browser that wanted a page as one, everything else as the one shape."""
    if not wants_page(request):
        return problem(status, detail, where, headers)
    from services.web.rendering import render

    page = render(request, "problem.html", status=status, title=TITLES.get(status, "error"), detail=detail)
    page.status_code = status
    page.headers.update(headers or {})
    return page


def status_of(error: RnnlabError) -> int:
    """The status that a user's mistake has."""
    if isinstance(error, DatabaseAway):
        return 503
    if isinstance(error, SpecError) and str(error).startswith("there is no "):
        return 404
    return 409 if isinstance(error, PlaceError) else 422


def install(app: FastAPI) -> None:
    """Give an app the one shape of errors."""

    @app.exception_handler(RnnlabError)
    def mistake(request: Request, error: RnnlabError) -> Response:
        assert isinstance(error, SpecError | DataError | PlaceError)
        return told(request, status_of(error), str(error))

    @app.exception_handler(HTTPException)
    def refused(request: Request, error: HTTPException) -> Response:
        if error.status_code == 401 and wants_page(request):
            return to_login(request)
        return told(request, error.status_code, str(error.detail), headers=dict(error.headers or {}))

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> Response:
        # without the input itself: it may be a secret that was put in the wrong place
        found = [(".".join(str(part) for part in item["loc"]), item["msg"]) for item in error.errors()]
        detail = "; ".join(f"{where}: {said}" for where, said in found)
        return told(request, 422, detail, [where for where, _ in found])

    @app.exception_handler(Exception)
    def bug(request: Request, error: Exception) -> Response:
        log.error("unexpected", path=request.url.path, exc_info=error)
        return told(request, 500, "something broke on our side; the service's log says what")


def wants_page(request: Request) -> bool:
    """Whether a browser asks for a page, rather than a program for data."""
    return not request.url.path.startswith("/api/") and "text/html" in request.headers.get("accept", "")


def to_login(request: Request) -> Response:
    """Send a browser that is not logged in to the login page, and back afterwards."""
    return RedirectResponse(f"/login?next={quote(request.url.path)}", 303)


RESPONSES: dict[int | str, dict[str, object]] = {
    status: {"model": Problem, "description": TITLES[status], "content": {"application/problem+json": {}}}
    for status in (400, 401, 403, 404, 409, 413, 422, 429, 503)
}
"""What every route may answer beside its own, for OpenAPI."""
