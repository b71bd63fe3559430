"""What a sweep is in MLflow, read back from a real store."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from mlflow.entities import Metric, Param, RunTag

from rnnlab.cells import CELLS
from rnnlab.choices import choose
from rnnlab.curve import LARGEST, Curve
from rnnlab.probes import PROBES
from rnnlab.spec import ModelSpec, OptimSpec, TrialSpec
from rnnlab.training import OPTIMISERS
from rnnlab.training.seeding import replicate_seed
from rnnlab.verdict import FLOOR
from sweeps.recording import names
from sweeps.recording.arrays import load_curves, log10_of
from sweeps.recording.messages import Message, UpdateCurves
from sweeps.recording.mlflow_writer import MlflowWriter
from sweeps.recording.points import Points

Told = tuple[list[Message], list[TrialSpec]]
MOST_KEYS = 40
CELL_NAMES = ["rnn", "lstm", "gru", "slstm", "lru"]
"""Torch's, and those with the most states."""


@pytest.fixture(scope="module")
def some_cells(told: Callable[..., Any]) -> Told:
    """Some cells at depth 2, trained for five updates."""
    points = [{"cell": cell} for cell in CELL_NAMES]
    trained: Told = told(points, model={"hidden": 4, "depth": 2}, optim={"clip": {"norm": 1.0}, "lr": 0.01})
    return trained


def write(writer: MlflowWriter, messages: list[Message]) -> None:
    for message in messages:
        writer.write(message)


# --- one experiment, one parent, a child a trial


def test_a_sweep_is_one_experiment_with_a_parent_and_a_child_a_trial(store: Any, some_cells: Told) -> None:
    messages, trials = some_cells
    writer = store.writer()
    write(writer, messages)
    writer.close("FINISHED")
    experiment = store.client.get_experiment_by_name("first-2")
    assert experiment.tags["sweep_id"] == "first-2"
    assert experiment.tags["mlflow.note.content"] == "what it asks"
    assert [found.name for found in store.client.search_experiments()] == ["first-2", "Default"]
    runs = store.runs()
    assert set(runs) == {"all", *(str(number) for number in range(len(CELL_NAMES)))}
    parent = runs.pop("all")
    assert "mlflow.parentRunId" not in parent.data.tags
    assert {run.data.tags["mlflow.parentRunId"] for run in runs.values()} == {parent.info.run_id}
    assert {run.info.status for run in [parent, *runs.values()]} == {"FINISHED"}
    assert store.artifact(parent, "sweep.yaml").read_text() == "name: first\n"
    for number, name in enumerate(["rnn tanh", "lstm", "gru"]):
        readable = runs[str(number)].info.run_name
        assert readable.startswith(f"{number:03} {name}")
        assert readable.endswith("depth 2")
    for number, trial in enumerate(trials):
        tags = runs[str(number)].data.tags
        assert tags["sweep_id"] == "first-2"
        assert tags["config_hash"] == trial.config_hash
        assert tags["block"] == str(number)
        assert tags["seeds"] == ",".join(str(replicate_seed(0, number, replicate)) for replicate in range(2))
        assert tags["outcome"] == "finished"
        assert tags["verdict"] in ("healthy", "vanishing", "exploding", "transient")
        assert tags["verdict_init"] in ("healthy", "vanishing", "exploding", "transient")
        assert tags["exploded"] == "0"


def test_every_param_of_a_configuration_can_be_filtered_by(store: Any, told: Callable[..., Any]) -> None:
    messages, trials = told(
        [{"optimiser": name} for name in OPTIMISERS], model={"hidden": 4}, optim={"batch": 8}, budget={"updates": 1}
    )
    writer = store.writer()
    write(writer, messages)
    seen: set[str] = set()
    for number, trial in enumerate(trials):
        params = store.runs()[str(number)].data.params
        seen |= set(params)
        assert params["optimiser"] == trial.optim.kind
        assert {name: params[name] for name in trial.optim.options} == {
            name: str(value) for name, value in trial.optim.options.items()
        }
        assert (params["cell"], params["activation"], params["init"]) == ("rnn", "tanh", "default")
        assert (params["hidden"], params["depth"], params["lr"], params["batch"]) == ("4", "1", "0.001", "8")
        assert (params["task"], params["task.length"], params["replicates"]) == ("adding", "20", "2")
    # what is off is no param: runs look as they did before there was such a thing
    quiet = {*ModelSpec.quiet, *OptimSpec.quiet}
    assert seen >= set(names.PARAMS) - quiet
    assert not seen & quiet


