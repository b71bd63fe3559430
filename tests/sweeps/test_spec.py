"""A sweep as a person writes it: read, checked, written again, hashed; and what each mistake is told."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from rnnlab.choices import choose
from rnnlab.errors import SpecError
from rnnlab.training.loop import Trainer
from rnnlab.training.seeding import replicate_seed
from rnnlab.written import load_yaml, validated
from services.cli.app import app
from sweeps.recipes import RECIPES
from sweeps.running.books import params_of
from sweeps.spec import CHECKED, SweepSpec

OF_THE_DESIGN = """
name: clipping-by-depth
task: {kind: adding, length: 100}
model: {hidden: 64}
optim: {kind: adam, batch: 32}
space:
  cell: [rnn, lstm, gru]
  activation: {choices: [tanh, relu], when: {cell: rnn}}
  init: [default, orthogonal]
  bias_init: {choices: [default, {forget_bias: 1.0}], when: {cell: lstm}}
  clip: [none, {norm: 1.0}, {value: 1.0}]
  depth: {low: 1, high: 3}
  lr: {low: 1.0e-4, high: 3.0e-2, log: true}
search: {sampler: tpe, trials: 60, pruner: asha, seed: 0}
replicates: 5
budget: {updates: 2000}
objective: score
"""

SMALL: dict[str, Any] = {
    "name": "small",
    "task": {"kind": "adding", "length": 20},
    "model": {"hidden": 4},
    "optim": {"lr": 0.01},
    "space": {"cell": ["rnn", "lstm"], "batch": [8, 16]},
    "search": {"sampler": "random", "trials": 3},
    "budget": {"updates": 5},
}


def read(text: str) -> SweepSpec:
    return validated(SweepSpec, load_yaml(text))


def small(**changes: Any) -> SweepSpec:
    return validated(SweepSpec, {**copy.deepcopy(SMALL), **changes})


def recipe(name: str) -> SweepSpec:
    found: SweepSpec = choose(RECIPES, name).load()()
    return found


# --- reading


def test_the_spec_of_the_design_reads_as_it_says() -> None:
    spec = read(OF_THE_DESIGN)
    assert (spec.name, spec.trials, spec.replicates, spec.budget.updates) == ("clipping-by-depth", 60, 5, 2000)
    assert spec.search.sampler.label == "tpe(10)"
    assert spec.search.pruner.options == {"reduction": 3.0, "grace": None}
    assert [dimension.key for dimension in spec.parsed_space.dimensions] == [
        "cell", "activation[cell=rnn]", "init", "bias_init[cell=lstm]", "depth", "lr", "clip",
    ]  # fmt: skip
    lr = spec.parsed_space.dimension_of("lr", {})
    assert (lr.low, lr.high, lr.log) == (1e-4, 3e-2, True)
    picks = {"cell": "lstm", "init": "orthogonal(1)", "bias_init": "forget_bias(1)", "clip": "value(1)"}
    trial = spec.trial(7, {**picks, "depth": 2, "lr": 0.01})
    assert (trial.task.options, trial.model.hidden, trial.model.depth) == ({"length": 100}, 64, 2)
    assert (trial.model.cell.label, trial.model.activation, trial.model.init.label) == (
        "lstm",
        None,
        "orthogonal(1)",
    )
    assert (trial.optim.kind, trial.optim.batch, trial.optim.lr, trial.optim.clip.label) == (
        "adam",
        32,
        0.01,
        "value(1)",
    )


def test_a_file_is_read_as_yaml_or_json(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(OF_THE_DESIGN)
    (tmp_path / "a.json").write_text(json.dumps(load_yaml(OF_THE_DESIGN)))
    assert SweepSpec.from_file(tmp_path / "a.yaml") == SweepSpec.from_file(tmp_path / "a.json") == read(OF_THE_DESIGN)


# --- writing again


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_reads_back_from_its_yaml_as_the_same_sweep(name: str) -> None:
    spec = recipe(name)
    again = read(spec.to_yaml())
    assert again == spec
    assert again.content_hash == spec.content_hash
    assert again.to_yaml() == spec.to_yaml()
    assert again.trials == spec.trials
    assert [d.key for d in again.parsed_space.dimensions] == [d.key for d in spec.parsed_space.dimensions]


@pytest.mark.parametrize("name", RECIPES)
def test_what_the_command_prints_of_a_recipe_is_that_sweep(name: str) -> None:
    ran = CliRunner().invoke(app, ["recipes", name])
    assert ran.exit_code == 0, ran.output
    assert read(ran.stdout) == recipe(name)
    assert read(ran.stdout).content_hash == recipe(name).content_hash


def test_the_recipe_first_has_the_twelve_configurations_it_promises() -> None:
    spec = recipe("first")
    trials = [spec.trial(number, picks) for number, picks in enumerate(spec.stages.arms)]
    assert len(trials) == len({trial.config_hash for trial in trials}) == spec.trials == 12
    momentum = [trial for trial in trials if trial.optim.kind == "sgd"]
    assert [trial.optim.clip.label for trial in momentum] == ["none", "norm(1)"]
    assert {(t.model.init.label, t.optim.lr, t.optim.options["momentum"]) for t in momentum} == {
        ("orthogonal(1.4)", 0.05, 0.9)
    }
    assert {trial.optim.clip.label for trial in trials if trial.optim.kind == "adam"} == {"norm(1)"}


@pytest.mark.parametrize("pruner", ["none", "asha", {"asha": 3}, {"asha": 3.0}, {"asha": {"reduction": 4, "grace": 2}}])
@pytest.mark.parametrize("sampler", ["random", "tpe", {"tpe": 4}])
def test_every_search_reads_back_with_the_same_hash(sampler: Any, pruner: Any) -> None:
    spec = small(search={"sampler": sampler, "pruner": pruner, "trials": 3, "seed": 7})
    again = read(spec.to_yaml())
    assert (again, again.content_hash) == (spec, spec.content_hash)


def test_defaults_that_are_written_out_hash_the_same() -> None:
    short = small(search={"trials": 3, "pruner": "asha"})
    long = small(
        search={"sampler": {"tpe": {"startup": 10}}, "trials": 3, "pruner": {"asha": 3}, "seed": 0, "blocks": 1},
        replicates=5,
        description="the same",
        budget={"updates": 5, "evaluations": 10},
    )
    assert short.content_hash == long.content_hash


def turned(value: Any) -> Any:
    """The same mapping with its keys in reverse order, at every level."""
    if isinstance(value, dict):
        return {key: turned(part) for key, part in reversed(value.items())}
    return [turned(part) for part in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", RECIPES)
def test_the_hash_and_what_is_asked_do_not_depend_on_the_order_of_keys(name: str) -> None:
    spec = recipe(name)
    other = validated(SweepSpec, turned(spec.model_dump(mode="json", exclude_defaults=True)))
    assert list(other.space) != list(spec.space)
    assert other.content_hash == spec.content_hash
    assert other.stages.arms == spec.stages.arms
    assert [d.key for d in other.parsed_space.dimensions] == [d.key for d in spec.parsed_space.dimensions]


def test_the_hash_depends_on_all_but_the_name_and_the_description() -> None:
    plain = small()
    assert small(name="other", description="words").content_hash == plain.content_hash
    changed = [
        small(task={"kind": "adding", "length": 21}),
        small(task={"kind": "copying", "length": 20}),
        small(model={"hidden": 5}),
        small(optim={"lr": 0.02}),
        small(space={"cell": ["rnn", "gru"], "batch": [8, 16]}),
        small(space={"cell": ["lstm", "rnn"], "batch": [8, 16]}),
        small(search={"sampler": "random", "trials": 4}),
        small(search={"sampler": "random", "trials": 3, "seed": 1}),
        small(search={"sampler": "tpe", "trials": 3}),
        small(search={"sampler": "random", "trials": 3, "pruner": "asha"}),
        small(replicates=6),
        small(budget={"updates": 6}),
        small(probe={"batch": 16}),
    ]
    hashes = {spec.content_hash for spec in [plain, *changed]}
    assert len(hashes) == 1 + len(changed)
    assert all(re.fullmatch("[0-9a-f]{12}", found) for found in hashes)


# --- bad input

LSTM = {"cell": ["rnn", "lstm"]}


@pytest.mark.parametrize(
    ("changes", "messages"),
    [
        # a misspelt key at every level
        ({"serach": {}}, ["serach: no such key; did you mean 'search'? (keys: name,"]),
        ({"task": {"kind": "adding", "lenght": 20}}, ["task: task 'adding' has no option 'lenght'; did you mean 'length'?"]),
        ({"model": {"hiden": 4}}, ["model.hiden: no such key; did you mean 'hidden'?"]),
        ({"optim": {"bach": 4}}, ["optim.bach: no such key; did you mean 'batch'? (keys: kind, lr, batch, clip, regulariser, gradient_checkpointing, momentum"]),
        ({"optim": {"kind": "sgd", "momentm": 0.9}}, ["optim.momentm: no such key; did you mean 'momentum'?"]),
        ({"space": {"celll": ["rnn"]}}, ["space.celll: no such dimension; did you mean 'cell'?"]),
        ({"space": {"lr": {"low": 0.1, "hihg": 1}}}, ["space.lr: no such key 'hihg'; did you mean 'high'?"]),
        ({"search": {"trails": 3}}, ["search.trails: no such key; did you mean 'trials'?"]),
        ({"search": {"sampler": {"tpe": {"startp": 3}}, "trials": 3}}, ["has no option 'startp'; did you mean 'startup'?"]),
        ({"budget": {"update": 5}}, ["budget.update: no such key; did you mean 'updates'?"]),
        ({"probe": {"batches": 5}}, ["probe.batches: no such key; did you mean 'batch'?"]),
        ({"probe": {"verdict": {"decade": 3}}}, ["probe.verdict.decade: no such key; did you mean 'decades'?"]),
        # a misspelt name
        ({"task": {"kind": "ading"}}, ["task: task 'ading' is unknown; did you mean 'adding'?"]),
        ({"model": {"activation": "rleu"}}, ["model.activation: activation 'rleu' is unknown; did you mean 'relu'?"]),
        ({"model": {"cell": "lstn"}}, ["model.cell: cell 'lstn' is unknown; did you mean 'lstm'?"]),
        ({"optim": {"kind": "adma"}}, ["optim.kind: optimiser 'adma' is unknown; did you mean 'adam'?"]),
        ({"optim": {"clip": "nrm"}}, ["optim.clip: clip 'nrm' is unknown; did you mean 'norm'?"]),
        ({"search": {"sampler": "tpee", "trials": 3}}, ["search.sampler: sampler 'tpee' is unknown; did you mean 'tpe'?"]),
        ({"search": {"pruner": "ahsa", "trials": 3}}, ["search.pruner: pruner 'ahsa' is unknown; did you mean 'asha'?"]),
        ({"probe": {"measure": ["anchr"]}}, ["probe: probe 'anchr' is unknown; did you mean 'anchor'?"]),
        ({"objective": "loss"}, ["objective: got 'loss', but it should be 'score'"]),
        ({"name": "A b"}, ["name: got 'A b'", "pattern"]),
        # ranges
        ({"space": {"lr": {"low": 3, "high": 1}}}, ["space.lr: `low <= high` must hold, but got (low=3, high=1); swap them"]),
        ({"space": {"depth": {"low": 1, "high": 9}}}, ["space: with depth=9: model.depth: got 9", "less than or equal to 4"]),
        ({"space": {"depth": {"low": 0, "high": 2}}}, ["space: with depth=0: model.depth: got 0"]),
        ({"space": {"depth": {"low": 1, "high": 3.0}}}, ["space: with depth=1.764: model.depth", "valid integer"]),
        ({"space": {"depth": {"low": 1, "high": 3, "step": 0.5}}}, ["space: with depth=1.5: model.depth", "valid integer"]),
        ({"space": {"hidden": [8, 8.5]}}, ["space: with hidden=8.5: model.hidden: got 8.5", "valid integer"]),
        ({"space": {"momentum": [0.5]}}, ["space: with momentum=0.5: optim: optimiser 'adam' has no option 'momentum'"]),
        ({"model": {"depth": 7}}, ["model.depth: got 7"]),
        ({"optim": {"lr": -1}}, ["optim.lr: got -1, but it should be greater than 0"]),
        ({"replicates": 0}, ["replicates: got 0"]),
        ({"budget": {"updates": 0}}, ["budget.updates: got 0"]),
        ({"search": {"sampler": "random", "trials": 0}}, ["search.trials: got 0"]),
        ({"search": {"sampler": "random", "trials": 3, "pruner": {"asha": 1}}}, ["pruner 'asha': option 'reduction' is 1"]),
        # what does not fit together
        ({"space": {**LSTM, "activation": ["tanh"]}}, ["with cell=lstm, activation=tanh", "requires the cell rnn", "when: {cell: rnn}"]),
        ({"space": LSTM, "model": {"activation": "relu"}}, ["space: with cell=lstm", "activation 'relu' requires the cell rnn"]),
        ({"space": {**LSTM, "bias_init": ["chrono"]}}, ["with cell=rnn, bias_init=chrono", "requires the cell lstm or gru"]),
        ({"space": {**LSTM, "init": ["identity"]}}, ["with cell=lstm, init=identity(1)", "requires the cell rnn"]),
        ({"space": {"task.length": [1, 20]}}, ["space: with task.length=1: task: task 'adding': option 'length' is 1"]),
        ({"task": {"kind": "adding", "length": 1}}, ["task: task 'adding': option 'length' is 1; it should be greater than or equal to 2"]),
        ({"task": {"kind": "temporal_order", "length": 9}}, ["task 'temporal_order': option 'length' is 9", "equal to 10"]),
        ({"task": {"kind": "weather", "length": 30}}, ["task 'weather': option 'length' is 30", "equal to 31"]),
        ({"task": {"kind": "table", "path": "x.csv"}}, ["task 'table' requires the option 'inputs'"]),
        ({"search": {"sampler": "tpe"}}, ["search: the sampler tpe requires `trials`, how many to run; add it"]),
        ({"search": {"sampler": "random"}}, ["search: the sampler random requires `trials`"]),
        ({"search": {"sampler": "grid", "trials": 3}}, ["search: the sampler grid runs its whole table; leave `trials` out"]),
        ({"search": {"sampler": "tpe", "trials": 3, "blocks": 2}}, ["search: `blocks` has no effect with the sampler tpe"]),
        ({"search": {"sampler": "grid"}, "space": {"lr": {"low": 0.1, "high": 0.2}}}, ["space.lr: the sampler grid needs choices"]),
        # whole sections
        ({"space": {}}, ["space: got {}"]),
        ({"space": ["cell"]}, ["space: got ['cell']"]),
        ({"model": "rnn"}, ["model: got 'rnn'"]),
        ({"task": "adding"}, ["task: a task is written {kind: ..., option: value}, but got 'adding'"]),
        ({"task": {"length": 20}}, ["task: a task requires `kind` (kinds: adding,"]),
        ({"search": None}, ["search: got None"]),
    ],
)  # fmt: skip
def test_bad_input_is_told_in_one_clear_message(changes: dict[str, Any], messages: list[str]) -> None:
    with pytest.raises(SpecError) as raised:
        small(**changes)
    text = str(raised.value)
    assert "\n" not in text
    assert "pydantic" not in text
    for message in messages:
        assert message in text


@pytest.mark.parametrize("key", ["name", "task", "space", "search"])
def test_what_must_be_there_is_asked_for(key: str) -> None:
    given = {name: value for name, value in SMALL.items() if name != key}
    with pytest.raises(SpecError, match=f"^{key}: required, but not given$"):
        validated(SweepSpec, given)


def test_several_mistakes_are_told_together() -> None:
    with pytest.raises(SpecError) as raised:
        small(serach={}, budget={"update": 5})
    assert "serach" in str(raised.value)
    assert "budget.update" in str(raised.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is not a file; give the path of a spec"),
        (b"", "must be a mapping of keys to values, but holds nothing"),
        (b"- a\n- b\n", "must be a mapping of keys to values, but holds a list"),
        (b"name: [a\n", "is not YAML at line 2, column 1"),
        (b"\xff\xfe\x00", "is not a text file"),
        (b"name: a\nname: b\n", "line 2: the key 'name' stands twice; keep one"),
    ],
)
def test_a_file_that_cannot_be_read_is_told(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "spec.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SpecError, match=re.escape(message)):
        SweepSpec.from_file(path)


def test_a_large_space_is_checked_by_sample(sweep_of: Callable[..., SweepSpec]) -> None:
    many = {name: list(range(1, 5)) for name in ("hidden", "depth", "batch")}
    many |= {name: [n / 10 for n in range(1, 9)] for name in ("lr", "beta1", "beta2")}
    assert CHECKED < 4**3 * 8**3
    assert sweep_of(many).trials == 20
    with pytest.raises(SpecError, match=r"space: with .*: model\.depth: got 5"):
        sweep_of({**many, "depth": [1, 2, 3, 5]})


# --- blocks and seeds


def test_a_grid_runs_block_by_block_and_every_arm_of_a_block_has_its_seeds() -> None:
    spec = small(search={"sampler": "grid", "blocks": 3, "seed": 5}, replicates=2)
    assert spec.trials == 3 * len(spec.stages.arms) == 12
    assert [spec.stages.slot(number).place for number in range(12)] == [0, 1, 2, 3] * 3
    assert [spec.block_of(number) for number in range(12)] == [0] * 4 + [1] * 4 + [2] * 4
    trials = [spec.trial(number, picks) for number, picks in enumerate(spec.stages.arms * 3)]
    seeds = {
        block: {tuple(r.seed for r in Trainer(t).result.replicates) for t in trials if t.block == block}
        for block in range(3)
    }
    assert seeds == {block: {(replicate_seed(5, block, 0), replicate_seed(5, block, 1))} for block in range(3)}
    assert len({seed for (pair,) in seeds.values() for seed in pair}) == 6
    # the same configuration in different blocks is one configuration
    assert len({trial.config_hash for trial in trials}) == 4


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_for_other_samplers_the_block_is_the_trial(sampler: str) -> None:
    spec = small(search={"sampler": sampler, "trials": 7, "seed": 5})
    assert spec.stages.arms == []
    assert [spec.block_of(number) for number in range(7)] == list(range(7))
    trial = spec.trial(6, {"cell": "rnn", "batch": 8})
    assert (trial.seed, trial.block) == (5, 6)


def test_the_seed_of_the_search_changes_the_seeds_of_training() -> None:
    seeds = {
        replicate_seed(seed, block, replicate) for seed in range(5) for block in range(5) for replicate in range(5)
    }
    assert len(seeds) == 125
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_architecture_and_regularisers_are_searched_like_the_rest() -> None:
    spec = validated(
        SweepSpec,
        {
            "name": "mitigations",
            "task": {"kind": "adding", "length": 20},
            "model": {"hidden": 4, "depth": 2, "truncate": {"k1": 5, "k2": 10}},
            "space": {
                "cell": ["rnn", "lstm"],
                "between": ["plain", "highway"],
                "zoneout_c": {"choices": [0.0, 0.5], "when": {"cell": "lstm"}},
                "regulariser": [
                    {"choices": ["none", {"omega": 2.0}], "when": {"cell": "rnn"}},
                    {"choices": ["none", {"norm_stabiliser": 5.0}], "when": {"cell": "lstm"}},
                ],
            },
            "search": {"sampler": "grid"},
        },
    )
    assert spec.trials == 12
    points = list(spec.parsed_space.points(lambda dimension: dimension.grid or []))
    trials = [spec.trial(number, picks) for number, picks in enumerate(points)]
    assert {trial.optim.regulariser.label for trial in trials} == {"none", "omega(2, paper)", "norm_stabiliser(5)"}
    params = [params_of(trial) for trial in trials]
    # what is off is no param, so that the runs of other sweeps look as before
    assert [("between" in one, "regulariser" in one) for one in params[:2]] == [(False, False), (False, True)]
    assert {one.get("zoneout_c") for one in params} == {None, 0.5}
    assert not {"dropout", "dilation", "zoneout_h"} & set().union(*params)


def test_a_zoneout_of_c_without_a_cell_that_has_one_is_told() -> None:
    base = {"name": "x", "task": {"kind": "adding"}, "space": {"cell": ["lstm", "rnn"]}, "model": {"zoneout_c": 0.5},
            "search": {"sampler": "grid"}}  # fmt: skip
    with pytest.raises(SpecError, match="with cell=rnn: model: zoneout_c requires a cell with a state c"):
        validated(SweepSpec, base)
