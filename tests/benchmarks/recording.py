"""How fast curves reach MLflow through the recorder, against `log_batch` alone, and what training waits for it.

    python tests/benchmarks/recording.py --runs 1000 --keep

For SQLite, an MLflow server on SQLite and one on PostgreSQL, each with 2 and 8 senders: `--runs` trials of 3 probes of 200
timesteps and 20 recorded updates go from Ray workers through `ActorRecorder` to the recorder of a sweep, as in a sweep, and
the clock stops when nothing waits: runs, params, tags, curves.npz and result.json are then in MLflow, too. Pictures come after
that and are timed apart. `log_batch` alone writes the same points, 1,000 a call, into runs that were made before, half of it
before and half after the recorder's turn: the store is the same, and so is whatever else the machine does.

Last, two workers train a trial of the recipe `first` each, and time all that they spend in the recorder.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}

import numpy as np
import psycopg
import ray
from mlflow.entities import Metric
from mlflow.tracking import MlflowClient

from rnnlab.curve import Curve
from rnnlab.training.checkpoint import save
from rnnlab.training.loop import Trainer
from sweeps.home import CHECKPOINT_FILE
from sweeps.recipes.first import first
from sweeps.recording import actor, names
from sweeps.recording.arrays import CurveArchive
from sweeps.recording.messages import TrialBegun, TrialOver, UpdateScalars
from sweeps.recording.mlflow_writer import OpenRun, _curve_metrics, _scalars
from sweeps.recording.sending import ActorRecorder, tell

STEPS, LANES, UPDATES, RECORDS, EVALUATIONS = 200, 5, 100, 20, 10
PROBES = (0, 50, 100)
WORKERS = (2, 8)
A_CALL = 1000
WANTED, MOST_WAIT = 0.9, 0.01
SCALARS = ("train_loss", "gradient_norm", "clip_rate", "clip_coefficient")
EVALUATED = ("validation_loss", "accuracy", "score")


# --- a trial that nobody trains


def begun(trial: int) -> TrialBegun:
    """With as many params and tags as a real one."""
    params = dict.fromkeys(("cell", "activation", "init", "hidden", "depth", "optimiser", "lr", "batch", "clip"), "rnn")
    params |= dict.fromkeys(("task", "task.length", "updates", "replicates", "seed"), "1")
    tags = {names.CONFIG_HASH: "0" * 16, names.BLOCK: "0", names.SEEDS: "1,2,3,4,5", names.OUTCOME: "running"}
    return TrialBegun(trial, f"{trial:03} rnn tanh", 1_700_000_000_000 + trial, params, tags, "task: {}\n", "h", 1, 199)


def curves(draw: np.random.Generator) -> list[Curve]:
    """What the usual probes of an `rnn` of one layer give."""
    falls_SK = 10.0 ** (-draw.uniform(0.01, 0.1, (LANES, 1)) * np.arange(STEPS) + draw.normal(0, 0.1, (LANES, STEPS)))
    return [
        Curve("anytime_loss", "timestep", falls_SK + 0.1),
        Curve("total", "timestep", falls_SK[:, ::-1].copy(), "h", 0),
        Curve("inputs", "timestep", falls_SK[:, ::-1] / 2),
        Curve("anchor", "lag", falls_SK, "h", 0),
    ]


def scalars(draw: np.random.Generator, update: int) -> dict[str, Any]:
    told = [*SCALARS, *(EVALUATED if update % (UPDATES // EVALUATIONS) == 0 else ())]
    return {name: draw.uniform(0.1, 0.9, LANES) for name in [*told, *(["decades"] if update in PROBES else [])]}


def over(trial: int) -> TrialOver:
    finals = dict.fromkeys(names.FINALS, 0.5)
    tags = {names.OUTCOME: "finished", names.VERDICT: "healthy", names.VERDICT_INIT: "healthy", names.EXPLODED: "0"}
    result = {"replicates": [{f"field {n}": 0.5 for n in range(40)} for _ in range(LANES)]}
    return TrialOver(trial, "FINISHED", 1_700_000_100_000, UPDATES, finals, tags, result)


@ray.remote(num_cpus=0)
class Sender:
    """A worker of a sweep that does nothing but send."""

    def send(self, recorder: Any, trials: Sequence[int]) -> None:
        for trial in trials:
            draw = np.random.default_rng(trial)
            tell(recorder, begun(trial))
            port = ActorRecorder(recorder, trial)
            port.curves(0, curves(draw))
            for update in range(UPDATES // RECORDS, UPDATES + 1, UPDATES // RECORDS):
                if update in PROBES:
                    port.curves(update, curves(draw))
                port.scalars(update, scalars(draw, update))
                if update % (UPDATES // EVALUATIONS) == 0:
                    port.flush()
            tell(recorder, over(trial))


def points_of(trial: int) -> list[Metric]:
    """The points of one such trial, as the recorder makes them."""
    draw, run, archive = np.random.default_rng(trial), OpenRun("", begun(trial), ""), CurveArchive()
    found: list[Metric] = []
    for update in range(0, UPDATES + 1, UPDATES // RECORDS):
        if update in PROBES:
            archive.add(update, curves(draw))
        if update:
            found += _scalars(run, UpdateScalars(trial, update, scalars(draw, update)))
    return [*_curve_metrics(run, archive.arrays), *found]


# --- stores


@contextlib.contextmanager
def sqlite(folder: Path) -> Iterator[str]:
    yield f"sqlite:///{folder / 'mlflow.db'}"


@contextlib.contextmanager
def served(store: str, folder: Path) -> Iterator[str]:
    """An MLflow server on a store; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store, "--port", str(port)]
    command += ["--artifacts-destination", str(folder / "artifacts"), "--workers", "2"]  # as docker-compose.yml has it
    env = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(command, env=env, start_new_session=True, stdout=log, stderr=log)
        try:
            wait(lambda: answers(port), 300)
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(process.pid, 15)
            process.wait()


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as said:
            return bool(said.status == 200)
    except OSError:
        return False


