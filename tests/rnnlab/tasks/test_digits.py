from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from rnnlab.spec import TaskSpec
from rnnlab.tasks.digits import Digits


def digits(read: str) -> Digits:
    return Digits(TaskSpec.model_validate({"kind": "digits", "read": read}))


def images(task: Digits) -> list[np.ndarray]:
    """Every part's images as rows of 64 grey values with the class behind them."""
    return [
        torch.cat([part.x_TNI.transpose(0, 1).flatten(1) * 16, part.y_TN[-1][:, None]], 1).numpy()
        for part in (task.training, task.validation, task.test)
    ]


@pytest.mark.parametrize("read", ["pixels", "rows"])
def test_the_splits_are_all_1797_digits_once_each(read: str) -> None:
    parts = images(digits(read))
    assert [len(part) for part in parts] == [1197, 300, 300]
    expected = np.column_stack(load_digits(return_X_y=True))
    assert sorted(map(tuple, np.concatenate(parts))) == sorted(map(tuple, expected))


def test_permuted_is_one_order_of_the_same_pixels() -> None:
    plain, permuted = digits("pixels").validation, digits("permuted").validation
    assert torch.equal(plain.y_TN, permuted.y_TN)
    plain_TN, permuted_TN = plain.x_TNI[..., 0], permuted.x_TNI[..., 0]
    assert not torch.equal(plain_TN, permuted_TN)
    pixels, reordered = (sorted(map(tuple, x.tolist())) for x in (plain_TN, permuted_TN))
    assert pixels == reordered


def test_rows_are_eight_steps_of_eight() -> None:
    task = digits("rows")
    assert (task.length, task.inputs, task.lag) == (8, 8, 7)
    pixels_NP = digits("pixels").test.x_TNI[..., 0].T
    assert torch.equal(task.test.x_TNI[3], pixels_NP[:, 24:32])


def test_the_baseline_is_ln_10_and_every_class_is_held_out() -> None:
    task = digits("pixels")
    assert task.baseline("validation") == pytest.approx(math.log(10), rel=1e-12)
    for part in (task.training, task.validation, task.test):
        assert set(part.y_TN[-1].tolist()) == set(range(10))
