"""Ray Jobs as the engine of drivers."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from services.jobs.engine import EngineAway, JobState

STATES: dict[str, JobState] = {
    "PENDING": "starting",
    "RUNNING": "running",
    "SUCCEEDED": "succeeded",
    "FAILED": "failed",
    "STOPPED": "stopped",
}
OWN_WORDS = (1, 2)
"""Exit codes of a driver that failed for good: a bug, and a mistake of the sweep's person."""


class RayJobs:
    """Drivers as Ray Jobs. A driver takes no CPU from trials, and finds its stores in the environment of Ray's head.

    Args:
        address: of Ray's dashboard, `http://127.0.0.1:8265`. home: the folder that all nodes share.
        python: the interpreter on Ray's head; default: this one.
    """

    def __init__(self, address: str, home: Path, python: str = sys.executable) -> None:
        self.address, self.home, self.python = address, home, python
        self._kept: Any = None

    def submit(self, job_id: str, sweep_id: str, workers: int | None) -> None:
        """Start the driver of a sweep as a job; a second submit of one id changes nothing."""
        words = [self.python, "-m", "services.cli.app", "sweep", "resume", sweep_id]
        words += ["--home", str(self.home), "--address", "auto"]
        words += ["--workers", str(workers)] if workers else []
        with self._asked():
            if self.state(job_id) == "gone":
                self._client().submit_job(
                    entrypoint=shlex.join(words), submission_id=job_id, metadata={"sweep_id": sweep_id}
                )

    def state(self, job_id: str) -> JobState:
        """Where a job is."""
        with self._asked():
            try:
                info = self._client().get_job_info(job_id)
                state = STATES[str(info.status.value)]
                return "lost" if state == "failed" and info.driver_exit_code not in OWN_WORDS else state
            except RuntimeError as error:
                if "404" in str(error) or "does not exist" in str(error):
                    return "gone"
                raise

    def stop(self, job_id: str) -> None:
        """End a job's process: SIGTERM, on which a driver stops gently, then SIGKILL."""
        with self._asked():
            if self.state(job_id) in ("starting", "running"):
                self._client().stop_job(job_id)

    def log(self, job_id: str) -> str:
        """What a job has printed."""
        with self._asked():
            if self.state(job_id) == "gone":
                return ""
            return str(self._client().get_job_logs(job_id))

    def _client(self) -> Any:
        if self._kept is None:
            from ray.job_submission import JobSubmissionClient

            self._kept = JobSubmissionClient(self.address)
        return self._kept

    @contextlib.contextmanager
    def _asked(self) -> Iterator[None]:
        try:
            yield
        except EngineAway:
            raise
        except Exception as error:  # requests' and Ray's own kinds: whatever it is, the next round asks again
            self._kept = None
            raise EngineAway(f"{type(error).__name__}: {error}") from error
