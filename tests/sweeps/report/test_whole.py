"""The report is refreshed in a process beside the sweep while it runs."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from simulated import Truth, records, simulated_spec

from sweeps.report import whole
from sweeps.store import Lab, TrialResult, lab_url


def test_it_is_written_while_the_body_runs_and_again_when_more_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whole, "EVERY", 0.1)
    monkeypatch.setattr(whole, "SHARE", 1.0)
    spec = simulated_spec(blocks=2)
    trials, replicates = records(spec, lambda picks: Truth())
    url = lab_url(tmp_path / "home")
    with Lab.open(url) as lab:
        id = lab.create_sweep(spec.name, spec.model_dump(mode="json", exclude_defaults=True), spec.content_hash).id
        lab.take_lease(id, "here", 1)

        def end(number: int) -> None:
            trial = trials[number]
            lab.add_block(id, trial.block, 1 + trial.block, {})
            lab.start_trial(
                id, number, block=trial.block, config_hash=trial.config_hash, label=trial.label, params=trial.params,
                spec=trial.spec,
            )  # fmt: skip
            result = TrialResult(**{name: getattr(trial, name) for name in TrialResult.model_fields})
            lab.end_trial(id, number, "complete", result, [r for r in replicates if r.trial == number])

        def complete() -> int:
            path = tmp_path / "report.json"
            return int(json.loads(path.read_text())["analysis"]["trials"]["complete"]) if path.is_file() else 0

        ended = 0
        with whole.refreshing(url, id, tmp_path, 63, lambda: ended):
            for upto in (6, 12):
                while ended < upto:
                    end(ended)
                    ended += 1
                deadline = time.monotonic() + 120
                while complete() != upto:
                    assert time.monotonic() < deadline, "no report"
                    time.sleep(0.1)
    assert json.loads((tmp_path / "report.json").read_text())["running"]
    assert (tmp_path / "report.html").is_file()
