"""Ray Tune runs the trials of a sweep."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sweeps.running.books import Books
from sweeps.running.nodes import mark_place
from sweeps.search.past import Past
from sweeps.spec import SweepSpec

MOST_PENDING = 1000
"""Trials that may wait for room at a time; they are there only when nodes have left."""


def tune_trials(
    books: Books,
    spec: SweepSpec,
    folder: Path,
    past: Sequence[Past],
    *,
    slots: int,
    max_failures: int,
    limit: int | None = None,
    trainable: Any = None,
) -> None:
    """Let Ray Tune run all trials that have not ended.

    Args:
        slots: trials at a time, at first. limit: at most so many; None: as many as there is room for, as nodes come
            and go.
        trainable: Tune's class that trains one; None: `TrialTrainable`.
    """
    from ray import tune
    from ray.tune.search import ConcurrencyLimiter

    from sweeps.running.deaths import Deaths, outlive_deaths
    from sweeps.running.light import Light
    from sweeps.running.places import Places
    from sweeps.running.slots import Slots
    from sweeps.running.trainable import TrialTrainable
    from sweeps.search.pruners import scheduler_for
    from sweeps.search.searcher import AskTell

    searcher = AskTell(spec, books, asking=lambda: not books.stopping, past=past)
    # a trial's failure is an event and a row of the table; Tune would print its traceback over them
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    # with a searcher it would be 1; how many there are is the limiter's matter, whose limit may grow
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(max(slots, MOST_PENDING))
    outlive_deaths()
    _count_no_callbacks()
    limiter = ConcurrencyLimiter(searcher, max_concurrent=slots)
    deaths = Deaths()
    books.how_died = deaths.of
    resources = spec.resources
    config = {
        "sweep_id": books.sweep_id,
        "folder": str(folder),
        "place": mark_place(folder),
        "cpus": resources.cpus,
        "gpus": resources.gpus,
        "memory": resources.memory,
    }
    tune.run(
        tune.with_resources(trainable or TrialTrainable, resources.asked),
        name="tune",
        storage_path=str(folder),
        config=config,
        search_alg=limiter,
        scheduler=scheduler_for(spec, past, books.causes),
        # at most: trials of a stack whose workers died begin again, each alone
        num_samples=(spec.trials - sum(one.outcome is not None for one in past)) * (1 + (resources.stack > 1)),
        max_failures=max_failures,
        callbacks=[deaths, Slots(limiter, resources, limit, books), Light(), Places(searcher)],
        reuse_actors=True,
        raise_on_failed_trial=False,
        verbose=0,
        trial_dirname_creator=lambda trial: str(trial.trial_id),
    )
    if searcher.place is not None:
        raise searcher.place
    for number in searcher.unfinished:
        books.end(number, None, error=False)


def _count_no_callbacks() -> None:
    """Spare the driver MLflow, which takes seconds to load: Tune does only to count callbacks for Ray's statistics of
    use, which are off."""
    from ray.air._internal import usage

    usage.tag_callbacks = lambda _: False
