"""What Ray says of a dead worker, in a line."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from ray.exceptions import RayActorError

from rnnlab.training.outcome import Outcome
from sweeps.running.deaths import Deaths

# the words of Ray 2.60, as it said them after kill -9, a lost node, its memory monitor, and an error in `setup`
KILLED = (
    "The actor died unexpectedly before finishing this task.\n\tclass_name: A\nThe actor is dead because its worker "
    "process has died. Worker exit type: SYSTEM_ERROR Worker exit detail: Worker unexpectedly exits with a connection "
    "error code 2. End of file. Some common causes include: (1) the process was killed by the OOM killer due to high "
    "memory usage, (2) ray stop --force was called"
)
LOST = "The actor 3dd26 is unavailable: The actor is temporarily unavailable: RpcError: RPC error: Socket closed"
MEMORY = (
    "OutOfMemoryError: 1 worker(s) were killed due to the node running low on memory. Memory on the node was 5GB used\n"
    "OOM kill reason: Memory usage 5526458368B exceeded threshold of 505530016B"
)
PLACE = (
    "The actor died because of an error raised in its creation task, ray::A.__init__() (pid=1)\n"
    "rnnlab.errors.PlaceError: the node one does not see the sweep's folder /x"
)


def died(tmp_path: Path, *said: str) -> tuple[Outcome, str]:
    file = tmp_path / "error.txt"
    file.write_text(
        "".join(f"Failure # {i} (occurred at 2026)\n{RayActorError(error_msg=s)}\n" for i, s in enumerate(said))
    )
    deaths = Deaths()
    other = SimpleNamespace(config={"number": 1}, error_file=None)
    emptied = SimpleNamespace(config={}, error_file="gone")
    deaths.on_step_begin(1, [other, emptied, SimpleNamespace(config={"number": 7}, error_file=str(file))])
    return deaths.of(7)


def test_deaths_are_counted_by_cause(tmp_path: Path) -> None:
    assert died(tmp_path, KILLED) == (Outcome.FAILED, "its worker process was killed or crashed once")
    assert died(tmp_path, *[KILLED] * 4) == (Outcome.FAILED, "its worker process was killed or crashed 4 times")
    assert died(tmp_path, LOST, KILLED, LOST) == (
        Outcome.FAILED,
        "its node was lost twice, its worker process was killed or crashed once",
    )
    assert died(tmp_path, MEMORY, MEMORY)[1] == (
        "ran out of memory: Ray's memory monitor killed its worker, since its node had none left, twice"
    )
    assert died(tmp_path, "something new")[1] == "its worker process died once"
    assert died(tmp_path)[1] == "its worker process died once"


def test_a_node_without_the_sweeps_files_is_no_result_of_the_trial(tmp_path: Path) -> None:
    assert died(tmp_path, KILLED, PLACE) == (
        Outcome.INTERRUPTED,
        "the node one does not see the sweep's folder /x",
    )
    assert died(tmp_path, PLACE, KILLED)[0] is Outcome.FAILED
