"""Whether a sweep's folder holds what it must, and nothing that its end should have removed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from sweeps.checking.expected import died, known_until, probed
from sweeps.checking.findings import Finding
from sweeps.checking.sides import Sides
from sweeps.recording import names
from sweeps.report.summary import GRADIENTS_PNG, TABLE_JSON, TABLE_MD

REPORT = frozenset({"report.html", "report.md", "report.json", TABLE_JSON, TABLE_MD})
"""Files that a finished sweep has; with curves also `GRADIENTS_PNG`."""
ENDED = ("complete", "pruned", "failed")


def of_sweep(sides: Sides) -> Iterator[Finding]:
    """The folder as a whole."""
    lab, files = sides.lab, sides.files
    if files.waiting:
        yield Finding("spool-waiting", None, "no message", f"{files.waiting} messages", lag=lab.live)
    if files.aside:
        yield Finding("spool-aside", None, "none", f"{files.aside} files under {files.folder / 'spool'}")
    if files.left and not lab.live:
        yield Finding("folder-left", None, "none", ", ".join(files.left))
    for number in sorted((files.folders | files.open_trials) - set(lab.trials)):
        if not lab.live:  # else it may have begun since the lab database was read
            yield Finding("folder-stray", number, "no such trial", f"a folder under {files.folder}")
    if lab.sweep.status == "finished":
        wanted = REPORT | ({GRADIENTS_PNG} if files.probes else set())
        if missing := sorted(wanted - files.top):
            yield Finding("summary-missing", None, ", ".join(sorted(wanted)), f"no {', '.join(missing)}")


def of_trial(sides: Sides, number: int) -> Iterator[Finding]:
    """A trial's folders."""
    for finding in _of_trial(sides, number):
        yield replace(finding, lag=finding.kind.behind and number in sides.moving)


def _of_trial(sides: Sides, number: int) -> Iterator[Finding]:
    lab, files = sides.lab, sides.files
    state = lab.trials[number].state
    if state in ENDED:
        if number in files.checkpoints:
            yield Finding("checkpoint-left", number, "none", "a checkpoint")
        if number in files.open_trials:
            yield Finding("open-left", number, "not open", f"open/{number:04}")
    told = lab.reports.get(number)
    if not told or state == "running":
        return
    has = files.probes.get(number)
    if state == "interrupted" and number not in files.open_trials:
        yield Finding("open-missing", number, f"open/{number:04}", "none", lost=has is None)
    if has is None:
        yield Finding("curves-missing", number, names.CURVES_FILE, "none", lost=not _logged(sides, number))
        return
    until = known_until(lab, number)
    wanted = probed(lab.spec_of(number), until - died(lab, number))
    if missing := sorted(wanted - has):
        shown = ", ".join(map(str, missing[:8])) + (", ..." if len(missing) > 8 else "")
        yield Finding("probes-missing", number, f"{len(wanted)} probes up to update {until}", f"none of update {shown}")


def _logged(sides: Sides, number: int) -> bool:
    """Whether MLflow has a trial's curves."""
    runs = sides.mlflow.runs.get(number, ())
    return any(names.CURVES_FILE in sides.mlflow.artifacts.get(run.info.run_id, ()) for run in runs)
