"""Templates of the pages, escaped by themselves, and what each of them is given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup, escape

from services.api.security import Caller

HERE = Path(__file__).parent
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""What a page may load: our own files alone, and no script in the page itself."""
WITH_CHARTS = POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")
"""Plotly writes style elements and attributes and takes no nonce for them; scripts stay our own files alone, and what
people wrote is escaped, so that a style could only come from us."""
_templates = Environment(
    loader=FileSystemLoader(HERE / "templates"), autoescape=select_autoescape(), undefined=StrictUndefined,
    trim_blocks=True, lstrip_blocks=True,
)  # fmt: skip


def _codes(text: str) -> Markup:
    """A sentence whose `names` are set as code."""
    parts = escape(text).split("`")
    return Markup("").join(Markup("<code>%s</code>") % part if at % 2 else part for at, part in enumerate(parts))


def _lead(text: str) -> tuple[str, str]:
    """The first sentence and what follows it."""
    first, stop, rest = text.partition(". ")
    return first + stop.strip(), rest


_templates.filters |= {"codes": _codes, "lead": _lead}


def render(
    request: Request, name: str, caller: Caller | None = None, *, charts: bool = False, **values: Any
) -> HTMLResponse:
    """A page from a template, under a policy that lets it load our own files alone.

    Args:
        charts: whether Plotly draws on it.
    """
    text = _templates.get_template(name).render(path=request.url.path, caller=caller, **values)
    policy = WITH_CHARTS if charts else POLICY
    return HTMLResponse(text, headers={"Content-Security-Policy": policy, "Cache-Control": "no-store"})
