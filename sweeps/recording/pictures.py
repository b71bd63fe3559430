"""Pictures of a run, drawn after it has ended, when nothing else waits."""

from __future__ import annotations

from pathlib import Path

from sweeps.home import trial_folder
from sweeps.recording import names
from sweeps.recording.mlflow_writer import OpenRun
from sweeps.report.figures import heatmap, save


def draw_run(run: OpenRun, folder: Path) -> Path:
    """Draw a run's heatmap, and keep its curves beside it under `trials/NUMBER/`; the picture's path."""
    home = trial_folder(folder, run.begun.trial)
    run.archive.save(home / names.CURVES_FILE)
    figure = heatmap(
        run.archive.arrays,
        title=run.begun.name,
        state=run.begun.state,
        depth=run.begun.depth,
        lag=run.begun.lag,
    )
    save(figure, home / names.HEATMAP_FILE)
    return home / names.HEATMAP_FILE
