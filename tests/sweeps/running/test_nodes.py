"""What a node is asked before anything starts, and by a trial that lands on it; several nodes: `test_nodes.py` beside
the commands."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest

from rnnlab.errors import PlaceError
from rnnlab.spec import TaskSpec
from sweeps.running import nodes
from sweeps.running.nodes import check_place, data_files, look, mark_place

OURS = version("rnnlab")


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes, "SHOWS_AFTER", 0.1)


@pytest.fixture
def meeting(tmp_path: Path) -> Path:
    """Where driver and nodes meet in a home that this node sees."""
    folder = tmp_path / "home" / "sweeps" / ".nodes-1"
    folder.mkdir(parents=True)
    (folder / "driver").write_text("token")
    return folder


def asked(meeting: Path, files: dict[str, str] | None = None) -> list[str]:
    return look(str(meeting), "token", files or {}, "node-1", OURS)


def content(path: Path) -> str:
    return nodes._content(path)


def test_a_node_that_sees_all_answers_in_the_home(meeting: Path, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("1,2\n")
    assert asked(meeting, {str(tmp_path / "table.csv"): content(tmp_path / "table.csv")}) == []
    assert (meeting / "node-1").read_text() == "node-1"


def test_a_home_of_its_own_is_not_the_home(meeting: Path) -> None:
    (meeting / "driver").write_text("another")
    (said,) = asked(meeting)
    assert said == f"does not see the home ({meeting.parent.parent}); mount it there under the same path"
    (meeting / "driver").unlink()
    assert asked(meeting) == [said]
    assert not (meeting / "node-1").exists()


def test_a_home_that_cannot_be_written(meeting: Path) -> None:
    (meeting / "node-1").mkdir()  # also where the test runs as root, who may write anywhere
    (said,) = asked(meeting)
    assert said.startswith("cannot write the home (")
    assert "mount it there so that it can be written" in said


def test_data_that_is_not_there_or_is_another(meeting: Path, tmp_path: Path) -> None:
    there, absent = tmp_path / "table.csv", tmp_path / "gone.csv"
    there.write_text("1,2\n")
    files = {str(there): content(there), str(absent): "4 abc"}
    there.write_text("1,3\n")
    assert asked(meeting, files) == [
        f"has another file as {there}; put the same one there",
        f"cannot read the data {absent} (No such file or directory); put it there under the same path",
    ]


def test_another_version_is_told_alone(meeting: Path) -> None:
    assert look(str(meeting), "token", {}, "node-1", "9.9") == [
        f"has rnnlab {OURS}, but the driver has 9.9; install 9.9 there"
    ]


def test_data_of_a_task(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    assert data_files(TaskSpec.model_validate({"kind": "adding", "length": 9})) == []
    table = {"kind": "table", "path": str(path), "inputs": ["x"], "target": "y", "length": 9, "lag": 3}
    assert data_files(TaskSpec.model_validate(table)) == [path]


def test_a_sweeps_folder_is_known_by_what_its_driver_wrote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes, "_node_id", lambda: "0123456789")  # which Ray alone knows
    token = mark_place(tmp_path)
    check_place(tmp_path, token)
    newer = mark_place(tmp_path)
    assert newer != token
    with pytest.raises(PlaceError, match=r"\(node 01234567\) does not see the sweep's folder .* mount the home there"):
        check_place(tmp_path, token)
