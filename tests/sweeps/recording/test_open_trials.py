"""A recorder that starts again in the middle of trials writes what an undisturbed one would have written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sweeps.recording import names
from sweeps.recording.arrays import load_curves
from sweeps.recording.open_trials import Undrawn


def everything(store: Any, trial: str) -> dict[str, Any]:
    run = store.runs()[trial]
    return {"status": run.info.status, "params": run.data.params, "history": store.history(run)}


@pytest.mark.parametrize("restarts", [1, 4, 7])
def test_a_writer_that_starts_again_misses_nothing(
    store: Any, made_up: Callable[..., Any], restarts: int, tmp_path: Any
) -> None:
    whole, broken = made_up(3), made_up(4)
    writer = store.writer()
    for message in whole.all():
        writer.write(message)
    told = broken.all()
    ended = None
    for index, message in enumerate(told):
        if index % restarts == 0:
            writer = store.writer()  # an earlier one has died with all it knew
        ended = writer.write(message) or ended
    assert everything(store, "4") == everything(store, "3")
    assert ended is not None
    first = store.writer()
    for message in made_up(5).all()[:-1]:
        first.write(message)
    ended_curves = load_curves(store.folder / "sweep" / "trials" / "0004" / names.CURVES_FILE)
    kept = first.open_trials.curves(5).arrays
    assert kept.keys() == ended_curves.keys()
    for name, values in kept.items():
        np.testing.assert_array_equal(ended_curves[name], values)
    assert not (store.folder / "sweep" / "open" / "0004").exists()
    waits = Undrawn(store.folder / "sweep")
    assert len(waits) == 2
    waits.done(3)
    assert waits.first() == ended


def test_one_that_was_interrupted_goes_on_with_its_curves(store: Any, made_up: Callable[..., Any]) -> None:
    undisturbed, stopped = made_up(1), made_up(2)
    writer = store.writer()
    for message in undisturbed.all():
        writer.write(message)
    begun, *told, over = stopped.all()
    half = len(told) // 2
    over_first = stopped.over("KILLED")
    over_first.tags[names.OUTCOME] = "interrupted"
    for message in (begun, *told[:half], over_first):
        writer.write(message)
    run = store.runs()["2"]
    assert run.info.status == "KILLED"
    assert "final_score" not in run.data.metrics  # a point that is written stays, and this one is not the last
    again = store.writer()  # the driver that resumes has another recorder
    again.write(begun)
    assert store.runs()["2"].info.status == "RUNNING"
    for message in (*told[half - 1 :], over):  # some of it is sent again
        again.write(message)
    assert everything(store, "2") == everything(store, "1")


def test_a_trial_that_nobody_began_is_unknown(store: Any, made_up: Callable[..., Any]) -> None:
    writer = store.writer()
    assert writer.write(made_up(8).curves(0)) is None
    assert "8" not in store.runs()
