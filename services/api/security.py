"""Who asks, and what they may do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyCookie, HTTPBearer
from fastapi.security.http import HTTPAuthorizationCredentials

from services.api.errors import Refused
from services.api.service import Service, service_of
from sweeps.store import SweepRecord
from sweeps.store.tokens import ROLES, Role

COOKIE = "rnnlab_token"
"""Of a browser that logged in; HttpOnly and SameSite=Strict, and good only from our own pages."""
SAFE = ("GET", "HEAD", "OPTIONS")
THIS_MACHINE = ("localhost", "127.0.0.1", "::1")
"""Names by which a service without tokens is asked."""
_bearer = HTTPBearer(auto_error=False, description="`Authorization: Bearer rnnlab_...`, from `rnnlab token make`")
_cookie = APIKeyCookie(name=COOKIE, auto_error=False, description="set by the login page")


@dataclass(frozen=True)
class Caller:
    """Who asks.

    Args:
        name: of the token; None where the service has none. role: what they may do.
        most_sweeps, most_trials: quotas of their own.
    """

    name: str | None
    role: Role
    most_sweeps: int | None = None
    most_trials: int | None = None

    def may(self, role: Role) -> bool:
        """Whether they may do what `role` may."""
        return ROLES.index(self.role) >= ROLES.index(role)

    def may_change(self, sweep: SweepRecord) -> bool:
        """Whether they may stop, resume or delete a sweep: an admin any, a launcher their own."""
        return self.may("admin") or (self.may("launcher") and sweep.launched_by == self.name)


def caller_of(
    request: Request,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)] = None,
    cookie: Annotated[str | None, Security(_cookie)] = None,
) -> Caller:
    """Who asks, by token or login.

    Raises:
        Refused: 401 without a valid one; 403 for a change that another site's page asks for with the cookie, and,
            where there are no tokens, for anything by another name than this machine's.
    """
    service = service_of(request)
    if not service.guarded:
        own_name(request)
        own_page(request)
        return Caller(None, "admin")
    secret = bearer.credentials if bearer else cookie
    holder = service.tokens.holder(secret) if secret else None
    if holder is None:
        raise Refused(401, "send `Authorization: Bearer TOKEN`; an admin makes one with `rnnlab token make NAME`",
                      {"WWW-Authenticate": "Bearer"})  # fmt: skip
    if bearer is None:
        own_page(request)
    return Caller(holder.name, holder.role, holder.most_sweeps, holder.most_trials)


def own_page(request: Request) -> None:
    """Refuse a change that a page of another site asks a browser for."""
    origin = request.headers.get("origin")
    if request.method not in SAFE and origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise Refused(403, f"a page of {origin} may not change anything here")


def own_name(request: Request) -> None:
    """Refuse a page of another site whose name was made to lead to this machine, and a proxy open to others."""
    host = request.headers.get("host", "")
    try:
        name = urlsplit(f"//{host}").hostname
    except ValueError:
        name = None
    if name not in THIS_MACHINE:
        raise Refused(
            403, f"without tokens this service answers to the names {', '.join(THIS_MACHINE)} alone, but was asked as "
            f"{host!r}; start it with RNNLAB_TOKENS=required"
        )  # fmt: skip


def _at_least(role: Role) -> object:
    def check(caller: Annotated[Caller, Depends(caller_of)]) -> Caller:
        if not caller.may(role):
            raise Refused(403, f"this requires the role {role}, but the token {caller.name!r} is a {caller.role}")
        return caller

    return Depends(check)


Viewer = Annotated[Caller, _at_least("viewer")]
Launcher = Annotated[Caller, _at_least("launcher")]
Admin = Annotated[Caller, _at_least("admin")]
Here = Annotated[Service, Depends(service_of)]


def own(service: Service, caller: Caller, sweep_id: str) -> SweepRecord:
    """A sweep that the caller may change.

    Raises:
        SpecError: there is none. Refused: it is another one's.
    """
    sweep = service.queue.sweep(sweep_id)
    if not caller.may_change(sweep):
        whose = sweep.launched_by or "a command line"
        raise Refused(403, f"sweep {sweep_id!r} was launched by {whose}; an admin may change it")
    return sweep
