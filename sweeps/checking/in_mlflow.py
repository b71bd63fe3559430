"""Whether MLflow has of a sweep what the lab database says, once."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from rnnlab.training.scale import HIGHEST
from sweeps.checking.expected import PARENT, STATUS, died, evaluated, finals_in, known_until, recorded, tags_of
from sweeps.checking.findings import Finding
from sweeps.checking.in_files import REPORT
from sweeps.checking.sides import LabSide, Points, Sides
from sweeps.recording import names
from sweeps.report.summary import GRADIENTS_PNG
from sweeps.running.books import params_of
from sweeps.store import TrialRecord

if TYPE_CHECKING:
    from mlflow.entities import Run

LARGEST = 1e300
"""MLflow keeps infinity as the largest number that there is."""
PARENT_TAG = "mlflow.parentRunId"


def of_sweep(sides: Sides) -> Iterator[Finding]:
    """The experiment and the parent run."""
    for finding in _of_sweep(sides):
        yield replace(finding, lag=finding.kind.behind and sides.lab.live)


def of_trial(sides: Sides, number: int) -> Iterator[Finding]:
    """A trial's run."""
    live, running = sides.lab.live, sides.lab.trials[number].state == "running"
    for finding in _of_trial(sides, number):
        # a trial that is taken up again is told to MLflow a moment after it runs
        beginning = live and running and finding.code in ("status", "tags", "run-missing", "run-id")
        lag = finding.kind.behind and (number in sides.moving or beginning)
        yield replace(finding, lag=lag)


def _of_sweep(sides: Sides) -> Iterator[Finding]:
    lab, mlflow = sides.lab, sides.mlflow
    if lab.sweep.status == "queued":
        return
    if not mlflow.experiments:
        yield Finding("experiment-missing", None, f"the experiment {lab.sweep.id!r}", "none")
        return
    if len(mlflow.experiments) > 1:
        shown = ", ".join(f"{name!r} ({id})" for id, name in mlflow.experiments.items())
        yield Finding("experiments-several", None, f"{lab.sweep.id!r} alone", shown)
    for id in mlflow.experiments:
        if id in mlflow.deleted:
            yield Finding("experiment-deleted", None, "there", f"experiment {id} is deleted", detail=(id,))
    told = lab.sweep.mlflow_experiment_id
    if told not in mlflow.experiments:
        yield Finding("experiment-id", None, f"experiment {', '.join(mlflow.experiments)}", str(told))
    yield from _one_run(mlflow.parents, mlflow.deleted, None, lab.sweep.mlflow_run_id)
    for run in mlflow.strays:
        yield Finding("run-stray", None, "a trial's number in its tag `trial`", f"run {run.info.run_id}")
    for number in sorted(set(mlflow.runs) - set(lab.trials)):
        ids = ", ".join(run.info.run_id for run in mlflow.runs[number])
        yield Finding("run-stray", number, "no such trial", f"run {ids}")
    if mlflow.parents:
        yield from _parent(sides, mlflow.parents[0])


def _parent(sides: Sides, run: Run) -> Iterator[Finding]:
    lab, there = sides.lab, sides.mlflow.artifacts.get(run.info.run_id)
    wanted = PARENT[lab.sweep.status]
    if run.info.status != wanted:
        yield Finding("status", None, f"{wanted} ({lab.sweep.status})", run.info.status)
    files = {"sweep.yaml"}
    if lab.sweep.status == "finished":
        files |= {*REPORT, "arms.json"} | ({GRADIENTS_PNG} if sides.files.probes else set())
    if there is not None and (missing := sorted(files - there)):
        yield Finding("artifacts-missing", None, ", ".join(sorted(files)), f"no {', '.join(missing)}")
    yield from _doubled(sides.mlflow.points.get(run.info.run_id, {}), run, None)


def _one_run(runs: Iterable[Run], deleted: frozenset[str], trial: int | None, told: str | None) -> Iterator[Finding]:
    """Exactly one run, and the lab database names it."""
    ids = [str(run.info.run_id) for run in runs]
    if not ids:
        yield Finding("run-missing", trial, "one run", "none")
        return
    if gone := [id for id in ids if id in deleted]:
        yield Finding("run-deleted", trial, "there", f"run {gone[0]} is deleted", detail=(gone[0],))
    if len(ids) > 1:
        kept = told if told in ids else ids[0]
        others = tuple(id for id in ids if id != kept)
        yield Finding("runs-several", trial, f"run {kept} alone", f"also {', '.join(others)}", detail=others)
    if told not in ids:
        yield Finding("run-id", trial, f"run {ids[0]}", str(told))


