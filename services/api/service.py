"""What all routes share: the stores, the jobs and the settings of one running service."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fastapi import Request

from services.jobs.engine import JobEngine
from services.jobs.foreman import Foreman
from services.settings import ServiceSettings
from sweeps.home import Home
from sweeps.store.queue import Queue
from sweeps.store.tokens import Tokens


@dataclass(frozen=True)
class Service:
    """One running service.

    Args:
        settings: of the service. home: where stores and files lie. queue: the lab database.
        engine: runs drivers. foreman: follows them. guarded: whether requests need a token.
    """

    settings: ServiceSettings
    home: Home
    queue: Queue
    engine: JobEngine
    foreman: Foreman
    guarded: bool

    @property
    def tokens(self) -> Tokens:
        """The tokens of this lab."""
        return Tokens(self.queue.engine)

    def folder(self, sweep_id: str) -> Path:
        """Files of one sweep; the sweep must be known, so that an id never is a path."""
        self.queue.sweep(sweep_id)
        return self.home.sweep_folder(sweep_id)


def service_of(request: Request) -> Service:
    """The service that answers a request."""
    found: Service = request.app.state.service
    return found
