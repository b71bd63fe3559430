"""Weights on disk: the best replicate's of each trial that ended well, and of a sweep the best trial's alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from rnnlab.spec import TrialSpec
from rnnlab.training.loop import Trainer
from rnnlab.training.outcome import Outcome
from rnnlab.written import validated
from sweeps.recording.weights import best_of, forget_all_but_best, keep, load_weights
from sweeps.running.books import Books
from sweeps.running.progress import NoWatcher
from sweeps.running.trainable import TrialTrainable
from sweeps.spec import SweepSpec
from sweeps.store import Lab, lab_url


@pytest.fixture
def trained() -> Trainer:
    return trained_of(cell="gru")


def trained_of(stop: Callable[[], bool] | None = None, **model: Any) -> Trainer:
    """Three replicates after two updates of adding, T = 12."""
    spec = {
        "task": {"kind": "adding", "length": 12},
        "model": {"hidden": 4, **model},
        "optim": {"batch": 4},
        "replicates": 3,
        "budget": {"updates": 2, "evaluations": 1},
        "probe": {"batch": 4},
    }
    trainer = Trainer(validated(TrialSpec, spec), stop=stop)
    while not trainer.advance().done:
        pass
    return trainer


def scored(trainer: Trainer, *scores: float) -> Trainer:
    """With these validation scores, and test scores that say the opposite."""
    for replicate, score in zip(trainer.result.replicates, scores, strict=True):
        replicate.score, replicate.test_score = score, -score
    return trainer


def test_the_weights_are_those_of_the_best_replicate_by_validation(tmp_path: Path, trained: Trainer) -> None:
    keep(scored(trained, -0.5, -0.7, 1.0), 3, tmp_path)
    weights = load_weights(tmp_path / "trials/0003/weights.npz")
    assert (weights.trial, weights.replicate, weights.replicate_score) == (3, 1, -0.7)
    assert weights.score == pytest.approx(-0.2 / 3)
    assert weights.spec == trained.spec
    assert (weights.inputs, weights.outputs, weights.objective, weights.at) == (2, 1, "mse", "last")
    assert weights.theta_P.dtype == weights.example_BTI.dtype == np.float32
    np.testing.assert_array_equal(weights.theta_P, trained.network.theta.detach()[1])
    x_TNI = trained.task.validation.x_TNI[:, :2]
    np.testing.assert_array_equal(weights.example_BTI, x_TNI.transpose(0, 1))
    wanted_TNO = trained.network(x_TNI.unsqueeze(1))[:, 1]
    torch.testing.assert_close(
        weights.module()(torch.from_numpy(weights.example_BTI)).transpose(0, 1), wanted_TNO, rtol=0, atol=1e-6
    )


def test_equal_replicates_give_the_first(tmp_path: Path, trained: Trainer) -> None:
    keep(scored(trained, 1.0, 0.5, 0.5), 0, tmp_path)
    assert load_weights(tmp_path / "trials/0000/weights.npz").replicate == 1


def test_a_replicate_that_diverged_is_never_the_best(tmp_path: Path, trained: Trainer) -> None:
    scored(trained, -1.0, 0.5, 0.6).result.replicates[0].outcome = Outcome.DIVERGED
    keep(trained, 0, tmp_path)
    assert load_weights(tmp_path / "trials/0000/weights.npz").replicate == 1


def test_a_trial_without_a_finished_replicate_keeps_nothing(tmp_path: Path, trained: Trainer) -> None:
    for replicate in trained.result.replicates:
        replicate.outcome = Outcome.DIVERGED
    assert keep(trained, 0, tmp_path) is None
    assert keep(trained_of(stop=lambda: True), 1, tmp_path) is None  # interrupted
    assert best_of(tmp_path) is None


def test_a_file_that_cannot_be_written_leaves_nothing_half(tmp_path: Path, trained: Trainer) -> None:
    folder = tmp_path / "trials/0000"
    (folder / "weights.npz").mkdir(parents=True)  # what cannot be replaced by a file
    with pytest.raises(OSError):  # noqa: PT011
        keep(trained, 0, tmp_path)
    assert [path.name for path in folder.iterdir()] == ["weights.npz"]


def left(folder: Path) -> list[int]:
    return sorted(int(path.parent.name) for path in folder.glob("trials/*/weights.*"))


def test_only_the_best_trials_weights_stay(tmp_path: Path, trained: Trainer) -> None:
    scores = {0: 0.5, 1: -0.5, 2: 0.0, 3: -0.5, 4: -0.6}
    stay: list[int] = []
    kept: list[Path] = []
    for trial, score in scores.items():
        keep(scored(trained, score, score, score), trial, tmp_path)
        kept = forget_all_but_best(tmp_path, kept, trial, complete=True)
        assert len(left(tmp_path)) == 1  # disk use does not grow
        stay += left(tmp_path)
    assert stay == [0, 1, 1, 1, 4]
    best = best_of(tmp_path)
    assert best is not None
    assert load_weights(best).trial == 4


def test_of_equal_trials_the_first_stays_whenever_it_ended(tmp_path: Path, trained: Trainer) -> None:
    kept: list[Path] = []
    for trial in (10, 9, 11):
        keep(trained, trial, tmp_path)
        kept = forget_all_but_best(tmp_path, kept, trial, complete=True)
    assert left(tmp_path) == [9]


def test_weights_of_a_trial_that_ended_otherwise_go(tmp_path: Path, trained: Trainer) -> None:
    keep(scored(trained, 0.1, 0.1, 0.1), 0, tmp_path)
    kept = forget_all_but_best(tmp_path, [], 0, complete=True)
    keep(scored(trained, -1, -1, -1), 1, tmp_path)  # its worker died after that
    forget_all_but_best(tmp_path, kept, 1, complete=False)
    assert left(tmp_path) == [0]


def test_weights_that_cannot_be_kept_are_an_event_and_the_trial_is_complete(
    tmp_path: Path, trained: Trainer, sweep_of: Callable[..., SweepSpec]
) -> None:
    worker = TrialTrainable.__new__(TrialTrainable)  # without Ray
    (full := tmp_path / "full").write_text("a file where the folder will be")
    worker.trainer, worker._folder = trained, full
    lost = worker._keep_weights(0, 0)
    assert list(lost) == ["weights_lost"]
    spec = sweep_of({"cell": ["gru"]}, replicates=3)
    with Lab.open(lab_url(tmp_path)) as lab:
        sweep_id = lab.create_sweep(spec.name, {}, spec.content_hash).id
        sent: list[Any] = []
        wire = SimpleNamespace(put=SimpleNamespace(remote=sent.append))
        books = Books(sweep_id, spec, lab, wire, NoWatcher(), tmp_path)
        books.begin(0, "t0", {"cell": "gru"}, spec.trial(0, {"cell": "gru"}))
        result = {"score": 0.0, "updates": 2, "trial_result": json.dumps(trained.result.as_dict()), **lost}
        assert books.end(0, result, error=False)[0] is Outcome.FINISHED
        (event,) = lab.events(sweep_id)
        assert event.kind == "weights_lost"
        assert lab.trials(sweep_id)[0].state == "complete"
