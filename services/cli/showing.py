"""A sweep's trials or arms, and what it found, in a terminal."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from services.cli import reporting

if TYPE_CHECKING:
    from sweeps.report.table import Row
    from sweeps.store import Lab

MOST = 24
"""Trials up to which a sweep is shown trial by trial; a larger one is shown by arm, or by as many of its best."""

COLOURED = 200
"""Trials up to which a table is drawn for a terminal; for thousands that takes seconds."""


@dataclass(frozen=True)
class Shown:
    """What is shown of a sweep.

    Args:
        rows: its trials by number, or the best ones, the best first. total: trials that it has.
        best: whether `rows` are some only. endings: trials by state and verdict, in words.
    """

    rows: list[Row]
    total: int
    best: bool
    endings: str


def show_rows(id: str, shown: Shown, folder: Path, status: str, message: str | None = None) -> None:
    """Print a sweep's table, and what it shows."""
    from services.cli.screen import console, rows_table
    from sweeps.report.table import plain

    screen = console()
    note = f" ({message})" if message else ""
    if shown.best and reporting.show_arms(folder):
        reporting.show_findings(folder)
        screen.print(f"\nSweep {id}: {status}{note}; {shown.endings}; `--all` and `--json` have each", style="dim")
        say_lag(id, folder, status)
        return
    part = f"; the best {len(shown.rows)} of {shown.total:,} trials" if shown.best else ""
    title = f"Sweep {id}: {status}{note}{part}"
    if len(shown.rows) > COLOURED:
        typer.echo(f"{title}\n{plain(shown.rows)}")
    else:
        screen.print(rows_table(shown.rows, title))
    if shown.best:
        screen.print(f"\n{shown.endings}; `--all` and `--json` have each", style="dim")
    screen.print(
        "\nscore: log10(validation loss / trivial baseline), mean ± sd over replicates, lower is better; decades: "
        "log10 of the gradient left over the task's lag",
        style="dim",
    )
    summary = folder / "table.md"
    if not shown.best and summary.is_file():
        said = [line for line in summary.read_text().splitlines() if line.startswith("- ")]
        screen.print("\n" + "\n".join(said), markup=False)
    reporting.show_findings(folder)
    say_lag(id, folder, status)


def say_lag(id: str, folder: Path, status: str) -> None:
    """Say on standard error what of a sweep is not in MLflow, if anything, and what to do."""
    from services.cli.screen import console
    from sweeps.recording.lag import lag_of

    lag = lag_of(folder, running=status == "running")
    if lag is None:
        return
    ways = {"running": "", "stopped": f"; `rnnlab sweep record {id}` or `rnnlab sweep resume {id}` sends them"}
    way = ways.get(status, f"; `rnnlab sweep record {id}` sends them") if lag.waiting else ""
    console(stderr=True).print(f"{lag.words()}{way}", style="yellow", markup=False, soft_wrap=True)


def shown_of(lab: Lab, id: str, *, running: bool = False, everything: bool = False) -> Shown:
    """What is shown of a sweep; of one with more than `MOST` trials only so many are read, unless all are asked for.

    Args:
        running: whether its driver lives; else trials that say so are lost.
    """
    from sweeps.report.table import lines_as_rows

    endings = lab.endings(id)
    total = sum(endings.values())
    best = total > MOST and not everything
    rows = lines_as_rows(lab.lines(id, best=MOST if best else None), running=running)
    return Shown(rows, total, best, _counted(endings, running))


def _counted(endings: dict[tuple[str, str | None], int], running: bool) -> str:
    """`10,000 trials: 9,700 complete, 300 failed; verdict healthy 5,000, vanishing 4,700`."""
    states, verdicts = Counter[str](), Counter[str]()
    for (state, verdict), count in endings.items():
        states["lost" if state == "running" and not running else state] += count
        if verdict:
            verdicts[verdict] += count
    ended = ", ".join(f"{count:,} {state}" for state, count in states.most_common())
    judged = ", ".join(f"{verdict} {count:,}" for verdict, count in verdicts.most_common())
    return f"{states.total():,} trials: {ended}" + (f"; verdict {judged}" if judged else "")