def test_an_lstm_has_no_activation(store: Any, some_cells: Told) -> None:
    write(store.writer(), some_cells[0])
    assert ["activation" in store.runs()[str(number)].data.params for number in range(3)] == [True, False, False]


# --- metrics


def test_scalars_go_by_update_the_median_over_the_replicates_alive(store: Any, made_up: Callable[..., Any]) -> None:
    writer, trial = store.writer(), made_up()
    write(writer, [trial.begun])
    write(
        writer,
        [
            trial.scalars(5, validation_loss=[2.0, 4.0], score=[-1.0, -2.0], clip_rate=[0.5, 0.7]),
            trial.scalars(6, gradient_norm=[10.0, 190.0], clip_rate=[0.5, 0.7]),
            trial.scalars(10, train_loss=[7.0, math.nan], score=[-1.0, math.nan], gradient_norm=[0.0, math.nan]),
            trial.scalars(15, train_loss=[math.nan, math.nan], gradient_norm=[math.inf, 1e3]),
        ],
    )
    run = store.runs()["0"]
    start = trial.begun.started_ms
    assert store.history(run) == {
        "train_loss": [(5, start + 5, 2.0), (6, start + 6, 2.0), (10, start + 10, 7.0)],
        "validation_loss": [(5, start + 5, 3.0)],
        "score": [(5, start + 5, -1.5), (10, start + 10, -1.0)],
        "clip_rate": [(5, start + 5, 0.6)],  # at evaluations alone
        "gradient_norm_log10": [(6, start + 6, 2.0), (10, start + 10, -30.0), (15, start + 15, 3.0)],
        "gradient_norm_max_log10": [(6, start + 6, math.log10(190)), (10, start + 10, -30.0), (15, start + 15, 3.0)],
        "replicates_alive": [(5, start + 5, 2.0), (10, start + 10, 1.0), (15, start + 15, 0.0)],
    }


def test_curves_go_by_timestep_at_three_updates_and_of_the_top_layer_alone(
    store: Any, made_up: Callable[..., Any]
) -> None:
    writer, trial = store.writer(), made_up()
    write(writer, trial.all())
    run = store.runs()["0"]
    history = {key: points for key, points in store.history(run).items() if "/" in key}
    assert set(history) == {
        f"{metric}/{when}"
        for metric in ("by_timestep/loss", "by_timestep/log10_total_h", "by_lag/log10_anchor_h")
        for when in ("1_first", "2_middle", "3_last")
    }  # fmt: skip
    median = (np.array([1e-4, 1e-3, 1e-2, 1e-1]) + np.array([1e-2, 1e-1, 1.0, 10.0])) / 2
    for key, points in history.items():
        update = {"1_first": 0, "2_middle": 5, "3_last": 10}[key.rpartition("/")[2]]
        assert [step for step, _, _ in points] == [0, 1, 2, 3]
        assert {timestamp for _, timestamp, _ in points} == {trial.begun.started_ms + update}
        wanted = median if "loss" in key else np.log10(median) + (1 if "total" in key or "anchor" in key else 0)
        np.testing.assert_allclose([value for _, _, value in points], wanted)


@pytest.mark.parametrize("number", range(len(CELL_NAMES)), ids=CELL_NAMES)
def test_a_real_run_has_few_keys_and_every_point_is_finite(store: Any, some_cells: Told, number: int) -> None:
    messages, trials = some_cells
    write(store.writer(), [message for message in messages if message.trial == number])
    run = store.runs()[str(number)]
    history = store.history(run)
    assert len(history) <= MOST_KEYS
    assert set(names.BY_UPDATE.values()) - {"validation_accuracy", "regulariser"} <= set(history)
    finals = set(names.FINALS) - {"test_accuracy"}
    assert finals <= set(history)
    assert all(len(history[name]) == 1 for name in finals)
    state = choose(CELLS, trials[number].model.cell.kind).load().anchor_state
    charted = (f"by_lag/log10_anchor_{state}", "by_timestep/log10_total_h", "by_timestep/anytime_loss")
    assert {key for key in history if "/" in key} == {f"{metric}/{when}" for metric in charted for when in names.WHEN}
    for metric in charted:
        for when in names.WHEN:
            assert [step for step, _, _ in history[f"{metric}/{when}"]] == list(range(20))
    assert all(math.isfinite(value) and abs(value) < 1e30 for points in history.values() for _, _, value in points)
    assert {name for name in history if "_l0" in name or "_l1" in name} == set()


