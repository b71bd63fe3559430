"""Alembic's entry: runs on the connection, and in the transaction, that `sweeps.store.migrate` hands in."""

from typing import Any, Literal

from alembic import context
from sqlalchemy import TypeDecorator

from sweeps.store.tables import Row


def database_type(kind: str, item: Any, _: Any) -> str | Literal[False]:
    """A migration names the database's types, so that it still runs when ours have moved on."""
    return f"sa.{item.impl!r}" if kind == "type" and isinstance(item, TypeDecorator) else False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Row.metadata,
    render_item=database_type,
    # SQLite alters little in place: batches write the table anew where it must
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
