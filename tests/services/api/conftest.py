"""A service on a lab of its own, with an engine that starts nothing, and callers of every role."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from jobs import NoJobs

from services.api.app import create_app
from services.api.service import Service
from services.jobs.foreman import Foreman
from services.settings import ServiceSettings
from sweeps.home import Home
from sweeps.store.queue import Queue
from sweeps.store.tokens import Tokens


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    """A new lab."""
    with Queue.open(Home(tmp_path).lab_url) as queue:
        yield queue


@pytest.fixture
def engine() -> NoJobs:
    """An engine whose jobs' states a test sets."""
    return NoJobs()


@pytest.fixture
def open_service(tmp_path: Path, queue: Queue, engine: NoJobs) -> Service:
    """A service without tokens."""
    files = tmp_path / "files"
    files.mkdir()
    settings = ServiceSettings(home=tmp_path, data_folders=[str(files)], most_trials=500, most_sweeps=3)
    return Service(settings, Home(tmp_path), queue, engine, Foreman(queue, engine, 1), guarded=False)


@pytest.fixture
def client(open_service: Service) -> Iterator[TestClient]:
    """A caller of a service without tokens."""
    app = create_app(open_service)
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def guarded(open_service: Service) -> Iterator[TestClient]:
    """A caller without a token, of a service that wants one; `secrets` has one of each role."""
    from dataclasses import replace

    with TestClient(create_app(replace(open_service, guarded=True)), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def secrets(queue: Queue) -> dict[str, dict[str, str]]:
    """Headers of a viewer, two launchers and an admin."""
    tokens = Tokens(queue.engine)
    roles = {"vera": "viewer", "ann": "launcher", "bob": "launcher", "adam": "admin"}
    return {name: {"Authorization": f"Bearer {tokens.make(name, role)}"} for name, role in roles.items()}  # type: ignore[arg-type]
