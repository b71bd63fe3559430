"""What a trial asks of a node, as it is written, refused and held."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from rnnlab.errors import PlaceError, SpecError
from sweeps.running.resources import HeldMemory, ResourcesSpec, size_text
from sweeps.running.run import with_resources
from sweeps.spec import SweepSpec

PLAIN: dict[str, Any] = {
    "name": "small",
    "task": {"kind": "adding", "length": 8},
    "space": {"cell": ["rnn", "gru"]},
    "search": {"sampler": "random", "trials": 2},
}
MB = 10**6


def node(name: str, **resources: float) -> dict[str, Any]:
    return {"NodeName": name, "NodeManagerAddress": "10.0.0.1", "NodeID": "abcdef0123456789", "Resources": resources}


@pytest.mark.parametrize(
    ("written", "size"), [("2GB", 2 * 10**9), ("512MB", 512 * MB), ("1GiB", 2**30), (10**7, 10**7)]
)
def test_sizes_are_written_as_a_person_does_and_read_back(written: str | int, size: int) -> None:
    asked = ResourcesSpec.model_validate({"memory": written})
    assert asked.memory == size
    assert ResourcesSpec.model_validate(asked.model_dump(mode="json")) == asked
    assert size_text(2 * 10**9) == "2 GB"
    assert size_text(2**30) == "1073741824 B"


def test_resources_are_kept_with_a_spec_and_no_part_of_its_hash() -> None:
    plain = SweepSpec.model_validate(PLAIN)
    given = SweepSpec.model_validate({**PLAIN, "resources": {"cpus": 2, "memory": "2GB"}})
    assert given.content_hash == plain.content_hash
    assert "memory: 2 GB" in given.to_yaml()
    assert "resources" not in plain.to_yaml()
    kept = given.model_dump(mode="json", exclude_defaults=True)
    assert SweepSpec.model_validate(kept).resources == given.resources
    asked = with_resources(given, {"cpus": None, "gpus": 0.5, "memory": "3GB"})
    assert asked.resources.asked == {"cpu": 2, "gpu": 0.5, "memory": 3 * 10**9}
    assert with_resources(plain, {"cpus": None}) is plain
    with pytest.raises(SpecError, match="memory"):
        with_resources(plain, {"memory": "much"})
    with pytest.raises(SpecError, match="cpus"):
        with_resources(plain, {"cpus": 0})


def test_a_node_has_room_for_whole_trials() -> None:
    asked = ResourcesSpec.model_validate({"cpus": 2, "gpus": 0.5, "memory": "1GB"})
    assert asked.fitting({"CPU": 9, "GPU": 1, "memory": 8e9}) == 2
    assert asked.fitting({"CPU": 9, "memory": 8e9}) == 0
    assert ResourcesSpec().fitting({"CPU": 3}) == 3
    assert ResourcesSpec().fitting({}) == 0


def test_what_no_node_could_run_is_refused_with_the_largest() -> None:
    nodes = [node("head"), node("small", CPU=2, memory=1e9), node("large", CPU=4, memory=8e9)]
    ResourcesSpec.model_validate({"cpus": 4, "memory": "8GB"}).check_fits(nodes)
    with pytest.raises(PlaceError, match=r"asks for 64 cpus .* the largest, large, 10\.0\.0\.1 .* has 4 cpus; ask"):
        ResourcesSpec(cpus=64).check_fits(nodes)
    with pytest.raises(PlaceError, match=r"asks for 1 gpu .* has 0 gpus"):
        ResourcesSpec(gpus=1).check_fits(nodes)
    with pytest.raises(PlaceError, match=r"asks for 9 GB of memory .* large.* has 8 GB of memory"):
        ResourcesSpec.model_validate({"memory": "9GB"}).check_fits(nodes)
    # each is there, but not on one node
    torn = [node("a", CPU=8, memory=1e9), node("b", CPU=1, memory=8e9)]
    with pytest.raises(PlaceError, match=r"asks for 4 cpus, 4 GB of memory .* has 8 cpus, 1 GB of memory"):
        ResourcesSpec.model_validate({"cpus": 4, "memory": "4GB"}).check_fits(torn)


@pytest.mark.parametrize(
    "ask", [lambda: torch.zeros(400 * MB // 4), lambda: np.ones(400 * MB // 8), lambda: bytes(400 * MB)]
)
def test_memory_is_held_within_and_free_again_after(ask: Any) -> None:
    memory = HeldMemory(100 * MB)
    with memory.held():
        torch.zeros(20 * MB // 4)
    with pytest.raises((RuntimeError, MemoryError)) as refused, memory.held():
        ask()
    assert memory.cause(refused.value) == "ran out of memory: asked for more than 100 MB (resources.memory)"
    ask()


def test_other_errors_are_not_of_memory() -> None:
    assert HeldMemory(100 * MB).cause(RuntimeError("shapes do not fit")) is None
    assert HeldMemory(None).cause(MemoryError()) is None
