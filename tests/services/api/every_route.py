"""Every route of an app, as the app itself has it: a new one cannot be forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi.routing import APIRoute
from starlette.routing import Mount, Route

PARTS = {
    "{id}": "tiny",
    "{number}": "0",
    "{kind}": "html",
    "{name}": "first",
    "{path:path}": "x",
    "{path}": "style.css",
}


def templates(routes: list[Any]) -> Iterator[tuple[str, str]]:
    """Method and path, with `{id}` and the like in it. A mounted folder is its path and `{path}`.

    Raises:
        AssertionError: there is a route of a kind that no test knows.
    """
    for route in routes:
        router = getattr(route, "original_router", None)
        if router is not None:
            yield from templates(router.routes)
        elif isinstance(route, Mount):
            yield "GET", f"{route.path}/{{path}}"
        else:
            assert isinstance(route, (APIRoute, Route)), route
            for method in sorted(route.methods or ()):
                yield method, route.path


def filled(path: str) -> str:
    """A path of a sweep that is there."""
    for part, value in PARTS.items():
        path = path.replace(part, value)
    assert "{" not in path, f"say in PARTS what stands for a part of {path}"
    return path
