"""Runs the `rnnlab` command as a person does."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock

from services.cli.app import main

SMALL = """
name: small
task: {kind: temporal_order, length: 12}
model: {hidden: 4}
optim: {batch: 4}
space: {cell: [rnn, gru, lstm]}
search: {sampler: grid}
replicates: 2
budget: {updates: 20, evaluations: 4}
"""


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


def here(*words: str, home: Path, cwd: Path) -> Ran:
    """Run it in this process, which has torch, Ray and MLflow loaded: most of what a command costs that looks."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.setenv("RNNLAB_HOME", str(home))
        patch.chdir(cwd)
        patch.setattr(sys, "argv", ["rnnlab", *words])
        try:
            main()
        except SystemExit as left:
            code = left.code if isinstance(left.code, int) else int(left.code is not None)
    return Ran(home, code, out.getvalue(), err.getvalue())


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


def small_sweep(factory: pytest.TempPathFactory) -> Ran:
    """`SMALL`, three trials that nothing happened to, run once for all tests: copy its home before you spoil it."""
    spec = factory.mktemp("spec") / "small.yaml"
    spec.write_text(SMALL)
    ran = once(factory, "small", "sweep", "run", str(spec), "--workers", "1", "--json")
    assert ran.code == 0, ran.err
    return ran
