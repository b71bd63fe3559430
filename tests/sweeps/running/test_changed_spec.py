"""A spec that is no longer what a sweep began with, a name that is taken, a file that is spoilt, two drivers at once."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import rnnlab
from rnnlab.errors import DataError, PlaceError, SpecError
from sweeps.home import Home
from sweeps.running.run import resume_sweep, run_sweep
from sweeps.spec import SweepSpec
from sweeps.store import Lab

SPEC = """
name: night
task: {kind: adding, length: 20}
model: {hidden: 4}
space: {cell: [rnn, gru]}
search: {sampler: random, trials: 2}
budget: {updates: 4, evaluations: 2}
"""


def command(home: Path, *words: str, before: Path | None = None) -> subprocess.CompletedProcess[str]:
    """`rnnlab sweep WORDS`; `before`: a folder whose modules come first."""
    return subprocess.run(
        [sys.executable, "-m", "services.cli.app", "sweep", *words], capture_output=True, text=True, timeout=560,
        cwd=before,  # `-m` looks there first
        env={**os.environ, "RNNLAB_HOME": str(home), **({"PYTHONPATH": str(before)} if before else {})},
    )  # fmt: skip


def refused(ran: subprocess.CompletedProcess[str], *parts: str) -> None:
    """One line of error, exit 2, and every part in it."""
    assert ran.returncode == 2, ran.stderr
    assert "Traceback" not in ran.stderr
    assert ran.stderr.count("error:") == 1
    for part in parts:
        assert part in ran.stderr


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with a sweep that an earlier driver began and stopped."""
    (tmp_path / "night.yaml").write_text(SPEC)
    spec = SweepSpec.from_file(tmp_path / "night.yaml")
    place = Home(tmp_path / "home")
    place.make()
    with Lab.open(place.lab_url) as lab:
        sweep = lab.create_sweep(spec.name, spec.model_dump(mode="json", exclude_defaults=True), spec.content_hash)
        lab.take_lease(sweep.id, "somewhere", 1)
        lab.end_sweep(sweep.id, "stopped")
    return place.path


def unchanged(home: Path) -> None:
    with Lab.open(Home(home).lab_url) as lab:
        (sweep,) = lab.sweeps()
        assert sweep.status == "stopped"
        assert not lab.trials("night")
    assert not (home / "sweeps" / "night").exists()


def test_a_spec_that_was_changed_in_the_database_is_refused_by_its_hash(home: Path) -> None:
    with sqlite3.connect(home / "lab.db") as store:
        (text,) = store.execute("select spec from sweeps").fetchone()
        spec = json.loads(text)
        spec["budget"]["updates"] = 5
        store.execute("update sweeps set spec = ?", [json.dumps(spec)])
    with pytest.raises(SpecError, match="content hash") as told:
        resume_sweep("night", Home(home))
    assert "another name" in str(told.value)
    assert len(set(re.findall(r"\b[0-9a-f]{12}\b", str(told.value)))) == 2
    unchanged(home)


def test_an_rnnlab_that_reads_a_default_differently_refuses(home: Path, tmp_path: Path) -> None:
    """A copy of the package in which the learning rate that a spec leaves out is another one; one trial had begun."""
    spec = SweepSpec.from_file(tmp_path / "night.yaml")
    trial = spec.trial(0, {"cell": "gru"})
    with Lab.open(Home(home).lab_url) as lab:
        lab.add_block("night", trial.block, 1, {})
        plain = trial.model_dump(mode="json")
        lab.start_trial("night", 0, block=trial.block, config_hash=trial.config_hash, label="gru",
                        params={"cell": "gru"}, spec=plain)  # fmt: skip
        lab.end_trial("night", 0, "interrupted")
    other = tmp_path / "other"
    shutil.copytree(Path(rnnlab.__file__).parent, other / "rnnlab", ignore=shutil.ignore_patterns("__pycache__"))
    source = other / "rnnlab" / "spec.py"
    text = source.read_text()
    assert "lr: float = Field(1e-3," in text
    source.write_text(text.replace("lr: float = Field(1e-3,", "lr: float = Field(2e-3,"))
    differently = "this rnnlab understands the sweep differently"
    refused(command(home, "resume", "night", before=other), "its optim differ", differently, "another name")
    with Lab.open(Home(home).lab_url) as lab:
        assert [trial.state for trial in lab.trials("night")] == ["interrupted"]
        assert lab.sweep("night").status == "stopped"


