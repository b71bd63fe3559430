"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sweeps.home import Home

HomeOption = Annotated[
    Path | None,
    typer.Option("--home", help="Folder of stores and files (or RNNLAB_HOME; default ./rnnlab-home)."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON array instead of a table.")]


def home_at(path: Path | None) -> Home:
    """The home that an option, the environment or the default names."""
    from services.settings import Settings
    from sweeps.home import Home

    return Home(path or Settings().home)
