"""A sweep on several nodes: several raylets of one Ray cluster on this machine, and the command with --address."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from commands import Ran, rnnlab
from night import assert_as_undisturbed, begin, kill, until, wait_for, workers_of, written
from ray.cluster_utils import Cluster

from sweeps.home import Home
from sweeps.store import Lab

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def started() -> Cluster:
    """A head and a node; Ray gives a head 30 s, which a busy machine may miss."""
    for tries_left in (2, 1, 0):
        made = Cluster()
        try:
            added(made, num_cpus=0, include_dashboard=False)
            break
        except Exception:
            if not tries_left:
                raise
    added(made)
    return made


def added(cluster: Cluster, num_cpus: int = 1, **options: Any) -> Any:
    """A node, once it is there: Ray's own wait is 30 s, too short for a busy machine."""
    node = cluster.add_node(num_cpus=num_cpus, wait=False, **options)
    deadline = time.monotonic() + 300
    while node.node_id not in alive_in(cluster):
        assert time.monotonic() < deadline, "the node did not come"
        time.sleep(0.2)
    return node


def alive_in(cluster: Cluster) -> set[str]:
    return {node["NodeID"] for node in cluster.global_state.node_table() if node["Alive"]}


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A head without CPUs, on which the driver and the recorder run, and one node with one."""
    made = started()
    yield made
    if made.head_node is not None or made.worker_nodes:
        made.shutdown()


def nodes_of(home: Path) -> set[str]:
    """Nodes that trials ended on."""
    with Lab.open(Home(home).lab_url) as lab:
        return {trial.worker.split("@")[1] for trial in lab.trials("night") if trial.worker}


def joined(cluster: Cluster, before: str, **env: str) -> subprocess.Popen[bytes]:
    """A node in a mount namespace of its own, after a command of the shell."""
    start = [
        sys.executable, "-m", "ray.scripts.scripts", "start", "--address", cluster.address,
        "--num-cpus", "1", "--object-store-memory", "100000000", "--block",
    ]  # fmt: skip
    before_it = alive_in(cluster)
    slowly = {"RAY_raylet_start_wait_time_s": "200"}
    node = subprocess.Popen(
        ["unshare", "-m", "sh", "-c", f'{before} && exec "$@"', "sh", *start],
        env={**os.environ, **slowly, **env}, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT,
    )  # fmt: skip
    deadline = time.monotonic() + 250
    while not alive_in(cluster) - before_it:  # one after another: starts at once hinder each other
        assert node.poll() is None, "the node did not start"
        assert time.monotonic() < deadline, "the node did not come"
        time.sleep(0.2)
    return node


def left(node: subprocess.Popen[bytes]) -> None:
    """Take a node that `joined` out again, with all that it started."""
    family = psutil.Process(node.pid).children(recursive=True)
    for process in (*family, psutil.Process(node.pid)):
        process.kill()
    node.wait()
    psutil.wait_procs(family, timeout=30)


def slots_told(home: Path) -> list[int]:
    """Trials at a time, as the events tell it: at first, and whenever nodes came or went."""
    with Lab.open(Home(home).lab_url) as lab:
        return [event.data["slots"] for event in lab.events("night") if event.kind in ("started", "nodes")]


def test_the_same_numbers_on_two_nodes(cluster: Cluster, tmp_path: Path, undisturbed: Ran) -> None:
    one = next(iter(cluster.worker_nodes))
    two = added(cluster)
    home = tmp_path / "home"
    ran = rnnlab("sweep", "run", written(tmp_path), "--address", cluster.address, "--json", home=home, timeout=600)
    assert ran.code == 0, ran.err
    assert_as_undisturbed(home, undisturbed)
    assert nodes_of(home) == {one.node_id[:8], two.node_id[:8]}
    assert not list((home / "sweeps").glob(".nodes-*"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_node_that_says_it_has_a_gpu_and_has_none(cluster: Cluster, tmp_path: Path, undisturbed: Ran) -> None:
    """Ray believes it; the sweep stops at its first trial, fails none, and goes on without."""
    added(cluster, num_cpus=4, num_gpus=1)
    home = tmp_path / "home"
    words = ("run", written(tmp_path), "--address", cluster.address, "--gpus-per-trial", "0.5", "--json")
    ran = rnnlab("sweep", *words, home=home, timeout=600)
    assert ran.code == 2
    assert "a trial is to train on a GPU (resources.gpus is 0.5), but torch" in " ".join(ran.err.split())
    assert slots_told(home) == [2]
    with Lab.open(Home(home).lab_url) as lab:
        assert {trial.state for trial in lab.trials("night")} <= {"interrupted"}
    words = ("resume", "night", "--address", cluster.address, "--gpus-per-trial", "0", "--json")
    again = rnnlab("sweep", *words, home=home, timeout=600)
    assert again.code == 0, again.err
    assert_as_undisturbed(home, undisturbed)


def test_a_node_joins_and_another_is_lost(cluster: Cluster, tmp_path: Path, undisturbed: Ran) -> None:
    home, one = tmp_path / "home", next(iter(cluster.worker_nodes))
    driver = begin(home, "run", written(tmp_path), "--address", cluster.address, workers=None)
    try:
        until(home, lambda lab: any(report.update >= 30 for report in lab.reports("night")), seconds=400)
        two = added(cluster)
        # the second node's trial has begun while the first node's goes on, or after it
        until(
            home,
            lambda lab: any(report.trial >= 1 and report.update >= 30 for report in lab.reports("night")),
            seconds=400,
        )
        cluster.remove_node(one, allow_graceful=False)
        held = dict[int, psutil.Process]()

        def missed(lab: Lab) -> bool:
            """Whether Ray has missed the node; until then nothing trains, or the sweep would end before."""
            for worker in workers_of(psutil.Process()):
                with contextlib.suppress(psutil.NoSuchProcess):
                    worker.suspend()
                    held[worker.pid] = worker
            return [event.kind for event in lab.events("night")].count("nodes") == 2

        until(home, missed, seconds=300)
        for worker in held.values():
            with contextlib.suppress(psutil.NoSuchProcess):
                worker.resume()
        assert driver.wait(timeout=600) == 0, (tmp_path / "driver.log").read_text()
    finally:
        if driver.poll() is None:
            kill(driver)
    assert_as_undisturbed(home, undisturbed)
    assert two.node_id[:8] in nodes_of(home)
    assert slots_told(home) == [1, 2, 1]


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("unshare") is None, reason="needs a mount namespace")
def test_nodes_that_do_not_see_what_they_need_are_refused(cluster: Cluster, tmp_path: Path) -> None:
    """A home of its own; another rnnlab; no rnnlab at all."""
    home, other = tmp_path / "home", tmp_path / "other"
    home.mkdir()
    (other / "rnnlab-9.9.dist-info").mkdir(parents=True)
    (other / "rnnlab-9.9.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: rnnlab\nVersion: 9.9\n")
    root, bare = Path(__file__).parents[2], tmp_path / "bare"
    (bare / "sweeps").mkdir(parents=True)
    # what Python says where it is not installed: one may be installed in another folder than this one, which is hidden
    (bare / "sweeps" / "__init__.py").write_text("raise ModuleNotFoundError(\"No module named 'sweeps'\")\n")
    strangers = []
    try:
        strangers.append(joined(cluster, f"mount -t tmpfs none '{home}'"))
        strangers.append(joined(cluster, "true", PYTHONPATH=str(other)))
        strangers.append(joined(cluster, f"mount -t tmpfs none '{root}' && cd /", PYTHONPATH=str(bare)))
        ran = rnnlab("sweep", "run", written(tmp_path), "--address", cluster.address, home=home, timeout=600)
    finally:
        for stranger in strangers:
            left(stranger)
    assert ran.code == 2, ran.err
    assert f"does not see the home ({home}); mount it there under the same path" in ran.err
    assert "has rnnlab 9.9, but the driver has" in ran.err
    assert "has no rnnlab in the Python that Ray runs there; install rnnlab" in ran.err
    assert ran.err.count("(node ") == 3
    with Lab.open(Home(home).lab_url) as lab:
        assert not lab.sweeps()


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("unshare") is None, reason="needs a mount namespace")
def test_a_trial_on_a_node_that_joins_without_the_home_is_no_result(
    cluster: Cluster, tmp_path: Path, undisturbed: Ran
) -> None:
    """Where there is another node it takes the trial; here there is none, and the trial is left to `resume`."""
    home, one = tmp_path / "home", next(iter(cluster.worker_nodes))
    home.mkdir()
    words = ("run", written(tmp_path), "--address", cluster.address, "--max-failures", "1")
    driver, stranger = begin(home, *words, workers=None), None
    try:
        until(home, lambda lab: any(report.trial >= 4 and report.update >= 10 for report in lab.reports("night")), 600)
        # or the sweep would end before the node is there
        waiting = workers_of(psutil.Process())
        for worker in waiting:
            worker.suspend()
        stranger = joined(cluster, f"mount -t tmpfs none '{home}'")
        cluster.remove_node(one, allow_graceful=False)
        for worker in waiting:
            with contextlib.suppress(psutil.NoSuchProcess):
                worker.kill()
        assert driver.wait(timeout=900) == 130, (tmp_path / "driver.log").read_text()
    finally:
        if driver.poll() is None:
            kill(driver)
        if stranger is not None:
            left(stranger)
    with Lab.open(Home(home).lab_url) as lab:
        refused = [trial for trial in lab.trials("night") if trial.state == "interrupted"]
        assert refused
        assert all("does not see the sweep's folder" in (trial.cause or "") for trial in refused)
        assert "could not be ended" in (lab.sweep("night").message or "")
    two = added(cluster)
    ours = {two.node_id, cluster.head_node.node_id}
    wait_for(lambda: alive_in(cluster) == ours, 300)  # Ray misses a node that was killed after a while
    again = rnnlab("sweep", "resume", "night", "--address", cluster.address, "--json", home=home, timeout=600)
    assert again.code == 0, again.err
    assert_as_undisturbed(home, undisturbed)
    assert two.node_id[:8] in nodes_of(home)


def test_the_cluster_is_lost_and_the_sweep_goes_on_elsewhere(tmp_path: Path, undisturbed: Ran) -> None:
    home = tmp_path / "home"
    cluster = started()
    driver = begin(home, "run", written(tmp_path), "--address", cluster.address, workers=None)
    try:
        until(
            home,
            lambda lab: any(report.trial >= 1 and report.update >= 30 for report in lab.reports("night")),
            seconds=400,
        )
        cluster.remove_node(cluster.head_node, allow_graceful=False)
        assert driver.wait(timeout=120) == 1
    finally:
        if driver.poll() is None:
            kill(driver)
        for node in list(cluster.worker_nodes):
            cluster.remove_node(node, allow_graceful=False)
    said = (tmp_path / "driver.log").read_text()
    assert "is lost; go on with `rnnlab sweep resume night`" in said, said
    assert "Traceback" not in said
    with Lab.open(Home(home).lab_url) as lab:
        assert lab.sweep("night").status == "stopped"
        assert "is lost" in (lab.sweep("night").message or "")
    ran = rnnlab("sweep", "resume", "night", "--workers", "2", "--json", home=home, timeout=600)
    assert ran.code == 0, ran.err
    assert_as_undisturbed(home, undisturbed)
