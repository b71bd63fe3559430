from __future__ import annotations

import math

import pytest
import torch

from rnnlab.spec import TaskSpec
from rnnlab.tasks.temporal_order import TemporalOrder
from rnnlab.training.seeding import generator_for


@pytest.mark.parametrize("length", [10, 15, 37, 100])
def test_two_symbols_lie_in_their_tenths_and_tell_the_class(length: int) -> None:
    task = TemporalOrder(TaskSpec.model_validate({"kind": "temporal_order", "length": length}))
    batch = task.draw(generator_for(1), 500)
    symbols_NT = batch.x_TNI.argmax(-1).T
    assert ((symbols_NT < 2).sum(1) == 2).all()
    places_N2 = (symbols_NT < 2).nonzero()[:, 1].view(-1, 2)
    # floor of both bounds, as the source code of Pascanu 2013 has it
    assert set(places_N2[:, 0].tolist()) == set(range(length // 10, length * 2 // 10))
    assert set(places_N2[:, 1].tolist()) == set(range(length * 5 // 10, length * 6 // 10))
    first_N, second_N = symbols_NT.gather(1, places_N2).unbind(1)
    assert torch.equal(batch.y_TN[-1], 2 * first_N + second_N)
    assert task.lag == length - 1 - int(places_N2[:, 0].min())


def test_the_baseline_is_ln_4() -> None:
    task = TemporalOrder(TaskSpec.model_validate({"kind": "temporal_order"}))
    assert task.baseline("test") == pytest.approx(math.log(4), rel=1e-12)
    assert set(task.test.y_TN[-1].tolist()) == {0, 1, 2, 3}
