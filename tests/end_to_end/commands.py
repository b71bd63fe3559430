"""Runs the `rnnlab` command as a person does."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock


@dataclass(frozen=True)
class Ran:
    """A command that has run: its home, exit code and output."""

    home: Path
    code: int
    out: str
    err: str


def rnnlab(*words: str, home: Path | None = None, cwd: Path | None = None, timeout: float = 280) -> Ran:
    """Run the `rnnlab` command in a process of its own, as a person does."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "TUNE_", "MLFLOW_"))}
    if home is not None:
        env["RNNLAB_HOME"] = str(home)
    done = subprocess.run(
        [sys.executable, "-m", "services.cli.app", *words],
        env=env,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    return Ran(home or Path(), done.returncode, done.stdout, done.stderr)


def once(factory: pytest.TempPathFactory, name: str, *words: str) -> Ran:
    """Run a command in a home of its own, once for all processes that share these tests."""
    alone = "PYTEST_XDIST_WORKER" not in os.environ
    root = factory.getbasetemp() if alone else factory.getbasetemp().parent
    kept = root / f"{name}.pkl"
    with FileLock(root / f"{name}.lock"):
        if not kept.is_file():
            kept.write_bytes(pickle.dumps(rnnlab(*words, home=root / name / "home", timeout=1500)))
        ran: Ran = pickle.loads(kept.read_bytes())
    return ran
