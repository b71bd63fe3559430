"""What Ray Jobs say of a driver's end, as the foreman needs it, with a Ray of its own and drivers of three lines."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.jobs.embedded import ray_here
from services.jobs.ray_jobs import RayJobs
from sweeps.home import Home

pytestmark = pytest.mark.slow
ENDS = {
    "exit 0": "succeeded",
    "echo error: no such file >&2; exit 2": "failed",
    "exit 1": "failed",
    "exit 75": "lost",
    "kill -9 $$": "lost",
}


@pytest.fixture(scope="module")
def ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    home = Home(tmp_path_factory.mktemp("home"))
    home.make()
    with ray_here(home, 1) as address:
        yield address, home.path


@pytest.mark.parametrize("script", ENDS)
def test_how_a_driver_ended(ray: tuple[str, Path], tmp_path: Path, script: str) -> None:
    address, home = ray
    driver = tmp_path / "driver"
    driver.write_text(f"#!/bin/sh\n{script}\n")
    driver.chmod(0o755)
    jobs, id = RayJobs(address, home, str(driver)), f"job-{list(ENDS).index(script)}"
    assert jobs.state(id) == "gone"
    jobs.submit(id, "tiny", None)
    jobs.submit(id, "tiny", None)
    deadline = time.monotonic() + 300
    while jobs.state(id) in ("starting", "running"):
        assert time.monotonic() < deadline
        time.sleep(0.3)
    assert jobs.state(id) == ENDS[script]
    assert ("error: no such file" in jobs.log(id)) == ("no such file" in script)
    jobs.stop(id)
    assert jobs.state(id) == ENDS[script]


def test_a_job_stays_with_its_own_ray(ray: tuple[str, Path], tmp_path: Path) -> None:
    """Another Ray of this machine was started later."""
    driver = tmp_path / "driver"
    driver.write_text("#!/bin/sh\necho it is $RAY_ADDRESS\n")
    driver.chmod(0o755)

    def said(address: str, id: str) -> str:
        jobs = RayJobs(address, tmp_path, str(driver))
        jobs.submit(id, "tiny", None)
        deadline = time.monotonic() + 300
        while jobs.state(id) in ("starting", "running"):
            assert time.monotonic() < deadline
            time.sleep(0.3)
        return next(line for line in jobs.log(id).splitlines() if line.startswith("it is "))

    before = said(ray[0], "before")
    home = Home(tmp_path / "home")
    home.make()
    with ray_here(home, 1) as other:
        assert said(ray[0], "after") == before
        assert said(other, "other") != before
