"""A lab whose sweeps a test drives as a driver would, and the service on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from jobs import SPEC, NoJobs

from rnnlab.spec import TrialSpec
from rnnlab.written import load_yaml
from services.api.service import Service
from services.jobs.foreman import Foreman
from services.settings import ServiceSettings
from sweeps.home import Home
from sweeps.store import ReplicateRecord, TrialResult
from sweeps.store.queue import Queue

TRIAL = TrialSpec.model_validate(
    {"task": {"kind": "adding", "length": 12}, "model": {"hidden": 8}, "budget": {"updates": 30}, "replicates": 1}
).model_dump(mode="json")
BODY = 300_000
"""Bytes of a request that a hardened service takes."""
STEPS, UPDATES = 12, (0, 15, 30)


class Lab:
    """A lab whose sweeps a test drives as a driver would, and the service on it."""

    def __init__(self, folder: Path, queue: Queue, **settings: Any) -> None:
        self.home, self.queue, self.engine = Home(folder), queue, NoJobs()
        foreman = Foreman(queue, self.engine, 1)
        said = ServiceSettings(home=folder, **settings)
        self.service = Service(said, self.home, queue, self.engine, foreman, guarded=False)

    def launched(self, spec: str = SPEC, key: str = "a") -> str:
        """A queued sweep."""
        sweep, _ = self.queue.launch("tiny", load_yaml(spec), "abc", key=key, launched_by=None)
        return sweep.id

    def begun(self, id: str) -> None:
        """As if its driver had started."""
        self.queue.take_lease(id, "here", 1)

    def trained(self, id: str, number: int, label: str, score: float, decades: float) -> None:
        """One trial that ended, with its curves."""
        self.queue.add_block(id, number, number, {})
        params = {"cell": label.split()[0]}
        self.queue.start_trial(id, number, block=number, config_hash="abc", label=label, params=params, spec=TRIAL)
        folder = self.home.sweep_folder(id) / "trials" / f"{number:04}"
        folder.mkdir(parents=True)
        np.savez_compressed(folder / "curves.npz", **curves(decades))  # type: ignore[arg-type]
        healthy = decades > -3
        result = TrialResult(
            score=score, test_score=score, verdict="healthy" if healthy else "vanishing", verdict_init="vanishing",
            decades=decades, updates=30, seconds=1.0,
        )  # fmt: skip
        ended = [ReplicateRecord(trial=number, number=0, seed=1, outcome="finished", update=30)]
        self.queue.end_trial(id, number, "complete", result, ended)

    def finished(self, id: str) -> None:
        """Its report is there, and it has ended."""
        finding = {"text": "Cell `gru` instead of `rnn` <b>helps</b>. It costs 10% more.", "caveats": ["Few runs."]}
        folder = self.home.sweep_folder(id)
        (folder / "report.json").write_text(json.dumps({"analysis": {"findings": [finding]}}))
        (folder / "report.html").write_text("<!doctype html><p id=p>no</p><script>p.textContent='ran'</script>")
        self.queue.end_sweep(id, "finished")


def curves(decades: float) -> dict[str, np.ndarray]:
    """G2 that loses so many decades at the last update and 8 at the first, and a loss that falls with time."""
    ends_U1 = np.array([[-8.0], [(-8 + decades) / 2], [decades]])
    lost_UK = ends_U1 * np.arange(STEPS) / (STEPS - 1)
    loss_UK = np.tile(np.linspace(2, 1, STEPS), (3, 1))
    return {
        "updates": np.array(UPDATES, dtype=float),
        "anytime_loss": loss_UK[:, None],
        "total_h_l0": 10 ** lost_UK[:, None, ::-1],
        "anchor_h_l0": 10 ** lost_UK[:, None],
        "saturation_h_l0": loss_UK[:, None] / 2,
    }
