"""Running a sweep to its end, and going on with one that was stopped."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from rnnlab.errors import PlaceError, SpecError
from rnnlab.spec import TrialSpec
from rnnlab.written import validated
from sweeps.home import Home
from sweeps.recording import actor
from sweeps.recording.lag import waiting_in
from sweeps.running.books import OUTCOMES
from sweeps.running.drive import Drive, SweepEnd
from sweeps.running.engine import check_address, ray_cluster, watching
from sweeps.running.nodes import check_nodes
from sweeps.running.progress import NoWatcher, Watcher
from sweeps.running.resources import ResourcesSpec
from sweeps.search.past import JUDGED, Past
from sweeps.spec import CHECKED, SweepSpec, check_stack
from sweeps.store import Lab, ReportRecord, TrialRecord

MAX_FAILURES = 3
"""Times that a trial is taken up again after its worker process died."""


def run_sweep(
    spec: SweepSpec,
    home: Home,
    *,
    workers: int | None = None,
    address: str | None = None,
    max_failures: int = MAX_FAILURES,
    resources: Mapping[str, Any] | None = None,
    again: bool = True,
    watcher: Watcher | None = None,
    trainable: Any = None,
    recording: Callable[..., Any] = actor.start,
) -> SweepEnd:
    """Run a sweep to its end, embedded on this machine or on a Ray cluster.

    Ctrl-C once stops after the current updates, with everything recorded; twice at once.

    Args:
        spec: what to run. home: where stores and files lie.
        workers: trials at a time; default: as many as there is room for, also on nodes that join later.
        address: of a running Ray cluster; None starts a local one.
        max_failures: times that a trial is taken up again from its checkpoint after its worker process died.
        resources: of the spec's `resources`, those that are asked for otherwise; they are kept with the sweep.
        again: whether a second sweep of this name is wanted; it gets the id name-2.
        watcher: who is shown the progress.
        trainable: Tune's class that trains a trial; None: `TrialTrainable`. recording: starts the recorder.

    Raises:
        RnnlabError: bad input or an unusable place, before anything is created.
    """
    spec = with_resources(spec, resources)
    lag = _check_data(spec)
    if address is not None:
        check_address(address)
    home.make()
    if not again:
        with Lab.open(home.lab_url) as lab:
            _refuse_name(lab, spec, home)
    with Lab.open(home.lab_url) as lab, ray_cluster(address, workers, spec.resources) as slots:
        if address is not None:
            check_nodes(home.path, spec.task)
        plain = spec.model_dump(mode="json", exclude_defaults=True)
        sweep = lab.create_sweep(spec.name, plain, spec.content_hash)
        lab.take_lease(sweep.id, socket.gethostname(), os.getpid())
        drive = Drive(spec, home, lab, sweep.id, slots, max_failures, lag, trainable, recording, workers)
        with _leaving_a_lost_cluster(lab, sweep.id):
            return drive.run(watcher or NoWatcher(), ())


def resume_sweep(
    sweep_id: str,
    home: Home,
    *,
    workers: int | None = None,
    address: str | None = None,
    max_failures: int = MAX_FAILURES,
    resources: Mapping[str, Any] | None = None,
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
        _check_trials(spec, lab.trials(sweep_id))
        if sweep.status == "finished":
            hint = f"`rnnlab sweep show {sweep_id}` shows it"
            if waiting := waiting_in(home.sweep_folder(sweep_id)):
                hint += f"; {waiting} messages wait for MLflow, and `rnnlab sweep record {sweep_id}` sends them"
            raise PlaceError(f"sweep {sweep_id!r} has finished; {hint}")
        spec = with_resources(spec, resources)
        lag = _check_data(spec)
        if address is not None:
            check_address(address)
        lab.take_lease(sweep_id, socket.gethostname(), os.getpid())
        with contextlib.ExitStack() as stack:
            with _giving_back(lab, sweep_id):
                slots = stack.enter_context(ray_cluster(address, workers, spec.resources))
                if address is not None:
                    check_nodes(home.path, spec.task)
            past = past_of(lab, sweep_id)
            drive = Drive(spec, home, lab, sweep_id, slots, max_failures, lag, limit=workers)
            stack.enter_context(_leaving_a_lost_cluster(lab, sweep_id))
            return drive.run(watcher or NoWatcher(), past)


def with_resources(spec: SweepSpec, resources: Mapping[str, Any] | None) -> SweepSpec:
    """A spec with some of its resources asked for otherwise; None among them changes nothing.

    Raises:
        SpecError: one is out of range.
    """
    asked = {name: value for name, value in (resources or {}).items() if value is not None}
    if not asked:
        return spec
    plain = spec.resources.model_dump(mode="json") | asked
    given = validated(ResourcesSpec, plain, "resources")
    check_stack(given, spec.search)
    return spec.model_copy(update={"resources": given})


@contextlib.contextmanager
def _giving_back(lab: Lab, sweep_id: str) -> Iterator[None]:
    """Give a lease back where no driver came to run: the place is not fit for it."""
    try:
        yield
    except PlaceError as error:
        with contextlib.suppress(PlaceError):  # of a lab database that is away itself
            lab.end_sweep(sweep_id, "stopped", str(error))
        raise


@contextlib.contextmanager
def _leaving_a_lost_cluster(lab: Lab, sweep_id: str) -> Iterator[None]:
    """End this process with one line where the cluster is lost; what is recorded stays, and `resume` goes on."""

    def lost(address: str) -> None:
        said = f"the Ray cluster at {address} is lost"
        print(f"error: {said}; go on with `rnnlab sweep resume {sweep_id}` on one that runs", file=sys.stderr)
        lab.end_sweep(sweep_id, "stopped", said)

    with watching(lost):
        yield


def past_of(lab: Lab, sweep_id: str) -> list[Past]:
    """Every trial of a sweep as a new driver's searcher hears of it."""
    reports: dict[int, list[ReportRecord]] = {}
    for report in lab.reports(sweep_id):
        reports.setdefault(report.trial, []).append(report)
    return [
        Past(
            trial.number,
            trial.params,
            tuple((told.update, told.score) for told in reports.get(trial.number, ())),
            OUTCOMES.get(trial.state),
            trial.score,
            {told.update: told.model_dump(include=set(JUDGED)) for told in reports.get(trial.number, ())},
        )
        for trial in lab.trials(sweep_id)
    ]


