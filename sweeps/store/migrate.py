"""Brings a lab database to the newest revision; writes new revisions.

After a change of `tables`, this writes the next file of `migrations/versions` from the difference; read it,
let ruff format it, then set HEAD to its number:

    python -c "from sweeps.store.migrate import write_revision; write_revision('what changed')"
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, inspect, text

from rnnlab.errors import PlaceError
from sweeps.store.sessions import WRITES, lab_url, open_engine
from sweeps.store.tables import Row

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0004"
"""The newest revision. Known here so that opening an up-to-date database loads no alembic."""
MIGRATIONS = Path(__file__).parent / "migrations"
"""Alembic's script folder."""
LOCK = 0x726E6E6C6162
"""PostgreSQL's advisory lock of the lab: "rnnlab" in ASCII."""


def lock_lab(connection: Connection) -> None:
    """Waits until no other transaction holds this lock, then holds it until its own end.

    On SQLite a transaction that will write is alone already (`sessions.WRITES`).
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})


def upgrade(engine: Engine) -> None:
    """Brings the database to HEAD in one transaction; several processes may do so at once.

    Raises:
        PlaceError: the database is newer than this program, or belongs to another one.
    """
    with engine.connect() as connection:
        if revision_of(connection) == HEAD:
            return
    with engine.execution_options(**WRITES).begin() as connection:
        lock_lab(connection)
        at = revision_of(connection)
        if at == HEAD:
            return
        from alembic import command
        from alembic.script import ScriptDirectory

        config = config_on(connection)
        known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
        shown = engine.url.render_as_string(hide_password=True)
        if at is not None and at not in known:
            raise PlaceError(
                f"the database {shown} is at revision {at!r}, but this rnnlab knows {HEAD!r} at most: it was "
                "written by a newer rnnlab (upgrade this one) or by another program (MLflow and Optuna each "
                "need a database of their own)"
            )
        taken = sorted(set(Row.metadata.tables) & set(inspect(connection).get_table_names()))
        if at is None and taken:
            raise PlaceError(
                f"the database {shown} holds tables of another program ({', '.join(taken)}); "
                "give the lab a database of its own"
            )
        command.upgrade(config, "head")


def revision_of(connection: Connection) -> str | None:
    """The revision that a database says it is at; None for a new one."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def config_on(connection: Connection, folder: Path = MIGRATIONS) -> Config:
    """Alembic's configuration, without an ini file, on an open connection."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def write_revision(message: str, folder: Path = MIGRATIONS) -> None:
    """Writes the next revision: what `tables` has and `folder` does not make yet."""
    from alembic import command

    number = f"{len(list((folder / 'versions').glob('*.py'))) + 1:04}"
    with tempfile.TemporaryDirectory() as home:
        engine = open_engine(lab_url(Path(home)))
        with engine.execution_options(**WRITES).begin() as connection:
            config = config_on(connection, folder)
            command.upgrade(config, "head")
            command.revision(config, message, autogenerate=True, rev_id=number)
        engine.dispose()