def test_an_lstm_with_classes_has_all_keys_and_still_few(store: Any, told: Callable[..., Any]) -> None:
    task = {"kind": "temporal_order", "length": 10}
    messages, _ = told([{"cell": "lstm"}], task=task, budget={"updates": 2, "evaluations": 1})
    write(store.writer(), messages)
    keys = set(store.runs()["0"].data.metrics)
    assert {*names.BY_UPDATE.values(), *names.FINALS, names.ALIVE} - {"regulariser"} <= keys
    assert len(keys) <= MOST_KEYS


@pytest.mark.parametrize("cell", ["rnn", "lstm"])
def test_every_probe_is_in_the_archive_and_only_the_charted_kinds_are_metrics(
    store: Any, told: Callable[..., Any], cell: str
) -> None:
    task = {"kind": "temporal_order", "length": 10}  # its accuracy is one more metric
    messages, _ = told(
        [{"cell": cell}],
        task=task,
        model={"hidden": 4, "depth": 2},
        budget={"updates": 2, "evaluations": 1},
        probe={"batch": 4, "measure": list(PROBES)},
    )
    write(store.writer(), messages)
    run = store.runs()["0"]
    kinds = {curve.kind for message in messages if isinstance(message, UpdateCurves) for curve in message.curves}
    assert kinds >= {"jacobian", "lyapunov", "weight", "reach", "saturation", "early_share"}
    assert len(kinds) >= len(PROBES)  # none is forgotten here
    archive = load_curves(store.artifact(run, "curves.npz"))
    curves = {
        curve.name: curve for message in messages if isinstance(message, UpdateCurves) for curve in message.curves
    }
    assert set(archive) == {"updates", *curves}
    assert all(archive[name].shape == (3, *curve.values_SK.shape) for name, curve in curves.items())
    metrics = {key.split("/")[1].removeprefix("log10_") for key in run.data.metrics if "/" in key}
    assert metrics == {"anytime_loss", "total_h", "anchor_c" if cell == "lstm" else "anchor_h"}
    assert len(run.data.metrics) <= MOST_KEYS


def test_norms_below_what_a_float_holds_are_in_the_archive_and_no_metric_of_their_own(
    store: Any, made_up: Callable[..., Any]
) -> None:
    writer, trial = store.writer(), made_up(depth=1)
    exact = np.array([[0.0, -100, -450, -np.inf], [0.0, -100, -450, -500]])
    sunk = Curve("anchor", "lag", 10**exact, "h", 0, 0, exact)
    write(writer, [trial.begun, UpdateCurves(0, 0, (sunk,)), trial.over()])
    run = store.runs()["0"]
    archive = load_curves(store.artifact(run, "curves.npz"))
    np.testing.assert_array_equal(log10_of(archive, "anchor_h_l0"), [exact])
    assert {key for key in run.data.metrics if "/" in key} == {f"by_lag/log10_anchor_h/{when}" for when in names.WHEN}


@pytest.mark.parametrize("bad", [0.0, math.nan, math.inf, LARGEST])
def test_what_is_not_a_number_never_gets_there(store: Any, made_up: Callable[..., Any], bad: float) -> None:
    writer, trial = store.writer(), made_up(depth=1)
    float32 = min(bad, 1e38)  # what training computes with
    write(
        writer,
        [
            trial.begun,
            trial.curves(0, [[bad, bad, 1.0, 1.0], [bad, 1.0, bad, 1.0]]),
            trial.curves(5, [[bad] * 4] * 2),
            trial.curves(10, [[1.0] * 4] * 2),
            trial.scalars(10, train_loss=[float32, float32], gradient_norm=[float32, float32], score=[float32, 1.0]),
            trial.over(),
        ],
    )
    history = store.history(store.runs()["0"])
    assert "by_lag/log10_anchor_h/3_last" in history
    for key, points in history.items():
        for _, _, value in points:
            assert math.isfinite(value)
            # a curve in a chart whose axis goes to 1e308 is a flat line
            assert abs(value) <= abs(FLOOR) or key in ("train_loss", "score")


