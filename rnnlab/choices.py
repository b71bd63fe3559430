"""Tables of alternatives, and the one way to choose from them.

A table maps a name to a `Line`: a dotted path to what implements it, a sentence, a source, and a schema of
its options that needs no torch. So a command line can list, check and complete names in milliseconds, and
adding an alternative is one file and one line. A `Choice` is a name with its options, as a spec keeps it;
a person writes `orthogonal`, `{orthogonal: 1.2}` or `{orthogonal: {gain: 1.2}}`.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, ValidationError, create_model
from pydantic_core import CoreSchema, core_schema

from rnnlab import plugins
from rnnlab.errors import SpecError

Options = Mapping[str, tuple[Any, Any]]
"""A schema: option name -> (type, pydantic Field with default, range and description)."""


@dataclass(frozen=True)
class Line:
    """One line of a table: where an alternative lives, what it is, whose it is, what it takes."""

    path: str
    """Dotted path to the class or function, `package.module:name`; imported only when used."""
    summary: str
    """One sentence for `rnnlab list` and the documentation."""
    source: str
    """Author and year, or "torch"."""
    options: Options = field(default_factory=dict)
    """Schema of its options; the first one may be written alone, as in `{orthogonal: 1.2}`."""
    cells: tuple[str, ...] | None = None
    """Names of the cells that accept it; None: every cell."""
    activations: tuple[str, ...] | None = None
    """Names of the activations that it is defined for; None: every one."""
    activation: str | None = None
    """Of a cell that takes an activation: which one where none is given."""
    by_lane: str | None = None
    """Of a clip: its option that may be a tensor (S,), a value a lane."""

    @property
    def own(self) -> bool:
        """Whether it is a plug-in, and no part of this project."""
        return self.path.partition(".")[0] not in ("rnnlab", "sweeps")

    @cached_property
    def schema(self) -> type[BaseModel]:
        """The options as a frozen pydantic model that refuses extra keys."""
        config = ConfigDict(extra="forbid", frozen=True)
        return create_model(self.path.rpartition(":")[2], __config__=config, **dict(self.options))  # type: ignore[call-overload,no-any-return]

    def load(self) -> Any:
        """Import and return the class or function."""
        module, _, name = self.path.partition(":")
        return getattr(importlib.import_module(module), name)


@dataclass(frozen=True)
class Table(Mapping[str, Line]):
    """All alternatives of one kind, by name, those of installed plug-ins last. `noun` is what messages call one."""

    noun: str
    lines: Mapping[str, Line]

    def __getitem__(self, name: str) -> Line:
        return self.lines[name] if name in self.lines else plugins.added_to(self)[name]

    def __iter__(self) -> Any:
        return iter([*self.lines, *plugins.added_to(self)])

    def __len__(self) -> int:
        return len(self.lines) + len(plugins.added_to(self))


def nearest(name: str, names: Iterable[str]) -> str:
    """The half sentence `; did you mean 'x'?`, or nothing where no name is near."""
    near = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""


def choose(table: Table, name: str) -> Line:
    """The line called `name`: of the table, of an installed plug-in, or of `package.module:Name`, a class or function.

    Raises:
        SpecError: no such line; the message lists the choices and the nearest one.
    """
    if name in table.lines:
        return table.lines[name]
    if plugins.dotted(table, name):
        return plugins.line_of(table.noun, name)
    if name in table:
        return table[name]
    raise SpecError(f"{table.noun} {name!r} is unknown{nearest(name, table)} (choices: {', '.join(table)})")


class Choice(BaseModel):
    """A line's name and its options, complete with defaults, so that equal choices compare equal."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    options: dict[str, Any] = {}

    def __hash__(self) -> int:
        return hash(self.label)

    @property
    def label(self) -> str:
        """A short name for tables, tags and Optuna's categories: `orthogonal(1.2)`, `none`."""
        given = [f"{value:g}" if isinstance(value, float) else str(value) for value in self.options.values()]
        given = [text for text in given if text != "None"]
        return f"{self.kind}({', '.join(given)})" if given else self.kind

    def written(self) -> Any:
        """The shortest YAML that reads back as this choice."""
        options = {name: value for name, value in self.options.items() if value is not None}
        if not options:
            return self.kind
        if len(self.options) == 1:
            return {self.kind: next(iter(options.values()))}
        return {self.kind: options}


def options_of(table: Table, kind: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of one line, checked and complete with defaults.

    Raises:
        SpecError: an unknown option, or a value out of its range.
    """
    line = choose(table, kind)
    for name in given:
        if name not in line.options:
            known = ", ".join(line.options) or "none"
            hint = nearest(name, line.options)
            raise SpecError(f"{table.noun} {kind!r} has no option {name!r}{hint} (its options: {known})")
    try:
        return line.schema(**given).model_dump()
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        if first["type"] == "missing":
            raise SpecError(f"{table.noun} {kind!r} requires the option {where!r}; add it") from None
        if first["type"] == "value_error":
            raise SpecError(f"{table.noun} {kind!r}: {first['ctx']['error']}") from None
        message = first["msg"].replace("Input should", "it should")
        raise SpecError(f"{table.noun} {kind!r}: option {where!r} is {first['input']!r}; {message}") from None


def parse_choice(table: Table, value: Any) -> Choice:
    """A choice from what a person wrote: a name, `{name: value}`, `{name: {option: value}}`, or a Choice."""
    if isinstance(value, Choice):
        return Choice(kind=value.kind, options=options_of(table, value.kind, value.options))
    if value is None:
        value = "none"
    if isinstance(value, str):
        return Choice(kind=value, options=options_of(table, value, {}))
    if isinstance(value, Mapping) and len(value) == 1:
        ((kind, given),) = value.items()
        line = choose(table, str(kind))
        if isinstance(given, Mapping):
            return Choice(kind=kind, options=options_of(table, kind, given))
        if not line.options:
            raise SpecError(f"{table.noun} {kind!r} takes no value, but got {given!r}; write {kind!r} alone")
        return Choice(kind=kind, options=options_of(table, kind, {next(iter(line.options)): given}))
    raise SpecError(f"a {table.noun} is a name or {{name: value}}, but got {value!r} (names: {', '.join(table)})")


def _written(choice: Choice) -> Any:
    return choice.written()


@dataclass(frozen=True, eq=False)
class From:
    """What makes `Annotated[Choice, From(TABLE)]` a field that reads and writes a choice from `TABLE`."""

    table: Table

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(
            partial(parse_choice, self.table),
            handler(source),
            serialization=core_schema.plain_serializer_function_ser_schema(_written),
        )