@contextlib.contextmanager
def server(folder: Path) -> Iterator[str]:
    MlflowClient(f"sqlite:///{folder / 'mlflow.db'}").search_experiments()  # its tables, before several processes start
    with served(f"sqlite:///{folder / 'mlflow.db'}", folder) as url:
        yield url


@contextlib.contextmanager
def server_on_postgres(_: Path) -> Iterator[str]:
    """A PostgreSQL of its own, as it comes: it syncs to the disk."""
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)
    if programs is None:
        raise SystemExit("PostgreSQL's programs (initdb, postgres) must be installed for --stores postgresql")
    folder = Path(tempfile.mkdtemp(prefix="recording-pg-"))  # not in one that its user may not enter
    user = "postgres" if os.geteuid() == 0 else None
    if user:
        shutil.chown(folder, user)
    identity: dict[str, Any] = {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []} if user else {}
    try:
        with (folder / "log").open("w") as log:
            make = [programs / "initdb", "-D", folder / "data", "-U", "postgres", "--auth=trust", "--encoding=UTF8"]
            subprocess.run([*make, "--locale=C"], check=True, stdout=log, stderr=log, cwd=folder, **identity)
            start = [programs / "postgres", "-D", folder / "data", "-k", folder, "-c", "listen_addresses="]
            process = subprocess.Popen(start, stdout=log, stderr=log, cwd=folder, **identity)
            try:
                wait(lambda: connects(folder), 60)
                store = f"postgresql+psycopg://postgres@/postgres?host={folder}"
                MlflowClient(store).search_experiments()
                with tempfile.TemporaryDirectory() as served_from, served(store, Path(served_from)) as url:
                    yield url
            finally:
                process.send_signal(2)  # its fast shutdown
                process.wait()
    finally:
        shutil.rmtree(folder)


def connects(folder: Path) -> bool:
    try:
        psycopg.connect(host=str(folder), user="postgres", dbname="postgres").close()
    except psycopg.OperationalError:
        return False
    return True


