"""A sweep's trials or arms, and what it found, in a terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from services.cli import reporting

if TYPE_CHECKING:
    from sweeps.report.table import Row
    from sweeps.store import Lab

MOST = 24
"""Trials up to which a sweep is shown trial by trial; a larger one is shown by arm."""


def show_rows(id: str, rows: list[Row], folder: Path, status: str, message: str | None = None) -> None:
    """Print a sweep's table, and what it shows."""
    from services.cli.screen import console, rows_table

    screen = console()
    note = f" ({message})" if message else ""
    if len(rows) > MOST and reporting.show_arms(folder):
        reporting.show_findings(folder)
        screen.print(f"\nSweep {id}: {status}{note}; {len(rows)} trials, `--json` and table.md have each", style="dim")
        return
    screen.print(rows_table(rows, f"Sweep {id}: {status}{note}"))
    screen.print(
        "\nscore: log10(validation loss / trivial baseline), mean ± sd over replicates, lower is better; decades: "
        "log10 of the gradient left over the task's lag",
        style="dim",
    )
    summary = folder / "table.md"
    if summary.is_file():
        said = [line for line in summary.read_text().splitlines() if line.startswith("- ")]
        screen.print("\n" + "\n".join(said), markup=False)
    reporting.show_findings(folder)


def rows_in(lab: Lab, id: str, *, running: bool = False) -> list[Row]:
    """A sweep's rows; `running`: whether its driver lives, else trials that say so are lost."""
    from sweeps.report.table import rows_of

    return rows_of(lab.trials(id), lab.replicates(id), running=running)
