"""Every table of alternatives, by the name that `rnnlab list` and the service know it under. Loads no table."""

from __future__ import annotations

import importlib
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from rnnlab.choices import Line, Table
from rnnlab.errors import SpecError

TABLES = {
    "cells": "rnnlab.cells:CELLS",
    "activations": "rnnlab.activations:ACTIVATIONS",
    "inits": "rnnlab.inits:INITS",
    "bias_inits": "rnnlab.inits:BIAS_INITS",
    "between": "rnnlab.between:BETWEEN",
    "regularisers": "rnnlab.regularisers:REGULARISERS",
    "clips": "rnnlab.clipping:CLIPS",
    "optimisers": "rnnlab.training:OPTIMISERS",
    "tasks": "rnnlab.tasks:TASKS",
    "probes": "rnnlab.probes:PROBES",
    "samplers": "sweeps.search:SAMPLERS",
    "pruners": "sweeps.search:PRUNERS",
    "recipes": "sweeps.recipes:RECIPES",
}
"""Name of a table -> where it lies; one line adds a table to the command, the service and docs/tables.md."""


def table_of(name: str) -> Table:
    """The table of that name, loaded.

    Raises:
        SpecError: there is none; the message lists them.
    """
    if name not in TABLES:
        from rnnlab.choices import nearest

        raise SpecError(f"there is no table {name!r}{nearest(name, TABLES)} (tables: {', '.join(TABLES)})")
    module, _, attribute = TABLES[name].partition(":")
    found: Table = getattr(importlib.import_module(module), attribute)
    return found


def option_lines(line: Line) -> list[dict[str, Any]]:
    """The options of an alternative: name, whether it is required, default, choices (None: no list), description."""
    return [_option(name, kind, field) for name, (kind, field) in line.options.items()]


def _option(name: str, kind: Any, field: FieldInfo) -> dict[str, Any]:
    required = field.is_required()
    return {
        "name": name,
        "required": required,
        "default": None if required else field.default,
        "choices": list(get_args(kind)) if get_origin(kind) is Literal else None,
        "description": field.description or "",
    }


def fits(line: Line) -> str:
    """Which cells and activations accept it, in words; empty: all."""
    parts = [", ".join(line.cells or ()), f"with {' or '.join(line.activations)}" if line.activations else ""]
    return " ".join(part for part in parts if part)


def option_text(option: dict[str, Any]) -> str:
    """An option as the tables show it: `length = 100: T, timesteps`."""
    default = option["default"]
    shown = f"{default:g}" if isinstance(default, float) else str(default)
    value = " (required)" if option["required"] else "" if default is None else f" = {shown}"
    choices = f" [{', '.join(map(str, option['choices']))}]" if option["choices"] else ""
    return f"{option['name']}{value}: {option['description']}{choices}"


def as_markdown(names: list[str]) -> str:
    """Tables for docs/tables.md: a heading and a table each."""
    parts = []
    for name in names:
        rows = ["| name | what it is | options | fits | source |", "|---|---|---|---|---|"]
        for key, line in table_of(name).items():
            options = "<br>".join(_cell(option_text(option)) for option in option_lines(line))
            cells = (f"`{key}`", _cell(line.summary), options, fits(line) or "all", _cell(line.source))
            rows.append(f"| {' | '.join(cells)} |")
        parts.append("\n".join([f"## {name}", *rows]))
    return "\n\n".join(parts) + "\n"


def _cell(text: str) -> str:
    """Text that does not end a cell of a Markdown table."""
    return text.replace("|", "\\|").replace("\n", " ")
