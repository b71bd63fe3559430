"""The port to what runs a driver as a job."""

from __future__ import annotations

from typing import Literal, Protocol

JobState = Literal["starting", "running", "succeeded", "failed", "lost", "stopped", "gone"]
"""Where a job is. `failed`: its driver said why. `lost`: it was killed, never began, or met what passes, as a database
that is away. `gone`: the engine knows nothing of it, as Ray after a restart of its head."""


class EngineAway(Exception):
    """The engine does not answer now; nothing is known of its jobs."""


class JobEngine(Protocol):
    """What starts, follows and stops jobs."""

    def submit(self, job_id: str, sweep_id: str, workers: int | None) -> None:
        """Start the driver of a sweep as a job; a second submit of one id changes nothing.

        Raises:
            EngineAway: it cannot be asked now.
        """

    def state(self, job_id: str) -> JobState:
        """Where a job is.

        Raises:
            EngineAway: it cannot be asked now.
        """

    def stop(self, job_id: str) -> None:
        """End a job's process; one that has ended, or that is not known, stays as it is."""

    def log(self, job_id: str) -> str:
        """What a job has printed; empty where nothing is known of it."""
