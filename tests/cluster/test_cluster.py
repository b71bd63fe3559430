"""The cluster of docker-compose.yml for real, while its parts are killed in the middle of a sweep: `make test-cluster`.

Needs a Docker engine and what `docker build` needs; makes and removes a project of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from night import NUMBERS

from rnnlab.errors import RnnlabError
from services.api.models import SweepSeen
from services.client import Client

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(5400)]

ROOT = Path(__file__).parents[2]
WORKERS = 2
PATIENCE = 1200.0
"""Seconds that anything may take on a busy machine."""
SPEC = """
name: night
task: {kind: temporal_order, length: 24}
model: {hidden: 24}
optim: {batch: 16}
space:
  cell: [rnn, gru]
  lr: {low: 1.0e-3, high: 1.0e-2, log: true}
search: {design: screen, blocks: 10, nuisance: [lr]}
replicates: 2
budget: {updates: 600, evaluations: 40}
"""
SHORT = (
    SPEC.replace("night", "short")
    .replace("blocks: 10", "blocks: 1")
    .replace("600, evaluations: 40", "40, evaluations: 4")
)
NUMBERS_OF = f"""
import json, sys
from services.settings import Settings
from sweeps.store import Lab
with Lab.open(Settings().lab) as lab:
    print(json.dumps([one.model_dump(mode="json", include=set({NUMBERS!r})) for one in lab.replicates(sys.argv[1])]))
"""


def until(what: str, ready: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Wait until something is so; a service that does not answer meanwhile is not so."""
    deadline, last = time.monotonic() + seconds, ""
    while time.monotonic() < deadline:
        try:
            if ready():
                return
        except (RnnlabError, httpx.HTTPError) as error:
            last = str(error)
        time.sleep(0.5)
    pytest.fail(f"within {seconds:.0f} s it did not come to this: {what} {last}")


@dataclass
class Cluster:
    """A project of compose: how to command it, and a client of its service."""

    words: list[str]
    env: dict[str, str]
    token: str
    port: int

    @property
    def client(self) -> Client:
        return Client(f"http://127.0.0.1:{self.port}", self.token)

    def compose(self, *words: str, stdin: bytes | None = None) -> str:
        return said([*self.words, *words], env=self.env, stdin=stdin)

    def up(self) -> None:
        self.compose("up", "--detach", "--no-recreate", "--scale", f"ray-worker={WORKERS}")
        until("the service is ready", lambda: self.ready)

    @property
    def ready(self) -> bool:
        return httpx.get(f"http://127.0.0.1:{self.port}/api/ready", timeout=30).status_code == 200

    def inside(self, service: str, *words: str) -> str:
        return self.compose("exec", "-T", service, *words)

    def containers(self, service: str) -> list[str]:
        return self.compose("ps", "-q", service).split()

    def progress(self, id: str) -> int:
        """Updates that the service knows of."""
        with self.client as client:
            return sum(trial.updates for trial in client.trials(id, limit=500).items)

    def launch(self, spec: str = SPEC) -> str:
        with self.client as client:
            return client.launch(spec).id

    def end(self, id: str) -> SweepSeen:
        def over() -> bool:
            with self.client as client:
                return client.sweep(id).status not in ("queued", "running")

        # a sweep whose driver was lost is `stopped` until the foreman queues it again
        until(f"{id} has ended", lambda: over() and not time.sleep(5) and over())
        with self.client as client:
            return client.sweep(id)

    def numbers(self, id: str) -> list[dict[str, Any]]:
        """Every number of every replicate but times."""
        found: list[dict[str, Any]] = json.loads(self.inside("service", "python", "-c", NUMBERS_OF, id))
        return found


