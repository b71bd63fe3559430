"""Which early signal predicts success, on sweeps that no model was fitted on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from simulated import Truth, World, simulate, simulated_spec

from rnnlab.errors import SpecError
from sweeps.analysis.data import SweepData
from sweeps.analysis.prediction import CELL, LOSS, REST, REST_LOSS, REST_LOSS_CELL, Judged, Prediction, predict
from sweeps.analysis.prediction_page import answer, caveats, draw, page, prediction_page


def sweep(name: str, seed: int = 0, blocks: int = 12, solved: float = 0.5, **truth: Any) -> SweepData:
    made = simulate(simulated_spec(blocks=blocks), lambda picks: Truth(solved=solved, **truth), World(seed=seed))
    return replace(made, sweep_id=name)


def with_signal(data: SweepData, percents: tuple[int, ...] = (0, 2, 5, 10), **strengths: float) -> SweepData:
    """Means of ±strength, sd 1, of the signals named; noise in all others."""
    draw, sign = np.random.default_rng(9), np.where(data.frame["solved"], 1.0, -1.0)
    frame = data.frame.copy()
    for column in [name for name in frame if name.rpartition("_")[2] in map(str, percents)]:
        if frame[column].notna().any():
            frame[column] = strengths.get(column.rpartition("_")[0], 0.0) * sign + draw.normal(size=len(frame))
    return replace(data, frame=frame)


def at(found: Prediction, model: str, percent: int = 5) -> Judged:
    return next(one for one in found.judged if (one.model, one.percent) == (model, percent))


@pytest.fixture(scope="module")
def nothing() -> Prediction:
    return predict([sweep("one", 1), sweep("two", 2)])


@pytest.fixture(scope="module")
def one_sweep() -> Prediction:
    return predict([with_signal(sweep("one", 1, blocks=16), loss=-1.0)])


def test_without_a_signal_nothing_beats_the_loss_and_the_page_says_so(nothing: Prediction) -> None:
    assert abs(np.mean([one.auc.value for one in nothing.judged]) - 0.5) < 0.08
    told = " ".join(answer(nothing))
    assert told.startswith("**No: in none of 24 comparisons at 2, 5 and 10% of the budget of these 2 sweeps")
    assert "is not shown, that it does not is not shown either" in told
    assert "not shown to be better than chance" in told
    assert "Yes" not in told


def test_a_signal_stronger_than_the_loss_is_found() -> None:
    found = predict([with_signal(sweep(name, seed), decades=1.5, loss=-0.2) for name, seed in (("a", 1), ("b", 2))])
    gain = at(found, "decades").gain
    assert gain is not None
    assert gain.low > 0
    told = answer(found)[0]
    assert told.startswith("**Yes:")
    assert "decades" in told.partition("Worse")[0]
    assert "reads the loss too" not in told
    assert at(found, "horizon").auc.value < 0.65
    # the same at the start, where there is no loss: against chance
    start = at(found, "decades", 0)
    assert start.against == "chance"
    assert start.gain is not None
    assert start.gain.low > 0.2
    assert any(
        line.startswith("Before training, where there is no loss yet, better than chance:") for line in answer(found)
    )


def test_a_loss_that_tells_all_is_not_beaten(one_sweep: Prediction) -> None:
    assert at(one_sweep, LOSS).auc.value > 0.85
    assert at(one_sweep, LOSS).gain is None
    told = answer(one_sweep)[0]
    assert told.startswith("**No:")
    assert "Worse than the early loss:" in told
    assert "condition number at 2, 5 and 10%" in told
    # the same resamples for both: a gain's interval is far narrower than two AUCs' side by side
    gain = at(one_sweep, REST_LOSS).gain
    assert gain is not None
    assert gain.value == pytest.approx(at(one_sweep, REST_LOSS).auc.value - at(one_sweep, LOSS).auc.value)
    beyond = at(one_sweep, REST_LOSS_CELL)
    assert beyond.against == "loss and cell type"


def test_a_signal_that_only_tells_cells_apart_adds_nothing_beyond_the_cell() -> None:
    def truth(picks: dict[str, Any]) -> Truth:
        return Truth(solved=0.9 if picks["cell"] == "lstm" else 0.1)

    datas = []
    for seed in (1, 2):
        made = replace(simulate(simulated_spec(blocks=14), truth, World(seed=seed)), sweep_id=f"s{seed}")
        noise = np.random.default_rng(seed).normal(size=len(made.frame))
        frame = made.frame.assign(condition_5=np.where(made.frame["cell"] == "lstm", -3.0, 3.0) + 0.1 * noise)
        datas.append(replace(made, frame=frame))
    found = predict(datas)
    by_signal, by_cell = at(found, "condition number").gain, at(found, CELL).gain
    assert by_signal is not None
    assert by_cell is not None
    assert min(by_signal.low, by_cell.low) > 0
    beyond = at(found, REST_LOSS_CELL).gain
    assert beyond is not None
    assert beyond.low < 0.02
    assert "So does the cell type alone" in answer(found)[0]


def test_no_model_was_fitted_on_the_sweep_it_is_judged_on() -> None:
    # the relation is reversed in one of two: a model that saw only the other is wrong in both
    found = predict([with_signal(sweep("up", 1), loss=1.0), with_signal(sweep("down", 2), loss=-1.0)])
    assert all(auc < 0.25 for auc in at(found, LOSS).by_sweep.values())
    assert at(found, LOSS).auc.high < 0.5


def test_no_model_was_fitted_on_the_units_it_is_judged_on() -> None:
    # marks that a block's replicates share tell all of a block that was seen and nothing of one that was not
    data = sweep("one", 3, blocks=12)
    chance, blocks = np.random.default_rng(0), data.frame["block"].to_numpy()
    marks = {name: chance.normal(size=12)[blocks] for name in data.frame if name.endswith("_5") and name != "healthy_5"}
    solved = (np.arange(12) % 2 == 0)[blocks]
    found = at(predict([replace(data, frame=data.frame.assign(solved=solved, **marks))]), REST_LOSS)
    assert 0.1 < found.auc.value < 0.75
    # 12 blocks of one outcome each are 12 observations, not 72
    assert found.auc.high - found.auc.low > 0.3


def test_base_rates_of_sweeps_teach_nothing() -> None:
    # between sweeps a high loss goes with success, inside each with failure; AUCs are inside
    datas = []
    for name, seed, share, level in (("easy", 1, 0.8, 5.0), ("hard", 2, 0.2, -5.0), ("mid", 3, 0.5, 0.0)):
        data = with_signal(sweep(name, seed, blocks=16, solved=share), loss=-1.0)
        datas.append(replace(data, frame=data.frame.assign(loss_5=data.frame["loss_5"] + level)))
    found = predict(datas)
    assert all(auc > 0.8 for auc in at(found, LOSS).by_sweep.values())
    assert any(line.startswith("The sweeps differ in how many solve the task (easy") for line in caveats(found))


def test_one_sweep_says_so(one_sweep: Prediction, nothing: Prediction) -> None:
    assert not one_sweep.across
    assert any("One sweep alone" in line for line in caveats(one_sweep))
    assert "left out in 5 groups" in page(one_sweep)
    assert not any("One sweep alone" in line for line in caveats(nothing))
    assert "judged by models fitted on the other sweeps alone" in page(nothing)


def test_what_is_missing_is_no_obstacle_and_what_diverged_is_no_question() -> None:
    data = with_signal(sweep("one", 4, blocks=14), loss=-1.0)
    frame = data.frame
    gone = (np.arange(len(frame)) % 7 == 0) & ~frame["solved"]
    early = [name for name in frame if name.rpartition("_")[2] in ("5", "10")]
    frame = frame.assign(diverged=gone)
    frame.loc[gone, early] = np.nan
    frame["condition_5"] = frame["condition_5"].where(frame["cell"] == "rnn")
    frame["saturation_5"] = np.nan
    found = predict([replace(data, frame=frame)])
    assert found.sweeps[0].gone == {0: 0, 2: 0, 5: gone.sum(), 10: gone.sum()}
    assert not any(one.model == "saturation" and one.percent == 5 for one in found.judged)
    assert {"saturation", "healthy"} <= set(found.unread)
    assert "condition" in at(found, REST).signals
    assert any(line.startswith("Not asked at 5%: replicates that had diverged") for line in caveats(found))


def test_the_page_holds_every_number_and_the_command_that_makes_it(nothing: Prediction) -> None:
    text = page(nothing)
    for part in (
        "# What predicts success early?", "![AUC by percent of the budget](prediction.png)", "| one | digits",
        "### At 0% of the budget", "### At 10% of the budget", "- `loss`: log10(mean training loss",
        "```\nrnnlab sweep predict one two --write docs/prediction.md\n```",
    ):  # fmt: skip
        assert part in text
    for one in nothing.judged:
        assert f"| {one.model} | {one.auc.value:.2f} [{one.auc.low:.2f}, {one.auc.high:.2f}] |" in text
    for line in (*answer(nothing), *caveats(nothing)):
        assert line in text


def test_the_page_straight_from_sweeps_is_the_same_every_time() -> None:
    datas = [sweep("one", 1, blocks=6)]
    assert prediction_page(datas) == page(predict(datas))


def test_the_picture_has_a_line_a_model_and_named_axes(nothing: Prediction) -> None:
    left, right = draw(nothing).axes
    assert left.get_xlabel() == "percent of the budget"
    assert left.get_ylabel().startswith("AUC")
    named = {text.get_text() for axes in (left, right) for text in axes.get_legend().get_texts()}
    assert named == {one.model for one in nothing.judged}
    assert [label.get_text() for label in right.get_xticklabels()] == ["0", "2", "5", "10"]


def test_sweeps_that_cannot_be_judged_are_refused() -> None:
    data = sweep("one", 1)
    with pytest.raises(SpecError, match="different sweeps, but got one, one"):
        predict([data, data])
    with pytest.raises(SpecError, match="different sweeps, but got none"):
        predict([])
    with pytest.raises(SpecError, match="but never has 0 solved of 72 in 12; leave it out"):
        predict([data, sweep("never", 2, solved=0.0)])
    blind = data.frame.assign(
        **{name: np.nan for name in data.frame if name.rpartition("_")[2] in ("0", "2", "5", "10")}
    )
    with pytest.raises(SpecError, match="takes probes at 0, 2, 5 or 10% of the budget"):
        predict([replace(data, frame=blind)])
