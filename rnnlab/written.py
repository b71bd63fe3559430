"""Reading and writing specs as YAML and JSON, and turning pydantic's errors into one clear message."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from rnnlab.choices import nearest
from rnnlab.errors import SpecError

M = TypeVar("M", bound=BaseModel)

WIDTH = 110
"""Columns of written YAML."""
MOST_DEEP = 40
"""Levels of a spec."""
MOST_DIGITS = 400
"""Characters of a number: YAML's `1:30:30` and Python's whole numbers take quadratic time."""
MOST_SHOWN = 200
"""Characters of a wrong value that an error repeats."""
MOST_TOLD = 20
"""Mistakes that one error tells."""


class _Loader(yaml.SafeLoader):
    """YAML in which 1e-3 is a number and a key written twice is an error (YAML 1.1 says neither).

    Args:
        text: to read. most: values that it may write; a value behind an alias counts once.
    """

    def __init__(self, text: str, most: int | None) -> None:
        super().__init__(text)
        self.most, self.made, self.deep = most, 0, 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self.made, self.deep = self.made + 1, self.deep + 1
        if self.deep > MOST_DEEP:
            raise SpecError(f"a spec is nested at most {MOST_DEEP} deep, but this one is deeper")
        if self.most is not None and self.made > self.most:
            raise SpecError(f"a spec has at most {self.most:,} values, but this one has more")
        node = super().compose_node(parent, index)
        self.deep -= 1
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            if node.tag in NUMBERS and len(node.value) > MOST_DIGITS:
                raise ValueError(f"longer than {MOST_DIGITS} characters")
            return super().construct_object(node, deep)
        except SpecError:
            raise
        except (ValueError, LookupError, TypeError, AttributeError) as error:  # what YAML's own parts raise
            kind = node.tag.rpartition(":")[2]
            raise yaml.constructor.ConstructorError(None, None, f"no {kind}: {error}", node.start_mark) from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        if not isinstance(node, yaml.MappingNode):
            raise yaml.constructor.ConstructorError(None, None, "no map", node.start_mark)
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, (str, int, float)):
                if key in seen:
                    raise SpecError(f"line {key_node.start_mark.line + 1}: the key {key!r} stands twice; keep one")
                seen.add(key)
        return super().construct_mapping(node, deep)


NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")

_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)$|^[-+]?(\d+\.\d*|\.\d+)$|^[-+]?\.(inf|Inf)$|^\.nan$"),
    list("-+0123456789."),
)


def load_yaml(text: str, source: str = "the spec", most: int | None = None) -> dict[str, Any]:
    """A mapping from YAML or JSON text.

    Args:
        text: to read. source: what an error calls it. most: values that it may have, if somebody else wrote it.

    Raises:
        SpecError: not YAML, or not a mapping.
    """
    if text.lstrip().startswith("{"):  # JSON may be indented with tabs, YAML may not
        text = re.sub(r"^[ \t]+", lambda blank: " " * len(blank[0]), text, flags=re.MULTILINE)
    try:
        loader = _Loader(text, most)
        data = loader.get_single_data()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise SpecError(f"{source} is not YAML{where}: {getattr(error, 'problem', error)}") from None
    if not isinstance(data, dict):
        found = "nothing" if data is None else f"a {type(data).__name__}"
        raise SpecError(f"{source} must be a mapping of keys to values, but holds {found}")
    return data


def read_spec_file(path: Path) -> dict[str, Any]:
    """The mapping in a YAML or JSON file.

    Raises:
        SpecError: no such file, not text, or not a mapping.
    """
    if not path.is_file():
        raise SpecError(f"{path} is not a file; give the path of a spec (`rnnlab recipes first` prints one)")
    try:
        data = load_yaml(path.read_text(encoding="utf-8"), str(path))
    except UnicodeDecodeError:
        raise SpecError(f"{path} is not a text file; a spec is YAML or JSON in UTF-8") from None
    task = data.get("task")
    if isinstance(task, dict) and isinstance(task.get("path"), str):
        # a data file lies beside its spec; workers may have another working directory
        task["path"] = str((path.parent / task["path"]).resolve())
    return data


def dump_yaml(data: Mapping[str, Any]) -> str:
    """YAML that `load_yaml` reads back as the same values, whatever fits on one line on one line."""
    lines: list[str] = []
    for key, value in data.items():
        lines += _block(f"{key}:", value, 0, spread=isinstance(value, Mapping) and len(value) > 3)
    return "\n".join(lines) + "\n"


def _block(head: str, value: Any, indent: int, *, spread: bool = False) -> list[str]:
    """One entry: on its head's line where it fits, else its parts on lines of their own."""
    pad = " " * indent
    flow = yaml.dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10_000)
    shown = flow.removesuffix("\n").removesuffix("\n...")
    line = f"{pad}{head} {shown}"
    if not isinstance(value, (Mapping, list)) or not value or (len(line) <= WIDTH and not spread):
        return [line]
    if isinstance(value, Mapping):
        parts = [_block(f"{key}:", part, indent + 2) for key, part in value.items()]
    else:
        parts = [_block("-", part, indent + 2) for part in value]
    return [f"{pad}{head}", *(line for part in parts for line in part)]


def _fields_at(model: type[BaseModel], path: tuple[str | int, ...]) -> list[str]:
    """Names of the fields of the model that `path` leads to; empty where it leads elsewhere."""
    here: Any = model
    for part in path:
        if not isinstance(part, str) or part not in getattr(here, "model_fields", {}):
            return []
        annotation = here.model_fields[part].annotation
        kinds = [annotation, *get_args(annotation)]
        here = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)
    return list(getattr(here, "model_fields", {}))


def explain(error: ValidationError, model: type[BaseModel], source: str = "") -> SpecError:
    """One message for all that pydantic found wrong, with paths, values and the nearest valid key."""
    lines = []
    for item in error.errors():
        where = _cut(".".join(str(part) for part in item["loc"]))
        if item["type"] == "extra_forbidden":
            names = _fields_at(model, item["loc"][:-1])
            lines.append(f"{where}: no such key{nearest(str(item['loc'][-1]), names)} (keys: {', '.join(names)})")
        elif item["type"] == "missing":
            lines.append(f"{where}: required, but not given")
        elif item["type"] == "value_error":
            lines.append(f"{where}: {item['ctx']['error']}" if where else str(item["ctx"]["error"]))
        else:
            message = item["msg"].replace("Input should", "it should")
            lines.append(f"{where}: got {_cut(repr(item['input']))}, but {message}")
    start, told = f"{source}: " if source else "", list(dict.fromkeys(lines))
    more = [f"and {len(told) - MOST_TOLD} more"] if len(told) > MOST_TOLD else []
    return SpecError(start + "; ".join([*told[:MOST_TOLD], *more]))


def _cut(text: str) -> str:
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]} ..."


def validated(model: type[M], data: Any, source: str = "") -> M:
    """`data` as a `model`.

    Raises:
        SpecError: with everything that is wrong in one message.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise explain(error, model, source) from None
