"""Specs that nobody would write: each is refused with a sentence, by the service and by the command's reader."""

from __future__ import annotations

import contextlib
import copy
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from rnnlab.choices import choose
from rnnlab.errors import SpecError
from rnnlab.written import read_spec_file, validated
from sweeps.recipes import RECIPES
from sweeps.spec import SweepSpec

REFUSED = (400, 404, 409, 413, 422)
BASES = [
    choose(RECIPES, name).load()().model_dump(mode="json", exclude_defaults=True)
    for name in ("first", "clipping_by_depth")
]
ODD: list[Any] = [
    None, True, -1, 0, 2**63, 10**400, -0.0, 1e-320, 1e308, math.nan, math.inf, "", " ", "\0", "\ud800", "name", "../x",
    "é" * 300, "x" * 5000, "1e400", "=", "<<", "~", [], {}, [[]], {"": {}}, {"kind": "none"}, {"low": 2, "high": 1},
    {"low": 1, "high": 3}, {"choices": []}, {"choices": [1, 1]}, [0] * 300, "os:system", "{{7*7}}", "\r\nX: y", "%s%n",
]  # fmt: skip
VALUES = st.one_of(
    st.sampled_from(ODD),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
        max_leaves=8,
    ),
)


@st.composite
def spoilt(draw: st.DrawFn) -> dict[str, Any]:
    """A recipe with a few of its values, or keys, replaced."""
    spec = copy.deepcopy(draw(st.sampled_from(BASES)))
    for _ in range(draw(st.integers(1, 3))):
        holder, key = draw(st.sampled_from(list(_places(spec))))
        if draw(st.integers(0, 5)):
            holder[key] = copy.deepcopy(draw(VALUES))  # it may be spoilt in turn
        elif isinstance(holder, dict):
            holder[draw(st.text(max_size=12))] = holder.pop(key)
    return spec


def _places(part: Any) -> Iterator[tuple[Any, Any]]:
    for key, value in list(part.items() if isinstance(part, dict) else enumerate(part)):
        yield part, key
        if isinstance(value, (dict, list)):
            yield from _places(value)


def often(examples: int) -> settings:
    return settings(
        max_examples=examples, deadline=None, derandomize=True, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip


FEW, MANY = 60, 3000


def asked(http: httpx.Client, path: str, body: bytes, kind: str) -> httpx.Response:
    """The answer, which is one of ours: what was asked for, or a problem with a sentence that is not endless."""
    answer = http.post(path, content=body, headers={"Content-Type": kind})
    if answer.status_code not in (200, 201):
        assert answer.status_code in REFUSED, (answer.status_code, body[:500], answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
        assert 0 < len(answer.json()["detail"]) < 20_000
        assert "Traceback" not in answer.text
    return answer


@pytest.mark.parametrize("examples", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
def test_spoilt_recipes_are_launched_or_refused(address: str, examples: int) -> None:
    with httpx.Client(base_url=address, timeout=60) as http:

        @often(examples)
        @given(spec=spoilt(), path=st.sampled_from(["/api/sweeps", "/api/sweeps/check"]))
        def ask(spec: dict[str, Any], path: str) -> None:
            answer = asked(http, path, json.dumps({"spec": spec}).encode(), "application/json")
            if answer.status_code == 201:  # it can be shown, too
                for part in ("", "/spec", "/table"):
                    seen = http.get(f"/api/sweeps/{answer.json()['id']}{part}")
                    assert seen.status_code == 200, (part, spec, seen.text)
                assert http.get(f"/sweeps/{answer.json()['id']}").status_code == 200
            written = yaml.safe_dump(_without_surrogates(spec), allow_unicode=True)
            asked(http, path, written.encode(), "application/yaml")

        ask()


@pytest.mark.parametrize("examples", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
def test_any_bytes_are_refused(address: str, examples: int) -> None:
    marks = st.text("[]{}:,-&*!|>'\"#%@`? \n\t\0 0123456789abe.+_<=~\ud7ff\u2028", max_size=60)
    with httpx.Client(base_url=address, timeout=60) as http:

        @often(examples)
        @given(
            body=st.one_of(st.binary(max_size=60), marks.map(str.encode), marks.map(lambda t: f"name: {t}".encode())),
            kind=st.sampled_from(["application/yaml", "application/json"]),
        )
        def ask(body: bytes, kind: str) -> None:
            assert asked(http, "/api/sweeps/check", body, kind).status_code != 200

        ask()


@pytest.mark.parametrize("examples", [4 * FEW, pytest.param(3 * MANY, marks=pytest.mark.slow)])
def test_the_commands_reader_raises_its_own_errors_alone(tmp_path: Path, examples: int) -> None:
    marks = st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass"))
    specs = spoilt().map(lambda spec: yaml.safe_dump(_without_surrogates(spec)).encode())

    @often(examples)
    @given(body=st.one_of(specs, marks, st.binary(max_size=60)))
    def read(body: bytes) -> None:
        path = tmp_path / "spec.yaml"
        path.write_bytes(body)
        with contextlib.suppress(SpecError):
            validated(SweepSpec, read_spec_file(path)).to_yaml()

    read()


def _without_surrogates(value: Any) -> Any:
    """As YAML can be written in UTF-8."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(one) for key, one in value.items()}
    return [_without_surrogates(one) for one in value] if isinstance(value, list) else value