def wait(condition: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise SystemExit(f"nothing answered within {seconds:.0f} s")
        time.sleep(0.1)


STORES = {"sqlite": sqlite, "server": server, "postgresql": server_on_postgres}
CALLED = {"sqlite": "SQLite", "server": "a server on SQLite", "postgresql": "a server on PostgreSQL"}


# --- measurements


@dataclass(frozen=True)
class Row:
    """Points a second of both; milliseconds of a picture; seconds of processor time of the recorder a run, pictures aside."""

    store: str
    workers: int
    alone: float
    ours: float
    points: int
    cpu: float
    picture: float


def alone(client: MlflowClient, experiment: str, points: Sequence[Metric], calls: int) -> float:
    """Seconds of `calls` calls of `log_batch`, each into a run of its own."""
    runs = [client.create_run(experiment).info.run_id for _ in range(calls)]
    client.log_batch(client.create_run(experiment).info.run_id, metrics=points)
    began = time.perf_counter()
    for run in runs:
        client.log_batch(run, metrics=points)
    return time.perf_counter() - began


def through_recorder(uri: str, folder: Path, sweep: str, workers: int, runs: int) -> tuple[float, int, float, float]:
    """Seconds until nothing waits; points; seconds of the recorder's processor for a run; of a picture."""
    writer = {
        "tracking_uri": uri, "sweep_id": sweep, "description": "", "spec_yaml": "name: recording\n",
        "artifact_folder": folder / "artifacts" if uri.startswith("sqlite:") else None,
    }  # fmt: skip
    recorder = actor.start(folder / sweep, writer)
    wait(lambda: ray.get(recorder.status.remote()).parent_id is not None, 120)
    senders = [Sender.remote() for _ in range(workers)]
    ray.get([sender.send.remote(recorder, []) for sender in senders])  # until their processes run
    cpu, began = processor(recorder), time.perf_counter()
    sent = [sender.send.remote(recorder, range(number, runs, workers)) for number, sender in enumerate(senders)]
    ray.get(sent)
    while ray.get(recorder.status.remote()).waiting:
        time.sleep(0.05)
    seconds, cpu = time.perf_counter() - began, processor(recorder) - cpu
    status = ray.get(recorder.status.remote())
    assert (status.refused, status.spoilt, len(status.run_ids)) == (0, 0, runs), status
    began, before = time.perf_counter(), status.pictures
    while time.perf_counter() - began < 20 and (left := ray.get(recorder.status.remote()).pictures):
        time.sleep(0.25)
    picture = (time.perf_counter() - began) / max(1, before - left)
    for process in (recorder, *senders):
        ray.kill(process)
    return seconds, status.points, cpu / runs, picture


def processor(recorder: Any) -> float:
    """Seconds of processor time of an actor's process so far."""
    return float(ray.get(recorder.__ray_call__.remote(lambda _: time.process_time())))


def measure(store: str, workers: Sequence[int], runs: int) -> Iterator[Row]:
    points = points_of(0)[-A_CALL:]  # as many keys as a whole run has
    assert len(points) == A_CALL
    with tempfile.TemporaryDirectory(prefix="recording-") as name, STORES[store](Path(name)) as uri:
        client = MlflowClient(uri)
        experiment = client.create_experiment("alone")
        calls = max(10, runs // 4)
        for count in workers:
            before = alone(client, experiment, points, calls)
            seconds, written, cpu, picture = through_recorder(uri, Path(name), f"of-{count}", count, runs)
            after = alone(client, experiment, points, calls)
            yield Row(store, count, 2 * calls * A_CALL / (before + after), written / seconds, written, cpu, picture)


@ray.remote(num_cpus=1)
def trained(recorder: Any, number: int) -> tuple[float, float]:
    """Train a trial of the recipe `first` as a worker does: its wall seconds, and those spent in the recorder."""
    import torch

    torch.set_num_threads(1)
    spec = first().trial(number, next(iter(first().parsed_space.points(lambda dimension: dimension.grid or []))))
    tell(recorder, begun(number))
    port, inside = ActorRecorder(recorder, number), 0.0

    def timed(call: Callable[..., None]) -> Callable[..., None]:
        def run(*values: Any) -> None:
            nonlocal inside
            began = time.perf_counter()
            call(*values)
            inside += time.perf_counter() - began

        return run

    send, flush = timed(port.send), timed(port.flush)
    port.curves, port.scalars = timed(port.curves), timed(port.scalars)  # type: ignore[method-assign]
    began, done = time.perf_counter(), False
    trainer = Trainer(spec, port)
    with tempfile.TemporaryDirectory(prefix="checkpoint-") as folder:
        while not done:
            done = trainer.advance().done
            send()
            save(trainer, Path(folder) / CHECKPOINT_FILE, before=flush)
    return time.perf_counter() - began, inside


def waiting(trials: int) -> tuple[float, float]:
    """Seconds of a trial, and of those in the recorder, while it writes into SQLite; means over `trials` a worker."""
    with tempfile.TemporaryDirectory(prefix="recording-") as name, sqlite(Path(name)) as uri:
        folder = Path(name)
        writer = {
            "tracking_uri": uri, "sweep_id": "trained", "description": "", "spec_yaml": "",
            "artifact_folder": folder / "artifacts",
        }  # fmt: skip
        recorder = actor.start(folder / "trained", writer)
        wait(lambda: ray.get(recorder.status.remote()).parent_id is not None, 120)
        seen = ray.get([trained.remote(recorder, number) for number in range(2 * trials)])
        ray.kill(recorder)
    return float(np.mean([wall for wall, _ in seen])), float(np.mean([inside for _, inside in seen]))


def kept(promise: bool) -> str:
    return "yes" if promise else "NO"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=1000, help="of each row")
    options.add_argument("--stores", default=",".join(STORES), help="some of them")
    options.add_argument("--workers", default=",".join(map(str, WORKERS)), help="senders of each row")
    options.add_argument("--keep", action="store_true", help="write the table beside this file")
    chosen = options.parse_args()
    if unknown := set(chosen.stores.split(",")) - set(STORES):
        options.error(f"--stores takes some of {', '.join(STORES)}, but got {', '.join(sorted(unknown))}")
    ray.init(num_cpus=2, include_dashboard=False, logging_level="ERROR")
    rows = []
    for store in chosen.stores.split(","):
        for row in measure(store, [int(count) for count in chosen.workers.split(",")], chosen.runs):
            rows.append(row)
            print(row, file=sys.stderr, flush=True)
    wall, inside = waiting(1)
    ray.shutdown()
    lines = [
        "# Recording",
        "",
        f"{chosen.runs:,} runs of 3 probes, T={STEPS}, {LANES} replicates, {RECORDS} records; "
        f"{rows[0].points / chosen.runs:.0f} points a run. {platform.machine()}, {os.cpu_count()} processors, Python "
        f"{platform.python_version()}. Command: `python tests/benchmarks/recording.py --runs {chosen.runs}`.",
        "",
        "| into | workers | `log_batch` alone, points/s | through the recorder, points/s | share | 90% | "
        "recorder's processor, ms a run | a picture after that, ms |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        share = row.ours / row.alone
        lines.append(
            f"| {CALLED[row.store]} | {row.workers} | {row.alone:,.0f} | {row.ours:,.0f} | {share:.0%} | "
            f"{kept(share >= WANTED)} | {1e3 * row.cpu:.0f} | {1e3 * row.picture:.0f} |"
        )
    lines += [
        "",
        f"Training's wait: of a trial of `first` ({wall:.1f} s, two at a time), {1e3 * inside:.0f} ms in the recorder, "
        f"{inside / wall:.2%} (at most {MOST_WAIT:.0%}: {kept(inside / wall < MOST_WAIT)}).",
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    if chosen.keep:
        Path(__file__).with_suffix(".md").write_text(text)


if __name__ == "__main__":
    main()