def _refuse_name(lab: Lab, spec: SweepSpec, home: Home) -> None:
    for sweep in lab.sweeps():
        if sweep.name == spec.name:
            same = "the same spec" if sweep.spec_hash == spec.content_hash else "another spec"
            ways = f"write another `name:`, or see it with `rnnlab sweep show {sweep.id}`"
            if sweep.status == "queued":  # its driver was killed before it began, or a service will start it
                ways = f"begin it with `rnnlab sweep resume {sweep.id}` where no service will, or write another `name:`"
            if sweep.status in ("stopped", "failed"):
                ways = f"go on with it by `rnnlab sweep resume {sweep.id}`, or write another `name:`"
            raise PlaceError(
                f"the home {home.path} has a sweep named {spec.name!r} already ({sweep.id}, {sweep.status}, {same}); "
                f"{ways}"
            )


def _check_trials(spec: SweepSpec, trials: Sequence[TrialRecord]) -> None:
    """Raise SpecError where a trial would not be what it was when it began: a default of this rnnlab is another one."""
    for trial in trials[:CHECKED]:
        began, now = TrialSpec.model_validate(trial.spec), spec.trial(trial.number, trial.params)
        if began != now:
            parts = [name for name in TrialSpec.model_fields if getattr(began, name) != getattr(now, name)]
            raise SpecError(
                f"trial {trial.number} of sweep {trial.sweep_id!r} began with the config hash {trial.config_hash}, but "
                f"now reads as {now.config_hash} (its {', '.join(parts)} differ): this rnnlab understands the sweep "
                "differently; resume it with the rnnlab that began it, or run it under another name"
            )


def _check_data(spec: SweepSpec) -> int:
    """The task's lag. Loads every task of the space: a missing or spoilt file is told before anything is made."""
    from rnnlab.training.stack import load_task

    points = spec.parsed_space.points(lambda dimension: dimension.corners)
    trials: dict[str, TrialSpec] = {}
    for picks in itertools.islice(points, CHECKED):
        trial = spec.trial(0, picks)
        trials.setdefault(trial.task.model_dump_json(), trial)
    first, *others = trials.values()
    for trial in others:
        load_task(trial)
    task = load_task(first)
    assert task.validation.x_TNI.shape[0] == task.length
    return task.lag
