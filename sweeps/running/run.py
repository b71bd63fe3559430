"""Running a sweep to its end, and going on with one that was stopped."""

from __future__ import annotations

import os
import socket

from rnnlab.errors import PlaceError, SpecError
from rnnlab.training.loop import load_task
from sweeps.home import Home
from sweeps.running.books import OUTCOMES
from sweeps.running.drive import Drive, SweepEnd
from sweeps.running.engine import check_address, ray_cluster
from sweeps.running.progress import NoWatcher, Watcher
from sweeps.search.searcher import Past
from sweeps.spec import SweepSpec
from sweeps.store import Lab

MAX_FAILURES = 3
"""Times that a trial is taken up again after its worker process died."""


def run_sweep(
    spec: SweepSpec,
    home: Home,
    *,
    workers: int | None = None,
    address: str | None = None,
    max_failures: int = MAX_FAILURES,
    again: bool = True,
    watcher: Watcher | None = None,
) -> SweepEnd:
    """Run a sweep to its end, embedded on this machine or on a Ray cluster.

    Ctrl-C once stops after the current updates, with everything recorded; twice at once.

    Args:
        spec: what to run. home: where stores and files lie.
        workers: trials at a time, one CPU each; default: the CPUs that there are.
        address: of a running Ray cluster; None starts a local one.
        max_failures: times that a trial is taken up again from its checkpoint after its worker process died.
        again: whether a second sweep of this name is wanted; it gets the id name-2.
        watcher: who is shown the progress.

    Raises:
        RnnlabError: bad input or an unusable place, before anything is created.
    """
    lag = _check_data(spec)
    if address is not None:
        check_address(address)
    home.make()
    if not again:
        with Lab.open(home.lab_url) as lab:
            _refuse_name(lab, spec, home)
    with Lab.open(home.lab_url) as lab, ray_cluster(address, workers) as slots:
        plain = spec.model_dump(mode="json", exclude_defaults=True)
        sweep = lab.create_sweep(spec.name, plain, spec.content_hash)
        lab.take_lease(sweep.id, socket.gethostname(), os.getpid())
        drive = Drive(spec, home, lab, sweep.id, slots, max_failures, lag)
        return drive.run(watcher or NoWatcher(), ())


def resume_sweep(
    sweep_id: str,
    home: Home,
    *,
    workers: int | None = None,
    address: str | None = None,
    max_failures: int = MAX_FAILURES,
    watcher: Watcher | None = None,
) -> SweepEnd:
    """Go on with a sweep that was stopped, or whose driver died: what ended stays, what did not goes on.

    Trials in flight go on from their checkpoints, with the numbers that they would have had. Arguments as `run_sweep`.

    Raises:
        SpecError: no such sweep, or its spec no longer means what it meant.
        PlaceError: another driver runs it, or it has ended.
    """
    home.must_exist()
    with Lab.open(home.lab_url) as lab:
        sweep = lab.sweep(sweep_id)
        spec = SweepSpec.model_validate(sweep.spec)
        if spec.content_hash != sweep.spec_hash:
            raise SpecError(
                f"sweep {sweep_id!r} has the content hash {sweep.spec_hash}, but its spec now reads as "
                f"{spec.content_hash}: this rnnlab understands it differently; resume it with the rnnlab that began "
                "it, or run it under another name"
            )
        if sweep.status == "finished":
            raise PlaceError(f"sweep {sweep_id!r} has finished; `rnnlab sweep show {sweep_id}` shows it")
        lag = _check_data(spec)
        if address is not None:
            check_address(address)
        lab.take_lease(sweep_id, socket.gethostname(), os.getpid())
        with ray_cluster(address, workers) as slots:
            past = past_of(lab, sweep_id)
            return Drive(spec, home, lab, sweep_id, slots, max_failures, lag).run(watcher or NoWatcher(), past)


def past_of(lab: Lab, sweep_id: str) -> list[Past]:
    """Every trial of a sweep as a new driver's searcher hears of it."""
    reports: dict[int, list[tuple[int, float]]] = {}
    for report in lab.reports(sweep_id):
        reports.setdefault(report.trial, []).append((report.update, report.score))
    return [
        Past(trial.number, trial.params, tuple(reports.get(trial.number, ())), OUTCOMES.get(trial.state), trial.score)
        for trial in lab.trials(sweep_id)
    ]


def _refuse_name(lab: Lab, spec: SweepSpec, home: Home) -> None:
    for sweep in lab.sweeps():
        if sweep.name == spec.name:
            same = "the same spec" if sweep.spec_hash == spec.content_hash else "another spec"
            ways = f"write another `name:`, or see it with `rnnlab sweep show {sweep.id}`"
            if sweep.status in ("stopped", "failed"):
                ways = f"go on with it by `rnnlab sweep resume {sweep.id}`, or write another `name:`"
            raise PlaceError(
                f"the home {home.path} has a sweep named {spec.name!r} already ({sweep.id}, {sweep.status}, {same}); "
                f"{ways}"
            )


def _check_data(spec: SweepSpec) -> int:
    """The task's lag. Loads the task of one point: a missing or spoilt file is told before anything is made."""
    space = spec.parsed_space
    first = next(space.points(lambda dimension: dimension.corners))
    task = load_task(spec.trial(0, first))
    assert task.validation.x_TNI.shape[0] == task.length
    return task.lag
