"""A browser, a lab with a sweep that ran, and a service on both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from browsing import served
from labs import Lab

from services.api.app import create_app
from sweeps.home import Home
from sweeps.store.queue import Queue


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """A new lab."""
    with Queue.open(Home(tmp_path).lab_url) as queue:
        yield Lab(tmp_path, queue)


@pytest.fixture
def address(lab: Lab) -> Iterator[str]:
    """Where its service answers."""
    with served(create_app(lab.service)) as found:
        yield found


@pytest.fixture
def guarded(lab: Lab) -> Iterator[str]:
    """Where it answers those with a token alone."""
    with served(create_app(replace(lab.service, guarded=True))) as found:
        yield found
