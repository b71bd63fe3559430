"""Everything trains on another device than the CPU, to the same numbers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from rnnlab.activations import ACTIVATIONS
from rnnlab.between import BETWEEN
from rnnlab.cells import CELLS
from rnnlab.clipping import CLIPS
from rnnlab.probes import PROBES
from rnnlab.regularisers import REGULARISERS
from rnnlab.spec import TrialSpec
from rnnlab.training import OPTIMISERS
from rnnlab.training.stack import Stack
from rnnlab.written import validated

PLAIN: dict[str, Any] = {
    "task": {"kind": "adding", "length": 5},
    "model": {"hidden": 4},
    "optim": {"batch": 3, "lr": 1e-2},
    "probe": {"batch": 2},
    "budget": {"updates": 2, "evaluations": 1},
    "replicates": 2,
}
RNN_ONLY = {name: line.cells for name, line in {**CLIPS, **REGULARISERS}.items() if line.cells}


def case(**sections: Any) -> dict[str, Any]:
    return {**PLAIN, **{name: {**PLAIN[name], **changes} for name, changes in sections.items()}}


CASES: dict[str, dict[str, Any]] = {
    **{f"cell {name}": case(model={"cell": name, "depth": 2}) for name in CELLS},
    **{f"activation {name}": case(model={"activation": name}) for name in ACTIVATIONS},
    **{f"clip {name}": case(optim={"clip": name}) for name in CLIPS},
    **{f"optimiser {name}": case(optim={"kind": name}) for name in OPTIMISERS},
    **{f"regulariser {name}": case(optim={"regulariser": name}) for name in REGULARISERS},
    **{f"between {name}": case(model={"between": name, "depth": 2}) for name in BETWEEN},
    "every probe": case(probe={"measure": list(PROBES)}, model={"cell": "lstm", "depth": 2}),
    "every probe, gru": case(probe={"measure": list(PROBES)}, model={"cell": "gru"}),
    "norms beyond float64": case(task={"length": 45}, model={"init": {"orthogonal": 1e-5}}),
    "zoneout": case(model={"cell": "lstm", "zoneout_h": 0.2, "zoneout_c": 0.3}),
    "dropout": case(model={"dropout": 0.3}),
    "dilation": case(model={"dilation": 2, "depth": 2}),
    "truncated": case(model={"truncate": {"k1": 3, "k2": 5}}),
    "truncated zoneout": case(model={"truncate": {"k1": 3, "k2": 5}, "zoneout_h": 0.2}),
    "checkpointed": case(model={"cell": "gru", "zoneout_h": 0.2}, optim={"gradient_checkpointing": "sqrt"}),
    "classes": case(task={"kind": "copying", "length": 10}, model={"cell": "gru"}),
    "loss": {**case(), "task": {"kind": "adding", "length": 5, "loss": {"at": "every"}}},
    "a lane that diverges": case(optim={"kind": "sgd", "lr": 50.0}, budget={"updates": 8}),
}  # fmt: skip


@pytest.fixture(scope="module")
def said() -> dict[str, str]:
    """What came of every case, in one program."""
    lines = [json.dumps([plain, {**plain, "seed": 1}]) for plain in CASES.values()]
    program = Path(__file__).with_name("second_device.py")
    environment = {**os.environ, "RNNLAB_CC": ""}  # what is compiled runs on the CPU alone, and sums in another order
    done = subprocess.run(
        [sys.executable, str(program)],
        input="\n".join(lines) + "\n", capture_output=True, text=True, env=environment, timeout=300,
    )  # fmt: skip
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(lines), done.stderr[-2000:]
    return dict(zip(CASES, answers, strict=True))


@pytest.mark.parametrize("name", CASES)
def test_it_trains_on_another_device_to_the_same_numbers(said: dict[str, str], name: str) -> None:
    assert not said[name]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch has no GPU here")
@pytest.mark.parametrize("name", CASES)
def test_it_trains_on_a_gpu_to_nearly_the_same_numbers(name: str) -> None:
    results = []
    for device in ("cpu", "cuda"):
        stack = Stack([validated(TrialSpec, CASES[name])], device=device)
        while stack.running:
            stack.train_on()
        results.append(stack.results[0])
    for here, there in zip(*(result.replicates for result in results), strict=True):
        assert (here.outcome, here.verdict, here.update) == (there.outcome, there.verdict, there.update)
        assert here.score == pytest.approx(there.score, abs=1e-3)
        assert here.decades == pytest.approx(there.decades, abs=1e-3)
