"""What a sweep leaves behind in its folder: the table as JSON and Markdown, and one picture of all gradients."""

from __future__ import annotations

import json
from pathlib import Path

from rnnlab.cells import CELLS
from rnnlab.choices import choose
from rnnlab.spec import TrialSpec
from sweeps.recording.arrays import load_curves
from sweeps.recording.names import CURVES_FILE
from sweeps.report.figures import Panel, save, small_multiples
from sweeps.report.table import Row, markdown, observations, rows_of, verdicts_of
from sweeps.store import Lab

MOST = 24
"""Panels of the picture."""
TABLE_JSON, TABLE_MD, GRADIENTS_PNG = "table.json", "table.md", "gradients.png"


def write_summary(lab: Lab, sweep_id: str, lag: int, folder: Path) -> list[Path]:
    """Write a sweep's table and picture; the files, of which the picture is absent where nothing was measured.

    Args:
        lab: the lab database. lag: of the task, in steps. folder: the sweep's.
    """
    trials = lab.trials(sweep_id)
    rows = rows_of(trials, lab.replicates(sweep_id))
    (folder / TABLE_JSON).write_text(json.dumps([row.as_dict() for row in rows], indent=1))
    said = "\n".join(f"- {line}" for line in observations(rows, lag))
    (folder / TABLE_MD).write_text(f"# Sweep {sweep_id}\n\n{said}\n\n{markdown(rows)}")
    files = [folder / TABLE_JSON, folder / TABLE_MD]
    shown = [
        (row, TrialSpec.model_validate(trial.spec), path)
        for row, trial in zip(rows, trials, strict=True)
        if (path := folder / "trials" / f"{trial.number:04}" / CURVES_FILE).is_file()
    ]
    note = ""
    if len(shown) > MOST:  # a design: one trial of each arm speaks for it
        by_label = {row.label: (row, spec, path) for row, spec, path in reversed(shown)}
        whole, shown = len(shown), sorted(by_label.values(), key=lambda part: part[0].trial)[:MOST]
        note = f"; {len(shown)} of {whole} trials, the first of each label"
    panels = [_panel(row, spec, lag, path) for row, spec, path in shown]
    if panels:
        title = f"Sweep {sweep_id}: how much of the gradient is left, by lag and update{note}"
        save(small_multiples(panels, title=title), folder / GRADIENTS_PNG)
        files.append(folder / GRADIENTS_PNG)
    return files


def _panel(row: Row, spec: TrialSpec, lag: int, curves: Path) -> Panel:
    return Panel(
        label=f"#{row.trial} {row.label}",
        arrays=load_curves(curves),
        state=choose(CELLS, spec.model.cell.kind).load().anchor_state,
        depth=spec.model.depth,
        lag=lag,
        verdict_init=verdicts_of(row)[0],
        verdict=verdicts_of(row)[1],
        score=row.score,
        exploded=row.exploded > 0,
    )