def said(words: list[str], env: dict[str, str] | None = None, stdin: bytes | None = None) -> str:
    """What a command prints.

    Raises:
        AssertionError: it leaves with another code than 0.
    """
    done = subprocess.run(words, env=env, cwd=ROOT, input=stdin, capture_output=True, timeout=3000)
    assert done.returncode == 0, f"{words}\n{done.stdout.decode()[-3000:]}\n{done.stderr.decode()[-3000:]}"
    return done.stdout.decode()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A project with volumes, secrets and a port of its own; removed with its volumes afterwards."""
    if shutil.which("docker") is None or subprocess.run(["docker", "info"], capture_output=True).returncode != 0:
        pytest.skip("no Docker engine answers")
    v2 = subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0
    file = tmp_path_factory.mktemp("cluster") / "env"
    said(["services/deploy/secrets.sh", str(file)])
    settings = dict(line.split("=", 1) for line in file.read_text().splitlines() if "=" in line and line[0] != "#")
    compose = ["docker", "compose"] if v2 else ["docker-compose"]
    words = [*compose, "--project-name", f"rnnlab-test-{os.getpid()}", "--env-file", str(file)]
    port = free_port()
    made = Cluster(words, {**os.environ, "PORT": str(port)}, settings["RNNLAB_ADMIN_TOKEN"], port)
    try:
        made.compose("build")
        made.up()
        yield made
        logs = made.compose("logs", "--no-color")
        kept = [name for name, value in settings.items() if len(value) > 40 and value in logs]
        assert not kept, f"secrets stand in the logs: {kept}"
    finally:
        subprocess.run(
            [*words, "down", "--volumes", "--timeout", "10"], env=made.env, cwd=ROOT, capture_output=True, timeout=600
        )


def test_there_is_one_way_in_and_nobody_is_root(cluster: Cluster) -> None:
    for service in ("migrate", "mlflow", "ray-head", "ray-worker", "service", "postgres"):
        for container in cluster.containers(service):
            seen = json.loads(said(["docker", "inspect", container]))[0]
            ports = [one for found in (seen["NetworkSettings"]["Ports"] or {}).values() for one in found or ()]
            wanted = [("127.0.0.1", str(cluster.port))] if service == "service" else []
            assert [(one["HostIp"], one["HostPort"]) for one in ports] == wanted
            if service != "postgres":
                assert seen["Config"]["User"] == "rnnlab"
                assert seen["HostConfig"]["CapDrop"] == ["ALL"]
            assert seen["HostConfig"]["Memory"] > 0
    root = f"http://127.0.0.1:{cluster.port}"
    mlflow = "/mlflow/api/2.0/mlflow/experiments/search?max_results=1"
    assert httpx.get(root + mlflow).status_code == 401
    assert httpx.get(root + mlflow, headers={"Authorization": f"Bearer {cluster.token}"}).status_code == 200


def crash(cluster: Cluster, service: str) -> None:
    """Everything in a container dies as by the kernel's own hand, and Docker starts it again."""
    container = cluster.containers(service)[0]
    before = started(container)
    user = "postgres" if service == "postgres" else "rnnlab"
    # of the namespace's own first process the kernel takes no such signal; it ends after its child
    subprocess.run(["docker", "exec", "-u", user, container, "sh", "-c", "kill -9 -1"], capture_output=True)
    until(f"{service} is started again", lambda: started(container) != before)


def started(container: str) -> str:
    return said(["docker", "inspect", "--format", "{{.State.StartedAt}}", container]).strip()


def kill_a_worker(cluster: Cluster) -> None:
    """A container is gone, as with its machine, until an operator brings it up."""
    said(["docker", "kill", cluster.containers("ray-worker")[0]])
    cluster.up()


