"""The threads of a trial are its processors, asked of a real worker."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
import ray
import torch
from ray import tune

from sweeps.running.engine import ray_cluster
from sweeps.running.nodes import mark_place
from sweeps.running.resources import ResourcesSpec
from sweeps.running.trainable import TrialTrainable


class Telling(TrialTrainable):
    """Tells its process' threads instead of training."""

    def _begin(self, config: dict[str, Any]) -> None:
        pass

    def step(self) -> dict[str, Any]:
        return {"omp": os.environ["OMP_NUM_THREADS"], "torch": torch.get_num_threads(), "done": True}


@pytest.mark.slow  # a Ray of its own
@pytest.mark.filterwarnings("ignore")  # of Ray, in this process
@pytest.mark.parametrize("cpus", [1, 2])
def test_a_trial_has_as_many_threads_as_cpus(tmp_path: Path, cpus: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)  # a person's own would hold
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import tests
    resources = ResourcesSpec(cpus=cpus)
    config = {"folder": str(tmp_path), "place": mark_place(tmp_path), "cpus": cpus, "gpus": 0, "memory": None}
    with ray_cluster(None, 1, resources) as slots:
        ran = tune.run(
            tune.with_resources(Telling, resources.asked), config=config, storage_path=str(tmp_path), verbose=0
        )
    assert slots == 1
    assert ran.results_df[["omp", "torch"]].to_numpy().tolist() == [[str(cpus), cpus]]
