"""A sweep of many simulated trials: the driver's memory and time, the commands, what is left on disk, MLflow, TPE.

    python tests/benchmarks/many_trials.py --trials 10000 --keep

Nothing is trained (`simulated_trial.py`). Processor time is that of the driver's main thread, so that another process on the
machine hardly counts; wall time holds the workers too, two of them. The tables go to the screen and, with `--keep`, beside
this file.
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
import psutil
from simulated_trial import SimulatedTrial

from rnnlab.written import validated
from sweeps.home import Home
from sweeps.recording import actor
from sweeps.running.progress import SweepProgress
from sweeps.running.run import run_sweep
from sweeps.search.recent import BEST, LATEST, MOST, recent
from sweeps.search.samplers import sampler_for
from sweeps.space.suggest import suggest
from sweeps.spec import SweepSpec

SPEC: dict[str, Any] = {
    "name": "many",
    "task": {"kind": "adding", "length": 50},
    "space": {
        "cell": ["rnn", "lstm", "gru"],
        "activation": {"choices": ["tanh", "relu"], "when": {"cell": "rnn"}},
        "init": ["default", "orthogonal"],
        "clip": ["none", {"norm": 1.0}],
        "depth": {"low": 1, "high": 3},
        "lr": {"low": 1e-4, "high": 1e-1, "log": True},
    },
    "replicates": 3,
    "budget": {"updates": 100, "evaluations": 2},
}
MB = 1e6
WORKERS = 2
LENGTH = 140
"""Timesteps of the trials that are recorded: about as many points as a trial of the recipe `first` has."""
MOST_MB, MOST_GROWTH, MOST_SECONDS, MOST_BESIDE = 60.0, 1.2, 1.0, 200.0
"""What is promised: MB of the driver for each 1,000 trials, time a trial at the end over that at the start, seconds of
`sweep list` and `sweep show`, and milliseconds of a trial beside its training, with MLflow."""


class NothingRecorded:
    """A recorder that forgets: what is left is the driver's own cost."""

    def put(self, *messages: Any) -> None:
        pass

    def status(self) -> actor.RecorderStatus:
        return actor.RecorderStatus(None, None, 0, 0, 0, {}, None)

    finish = status


def forgetting(folder: Path, writer: Mapping[str, Any]) -> Any:
    """Starts a recorder that forgets."""
    import ray

    return ray.remote(NothingRecorded).options(name=actor.actor_name(writer["sweep_id"]), num_cpus=0).remote()


@dataclass(frozen=True)
class Mark:
    """The driver when `ended` trials had; seconds of the wall and of its main thread's processor, resident bytes."""

    ended: int
    wall: float
    own: float
    resident: int


@dataclass
class Marks:
    """A watcher that looks at the driver at every 100th trial, and at the disk after the last."""

    marks: list[Mark] = field(default_factory=list)
    recorded: float = 0.0
    """When MLflow had all but the pictures, and the driver began its report."""
    points: int = 0
    """Metric points that were recorded by then."""
    left: Counter[str] = field(default_factory=Counter)

    def changed(self, progress: SweepProgress) -> None:
        if threading.current_thread() is not threading.main_thread():
            return  # the heartbeat's
        if progress.notice == "analysing" and progress.recording and not self.recorded:
            self.recorded, self.points = time.monotonic(), progress.recording.points
        ended = progress.ended
        last = ended == progress.total and not self.left
        if ended and (not self.marks or ended >= self.marks[-1].ended + 100 or last):
            self.marks.append(Mark(ended, time.monotonic(), time.thread_time(), psutil.Process().memory_info().rss))
            print(f"\r{ended}/{progress.total}", end="", file=sys.stderr)
        if last:
            import ray

            session = Path(ray._private.worker._global_node.get_session_dir_path())
            self.left = Counter({f"Ray: {name}": count for name, count in files_in(session).items()})


