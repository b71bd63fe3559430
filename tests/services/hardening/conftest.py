"""A service at an address, on SQLite and on PostgreSQL, with a sweep that has ended and one that waits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from browsing import served
from labs import BODY, Lab

from services.api.app import create_app
from sweeps.home import Home
from sweeps.store.queue import Queue
from sweeps.store.tokens import Tokens


@pytest.fixture(params=["sqlite", "postgresql"])
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lab]:
    """A lab with the sweep `tiny`, which has ended, and `tiny-2`, which waits."""
    url = None
    if request.param == "postgresql":
        make: Callable[..., str] = request.getfixturevalue("new_postgres")
        url = make()
    with Queue.open(Home(tmp_path, url).lab_url) as queue:
        lab = Lab(tmp_path, queue, most_body=BODY, most_sweeps=100_000, data_folders=[str(tmp_path / "files")])
        id = lab.launched()
        lab.begun(id)
        lab.trained(id, 0, "rnn tanh", 0.4, -6.0)
        lab.trained(id, 1, "gru", -1.0, -0.5)
        lab.finished(id)
        lab.launched(key="b")
        yield lab


@pytest.fixture
def address(lab: Lab) -> Iterator[str]:
    """Where its service answers, which asks for no token."""
    with served(create_app(lab.service)) as found:
        yield found


@pytest.fixture
def guarded(lab: Lab) -> Iterator[str]:
    """Where it answers those with a token alone."""
    with served(create_app(replace(lab.service, guarded=True))) as found:
        yield found


@pytest.fixture
def admin(lab: Lab) -> str:
    """The secret of an admin."""
    return Tokens(lab.queue.engine).make("adam", "admin")
