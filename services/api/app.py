"""The service as one ASGI application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

import httpx2 as httpx
from fastapi import FastAPI, Request, Response
from starlette.middleware.base import RequestResponseEndpoint

from services.api import about, dashboard, errors, sweeps, trials
from services.api.service import Service
from services.web import login, pages

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
}


def create_app(service: Service) -> FastAPI:
    """The API over a service's stores and jobs."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with httpx.AsyncClient(timeout=httpx.Timeout(60, connect=5), follow_redirects=False) as http:
            app.state.http = http
            yield

    app = FastAPI(
        lifespan=lifespan,
        title="rnnlab",
        version=version("rnnlab"),
        description="Launch sweeps over recurrent networks, and see which mitigation keeps gradients alive.",
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # they would lead to whatever host the request names
        max_body_size=service.settings.most_body,
    )
    app.state.service = service
    errors.install(app)

    @app.middleware("http")
    async def headers(request: Request, call_next: RequestResponseEndpoint) -> Response:
        if "\0" in request.url.path or b"%00" in request.scope.get("query_string", b""):  # PostgreSQL has no such text
            response: Response = errors.problem(400, "an address here has no NUL character")
        else:
            response = await call_next(request)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    for part in (sweeps, trials, about, dashboard, login, pages):
        app.include_router(part.router)
    app.mount("/static", pages.static)
    return app
