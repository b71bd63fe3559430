"""Whether the lab database agrees with itself."""

from __future__ import annotations

from collections.abc import Iterator

from rnnlab.training.seeding import replicate_seed
from sweeps.checking.expected import died, evaluated, known_until
from sweeps.checking.findings import Finding
from sweeps.checking.sides import LabSide, Sides
from sweeps.store.tables import refuse_non_finite


def of_sweep(sides: Sides) -> Iterator[Finding]:
    """The sweep's own row."""
    lab = sides.lab
    if lab.sweep.lost:
        yield Finding("sweep-lost", None, "running", f"pid {lab.sweep.driver_pid} on {lab.sweep.driver_host} is gone")
    ended = sum(trial.state in ("complete", "pruned", "failed") for trial in lab.trials.values())
    if lab.sweep.status == "finished" and ended < lab.spec.trials:
        yield Finding("trials-missing", None, f"{lab.spec.trials} trials", f"{ended} ended")


def of_trial(sides: Sides, number: int) -> Iterator[Finding]:
    """A trial's rows."""
    lab = sides.lab
    trial = lab.trials[number]
    if trial.state == "running" and not lab.live:
        yield Finding("trial-running", number, f"not running, as the sweep is {lab.sweep.status}", "running")
    if trial.block not in lab.blocks:
        yield Finding("block-missing", number, f"block {trial.block}", "none", detail=(str(trial.block),))
    yield from _replicates(lab, number)
    yield from _reports(lab, number)
    for what in (trial, *lab.replicates.get(number, ()), *lab.reports.get(number, ())):
        try:
            refuse_non_finite(type(what).__name__.removesuffix("Record").lower(), what.model_dump())
        except ValueError as error:
            yield Finding("lab-not-finite", number, "finite numbers", str(error).rpartition("database: ")[2])
            return


def _replicates(lab: LabSide, number: int) -> Iterator[Finding]:
    spec, there = lab.spec_of(number), lab.replicates.get(number, ())
    state = lab.trials[number].state
    if not there and state in ("running", "interrupted", "failed"):
        return  # it may have ended before its first result
    wanted = [(r, replicate_seed(spec.seed, spec.block, r)) for r in range(spec.replicates)]
    if [(one.number, one.seed) for one in there] != wanted:
        shown = ", ".join(str(one.number) for one in there) or "none"
        found = f"{shown}{', with other seeds' if len(there) == spec.replicates else ''}"
        yield Finding("replicates-wrong", number, f"replicates 0 to {spec.replicates - 1}", found)


def _reports(lab: LabSide, number: int) -> Iterator[Finding]:
    """They come in order of update from the database, so what is left is whether a trial can have told them."""
    trial, told = lab.trials[number], [report.update for report in lab.reports.get(number, ())]
    may = evaluated(lab.spec_of(number))
    if died(lab, number):
        may.add(known_until(lab, number))  # the end, where the last replicate died
    if odd := [update for update in told if update not in may]:
        yield Finding("reports-wrong", number, "reports of updates at which it is evaluated", _some(odd))
    elif trial.state == "complete" and told[-1:] != [trial.updates]:
        yield Finding("reports-wrong", number, f"a last report at update {trial.updates}", _some(told[-1:]))


def _some(updates: list[int]) -> str:
    if not updates:
        return "none"
    return "of update " + ", ".join(map(str, updates[:5])) + (", ..." if len(updates) > 5 else "")
