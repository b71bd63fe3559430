"""Every test that takes `url` or `lab` runs on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sweeps.store import Lab, lab_url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a new, empty lab database."""
    return lab_url(tmp_path) if request.param == "sqlite" else request.getfixturevalue("postgres_url")


@pytest.fixture
def lab(url: str) -> Iterator[Lab]:
    """An open lab."""
    with Lab.open(url) as lab:
        yield lab
