"""The queue on disk: order, survival, and nothing half-written."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sweeps.recording.messages import Message, UpdateScalars
from sweeps.recording.spool import Spool


def message(trial: int, update: int = 0) -> UpdateScalars:
    return UpdateScalars(trial, update, {"train_loss": np.array([float(update)])})


def taken(spool: Spool) -> list[tuple[int, int]]:
    """Empties a spool: (trial, update) in order."""
    found = []
    while entries := spool.look(1):
        (one,) = entries[0].messages
        assert isinstance(one, UpdateScalars)
        found.append((one.trial, one.update))
        spool.done(entries)
    return found


def test_first_in_first_out_and_peeking_keeps(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "a" / "spool")
    assert spool.look(5) == []
    for update in range(12):
        spool.put(message(1, update))
    assert len(spool) == 12
    for _ in range(2):
        assert [one.messages[0].update for one in spool.look(3)] == [0, 1, 2]
    assert taken(spool) == [(1, update) for update in range(12)]
    assert len(spool) == 0
    assert list(spool.folder.iterdir()) == []


def test_a_message_comes_back_as_it_was(tmp_path: Path, made_up: Callable[..., Any]) -> None:
    spool = Spool(tmp_path)
    told: list[Message] = made_up().all()
    for one in told:
        spool.put(one)
    for one in told:
        entries = spool.look(1)
        (again,) = entries[0].messages
        assert type(again) is type(one)
        assert repr(again) == repr(one)
        spool.done(entries)


def test_what_is_put_at_once_is_one_file_and_any_of_them_may_be_done_first(
    tmp_path: Path, made_up: Callable[..., Any]
) -> None:
    spool = Spool(tmp_path)
    spool.put(message(0, 1), message(0, 2))
    spool.put(message(1, 1))
    assert len(list(tmp_path.iterdir())) == len(spool) == 2
    first, second = spool.look(9)
    assert [(one.trial, len(one.messages)) for one in (first, second)] == [(0, 2), (1, 1)]
    spool.done([second])
    again = Spool(tmp_path)
    assert [[each.update for each in one.messages] for one in again.look(9)] == [[1, 2]]


def test_what_was_not_dealt_with_survives_the_process(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    for update in range(105):
        spool.put(message(0, update))
    for _ in range(95):
        spool.done(spool.look(1))
    spool.look(1)  # looked at, not done
    again = Spool(tmp_path)
    assert len(again) == 10
    again.put(message(1, 0))
    assert taken(again) == [*((0, update) for update in range(95, 105)), (1, 0)]


def test_a_half_written_file_is_not_taken_up(tmp_path: Path) -> None:
    Spool(tmp_path).put(message(0, 7))
    whole = (tmp_path / "00000001.pkl").read_bytes()
    (tmp_path / "00000002.part").write_bytes(whole[:20])
    spool = Spool(tmp_path)
    assert len(spool) == 1
    spool.put(message(0, 8))
    assert taken(spool) == [(0, 7), (0, 8)]


def test_a_message_is_on_disk_when_put_returns(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    for update in range(3):
        spool.put(message(0, update))
        assert len(Spool(tmp_path)) == update + 1


def test_threads_may_put_at_once_and_each_keeps_its_order(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    threads = [
        threading.Thread(target=lambda trial=trial: [spool.put(message(trial, update)) for update in range(40)])
        for trial in range(6)
    ]
    for thread in threads:
        thread.start()
    found: list[tuple[int, int]] = []
    while any(thread.is_alive() for thread in threads) or len(spool):
        found += taken(spool)
    assert len(found) == 240
    for trial in range(6):
        assert [update for owner, update in found if owner == trial] == list(range(40))


def test_peeking_waits_for_the_next_message_and_no_longer(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    started = time.monotonic()
    spool.wait(0.05)
    assert spool.look(1) == []
    assert time.monotonic() - started >= 0.05
    timer = threading.Timer(0.05, lambda: spool.put(message(3)))
    timer.start()
    spool.wait(20)
    timer.join()
    assert [one.trial for one in spool.look(2)] == [3]
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("spoilt", [0, 1, 40])
def test_a_file_without_its_end_is_set_aside_and_the_others_go_on(
    tmp_path: Path, spoilt: int, caplog: pytest.LogCaptureFixture
) -> None:
    spool = Spool(tmp_path)
    for update in range(3):
        spool.put(message(0, update))
    middle = tmp_path / "00000002.pkl"
    middle.write_bytes(middle.read_bytes()[:spoilt])
    assert taken(spool) == [(0, 0), (0, 2)]
    assert (len(spool), spool.spoilt) == (0, 1)
    assert "00000002.pkl is spoilt" in caplog.text
    assert [path.name for path in tmp_path.iterdir()] == ["00000002.spoilt"]
    assert Spool(tmp_path).spoilt == 1


def test_what_was_refused_is_kept_aside(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    for update in range(3):
        spool.put(message(0, update))
    aside = spool.refuse(spool.look(1)[0])
    assert taken(spool) == [(0, 1), (0, 2)]
    again = Spool(tmp_path)
    assert (len(again), again.refused, spool.refused) == (0, 1, 1)
    again.put(message(0, 9))
    assert again.refuse(again.look(1)[0]) != aside  # a number is not given twice
    assert [one.update for one in Spool(tmp_path).aside() if isinstance(one, UpdateScalars)] == [0, 9]


def test_a_full_spool_is_as_quick_as_an_empty_one(tmp_path: Path) -> None:
    def seconds(spool: Spool) -> float:
        """Of the fastest of ten rounds of putting, looking at and dropping twenty messages."""
        rounds = []
        for _ in range(10):
            began = time.process_time()
            for update in range(20):
                spool.put(message(0, update))
                spool.done(spool.look(1))
            rounds.append(time.process_time() - began)
        return min(rounds)

    empty, full = Spool(tmp_path / "empty"), Spool(tmp_path / "full")
    for update in range(10_000):
        full.put(message(0, update))
    assert seconds(full) < 3 * seconds(empty)  # a listing of the folder each time would make it 100 times
    began = time.process_time()
    assert len(Spool(tmp_path / "full")) == 10_000
    assert time.process_time() - began < 2
