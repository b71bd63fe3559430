"""Mending a sweep: the lab database and the kept curves are told to the recorder again, leftovers are removed.

Everything that MLflow gets goes through a recorder in this process, as messages in its spool, so that it is written by
the code that wrote the rest, and is not lost where this dies too.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from mlflow.entities import Metric
from mlflow.tracking import MlflowClient

from rnnlab.curve import Curve
from rnnlab.errors import PlaceError
from rnnlab.spec import TrialSpec
from rnnlab.training.seeding import seed_of
from rnnlab.training.stack import load_task
from sweeps.checking.check import Checked, Progress, check_sweep
from sweeps.checking.expected import PARENT, died, evaluated, finals_in, known_until, over_of, tags_of
from sweeps.checking.findings import KINDS, Finding
from sweeps.checking.in_mlflow import heard_score, run_of
from sweeps.checking.sides import LabSide, Sides, answering, read_files
from sweeps.home import CHECKPOINT_FILE, Home, trial_folder
from sweeps.recording import names
from sweeps.recording.actor import RecorderProcess, RecorderStatus, writer_arguments
from sweeps.recording.arrays import LOG10, Arrays, load_curves
from sweeps.recording.messages import Message, UpdateCurves
from sweeps.report.summary import write_summary
from sweeps.report.whole import arm_rows, words, write_whole
from sweeps.running.books import Books
from sweeps.running.progress import NoWatcher
from sweeps.spec import SweepSpec
from sweeps.store import Lab, SweepStatus, TrialResult

PATIENCE = 60.0
"""Seconds that a store may refuse before mending gives up; what waits stays in the spool."""
BEAT = 5.0
"""Seconds between two renewals of the lease."""
DIED = "its driver died"
RETOLD = frozenset({"run-missing", "params-missing", "charts-missing", "artifacts-missing", "open-missing"})
"""Findings that are mended by telling the recorder how a trial began, its curves, and how it ended."""
WRITTEN = RETOLD | {"status", "tags", "finals-missing", "score-missing"}
"""Findings of a trial that are mended in MLflow."""
ABSENT = frozenset({"experiment-missing", "experiment-deleted", "run-missing", "run-deleted", "runs-several"})
"""Findings after which MLflow is read again before more is mended."""
OF_PARENT = frozenset({"summary-missing", "artifacts-missing", "run-missing", "experiment-missing"})
"""Findings of a finished sweep that are mended by writing its end again."""


def mend_sweep(
    lab: Lab, home: Home, checked: Checked, *, everything: bool = False, each: Progress = lambda done, total: None
) -> Checked:
    """Mend what can be mended of what a check found; how the sweep is then, mended findings among the others.

    Raises:
        PlaceError: a live driver holds the sweep's lease, or MLflow does not answer.
    """
    sweep = checked.sides.lab.sweep
    codes = {finding.code for finding in checked.findings if finding.mend is not None}
    if not codes and sweep.status != "running":
        return checked
    lab.take_lease(sweep.id, socket.gethostname(), os.getpid(), to_mend=True)
    status: SweepStatus = "stopped" if codes & {"sweep-lost", "trials-missing"} else sweep.status
    message, ended_at = sweep.message, sweep.ended_at
    if sweep.lost:
        message, ended_at = DIED, None
    elif status != sweep.status:
        message = KINDS["trials-missing"].means
    try:
        with _beating(lab, sweep.id):
            _Mending(lab, home, sweep.id, status).all(checked)
    finally:
        lab.end_sweep(sweep.id, status, message, ended_at)
    now = check_sweep(lab, home, sweep.id, everything=everything, each=each)
    there = {finding.key for finding in now.findings}
    mended = [replace(finding, mended=True) for finding in checked.findings if finding.key not in there]
    if mended:
        lab.event(sweep.id, "mended", ", ".join(sorted({finding.code for finding in mended})), count=len(mended))
    return Checked(now.sides, (*mended, *now.findings))


class _Mending:
    """One mending of a sweep whose lease this process holds.

    Args:
        status: the sweep's when it is done.
    """

    def __init__(self, lab: Lab, home: Home, sweep_id: str, status: SweepStatus) -> None:
        self.lab, self.home, self.sweep_id, self.status = lab, home, sweep_id, status
        self.folder = home.sweep_folder(sweep_id)

    def all(self, checked: Checked) -> None:
        """In order: the lab database, what waits, runs, files, the sweep's end."""
        self._mend_lab(checked)
        codes = {finding.code for finding in checked.findings}
        if any(finding.kind.group == "mlflow" for finding in checked.findings) or codes & _FOR_RECORDER:
            self._mend_mlflow(checked, again=bool(codes & (ABSENT | _FOR_RECORDER)))
        self._mend_files(checked.sides.lab)
        if any(finding.trial is None and finding.code in OF_PARENT for finding in checked.findings):
            self._end()

    def _mend_lab(self, checked: Checked) -> None:
        lab = checked.sides.lab
        for finding in checked.findings:
            if finding.code == "block-missing" and finding.trial is not None:
                spec, slot = lab.spec_of(finding.trial), lab.spec.stages.slot(finding.trial)
                seed = seed_of("block", spec.seed, spec.block)
                self.lab.add_block(self.sweep_id, spec.block, seed, lab.spec.stages.nuisance(slot))
            if finding.code == "report-missing" and finding.trial is not None:
                self._report(checked.sides, finding.trial, {int(update) for update in finding.detail})
            if finding.code == "trial-running" and finding.trial is not None:
                done = TrialResult(cause=DIED, updates=known_until(lab, finding.trial))
                self.lab.end_trial(self.sweep_id, finding.trial, "interrupted", done)

    def _report(self, sides: Sides, number: int, updates: set[int]) -> None:
        """Report scores that MLflow has: a driver that died may not have heard of the last one before a checkpoint."""
        replicates = sides.lab.spec_of(number).replicates
        points = sides.mlflow.points[run_of(sides.mlflow.runs[number], sides.lab.trials[number]).info.run_id]
        alive = {point.step: round(point.value) for point in points.get(names.ALIVE, ())}
        for point in points["score"]:
            if point.step in updates:
                score = heard_score(point.value, alive.get(point.step, replicates), replicates)
                self.lab.report(self.sweep_id, number, point.step, score)

    def _mend_mlflow(self, checked: Checked, again: bool) -> None:
        with answering(self.home) as client:
            _undelete(client, checked.findings)
            if again:
                self._record(())
                checked = check_sweep(self.lab, self.home, self.sweep_id, ended=self.status)
            sides, by_trial = checked.sides, _by_trial(checked.findings)
            told = {
                number: found
                for number, found in by_trial.items()
                if number in sides.lab.trials and any(one.mend and one.code in RETOLD for one in found)
            }
            status = self._record(
                message for number, found in told.items() for message in self._retold(sides.lab, number, found)
            )
            ids = {
                number: str(run_of(runs, sides.lab.trials[number]).info.run_id)
                for number, runs in sides.mlflow.runs.items()
                if number in sides.lab.trials
            }
            ids |= status.run_ids
            assert status.experiment_id is not None, "the recorder has written"
            assert status.parent_id is not None, "the recorder has written"
            for number, found in by_trial.items():
                if number in sides.lab.trials and number in ids and any(one.code in WRITTEN for one in found):
                    self._write(client, sides.lab, number, ids[number], status.parent_id, found)
            ended = client.get_run(status.parent_id).info.end_time
            client.set_terminated(status.parent_id, PARENT[self.status], ended)
        self.lab.set_mlflow(self.sweep_id, status.experiment_id, status.parent_id)
        for number, id in ids.items():
            if number in sides.lab.trials and sides.lab.trials[number].mlflow_run_id != id:
                self.lab.set_trial_run(self.sweep_id, number, id)

    def _retold(self, lab: LabSide, number: int, found: Sequence[Finding]) -> Iterator[Message]:
        """A trial from its beginning to its end. One whose curves are lost gets none that are empty instead."""
        if any(one.code == "params-wrong" for one in found):
            return  # MLflow would refuse its beginning
        trial = lab.trials[number]
        books = Books(self.sweep_id, lab.spec, self.lab, None, NoWatcher(), self.folder)
        slot, spec = lab.spec.stages.slot(number), lab.spec_of(number)
        yield books.begun(slot, trial.started_at, trial.label, trial.params, spec)
        if not (self.folder / "open" / f"{number:04}").exists():
            kept = list(kept_curves(self.folder, number))
            yield from kept
            if not kept and lab.reports.get(number):
                return
        missing = {
            name
            for one in found
            if one.code in ("finals-missing", "run-missing")
            for name in one.detail or names.FINALS
        }
        finals = finals_in(lab, number)
        yield over_of(lab, number, {name: value for name, value in finals.items() if name in missing})

    def _write(
        self, client: MlflowClient, lab: LabSide, number: int, id: str, parent: str, found: Sequence[Finding]
    ) -> None:
        """What needs no recorder, of a run that is there."""
        run, over, finals = client.get_run(id), over_of(lab, number, {}), finals_in(lab, number)
        start = int(lab.trials[number].started_at.timestamp() * 1000)
        at = start + over.update
        metrics = [Metric(name, value, at, 0) for name, value in finals.items() if name not in run.data.metrics]
        scores = {report.update: report.score for report in lab.reports.get(number, ())}
        there = {point.step for point in client.get_metric_history(id, "score")}
        updates = set(scores) & evaluated(lab.spec_of(number)) - there
        if died(lab, number):  # where the last replicate died there is no score
            updates -= {known_until(lab, number)}
        if not any(one.code in ("score-missing", "run-missing") for one in found):
            updates = set()
        metrics += [Metric("score", scores[update], start + update, update) for update in sorted(updates)]
        client.log_batch(id, metrics=metrics)
        for name, value in {**tags_of(lab, number), "mlflow.parentRunId": parent}.items():
            if value is None and name in run.data.tags:
                client.delete_tag(id, name)
            elif value is not None and run.data.tags.get(name) != value:
                client.set_tag(id, name, value)
        files = {file.path for file in client.list_artifacts(id)}
        if names.RESULT_FILE not in files and over.result:
            client.log_dict(id, over.result, names.RESULT_FILE)
        if names.SPEC_FILE not in files:
            client.log_text(id, lab.spec_of(number).to_yaml(), names.SPEC_FILE)
        if run.info.status != over.status:
            client.set_terminated(id, over.status, over.ended_ms)

    def _mend_files(self, lab: LabSide) -> None:
        """Fetch curves, and remove what an end would have removed."""
        files, states = read_files(self.folder), {trial.number: trial.state for trial in self.lab.trials(self.sweep_id)}
        ended = {number for number, state in states.items() if state in ("complete", "pruned", "failed")}
        for number in files.checkpoints & ended:
            (trial_folder(self.folder, number) / CHECKPOINT_FILE).unlink(missing_ok=True)
        for number in files.open_trials & ended:
            shutil.rmtree(self.folder / "open" / f"{number:04}")
        for name in files.left:
            path = self.folder / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        lacking = [number for number in lab.trials if lab.reports.get(number) and number not in files.probes]
        with answering(self.home) as client:
            for trial in self.lab.trials(self.sweep_id):
                id = trial.mlflow_run_id
                if trial.number in lacking and id and names.CURVES_FILE in {f.path for f in client.list_artifacts(id)}:
                    client.download_artifacts(id, names.CURVES_FILE, str(trial_folder(self.folder, trial.number)))

    def _end(self) -> None:
        """Write the end of a finished sweep again: its summary, report and parent run."""
        if self.status != "finished":
            return
        trials = self.lab.trials(self.sweep_id)
        lag = load_task(TrialSpec.model_validate(trials[0].spec)).lag
        files = write_summary(self.lab, self.sweep_id, lag, self.folder)
        analysis, reports = write_whole(self.lab, self.sweep_id, self.folder, lag)
        recorder = self._recorder()
        self._wait(recorder)
        paths = [str(path) for path in [*reports, *files]]
        recorder.close(PARENT[self.status], paths, words(analysis), {"arms.json": arm_rows(analysis)})

    def _recorder(self) -> RecorderProcess:
        spec = SweepSpec.model_validate(self.lab.sweep(self.sweep_id).spec)
        return RecorderProcess(str(self.folder), writer_arguments(self.home, self.sweep_id, spec))

    def _record(self, messages: Iterable[Message]) -> RecorderStatus:
        """Write what waits in the spool, and these."""
        recorder = self._recorder()
        for message in messages:
            recorder.put(message)
        return self._wait(recorder)

    def _wait(self, recorder: RecorderProcess) -> RecorderStatus:
        """Until everything is written.

        Raises:
            PlaceError: the store refuses for longer than `PATIENCE`.
        """
        well = time.monotonic()
        while True:
            status = recorder.status()
            if recorder.writer is not None and not status.waiting and not status.pictures:
                return recorder.finish()
            if status.error is None:
                well = time.monotonic()
            elif time.monotonic() - well > PATIENCE:
                raise PlaceError(
                    f"MLflow at {self.home.mlflow_uri} must take what waits, but: {status.error}; check that it runs, "
                    f"and repair again: {status.waiting} messages stay in {self.folder / 'spool'}"
                )
            time.sleep(0.05)


