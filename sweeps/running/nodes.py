"""The nodes of a cluster: whether they see what a sweep needs, before anything starts and when a trial lands on one."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import uuid4

from rnnlab.errors import PlaceError
from rnnlab.spec import TaskSpec
from sweeps.running.resources import node_name

PATIENCE = 60.0
"""Seconds that all nodes have to answer: a worker process starts in a few."""
SHOWS_AFTER = 20.0
"""Seconds until a file on shared storage must have shown on another node; NFS looks anew after a few."""
PLACE_FILE = "place"
"""In a sweep's folder: what its present driver wrote, for workers to know the folder by."""


def alive() -> list[dict[str, Any]]:
    """The nodes that a cluster has now."""
    import ray

    return [node for node in ray.nodes() if node["Alive"]]


def check_nodes(home: Path, task: TaskSpec) -> None:
    """Refuse a cluster on which trials could not run, before anything starts.

    Every node must have this rnnlab, read and write the home as shared storage, and read the task's data.

    Raises:
        PlaceError: with every node that could not be used, and why.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    meeting = home.resolve() / "sweeps" / f".nodes-{uuid4().hex}"
    meeting.mkdir(parents=True)
    try:
        token = uuid4().hex
        (meeting / "driver").write_text(token)
        files = {str(path): _content(path) for path in data_files(task)}
        asked = {}
        for node in alive():
            there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            task_there = ray.remote(look).options(num_cpus=0, max_retries=0, scheduling_strategy=there)
            asked[task_there.remote(str(meeting), token, files, node["NodeID"], version("rnnlab"))] = node
        ready, late = ray.wait(list(asked), num_returns=len(asked), timeout=PATIENCE)
        wrong = [(asked[one], f"did not answer within {PATIENCE:g} s; see whether its raylet runs") for one in late]
        for one in ready:
            wrong += [(asked[one], said) for said in _answer(one)]
            if not wrong and not _shows(meeting / asked[one]["NodeID"], asked[one]["NodeID"]):
                wrong.append((asked[one], f"what it writes under {meeting.parent} is not seen here; share that folder"))
    finally:
        shutil.rmtree(meeting, ignore_errors=True)
    if wrong:
        lines = "".join(f"\n  {node_name(node)}: {said}" for node, said in wrong)
        raise PlaceError(f"every node of the cluster must see the home {home.resolve()} and the data, but:{lines}")


def look(meeting: str, token: str, files: Mapping[str, str], node: str, ours: str) -> list[str]:
    """On a node: what it lacks, each with what to do."""
    if version("rnnlab") != ours:
        return [f"has rnnlab {version('rnnlab')}, but the driver has {ours}; install {ours} there"]
    folder, lacking = Path(meeting), []
    if not _shows(folder / "driver", token):
        lacking.append(f"does not see the home ({folder.parent.parent}); mount it there under the same path")
    else:
        try:
            (folder / node).write_text(node)
        except OSError as error:
            lacking.append(f"cannot write the home ({error.strerror}); mount it there so that it can be written")
    for name, content in files.items():
        try:
            there = _content(Path(name))
        except OSError as error:
            lacking.append(f"cannot read the data {name} ({error.strerror}); put it there under the same path")
            continue
        if there != content:
            lacking.append(f"has another file as {name}; put the same one there")
    return lacking


def data_files(task: TaskSpec) -> list[Path]:
    """Files of a task's options, which every node reads for itself."""
    return [Path(value) for name, value in task.options.items() if name == "path" and value is not None]


def mark_place(folder: Path) -> str:
    """Write into a sweep's folder what its workers know it by; the token."""
    token = uuid4().hex
    (folder / PLACE_FILE).write_text(token)
    return token


def check_place(folder: Path, token: str) -> None:
    """On a worker, before a trial begins: the sweep's folder must be the driver's own.

    Raises:
        PlaceError: it is not; nothing was made.
    """
    if not _shows(folder / PLACE_FILE, token):
        raise PlaceError(
            f"the node {socket.gethostname()} (node {_node_id()[:8]}) does not see the sweep's folder {folder}; "
            "mount the home there under the same path, or take the node out of the cluster"
        )


def worker_name() -> str:
    """`host:pid@node`, the node by the beginning of its id: several may be on one host."""
    return f"{socket.gethostname()}:{os.getpid()}@{_node_id()[:8]}"


def _node_id() -> str:
    import ray

    return str(ray.get_runtime_context().get_node_id())


def _shows(path: Path, content: str) -> bool:
    """Whether a file that another machine wrote is here, after a while at the latest."""
    until = time.monotonic() + SHOWS_AFTER
    while True:
        try:
            if path.read_text() == content:
                return True
        except OSError:
            pass
        if time.monotonic() > until:
            return False
        time.sleep(0.2)


def _content(path: Path) -> str:
    """Size and digest of a file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return f"{path.stat().st_size} {digest}"


def _answer(asked: Any) -> Sequence[str]:
    import ray

    try:
        found: list[str] = ray.get(asked)
    except ray.exceptions.RayError as error:
        if "No module named" in str(error) or "PackageNotFoundError" in str(error):
            return [f"has no rnnlab in the Python that Ray runs there; install rnnlab {version('rnnlab')} there"]
        return [f"could not be asked ({str(error).strip().splitlines()[-1]})"]
    return found
