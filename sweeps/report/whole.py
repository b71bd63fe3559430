"""A sweep's report from the lab database, in this process or, while the sweep runs, in one beside it.

`python -m sweeps.report.whole URL ID FOLDER LAG` writes it once.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweeps.store import Lab

if TYPE_CHECKING:
    from sweeps.analysis.results import Analysis

PACKAGES = ("rnnlab", "torch", "ray", "optuna", "mlflow", "numpy", "scipy", "statsmodels", "scikit-learn")
"""Whose versions a report states."""
EVERY = 120.0
"""Seconds between two refreshes at least."""
SHARE = 0.05
"""Of the time, that refreshing may take."""


def write_whole(
    lab: Lab, sweep_id: str, folder: Path, lag: int | None = None, *, running: bool = False
) -> tuple[Analysis, list[Path]]:
    """Analyse a sweep as far as it is and write report.html, report.md and report.json into its folder.

    Args:
        lag: of the task, in steps; None: read from the task itself.

    Raises:
        SpecError: no such sweep.
    """
    from sweeps.analysis.analyse import analyse_sweep
    from sweeps.report.page import write_report

    analysis, data = analyse_sweep(lab, sweep_id, lag)
    versions = {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}
    files = write_report(analysis, data, folder, spec_yaml=data.spec.to_yaml(), versions=versions, running=running)
    return analysis, files


def words(analysis: Analysis) -> str:
    """The findings as Markdown, strongest first, with what limits them."""
    lines = ["### Findings", ""]
    for number, finding in enumerate(analysis.findings, 1):
        lines.append(f"{number}. {finding.text}{''.join(f' *{caveat}*' for caveat in finding.caveats)}")
    lines += ["", *(f"- {caveat}" for caveat in analysis.caveats)]
    return "\n".join(lines)


def arm_rows(analysis: Analysis) -> list[dict[str, Any]]:
    """The table of arms, plain values."""
    return [
        {
            "arm": arm.label,
            **arm.levels,
            "evidence": arm.evidence,
            f"{analysis.unit}s": arm.units,
            "replicates": arm.replicates,
            **{f"{name}{end}": getattr(one, end[1:] or "value") for name, one in {**arm.shares, **arm.means}.items()
               for end in ("", "_low", "_high")},
            "median_updates_to_solve": arm.median_updates_to_solve,
            "diverged": arm.counts.get("diverged", 0),
        }
        for arm in analysis.arms
    ]  # fmt: skip


@contextmanager
def refreshing(url: str, sweep_id: str, folder: Path, lag: int, ended: Callable[[], int]) -> Iterator[None]:
    """Write the report again and again in a process of its own while the body runs, where more trials have ended.

    Args:
        url: of the lab database. ended: how many trials have.
    """
    over = threading.Event()
    command = [sys.executable, "-m", "sweeps.report.whole", url, sweep_id, str(folder), str(lag)]

    def refresh() -> None:
        seen, wait = 0, EVERY
        while not over.wait(wait):
            if ended() == seen:
                continue
            seen, began = ended(), time.monotonic()
            with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
                while process.poll() is None and not over.wait(0.2):
                    pass
                process.kill()
            wait = max(EVERY, (time.monotonic() - began) / SHARE)

    thread = threading.Thread(target=refresh, name="report", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def main() -> None:
    """Write one report: URL, ID, FOLDER and LAG are the arguments."""
    os.nice(10)  # training goes first
    url, sweep_id, folder, lag = sys.argv[1:]
    with Lab.open(url) as lab:
        write_whole(lab, sweep_id, Path(folder), int(lag), running=True)


if __name__ == "__main__":
    main()
