"""Pictures of a run, drawn after it has ended, when nothing else waits."""

from __future__ import annotations

from pathlib import Path

from sweeps.home import trial_folder
from sweeps.recording import names
from sweeps.recording.arrays import load_curves
from sweeps.recording.mlflow_writer import OpenRun
from sweeps.report.figures import heatmap, save


def draw_run(run: OpenRun, folder: Path) -> Path:
    """Draw a run's heatmap from its curves under `trials/NUMBER/`, and beside them; the picture's path."""
    home = trial_folder(folder, run.begun.trial)
    figure = heatmap(
        load_curves(home / names.CURVES_FILE),
        title=run.begun.name,
        state=run.begun.state,
        depth=run.begun.depth,
        lag=run.begun.lag,
    )
    save(figure, home / names.HEATMAP_FILE)
    return home / names.HEATMAP_FILE
