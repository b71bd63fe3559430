"""What a person may write as a dimension, what it becomes, and what each mistake is told."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from rnnlab.errors import SpecError
from sweeps.recording.names import PARAMS
from sweeps.space.dimensions import Dimension, parse_dimension
from sweeps.space.space import Space

CELLS = ["rnn", "lstm"]


def only(written: dict[str, Any], task: str = "adding") -> Dimension:
    """The last dimension of a space."""
    return Space(written, task).dimensions[-1]


def test_a_list_is_choices_by_label() -> None:
    cell = only({"cell": ["rnn", "lstm"]})
    assert (cell.name, cell.key, cell.choices, cell.when) == (
        "cell",
        "cell",
        {"rnn": "rnn", "lstm": "lstm"},
        {},
    )
    assert cell.grid == cell.corners == ["rnn", "lstm"]


def test_choices_with_options_are_kept_by_a_label_that_optuna_can_store() -> None:
    written = [
        "none",
        {"norm": 1.0},
        {"norm": {"threshold": 2.5}},
        {"value": 1},
    ]
    clip = only({"clip": written})
    assert list(clip.choices) == ["none", "norm(1)", "norm(2.5)", "value(1)"]
    assert list(clip.choices.values()) == written


@pytest.mark.parametrize("name", ["hidden", "depth", "lr", "batch", "momentum", "decay", "beta1", "beta2"])
def test_numbers_are_their_own_labels(name: str) -> None:
    assert only({name: [0.5, 2]}).choices == {0.5: 0.5, 2: 2}


def test_an_option_of_the_task_is_a_dimension_and_may_be_text() -> None:
    assert only({"task.length": [20, 40]}).choices == {20: 20, 40: 40}
    assert only({"task.read": ["pixels", "rows"]}, "digits").choices == {"pixels": "pixels", "rows": "rows"}


@pytest.mark.parametrize(
    ("written", "low", "high", "step", "log", "whole", "grid"),
    [
        ({"low": 1, "high": 3}, 1, 3, 1, False, True, [1, 2, 3]),
        ({"low": 2, "high": 9, "step": 3}, 2, 8, 3, False, True, [2, 5, 8]),
        ({"low": 8, "high": 64, "log": True}, 8, 64, None, True, True, None),
        ({"low": 0.1, "high": 0.5}, 0.1, 0.5, None, False, False, None),
        ({"low": 1e-4, "high": 3e-2, "log": True}, 1e-4, 3e-2, None, True, False, None),
        ({"low": 0.1, "high": 0.3, "step": 0.1}, 0.1, 0.3, 0.1, False, False, [0.1, 0.2, 0.3]),
        ({"low": 0, "high": 0.9, "step": 0.3}, 0, 0.9, 0.3, False, False, [0.0, 0.3, 0.6, 0.9]),
        ({"low": 0.001, "high": 0.1, "step": 0.03}, 0.001, 0.091, 0.03, False, False, [0.001, 0.031, 0.061, 0.091]),
        ({"low": 2, "high": 2}, 2, 2, 1, False, True, [2]),
        ({"low": 1, "high": 3, "step": 5}, 1, 1, 5, False, True, [1]),
    ],
)
def test_ranges(
    written: dict[str, Any], low: float, high: float, step: float | None, log: bool, whole: bool, grid: Any
) -> None:
    (found,) = parse_dimension("batch", written)
    assert (found.low, found.high, found.step, found.log, found.whole) == (low, high, step, log, whole)
    assert found.grid == grid
    if grid is not None:
        assert [type(value) for value in found.grid or []] == [int if whole else float] * len(grid)


def test_corners_of_a_range_show_a_param_that_takes_whole_numbers_what_lies_between() -> None:
    assert only({"depth": {"low": 1, "high": 4}}).corners == [1, 4]
    assert only({"batch": {"low": 8, "high": 64, "log": True}}).corners == [8, 64]
    for written in [{"low": 1, "high": 3.0}, {"low": 1, "high": 3, "step": 0.5}]:
        assert any(value != int(value) for value in only({"depth": written}).corners)
    assert only({"lr": {"low": 0.5, "high": 0.5}}).corners == [0.5]


def test_a_condition_names_its_dimension_for_optuna_and_holds_for_any_of_its_values() -> None:
    found = only(
        {"cell": ["rnn", "lstm", "gru"], "bias_init": {"choices": ["chrono"], "when": {"cell": ["lstm", "gru"]}}}
    )
    assert found.key == "bias_init[cell=lstm|gru]"
    assert [found.active({"cell": cell}) for cell in ("rnn", "lstm", "gru")] == [False, True, True]
    assert not found.active({})


def test_a_condition_by_bare_name_stands_for_any_options_and_with_options_for_these_alone() -> None:
    inits = ["default", "orthogonal", {"orthogonal": 1.4}]
    bare = only({"init": inits, "lr": {"choices": [0.1], "when": {"init": "orthogonal"}}})
    exact = only({"init": inits, "lr": {"choices": [0.1], "when": {"init": {"orthogonal": 1.4}}}})
    labels = ["default", "orthogonal(1)", "orthogonal(1.4)"]
    assert [bare.active({"init": label}) for label in labels] == [False, True, True]
    assert [exact.active({"init": label}) for label in labels] == [False, False, True]
    assert exact.key == "lr[init=orthogonal(1.4)]"


def test_a_condition_may_look_at_numbers_of_choices_and_of_ranges() -> None:
    for depth in ([1, 2], {"low": 1, "high": 3}):
        found = only({"depth": depth, "lr": {"choices": [0.1], "when": {"depth": 2}}})
        assert [found.active({"depth": value}) for value in (1, 2)] == [False, True]
    assert only({"batch": {"low": 8, "high": 64, "log": True}, "clip": {"choices": ["none"], "when": {"batch": 9}}})


def test_alternatives_of_one_param_under_conditions_of_their_own() -> None:
    space = Space(
        {
            "cell": ["rnn", "lstm"],
            "lr": [
                {"low": 0.1, "high": 0.2, "when": {"cell": "rnn"}},
                {"choices": [1e-3], "when": {"cell": "lstm"}},
            ],
        },
        "adding",
    )
    assert [dimension.key for dimension in space.dimensions] == ["cell", "lr[cell=rnn]", "lr[cell=lstm]"]
    assert space.dimension_of("lr", {"cell": "lstm"}).choices == {1e-3: 1e-3}
    assert space.dimension_of("lr", {"cell": "rnn"}).high == 0.2


WRITTEN = {
    "clip": {"choices": ["none", {"norm": 1.0}], "when": {"optimiser": "sgd"}},
    "optimiser": {"choices": ["sgd", "adam"], "when": {"activation": "relu", "cell": "rnn"}},
    "activation": {"choices": ["tanh", "relu"], "when": {"cell": "rnn"}},
    "task.length": [20, 40],
    "cell": ["rnn", "lstm"],
}


@pytest.mark.parametrize("names", list(itertools.permutations(WRITTEN))[::7])
def test_dimensions_come_in_one_order_however_they_are_written(names: tuple[str, ...]) -> None:
    written: dict[str, Any] = {name: WRITTEN[name] for name in names}
    if names[0] == "clip":
        written["optimiser"] = {**written["optimiser"], "when": {"cell": "rnn", "activation": "relu"}}
    assert [dimension.key for dimension in Space(written, "adding").dimensions] == [
        "cell",
        "activation[cell=rnn]",
        "optimiser[activation=relu, cell=rnn]",
        "clip[optimiser=sgd]",
        "task.length",
    ]


def test_conditions_on_conditions_fall_with_what_they_look_at() -> None:
    space = Space(WRITTEN, "adding")
    wanted = {"cell": "rnn", "activation": "relu", "optimiser": "sgd", "clip": "norm(1)", "task.length": 40}
    assert space.pick(lambda dimension: wanted[dimension.name]) == wanted
    wanted["activation"] = "tanh"
    assert set(space.pick(lambda dimension: wanted[dimension.name])) == {"cell", "activation", "task.length"}
    wanted["cell"] = "lstm"
    assert set(space.pick(lambda dimension: wanted[dimension.name])) == {"cell", "task.length"}


@pytest.mark.parametrize(
    ("written", "messages"),
    [
        # names
        ({"celll": CELLS}, ["space.celll: no such dimension; did you mean 'cell'?", "task.length"]),
        ({"length": [20]}, ["space.length: no such dimension; did you mean 'task.length'?"]),
        ({"task.lenght": [20]}, ["space.task.lenght", "did you mean 'task.length'?"]),
        ({"task.read": ["rows"]}, ["space.task.read: no such dimension"]),
        # shapes
        ({"cell": "rnn"}, ["space.cell: a dimension is a list of choices", "'rnn'", "belongs under model, optim or task"]),
        ({"lr": 0.1}, ["space.lr: a dimension is", "0.1"]),
        ({"lr": None}, ["space.lr: a dimension is", "None"]),
        ({"lr": {}}, ["space.lr: a dimension is", "{}"]),
        ({"lr": {"when": {"cell": "rnn"}}, "cell": CELLS}, ["space.lr: a dimension is"]),
        ({"lr": {"low": 0.1, "hihg": 1}}, ["space.lr: no such key 'hihg'; did you mean 'high'?", "low"]),
        ({"cell": {"choices": CELLS, "wen": {}}}, ["space.cell: no such key 'wen'; did you mean 'when'?"]),
        ({"lr": {"choices": [0.1], "low": 0.1}}, ["space.lr: no such key 'low'", "(keys: choices, when)"]),
        # choices
        ({"cell": []}, ["space.cell: choices must be a list of at least one value, but got []"]),
        ({"cell": {"choices": []}}, ["at least one value, but got []"]),
        ({"cell": {"choices": "rnn"}}, ["at least one value, but got 'rnn'"]),
        ({"cell": ["rnn", "lstn"]}, ["space.cell: cell 'lstn' is unknown; did you mean 'lstm'?", "rnn, lstm, gru"]),
        ({"init": [{"orthogonal": -1}]}, ["space.init: init 'orthogonal'", "-1", "greater than 0"]),
        ({"init": [{"orthogonal": {"gian": 1}}]}, ["has no option 'gian'; did you mean 'gain'?"]),
        ({"optimiser": ["sgd", "adm"]}, ["space.optimiser: optimiser 'adm' is unknown; did you mean 'adam'?"]),
        ({"optimiser": [{"sgd": 0.9}]}, ["space.optimiser: an optimiser is a name, its options are dimensions"]),
        ({"cell": ["rnn", "rnn"]}, ["space.cell: the choice 'rnn' stands twice; keep one"]),
        ({"init": ["orthogonal", {"orthogonal": 1}]}, ["the choice 'orthogonal(1)' stands twice"]),
        ({"depth": [1, 1.0]}, ["space.depth: the choice '1' stands twice"]),
        ({"hidden": [16, "a"]}, ["space.hidden: a choice is a number, but got 'a'"]),
        ({"lr": ["1e-3"]}, ["space.lr: a choice is a number, but got '1e-3'"]),
        ({"hidden": [True]}, ["space.hidden: a choice is a number, but got True"]),
        ({"task.length": [[20]]}, ["space.task.length: a choice is a name or a number, but got [20]"]),
        # ranges
        ({"lr": {"low": 3, "high": 1}}, ["space.lr: `low <= high` must hold, but got (low=3, high=1); swap them"]),
        ({"lr": {"low": 0, "high": 1, "log": True}}, ["space.lr: a log range requires low > 0", "(low=0, high=1)"]),
        ({"lr": {"low": -1, "high": 1, "log": True}}, ["a log range requires low > 0"]),
        ({"lr": {"low": 0.1}}, ["space.lr: a range requires 'high'; add it"]),
        ({"lr": {"high": 0.1}}, ["space.lr: a range requires 'low'; add it"]),
        ({"lr": {"low": "a", "high": 1}}, ["space.lr: low must be a number, but got 'a'"]),
        ({"lr": {"low": 0.1, "high": None}}, ["space.lr: high must be a number, but got None"]),
        ({"depth": {"low": True, "high": 3}}, ["space.depth: low must be a number, but got True"]),
        ({"lr": {"low": 0.1, "high": float("inf")}}, ["space.lr: high must be finite, but got inf"]),
        ({"lr": {"low": float("nan"), "high": 1}}, ["space.lr: low must be finite, but got nan"]),
        ({"lr": {"low": 0.1, "high": 1, "log": "yes"}}, ["space.lr: log is true or false, but got 'yes'"]),
        ({"lr": {"low": 0.1, "high": 1, "step": 0}}, ["space.lr: step must be above 0, but got 0"]),
        ({"lr": {"low": 0.1, "high": 1, "step": 0.1, "log": True}}, ["space.lr: a log range has no step"]),
        ({"cell": {"low": 1, "high": 2}}, ["space.cell: takes names, not a range (low=1, high=2); write choices"]),
        # conditions
        ({"lr": {"choices": [0.1], "when": {"cel": "rnn"}}, "cell": CELLS}, ["`when` looks at 'cel'", "did you mean 'cell'?"]),
        ({"lr": {"choices": [0.1], "when": {"cell": "rnn"}}}, ["`when` looks at 'cell', which is not a dimension"]),
        ({"lr": {"choices": [0.1], "when": ["cell"]}, "cell": CELLS}, ["`when` is {dimension: value}, but got ['cell']"]),
        ({"lr": {"choices": [0.1], "when": {"cell": "gru"}}, "cell": CELLS}, ["`when: {cell: gru}` can never hold", "rnn, lstm"]),
        ({"lr": {"choices": [0.1], "when": {"cell": ["rnn", "lstn"]}}, "cell": CELLS}, ["can never hold; did you mean 'lstm'?"]),
        ({"lr": {"choices": [0.1], "when": {"cell": []}}, "cell": CELLS}, ["`when: {cell: []}` can never hold"]),
        ({"lr": {"choices": [0.1], "when": {"depth": 7}}, "depth": {"low": 1, "high": 3}}, ["can never hold", "1 to 3"]),
        ({"lr": {"choices": [0.1], "when": {"depth": "1"}}, "depth": [1, 2]}, ["`when: {depth: 1}` can never hold"]),
        (
            {"clip": {"choices": ["none"], "when": {"lr": 0.2}}, "lr": {"low": 0.1, "high": 0.3}},
            ["space.clip: `when: {lr: 0.2}` can never hold", "0.1 to 0.3 without steps"],
        ),
        (
            {"clip": {"choices": ["none"], "when": {"batch": 100}}, "batch": {"low": 8, "high": 64, "log": True}},
            ["can never hold", "8 to 64"],
        ),
        (
            {"init": [{"orthogonal": 1.4}], "lr": {"choices": [0.1], "when": {"init": {"orthogonal": 1.5}}}},
            ["`when: {init: orthogonal(1.5)}` can never hold; did you mean 'orthogonal(1.4)'?"],
        ),
        (
            {"init": ["default"], "lr": {"choices": [0.1], "when": {"init": {"orthogonl": 1}}}},
            ["space.lr: `when: {init: ...}`: init 'orthogonl' is unknown; did you mean 'orthogonal'?"],
        ),
        (
            {"cell": {"choices": ["rnn"], "when": {"depth": 1}}, "depth": {"choices": [1], "when": {"cell": "rnn"}}},
            ["the conditions of cell, depth wait for each other; drop one `when:`"],
        ),
        ({"depth": {"choices": [1], "when": {"depth": 1}}}, ["the conditions of depth wait for each other"]),
        (
            {"cell": CELLS, "lr": [{"choices": [0.1]}, {"choices": [0.2], "when": {"cell": "rnn"}}]},
            ["space.lr: every entry of a list of dimensions needs its own `when:`"],
        ),
        (
            {"cell": CELLS, "lr": [{"choices": [v], "when": {"cell": "rnn"}} for v in (0.1, 0.2)]},
            ["space.lr: two entries have the same `when:`; put their choices together"],
        ),
    ],
)  # fmt: skip
def test_every_mistake_is_told_in_one_message(written: dict[str, Any], messages: list[str]) -> None:
    with pytest.raises(SpecError) as raised:
        Space(written, "adding")
    text = str(raised.value)
    assert "\n" not in text
    for message in messages:
        assert message in text


def test_two_alternatives_that_hold_at_once_are_refused_wherever_a_point_is_made() -> None:
    written = {
        "cell": ["rnn", "lstm"],
        "depth": [1, 2],
        "lr": [{"choices": [0.1], "when": {"cell": "rnn"}}, {"choices": [0.2], "when": {"depth": 1}}],
    }
    space = Space(written, "adding")
    wanted: dict[str, Any] = {"cell": "rnn", "depth": 1, "lr": 0.1}
    message = r"space\.lr: two conditions hold at once for cell=rnn, depth=1; .*\(lr\[depth=1\] is the second\)"
    with pytest.raises(SpecError, match=message):
        space.pick(lambda dimension: wanted[dimension.name])
    with pytest.raises(SpecError, match=message):
        list(space.points(lambda dimension: dimension.corners))
    assert space.pick(lambda dimension: (wanted | {"depth": 2})[dimension.name])["lr"] == 0.1


def test_every_param_can_be_a_dimension() -> None:
    for name in PARAMS:
        with pytest.raises(SpecError, match=rf"space\.{name}: choices must be"):
            Space({name: []}, "adding")


def test_a_learning_rate_is_never_a_range_of_integers() -> None:
    (lr,) = parse_dimension("lr", {"low": 1, "high": 10})
    (hidden,) = parse_dimension("hidden", {"low": 1, "high": 10})
    assert (lr.whole, hidden.whole) == (False, True)
