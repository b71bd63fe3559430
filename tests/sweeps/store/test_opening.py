"""A lab opens from many processes at once, keeps its models equal to its migrations, and fails clearly."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, text

from rnnlab.errors import PlaceError
from sweeps.store import Lab, lab_url, open_engine
from sweeps.store.migrate import HEAD, MIGRATIONS, config_on, write_revision
from sweeps.store.sessions import WRITES
from sweeps.store.tables import Row


def python(code: str, *arguments: str) -> subprocess.Popen[str]:
    """Starts a Python that finds what this one finds."""
    path = os.pathsep.join(folder or os.getcwd() for folder in sys.path)
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )


def test_many_processes_open_a_new_lab_and_make_one_name_at_once(url: str) -> None:
    code = """
import sys
from sweeps.store import Lab
with Lab.open(sys.argv[1]) as lab:
    for _ in range(5):
        print(lab.create_sweep("first", {}, "abc").id)
"""
    processes = [python(code, url) for _ in range(4)]
    ids = [id for process in processes for id in process.communicate(timeout=120)[0].split()]
    assert [process.returncode for process in processes] == [0] * 4
    assert sorted(ids) == sorted(["first", *(f"first-{n}" for n in range(2, 21))])


def test_models_and_migrations_are_equal(lab: Lab) -> None:
    with lab.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Row.metadata) == []
        script = ScriptDirectory.from_config(config_on(connection))
        assert script.get_current_head() == HEAD
        assert context.get_current_revision() == HEAD


def test_every_migration_can_be_undone(lab: Lab) -> None:
    from alembic import command

    with lab.engine.execution_options(**WRITES).begin() as connection:
        command.downgrade(config_on(connection), "base")
        command.upgrade(config_on(connection), "head")


def test_one_step_back_and_forth_keeps_what_is_there(lab: Lab) -> None:
    """With rows that point at a sweep, also where SQLite would copy its table and drop the old one."""
    from alembic import command

    id = lab.create_sweep("there", {"name": "there"}, "abc").id
    lab.add_block(id, 0, 1, {})
    lab.start_trial(id, 0, block=0, config_hash="a", label="rnn", params={}, spec={})
    lab.report(id, 0, 10, 0.5)
    lab.event(id, "started", "1 trial")
    for revision in ("0003", "0002", "0001"):
        with lab.engine.execution_options(**WRITES).begin() as connection:
            command.downgrade(config_on(connection), revision)
    with lab.engine.execution_options(**WRITES).begin() as connection:
        command.upgrade(config_on(connection), "head")
    assert lab.sweep(id).name == "there"
    assert [trial.label for trial in lab.trials(id)] == ["rnn"]
    assert [(report.update, report.score) for report in lab.reports(id)] == [(10, 0.5)]
    assert [event.kind for event in lab.events(id)] == ["started"]


def test_what_an_older_rnnlab_wrote_is_kept(url: str) -> None:
    from alembic import command

    engine = open_engine(url)
    now = "2026-01-02 03:04:05+00:00"
    with engine.execution_options(**WRITES).begin() as connection:
        command.upgrade(config_on(connection), "0001")
        for statement in (
            "INSERT INTO sweeps (id, name, status, spec, spec_hash, created_at, stop_requested) "
            f"VALUES ('first', 'first', 'finished', '{{}}', 'abc', '{now}', false)",
            "INSERT INTO blocks (sweep_id, number, seed, nuisance) VALUES ('first', 0, 7, '{}')",
            "INSERT INTO trials (sweep_id, number, block, config_hash, label, params, spec, state, score, exploded, "
            "solved, healthy, started_at, updates) VALUES ('first', 0, 0, 'abc', 'rnn tanh', '{}', '{}', 'complete', "
            f"-0.5, 0, 1, 1, '{now}', 300)",
            'INSERT INTO replicates (sweep_id, trial, number, seed, outcome, "update", score, solved, underflow, mixed, '
            "exploded, spikes, features) VALUES ('first', 0, 0, 9, 'finished', 300, -0.5, true, false, false, false, 0, "
            "'{\"clip_coefficient\": 0.5}')",
        ):
            connection.exec_driver_sql(statement)
    engine.dispose()
    with Lab.open(url) as lab:
        (trial,) = lab.trials("first")
        (replicate,) = lab.replicates("first")
    assert (trial.score, trial.worker, trial.updates) == (-0.5, None, 300)
    assert (replicate.solved, replicate.solved_at, replicate.features) == (True, None, {"clip_coefficient": 0.5})


def test_a_new_revision_is_written_from_the_difference(tmp_path: Path) -> None:
    folder = tmp_path / "100% migrations"
    shutil.copytree(MIGRATIONS, folder, ignore=shutil.ignore_patterns("__pycache__", "0*.py"))
    (folder / "versions").mkdir(exist_ok=True)
    write_revision("all at once", folder)
    (written,) = (folder / "versions").glob("*.py")
    assert written.name == "0001_all_at_once.py"
    assert "sweeps.store" not in written.read_text()


def test_sqlite_waits_logs_ahead_and_holds_foreign_keys(tmp_path: Path) -> None:
    engine = open_engine(lab_url(tmp_path / "not yet" / "there"))
    with engine.connect() as connection:
        pragmas = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "busy_timeout", "foreign_keys")
        ]
    engine.dispose()
    assert pragmas == ["wal", 5_000, 1]


def set_revision(engine: Engine, revision: str) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :at"), {"at": revision})


def test_a_newer_or_foreign_database_is_refused(lab: Lab, url: str) -> None:
    set_revision(lab.engine, "9999")
    with pytest.raises(PlaceError, match=rf"revision '9999', but this rnnlab knows '{HEAD}' at most.*MLflow"):
        Lab.open(url)


def test_tables_of_another_program_are_left_alone(url: str) -> None:
    engine = open_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE trials (trial_id INTEGER)")
    engine.dispose()
    with pytest.raises(PlaceError, match=r"tables of another program \(trials\)"):
        Lab.open(url)


def test_a_place_that_cannot_be_a_lab_is_told_in_one_message(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("not a database, but longer than the header that SQLite reads of its files" * 20)
    for url in (lab_url(file), lab_url(file / "below"), f"sqlite:///{file}", f"sqlite:///{tmp_path}"):
        with pytest.raises(PlaceError, match=r"the lab database sqlite:///.* cannot be used: .*; check"):
            Lab.open(url)
    for url in ("no url", "sqlite://", "mysql://host/name", "postgresql+psycopg2://host/name"):
        with pytest.raises(PlaceError, match=r"sqlite:////folder/lab.db or postgresql://user@host/name"):
            Lab.open(url)


def test_a_server_that_is_not_there_is_told_without_the_password(tmp_path: Path) -> None:
    with pytest.raises(PlaceError, match=r"cannot be used: .*check that the server runs") as told:
        Lab.open(f"postgresql://me:secret@/name?host={tmp_path}")
    assert "secret" not in str(told.value)


def test_a_database_that_fails_later_is_told_too(tmp_path: Path) -> None:
    with Lab.open(lab_url(tmp_path)) as lab:
        lab.engine.dispose()
        (tmp_path / "lab.db").unlink()
        (tmp_path / "lab.db").mkdir()
        with pytest.raises(PlaceError, match="cannot be used"):
            lab.sweeps()


def test_a_server_made_under_the_c_locale_serves(new_postgres: Callable[..., str]) -> None:
    url = new_postgres("ENCODING 'SQL_ASCII' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'")
    with Lab.open(url) as lab:
        assert lab.create_sweep("größe", {"x": "µ"}, "abc").name == "größe"
        assert lab.sweeps()[0].spec == {"x": "µ"}


def test_the_room_loads_no_engine() -> None:
    code = "import json, sys, sweeps.store; print(json.dumps(sorted(sys.modules)))"
    process = python(code)
    loaded = set(json.loads(process.communicate(timeout=60)[0]))
    assert not loaded & {"torch", "ray", "mlflow", "optuna", "alembic", "psycopg", "pandas"}


def test_a_home_is_good_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert lab_url(Path("home")) == f"sqlite:///{tmp_path / 'home' / 'lab.db'}"
    engine = create_engine(lab_url(Path("home")))
    assert engine.url.database == str(tmp_path / "home" / "lab.db")
    engine.dispose()
