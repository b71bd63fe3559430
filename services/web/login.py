"""Logging in with a token: the page, and the cookie that stands for it in a browser."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from services.api.security import COOKIE, Here, own_page
from services.web.rendering import render

router = APIRouter(include_in_schema=False)
DAYS = 7
"""Days for which a browser keeps a login; the token itself may end sooner."""


@router.get("/login", response_class=HTMLResponse)
def login(request: Request, service: Here, next: str = "/") -> HTMLResponse:
    """The page that asks for a token."""
    return render(request, "login.html", next=local(next), wrong=False)


@router.post("/login")
def enter(
    request: Request, service: Here, token: Annotated[str, Form(max_length=200)], next: Annotated[str, Form()] = "/"
) -> Response:
    """Take a token; a good one becomes a cookie that scripts cannot read."""
    own_page(request)
    if service.tokens.holder(token.strip()) is None:
        page = render(request, "login.html", next=local(next), wrong=True)
        page.status_code = 401
        return page
    answer = RedirectResponse(local(next), 303)
    answer.set_cookie(
        COOKIE, token.strip(), max_age=DAYS * 86400, httponly=True, samesite="strict",
        secure=service.settings.secure_cookies or request.url.scheme == "https",
    )  # fmt: skip
    return answer


@router.post("/logout")
def leave(request: Request) -> Response:
    """Forget the cookie."""
    own_page(request)
    answer = RedirectResponse("/login", 303)
    answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return answer


def local(path: str) -> str:
    """A path of this service to go to next; anything else is the front page."""
    good = path.startswith("/") and not path.startswith(("//", "/\\")) and "\n" not in path and "\r" not in path
    return path if good else "/"
