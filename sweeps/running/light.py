"""What Ray Tune keeps of a trial that has ended, cut down to what Tune itself still asks for."""

from __future__ import annotations

from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial


class Light(Callback):  # type: ignore[misc]
    """Empties trials that have ended: Tune holds each to its end, with its config and its last result.

    The lab database has all of it, and Tune's own restore is not used. An ended trial keeps its id, its status and its
    folder's name.
    """

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        """One has ended, and books and scheduler have heard of it."""
        lighten(trial)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        """One has failed for good."""
        lighten(trial)


def lighten(trial: Trial) -> None:
    """Drop config, params, results and their statistics."""
    trial.config.clear()  # in place: Tune has a second name for it
    trial.evaluated_params = {}
    trial.experiment_tag = ""
    seen = trial.run_metadata
    seen.last_result = {"done": True}
    seen.metric_analysis, seen.metric_n_steps = {}, {}
    trial.invalidate_json_state()
    seen.invalidate_cache()
