"""What may be launched: the spec in a request, checked against the limits of the service and its operator."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fastapi import Request
from pydantic import ValidationError

from rnnlab.errors import SpecError
from rnnlab.written import explain, load_yaml, validated
from services.api.errors import Refused
from services.api.models import Checked, Launch
from services.api.security import Caller
from services.settings import ServiceSettings
from sweeps.recipes import recipe
from sweeps.spec import SweepSpec

YAML = ("application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml")
FREE_TEXT = ("name", "description")
"""Keys of a spec under which nothing is looked up, whatever stands there."""
MOST_NODES = 20_000
"""Values in a spec: YAML's aliases can make billions of a few lines."""
NO_TEXT = re.compile("[\0\ud800-\udfff]")


async def asked(request: Request) -> Launch:
    """What a request's body asks for: JSON `Launch`, or a spec itself as YAML.

    Raises:
        Refused, SpecError: neither.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    body = await request.body()
    if kind in YAML:
        try:
            return Launch(yaml=body.decode("utf-8"))
        except UnicodeDecodeError:
            raise Refused(400, "the body must be YAML in UTF-8") from None
        except ValidationError:
            raise Refused(413, "a spec has at most 1,000,000 characters") from None
    if kind != "application/json":
        raise Refused(415, f"send application/json or application/yaml, not {kind or 'nothing'!r}")
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"the body is not JSON: {error}") from None
    try:
        return Launch.model_validate(data)
    except ValidationError as error:
        raise explain(error, Launch) from None


def spec_of(launch: Launch, settings: ServiceSettings, caller: Caller) -> SweepSpec:
    """The spec that a launch asks for, if it may run here.

    Raises:
        SpecError: not a valid spec, or beyond a limit.
    """
    given = [name for name in ("spec", "yaml", "recipe") if getattr(launch, name) is not None]
    if len(given) != 1:
        raise SpecError(f"give one of `spec`, `yaml` and `recipe`, but got {', '.join(given) or 'none'}")
    if launch.recipe is not None:
        spec = recipe(launch.recipe)
    else:
        data = launch.spec if launch.spec is not None else load_yaml(launch.yaml or "", most=MOST_NODES)
        _small(data)
        _own_data(data, settings)
        _known_code(data, settings)
        try:
            spec = validated(SweepSpec, data)
        except (RecursionError, OverflowError) as error:
            raise SpecError(f"the spec cannot be read: {error}") from None
    most = min(caller.most_trials or settings.most_trials, settings.most_trials)
    if spec.trials > most:
        raise SpecError(f"a sweep here has at most {most:,} trials, but this one has {spec.trials:,}; ask for fewer")
    if spec.replicates > settings.most_replicates:
        raise SpecError(f"a trial here has at most {settings.most_replicates} replicates, but got {spec.replicates}")
    return spec


def checked(spec: SweepSpec) -> Checked:
    """What a spec means."""
    return Checked(
        name=spec.name, hash=spec.content_hash, trials=spec.trials, replicates=spec.replicates,
        updates=spec.budget.updates, yaml=spec.to_yaml(),
    )  # fmt: skip


def _small(data: Any) -> None:
    """Refuse what a few lines of aliases blow up, or loop, and what no database keeps as text."""
    for count, value in enumerate(_values(data, 0)):
        if count > MOST_NODES:
            raise SpecError(f"a spec has at most {MOST_NODES:,} values, aliases written out, but this one has more")
        if isinstance(value, str) and NO_TEXT.search(value):
            raise SpecError(f"a spec's text has neither NUL nor half of a character, but got {value[:80]!r}")


def _values(data: Any, depth: int) -> Iterator[Any]:
    if depth > 40:
        raise SpecError("a spec is nested at most 40 deep, but this one is deeper")
    yield data
    if isinstance(data, dict):
        for key, value in data.items():
            yield key
            yield from _values(value, depth + 1)
    elif isinstance(data, list):
        for value in data:
            yield from _values(value, depth + 1)


def _own_data(data: dict[str, Any], settings: ServiceSettings) -> None:
    """Data files lie in the operator's folders: a relative path is looked for there, links are followed first."""
    space = data.get("space")
    if isinstance(space, dict) and "task.path" in space:
        raise SpecError("space: task.path cannot vary in a sweep of this service; launch a sweep for each file")
    task = data.get("task")
    if not isinstance(task, dict):
        return
    if isinstance(task.get("options"), dict) and "path" in task["options"]:
        raise SpecError("task.path: write `path` beside `kind`, not under `options`")
    path = task.get("path")
    if path is None:  # the task's own data, or none
        return
    if not isinstance(path, str) or "\0" in path:
        raise SpecError(f"task.path must be the path of a file, but got {path!r}")
    folders = [Path(folder).resolve() for folder in settings.data_folders]
    for folder in folders:
        found = (folder / path).resolve()
        if found.is_relative_to(folder) and found.is_file():
            task["path"] = str(found)
            return
    raise SpecError(
        f"task.path: {path!r} is not a file in the data folders of this service "
        f"({'none is set' if not folders else f'{len(folders)} set'}; its operator sets RNNLAB_DATA_FOLDERS)"
    )


def _known_code(data: dict[str, Any], settings: ServiceSettings) -> None:
    """A dotted name in a spec is code: only of packages that the operator allowed. Nothing is imported before that."""
    chosen = {name: part for name, part in data.items() if name not in FREE_TEXT}
    for value in _values(chosen, 0):
        if isinstance(value, str) and ":" in value:
            module = value.partition(":")[0].strip()
            parts = module.split(".")
            if all(part.isidentifier() for part in parts) and parts[0] not in settings.plugins:
                raise SpecError(
                    f"{value!r} names code of {parts[0]!r}, which this service does not run; its operator allows "
                    f"packages with RNNLAB_PLUGINS ({', '.join(settings.plugins) or 'none now'})"
                )
