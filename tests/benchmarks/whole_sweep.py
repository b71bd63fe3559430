"""A whole sweep against the usual way: the same sixteen configurations, updates and curves, start-up included.

    python tests/benchmarks/whole_sweep.py --keep

Runs `usual_way.py` and `rnnlab sweep run` in turns, each in a fresh process and folder, and prints wall seconds (medians of
`--repeats` runs), points in MLflow, and when the first result was on the screen. With `--keep` the table also goes beside this
file. On a machine that does something else meanwhile the ratio is not to be trusted.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import platform
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
from usual_way import BATCH, CURVES, HIDDEN, SPACE, STEPS, UPDATES

from rnnlab.written import validated
from sweeps.spec import SweepSpec

HERE = Path(__file__).parent


def spec() -> SweepSpec:
    """The sweep of `usual_way.py` as a spec: the same table, one seed, a probe where it takes a curve."""
    data: dict[str, Any] = {
        "name": "same",
        "task": {"kind": "adding", "length": STEPS},
        "model": {"hidden": HIDDEN},
        "optim": {"kind": "adam", "batch": BATCH},
        "space": {**SPACE, "clip": ["none" if c == 0 else {"norm": c} for c in SPACE["clip"]]},
        "search": {"sampler": "grid"},
        "replicates": 1,
        "budget": {"updates": UPDATES, "evaluations": CURVES},
        "probe": {"schedule": [UPDATES // CURVES * n for n in range(1, CURVES + 1)]},
    }
    return validated(SweepSpec, data)


@dataclass(frozen=True)
class Run:
    """One run: wall seconds from the command to its end, to the first result on the screen (nan: not told), points."""

    seconds: float
    first: float
    points: int


def usual(folder: Path) -> Run:
    """The usual way; its points as it counts them after its clock has stopped."""
    done = subprocess.run(
        [sys.executable, str(HERE / "usual_way.py"), str(folder)], capture_output=True, text=True, check=True
    )
    told = json.loads(done.stdout.splitlines()[-1])
    return Run(told["seconds"], float("nan"), told["points"])


def ours(folder: Path) -> Run:
    """`rnnlab sweep run`, findings and report included; the live table shows a result as soon as the lab database has it."""
    path = folder / "same.yaml"
    path.write_text(spec().to_yaml())
    words = [
        sys.executable,
        "-m",
        "services.cli.app",
        "sweep",
        "run",
        str(path),
        "--home",
        str(folder),
        "--workers",
        "2",
    ]
    begun, first = time.perf_counter(), float("nan")
    with (folder / "log").open("w+") as log:
        running = subprocess.Popen(words, stdout=log, stderr=log)
        while running.poll() is None:
            if math.isnan(first) and told(folder / "lab.db"):
                first = time.perf_counter() - begun
            time.sleep(0.1)
        seconds = time.perf_counter() - begun
        if running.returncode:
            log.seek(0)
            raise SystemExit(log.read())
    client = mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db")
    experiment = client.get_experiment_by_name("same")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], max_results=100)
    points = sum(len(client.get_metric_history(run.info.run_id, key)) for run in runs for key in run.data.metrics)
    return Run(seconds, first, points)


def told(lab: Path) -> bool:
    """Whether a trial has reported to a lab database that may not be there yet."""
    if not lab.exists():
        return False
    with contextlib.closing(sqlite3.connect(f"file:{lab}?mode=ro", uri=True)) as reading:
        try:
            return bool(reading.execute("SELECT 1 FROM reports LIMIT 1").fetchall())
        except sqlite3.OperationalError:  # not made yet, or busy
            return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--keep", action="store_true", help="write the table beside this file")
    asked = parser.parse_args()
    runs: dict[str, list[Run]] = {"the usual way": [], "rnnlab": []}
    for _ in range(asked.repeats):
        for name, run in (("the usual way", usual), ("rnnlab", ours)):
            with tempfile.TemporaryDirectory() as folder:
                runs[name].append(run(Path(folder)))
                print(name, runs[name][-1], flush=True)
    median = {name: statistics.median(run.seconds for run in of) for name, of in runs.items()}
    lines = [
        f"Sixteen trials of {UPDATES} updates, {CURVES} curves of {STEPS} timesteps each; {platform.processor() or platform.machine()},"
        f" {os.cpu_count()} processors, {asked.repeats} runs each in turns.",
        "",
        "| | wall s (median) | all | first result s | points in MLflow |",
        "|---|---|---|---|---|",
    ]
    for name, of in runs.items():
        each = ", ".join(f"{run.seconds:.1f}" for run in of)
        first = statistics.median(run.first for run in of)
        lines.append(f"| {name} | {median[name]:.1f} | {each} | {first:.1f} | {of[0].points:,} |")
    lines += ["", f"Ratio: {median['rnnlab'] / median['the usual way']:.2f} (wanted: at most .20)."]
    text = "\n".join(lines).replace("nan", "-")
    print(text)
    if asked.keep:
        (HERE / "whole_sweep.md").write_text(text + "\n")


if __name__ == "__main__":
    main()
