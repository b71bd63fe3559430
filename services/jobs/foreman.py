"""The foreman: starts a job for the sweep that waits longest, follows all jobs, and resumes what lost its own.

All it knows stands in the lab database, so that a service that starts again goes on where the last one was.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta

import structlog

from rnnlab.errors import PlaceError, RnnlabError
from services.jobs.engine import EngineAway, JobEngine
from sweeps.store import SweepRecord
from sweeps.store.queue import Queue

log = structlog.get_logger()

EVERY = 1.0
"""Seconds between two rounds."""
MOST_ATTEMPTS = 5
"""Jobs that a sweep gets without one of its trials ending, before it is failed."""
RESTS = timedelta(seconds=30)
"""After a sweep stopped unasked, until it is queued again: nodes that went with a cluster's head come back in that."""
ENDS = {"gone": "is gone", "lost": "was lost"}
"""What is said of a job's end."""
LINES = 12
"""Last lines of a job's log that the message of a sweep keeps."""


class Foreman:
    """Keeps at most `most` sweeps running.

    Args:
        queue: the lab. engine: what runs drivers. most: sweeps that run at a time.
        clock: seconds; for tests.
    """

    def __init__(self, queue: Queue, engine: JobEngine, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.queue, self.engine, self.most, self.clock = queue, engine, most, clock
        self.away: str | None = None
        """Why the engine or the lab could not be asked in the last round; None: it answered."""
        self.last_round: float | None = None
        self._progress: dict[str, tuple[int, int]] = {}
        """Sweep -> trials ended, attempts by then."""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="foreman", daemon=True)

    def start(self) -> None:
        """Do rounds in a thread until `end`."""
        self._thread.start()

    def end(self) -> None:
        """Stop doing rounds; jobs go on."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def _work(self) -> None:
        while not self._over.wait(EVERY):
            try:
                self.round()
                self.away = None
            except (EngineAway, PlaceError) as error:
                if self.away is None:
                    log.warning("cannot be asked", cause=str(error))
                self.away = str(error)
            except Exception as error:
                log.exception("a round failed")
                self.away = f"{type(error).__name__}: {error}"

    def round(self) -> None:
        """Follow every job once, then start jobs for the oldest sweeps that wait.

        Raises:
            EngineAway, PlaceError: the engine or the lab cannot be asked.
        """
        busy = 0
        for sweep in self.queue.on_a_job():
            busy += self._follow(sweep)
        for sweep in self.queue.stranded(RESTS):
            self._take_up(sweep)
        for sweep in self.queue.waiting()[: max(0, self.most - busy)]:
            self._start(sweep)
        self.last_round = self.clock()

    def _start(self, sweep: SweepRecord) -> None:
        if self._hopeless(sweep):
            return
        job_id = f"rnnlab-{sweep.id}-{sweep.attempts + 1}"
        # noted first: a service that dies between the two finds the job gone, and queues the sweep again
        if self.queue.give_job(sweep.id, job_id):
            self.engine.submit(job_id, sweep.id, sweep.workers)
            log.info("started", sweep=sweep.id, job=job_id)

    def _follow(self, sweep: SweepRecord) -> bool:
        """Look at one job; whether it keeps a place among those that run."""
        assert sweep.job_id is not None
        state = self.engine.state(sweep.job_id)
        if state in ("starting", "running"):
            if sweep.stop_requested and sweep.status == "queued":
                self.engine.stop(sweep.job_id)
            return True
        driver_lives = sweep.status == "running" and not sweep.lost
        if driver_lives:
            return True  # until its lease ends: a driver may outlive what Ray remembers of it
        if sweep.status == "queued" and state == "failed":
            self._fail(sweep, self._last_lines(sweep.job_id))
            return False
        if sweep.stop_requested:
            self._end(sweep, "stopped", "stopped by a person")
            return False
        if sweep.status == "queued" and state == "gone" and self._young(sweep):
            self.engine.submit(sweep.job_id, sweep.id, sweep.workers)
            return True
        why = f"its job {sweep.job_id} {ENDS.get(state, state)}: queued again"
        self.queue.take_job(sweep.id, why)
        log.warning("lost", sweep=sweep.id, job=sweep.job_id, state=state)
        return False

    def _take_up(self, sweep: SweepRecord) -> None:
        """Queue a sweep again that stopped unasked, unless a person stopped its job by Ray's own means."""
        assert sweep.job_id is not None
        if self.engine.state(sweep.job_id) != "stopped":
            self.queue.take_job(sweep.id, f"nobody asked it to stop ({sweep.message}): queued again")
            log.warning("stopped unasked", sweep=sweep.id, job=sweep.job_id, cause=sweep.message)

    def _young(self, sweep: SweepRecord) -> bool:
        """Whether its job was noted and never submitted: nothing of it has begun."""
        return sweep.started_at is None

    def _hopeless(self, sweep: SweepRecord) -> bool:
        """Fail a sweep that got `MOST_ATTEMPTS` jobs while none of its trials ended."""
        ended = sum(trial.state in ("complete", "pruned", "failed") for trial in self.queue.trials(sweep.id))
        before, attempts = self._progress.get(sweep.id, (ended, sweep.attempts))
        if ended > before:
            before, attempts = ended, sweep.attempts
        self._progress[sweep.id] = before, attempts
        if sweep.attempts - attempts < MOST_ATTEMPTS:
            return False
        self._fail(sweep, f"{MOST_ATTEMPTS} jobs in a row ended before one of its trials did")
        return True

    def _fail(self, sweep: SweepRecord, message: str) -> None:
        self._end(sweep, "failed", message)
        log.error("failed", sweep=sweep.id, cause=message)

    def _end(self, sweep: SweepRecord, status: str, message: str) -> None:
        try:
            self.queue.event(sweep.id, status, message)
            self.queue.end_sweep(sweep.id, status, message)  # type: ignore[arg-type]
        except RnnlabError as error:  # a driver has it after all
            log.info("not ended", sweep=sweep.id, cause=str(error))

    def _last_lines(self, job_id: str) -> str:
        lines = [line for line in self.engine.log(job_id).splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("error:")]
        return (errors or ["\n".join(lines[-LINES:]) or "its job failed and said nothing"])[-1]