def drive(home: Home, trials: int, recording: Any, length: int = 50) -> tuple[Marks, float]:
    """A whole sweep of a task of `length` timesteps; what a watcher saw, and its seconds."""
    asked = {"task": {"kind": "adding", "length": length}, "search": {"sampler": "random", "trials": trials}}
    spec = validated(SweepSpec, {**SPEC, **asked}, "many_trials")
    marks, began = Marks(), time.monotonic()
    run_sweep(spec, home, workers=WORKERS, watcher=marks, trainable=SimulatedTrial, recording=recording)
    print(file=sys.stderr)
    return marks, time.monotonic() - began


def files_in(folder: Path) -> Counter[str]:
    """Files and empty folders by their names, ids and numbers taken out."""
    found = (path for path in folder.rglob("*") if not path.is_dir() or not any(path.iterdir()))
    return Counter(re.sub(r"[0-9a-f]{8,}|\d+", "N", str(path.relative_to(folder))) for path in found)


def growth(marks: Sequence[Mark], trials: int, *, memory: bool = True) -> list[str]:
    """The driver by thousands (of fewer trials by quarters), and what of it was promised.

    Args:
        memory: whether it counts; a process that has run a sweep before has what it needs.
    """
    step = 1000 if trials >= 2000 else trials // 4
    edges = [next(mark for mark in marks if mark.ended >= at) for at in range(0, trials + 1, step)]
    rows, own, wall = [], [], []
    for before, after in itertools.pairwise(edges):
        count = after.ended - before.ended
        own.append(1e3 * (after.own - before.own) / count)
        wall.append(1e3 * (after.wall - before.wall) / count)
        more = (after.resident - before.resident) / MB * 1000 / count
        rows.append([f"{before.ended} to {after.ended}", wall[-1], own[-1], after.resident / MB, more])
    mean = (edges[-1].resident - edges[0].resident) / MB * 1000 / (edges[-1].ended - edges[0].ended)
    ratios = own[-1] / own[0], wall[-1] / wall[0]
    heads = ["trials", "ms a trial", "of which the driver", "MB resident", "MB for 1,000 more"]
    said = f"Memory: {mean:.0f} MB for each 1,000 trials (at most {MOST_MB:.0f}: {kept(mean <= MOST_MB)}). "
    return [
        *table(heads if memory else heads[:3], [row if memory else row[:3] for row in rows]),
        "",
        f"{said if memory else ''}Time a trial, last part over first: {ratios[0]:.2f} of the driver's processor, {ratios[1]:.2f} of the wall (at most "
        f"{MOST_GROWTH}: {kept(ratios[0] <= MOST_GROWTH)}).",
    ]


def commands(home: Path) -> list[str]:
    """`sweep list` and `sweep show` on this home, a process each, the median of three."""
    rows = []
    for words in (
        ["list"],
        ["list", "--json"],
        ["show", "many"],
        ["show", "many", "--json"],
        ["show", "many", "--all"],
    ):
        seconds, own = [], []
        for _ in range(3):
            before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
            line = [sys.executable, "-m", "services.cli.app", "sweep", *words, "--home", str(home)]
            subprocess.run(line, check=True, stdout=subprocess.DEVNULL)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            seconds.append(time.monotonic() - began)
            own.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        middle = statistics.median(seconds)
        rows.append([f"`sweep {' '.join(words)}`", middle, statistics.median(own), kept(middle < MOST_SECONDS)])
    return table(["command", "seconds", "of its processor", "under a second"], rows)