def test_long_curves_are_thinned_and_whole_in_the_archive(store: Any, made_up: Callable[..., Any]) -> None:
    writer, trial = store.writer(), made_up(depth=1)
    values = np.arange(1.0, 2002) * np.ones((2, 1))
    curves = (Curve("anchor", "lag", values, "h", 0), Curve("total", "timestep", values, "h", 0))
    write(writer, [trial.begun, UpdateCurves(0, 0, curves), trial.over()])
    run = store.runs()["0"]
    history = store.history(run)
    for when in names.WHEN:  # 1,020 points of one message: two calls
        for metric, most in (("by_timestep/log10_total_h", 320), ("by_lag/log10_anchor_h", 20)):
            points = history[f"{metric}/{when}"]
            assert (len(points), points[0][0], points[-1][0]) == (most, 0, 2000)
            np.testing.assert_allclose([value for *_, value in points], np.log10([step + 1 for step, *_ in points]))
    assert run.data.tags["verdict"] == "vanishing"
    assert writer.points == 3 * 340 + 1
    assert load_curves(store.artifact(run, "curves.npz"))["total_h_l0"].shape == (1, 2, 2001)


@pytest.mark.parametrize("length", [1, 2, 20, 21, 22, 64, 100, 320, 321, 784, 5000])
def test_charted_steps_are_few_and_hold_both_ends(length: int) -> None:
    for curve, most in (("anchor_h", names.MOST_LAGS), ("total_h", names.MOST_TIMESTEPS)):
        steps = names.steps(curve, length)
        assert steps == sorted(set(steps))
        assert len(steps) == min(length, most)
        assert (steps[0], steps[-1]) == (0, length - 1)
    gaps = np.diff(names.steps("anchor_h", length))
    assert (np.diff(gaps) >= -1).all()  # further and further apart, to rounding


def test_points_written_straight_into_a_store_are_those_of_log_batch(store: Any) -> None:
    """What MLflow's own client would have made of them, in the histories and in the run."""
    writer = store.writer()
    points = [Metric(key, value / 3, 7, value) for key in ("a", "b/c") for value in (2, 5, 1, 9, 4)]
    points += [Metric("a", 8.0, 6, 9), Metric("a", 0.5, 7, 9), *points[:2]]  # the same step twice; the same point twice
    by_client, straight = (writer.client.create_run(writer.experiment_id).info.run_id for _ in range(2))
    writer.client.log_batch(by_client, points)
    for part in (points[:6], points[4:], points):  # sent again, and cut elsewhere
        Points(writer.client, store.uri).log(straight, part, [Param("cell", "rnn")], [RunTag("tag", "x")])
    first, second = (writer.client.get_run(run_id) for run_id in (by_client, straight))
    assert store.history(first) == store.history(second)
    assert first.data.metrics == second.data.metrics == {"a": 3.0, "b/c": 3.0}
    assert (second.data.params, second.data.tags["tag"]) == ({"cell": "rnn"}, "x")


def test_a_trials_points_go_in_one_call(store: Any, made_up: Callable[..., Any]) -> None:
    """All of a trial at once is what single messages would have written."""
    writer = store.writer()
    write(writer, made_up().all())
    writer.write(*made_up(trial=1).all())
    runs = store.runs()
    assert store.history(runs["0"]) == store.history(runs["1"])
    assert runs["0"].data.params == runs["1"].data.params
    assert runs["0"].data.tags["verdict"] == runs["1"].data.tags["verdict"]
    assert runs["1"].info.status == "FINISHED"


# --- artifacts


