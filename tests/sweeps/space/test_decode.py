"""A point of a space becomes the trial that it means, field by field."""

from __future__ import annotations

from typing import Any

import pytest

from rnnlab.errors import SpecError
from rnnlab.spec import TrialSpec
from sweeps.recording.names import PARAMS
from sweeps.space.decode import decode
from sweeps.space.space import Space

BASE: dict[str, Any] = {
    "task": {"kind": "adding", "length": 20, "loss": None},
    "model": {"hidden": 4},
    "optim": {"batch": 7},
    "budget": {"updates": 5},
    "replicates": 2,
}
OPTIMISER_OF = {"momentum": "sgd", "decay": "rmsprop", "beta1": "adam", "beta2": "adam"}

# param -> two choices as written, their labels, and what the trial then holds
CHOICES: dict[str, tuple[list[Any], list[Any], list[Any]]] = {
    "cell": (["lstm", "gru"], ["lstm", "gru"], ["lstm", "gru"]),
    "activation": (
        ["relu", {"leaky_relu": 0.2}],
        ["relu", "leaky_relu(0.2)"],
        ["relu", "leaky_relu(0.2)"],
    ),
    "init": (
        ["glorot", {"orthogonal": {"gain": 1.4}}],
        ["glorot", "orthogonal(1.4)"],
        ["glorot", "orthogonal(1.4)"],
    ),
    "bias_init": (["default", {"chrono": 30}], ["default", "chrono(30)"], ["default", "chrono(30)"]),
    "hidden": ([3, 5], [3, 5], [3, 5]),
    "depth": ([2, 3], [2, 3], [2, 3]),
    "optimiser": (["sgd", "rmsprop"], ["sgd", "rmsprop"], ["sgd", "rmsprop"]),
    "lr": ([0.25, 0.5], [0.25, 0.5], [0.25, 0.5]),
    "batch": ([8, 9], [8, 9], [8, 9]),
    "momentum": ([0.5, 0.9], [0.5, 0.9], [0.5, 0.9]),
    "decay": ([0.5, 0.9], [0.5, 0.9], [0.5, 0.9]),
    "beta1": ([0.5, 0.8], [0.5, 0.8], [0.5, 0.8]),
    "beta2": ([0.5, 0.8], [0.5, 0.8], [0.5, 0.8]),
    "clip": ([{"norm": 2.0}, {"value": 0.5}], ["norm(2)", "value(0.5)"], ["norm(2)", "value(0.5)"]),
    "between": (["plain", "highway"], ["plain", "highway"], ["plain", "highway"]),
    "zoneout_h": ([0.1, 0.2], [0.1, 0.2], [0.1, 0.2]),
    "zoneout_c": ([0.1, 0.2], [0.1, 0.2], [0.1, 0.2]),
    "dropout": ([0.1, 0.2], [0.1, 0.2], [0.1, 0.2]),
    "dilation": ([2, 3], [2, 3], [2, 3]),
    "dilation_start": ([2, 3], [2, 3], [2, 3]),
    "regulariser": (["none", {"norm_stabiliser": 5.0}], ["none", "norm_stabiliser(5)"], ["none", "norm_stabiliser(5)"]),
}


def held(trial: TrialSpec, name: str) -> Any:
    """What a trial holds for a param, choices by label."""
    section, field = PARAMS[name]
    part = getattr(trial, section)
    value = part.options[field] if field in getattr(part, "options", {}) else getattr(part, field)
    return getattr(value, "label", value)


@pytest.mark.parametrize("name", PARAMS)
def test_every_param_reaches_the_trial(name: str) -> None:
    written, labels, wanted = CHOICES[name]
    base = BASE
    if name in OPTIMISER_OF:
        base = {**BASE, "optim": {"kind": OPTIMISER_OF[name], "batch": 7}}
    if name in ("bias_init", "zoneout_c"):
        base = {**BASE, "model": {"cell": "lstm"}}
    space = Space({name: written}, "adding")
    assert list(space.dimensions[0].choices) == labels
    trials = [decode(base, space, {name: label}, seed=1, block=0) for label in labels]
    assert [held(trial, name) for trial in trials] == wanted
    plain = decode(base, Space({"lr": [0.125]}, "adding"), {"lr": 0.125}, seed=1, block=0)
    others = set(PARAMS) - {name, "lr", "activation", *OPTIMISER_OF}
    for trial in trials:
        assert all(held(trial, other) == held(plain, other) for other in others)


def test_options_of_the_task_reach_it() -> None:
    space = Space({"task.length": {"low": 20, "high": 40}}, "adding")
    trial = decode(BASE, space, {"task.length": 33}, seed=0, block=0)
    assert trial.task.options == {"length": 33}
    trial = decode(
        {"task": {"kind": "digits"}}, Space({"task.read": ["rows"]}, "digits"), {"task.read": "rows"}, seed=0, block=0
    )
    assert trial.task.options == {"read": "rows"}


def test_the_rest_comes_from_the_base_which_is_left_as_it_was() -> None:
    space = Space({"hidden": [9], "lr": {"low": 0.1, "high": 0.5}}, "adding")
    before = repr(BASE)
    trial = decode(BASE, space, {"hidden": 9, "lr": 0.25}, seed=3, block=4)
    assert (trial.seed, trial.block, trial.replicates, trial.budget.updates) == (3, 4, 2, 5)
    assert (trial.model.hidden, trial.optim.lr, trial.optim.batch) == (9, 0.25, 7)
    assert repr(BASE) == before


def test_a_pick_is_read_by_the_alternative_that_made_it() -> None:
    written = {
        "cell": ["rnn", "lstm"],
        "init": [
            {"choices": [{"identity": 0.5}], "when": {"cell": "rnn"}},
            {"choices": [{"orthogonal": 2}], "when": {"cell": "lstm"}},
        ],
    }
    space = Space(written, "adding")
    for cell, label in (("rnn", "identity(0.5)"), ("lstm", "orthogonal(2)")):
        assert held(decode(BASE, space, {"cell": cell, "init": label}, seed=0, block=0), "init") == label


def test_a_combination_that_is_not_allowed_is_told() -> None:
    space = Space({"cell": ["lstm"], "activation": ["relu"]}, "adding")
    with pytest.raises(SpecError, match=r"activation 'relu' requires the cell rnn .* `when: \{cell: rnn\}`"):
        decode(BASE, space, {"cell": "lstm", "activation": "relu"}, seed=0, block=0)
