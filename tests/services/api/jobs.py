"""A small engine behind our own port: nothing is started, a test says what becomes of a job."""

from __future__ import annotations

from services.jobs.engine import EngineAway, JobState

SPEC = """
name: tiny
task: {kind: adding, length: 12}
model: {hidden: 8}
space: {cell: [rnn, gru]}
search: {sampler: grid}
replicates: 2
budget: {updates: 30, evaluations: 3}
"""


class NoJobs:
    """Remembers what it was asked."""

    def __init__(self) -> None:
        self.states: dict[str, JobState] = {}
        self.submitted: list[str] = []
        self.stopped: list[str] = []
        self.away = False
        self.said = "error: the lab is on fire"

    def submit(self, job_id: str, sweep_id: str, workers: int | None) -> None:
        self._asked()
        self.submitted.append(job_id)
        self.states.setdefault(job_id, "starting")

    def state(self, job_id: str) -> JobState:
        self._asked()
        return self.states.get(job_id, "gone")

    def stop(self, job_id: str) -> None:
        self._asked()
        self.stopped.append(job_id)
        self.states[job_id] = "stopped"

    def log(self, job_id: str) -> str:
        self._asked()
        return self.said

    def _asked(self) -> None:
        if self.away:
            raise EngineAway("it does not answer")
