"""The sets that aeon carries: without the package what to install, with it (marker `datasets`) every series again."""

from __future__ import annotations

import importlib.util
from collections import Counter
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss

from rnnlab.errors import DataError
from rnnlab.spec import TaskSpec, TrialSpec
from rnnlab.tasks import TASKS
from rnnlab.tasks.aeon_sets import Aeon
from rnnlab.training.loop import Trainer

NAMES = get_args(TASKS["aeon"].options["name"][0])
# train, test, channels, longest, classes: SCIENCE.md section 8, read from the wheel
KNOWN = {
    "ItalyPowerDemand": (67, 1029, 1, 24, 2), "JapaneseVowels": (270, 370, 12, 29, 9),
    "JapaneseVowels_eq": (270, 370, 12, 25, 9), "BasicMotions": (40, 40, 6, 100, 4), "GunPoint": (50, 150, 1, 150, 2),
    "ArrowHead": (36, 175, 1, 251, 3), "PickupGestureWiimoteZ": (50, 50, 1, 361, 10),
    "PickupGestureWiimoteZ_eq": (50, 50, 1, 361, 10), "OSULeaf": (200, 242, 1, 427, 6),
    "ACSF1": (100, 100, 1, 1460, 10), "Covid3Month_disc": (140, 61, 1, 84, 3), "UnitTest": (20, 22, 1, 24, 2),
}  # fmt: skip
UNEQUAL = {"JapaneseVowels": (7, 29), "PickupGestureWiimoteZ": (29, 361)}

installed = importlib.util.find_spec("aeon") is not None


def made(name: str) -> Aeon:
    pytest.importorskip("aeon", reason="the extra `datasets` is not installed")
    return Aeon(TaskSpec.model_validate({"kind": "aeon", "name": name}))


@pytest.mark.skipif(installed, reason="aeon is installed here")
def test_without_aeon_it_is_said_what_to_install() -> None:
    with pytest.raises(
        DataError, match=r"requires the package aeon.*constraints-datasets.txt --editable '\.\[datasets\]'"
    ):
        Aeon(TaskSpec.model_validate({"kind": "aeon"}))


def test_every_set_is_known() -> None:
    assert set(NAMES) == set(KNOWN)


def test_its_pins_are_those_of_all_but_for_what_aeon_holds_back() -> None:
    root = Path(__file__).parents[3]
    usual, own = (
        dict(line.split("==") for line in (root / name).read_text().splitlines() if "==" in line)
        for name in ("constraints.txt", "constraints-datasets.txt")
    )
    assert not usual.keys() - own.keys()
    assert {name for name in usual if usual[name] != own[name]} == {"numpy", "numpy-typing-compat", "pandas"}


@pytest.mark.datasets
class TestWithAeon:
    @pytest.mark.parametrize("name", NAMES)
    def test_the_parts_and_their_sizes(self, name: str) -> None:
        task = made(name)
        train, test, channels, longest, classes = KNOWN[name]
        counts = [part.x_TNI.shape[1] for part in (task.training, task.validation, task.test)]
        assert counts[0] + counts[1] == train
        assert counts[2] == test
        assert (task.inputs, task.length, task.outputs) == (channels, longest, classes)
        assert task.lag == longest - 1
        whole = Counter(task.training.y_TN[-1].tolist()) + Counter(task.validation.y_TN[-1].tolist())
        held = Counter(task.validation.y_TN[-1].tolist())
        assert all(held[number] == max(1, round(count / 4)) for number, count in whole.items())

    @pytest.mark.parametrize("name", ["BasicMotions", "JapaneseVowels", "PickupGestureWiimoteZ"])
    def test_every_test_series_again(self, name: str) -> None:
        """A slow twin: each series, standardised with the training series' own steps, ends at the last step."""
        task = made(name)
        import aeon.datasets

        file = Path(aeon.datasets.__file__).parent / "data" / name / f"{name}_TEST.ts"
        series, classes = aeon.datasets.load_from_ts_file(str(file))
        mean, deviation = task._scale
        lengths = set()
        for number, x_IT in enumerate(series):
            lengths.add(x_IT.shape[1])
            begin = task.length - x_IT.shape[1]
            seen = task.test.x_TNI[:, number].numpy()
            np.testing.assert_allclose(seen[begin:], ((x_IT - mean) / deviation).T, rtol=1e-4, atol=1e-5)
            assert not seen[:begin].any()
            assert task.classes[int(task.test.y_TN[-1, number])] == classes[number]
        if name in UNEQUAL:
            assert min(lengths) >= UNEQUAL[name][0]
            assert len(lengths) > 5

    def test_training_steps_alone_are_standardised(self) -> None:
        task = made("BasicMotions")
        x_TNI = task.training.x_TNI.double()
        torch.testing.assert_close(x_TNI.mean((0, 1)), torch.zeros(6).double(), atol=1e-5, rtol=0)
        torch.testing.assert_close(x_TNI.std((0, 1), correction=0), torch.ones(6).double(), atol=1e-5, rtol=0)
        assert (task.test.x_TNI.mean((0, 1)).abs() > 1e-3).any()

    @pytest.mark.parametrize("name", ["ItalyPowerDemand", "OSULeaf"])
    def test_the_baseline_is_the_log_loss_of_the_training_frequencies(self, name: str) -> None:
        task = made(name)
        count = np.bincount(task.training.y_TN[-1].numpy())
        for split in ("validation", "test"):
            y = getattr(task, split).y_TN[-1].numpy()
            guess = np.tile(count / count.sum(), (len(y), 1))
            expected = log_loss(y, guess, labels=range(len(count)))
            assert task.baseline(split) == pytest.approx(expected, rel=1e-9)  # type: ignore[arg-type]

    def test_a_network_trains_on_unequal_lengths(self) -> None:
        made("JapaneseVowels")
        spec: dict[str, Any] = {
            "task": {"kind": "aeon", "name": "JapaneseVowels"},
            "model": {"cell": "gru", "hidden": 16},
            "optim": {"lr": 1e-2},
            "replicates": 2,
            "budget": {"updates": 150, "evaluations": 1},
        }
        trainer = Trainer(TrialSpec.model_validate(spec))
        while not trainer.result.done:
            trainer.advance()
        assert all((replicate.accuracy or 0) > 0.6 for replicate in trainer.result.replicates)  # chance: 1/9
