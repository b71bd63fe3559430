"""Fixtures for every test: a real PostgreSQL and a real browser, where a machine has them.

A test that needs one skips where it is missing, and fails where `CI` is set.
"""

from __future__ import annotations

import itertools
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# before torch is imported: two test processes share two cores
os.environ.setdefault("OMP_NUM_THREADS", "1")

DATABASES = itertools.count()


def _programs() -> Path | None:
    """The folder of the newest PostgreSQL's programs: Debian's, or the one on the path."""
    debian = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    newest = sorted(debian, key=lambda program: [int(n) for n in re.findall(r"\d+", str(program))])
    on_path = shutil.which("initdb")
    found = newest[-1] if newest else Path(on_path).resolve() if on_path else None
    return found.parent if found else None


def _other_user() -> str | None:
    """PostgreSQL refuses to run as root: who runs it then."""
    if os.geteuid() != 0:
        return None
    names = {user.pw_name for user in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Path]:
    """The folder of the socket of a PostgreSQL server that lives as long as the tests."""
    programs = _programs()
    if programs is None:
        if os.environ.get("CI"):
            pytest.fail("CI must test on PostgreSQL: install the package postgresql")
        pytest.skip("PostgreSQL's programs (initdb, postgres) are not installed")
    # not under pytest's own temporary folder, which the other user may not enter
    folder = Path(tempfile.mkdtemp(prefix="rnnlab-pg-"))
    user = _other_user()
    if user:
        shutil.chown(folder, user)
    identity = {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []} if user else {}
    data = folder / "data"
    log = (folder / "log").open("w+")
    server = None
    try:
        initdb = [programs / "initdb", "-D", data, "-U", "postgres", "--auth=trust", "--no-sync"]
        initdb += ["--encoding=UTF8", "--locale=C"]
        if subprocess.run(initdb, stdout=log, stderr=log, cwd=folder, **identity).returncode:
            pytest.fail(f"initdb failed:\n{(folder / 'log').read_text()}")
        command = [
            programs / "postgres",
            "-D",
            data,
            "-k",
            folder,
            "-c",
            "listen_addresses=",
            "-c",
            "fsync=off",
        ]
        server = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, **identity)
        deadline = time.monotonic() + 60
        while True:
            try:
                psycopg.connect(host=str(folder), user="postgres", dbname="postgres").close()
                break
            except psycopg.OperationalError:
                if server.poll() is not None or time.monotonic() > deadline:
                    pytest.fail(f"PostgreSQL did not start:\n{(folder / 'log').read_text()}")
                time.sleep(0.05)
        yield folder
    finally:
        if server is not None:
            server.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown
            server.wait(timeout=60)
        log.close()
        shutil.rmtree(folder)


@pytest.fixture
def new_postgres(postgres_server: Path) -> Iterator[Callable[..., str]]:
    """Makes an empty database and returns its URL; `new_postgres("ENCODING ...")` chooses its kind."""
    made = []
    with psycopg.connect(host=str(postgres_server), user="postgres", dbname="postgres", autocommit=True) as connection:

        def make(options: str = "") -> str:
            name = f"test_{next(DATABASES)}"
            connection.execute(f"CREATE DATABASE {name} {options}")
            made.append(name)
            return f"postgresql://postgres@/{name}?host={postgres_server}"

        yield make
        for name in made:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def postgres_url(new_postgres: Callable[..., str]) -> str:
    """The URL of an empty PostgreSQL database."""
    return new_postgres()


def _no_browser(reason: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(f"CI must look at the pages in a browser: {reason}")
    pytest.skip(reason)


# not for the whole session: while playwright runs, its event loop is this thread's, and asyncio.run refuses
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium: the one on the path, else playwright's own."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        _no_browser("the package playwright is not installed")
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        if program is None and not Path(playwright.chromium.executable_path).exists():
            _no_browser("Chromium is not installed: `playwright install chromium`, or the package chromium")
        started = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        yield started
        started.close()
