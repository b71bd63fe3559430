"""What a worker does with the trials that it is given, without Ray around it."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from rnnlab.errors import PlaceError
from rnnlab.spec import TrialSpec
from rnnlab.written import validated
from sweeps.home import CHECKPOINT_FILE, ENDED_FILE, ERROR_FILE, trial_folder
from sweeps.recording.messages import UpdateScalars
from sweeps.running.resources import HeldMemory
from sweeps.running.trainable import TrialTrainable, device_of


class Actor:
    """A recorder's handle that keeps what it is sent; it refuses the last scalars of `sick`, beside others, in halves and alone."""

    def __init__(self, sick: int | None = None) -> None:
        self.sent: list[Any] = []
        refusals = [0, 1, 2]

        def put(*messages: Any) -> None:
            last = any(isinstance(m, UpdateScalars) and m.trial == sick and m.update == 9 for m in messages)
            if last and refusals:
                refusals.pop()
                raise ValueError("no more of this one")
            self.sent += messages

        self.put = SimpleNamespace(remote=put)


def spec(number: int, **changes: Any) -> TrialSpec:
    plain = {
        "task": {"kind": "adding", "length": 12},
        "model": {"hidden": 5},
        "optim": {"lr": (1e-3, 1e-2, 3e-2)[number], "batch": 4},
        "replicates": 2,
        "budget": {"updates": 9, "evaluations": 3},
        "seed": number,
    }
    return validated(TrialSpec, plain | changes)


def worker(folder: Path, numbers: list[int], actor: Actor | None = None, **changes: Any) -> TrialTrainable:
    made = TrialTrainable.__new__(TrialTrainable)
    made._memory, made._name = HeldMemory(None), "here"
    members = [{"number": n, "spec": spec(n, **changes).model_dump_json(), "told": 0} for n in numbers]
    for number in numbers:
        trial_folder(folder, number).mkdir(parents=True, exist_ok=True)
    beside = {"beside": members[1:]} if members[1:] else {}
    made.take({**members[0], **beside, "folder": str(folder), "cpus": 1, "gpus": 0}, actor or Actor())
    return made


def parts(result: dict[str, Any]) -> dict[int, dict[str, Any]]:
    """What a result tells of each trial."""
    told = [result, *json.loads(result.get("beside", "[]"))]
    return {part["number"]: part for part in told}


def to_the_end(made: TrialTrainable) -> dict[int, list[dict[str, Any]]]:
    """Everything that each trial told."""
    told: dict[int, list[dict[str, Any]]] = {}
    while True:
        result = made.step()
        for number, part in parts(result).items():
            told.setdefault(number, []).append(part)
        if result["done"]:
            return told


def scores(told: list[dict[str, Any]]) -> list[tuple[int, float]]:
    return [(part["updates"], part["score"]) for part in told]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[int, list[tuple[int, float]]]:
    """What each of three trials tells by itself."""
    folder = tmp_path_factory.mktemp("alone")
    return {number: scores(to_the_end(worker(folder, [number]))[number]) for number in range(3)}


def near(one: list[tuple[int, float]], other: list[tuple[int, float]]) -> None:
    np.testing.assert_allclose(one, other, atol=1e-4)


def test_side_by_side_each_tells_and_keeps_what_it_does_alone(
    tmp_path: Path, alone: dict[int, list[tuple[int, float]]]
) -> None:
    actor = Actor()
    told = to_the_end(worker(tmp_path, [0, 1, 2], actor))
    for number in range(3):
        near(scores(told[number]), alone[number])
        assert [part["over"] for part in told[number]] == [False, False, True]
        assert (trial_folder(tmp_path, number) / "weights.npz").is_file()
        assert (trial_folder(tmp_path, number) / CHECKPOINT_FILE).is_file()
    assert {message.trial for message in actor.sent} == {0, 1, 2}


def test_a_worker_died_between_two_checkpoints(tmp_path: Path, alone: dict[int, list[tuple[int, float]]]) -> None:
    first = worker(tmp_path, [0, 1, 2])
    first.step()
    behind = (trial_folder(tmp_path, 1) / CHECKPOINT_FILE).read_bytes()
    first.step()
    (trial_folder(tmp_path, 1) / CHECKPOINT_FILE).write_bytes(behind)
    (trial_folder(tmp_path, 2) / CHECKPOINT_FILE).write_bytes(b"half of a fi")
    again = worker(tmp_path, [0, 1, 2])
    told = to_the_end(again)
    assert [part["updates"] for part in told[2]] == [3, 6, 9]  # from its beginning
    assert [part["updates"] for part in told[1]] == [3, 6, 9]  # as it was, and on
    assert [part["updates"] for part in told[0]] == [6, 9]
    for number in range(3):
        near(scores(told[number])[-1:], alone[number][-1:])


def test_an_error_is_told_of_the_trial_that_it_belongs_to(
    tmp_path: Path, alone: dict[int, list[tuple[int, float]]]
) -> None:
    told = to_the_end(worker(tmp_path, [0, 1, 2], Actor(sick=1)))
    assert told[1][-1]["failed"] == "ValueError: no more of this one"
    assert told[1][-1]["over"]
    splits = [part["split"] for number in range(3) for part in told[number] if "split" in part]
    assert splits == [
        f"{count} trials side by side, now in halves: ValueError: no more of this one" for count in (3, 2)
    ]
    assert "no more of this one" in (trial_folder(tmp_path, 1) / ERROR_FILE).read_text()
    for number in (0, 2):
        near(scores(told[number])[-1:], alone[number][-1:])
        assert "failed" not in told[number][-1]


def test_a_new_worker_leaves_those_alone_that_the_driver_knows_to_be_over(
    tmp_path: Path, alone: dict[int, list[tuple[int, float]]]
) -> None:
    worker(tmp_path, [0, 1, 2]).step()
    (trial_folder(tmp_path, 1) / CHECKPOINT_FILE).unlink()  # as the driver does
    (tmp_path / ENDED_FILE).write_text("7\n1\n")
    actor = Actor()
    told = to_the_end(worker(tmp_path, [0, 1, 2], actor))
    assert sorted(told) == [0, 2]
    assert {message.trial for message in actor.sent} == {0, 2}
    for number in (0, 2):
        near(scores(told[number])[-2:], alone[number][-2:])
    (tmp_path / ENDED_FILE).write_text("0\n1\n2\n")
    assert worker(tmp_path, [0, 1, 2]).step()["done"]


def test_a_stop_interrupts_all_and_a_new_worker_goes_on(
    tmp_path: Path, alone: dict[int, list[tuple[int, float]]]
) -> None:
    first = worker(tmp_path, [0, 1])
    first.step()
    (tmp_path / "stop").touch()
    assert first.trainer is not None
    first.trainer.stop = lambda: True
    stopped = first.step()
    assert stopped["done"]
    assert all(part["interrupted"] and part["over"] for part in parts(stopped).values())
    (tmp_path / "stop").unlink()
    told = to_the_end(worker(tmp_path, [1, 0]))
    for number in (0, 1):
        near(scores(told[number])[-2:], alone[number][-2:])


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_torch_cannot_use_stops_the_sweep_and_fails_no_trial(tmp_path: Path) -> None:
    made = worker(tmp_path, [0])
    made._config["gpus"] = 0.5
    result = made.step()
    assert result["interrupted"]
    assert "a trial is to train on a GPU (resources.gpus is 0.5), but torch" in result["place"]
    assert "install a torch that has CUDA" in result["place"]
    with pytest.raises(PlaceError):
        device_of(1, "here")
    assert device_of(0, "here") == "cpu"
