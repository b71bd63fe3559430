"""A whole sweep against the usual way: the same sixteen configurations, updates and curves, start-up included.

    python tests/benchmarks/whole_sweep.py --keep

Runs `usual_way.py` and `rnnlab sweep run` in turns, each in a fresh process and folder, then the recipe `first`, then short
commands on a home of 10,000 trials. Prints one table; with `--keep` it also goes beside this file. Wall times are those of
the machine as it is: on one that does something else meanwhile only processor times are to be compared.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import mlflow
import numpy as np
import torch
from on_screen import RNNLAB, Shown, copied, run_on_screen
from process_tree import Tree
from usual_way import BATCH, CURVES, HIDDEN, SPACE, STEPS, UPDATES

from rnnlab.training.loop import Trainer
from rnnlab.training.step import Evaluation
from rnnlab.written import validated
from sweeps.spec import SweepSpec

HERE = Path(__file__).parent


def spec() -> SweepSpec:
    """The sweep of `usual_way.py` as a spec: the same table, one seed, a probe where it takes a curve.

    Of curves dL/dh_t, which that one has, and the anchored gradient, which a verdict needs; `first` has the usual ones.
    """
    data: dict[str, Any] = {
        "name": "same",
        "task": {"kind": "adding", "length": STEPS},
        "model": {"hidden": HIDDEN},
        "optim": {"kind": "adam", "batch": BATCH},
        "space": {**SPACE, "clip": ["none" if c == 0 else {"norm": c} for c in SPACE["clip"]]},
        "search": {"sampler": "grid"},
        "replicates": 1,
        "budget": {"updates": UPDATES, "evaluations": CURVES},
        "probe": {
            "schedule": [UPDATES // CURVES * n for n in range(1, CURVES + 1)],
            "measure": ["anchor", "total"],
        },
    }
    return validated(SweepSpec, data)


TRIALS = 10_000
"""Trials of the home on which short commands are timed."""
WANTED = {"--help": 0.5, "sweep list": 1.0, "sweep show": 1.0}
"""Seconds of a command at most."""
RATIO, FIRST, BUSY = 0.2, 10.0, 0.9
"""Time of the usual way at most, seconds to the first result at most, share of the ideal of two workers at least."""


class Usual(NamedTuple):
    """One run of the usual way: its own clock's seconds, metric points in MLflow, its processes."""

    seconds: float
    points: int
    tree: Tree


def usual(folder: Path) -> Usual:
    """The usual way; its points as it counts them after its clock has stopped."""
    words = [sys.executable, str(HERE / "usual_way.py"), str(folder)]
    with (folder / "log").open("w+") as log:
        running = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=log, text=True)
        with Tree(running.pid) as tree:
            said, _ = running.communicate()
        if running.returncode:
            log.seek(0)
            raise SystemExit(log.read())
    told = json.loads(said.splitlines()[-1])
    return Usual(told["seconds"], told["points"], tree)


def ours(folder: Path) -> Shown:
    """`rnnlab sweep run`, findings, pictures and report included."""
    path = folder / "same.yaml"
    path.write_text(spec().to_yaml())
    return run_on_screen(str(path), folder)


class Timed(Trainer):
    """Training, with the processor seconds of its parts."""

    evaluating = probing = 0.0

    def _evaluate(self) -> Evaluation:
        began = time.process_time()
        seen = super()._evaluate()
        self.evaluating += time.process_time() - began
        return seen

    def _probe(self, lanes_S: torch.Tensor) -> None:
        began = time.process_time()
        super()._probe(lanes_S)
        self.probing += time.process_time() - began


def alone() -> tuple[float, float, float]:
    """Processor seconds of the sixteen trials in this process, one after the other; of validation; of probes."""
    torch.set_num_threads(1)
    whole = evaluating = probing = 0.0
    for number, picks in enumerate(spec().parsed_space.points(lambda dimension: dimension.grid or [])):
        began = time.process_time()
        trainer = Timed(spec().trial(number, picks))
        while not trainer.advance().done:
            pass
        whole += time.process_time() - began
        evaluating, probing = evaluating + trainer.evaluating, probing + trainer.probing
    return whole, evaluating, probing


def points_of(folder: Path, sweep: str) -> int:
    """Metric points that MLflow has of a sweep."""
    client = mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db")
    experiment = client.get_experiment_by_name(sweep)
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], max_results=100)
    return sum(len(client.get_metric_history(run.info.run_id, key)) for run in runs for key in run.data.metrics)