@pytest.mark.parametrize(("change", "said"), [(None, "the same spec"), (("trials: 2", "trials: 3"), "another spec")])
def test_a_name_that_is_taken_is_refused_with_both_ways_out(
    home: Path, tmp_path: Path, change: tuple[str, str] | None, said: str
) -> None:
    path = tmp_path / "again.yaml"
    path.write_text(SPEC.replace(*change) if change else SPEC)
    with pytest.raises(PlaceError) as told:
        run_sweep(SweepSpec.from_file(path), Home(home), again=False)
    for part in (said, "rnnlab sweep resume night", "`name:`"):
        assert part in str(told.value)
    unchanged(home)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_recipe_again_is_numbered(tmp_path: Path) -> None:
    home = tmp_path / "home"
    for expected in (["first"], ["first", "first-2"]):
        driver = subprocess.Popen(
            [sys.executable, "-m", "services.cli.app", "sweep", "run", "first", "--workers", "1"],
            env={**os.environ, "RNNLAB_HOME": str(home)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            found: list[str] = []
            while found != expected and driver.poll() is None:
                if (home / "lab.db").is_file():
                    with Lab.open(Home(home).lab_url) as lab:
                        found = sorted(sweep.id for sweep in lab.sweeps())
        finally:
            driver.terminate()
            driver.wait(timeout=300)
        assert found == expected


@pytest.mark.parametrize("column", ["x", "y"])
@pytest.mark.parametrize("row", [3, 90, 119])
def test_spoilt_data_is_refused_before_anything_is_made(tmp_path: Path, column: str, row: int) -> None:
    """In training, validation and test rows; nothing of the home is there afterwards."""
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"x": draw.normal(size=120), "y": draw.normal(size=120)})
    frame.loc[row, column] = np.inf
    frame.to_csv(tmp_path / "mine.csv", index=False)
    task = "{kind: table, path: mine.csv, inputs: [x], target: y, lag: 1, length: 3}"
    task = task.replace("mine", f"{tmp_path}/mine")
    (tmp_path / "night.yaml").write_text(SPEC.replace("{kind: adding, length: 20}", task))
    home = tmp_path / "home"
    with pytest.raises(DataError, match=rf"mine.csv, line {row + 2}, column '{column}'"):
        run_sweep(SweepSpec.from_file(tmp_path / "night.yaml"), Home(home))
    assert not home.exists()


def test_every_task_of_a_space_is_looked_at_before_anything_is_made(tmp_path: Path) -> None:
    """Windows of 4 rows fit into the file, those of 50 do not: only the second point of the space would have failed."""
    draw = np.random.default_rng(0)
    pd.DataFrame({"x": draw.normal(size=120), "y": draw.normal(size=120)}).to_csv(tmp_path / "mine.csv", index=False)
    task = f"{{kind: table, path: {tmp_path}/mine.csv, inputs: [x], target: y, lag: 1, length: 3}}"
    text = SPEC.replace("{kind: adding, length: 20}", task).replace("cell: [rnn, gru]", "task.length: [4, 50]")
    (tmp_path / "night.yaml").write_text(text)
    home = tmp_path / "home"
    with pytest.raises(DataError, match=r"the (validation|test) part has too few rows: `length: 50`"):
        run_sweep(SweepSpec.from_file(tmp_path / "night.yaml"), Home(home))
    assert not home.exists()


RACE = """
import socket, sys, time, os
from rnnlab.errors import PlaceError
from sweeps.store import Lab
with Lab.open(sys.argv[1]) as lab:
    print("ready", flush=True)
    for line in sys.stdin:
        time.sleep(max(0.0, float(line) - time.time()))
        try:
            lab.take_lease("night", socket.gethostname(), os.getpid())
            print("won", flush=True)
        except PlaceError as error:
            print(error, flush=True)
"""


def test_of_two_resumes_in_one_instant_one_wins(home: Path) -> None:
    """Thirty times two processes take the lease as `resume` does, at one moment of the clock."""
    url = Home(home).lab_url
    racers = [
        subprocess.Popen([sys.executable, "-c", RACE, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    try:
        streams: list[Any] = [(one.stdin, one.stdout) for one in racers]
        assert [out.readline() for _, out in streams] == ["ready\n"] * 2
        with Lab.open(url) as lab:
            for _ in range(30):
                moment = time.time() + 0.05
                for into, _ in streams:
                    into.write(f"{moment}\n")
                    into.flush()
                said = [out.readline().strip() for _, out in streams]
                assert said.count("won") == 1, said
                winner = racers[said.index("won")]
                (lost,) = (line for line in said if line != "won")
                assert f"is being run by pid {winner.pid}" in lost
                assert lab.sweep("night").driver_pid == winner.pid
                with sqlite3.connect(home / "lab.db") as store:  # the winner's end
                    store.execute("update sweeps set status = 'stopped'")
    finally:
        for one in racers:
            one.kill()
            one.communicate()


def test_one_whose_driver_was_killed_before_it_began_is_refused_with_the_way_on(tmp_path: Path) -> None:
    (tmp_path / "night.yaml").write_text(SPEC)
    spec = SweepSpec.from_file(tmp_path / "night.yaml")
    place = Home(tmp_path / "home")
    place.make()
    with Lab.open(place.lab_url) as lab:
        lab.create_sweep(spec.name, spec.model_dump(mode="json", exclude_defaults=True), spec.content_hash)
    with pytest.raises(PlaceError) as told:
        run_sweep(spec, place, again=False)
    for part in ("night, queued, the same spec", "begin it with `rnnlab sweep resume night`", "`name:`"):
        assert part in str(told.value)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_two_resume_commands_at_once(home: Path) -> None:
    """The loser says one line and ends with 2; the winner finishes the sweep as if it were alone."""
    words = [sys.executable, "-m", "services.cli.app", "sweep", "resume", "night", "--workers", "1"]
    env = {**os.environ, "RNNLAB_HOME": str(home)}
    both = [subprocess.Popen(words, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in (0, 1)]
    said = [one.communicate(timeout=1500)[1] for one in both]
    assert sorted(one.returncode for one in both) == [0, 2], said
    loser = said[[one.returncode for one in both].index(2)]
    assert "Traceback" not in loser
    assert loser.count("error:") == 1
    with Lab.open(Home(home).lab_url) as lab:
        assert lab.sweep("night").status == "finished"
        assert {trial.state for trial in lab.trials("night")} == {"complete"}
        assert [event.kind for event in lab.events("night")].count("started") == 1
