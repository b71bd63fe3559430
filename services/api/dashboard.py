"""MLflow behind the service: one way in, one login. Whoever may look at sweeps may look at their runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

import httpx2 as httpx
from fastapi import APIRouter, Depends, Request
from fastapi.responses import StreamingResponse
from starlette.background import BackgroundTask

from services.api.errors import Refused
from services.api.security import Caller, Here, caller_of

router = APIRouter(include_in_schema=False)
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
ASKING = ("/search", "/graphql", "/get-history-bulk", "/get-history-bulk-interval", "/search-datasets", "/batch-get")
"""Ends of paths to which MLflow's pages POST in order to read."""
OF_THE_HOP = {
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding",
    "upgrade", "content-length", "host",
}  # fmt: skip
"""Headers that are about one connection."""
PASSED_ON = {"accept", "accept-encoding", "accept-language", "content-type", "content-length", "content-encoding",
             "if-none-match", "if-modified-since", "range", "user-agent", "x-requested-with"}  # fmt: skip
"""Headers of a request that MLflow sees: none that has our tokens, or says whose or where from it is."""
UNTRUSTED = "sandbox allow-scripts allow-downloads allow-popups"
"""For pages that a sweep or a person stored: their scripts run, but not as ours."""


@router.api_route("/mlflow", methods=METHODS)
@router.api_route("/mlflow/{path:path}", methods=METHODS)
async def mlflow(
    request: Request, service: Here, caller: Annotated[Caller, Depends(caller_of)], path: str = ""
) -> StreamingResponse:
    """Hand a request on to MLflow and its answer back, piece by piece."""
    if service.home.mlflow is None:
        raise Refused(404, "this service has no MLflow server behind it")
    reads = request.method in ("GET", "HEAD") or request.url.path.endswith(ASKING)
    if not reads and not caller.may("launcher"):
        raise Refused(403, f"a {caller.role} may look at runs, but not change them")
    # as the client wrote it: decoded and encoded again, an escaped slash would be another path
    raw = request.scope.get("raw_path", request.url.path.encode()).partition(b"?")[0]
    if b".." in raw or b"%2e" in raw.lower():
        raise Refused(400, "a path here has no `..`")
    root = httpx.URL(service.home.mlflow)
    query = request.scope.get("query_string", b"")
    target = root.copy_with(raw_path=raw + (b"?" + query if query else b""))
    headers = [(name, value) for name, value in request.headers.items() if name in PASSED_ON]
    client: httpx.AsyncClient = request.app.state.http
    body = None if request.method in ("GET", "HEAD") else request.stream()
    try:
        answer = await client.send(
            client.build_request(request.method, target, headers=headers, content=body), stream=True
        )
    except httpx.HTTPError as error:
        raise Refused(502, f"MLflow does not answer now: {type(error).__name__}") from None
    kept = {name: value for name, value in answer.headers.items() if name not in OF_THE_HOP | {"set-cookie", "server"}}
    kept["x-frame-options"] = "SAMEORIGIN"
    if "artifact" in path:
        kept["content-security-policy"] = UNTRUSTED
    return StreamingResponse(_parts(answer), answer.status_code, kept, background=BackgroundTask(answer.aclose))


async def _parts(answer: httpx.Response) -> AsyncIterator[bytes]:
    async for part in answer.aiter_raw():
        yield part