def command(*words: str) -> tuple[float, float]:
    """Wall and processor seconds of a command, medians of five."""
    wall, own = [], []
    for _ in range(5):
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run([*RNNLAB, *words], check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        wall.append(time.perf_counter() - began)
        own.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return statistics.median(wall), statistics.median(own)


def numbers_of(folder: Path) -> int:
    """Numbers of curves that a sweep's artifacts in MLflow hold, at every timestep and probe."""
    total = 0
    for file in (folder / "artifacts").rglob("curves.npz"):
        with np.load(file) as arrays:
            total += sum(arrays[name].size for name in arrays.files)
    return total


Row = tuple[str, str, str, str]
"""What was measured, its value, what of it is wanted, and whether that holds."""


def row(what: str, value: str, wanted: str = "", kept: bool | None = None) -> Row:
    return what, value, wanted, "" if kept is None else "yes" if kept else "NO"


def against(usuals: Sequence[Usual], sweeps: Sequence[Shown], points: int, numbers: int) -> Iterable[Row]:
    """The same work both ways."""
    theirs = statistics.median(one.seconds for one in usuals)
    mine = statistics.median(one.seconds for one in sweeps)
    yield row("the usual way, s", f"{theirs:.1f} ({', '.join(f'{one.seconds:.1f}' for one in usuals)})")
    yield row("rnnlab, s", f"{mine:.1f} ({', '.join(f'{one.seconds:.1f}' for one in sweeps)})")
    yield row("rnnlab / the usual way", f"{mine / theirs:.2f}", f"at most {RATIO}", mine / theirs <= RATIO)
    cpu = [statistics.median(sum(one.tree.seconds().values()) for one in of) for of in (usuals, sweeps)]
    yield row("the same of processor time", f"{cpu[1] / cpu[0]:.2f} ({cpu[1]:.0f} s / {cpu[0]:.0f} s)")
    yield row("metric points, the usual way", f"{usuals[0].points:,}")
    whole, evaluating, probing = alone()
    parts_of = f"validation {evaluating:.1f}, probes {probing:.1f}"
    yield row("training alone, in one process, processor s", f"{whole:.1f} ({parts_of})")
    yield row("that on two processors / the usual way", f"{whole / 2 / theirs:.2f}")
    # the usual way knows no arrays; here a run's charts get few curves (docs/dashboard.md), its file gets all of them
    recorded = f"{points + numbers:,} ({points:,} metric points, {numbers:,} in `curves.npz`)"
    yield row("recorded in MLflow, rnnlab", recorded, "at least as many", points + numbers >= usuals[0].points)
    for name, of in (("the usual way", usuals[-1].tree), ("rnnlab", sweeps[-1].tree)):
        parts = sorted(of.seconds().items(), key=lambda part: -part[1])
        yield row(f"processor s, {name}", ", ".join(f"{role} {seconds:.1f}" for role, seconds in parts))


def within(first: Shown) -> Iterable[Row]:
    """The recipe `first`: what is on the screen when, whether both workers are busy, and the most memory."""
    for name, at in first.moments.items():
        kept = (f"at most {FIRST:g}", at <= FIRST) if name.startswith("first result") else ("", None)
        yield row(f"`first`: {name}, s", f"{at:.1f}", *kept)
    busy = first.trained / (2 * first.span)
    yield row("`first`: share of the ideal of 2 workers", f"{busy:.2f}", f"at least {BUSY}", busy >= BUSY)
    yield row("`first`: processors of the busiest trial", f"{first.threads:.2f}", "at most 1.05", first.threads <= 1.05)
    for role in ("driver", "worker", "recorder"):
        yield row(f"`first`: peak memory, {role}", f"{first.tree.peak(role) / 1e6:.0f} MB")


def commands(home: Path) -> Iterable[Row]:
    """Short commands, on a home of `TRIALS` trials."""
    for words in (["--help"], ["sweep", "list"], ["sweep", "show", "same"], ["sweep", "show", "same", "--json"]):
        wall, own = command(*words, *([] if words == ["--help"] else ["--home", str(home)]))
        name = " ".join(words)
        most = next(most for sign, most in WANTED.items() if name.startswith(sign))
        yield row(f"`rnnlab {name}`, s", f"{wall:.2f} ({own:.2f} of processor)", f"at most {most}", wall <= most)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--keep", action="store_true", help="write the table beside this file")
    asked = parser.parse_args()
    usuals, sweeps = [], []
    rows: list[Row] = []
    for number in range(asked.repeats):
        with tempfile.TemporaryDirectory() as folder:
            usuals.append(usual(Path(folder)))
        with tempfile.TemporaryDirectory() as folder:
            sweeps.append(ours(Path(folder)))
            print(f"{usuals[-1].seconds:.1f} s and {sweeps[-1].seconds:.1f} s", file=sys.stderr)
            if number == asked.repeats - 1:
                rows += against(usuals, sweeps, points_of(Path(folder), "same"), numbers_of(Path(folder)))
                copied(Path(folder), TRIALS)
                rows += commands(Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        rows += within(run_on_screen("first", Path(folder)))
    lines = [
        f"Sixteen trials of {UPDATES} updates, {CURVES} curves of {STEPS} timesteps each, and the recipe `first`; "
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} processors, "
        f"load {os.getloadavg()[2]:.1f}; {asked.repeats} runs each way in turns, medians.",
        "",
        "| what | value | wanted | kept |",
        "|---|---|---|---|",
        *(f"| {' | '.join(one)} |" for one in rows),
    ]
    text = "\n".join(lines)
    print(text)
    if asked.keep:
        (HERE / "whole_sweep.md").write_text(text + "\n")


if __name__ == "__main__":
    main()
