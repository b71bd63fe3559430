from __future__ import annotations

import math

import pytest

from rnnlab.errors import SpecError
from rnnlab.spec import TaskSpec
from rnnlab.tasks.latch import Latch
from rnnlab.training.seeding import generator_for


def latch(**options: float) -> Latch:
    return Latch(TaskSpec.model_validate({"kind": "latch", **options}))


def test_the_class_stands_at_the_first_steps_alone() -> None:
    task = latch(length=30, signal=4, noise=0.5)
    batch = task.draw(generator_for(1), 5000)
    x_TN, class_N = batch.x_TNI[..., 0], batch.y_TN[-1]
    assert (x_TN[:4] == 2 * class_N - 1).all()
    assert float(class_N.mean()) == pytest.approx(0.5, abs=0.03)
    noise_TN = x_TN[4:]
    assert float(noise_TN.std()) == pytest.approx(0.5, abs=0.006)  # 130,000 numbers: four standard errors are .004
    assert float(noise_TN.mean()) == pytest.approx(0, abs=0.006)
    # what follows tells nothing of the class
    sign_N = 2 * class_N - 1
    assert float((noise_TN * sign_N).mean()) == pytest.approx(0, abs=0.006)
    assert (batch.y_TN == class_N).all()


def test_lag_and_baseline() -> None:
    task = latch(length=30, signal=4)
    assert task.lag == 26
    assert task.baseline("test") == pytest.approx(math.log(2), rel=1e-12)


def test_noise_must_follow() -> None:
    with pytest.raises(SpecError, match="signal < length, but got signal 9 and length 9"):
        latch(length=9, signal=9)
