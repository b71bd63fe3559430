"""The cell that CONTRIBUTING.md writes is one: copied from the page, it trains and is probed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rnnlab.cells import CELLS
from rnnlab.cells.base import Cell
from rnnlab.choices import Line
from rnnlab.probes import PROBES
from rnnlab.recorder import MemoryRecorder
from rnnlab.spec import TrialSpec
from rnnlab.training.loop import train
from rnnlab.written import validated

PAGE = Path(__file__).parents[2] / "CONTRIBUTING.md"


def blocks() -> list[str]:
    """The Python that stands under `A new cell`."""
    section = PAGE.read_text().split("\n## A new cell\n")[1].split("\n## ")[0]
    return [part.split("```")[0] for part in section.split("```python\n")[1:]]


@pytest.fixture
def ugrnn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The page's cell in the table, from a file of its own."""
    source, line = blocks()
    (tmp_path / "page_ugrnn.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    ((name, told),) = eval(f"{{{line}}}", {"Line": Line}).items()
    assert told.path == "rnnlab.cells.ugrnn:UGRNN"
    assert isinstance(CELLS.lines, dict)
    monkeypatch.setitem(CELLS.lines, name, replace(told, path="page_ugrnn:UGRNN"))
    yield name
    sys.modules.pop("page_ugrnn", None)


def test_it_takes_about_twenty_lines() -> None:
    assert len(blocks()[0].splitlines()) <= 22


def test_it_trains_and_every_probe_reads_it(ugrnn: str) -> None:
    spec = {
        "task": {"kind": "adding", "length": 12},
        "model": {"cell": ugrnn, "hidden": 6, "depth": 2},
        "optim": {"lr": 0.01, "batch": 8},
        "probe": {"measure": list(PROBES)},
        "budget": {"updates": 20, "evaluations": 2},
        "replicates": 2,
    }
    recorder = MemoryRecorder()
    result = train(validated(TrialSpec, spec), recorder)
    assert result.outcome == "finished"
    seen = {curve.name for curve in recorder.curves_seen}
    # what the names of its gates say: f is a sigmoid, g a tanh, and W_hh reads h
    assert {"gate_f_l0", "saturation_f_l1", "saturation_g_l0", "weight_share_l0", "anchor_h_l1"} <= seen
    assert "gate_g_l0" not in seen
    assert all(np.isfinite(curve.values_SK).all() for curve in recorder.curves_seen)


def test_every_member_that_it_may_have_is_on_the_page() -> None:
    section = PAGE.read_text().split("\n## A new cell\n")[1].split("\n## ")[0]
    public = [name for name in (*vars(Cell), *Cell.__annotations__) if not name.startswith("_")]
    for name in {*public} - {"limited"}:  # of the cells that the clip `timestep` names
        assert f"`{name}" in section, name
