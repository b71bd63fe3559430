"""Imports go services -> sweeps -> rnnlab and never back, and specs load in a moment."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ORDER = ("rnnlab", "sweeps", "services")
ENGINES = {"ray", "optuna", "mlflow", "sqlalchemy", "alembic", "psycopg", "fastapi", "typer", "matplotlib"}


def imported(path: Path) -> set[str]:
    """Dotted names that a file imports, wherever in it; relative ones are refused by the test below."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add("." * node.level + (node.module or ""))
    return found


def files_of(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("package", ORDER)
def test_no_import_goes_up(package: str) -> None:
    above = set(ORDER[ORDER.index(package) + 1 :]) | {"tests"}
    for path in files_of(package):
        for name in imported(path):
            assert not name.startswith("."), f"{path}: write the whole name of {name}"
            assert name.partition(".")[0] not in above, f"{path} imports {name}"


def test_the_science_knows_no_engine() -> None:
    assert len(files_of("rnnlab")) > 40
    for path in files_of("rnnlab"):
        found = {name.partition(".")[0] for name in imported(path)} & ENGINES
        if path.name == "watched_figure.py":
            found -= {"matplotlib"}  # drawing, loaded by Watched.plot alone
        assert not found, f"{path} imports {found}"
        # and none by its dotted path in a table
        assert "sweeps." not in path.read_text(encoding="utf-8"), path


def test_the_walk_sees_an_import_wherever_it_stands(tmp_path: Path) -> None:
    text = "import a.b\nfrom c.d import e\ndef f():\n    from g import h\n    from . import i\n"
    (tmp_path / "x.py").write_text(text)
    assert imported(tmp_path / "x.py") == {"a.b", "c.d", "g", "."}


@pytest.mark.parametrize(
    "statement",
    ["import rnnlab.spec, sweeps.spec", "import rnnlab", "from rnnlab.verdict import judge"],
)
def test_specs_load_no_engine_and_no_torch(statement: str) -> None:
    heavy = ("torch", "ray", "optuna", "mlflow", "scipy", "sklearn", "pandas", "matplotlib", "sqlalchemy")
    code = f"{statement}\nimport sys\nprint([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("sweeps.running.run", ("torch", "ray", "mlflow", "matplotlib", "pandas")),  # the driver, until Ray starts
        ("sweeps.running.trainable", ("mlflow", "matplotlib", "sqlalchemy", "optuna")),  # a worker
        ("sweeps.recording.actor", ("torch", "mlflow", "matplotlib", "sqlalchemy")),  # the recorder, until it answers
    ],
)
def test_each_process_of_a_sweep_loads_only_what_it_needs_at_once(module: str, heavy: tuple[str, ...]) -> None:
    code = f"import {module}, sys\nprint([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]", f"{module} loads these when it is imported: each costs its process seconds"
