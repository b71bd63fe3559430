"""What a task was when sweeps were recorded with it, it is now: specs and data streams, to the last bit."""

from __future__ import annotations

import pytest

from rnnlab.choices import choose
from rnnlab.spec import TaskSpec, content_hash
from rnnlab.tasks import TASKS
from rnnlab.training.seeding import generator_for

SPECS = {
    "adding": "ca9202cc4599", "copying": "8f2cff537d76", "temporal_order": "2632b140086f", "digits": "4add474a9cbc",
    "weather": "99530fc74fc0",
}  # fmt: skip
STREAMS = {
    "adding": ("1c91e149a2a6", "42cc3aaa5857"),
    "copying": ("b336ace015ad", "ba2c3dfc3d30"),
    "temporal_order": ("b7951aaa1578", "4e6b0962b17c"),
}


@pytest.mark.parametrize("kind", SPECS)
def test_the_spec_hashes_as_it_did(kind: str) -> None:
    assert content_hash(TaskSpec.model_validate({"kind": kind}).model_dump(mode="json")) == SPECS[kind]


@pytest.mark.parametrize("kind", STREAMS)
def test_the_streams_are_as_they_were(kind: str) -> None:
    task = choose(TASKS, kind).load()(TaskSpec.model_validate({"kind": kind}))
    drawn, held = task.draw(generator_for(1), 5), task.validation
    assert content_hash([drawn.x_TNI.tolist(), drawn.y_TN.tolist()]) == STREAMS[kind][0]
    assert content_hash([held.x_TNI[:, :50].tolist(), held.y_TN[:, :50].tolist()]) == STREAMS[kind][1]
