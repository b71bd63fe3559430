from __future__ import annotations

import pytest
import torch

from rnnlab.errors import SpecError
from rnnlab.spec import TaskSpec
from rnnlab.tasks.copying import BLANK, DELIMITER, Copying
from rnnlab.training.seeding import generator_for


def copying(blanks: int, **more: object) -> Copying:
    return Copying(TaskSpec.model_validate({"kind": "copying", "length": blanks, **more}))


@pytest.mark.parametrize(
    ("blanks", "baseline"),
    [(20, 0.5199), (50, 0.2971), (100, 0.1733), (200, 0.0945), (300, 0.0650), (500, 0.0400)],
)
def test_the_baseline_is_ten_guesses_of_eight(blanks: int, baseline: float) -> None:
    assert copying(blanks).baseline("test") == pytest.approx(baseline, abs=5e-5)


@pytest.mark.parametrize("blanks", [1, 2, 30])
def test_the_symbols_come_back_after_the_delimiter(blanks: int) -> None:
    task = copying(blanks)
    batch = task.draw(generator_for(1), 50)
    symbols_TN = batch.x_TNI.argmax(-1)
    assert task.length == blanks + 20
    assert (symbols_TN[:10] < 8).all()
    assert (symbols_TN[10 : 10 + blanks - 1] == BLANK).all()
    assert (symbols_TN[9 + blanks] == DELIMITER).all()
    assert (symbols_TN[10 + blanks :] == BLANK).all()
    assert (batch.y_TN[: 10 + blanks] == BLANK).all()
    assert torch.equal(batch.y_TN[10 + blanks :], symbols_TN[:10])
    assert torch.equal(batch.y_TN[task.lag :], symbols_TN[: task.length - task.lag])
    assert task.accuracy_positions == list(range(blanks + 10, blanks + 20))


def test_a_loss_where_only_blanks_are_wanted_has_no_score() -> None:
    with pytest.raises(SpecError, match=r"at 0, 5 a trivial guess is always right .* such as -1"):
        copying(30, loss={"at": [0, 5]}).baseline("validation")