def asking(counts: Sequence[int]) -> list[str]:
    """What one more trial costs TPE, by trials told."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    spec = validated(SweepSpec, {**SPEC, "search": {"sampler": "tpe", "trials": max(counts) + 1}}, "many_trials")
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(0))
    rows = []
    for count in counts:
        while len(study.get_trials(deepcopy=False)) < count:
            trial = study.ask()
            picks = suggest(trial, spec.parsed_space)
            study.tell(trial, abs(math.log10(float(picks["lr"])) + 2) - 3)
        small = recent(study)[0] if count >= MOST else study
        rows.append([count, ask_ms(study, spec), ask_ms(small, spec), len(small.get_trials(deepcopy=False))])
    return table(["trials told", "ms, all of them", "ms, as here", "of which fitted"], rows)


def ask_ms(study: optuna.Study, spec: SweepSpec) -> float:
    """Milliseconds of one ask, with the sampler that a sweep makes for it; the median of seven."""
    seconds = []
    copy = optuna.create_study(direction="minimize")
    copy.add_trials(study.get_trials(deepcopy=False))
    for number in range(7):
        began = time.thread_time()
        copy.sampler = sampler_for(spec.search, number)
        trial = copy.ask()
        suggest(trial, spec.parsed_space)
        seconds.append(time.thread_time() - began)
        copy.tell(trial, state=optuna.trial.TrialState.FAIL)
    return 1e3 * statistics.median(seconds)


def recorded(trials: int) -> list[str]:
    """The same with MLflow, which a recorder writes beside the driver."""
    with tempfile.TemporaryDirectory(prefix="many-trials-") as folder:
        home = Home(Path(folder))
        marks, seconds = drive(home, trials, actor.start, LENGTH)
        left = files_in(home.sweep_folder("many")) + files_in(home.artifacts)
    first, last = marks.marks[0].wall, marks.marks[-1].wall
    ended, known = (1e3 * (at - first) / trials for at in (last, marks.recorded))
    each = {name: count for name, count in left.items() if count >= trials}
    return [
        f"{trials:,} trials of {marks.points / trials:.0f} points: {ended:.0f} ms a trial until the last has ended, "
        f"{known:.0f} until MLflow has all but the pictures (at most {MOST_BESIDE:.0f}: {kept(known <= MOST_BESIDE)}), "
        f"{1e3 * seconds / trials:.0f} with the start, the pictures and the report.",
        "",
        *growth(marks.marks, trials, memory=False),
        "",
        *table(["left for each trial, with MLflow", "files"], [[f"`{name}`", count] for name, count in each.items()]),
    ]


def left_behind(home: Home, marks: Marks, trials: int) -> list[str]:
    """Files by kind."""
    ours = Counter({f"sweep: {name}": count for name, count in files_in(home.path).items()})
    rows = [[f"`{name}`", count, count / trials] for name, count in (ours + marks.left).most_common(12)]
    return table(["left behind", "files", "a trial"], rows)


def table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    """In Markdown, numbers with three digits that count."""
    shown = [[f"{cell:.3g}" if isinstance(cell, float) and cell < 100 else f"{cell:.0f}" if isinstance(cell, float)
              else str(cell) for cell in row] for row in rows]  # fmt: skip
    return ["| " + " | ".join(line) + " |" for line in (list(heads), ["---"] * len(heads), *shown)]


def kept(promise: bool) -> str:
    return "yes" if promise else "NO"


def main() -> None:
    """Run all parts, print them, keep them if asked."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--trials", type=int, default=2000, help="of the sweep without MLflow")
    options.add_argument("--recorded", type=int, default=1000, help="of the sweep with MLflow; 0: none")
    options.add_argument("--asked", type=int, default=10_000, help="trials up to which TPE is asked")
    options.add_argument("--keep", action="store_true", help="write the tables beside this file")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="many-trials-") as folder:
        home = Home(Path(folder))
        marks, seconds = drive(home, chosen.trials, forgetting)
        trained = marks.marks[-1].wall - marks.marks[0].wall
        lines = [
            f"# {chosen.trials:,} simulated trials",
            "",
            f"Python {platform.python_version()}, {os.cpu_count()} processors, {WORKERS} workers, 3 replicates, 3 probes. "
            f"{trained:.0f} s of trials, {seconds:.0f} s with the start and the report.",
            "",
            "## The driver, without MLflow",
            *growth(marks.marks, chosen.trials),
            "",
            "## The commands on this home",
            *commands(home.path),
            "",
            "## Files",
            *left_behind(home, marks, chosen.trials),
        ]
    if chosen.recorded:
        lines += ["", "## With MLflow", *recorded(chosen.recorded)]
    lines += [
        "",
        "## TPE",
        f"Up to {MOST:,} trials it is fitted to all; then to the latest {LATEST:,} to {MOST:,} and the best {BEST} of all.",
        "",
        *asking([count for count in (100, 1000, 2000, 5000, 10_000) if count <= chosen.asked]),
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    if chosen.keep:
        Path(__file__).with_suffix(".md").write_text(text)


if __name__ == "__main__":
    main()
