"""Many queued sweeps: all run, in order, once each, whatever happens to the service; jobs end as soon as they begin."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2 as httpx
import pytest
from browsing import served
from jobs import SPEC
from labs import Lab

from services.api.app import create_app
from services.jobs.engine import EngineAway, JobState
from services.jobs.foreman import Foreman
from sweeps.home import Home
from sweeps.store.queue import Queue

MOST = 3
SOME_AND_MANY = [20, pytest.param(200, marks=pytest.mark.slow)]


class Drivers:
    """An engine whose jobs do what a driver does to the lab, and nothing else, one step at each look at them."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.submitted: list[str] = []
        self.steps: dict[str, int] = {}
        self.at_a_time = 0
        self.random = random.Random(0)
        self.away = 0.0
        """How often it does not answer."""

    def submit(self, job_id: str, sweep_id: str, workers: int | None) -> None:
        self._asked()
        if job_id not in self.steps:
            self.submitted.append(sweep_id)
            self.steps[job_id] = 0
            self.at_a_time = max(self.at_a_time, sum(step < 2 for step in self.steps.values()))

    def state(self, job_id: str) -> JobState:
        self._asked()
        if job_id not in self.steps:
            return "gone"
        id = job_id.removeprefix("rnnlab-").rpartition("-")[0]
        step = self.steps[job_id]
        if step == 0:
            self.queue.take_lease(id, "here", 1)
        elif step == 1:
            self.queue.event(id, "finished", "0 trials ended")
            self.queue.end_sweep(id, "finished")
        self.steps[job_id] = min(2, step + 1)
        return "succeeded" if self.steps[job_id] == 2 else "running"

    def stop(self, job_id: str) -> None:
        raise AssertionError("nobody asked for that")

    def log(self, job_id: str) -> str:
        return ""

    def _asked(self) -> None:
        if self.random.random() < self.away:
            raise EngineAway("it does not answer")


@pytest.fixture(params=["sqlite", "postgresql"])
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lab]:
    """An empty lab."""
    url = None
    if request.param == "postgresql":
        make: Callable[..., str] = request.getfixturevalue("new_postgres")
        url = make()
    with Queue.open(Home(tmp_path, url).lab_url) as queue:
        yield Lab(tmp_path, queue, most_sweeps=10_000)


def all_run(lab: Lab, drivers: Drivers, rounds: int = 5_000) -> None:
    """Rounds of the foreman until nothing waits or runs; a new service every 50 rounds."""
    for number in range(rounds):
        if number % 50 == 0:
            foreman = Foreman(lab.queue, drivers, MOST)
        try:
            foreman.round()
        except EngineAway:
            continue
        if not lab.queue.waiting() and not lab.queue.on_a_job():
            return
    pytest.fail("sweeps are left")


def assert_all_ran_once(lab: Lab, drivers: Drivers, ids: list[str]) -> None:
    found = {sweep.id: sweep for sweep in lab.queue.sweeps()}
    assert sorted(found) == sorted(ids)
    assert {(sweep.status, sweep.attempts) for sweep in found.values()} == {("finished", 1)}
    assert sorted(drivers.submitted) == sorted(ids)
    assert drivers.at_a_time <= MOST
    for id in ids:
        assert [event.kind for event in lab.queue.events(id)] == ["queued", "finished"]


@pytest.mark.parametrize("sweeps", SOME_AND_MANY)
@pytest.mark.parametrize("away", [0.0, 0.2])
def test_all_run_in_order_once_each(lab: Lab, address: str, away: float, sweeps: int) -> None:
    with httpx.Client(base_url=address, timeout=60) as http:
        launch = {"content": SPEC, "headers": {"Content-Type": "application/yaml"}}
        ids = [http.post("/api/sweeps", **launch).json()["id"] for _ in range(sweeps)]  # type: ignore[arg-type]
    drivers = Drivers(lab.queue)
    drivers.away = away
    all_run(lab, drivers)
    assert_all_ran_once(lab, drivers, ids)
    assert drivers.submitted == ids
    assert drivers.at_a_time == MOST


@pytest.mark.parametrize("sweeps", SOME_AND_MANY)
def test_launched_by_many_at_once_while_others_run(lab: Lab, address: str, sweeps: int) -> None:
    """Each launch is asked for twice with one key, as by a client whose first answer was lost."""
    drivers, over = Drivers(lab.queue), threading.Event()

    def launch(number: int) -> str:
        headers = {"Content-Type": "application/yaml", "Idempotency-Key": f"key-{number}"}
        answers = [_answer(address, headers) for _ in range(2)]
        assert answers[1].status_code == 200
        assert answers[0].json()["id"] == answers[1].json()["id"]
        return str(answers[0].json()["id"])

    def work() -> None:
        foreman = Foreman(lab.queue, drivers, MOST)
        while not over.wait(0.01):
            foreman.round()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        with ThreadPoolExecutor(8) as pool:
            ids = list(pool.map(launch, range(sweeps)))
    finally:
        over.set()
        thread.join()
    assert drivers.submitted, "some began while others were launched"
    all_run(lab, drivers)
    assert len(set(ids)) == sweeps
    assert_all_ran_once(lab, drivers, ids)


def _answer(address: str, headers: dict[str, str]) -> httpx.Response:
    """Of a launch; where many write at once a SQLite file may be held for longer than a request waits."""
    while True:
        answer = httpx.post(f"{address}/api/sweeps", content=SPEC, headers=headers, timeout=120)
        if answer.status_code != 503:
            assert answer.status_code in (200, 201), answer.text
            return answer


@pytest.fixture
def address(lab: Lab) -> Iterator[str]:
    """Where its service answers."""
    with served(create_app(lab.service)) as found:
        yield found
