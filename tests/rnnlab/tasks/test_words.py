"""Words, and the tasks over them: memorisation, delayed copy and XOR, parity."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
import torch

from rnnlab.choices import choose
from rnnlab.errors import SpecError
from rnnlab.spec import TaskSpec
from rnnlab.tasks import TASKS
from rnnlab.tasks.words import COUNTED, Words, WordTask
from rnnlab.training.seeding import generator_for
from rnnlab.written import validated


def task_of(kind: str, **options: Any) -> WordTask:
    task = choose(TASKS, kind).load()(TaskSpec.model_validate({"kind": kind, **options}))
    assert isinstance(task, WordTask)
    return task


def columns(symbols_PN: torch.Tensor) -> list[tuple[int, ...]]:
    return [tuple(column) for column in symbols_PN.T.tolist()]


class TestWords:
    @pytest.mark.parametrize(("kinds", "places", "held"), [(2, 5, 4), (2, 10, 128), (5, 4, 78), (2, 30, 1000)])
    def test_parts_share_no_word_and_training_has_all_the_others(self, kinds: int, places: int, held: int) -> None:
        words = Words(kinds, places, "x")
        validation, test = (columns(words.held(split)) for split in ("validation", "test"))
        assert len(set(validation)) == len(validation) == held
        assert len(set(test)) == len(test) == held
        drawn = Counter(columns(words.draw(generator_for(1), 50_000)))
        assert not set(validation) & set(test)
        assert not set(drawn) & {*validation, *test}
        if kinds**places <= 1024:
            assert len(drawn) == kinds**places - 2 * held
            mean = 50_000 / len(drawn)
            assert all(abs(count - mean) < 6 * math.sqrt(mean) for count in drawn.values())

    def test_another_task_holds_out_other_words(self) -> None:
        assert not torch.equal(Words(2, 10, "x").held("test"), Words(2, 10, "y").held("test"))

    def test_of_very_many_words_none_is_listed(self) -> None:
        words = Words(5, 1000, "x")
        assert words.total > COUNTED
        assert words.draw(generator_for(1), 3).shape == (1000, 3)
        held = words.held("validation")
        assert torch.equal(held, Words(5, 1000, "x").held("validation"))
        assert not torch.equal(held, words.held("test"))
        assert held.unique().tolist() == [0, 1, 2, 3, 4]


class TestMemorisation:
    @pytest.mark.parametrize("values", [2, 5])
    @pytest.mark.parametrize("blanks", [1, 2, 30])
    def test_the_symbols_come_back_after_the_trigger(self, values: int, blanks: int) -> None:
        task = task_of("memorisation", values=values, length=blanks)
        batch = task.draw(generator_for(1), 50)
        assert batch.x_TNI.shape == (blanks + 20, 50, values + 2)
        assert (batch.x_TNI.sum(-1) == 1).all()
        for number in range(50):
            read, wanted = batch.x_TNI[:, number].argmax(-1).tolist(), batch.y_TN[:, number].tolist()
            symbols = read[:10]
            assert all(symbol < values for symbol in symbols)
            assert read[10:] == [values] * (blanks - 1) + [values + 1] + [values] * 10
            assert wanted == [values] * (blanks + 10) + symbols
        assert task.lag == blanks + 10
        assert task.accuracy_positions == list(range(blanks + 10, blanks + 20))
        assert task.outputs == values + 1

    @pytest.mark.parametrize("values", [2, 5])
    def test_the_baseline_is_ten_guesses(self, values: int) -> None:
        assert task_of("memorisation", values=values, length=50).baseline("test") == pytest.approx(
            10 * math.log(values) / 70, rel=1e-12
        )

    def test_the_other_values_are_refused(self) -> None:
        with pytest.raises(SpecError, match="it should be 2 or 5"):
            validated(TaskSpec, {"kind": "memorisation", "values": 3})


class TestDelayed:
    @pytest.mark.parametrize(("length", "delay"), [(3, 1), (30, 7), (41, 20)])
    def test_every_target_again_in_python(self, length: int, delay: int) -> None:
        copy, xor = (task_of(kind, length=length, delay=delay) for kind in ("delayed_copy", "delayed_xor"))
        for task in (copy, xor):
            batch = task.draw(generator_for(1), 20)
            assert set(batch.x_TNI.unique().tolist()) == {0.0, 1.0}
            for number in range(20):
                bits, wanted = batch.x_TNI[:, number, 0].tolist(), batch.y_TN[:, number].tolist()
                for t in range(length):
                    if task is copy:
                        assert wanted[t] == (bits[t - delay] if t >= delay else 0)
                    else:
                        assert wanted[t] == (abs(bits[t - delay] - bits[t - 2 * delay]) if t >= 2 * delay else 0)
            assert task.positions == list(range(2 * delay, length))
            assert task.baseline("test") == pytest.approx(math.log(2), rel=1e-12)
        assert (copy.lag, xor.lag) == (delay, 2 * delay)

    def test_neither_bit_alone_tells_the_xor(self) -> None:
        task = task_of("delayed_xor", length=100, delay=20)
        batch = task.draw(generator_for(1), 500)
        y_TN, x_TN = batch.y_TN[40:], batch.x_TNI[..., 0]
        for back in (20, 40):
            same = (y_TN == x_TN[40 - back : 100 - back]).float().mean()
            assert float(same) == pytest.approx(0.5, abs=0.012)  # four standard errors of 30,000 bits
        assert float((y_TN != (x_TN[20:80] != x_TN[:60]).float()).sum()) == 0

    def test_a_delay_without_a_loss_is_refused(self) -> None:
        with pytest.raises(SpecError, match=r"length > 2 delay, but got length 40 and delay 20; use a length of 41"):
            task_of("delayed_copy", length=40, delay=20)

    def test_where_the_loss_sits_is_said_in_few_words(self) -> None:
        assert task_of("delayed_copy", length=100, delay=20).where == "40 to 99"
        assert task_of("parity").where == "last"
        assert task_of("parity", loss={"at": [0, -1, 3]}).where == "0, 3, 19"


class TestParity:
    @pytest.mark.parametrize("length", [5, 12, 60])
    def test_it_is_the_parity_of_the_bits(self, length: int) -> None:
        task = task_of("parity", length=length)
        for batch in (task.draw(generator_for(1), 300), task.validation, task.test):
            for bits, wanted in zip(batch.x_TNI[..., 0].T.tolist(), batch.y_TN.T.tolist(), strict=True):
                assert wanted == [sum(bits) % 2] * length
        assert task.baseline("validation") == pytest.approx(math.log(2), rel=1e-12)
        assert task.lag == length - 1

    def test_half_of_all_words_are_odd(self) -> None:
        share = task_of("parity", length=40).draw(generator_for(1), 20_000).y_TN[-1].mean()
        assert float(share) == pytest.approx(0.5, abs=0.015)
