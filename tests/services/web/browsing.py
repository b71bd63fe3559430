"""A service in this process on a port of its own, and what a browser says of its pages."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import uvicorn
from fastapi import FastAPI

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

PATIENCE = 60_000
"""Milliseconds that a page gets: other tests run on the same cores."""


@contextlib.contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """The address at which an app answers."""
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    end = time.monotonic() + 60
    while not server.started:
        assert time.monotonic() < end, "the server did not start"
        time.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(30)


@dataclass
class Opened:
    """A page, and all that went wrong on it: complaints of the console, errors of scripts, failed requests."""

    page: Page
    complaints: list[str] = field(default_factory=list)


def opened(context: BrowserContext, address: str, *, until: str = "load") -> Opened:
    """Go to an address in a new page."""
    found = Opened(context.new_page())
    found.page.set_default_timeout(PATIENCE)
    found.page.on(
        "console",
        lambda said: found.complaints.append(f"{said.type}: {said.text}") if said.type in WORRYING else None,
    )
    found.page.on("pageerror", lambda error: found.complaints.append(f"script: {error}"))
    found.page.on(
        "response",
        lambda answer: found.complaints.append(f"{answer.status} {answer.url}") if answer.status >= 400 else None,
    )
    found.page.goto(address, wait_until=until)  # type: ignore[arg-type]
    return found


WORRYING = ("error", "warning", "trace")
