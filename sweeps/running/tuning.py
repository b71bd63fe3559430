"""Ray Tune runs the trials of a sweep."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from sweeps.running.books import Books
from sweeps.search.searcher import Past
from sweeps.spec import SweepSpec


def tune_trials(
    books: Books, spec: SweepSpec, folder: Path, past: Sequence[Past], *, slots: int, max_failures: int
) -> None:
    """Let Ray Tune run all trials that have not ended."""
    from ray import tune

    from sweeps.running.trainable import TrialTrainable
    from sweeps.search.pruners import scheduler_for
    from sweeps.search.searcher import AskTell

    searcher = AskTell(spec, books, asking=lambda: not books.stopping, past=past)
    # a trial's failure is an event and a row of the table; Tune would print its traceback over them
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(slots)  # with a searcher it would be 1
    tune.run(
        tune.with_resources(TrialTrainable, {"cpu": 1}),
        name="tune",
        storage_path=str(folder),
        config={"sweep_id": books.sweep_id, "folder": str(folder)},
        search_alg=searcher,
        scheduler=scheduler_for(spec, past),
        num_samples=spec.trials - sum(one.outcome is not None for one in past),
        max_concurrent_trials=slots,
        max_failures=max_failures,
        reuse_actors=True,
        raise_on_failed_trial=False,
        verbose=0,
        trial_dirname_creator=lambda trial: str(trial.trial_id),
    )
    for number in searcher.unfinished:
        books.end(number, None, error=False)
