"""Processor time and peak memory of a process and of all that it starts, by what each of them is."""

from __future__ import annotations

import threading
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Self

import psutil

EVERY = 0.25
"""Seconds between two looks; what a process did after the last look at it is lost."""
ROLES = (
    ("ray::RecorderProcess", "recorder"),
    ("ray::TrialTrainable", "worker"),
    ("ray::ResourceTrainable", "worker"),
    ("ray::train", "worker"),
    ("ray::ImplicitFunc", "worker"),
    ("sweeps.report.whole", "report"),
)
"""What a process is, by the beginning of a word of its command line; all others are Ray's own."""


@dataclass
class One:
    """One process: seconds of processor, and the most memory that it held, bytes (VmHWM: shared pages included)."""

    role: str
    seconds: float = 0.0
    peak: int = 0


@dataclass
class Tree:
    """Watches a process in a thread, as a context manager. `all` holds what was seen, by process id."""

    root: int
    all: dict[int, One] = field(default_factory=dict)
    _over: threading.Event = field(default_factory=threading.Event)
    _known: dict[int, psutil.Process] = field(default_factory=dict)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def seconds(self) -> dict[str, float]:
        """Processor time by role."""
        sums: dict[str, float] = defaultdict(float)
        for one in self.all.values():
            sums[one.role] += one.seconds
        return dict(sums)

    def peak(self, role: str) -> int:
        """The most that a process of a role held; 0: there was none."""
        return max((one.peak for one in self.all.values() if one.role == role), default=0)

    def _watch(self) -> None:
        while not self._over.wait(EVERY):
            self._look()

    def _look(self) -> None:
        try:
            for process in psutil.Process(self.root).children(recursive=True):
                self._known.setdefault(process.pid, process)
            self._known.setdefault(self.root, psutil.Process(self.root))
        except psutil.NoSuchProcess:
            return
        for pid, process in list(self._known.items()):
            try:
                times, peak, words = process.cpu_times(), _peak(pid), process.cmdline()
            except (psutil.NoSuchProcess, psutil.ZombieProcess, OSError):
                del self._known[pid]
                continue
            one = self.all.setdefault(pid, One("Ray"))
            one.seconds, one.peak = times.user + times.system, max(one.peak, peak)
            if pid == self.root:
                one.role = "driver"
            elif one.role == "Ray":  # a worker has no name of its own before its first trial
                known = (role for sign, role in ROLES if any(word.startswith(sign) for word in words))
                one.role = next(known, "Ray")


def _peak(pid: int) -> int:
    with open(f"/proc/{pid}/status") as lines:
        return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)