def test_a_sweep_outlives_the_death_of_every_part(cluster: Cluster) -> None:
    calm = cluster.launch()
    assert cluster.end(calm).status == "finished"
    stormy = cluster.launch()
    parts: dict[str, Callable[[], None]] = {
        "a worker": lambda: kill_a_worker(cluster),
        "the head": lambda: crash(cluster, "ray-head"),
        "PostgreSQL": lambda: crash(cluster, "postgres"),
        "the service": lambda: crash(cluster, "service"),
        "MLflow": lambda: crash(cluster, "mlflow"),
    }
    seen = 0
    for name, kill in parts.items():
        until(f"the sweep goes on before {name} dies", lambda seen=seen: cluster.progress(stormy) > seen)
        with cluster.client as client:
            sweep = client.sweep(stormy)
        assert sweep.status == "running", f"{name} would not die in the middle of the sweep"
        assert sweep.ended < sweep.trials
        began = time.monotonic()
        kill()
        until(f"the service is ready after {name} died", lambda: cluster.ready)
        seen = cluster.progress(stormy)
        print(f"{name}: ready again after {time.monotonic() - began:.0f} s, {seen} updates", flush=True)
    ended = cluster.end(stormy)
    with cluster.client as client:
        events = [f"{event.kind}: {event.message}" for event in client.events(stormy)]
    assert ended.status == "finished", (ended.message, events)
    assert cluster.numbers(stormy) == cluster.numbers(calm)
    assert any(event.startswith("queued: its job") for event in events), events
    for id in (calm, stormy):
        assert json.loads(cluster.inside("service", "rnnlab", "sweep", "check", id, "--everything", "--json")) == []


def test_a_backup_is_restored_into_new_volumes(cluster: Cluster, tmp_path: Path) -> None:
    id = cluster.launch(SHORT)
    assert cluster.end(id).status == "finished"
    numbers = cluster.numbers(id)
    with cluster.client as client:
        report, findings = client.report(id, "html"), client.findings(id)
    env = {**cluster.env, "COMPOSE": " ".join(cluster.words)}
    said(["services/deploy/backup.sh", str(tmp_path / "backup")], env)
    until("the service is ready after the backup", lambda: cluster.ready)
    cluster.compose("down", "--volumes")
    said(["services/deploy/restore.sh", str(tmp_path / "backup")], env)
    cluster.up()
    assert cluster.numbers(id) == numbers
    with cluster.client as client:
        assert client.report(id, "html") == report
        assert client.findings(id) == findings
    # what stands in MLflow and its artifacts, too
    assert json.loads(cluster.inside("service", "rnnlab", "sweep", "check", id, "--everything", "--json")) == []
    again = cluster.launch(SHORT)
    assert again != id
    assert cluster.end(again).status == "finished"
    assert cluster.numbers(again) == numbers
    refused = subprocess.run(
        ["services/deploy/restore.sh", str(tmp_path / "backup")], env=env, cwd=ROOT, capture_output=True, text=True
    )
    assert refused.returncode == 1
    assert "the lab database must be new, but has tables" in refused.stderr


def test_a_lab_of_the_version_before_is_brought_along(cluster: Cluster) -> None:
    """`lab_0002.sql` is a dump of what rnnlab wrote before it had a service."""
    dump = (Path(__file__).parent / "lab_0002.sql").read_bytes()
    cluster.compose("stop", "service", "ray-worker", "ray-head", "mlflow")
    as_postgres = ["exec", "-T", "postgres", "sh", "-c", 'PGPASSWORD=$POSTGRES_PASSWORD exec "$@"', "sh", "psql"]
    as_postgres += ["-h", "localhost", "-U", "postgres", "-v", "ON_ERROR_STOP=1"]
    cluster.compose(*as_postgres, "-c", "DROP DATABASE lab WITH (FORCE)")
    new = "CREATE DATABASE lab OWNER lab ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
    cluster.compose(*as_postgres, "-c", new)
    load = ["exec", "-T", "postgres", "sh", "-c"]
    load += ["PGPASSWORD=$LAB_PASSWORD psql -q -h postgres -U lab -d lab -v ON_ERROR_STOP=1"]
    cluster.compose(*load, stdin=dump)
    revision = cluster.compose(*as_postgres, "-d", "lab", "-tAc", "SELECT version_num FROM alembic_version")
    assert revision.strip() == "0002"
    cluster.up()
    with cluster.client as client:
        before = client.sweep("before")
        assert (before.status, before.ended, before.launched_by) == ("finished", 2, None)
        trials = client.trials("before").items
        assert [trial.label for trial in trials] == ["rnn tanh", "gru"]
        assert all(trial.score is not None for trial in trials)
    kept = cluster.numbers("before")
    assert len(kept) == 4
    assert all(str(one["score"]).encode()[:8] in dump for one in kept)
    id = cluster.launch(SHORT)
    assert cluster.end(id).status == "finished"