def test_a_run_keeps_all_curves_its_result_and_its_spec(store: Any, some_cells: Told) -> None:
    messages, trials = some_cells
    write(store.writer(), messages)
    run = store.runs()["1"]
    assert {file.path for file in store.client.list_artifacts(run.info.run_id)} == {
        "curves.npz", "result.json", "trial.yaml",
    }  # fmt: skip
    arrays = load_curves(store.artifact(run, "curves.npz"))
    assert arrays["updates"].tolist() == [0, 1, 2, 5]
    for layer in (0, 1):
        for state in ("h", "c"):
            assert arrays[f"anchor_{state}_l{layer}"].shape == (4, 2, 20)
    told_curves = [m for m in messages if isinstance(m, UpdateCurves) and m.trial == 1 and m.update == 5]
    for curve in told_curves[0].curves:
        np.testing.assert_array_equal(arrays[curve.name][3], curve.values_SK)
    result = json.loads(store.artifact(run, "result.json").read_text())
    assert len(result["replicates"]) == 2
    assert result["score"] == run.data.metrics["final_score"]
    assert TrialSpec.from_file(store.artifact(run, "trial.yaml")) == trials[1]


# --- sent again, begun again


def points_of(store: Any) -> dict[str, Any]:
    return {
        trial: {key: len(store.client.get_metric_history(run.info.run_id, key)) for key in run.data.metrics}
        for trial, run in store.runs().items()
    }


def test_what_is_sent_twice_is_there_once(store: Any, made_up: Callable[..., Any]) -> None:
    writer, trial = store.writer(), made_up()
    once = made_up(trial=1).all()
    write(writer, once)
    twice = [message for message in trial.all() for _ in range(2)]
    write(writer, twice)
    runs = points_of(store)
    assert runs["0"] == runs["1"]
    assert runs["0"]["train_loss"] == 3
    assert runs["0"]["by_lag/log10_anchor_h/3_last"] == 4


def test_a_trial_that_is_begun_again_keeps_the_curves_it_has(store: Any, made_up: Callable[..., Any]) -> None:
    writer, trial = store.writer(), made_up()
    write(writer, [trial.begun, trial.curves(0), trial.begun, trial.curves(5), trial.over()])
    arrays = load_curves(store.artifact(store.runs()["0"], "curves.npz"))
    assert arrays["updates"].tolist() == [0, 5]


def test_a_trial_that_goes_on_after_it_was_cut_short_says_so(store: Any, made_up: Callable[..., Any]) -> None:
    trial = made_up(begun_tags={"config_hash": "abc", "outcome": "running"})
    begun, over = trial.begun, trial.over("KILLED")
    cut = replace(over, tags={**over.tags, "outcome": "interrupted", "cause": "its driver died"})
    store.writer().write(begun)
    store.writer().write(cut)
    assert store.runs()["0"].data.tags["cause"] == "its driver died"
    store.writer().write(begun)
    again = store.runs()["0"]
    assert (again.info.status, again.data.tags["outcome"]) == ("RUNNING", "running")
    assert "cause" not in again.data.tags


def test_a_second_writer_finds_what_the_first_made(store: Any, made_up: Callable[..., Any]) -> None:
    trial = made_up()
    first = store.writer()
    write(first, trial.all()[:-1])
    second = store.writer()
    assert (second.experiment_id, second.parent_id) == (first.experiment_id, first.parent_id)
    write(second, trial.all())
    assert second.run_ids == first.run_ids
    assert set(store.runs()) == {"all", "0"}
    assert points_of(store)["0"]["train_loss"] == 3
    assert store.runs()["0"].info.status == "FINISHED"


def test_a_second_writer_names_runs_that_ended_before_it(store: Any, made_up: Callable[..., Any]) -> None:
    """The driver may have died before it heard of them."""
    for number in (0, 3):
        write(store.writer(), made_up(number).all())
    ids = {int(trial): run.info.run_id for trial, run in store.runs().items() if trial != "all"}
    assert set(ids) == {0, 3}
    # as a server makes one late: the run with params is the trial's
    late = store.client.create_run(
        store.client.get_experiment_by_name("first-2").experiment_id, tags={"sweep_id": "first-2", "trial": "3"}
    )
    assert store.writer().run_ids == ids
    store.client.delete_run(late.info.run_id)
    assert store.writer(sweep_id="another").run_ids == {}


