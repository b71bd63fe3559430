"""How long the end of a sweep waits for its recorder."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator

import pytest

from sweeps.recording.actor import RecorderStatus
from sweeps.running.waiting import wait_for


def status(waiting: int, pictures: int = 0, error: str | None = None) -> RecorderStatus:
    return RecorderStatus("1", "p", waiting, pictures, 0, {}, error)


def looking(at: Iterable[RecorderStatus | None]) -> Callable[[], RecorderStatus | None]:
    found: Iterator[RecorderStatus | None] = iter(at)
    return lambda: next(found)


def waited(at: Iterable[RecorderStatus | None], patience: float = 30.0, stuck: float = 30.0) -> tuple[bool, float]:
    """Whether nothing was left, and the seconds that it took."""
    began = time.monotonic()
    complete = wait_for(looking(at), patience, lambda *_: None, stuck=stuck)
    return complete, time.monotonic() - began


def test_until_nothing_is_left() -> None:
    assert waited([status(2), None, status(1, 1), status(0, 1), status(0)])[0]


@pytest.mark.parametrize("away", [None, status(3, error="no answer")])
def test_one_that_is_away_gets_the_patience_that_was_asked_for(away: RecorderStatus | None) -> None:
    complete, seconds = waited(itertools.repeat(away), patience=0.3)
    assert not complete
    assert 0.3 <= seconds < 3


def test_one_that_answers_and_gets_nowhere_is_not_waited_for_without_end() -> None:
    """Started again and again, it answers now and then, and what it says is left goes up and down."""
    flapping = itertools.cycle([status(13), None, status(13, 6), status(14)])
    complete, seconds = waited(flapping, patience=0.5, stuck=0.5)
    assert not complete
    assert 0.5 <= seconds < 4


def test_progress_starts_patience_anew() -> None:
    slow = [status(left) for left in range(3, -1, -1) for _ in range(2)]  # half a second for each
    complete, seconds = waited(slow, patience=0.1, stuck=1.0)
    assert complete
    assert seconds > 1.0
