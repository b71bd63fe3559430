"""Checking a sweep: every difference between the lab database, MLflow and the files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from sweeps.checking import in_files, in_lab, in_mlflow
from sweeps.checking.findings import Finding
from sweeps.checking.sides import Sides, moving_trials, read_files, read_lab, read_mlflow
from sweeps.home import Home
from sweeps.store import Lab, SweepStatus

Progress = Callable[[int, int], None]
"""Told how many runs of MLflow are read, and of how many."""


@dataclass(frozen=True)
class Checked:
    """What a check found.

    Args:
        sides: as they were read. findings: by group and trial.
    """

    sides: Sides
    findings: tuple[Finding, ...]

    @property
    def left(self) -> list[Finding]:
        """Faults that stand: neither lag nor mended."""
        return [finding for finding in self.findings if not finding.lag and not finding.mended]

    @property
    def counts(self) -> str:
        """`6 trials, 7 runs, 540 points`."""
        mlflow = self.sides.mlflow
        runs = len(mlflow.parents) + sum(len(runs) for runs in mlflow.runs.values())
        return f"{len(self.sides.lab.trials):,} trials, {runs:,} runs, {mlflow.count:,} points"


def check_sweep(
    lab: Lab,
    home: Home,
    sweep_id: str,
    *,
    everything: bool = False,
    ended: SweepStatus | None = None,
    each: Progress = lambda done, total: None,
) -> Checked:
    """Compare a sweep's lab database, MLflow and files; nothing is written. A sweep that runs may be checked too.

    Args:
        everything: read every point of every metric, also of the curves by timestep and lag, which are most.
        ended: the status that it has for whoever holds its lease and trains nothing.
        each: who is shown how far it is.

    Raises:
        SpecError: no such sweep.
        PlaceError: a store does not answer.
    """
    # the lab database first, then the spool: what it says and no message waits for, MLflow must have when it is read
    told = read_lab(lab, sweep_id, ended)
    files = read_files(home.sweep_folder(sweep_id))
    mlflow = read_mlflow(home, sweep_id, everything=everything, each=each)
    moving: frozenset[int] = frozenset()
    if told.live:
        after = lab.trials(sweep_id)
        moving = moving_trials(told, after, files, lab)
        begun = {trial.number for trial in after} - set(told.trials)  # since the lab database was read
        mlflow = replace(mlflow, runs={number: runs for number, runs in mlflow.runs.items() if number not in begun})
    sides = Sides(told, mlflow, files, moving)
    return Checked(sides, tuple(findings_in(sides)))


def findings_in(sides: Sides) -> list[Finding]:
    """All findings, by group, the sweep's own first."""
    found = []
    for group in (in_lab, in_mlflow, in_files):
        found += group.of_sweep(sides)
        if sides.mlflow.experiments or group is not in_mlflow:
            for number in sides.lab.trials:
                found += group.of_trial(sides, number)
    return found
