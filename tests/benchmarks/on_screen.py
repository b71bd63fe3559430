"""`rnnlab sweep run` in a terminal of its own: what stood on the screen when, what it cost, and what it left."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import sqlite3
import struct
import subprocess
import sys
import termios
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from process_tree import Tree

RNNLAB = [sys.executable, "-m", "services.cli.app"]
SIGNS = {
    "first line on the screen": "starting Ray",
    "first result on the screen": r"[+-]\d\.\d\d\b",
    "training over": "recording what is left",
    "recorded": "analysing",
    "report written": "ending the runs",
}
"""Moments of a sweep, by what the live table then shows."""


@dataclass(frozen=True)
class Shown:
    """One sweep.

    Args:
        seconds: from the command to its end. moments: seconds from the command, by name.
        tree: its processes. trained, span: processor seconds of all trials, and wall seconds from the first trial's
            start to the last one's end. threads: processors that the busiest trial used.
    """

    seconds: float
    moments: dict[str, float]
    tree: Tree
    trained: float
    span: float
    threads: float


def run_on_screen(what: str, home: Path) -> Shown:
    """Run a spec file or a recipe with two workers."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
    words = [*RNNLAB, "sweep", "run", what, "--home", str(home), "--workers", "2"]
    began, at = time.time(), time.perf_counter()
    process = subprocess.Popen(
        words, stdin=theirs, stdout=theirs, stderr=theirs, env={**os.environ, "TERM": "xterm-256color"}
    )
    os.close(theirs)
    moments: dict[str, float] = {}
    screen = ""
    with Tree(process.pid) as tree:
        while process.poll() is None:
            if not select.select([ours], [], [], 0.05)[0]:
                continue
            with contextlib.suppress(OSError):  # it has ended
                screen = screen[-20_000:] + os.read(ours, 65536).decode(errors="replace")
            for name, sign in SIGNS.items():
                if name not in moments and re.search(sign, screen):
                    moments[name] = time.perf_counter() - at
    seconds = time.perf_counter() - at
    os.close(ours)
    if process.returncode:
        raise SystemExit(screen)
    with contextlib.closing(sqlite3.connect(home / "lab.db")) as lab:
        ((made, ended),) = lab.execute("SELECT created_at, ended_at FROM sweeps").fetchall()
        trials = lab.execute("SELECT started_at, ended_at, seconds, cpu_seconds FROM trials").fetchall()
    first, last = _since(began, min(t[0] for t in trials)), _since(began, max(t[1] for t in trials))
    moments |= {"Ray up, data read": _since(began, made), "first trial begun": first, "last trial ended": last}
    moments |= {"all recorded, sweep ended": _since(began, ended), "command over": seconds}
    return Shown(
        seconds,
        dict(sorted(moments.items(), key=lambda moment: moment[1])),
        tree,
        sum(cpu for *_, cpu in trials),
        last - first,
        max(cpu / wall for *_, wall, cpu in trials),
    )


def _since(began: float, stamp: str) -> float:
    return datetime.fromisoformat(stamp).replace(tzinfo=UTC).timestamp() - began


def copied(home: Path, trials: int) -> None:
    """Fill the lab database of a home that has one sweep with copies of its trials, up to that many."""
    with contextlib.closing(sqlite3.connect(home / "lab.db")) as lab:
        (there,) = lab.execute("SELECT count(*) FROM trials").fetchone()
        for table, number in (("blocks", "number"), ("trials", "number"), ("replicates", "trial")):
            names = [row[1] for row in lab.execute(f"PRAGMA table_info({table})")]
            mine = [f'"{name}"' if name not in (number, "block") else "n" for name in names]
            lab.execute(
                f"WITH RECURSIVE more(n) AS (SELECT {there} UNION ALL SELECT n + 1 FROM more WHERE n < {trials - 1}) "
                f"INSERT INTO {table} ({', '.join(chr(34) + name + chr(34) for name in names)}) "
                f"SELECT {', '.join(mine)} FROM more JOIN {table} ON {table}.{number} = n % {there}"
            )
        lab.commit()
