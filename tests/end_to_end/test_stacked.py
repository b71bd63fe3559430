"""Trials side by side in one worker: a sweep is what it is without, whatever happens to its driver."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from commands import Ran, rnnlab
from night import NUMBERS, assert_clean, begin, kill, points, results, until, workers_of, written

from sweeps.home import Home
from sweeps.store import Lab

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def near(one: Any, other: Any, where: str = "") -> None:
    """Equal to rounding: a product over more lanes may be summed in another order, carried over 600 updates."""
    if isinstance(one, dict):
        assert set(one) == set(other), where
        for name in one:
            near(one[name], other[name], f"{where}/{name}")
    elif isinstance(one, float):
        assert one == pytest.approx(other, rel=5e-3, abs=5e-3), where
    else:
        assert one == other, where


def assert_nearly_undisturbed(home: Path, undisturbed: Ran) -> None:
    mine, theirs = results(home), results(undisturbed.home)
    assert [(one["trial"], one["number"]) for one in mine] == [(one["trial"], one["number"]) for one in theirs]
    for one, other in zip(mine, theirs, strict=True):
        near(*({name: result[name] for name in NUMBERS if name != "features"} for result in (one, other)))
    told, expected = points(home), points(undisturbed.home)
    assert {trial: set(metrics) for trial, metrics in told.items()} == {
        trial: set(metrics) for trial, metrics in expected.items()
    }
    for trial, metrics in expected.items():
        for name, values in metrics.items():
            assert sorted(step for step, _ in told[trial][name].elements()) == sorted(
                step for step, _ in values.elements()
            ), f"{trial} {name}"
    with Lab.open(Home(home).lab_url) as lab:
        assert {trial.state for trial in lab.trials("night")} == {"complete"}
        assert lab.sweep("night").status == "finished"
    assert_clean(home)


def test_a_sweep_in_stacks(tmp_path: Path, undisturbed: Ran) -> None:
    home = tmp_path / "home"
    ran = rnnlab("sweep", "run", written(tmp_path), "--workers", "2", "--stack", "3", home=home, timeout=600)
    assert ran.code == 0, ran.err
    assert_nearly_undisturbed(home, undisturbed)


def test_its_worker_and_then_its_driver_are_killed(tmp_path: Path, undisturbed: Ran) -> None:
    home = tmp_path / "home"
    driver = begin(home, "run", written(tmp_path), "--stack", "2", workers=2)
    try:
        until(home, lambda lab: any(report.update >= 40 for report in lab.reports("night")), seconds=400)
        workers_of(driver)[0].kill()
        until(home, lambda lab: any(report.update >= 200 for report in lab.reports("night")), seconds=400)
    finally:
        kill(driver)
    # in other company than before
    ran = rnnlab("sweep", "resume", "night", "--workers", "1", "--stack", "3", home=home, timeout=600)
    assert ran.code == 0, ran.err
    assert_nearly_undisturbed(home, undisturbed)
