from __future__ import annotations

import math

import pytest
import torch

from rnnlab.spec import TaskSpec
from rnnlab.tasks.temporal_order import TemporalOrder
from rnnlab.tasks.temporal_order_3bit import TemporalOrder3Bit
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


@pytest.mark.parametrize("length", [10, 57, 100])
def test_three_symbols_stand_in_their_tenths(length: int) -> None:
    """By hand: the class is 4 s0 + 2 s1 + s2, and everything else a distractor."""
    task = TemporalOrder3Bit(TaskSpec.model_validate({"kind": "temporal_order_3bit", "length": length}))
    batch = task.draw(generator_for(1), 400)
    for read, wanted in zip(batch.x_TNI.argmax(-1).T.tolist(), batch.y_TN.T.tolist(), strict=True):
        places = [t for t, symbol in enumerate(read) if symbol < 2]
        assert len(places) == 3
        for place, tenth in zip(places, (1, 3, 6), strict=True):
            assert int(tenth * length / 10) <= place < int((tenth + 1) * length / 10)
        assert wanted == [4 * read[places[0]] + 2 * read[places[1]] + read[places[2]]] * length
    assert task.baseline("test") == pytest.approx(math.log(8), rel=1e-12)
    assert set(batch.y_TN[-1].tolist()) == set(range(8))
    assert task.lag == length - 1 - length // 10
