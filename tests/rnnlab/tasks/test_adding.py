from __future__ import annotations

import pytest
import torch

from rnnlab.spec import TaskSpec
from rnnlab.tasks.adding import Adding
from rnnlab.training.seeding import generator_for


@pytest.mark.parametrize("length", [2, 3, 10, 101])
def test_one_marker_lies_in_each_half_and_the_target_is_their_sum(length: int) -> None:
    batch = Adding(TaskSpec.model_validate({"kind": "adding", "length": length})).draw(generator_for(1), 200)
    u_TN, marker_TN = batch.x_TNI.unbind(-1)
    assert set(marker_TN.unique().tolist()) <= {0.0, 1.0}
    assert (marker_TN[: length // 2].sum(0) == 1).all()
    assert (marker_TN[length // 2 :].sum(0) == 1).all()
    torch.testing.assert_close(batch.y_TN[-1, :, 0], (u_TN * marker_TN).sum(0))


def test_every_place_of_a_half_is_drawn() -> None:
    batch = Adding(TaskSpec.model_validate({"kind": "adding", "length": 10})).draw(generator_for(1), 2000)
    assert (batch.x_TNI[..., 1].sum(1) > 300).all()  # 400 expected, deviation 18


def test_the_baseline_is_the_variance_of_a_sum_of_two_uniform_numbers() -> None:
    task = Adding(TaskSpec.model_validate({"kind": "adding", "length": 10}))
    assert task.baseline("test") == pytest.approx(1 / 6, rel=1e-12)
    # 20,000 squares of deviation about 0.2: four standard errors are 0.006
    measured = (task.draw(generator_for(1), 20_000).y_TN[-1] - 1).square().mean()
    assert float(measured) == pytest.approx(1 / 6, abs=0.006)
    assert task.lag == 9