def run_of(runs: Sequence[Run], trial: TrialRecord) -> Run:
    """The run of a trial: the one that the lab database names, if any."""
    return next((run for run in runs if run.info.run_id == trial.mlflow_run_id), runs[0])


def _of_trial(sides: Sides, number: int) -> Iterator[Finding]:
    lab, mlflow = sides.lab, sides.mlflow
    trial, runs = lab.trials[number], mlflow.runs.get(number, ())
    yield from _one_run(runs, mlflow.deleted, number, trial.mlflow_run_id)
    run = run_of(runs, trial) if runs else None
    if run is None or run.info.run_id in mlflow.deleted:
        return
    parents = [str(parent.info.run_id) for parent in mlflow.parents]
    if run.info.status != STATUS[trial.state]:
        yield Finding("status", number, f"{STATUS[trial.state]} ({trial.state})", run.info.status)
    yield from _tags(lab, number, run, parents)
    yield from _params(lab, number, run)
    points = mlflow.points[run.info.run_id]
    yield from _doubled(points, run, number)
    yield from _finals(lab, number, run, points)
    yield from _scores(lab, number, points)
    until = known_until(lab, number)
    wanted = recorded(lab.spec_of(number), until - died(lab, number))
    if missing := wanted - {point.step for point in points.get("train_loss", ())}:
        yield Finding("points-missing", number, f"{len(wanted)} updates up to {until}", f"none of {_some(missing)}")
    measured = bool(lab.replicates.get(number))
    ended = trial.state in ("complete", "pruned", "failed")
    if ended and measured:
        charts = [key for key in run.data.metrics if key.startswith(("by_lag/", "by_timestep/"))]
        if missing_when := [when for when in names.WHEN if not any(key.endswith(when) for key in charts)]:
            lost = number not in sides.files.probes
            yield Finding("charts-missing", number, "curves as metrics", f"no {', '.join(missing_when)}", lost=lost)
    yield from _artifacts(sides, number, mlflow.artifacts[run.info.run_id], measured)


def _tags(lab: LabSide, number: int, run: Run, parents: list[str]) -> Iterator[Finding]:
    wanted = tags_of(lab, number)
    if len(parents) == 1:
        wanted[PARENT_TAG] = parents[0]
    there: Mapping[str, str] = run.data.tags
    differ = [name for name, value in wanted.items() if (there.get(name) or None) != value]
    if differ:
        told = ", ".join(f"{name} {wanted[name] or 'none'}" for name in differ)
        yield Finding("tags", number, told, ", ".join(f"{name} {there.get(name) or 'none'}" for name in differ))


def _params(lab: LabSide, number: int, run: Run) -> Iterator[Finding]:
    wanted = {name: str(value) for name, value in params_of(lab.spec_of(number)).items()}
    there: Mapping[str, str] = run.data.params
    if missing := [name for name in wanted if name not in there]:
        yield Finding("params-missing", number, ", ".join(f"{name} {wanted[name]}" for name in missing), "none")
    differ = [name for name, value in there.items() if wanted.get(name) != value]
    if differ:
        shown = ", ".join(f"{name} {wanted.get(name, 'none')}" for name in differ)
        yield Finding("params-wrong", number, shown, ", ".join(f"{name} {there[name]}" for name in differ))


def _doubled(points: Points, run: Run, number: int | None) -> Iterator[Finding]:
    """No step twice, and nothing that is not finite: all points that were read, and the last of every other metric."""
    twice, odd = [], []
    for key, found in points.items():
        steps = Counter(point.step for point in found)
        twice += [f"{key} at {step}: {count} points" for step, count in sorted(steps.items()) if count > 1]
        odd += [f"{key} at {point.step}" for point in found if not _finite(point.value)]
    odd += [key for key, value in run.data.metrics.items() if key not in points and not _finite(value)]
    if twice:
        yield Finding("points-doubled", number, "each step once", _list(twice))
    if odd:
        yield Finding("mlflow-not-finite", number, "finite points", _list(odd))


