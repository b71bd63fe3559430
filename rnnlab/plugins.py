"""Alternatives of one's own, outside this package: by dotted name in a spec, or by an installed entry point.

A spec names one as `my_package.cells:MyCell`. A package that is installed may give names of its own instead: its entry
points in the group `rnnlab.plugins` are mappings (or functions that return one) of

    {"cell": {"my_cell": "my_package.cells:MyCell"}, "clip": {"my_clip": Line(...)}}

whose keys are the nouns of `KINDS`. Nothing here is imported before something asks for a name that no table has, or
for all names of a table.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

from rnnlab.errors import SpecError

if TYPE_CHECKING:
    from rnnlab.choices import Line, Options, Table

GROUP = "rnnlab.plugins"
"""The group of entry points."""
DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)
"""`package.module:Name`."""


@dataclass(frozen=True)
class Kind:
    """What an alternative of one table is.

    Args:
        base: dotted path of the class it derives from; None: it is a function.
        given: arguments that it gets before its options.
    """

    base: str | None
    given: int = 0


KINDS = {
    "cell": Kind("rnnlab.cells.base:Cell", 1),
    "activation": Kind("rnnlab.activations.base:Activation"),
    "init": Kind(None, 1),
    "bias_init": Kind(None, 3),
    "clip": Kind("rnnlab.clipping.base:Clip"),
    "regulariser": Kind("rnnlab.regularisers.base:Regulariser"),
    "between": Kind("rnnlab.between.base:Between"),
    "task": Kind("rnnlab.tasks.base:Task", 1),
    "optimiser": Kind("rnnlab.training.optimiser:Optimiser", 2),
    "probe": Kind(None, 1),
}
"""Noun of a table that can be added to -> what its alternatives are. Samplers, pruners and recipes cannot."""


def dotted(table: Table, name: str) -> bool:
    """Whether a name is one of code of one's own, which this table takes."""
    return table.noun in KINDS and DOTTED.fullmatch(name) is not None


@cache
def line_of(noun: str, path: str) -> Line:
    """The line of `package.module:Name`, with the options that its signature or its attribute `options` names.

    Raises:
        SpecError: it cannot be imported, or is nothing that this table takes.
    """
    from rnnlab.choices import Line, nearest

    said = f"{noun} {path!r}"
    module_name, _, name = path.partition(":")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise SpecError(
            f"{said} cannot be imported ({type(error).__name__}: {error}); its package must be installed, or its "
            "folder be in PYTHONPATH, here and for every worker"
        ) from error
    if not hasattr(module, name):
        raise SpecError(f"{said}: {module_name} has no {name!r}{nearest(name, vars(module))}")
    made, kind = getattr(module, name), KINDS[noun]
    if kind.base is None:
        if not inspect.isfunction(made):
            raise SpecError(f"{said} must be a function, but is {_what(made)}")
    else:
        base_module, _, base_name = kind.base.partition(":")
        base = getattr(importlib.import_module(base_module), base_name)
        if not (inspect.isclass(made) and issubclass(made, base)):
            raise SpecError(f"{said} must be a class derived from {base_module}.{base_name}, but is {_what(made)}")
        missing = sorted(getattr(made, "__abstractmethods__", ()))
        if missing:
            raise SpecError(f"{said} lacks the method {missing[0]!r}; see {base_module}.{base_name}.{missing[0]}")
    summary = (inspect.getdoc(made) or name).partition("\n")[0].strip()
    return Line(path, summary, module_name.partition(".")[0], options_of(made, kind.given, said))


def _what(made: Any) -> str:
    return f"the class {made.__name__}" if inspect.isclass(made) else f"of type {type(made).__name__}"


def options_of(made: Any, given: int, said: str) -> Options:
    """The options of a class or function: its attribute `options`, else what its signature has beyond `given`.

    Raises:
        SpecError: an option without a type.
    """
    own = vars(made).get("options") if inspect.isclass(made) else None
    if isinstance(own, Mapping):
        return own
    options = {}
    for one in list(inspect.signature(made).parameters.values())[given:]:
        if one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD):
            continue
        if one.annotation is one.empty:
            raise SpecError(f"{said}: its option {one.name!r} has no type; write `{one.name}: float`")
        kind = one.annotation
        if isinstance(kind, str):  # `from __future__ import annotations`
            try:
                kind = eval(kind, dict(vars(sys.modules[made.__module__])))
            except (NameError, AttributeError) as error:
                raise SpecError(f"{said}: the type of {one.name!r} is not known at run time ({error})") from None
        options[one.name] = (kind, ... if one.default is one.empty else one.default)
    return options


@cache
def installed() -> Mapping[str, Mapping[str, Line]]:
    """Lines that installed packages add, by noun and name.

    Raises:
        SpecError: an entry point that cannot be loaded or says something else, or a name that is taken.
    """
    return gathered(entry_points(group=GROUP))


def gathered(points: Any) -> dict[str, dict[str, Line]]:
    """The lines of these entry points; see `installed`."""
    from rnnlab.choices import Line, nearest

    found: dict[str, dict[str, Line]] = {}
    owners: dict[tuple[str, str], str] = {}
    for point in sorted(points, key=lambda one: one.name):
        said = f"the plug-in {point.name!r} ({point.value})"
        for noun, lines in _loaded(point, said).items():
            if noun not in KINDS:
                raise SpecError(f"{said}: there is no table {noun!r}{nearest(str(noun), KINDS)} ({', '.join(KINDS)})")
            for name, line in lines.items():
                if (noun, name) in owners:
                    raise SpecError(
                        f"{said} gives the {noun} {name!r}, which {owners[noun, name]} gives too; uninstall one"
                    )
                owners[noun, name] = said
                line = line if isinstance(line, Line) else line_of(noun, line)
                found.setdefault(noun, {})[name] = line
    return found


def _loaded(point: EntryPoint, said: str) -> Mapping[str, Mapping[str, Any]]:
    try:
        data = point.load()
        data = data() if callable(data) else data
    except Exception as error:
        raise SpecError(f"{said} cannot be loaded ({type(error).__name__}: {error}); mend or uninstall it") from error
    if not isinstance(data, Mapping) or not all(isinstance(lines, Mapping) for lines in data.values()):
        raise SpecError(f"{said} must be a mapping {{noun: {{name: line}}}}, but is {data!r}")
    return data


def added_to(table: Table) -> Mapping[str, Line]:
    """What installed packages add to a table.

    Raises:
        SpecError: see `installed`, or a name that the table has itself.
    """
    if table.noun not in KINDS:
        return {}
    lines = installed().get(table.noun, {})
    taken = sorted(set(lines) & set(table.lines))
    if taken:
        raise SpecError(f"a plug-in gives the {table.noun} {taken[0]!r}, a name that rnnlab has itself; rename it")
    return lines
