"""Specs: what a person may write, what is refused and with which words, and what comes back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from rnnlab.activations import ACTIVATIONS
from rnnlab.cells import CELLS
from rnnlab.choices import Choice, choose, parse_choice
from rnnlab.clipping import CLIPS
from rnnlab.errors import DataError, PlaceError, RnnlabError, SpecError
from rnnlab.inits import BIAS_INITS, INITS
from rnnlab.probes import PROBES
from rnnlab.spec import ModelSpec, OptimSpec, TaskSpec, TrialSpec, content_hash
from rnnlab.tasks import TASKS
from rnnlab.training import OPTIMISERS
from rnnlab.written import load_yaml, validated

TABLES = (ACTIVATIONS, CELLS, CLIPS, INITS, BIAS_INITS, PROBES, TASKS, OPTIMISERS)
FULL: dict[str, Any] = {
    "task": {"kind": "copying", "length": 30, "loss": {"at": [0, -1], "combine": "sum"}},
    "model": {
        "cell": "lstm", "hidden": 24, "depth": 3, "init": {"orthogonal": 1.2}, "bias_init": {"chrono": 60},
    },
    "optim": {"kind": "adam", "beta2": 0.99, "lr": 3e-4, "batch": 8, "clip": {"norm": 0.25}},
    "probe": {"measure": ["anchor", "total"], "schedule": [3, 9], "batch": 4, "verdict": {"decades": 2}},
    "budget": {"updates": 70, "evaluations": 7},
    "replicates": 2,
    "seed": 5,
    "block": 3,
}  # fmt: skip
SPECS: list[dict[str, Any]] = [
    {"task": {"kind": "adding"}},
    FULL,
    {"task": {"kind": "digits", "read": "rows"}, "model": {"activation": {"leaky_relu": 0.2}}},
    {"task": {"kind": "adding"}, "model": {"cell": "gru", "bias_init": "chrono"}},
    {"task": {"kind": "adding"}, "optim": {"kind": "sgd", "momentum": 0.9, "clip": "none"}},
    {
        "task": {
            "kind": "table", "path": "/data/a.csv", "inputs": ["x", "y"], "target": "z", "lag": 3, "length": 9,
        }
    },
]  # fmt: skip


def trial(**changes: Any) -> TrialSpec:
    return TrialSpec.model_validate({"task": {"kind": "adding"}} | changes)


def refusal(data: Any, model: type[Any] = TrialSpec) -> str:
    with pytest.raises(SpecError) as caught:
        validated(model, data)
    return str(caught.value)


class TestRoundTrips:
    @pytest.mark.parametrize("data", SPECS, ids=str)
    def test_yaml(self, data: dict[str, Any], tmp_path: Path) -> None:
        spec = TrialSpec.model_validate(data)
        path = tmp_path / "spec.yaml"
        path.write_text(spec.to_yaml(), encoding="utf-8")
        again = TrialSpec.from_file(path)
        assert again == spec
        assert again.to_yaml() == spec.to_yaml()
        assert again.config_hash == spec.config_hash
        # other readers of YAML see the same
        assert yaml.safe_load(spec.to_yaml()) == load_yaml(spec.to_yaml())

    @pytest.mark.parametrize("data", SPECS, ids=str)
    def test_json(self, data: dict[str, Any], tmp_path: Path) -> None:
        spec = TrialSpec.model_validate(data)
        assert TrialSpec.model_validate_json(spec.model_dump_json()) == spec
        assert TrialSpec.model_validate(spec.model_dump()) == spec
        assert TrialSpec.model_validate(spec.model_dump(mode="json")) == spec
        for indent in (None, 2, "\t"):
            path = tmp_path / "spec.json"
            path.write_text(json.dumps(spec.model_dump(mode="json"), indent=indent))
            assert TrialSpec.from_file(path) == spec

    def test_what_is_written_is_short(self) -> None:
        written = load_yaml(TrialSpec.model_validate(FULL).to_yaml())
        for section in ("model", "optim", "task"):
            assert FULL[section].items() <= written[section].items()
        assert load_yaml(trial().to_yaml())["model"]["activation"] == "tanh"

    def test_specs_can_be_built_from_specs(self) -> None:
        spec = TrialSpec(
            task=TaskSpec(kind="adding", length=30),  # type: ignore[call-arg]
            optim=OptimSpec(kind="sgd", momentum=0.5),  # type: ignore[call-arg]
            model=ModelSpec(cell=Choice(kind="lstm"), bias_init=Choice(kind="forget_bias")),
        )
        assert spec.task.options == {"length": 30}
        assert spec.optim.options == {"momentum": 0.5}
        assert spec.model.bias_init.options == {"value": 1.0}

    def test_frozen(self) -> None:
        with pytest.raises(ValidationError, match="frozen"):
            trial().replicates = 9  # type: ignore[misc]


class TestDefaults:
    @pytest.mark.parametrize(
        "cell", [None, "rnn", {"rnn": {}}, Choice(kind="rnn"), {"cell": "rnn", "activation": None}], ids=str
    )
    def test_a_plain_rnn_has_tanh(self, cell: Any) -> None:
        data = {} if cell is None else cell if isinstance(cell, dict) and "cell" in cell else {"cell": cell}
        assert ModelSpec.model_validate(data).activation == Choice(kind="tanh")

    @pytest.mark.parametrize("cell", ["lstm", "gru"])
    def test_the_others_have_none(self, cell: str) -> None:
        spec = ModelSpec.model_validate({"cell": cell})
        assert spec.activation is None
        assert ModelSpec.model_validate(spec.model_dump(mode="json")) == spec

    def test_of_the_design(self) -> None:
        spec = trial()
        assert spec.probe.schedule == "log"
        assert "anchor" in spec.probe.measure
        assert spec.probe.verdict.model_dump() == {
            "decades": 3, "explosion_hump": 1e3, "transient_hump": 10, "first_lag": 5, "least_lags": 15,
            "horizon": 3,
        }  # fmt: skip
        assert spec.probe.exploded.model_dump() == {"ratio": 100, "window": 50, "least": 10}

    @pytest.mark.parametrize("table", TABLES, ids=lambda table: table.noun)
    def test_every_line_is_complete_and_loads(self, table: Any) -> None:
        for name, line in table.items():
            assert callable(line.load()), name
            assert line.summary
            assert line.source
            required = [o for o, (_, f) in line.options.items() if f.is_required()]
            assert all(field.description for _, field in line.options.values())
            if not required:
                assert parse_choice(table, name).kind == name
            for cell in line.cells or ():
                assert cell in CELLS


class TestChoices:
    @pytest.mark.parametrize(
        "written", ["orthogonal", {"orthogonal": 1.0}, {"orthogonal": {"gain": 1}}, {"orthogonal": {}}]
    )
    def test_ways_to_write_one(self, written: Any) -> None:
        choice = parse_choice(INITS, written)
        assert choice == Choice(kind="orthogonal", options={"gain": 1.0})
        assert choice.label == "orthogonal(1)"
        assert hash(choice) == hash(parse_choice(INITS, choice))
        assert parse_choice(INITS, choice.written()) == choice

    def test_none_is_the_line_called_none(self) -> None:
        assert parse_choice(CLIPS, None).kind == "none"
        assert parse_choice(CLIPS, "none").label == "none"

    def test_labels(self) -> None:
        assert parse_choice(CLIPS, {"norm": 0.25}).label == "norm(0.25)"
        assert parse_choice(BIAS_INITS, "chrono").label == "chrono"
        assert parse_choice(BIAS_INITS, {"chrono": 60}).label == "chrono(60)"

    @pytest.mark.parametrize(
        ("table", "written", "words"),
        [
            (INITS, "ortogonal", "init 'ortogonal' is unknown; did you mean 'orthogonal'? (choices: default, "),
            (INITS, {"orthogonal": {"gian": 1}}, "no option 'gian'; did you mean 'gain'? (its options: gain)"),
            (INITS, {"orthogonal": 11}, "init 'orthogonal': option 'gain' is 11; it should be less than"),
            (INITS, {"orthogonal": -1}, "it should be greater than 0"),
            (INITS, {"orthogonal": "much"}, "option 'gain' is 'much'; it should be a valid number"),
            (INITS, {"glorot": 2}, "init 'glorot' takes no value, but got 2; write 'glorot' alone"),
            (INITS, {"glorot": 2, "identity": 1}, "a init is a name or {name: value}, but got {'glorot': 2"),
            (INITS, 3, "a name or {name: value}, but got 3 (names: default, glorot"),
            (CLIPS, {"norm": 0}, "it should be greater than 0"),
            (CLIPS, {"value": float("nan")}, "clip 'value'"),
            (BIAS_INITS, {"chrono": 2}, "it should be greater than or equal to 3"),
        ],
    )
    def test_what_is_wrong_is_told(self, table: Any, written: Any, words: str) -> None:
        with pytest.raises(SpecError) as caught:
            parse_choice(table, written)
        assert words in str(caught.value)

    def test_an_unknown_name_lists_the_choices(self) -> None:
        with pytest.raises(SpecError) as caught:
            choose(CELLS, "kkk")
        assert str(caught.value) == f"cell 'kkk' is unknown (choices: {', '.join(CELLS)})"


class TestRefusals:
    @pytest.mark.parametrize(
        ("data", "words"),
        [
            ({"tsk": {}}, ["tsk: no such key; did you mean 'task'?", "task: required, but not given"]),
            (
                {"task": {"kind": "adding"}, "model": {"hiden": 3}},
                ["model.hiden: no such key; did you mean 'hidden'? (keys: cell, activation, hidden, "],
            ),
            ({"task": {"kind": "adding", "lenght": 3}}, ["no option 'lenght'; did you mean 'length'?"]),
            ({"task": {"kind": "ading"}}, ["task 'ading' is unknown; did you mean 'adding'?"]),
            ({"task": {"length": 3}}, ["a task requires `kind` (kinds: adding, adding_hs97, "]),
            ({"task": "adding"}, ["a task is written {kind: ..., option: value}, but got 'adding'"]),
            ({"task": {"kind": "table"}}, ["requires the option 'path'; add it"]),
            (
                {"task": {"kind": "adding"}, "optim": {"kind": "adam", "momentum": 0.9}},
                ["optimiser 'adam' has no option 'momentum' (its options: beta1, beta2)"],
            ),
            ({"task": {"kind": "adding"}, "optim": {"lr": 0}}, ["optim.lr: got 0, but it should be greater"]),
            ({"task": {"kind": "adding"}, "optim": {"lr": "nan"}}, ["optim.lr: got 'nan'"]),
            ({"task": {"kind": "adding"}, "replicates": 0}, ["replicates: got 0, but it should be greater"]),
            (
                {"task": {"kind": "adding"}, "probe": {"verdict": {"decade": 2}}},
                ["probe.verdict.decade: no such key; did you mean 'decades'?"],
            ),
            ({"task": {"kind": "adding"}, "probe": {"measure": ["total"]}}, ["must hold 'anchor'", "add it"]),
            (
                {"task": {"kind": "adding"}, "probe": {"measure": ["anchor", "totals"]}},
                ["probe 'totals' is unknown; did you mean 'total'?"],
            ),
            ({"task": {"kind": "adding"}, "probe": {"schedule": [-1]}}, ["updates of 0 or more", "[-1]"]),
            ({"task": {"kind": "adding", "loss": {"att": "last"}}}, ["task.loss.att: no such key"]),
        ],
        ids=lambda value: str(value)[:60],
    )
    def test_what_is_wrong_is_told(self, data: dict[str, Any], words: list[str]) -> None:
        told = refusal(data)
        for part in words:
            assert part in told

    def test_everything_at_once(self) -> None:
        told = refusal({"task": {"kind": "adding"}, "model": {"hiden": 3, "depth": 9}, "sed": 1})
        assert told.count(";") >= 2
        for part in ("model.hiden", "model.depth: got 9", "sed: no such key; did you mean 'seed'?"):
            assert part in told

    @pytest.mark.parametrize(
        ("model", "words"),
        [
            ({"cell": "lstm", "activation": "relu"}, ["activation 'relu' requires the cell rnn", "is 'lstm'"]),
            ({"cell": "gru", "activation": "tanh"}, ["leave activation out", "`when: {cell: rnn}`"]),
            ({"cell": "gru", "init": "identity"}, ["init 'identity' requires the cell rnn", "is 'gru'"]),
            ({"cell": "gru", "bias_init": "forget_bias"}, ["bias_init 'forget_bias' requires the cell lstm"]),
            (
                {"bias_init": "chrono"},
                ["requires the cell lstm or gru", "`when: {cell: lstm}`, with those of these cells that it has"],
            ),
            ({"bias_init": {"chrono": 60}}, ["the cell is 'rnn'"]),
        ],
        ids=str,
    )
    def test_what_does_not_fit_the_cell(self, model: dict[str, Any], words: list[str]) -> None:
        told = refusal({"task": {"kind": "adding"}, "model": model})
        for part in words:
            assert part in told

    def test_the_tree_of_errors(self) -> None:
        for kind in (SpecError, DataError, PlaceError):
            assert issubclass(kind, RnnlabError)
        assert issubclass(RnnlabError, ValueError)


class TestFiles:
    def read(self, text: str, tmp_path: Path) -> TrialSpec:
        path = tmp_path / "spec.yaml"
        path.write_text(text, encoding="utf-8")
        return TrialSpec.from_file(path)

    @pytest.mark.parametrize("written", ["1e-3", "1E-3", "1.e-3", "0.001", ".001", "+1e-3", "10e-4"])
    def test_a_small_number_is_a_number(self, written: str, tmp_path: Path) -> None:
        spec = self.read(f"task: {{kind: adding}}\noptim: {{lr: {written}}}", tmp_path)
        assert spec.optim.lr == 1e-3
        assert load_yaml(f"a: {written}")["a"] == 1e-3

    def test_other_scalars_stay(self) -> None:
        found = load_yaml("a: 12\nb: 1.5\nc: e3\nd: 1e3\ne: .inf\nf: '1e3'\ng: 1.2.3\nh: -e\ni: -2e+4\n")
        assert found["a"] == 12
        assert isinstance(found["a"], int)
        assert (found["b"], found["c"], found["d"]) == (1.5, "e3", 1e3)
        assert (found["e"], found["f"], found["g"]) == (float("inf"), "1e3", "1.2.3")
        assert (found["h"], found["i"]) == ("-e", -2e4)

    def test_a_data_file_lies_beside_its_spec(self, tmp_path: Path) -> None:
        text = "task: {kind: table, path: a.csv, inputs: [x], target: z, lag: 3, length: 9}"
        assert self.read(text, tmp_path).task.options["path"] == str((tmp_path / "a.csv").resolve())

    def test_a_key_written_twice(self, tmp_path: Path) -> None:
        for text in (
            "task: {kind: adding}\nseed: 1\nseed: 2",
            "task:\n  kind: adding\nmodel:\n  hidden: 3\n  hidden: 3",
            '{"task": {"kind": "adding"}, "seed": 1, "seed": 1}',
        ):
            with pytest.raises(SpecError, match=r"line \d+: the key '(seed|hidden)' stands twice; keep one"):
                self.read(text, tmp_path)

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("", "must be a mapping of keys to values, but holds nothing"),
            ("- a\n- b", "but holds a list"),
            ("task: {kind: adding", "is not YAML at line"),
            ("task: {kind: adding}\nmodel: {cell: nn}", "cell 'nn' is unknown; did you mean 'rnn'?"),
        ],
    )
    def test_a_wrong_file_is_named(self, text: str, words: str, tmp_path: Path) -> None:
        with pytest.raises(SpecError) as caught:
            self.read(text, tmp_path)
        assert words in str(caught.value)
        assert "spec.yaml" in str(caught.value)

    def test_no_file_and_no_text(self, tmp_path: Path) -> None:
        with pytest.raises(SpecError, match=r"missing\.yaml is not a file"):
            TrialSpec.from_file(tmp_path / "missing.yaml")
        (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x81")
        with pytest.raises(SpecError, match="is not a text file"):
            TrialSpec.from_file(tmp_path / "binary.yaml")


class TestHash:
    def test_seeds_blocks_and_replicates_do_not_count(self) -> None:
        spec = trial()
        assert len(spec.config_hash) == 12
        for change in ({"seed": 1}, {"block": 4}, {"replicates": 9}):
            assert trial(**change).config_hash == spec.config_hash

    @pytest.mark.parametrize(
        "change",
        [
            {"model": {"hidden": 65}}, {"model": {"cell": "gru"}}, {"optim": {"lr": 2e-3}},
            {"optim": {"clip": {"norm": 2}}}, {"task": {"kind": "adding", "length": 99}},
            {"budget": {"updates": 3}}, {"probe": {"batch": 3}}, {"model": {"activation": "relu"}},
            {"task": {"kind": "adding", "loss": {"at": "every"}}},
        ],
        ids=str,
    )  # fmt: skip
    def test_everything_else_does(self, change: dict[str, Any]) -> None:
        assert trial(**change).config_hash != trial().config_hash

    def test_order_and_ways_of_writing_do_not_count(self) -> None:
        def backwards(data: Any) -> Any:
            return {k: backwards(data[k]) for k in reversed(data)} if isinstance(data, dict) else data

        assert TrialSpec.model_validate(backwards(FULL)).config_hash == TrialSpec.model_validate(FULL).config_hash
        assert content_hash({"a": 1, "b": [2]}) == content_hash({"b": [2], "a": 1}) != content_hash({"a": 1})
        long = trial(model={"init": {"orthogonal": {"gain": 1.0}}, "activation": "tanh", "cell": "rnn"})
        assert long.config_hash == trial(model={"init": "orthogonal"}).config_hash

    def test_a_hash_is_the_same_in_every_process(self) -> None:
        # stored sweeps are found by it: a change of this constant is a change of every stored hash
        assert content_hash({"a": [1, 2.5, None, "x"]}) == "4f1de8dc786b"
