"""Sweeps of which everything, or one arm, diverged: a report with honest sentences, and no NaN in it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from simulated import Truth, World, records, simulated_spec

from sweeps.analysis.analyse import analyse
from sweeps.analysis.data import data_of
from sweeps.analysis.results import Analysis
from sweeps.report.page import write_report
from sweeps.report.whole import arm_rows, words
from sweeps.space.dimensions import Picks

LOST = Truth(healthy=0.0, solved=0.0, exploded=1.0, diverged=1.0, decades=15.0)
FINE = Truth(healthy=1.0, solved=0.9)


def all_lost(picks: Picks) -> Truth:
    return LOST


def one_arm_lost(picks: Picks) -> Truth:
    return LOST if picks.get("activation") == "relu" else FINE


def analysis_of(truth: Any, blocks: int, **search: Any) -> tuple[Analysis, Any]:
    spec = simulated_spec(blocks=blocks, replicates=2, **search)
    trials, replicates = records(spec, truth, World())
    data = data_of("simulated", spec, trials, replicates, lag=63)
    return analyse(data, trials, replicates), data


def numbers(value: Any, place: str = "") -> Iterator[tuple[str, float]]:
    if isinstance(value, float):
        yield place, value
    elif isinstance(value, dict):
        for name, part in value.items():
            yield from numbers(part, f"{place}.{name}")
    elif isinstance(value, list | tuple):
        for index, part in enumerate(value):
            yield from numbers(part, f"{place}[{index}]")


@pytest.mark.parametrize("blocks", [1, 3, 12])
@pytest.mark.parametrize("truth", [all_lost, one_arm_lost])
def test_a_report_is_written_and_every_number_in_it_is_one(tmp_path: Path, truth: Any, blocks: int) -> None:
    analysis, data = analysis_of(truth, blocks)
    spoilt = [place for place, value in numbers(analysis.model_dump()) if not math.isfinite(value)]
    assert not spoilt
    assert not [place for place, value in numbers(arm_rows(analysis)) if not math.isfinite(value)]
    files = write_report(analysis, data, tmp_path, spec_yaml=data.spec.to_yaml(), versions={})
    assert {path.name for path in files} == {"report.html", "report.md", "report.json"}
    told = json.loads((tmp_path / "report.json").read_text(), parse_constant=pytest.fail)
    assert not [place for place, value in numbers(told) if not math.isfinite(value)]
    said = (tmp_path / "report.md").read_text().lower()
    assert " nan" not in said
    assert "infinit" not in said.replace("no longer finite", "")


def test_that_all_diverged_is_said_first_of_all_limits() -> None:
    analysis, data = analysis_of(all_lost, 3)
    said = words(analysis)
    assert f"Every one of the {len(data.frame)} replicates diverged" in said
    assert not [one for one in analysis.findings if one.kind == "effect"]


def test_the_arms_that_diverged_are_named() -> None:
    analysis, data = analysis_of(one_arm_lost, 12)
    (said,) = (caveat for caveat in analysis.caveats if "diverged" in caveat)
    assert f"{int(data.frame['diverged'].sum())} of {len(data.frame)} replicates diverged" in said
    assert "relu" in said.partition("All of:")[2]
    assert "tanh" not in said
    assert "relu" in " ".join(one.text for one in analysis.findings if one.kind == "effect")


def test_nothing_is_best_where_all_that_was_tried_diverged() -> None:
    spec = simulated_spec(blocks=6, replicates=2)
    trials, replicates = records(spec, all_lost, World())
    plain = spec.model_dump(mode="json", exclude_defaults=True)
    plain["search"] = {"sampler": "tpe", "trials": len(trials)}
    searched = type(spec).model_validate(plain)
    analysis = analyse(data_of("simulated", searched, trials, replicates, lag=63), trials, replicates)
    said = [finding.text for finding in analysis.findings]
    assert f"No arm that was tried trained: all {len(replicates)} replicates diverged." in said
    assert not [text for text in said if "best" in text]
