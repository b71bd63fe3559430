"""What commands show: tables, the live view of a sweep, and plain lines where there is no terminal."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from sweeps.report.table import Row
    from sweeps.running.progress import SweepProgress, TrialProgress

WIDE = 160
"""Columns where the output is not a terminal."""
SHOWN = 16
"""Trials in the live table."""
DRAW_EVERY = 0.5
"""Seconds between two looks whether the live table has changed: to draw it costs as much as many updates."""
COLOURS = {
    "healthy": "green",
    "vanishing": "blue",
    "exploding": "red",
    "transient": "yellow",
    "too_short": "dim",
}


def console(*, stderr: bool = False) -> Console:
    """A console; wide where nobody's terminal limits it."""
    made = Console(stderr=stderr, highlight=False, soft_wrap=False)
    return made if made.is_terminal else Console(stderr=stderr, highlight=False, width=WIDE)


def rows_table(rows: Sequence[Row], title: str) -> Table:
    """The table of configurations."""
    from sweeps.report.table import HEADS, cells_of, verdicts_of

    table = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    right = {"#", "depth", "score ± sd", "test acc.", "decades", "exploded"}
    for head in HEADS:
        table.add_column(head, justify="right" if head in right else "left", no_wrap=head != "other")
    verdicts, exploded = HEADS.index("verdict: init → end"), HEADS.index("exploded")
    for row in rows:
        cells: list[str | Text] = list(cells_of(row))
        cells[verdicts] = _verdicts(*verdicts_of(row))
        if row.exploded:
            cells[exploded] = Text(str(cells[exploded]), style="red")
        table.add_row(*cells)
    return table


def _verdicts(first: str, last: str) -> Text:
    shown = Text(first, style=COLOURS.get(first, "default"))
    shown.append(" → ", style="default")
    shown.append(last, style=COLOURS.get(last, "default"))
    return shown


class LiveWatcher:
    """Shows a sweep's progress as a live table on a terminal, else as a line for each trial that ends.

    Use as a context manager; `changed` may be called from any thread. The table is drawn by a thread of its own, and
    only where something has changed.
    """

    def __init__(self) -> None:
        self.console = console(stderr=True)
        self._live = (
            Live(console=self.console, auto_refresh=False, transient=True) if self.console.is_terminal else None
        )
        self._drawing = threading.Thread(target=self._draw, name="live table", daemon=True)
        self._progress: SweepProgress | None = None
        self._over = threading.Event()
        self._said: set[int] = set()
        self._notice = ""
        self._lags = False
        self._lock = threading.RLock()  # a signal may find its thread in `changed`

    def __enter__(self) -> LiveWatcher:
        if self._live is not None:
            self._live.start()
            self._drawing.start()
        self.say("starting Ray and the recorder ...")
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._over.set()
            try:
                self._drawing.join()
            finally:  # also where a person is impatient: it gives the cursor back
                self._live.stop()

    def say(self, text: str) -> None:
        """One line, until the next change."""
        if self._live is not None:
            self._live.update(Text(text, style="dim"), refresh=True)
        else:
            self.console.print(text)

    def changed(self, progress: SweepProgress) -> None:
        with self._lock:
            if self._live is not None:
                self._progress = progress
                return
            for trial in sorted(progress.recent, key=lambda trial: trial.number):
                if trial.number not in self._said:
                    self._said.add(trial.number)
                    self.console.print(f"[{progress.ended}/{progress.total}] {_line(trial)}", markup=False)
            self._say_lag(progress)
            if progress.notice and progress.notice != self._notice:
                self._notice = progress.notice
                self.console.print(progress.notice, markup=False)

    def _draw(self) -> None:
        assert self._live is not None
        while not self._over.wait(DRAW_EVERY):
            with self._lock:
                progress, self._progress = self._progress, None
            if progress is not None:
                self._live.update(_live_view(progress), refresh=True)

    def _say_lag(self, progress: SweepProgress) -> None:
        """A line where recording begins to lag, and one where it has caught up."""
        lags = progress.recording is not None and progress.recording.error is not None
        if lags != self._lags and progress.recording is not None:
            self._lags = lags
            said = progress.recording.lag.words() or f"recording lags ({progress.recording.error})"
            self.console.print(said if lags else "recording goes on", markup=False)


def _live_view(progress: SweepProgress) -> Group:
    elapsed = time.monotonic() - progress.started
    share = progress.share
    left = f", about {elapsed / share - elapsed:.0f} s left" if 0.03 < share < 1 else ""
    head = Text(f"sweep {progress.sweep_id}: {progress.ended} of {progress.total} trials, {elapsed:.0f} s{left}")
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("#", "configuration", "updates", "score", "verdict: init → now", "decades", "exploded"):
        table.add_column(name, justify="right" if name in ("#", "updates", "score", "decades") else "left")
    under_way = sorted(progress.running.values(), key=lambda trial: -trial.number)
    trials = [*under_way, *reversed(list(progress.recent))]
    for trial in sorted(trials[:SHOWN], key=lambda trial: trial.number):
        table.add_row(*_live_row(trial))
    parts: list[Any] = [head, ProgressBar(total=1.0, completed=share, width=60), table]
    if len(progress.trials) > SHOWN:
        parts.append(Text(f"... and {len(progress.trials) - SHOWN} trials before", style="dim"))
    recording = progress.recording
    if recording is not None and recording.error:
        parts.append(Text(recording.lag.words(), style="yellow"))
    if progress.notice:
        parts.append(Text(progress.notice, style="yellow"))
    return Group(*parts)


def _live_row(trial: TrialProgress) -> list[str | Text]:
    result = trial.result
    style = "default" if trial.outcome == "running" else "dim"
    updates = Text(f"{trial.updates}/{trial.budget}", style=style)
    if result is None:
        return [str(trial.number), trial.label, updates, "", trial.cause or "", "", ""]
    return [
        str(trial.number),
        Text(trial.label, style=style),
        updates,
        f"{result['score']:+.2f}",
        _verdicts(result["verdict_init"], result["verdict"]),
        f"{result['decades']:+.1f}",
        Text(str(result["exploded"]), style="red") if result["exploded"] else Text("no", style="dim"),
    ]


def _line(trial: TrialProgress) -> str:
    result = trial.result
    cause = f" ({trial.cause})" if trial.cause else ""
    if result is None:
        return f"{trial.label}: {trial.outcome}{cause}"
    return (
        f"{trial.label}: {trial.outcome}{cause} after {trial.updates} updates, score {result['score']:+.2f}, "
        f"{result['verdict_init']} → {result['verdict']}, exploded {result['exploded']}"
    )