def _finals(lab: LabSide, number: int, run: Run, points: Points) -> Iterator[Finding]:
    wanted = finals_in(lab, number)
    last: Mapping[str, float] = run.data.metrics
    there = {
        name: [point.value for point in points.get(name, ())] or [last[name]] for name in names.FINALS if name in last
    }
    if lab.trials[number].state in ("running", "interrupted"):
        if there:
            yield Finding("finals-early", number, "none before its end", ", ".join(there))
        return
    if missing := tuple(name for name in wanted if name not in there):
        shown = ", ".join(f"{name} {wanted[name]:.6g}" for name in missing)
        yield Finding("finals-missing", number, shown, "none", detail=missing)
    differ = [name for name, values in there.items() if not any(_same(wanted.get(name), value) for value in values)]
    if differ:
        shown = ", ".join(f"{name} {wanted[name]:.9g}" if name in wanted else f"no {name}" for name in differ)
        yield Finding("finals-wrong", number, shown, ", ".join(f"{name} {there[name][-1]:.9g}" for name in differ))


def _scores(lab: LabSide, number: int, points: Points) -> Iterator[Finding]:
    """Scores as reported. A chart has the mean over the replicates that are alive, a report counts the others as 2."""
    told = {report.update: report.score for report in lab.reports.get(number, ())}
    there = {point.step: point.value for point in points.get("score", ())}
    alive = {point.step: round(point.value) for point in points.get(names.ALIVE, ())}
    replicates, last = lab.spec_of(number).replicates, known_until(lab, number)
    loose = {last} if died(lab, number) else set()
    scored = evaluated(lab.spec_of(number))
    missing = {update for update in scored & set(told) if update not in there and alive.get(update, 1)} - loose
    if missing:
        yield Finding(
            "score-missing", number, f"{len(told)} scores", f"none of {_some(missing)}", detail=_words(missing)
        )
    wrong = []
    for update in sorted((set(told) & set(there)) - loose):
        heard = heard_score(there[update], alive.get(update, replicates), replicates)
        if not _same(told[update], there[update]) and not math.isclose(told[update], heard, abs_tol=1e-9):
            wrong.append((update, told[update], there[update]))
    if wrong:
        yield Finding("score-wrong", number, _list([f"{score:.9g} at {update}" for update, score, _ in wrong]),
                      _list([f"{value:.9g}" for *_, value in wrong]))  # fmt: skip
    # of a trial that was cut short the last evaluation may have been recorded and not reported
    if lab.trials[number].state == "complete" and (more := set(there) - set(told)):
        shown = f"scores of {_some(more)} more"
        yield Finding("report-missing", number, f"{len(told)} reports", shown, detail=_words(more))


def heard_score(mean: float, alive: int, replicates: int) -> float:
    """What Optuna hears where a chart has the mean over the replicates that are alive."""
    return (mean * alive + HIGHEST * (replicates - alive)) / replicates


def _artifacts(sides: Sides, number: int, there: frozenset[str], measured: bool) -> Iterator[Finding]:
    state = sides.lab.trials[number].state
    wanted = set() if state == "running" else {names.SPEC_FILE, names.CURVES_FILE, names.RESULT_FILE}
    if measured:
        wanted |= {names.HEATMAP_FILE}
    if missing := sorted(wanted - there):
        has = number in sides.files.probes or number in sides.files.open_trials or not measured
        lost = names.CURVES_FILE in missing and not has
        yield Finding("artifacts-missing", number, ", ".join(sorted(wanted)), f"no {', '.join(missing)}", lost=lost)


def _finite(value: float) -> bool:
    return math.isfinite(value) and abs(value) < LARGEST


def _same(one: float | None, other: float) -> bool:
    return one is not None and math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)


def _words(updates: Iterable[int]) -> tuple[str, ...]:
    return tuple(str(update) for update in sorted(updates))


def _some(updates: Iterable[int]) -> str:
    return f"update {_list(list(_words(updates)))}"


def _list(parts: list[str]) -> str:
    return ", ".join(parts[:5]) + (f" and {len(parts) - 5} more" if len(parts) > 5 else "")
