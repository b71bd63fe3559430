"""The home's disk fills up, or can no longer be written: the sweep stops, what is there can be read, and it goes on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from commands import Ran, rnnlab
from night import assert_as_undisturbed, begin, until, written
from test_database_away import WAIT, assert_clear_stop, going, shut

from sweeps.home import Home
from sweeps.recording.new_store import make_store
from sweeps.store import Lab


def mounted(place: Path, *how: str) -> None:
    """Mount at a new folder; skips where that is not permitted."""
    place.mkdir(exist_ok=True)
    if os.geteuid() != 0:
        pytest.skip("only root may mount the disks that this test fills")
    done = subprocess.run(["mount", *how, str(place)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"mounting is not permitted here: {done.stderr.strip()}")


def unmount(place: Path) -> None:
    """Also where a process still stands in it."""
    subprocess.run(["umount", "-l", str(place)], check=False, capture_output=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 24 MB."""
    place = tmp_path / "disk"
    mounted(place, "-t", "tmpfs", "-o", "size=24m", "tmpfs")
    yield place
    unmount(place)


def fill(disk: Path) -> Path:
    """A file that takes all the room there is."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (2**20, 2**12, 1):
            try:
                while file.write(bytes(size)) == size:
                    pass
            except OSError:
                continue
    return filler


def training(lab: Lab) -> bool:
    """Whether a trial has come to update 30 and MLflow has its run."""
    in_mlflow = any(trial.mlflow_run_id for trial in lab.trials("night"))
    return in_mlflow and any(report.update >= 30 for report in lab.reports("night"))


def recording(lab: Lab) -> bool:
    """Whether all trials have ended, and the sweep has not."""
    states = [trial.state for trial in lab.trials("night")]
    return states == ["complete"] * 6 and lab.sweep("night").status == "running"


def assert_readable(home: Path, mlflow: Path) -> None:
    """What was recorded can be looked at, and nothing of it has failed; `mlflow`: the folder of its store."""
    listed = rnnlab("sweep", "list", home=home)
    assert listed.code == 0, listed.err
    assert "stopped" in listed.out
    shown = rnnlab("sweep", "show", "night", home=home)
    assert shown.code == 0, shown.err
    with Lab.open(Home(home).lab_url) as lab:
        assert {trial.state for trial in lab.trials("night")} <= {"complete", "running", "interrupted"}
        assert lab.reports("night")
    # in a process of its own: MLflow keeps the file open, and the disk is to be unmounted
    code = (
        f"from mlflow.tracking import MlflowClient; client = MlflowClient({Home(mlflow).mlflow_uri!r}); "
        "(one,) = client.search_experiments(filter_string=\"name = 'night'\"); "
        "assert client.search_runs([one.experiment_id])"
    )
    opened = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert opened.returncode == 0, opened.stderr


def assert_refused(home: Path, spec: str, cause: str) -> None:
    """A sweep does not begin there, and says why in one line."""
    ran = rnnlab("sweep", "run", spec, home=home)
    assert ran.code == 2
    (line,) = [line for line in ran.err.splitlines() if not line.startswith("starting")]
    assert line.startswith(f"error: the home folder {home} must be one that can be made and written")
    assert cause in line


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("moment", [training, recording])
def test_the_disk_fills_up_and_is_freed(
    tmp_path: Path, disk: Path, undisturbed: Ran, moment: Callable[[Lab], bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RNNLAB_MLFLOW_PATIENCE", "5")
    home = disk / "home"
    home.mkdir()
    (tmp_path / "home").symlink_to(home)
    make_store(Home(home).mlflow_uri)  # takes longer than these trials
    spec = written(tmp_path)
    driver = begin(tmp_path / "home", "run", spec, workers=1)
    try:
        until(
            home,
            lambda lab: going(driver, tmp_path) and moment(lab),
            WAIT,
        )
        filler = fill(disk)
        assert_clear_stop(driver, tmp_path, "(No space left on device|database or disk is full)")
    finally:
        shut(driver)
    assert_readable(home, home)
    assert_refused(home, spec, "No space left on device")
    again = rnnlab("sweep", "resume", "night", "--workers", "2", home=home)
    assert again.code == 2
    assert "Traceback" not in again.err
    filler.unlink()
    ran = rnnlab("sweep", "resume", "night", "--workers", "2", home=home, timeout=1200)
    assert ran.code == 0, ran.err
    assert_as_undisturbed(home, undisturbed)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_disk_becomes_read_only(tmp_path: Path, undisturbed: Ran) -> None:
    image, disk = tmp_path / "image", tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(64 * 2**20)
    made = subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=False, capture_output=True)
    if made.returncode:
        pytest.skip("mkfs.ext4 is not there")
    # written at once: what this asks is not what a power cut leaves
    mounted(disk, "-o", "loop,sync,errors=remount-ro", str(image))
    home = disk / "home"
    home.mkdir()
    (tmp_path / "home").symlink_to(home)
    make_store(Home(home).mlflow_uri)
    spec = written(tmp_path)
    try:
        driver = begin(tmp_path / "home", "run", spec, workers=1)
        try:
            until(
                home,
                lambda lab: going(driver, tmp_path) and training(lab),
                WAIT,
            )
            # what a kernel does that finds the disk spoilt; a plain remount is refused while files are open
            subprocess.run(["mount", "-o", "remount,abort", str(disk)], check=True)
            assert_clear_stop(driver, tmp_path, "(Read-only file system|readonly database|disk I/O error)")
        finally:
            shut(driver)
        # MLflow's file may have been left in the middle of a transaction, which SQLite undoes where it can write
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        for store in home.glob("mlflow.db*"):
            shutil.copy(store, elsewhere)
        assert_readable(home, elsewhere)
        assert_refused(home, spec, "Read-only file system")
        subprocess.run(["umount", str(disk)], check=True)
        # of a copy: where another namespace holds the first mount, the same image would come back read-only
        mended = shutil.copy(image, tmp_path / "mended")
        assert subprocess.run(["e2fsck", "-p", str(mended)], check=False, capture_output=True).returncode in (0, 1)
        mounted(disk, "-o", "loop", str(mended))
        ran = rnnlab("sweep", "resume", "night", "--workers", "2", home=home, timeout=1200)
        assert ran.code == 0, ran.err
        assert_as_undisturbed(home, undisturbed)
    finally:
        unmount(disk)


def test_no_sweep_begins_on_a_full_or_read_only_disk(tmp_path: Path, disk: Path) -> None:
    spec = written(tmp_path)
    filler = fill(disk)
    assert_refused(disk / "home", spec, "No space left on device")
    filler.unlink()
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    assert_refused(disk / "home", spec, "Read-only file system")


def test_a_home_on_a_read_only_disk_is_read(tmp_path: Path, disk: Path) -> None:
    home = disk / "home"
    with Lab.open(Home(home).lab_url) as lab:
        lab.create_sweep("there", {"name": "there", "space": {"cell": ["rnn"]}}, "abc")
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    with Lab.open(Home(home).lab_url) as lab:
        assert [sweep.id for sweep in lab.sweeps()] == ["there"]
    assert not [file for file in psutil.Process().open_files() if file.path.startswith(str(disk))]
    stopped = rnnlab("sweep", "stop", "there", home=home)
    assert stopped.code == 2
    assert stopped.err.startswith("error: the lab database sqlite:///")
    assert "readonly database" in stopped.err
    assert "Traceback" not in stopped.err