def test_two_sweeps_on_one_store_stay_apart(store: Any, made_up: Callable[..., Any]) -> None:
    for sweep_id in ("first-2", "other"):
        write(store.writer(sweep_id=sweep_id), made_up().all())
    runs = [store.runs(sweep_id)["0"] for sweep_id in ("first-2", "other")]
    assert runs[0].info.experiment_id != runs[1].info.experiment_id
    assert runs[0].data.tags["mlflow.parentRunId"] != runs[1].data.tags["mlflow.parentRunId"]


def test_what_comes_after_the_end_is_dropped(store: Any, made_up: Callable[..., Any]) -> None:
    writer, trial = store.writer(), made_up()
    write(writer, trial.all("KILLED"))
    before = points_of(store)
    for late in (trial.scalars(15), trial.curves(15), trial.over(), made_up(trial=9).scalars(1)):
        assert writer.write(late) is None
    assert points_of(store) == before
    assert store.runs()["0"].info.status == "KILLED"


# --- ends


@pytest.mark.parametrize("status", ["FINISHED", "KILLED", "FAILED"])
def test_a_run_ends_as_it_is_told(store: Any, made_up: Callable[..., Any], status: str) -> None:
    writer, trial = store.writer(), made_up()
    write(writer, trial.all(status)[:-1])
    assert store.runs()["0"].info.status == "RUNNING"
    ended = writer.write(trial.over(status))
    assert ended is not None
    run = store.runs()["0"]
    assert (run.info.status, run.info.end_time) == (status, 1_700_000_009_000)
    assert ended.run_id == run.info.run_id
    assert run.info.start_time == trial.begun.started_ms


def test_closing_ends_the_parent_and_kills_what_still_runs(store: Any, made_up: Callable[..., Any]) -> None:
    writer = store.writer()
    write(writer, [*made_up().all(), made_up(trial=1).begun, made_up(trial=1).curves(0)])
    writer.close("KILLED")
    assert {trial: run.info.status for trial, run in store.runs().items()} == {
        "all": "KILLED", "0": "FINISHED", "1": "KILLED",
    }  # fmt: skip


def test_a_trial_that_failed_before_its_first_probe_has_an_ended_run(store: Any, made_up: Callable[..., Any]) -> None:
    writer, trial = store.writer(), made_up()
    write(writer, [trial.begun, trial.over("FAILED")])
    run = store.runs()["0"]
    assert run.info.status == "FAILED"
    assert load_curves(store.artifact(run, "curves.npz"))["updates"].tolist() == []


def test_an_end_that_the_store_refused_half_way_is_written_when_it_comes_again(
    store: Any, made_up: Callable[..., Any]
) -> None:
    writer, trial = store.writer(), made_up()
    write(writer, trial.all()[:-1])
    artifacts = store.folder / "artifacts"
    artifacts.rename(store.folder / "elsewhere")
    artifacts.write_text("a file where the folder was")
    with pytest.raises(OSError):  # noqa: PT011
        writer.write(trial.over())
    artifacts.unlink()
    (store.folder / "elsewhere").rename(artifacts)
    assert writer.write(trial.over()) is not None
    run = store.runs()["0"]
    assert run.info.status == "FINISHED"
    assert points_of(store)["0"]["by_lag/log10_anchor_h/3_last"] == 4
    assert load_curves(store.artifact(run, "curves.npz"))["updates"].tolist() == [0, 5, 10]


def test_files_can_be_added_to_a_run(store: Any) -> None:
    writer = store.writer()
    (store.folder / "table.md").write_text("| a |")
    writer.log_file(store.folder / "table.md")
    assert store.artifact(store.runs()["all"], "table.md").read_text() == "| a |"


def test_names_of_metrics_suit_mlflow() -> None:
    shown = [*names.BY_UPDATE.values(), *names.FINALS, names.ALIVE]
    shown += [names.by_step(curve, when) for curve in ("loss", "total_h", "anchor_c") for when in names.WHEN]
    assert len(set(shown)) == len(shown)
    assert all(re.fullmatch(r"[A-Za-z0-9_/]+", name) for name in shown)