_FOR_RECORDER = frozenset({"sweep-lost", "trial-running", "spool-waiting", "open-missing"})
"""Findings of the other groups that MLflow is written for."""


def kept_curves(folder: Path, number: int) -> Iterator[UpdateCurves]:
    """The curves in a trial's folder, as the messages that they came in."""
    path = trial_folder(folder, number) / names.CURVES_FILE
    if not path.is_file():
        return
    arrays = load_curves(path)
    updates = arrays.pop("updates")
    for row, update in enumerate(updates.astype(int).tolist()):
        yield UpdateCurves(
            number, update, tuple(_curve(arrays, name, row, update) for name in arrays if LOG10 not in name)
        )


def _curve(arrays: Arrays, name: str, row: int, update: int) -> Curve:
    """One curve by its whole name, which is all that an archive asks of it."""
    exact = arrays.get(name + LOG10)
    return Curve(name, "index", arrays[name][row], None, None, update, None if exact is None else exact[row])  # type: ignore[arg-type]


def _undelete(client: MlflowClient, findings: Iterable[Finding]) -> None:
    """Restore what a person deleted, and delete second runs, before the recorder looks for its own."""
    for finding in findings:
        for id in finding.detail:
            if finding.code == "experiment-deleted":
                client.restore_experiment(id)
            elif finding.code == "run-deleted":
                client.restore_run(id)
            elif finding.code == "runs-several":
                client.delete_run(id)


def _by_trial(findings: Iterable[Finding]) -> dict[int, list[Finding]]:
    found: dict[int, list[Finding]] = {}
    for finding in findings:
        if finding.trial is not None:
            found.setdefault(finding.trial, []).append(finding)
    return found


@contextlib.contextmanager
def _beating(lab: Lab, sweep_id: str) -> Iterator[None]:
    """Renew the lease while the body runs."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(BEAT):
            lab.heartbeat(sweep_id)

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
