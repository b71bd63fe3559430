"""Why workers died, in a sentence for the table: Ray's own messages fill a page."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

from ray import tune
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.tune.execution import tune_controller

from rnnlab.training.outcome import Outcome

NO_MEMORY_LEFT = "ran out of memory: Ray's memory monitor killed its worker, since its node had none left,"
SIGNS = {
    "PlaceError": "its node had not the sweep's files",
    "OOM kill reason": NO_MEMORY_LEFT,
    "node running low on memory": NO_MEMORY_LEFT,
    "node has died": "its node was lost",
    "node was terminated": "its node was lost",
    "temporarily unavailable": "its node was lost",
    "raised in its creation task": "its worker could not start",
    "worker process has died": "its worker process was killed or crashed",
}
"""What Ray says of a death -> what happened; the first that is found."""
UNKNOWN = "its worker process died"
MISPLACED = SIGNS["PlaceError"]


class Deaths(tune.Callback):  # type: ignore[misc]
    """Knows how the workers of a trial died; Tune tells its searcher only that they did."""

    def __init__(self) -> None:
        self._trials: list[Any] = []

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        self._trials = trials

    def of(self, number: int) -> tuple[Outcome, str]:
        """How a trial ended whose workers died too often, and why.

        A trial that was last refused by a node is interrupted: that says nothing about the trial, and a resumed sweep
        takes it up again.
        """
        # on the driver's own disk: Tune's `get_error` looks where it would have copied it to, later
        files = [Path(t.error_file) for t in self._trials if t.error_file and number in numbers_of(t.config)]
        errors = "".join(file.read_text() for file in files if file.is_file())
        causes = [cause_of(said) for said in re.split(r"^Failure # \d+ ", errors, flags=re.MULTILINE)[1:]]
        if causes and causes[-1] == MISPLACED:
            return Outcome.INTERRUPTED, place_of(errors)
        return Outcome.FAILED, told(causes)


def numbers_of(config: dict[str, Any]) -> list[int]:
    """The trials of a worker's config; none of one that `Light` has emptied."""
    return [member["number"] for member in (config, *config.get("beside", ())) if "number" in member]


def cause_of(said: str) -> str:
    """What Ray's message of one death comes to."""
    return next((cause for sign, cause in SIGNS.items() if sign in said), UNKNOWN)


def told(causes: list[str]) -> str:
    """Deaths in one line: `its worker process was killed or crashed 4 times`."""
    parts = [f"{cause} {_times(count)}" for cause, count in Counter(causes or [UNKNOWN]).items()]
    return ", ".join(parts)


def place_of(errors: str) -> str:
    """The last place error in Ray's messages."""
    return [line.split("PlaceError: ", 1)[1] for line in errors.splitlines() if "PlaceError: " in line][-1]


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


class OutlivingDeaths(RayActorManager):  # type: ignore[misc]
    """Tune's manager of workers, for which every way to lose one is a failure of its trial.

    Ray 2.60's ends the whole run on `OutOfMemoryError` (its memory monitor killed a worker), and on every error of
    Ray that is neither of an actor nor of a task.
    """

    def _actor_task_failed(self, tracked_actor_task: Any, exception: Exception) -> None:
        if isinstance(exception, RayError) and not isinstance(exception, (RayActorError, RayTaskError)):
            exception = RayActorError(error_msg=f"{type(exception).__name__}: {exception}")
        super()._actor_task_failed(tracked_actor_task, exception)


def outlive_deaths() -> None:
    """Let Tune use the manager above; it takes none as an argument."""
    tune_controller.RayActorManager = OutlivingDeaths
