"""The adding problems of 1997 and of Pascanu 2013, whose lengths vary."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from rnnlab.errors import SpecError
from rnnlab.spec import TaskSpec
from rnnlab.tasks.adding_hs97 import AddingHS97
from rnnlab.tasks.adding_pascanu import AddingPascanu
from rnnlab.tasks.base import Task, correct_by_timestep
from rnnlab.training.seeding import generator_for
from rnnlab.written import validated

COUNT = 20_000
"""Sequences of a sample: a share of p has a standard error of at most .0036."""


def made(of: type[Any], length: int) -> Any:
    return of(TaskSpec.model_validate({"kind": KINDS[of], "length": length}))


KINDS = {AddingHS97: "adding_hs97", AddingPascanu: "adding_pascanu"}


def sequences(task: Task, count: int, ends: bool) -> list[tuple[list[float], list[float], float]]:
    """Numbers, markers and target of each sequence as Python lists, without what stands before its begin.

    With ends (1997) it begins at the first marker; else at the first number, since a U(0, 1) is not 0.
    """
    batch = task.draw(generator_for(1), count)
    found = []
    for number in range(count):
        u, marker = batch.x_TNI[:, number].T.tolist()
        begin = next(t for t in range(task.length) if (marker if ends else u)[t] != 0)
        assert not any(u[:begin])
        assert not any(marker[:begin])
        found.append((u[begin:], marker[begin:], float(batch.y_TN[-1, number, 0])))
    return found


@pytest.mark.parametrize("length", [20, 31, 100])
def test_a_sequence_of_1997_by_hand(length: int) -> None:
    task = made(AddingHS97, length)
    assert task.length == length + length // 10
    lengths = set()
    for u, marker, target in sequences(task, 300, ends=True):
        lengths.add(len(u))
        marked = [t for t, mark in enumerate(marker) if mark == 1]
        assert len(marked) == 2
        assert min(marked) < 10
        assert max(marked) < max(10, length // 2)
        others = [t for t, mark in enumerate(marker) if mark == -1]
        assert set(others) == {0, len(u) - 1} - set(marked)
        assert all(-1 <= value <= 1 for value in u)
        if 0 in marked:
            assert u[0] == 0
        assert target == pytest.approx(0.5 + sum(u[t] for t in marked) / 4, abs=1e-6)
    assert lengths == set(range(length, length + length // 10 + 1))


@pytest.mark.parametrize("length", [10, 25, 100])
def test_a_sequence_of_pascanu_by_hand(length: int) -> None:
    task = made(AddingPascanu, length)
    lengths = set()
    for u, marker, target in sequences(task, 300, ends=False):
        steps = len(u)
        lengths.add(steps)
        marked = [t for t, mark in enumerate(marker) if mark]
        assert [marker[t] for t in marked] == [1, 1]
        assert 0 <= marked[0] < steps // 10 <= marked[1] < steps // 10 + 4 * steps // 10
        assert target == pytest.approx((u[marked[0]] + u[marked[1]]) / 2, abs=1e-6)
    assert lengths == set(range(length, length + length // 10))
    assert task.length == max(lengths)


@pytest.mark.parametrize("of", KINDS)
def test_the_baseline_is_the_variance_of_the_target(of: type[Any]) -> None:
    task = made(of, 100)
    target_N = task.draw(generator_for(2), COUNT).y_TN[-1, :, 0].double()
    # the mean is 1/2; squares of deviation about .04 apart: four standard errors are .0011
    assert float((target_N - 0.5).square().mean()) == pytest.approx(task.baseline("test"), abs=0.0011)
    assert float(target_N.mean()) == pytest.approx(0.5, abs=0.006)


def test_the_baselines_are_exact() -> None:
    assert made(AddingPascanu, 100).baseline("test") == pytest.approx(1 / 24, rel=1e-12)
    # the first pair is marked by the first mark in 1 of 10, else by the second in 1 of 49
    once = 1 / 10 + 9 / 10 / 49
    expected = (once * (1 / 3) + (1 - once) * (2 / 3)) / 16
    assert made(AddingHS97, 100).baseline("test") == pytest.approx(expected, rel=1e-12)


def test_places_and_lengths_are_as_likely_as_each_other() -> None:
    task = made(AddingHS97, 40)
    batch = task.draw(generator_for(3), COUNT)
    begin = (batch.x_TNI[..., 1] != 0).float().argmax(0)
    own = torch.bincount(task.length - begin)
    assert own[40:].tolist() == pytest.approx([COUNT / 5] * 5, rel=0.06)  # four deviations of 57
    first = (batch.x_TNI[..., 1] == 1).float().argmax(0) - begin
    # either mark may be the first: .1 + .9/19 of sequences have it at the first pair
    assert float((first == 0).float().mean()) == pytest.approx(0.1 + 0.9 / 19, abs=0.011)
    task = made(AddingPascanu, 100)
    marker_TN = task.draw(generator_for(3), COUNT).x_TNI[-task.least :, :, 1]
    assert (marker_TN[20:40].sum(1) > 0).all()


@pytest.mark.parametrize(("of", "below"), [(AddingHS97, 0.04), (AddingPascanu, 0.2)])
def test_a_sequence_is_right_within_the_tolerance_of_the_paper(of: type[Any], below: float) -> None:
    task = made(of, 100)
    y_TNO = torch.zeros(1, 3, 1)
    out_TSNO = torch.tensor([[0.99 * below, 1.01 * below, -0.5 * below], [0.0, torch.nan, -1.01 * below]])[
        None, ..., None
    ]
    right = correct_by_timestep(task.objective, out_TSNO, y_TNO, task.tolerance)
    assert right is not None
    assert right.tolist() == [[[1, 0, 1], [1, 0, 0]]]
    # guessing 1/2 is no solution: the error is a triangle on (-1/2, 1/2), or nearly
    y_TNO = task.test.y_TN[-1:]
    guess = correct_by_timestep(task.objective, torch.full_like(y_TNO, 0.5), y_TNO, task.tolerance)
    assert guess is not None
    assert not task.success.met(task.baseline("test"), task.baseline("test"), float(guess.mean()))
    assert task.success.met(0.0, 1.0, 1.0)


@pytest.mark.parametrize(("kind", "length"), [("adding_hs97", 19), ("adding_pascanu", 9)])
def test_too_short_is_refused(kind: str, length: int) -> None:
    with pytest.raises(SpecError, match="greater than or equal to"):
        validated(TaskSpec, {"kind": kind, "length": length})
