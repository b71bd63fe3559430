"""A grid holds every configuration once, conditions applied; brute force over small spaces agrees."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnlab.errors import SpecError
from sweeps.space.designs import grid
from sweeps.space.space import Space

NAMES = ("hidden", "depth", "batch", "task.length")
ABSENT = object()


def test_a_grid_is_the_product_of_its_dimensions_in_their_order() -> None:
    assert grid(Space({"depth": {"low": 1, "high": 2}, "cell": ["rnn", "gru"]}, "adding")) == [
        {"cell": "rnn", "depth": 1},
        {"cell": "rnn", "depth": 2},
        {"cell": "gru", "depth": 1},
        {"cell": "gru", "depth": 2},
    ]


def test_conditions_leave_out_what_does_not_apply_and_repeat_nothing() -> None:
    written = {
        "cell": ["rnn", "lstm"],
        "activation": {"choices": ["tanh", "relu"], "when": {"cell": "rnn"}},
        "bias_init": {"choices": ["default", {"forget_bias": 1.0}], "when": {"cell": "lstm"}},
        "clip": {"choices": ["none", {"norm": 1.0}], "when": {"activation": "relu"}},
    }
    assert grid(Space(written, "adding")) == [
        {"cell": "rnn", "activation": "tanh"},
        {"cell": "rnn", "activation": "relu", "clip": "none"},
        {"cell": "rnn", "activation": "relu", "clip": "norm(1)"},
        {"cell": "lstm", "bias_init": "default"},
        {"cell": "lstm", "bias_init": "forget_bias(1)"},
    ]


def test_alternatives_of_one_param_each_in_their_place() -> None:
    written = {
        "cell": ["rnn", "lstm"],
        "lr": [
            {"low": 0.1, "high": 0.3, "step": 0.1, "when": {"cell": "rnn"}},
            {"choices": [1e-3], "when": {"cell": "lstm"}},
        ],
    }
    assert grid(Space(written, "adding")) == [
        {"cell": "rnn", "lr": 0.1},
        {"cell": "rnn", "lr": 0.2},
        {"cell": "rnn", "lr": 0.3},
        {"cell": "lstm", "lr": 1e-3},
    ]


@pytest.mark.parametrize("log", [False, True])
def test_a_range_without_steps_has_no_grid(log: bool) -> None:
    space = Space({"lr": {"low": 0.1, "high": 0.2, "log": log}}, "adding")
    with pytest.raises(
        SpecError, match=r"space\.lr: the sampler grid needs choices or a range with a step, .*low=0\.1"
    ):
        grid(space)


@st.composite
def spaces(draw: st.DrawFn) -> dict[str, Any]:
    """Up to five params with up to three values each, under conditions on the ones before, written in any order."""
    names = draw(st.permutations(NAMES))[: draw(st.integers(1, 4))]
    values = {name: sorted(draw(st.sets(st.integers(1, 3), min_size=1))) for name in names}
    written: dict[str, Any] = {}
    for index, name in enumerate(names):
        entry: Any = {"choices": values[name]}
        if draw(st.booleans()) and values[name] == list(range(values[name][0], values[name][-1] + 1)):
            entry = {"low": values[name][0], "high": values[name][-1]}
        others = draw(st.lists(st.sampled_from(names[:index]), unique=True, max_size=2)) if index else []
        if others:
            when = {other: draw(st.lists(st.sampled_from(values[other]), min_size=1, unique=True)) for other in others}
            entry["when"] = when
            rest = [value for value in values[others[0]] if value not in when[others[0]]]
            if rest and draw(st.booleans()):
                second = {
                    "choices": draw(st.lists(st.integers(1, 3), min_size=1, unique=True)),
                    "when": {others[0]: rest},
                }
                values[name] = sorted({*values[name], *second["choices"]})
                entry = [entry, second]
        written[name] = entry
    return {name: written[name] for name in draw(st.permutations(list(written)))}


def brute_force(written: dict[str, Any]) -> set[tuple[tuple[str, int], ...]]:
    """Every assignment, or absence, of every param that no rule forbids."""

    def allowed(entry: Any, point: dict[str, Any]) -> list[Any]:
        parts = entry if isinstance(entry, list) else [entry]
        for part in parts:
            if all(point[other] in values for other, values in part.get("when", {}).items()):
                return list(part["choices"] if "choices" in part else range(part["low"], part["high"] + 1))
        return [ABSENT]

    points = (
        dict(zip(written, picks, strict=True)) for picks in itertools.product([ABSENT, 1, 2, 3], repeat=len(written))
    )
    return {
        tuple(sorted((name, value) for name, value in point.items() if value is not ABSENT))
        for point in points
        if all(point[name] in allowed(written[name], point) for name in written)
    }


@settings(max_examples=150, deadline=None, derandomize=True)
@given(spaces())
def test_a_grid_holds_what_brute_force_finds_and_nothing_twice(written: dict[str, Any]) -> None:
    rows = [tuple(sorted(row.items())) for row in grid(Space(written, "adding"))]
    assert len(rows) == len(set(rows))
    assert set(rows) == brute_force(written)
