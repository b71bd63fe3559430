"""The table of arms that `rnnlab sweep report` prints from report.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from services.cli.reporting import show_arms


def arm(label: str, shares: dict[str, Any], means: dict[str, Any]) -> dict[str, Any]:
    return {
        "label": label, "units": 1, "replicates": 2, "counts": {"exploded": 2}, "shares": shares, "means": means,
        "median_updates_to_solve": None, "evidence": "none",
    }  # fmt: skip


def test_an_arm_without_a_number_has_a_dash_and_stands_last(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known = {"value": 0.0, "low": 0.0, "high": 0.5}
    means = {name: {"value": 0.004} for name in ("decades_init", "decades", "test_score", "cpu_per_update")}
    arms = [arm("nothing", {}, {}), arm("all", {"healthy": known, "solved": known}, means)]
    (tmp_path / "report.json").write_text(json.dumps({"analysis": {"unit": "seed", "arms": arms}}))
    assert show_arms(tmp_path)
    _, first, last = capsys.readouterr().out.splitlines()
    assert first.split() == [
        "all", "1", "0%", "[0,", "50]", "0%", "[0,", "50]", "2/2", "+0.0", "→", "+0.0", "-", "+0.00", "4.0", "none",
    ]  # fmt: skip
    assert last.split() == ["nothing", "1", "-", "-", "2/2", "-", "→", "-", "-", "-", "-", "none"]
