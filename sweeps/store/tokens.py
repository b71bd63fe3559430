"""Tokens: what lets people into the service. Only a hash of each secret is kept."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from rnnlab.choices import nearest
from rnnlab.errors import SpecError
from sweeps.store.queries import Queries, clock, record
from sweeps.store.records import Record
from sweeps.store.retrying import patient
from sweeps.store.tables import TokenRow

Role = Literal["viewer", "launcher", "admin"]
"""What a token may do: look; launch, stop and resume its own sweeps; everything."""
ROLES: tuple[Role, ...] = ("viewer", "launcher", "admin")
"""From the weakest on; each may do what the one before may."""
PREFIX = "rnnlab_"
"""Starts every secret, so that scanners of repositories and logs find one that leaked."""
TOLD_EVERY = timedelta(minutes=1)
"""How exactly `used_at` is kept: not every request is worth a write."""


class TokenRecord(Record):
    """A token without its secret."""

    name: str
    role: Role
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    used_at: datetime | None = None
    """Last used, to the minute."""
    most_sweeps: int | None = None
    """Its sweeps that may be queued or running at a time; None: the service's own limit."""
    most_trials: int | None = None
    """Trials that each of its sweeps may have; None: the service's own limit."""


class Tokens(Queries):
    """The tokens of a lab. A secret is 256 random bits, so that SHA-256 without salt or rounds keeps it."""

    def make(
        self,
        name: str,
        role: Role,
        *,
        days: int | None = None,
        most_sweeps: int | None = None,
        most_trials: int | None = None,
    ) -> str:
        """Make a token; its secret, which nothing can tell again.

        Args:
            name: whose. days: until it expires; None: never. most_sweeps, most_trials: its quotas.

        Raises:
            SpecError: there is one of that name, revoked ones included: who did what must stay one person.
        """
        secret = PREFIX + secrets.token_urlsafe(32)
        with self._writes() as session:
            if session.get(TokenRow, name) is not None:
                raise SpecError(f"there is a token {name!r} already, maybe a revoked one; give another name")
            now = clock(session)
            session.add(
                TokenRow(
                    name=name,
                    role=role,
                    hash=_hash(secret),
                    created_at=now,
                    expires_at=None if days is None else now + timedelta(days=days),
                    most_sweeps=most_sweeps,
                    most_trials=most_trials,
                )
            )
        return secret

    @patient
    def keep(self, name: str, role: Role, secret: str) -> None:
        """Keep a secret that was made elsewhere: an operator's. One of that name gets this secret and role.

        Raises:
            SpecError: it is shorter than 256 random bits can be.
        """
        if len(secret) < 32:
            raise SpecError(f"the secret of {name!r} must be at least 32 random characters, but has {len(secret)}")
        with self._writes() as session:
            row = session.get(TokenRow, name)
            if row is None:
                row = TokenRow(name=name, created_at=clock(session))
                session.add(row)
            row.role, row.hash, row.revoked_at, row.expires_at = role, _hash(secret), None, None

    @patient
    def holder(self, secret: str) -> TokenRecord | None:
        """Whose secret this is; None if nobody's, or if its token is revoked or has expired."""
        with self._writes() as session:
            row = session.scalars(select(TokenRow).where(TokenRow.hash == _hash(secret))).one_or_none()
            if row is None or row.revoked_at is not None:
                return None
            now = clock(session)
            if row.expires_at is not None and row.expires_at <= now:
                return None
            if row.used_at is None or now - row.used_at > TOLD_EVERY:
                row.used_at = now
                session.flush()
            return record(TokenRecord, row)

    @patient
    def all(self) -> list[TokenRecord]:
        """Every token by name, revoked ones too."""
        with self._reads() as session:
            return [record(TokenRecord, row) for row in session.scalars(select(TokenRow).order_by(TokenRow.name))]

    @patient
    def revoke(self, name: str) -> TokenRecord:
        """Make a token worthless at once; again changes nothing.

        Raises:
            SpecError: there is none of that name.
        """
        with self._writes() as session:
            row = _row(session, name)
            row.revoked_at = row.revoked_at or clock(session)
            session.flush()
            return record(TokenRecord, row)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _row(session: Session, name: str) -> TokenRow:
    row = session.get(TokenRow, name)
    if row is None:
        hint = nearest(name, session.scalars(select(TokenRow.name)))
        raise SpecError(f"there is no token {name!r}{hint} (`rnnlab token list` shows all)")
    return row
