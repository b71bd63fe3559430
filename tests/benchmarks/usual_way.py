"""The usual way to run such a sweep, as the documentation of Ray Tune, Optuna and MLflow leads to.

    python tests/benchmarks/usual_way.py FOLDER

A function trainable with a loop over cells and `retain_grad`, `OptunaSearch`, `MLflowLoggerCallback`, and values by
timestep as metrics. Nothing is slowed: torch's own cells, one thread a trial, Ray's processes reused where it can, only the
curves that are wanted are taken, and the curve's norms come to Python in one transfer. What `whole_sweep.py` compares with.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

STEPS, BATCH, HIDDEN, UPDATES, CURVES = 100, 32, 64, 300, 10
HELD_OUT = 1000
"""Sequences of an evaluation, as many as a task of rnnlab has."""
SPACE: dict[str, list[Any]] = {"cell": ["rnn", "lstm"], "depth": [1, 2], "lr": [1e-3, 3e-3], "clip": [0.0, 1.0]}
"""Sixteen configurations; a clip of 0 is none."""


def train(config: dict[str, Any]) -> None:
    """One trial: adding, and every 30 updates the loss and the norm of dL/dh_t at each of 100 timesteps."""
    import torch
    from ray import tune
    from torch import nn

    torch.manual_seed(0)
    torch.set_num_threads(1)
    make = {"rnn": nn.RNNCell, "lstm": nn.LSTMCell}[config["cell"]]
    cells = nn.ModuleList([make(2 if layer == 0 else HIDDEN, HIDDEN) for layer in range(config["depth"])])
    readout = nn.Linear(HIDDEN, 1)
    parameters = [*cells.parameters(), *readout.parameters()]
    optimiser = torch.optim.Adam(parameters, lr=config["lr"])
    lstm = config["cell"] == "lstm"

    def draw(size: int) -> tuple[torch.Tensor, torch.Tensor]:
        numbers = torch.rand(STEPS, size)
        marks = torch.zeros(STEPS, size)
        marks[torch.randint(0, STEPS // 2, (size,)), torch.arange(size)] = 1
        marks[torch.randint(STEPS // 2, STEPS, (size,)), torch.arange(size)] = 1
        return torch.stack([numbers, marks], 2), (numbers * marks).sum(0)

    def run(x: torch.Tensor, keep: bool = False) -> tuple[torch.Tensor, list[torch.Tensor]]:
        zero = x.new_zeros(x.shape[1], HIDDEN)
        states: list[Any] = [(zero, zero) if lstm else zero for _ in cells]
        seen = []
        for x_t in x:
            below = x_t
            for layer, cell in enumerate(cells):
                states[layer] = cell(below, states[layer])
                below = states[layer][0] if lstm else states[layer]
            if keep:
                below.retain_grad()
            seen.append(below)
        return readout(seen[-1])[:, 0], seen

    validation = draw(HELD_OUT)
    for update in range(1, UPDATES + 1):
        wanted = update % (UPDATES // CURVES) == 0
        x, y = draw(BATCH)
        out, states = run(x, keep=wanted)
        loss = nn.functional.mse_loss(out, y)
        optimiser.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(parameters, config["clip"] or float("inf"))
        optimiser.step()
        if wanted:
            with torch.no_grad():
                norms = torch.stack([state.grad.norm() for state in states]).tolist()  # type: ignore[union-attr]
                validated = nn.functional.mse_loss(run(validation[0])[0], validation[1])
            report = {"loss": loss.item(), "validation_loss": validated.item(), "gradient_norm": norm.item()}
            report |= {"update": update, "lr": config["lr"]}
            tune.report({**report, **{f"gradient_by_timestep/{t:03}": value for t, value in enumerate(norms)}})


def main(folder: Path) -> None:
    """Run the sweep; prints its wall time in seconds and the metric points in MLflow."""
    begun = time.perf_counter()
    os.environ.setdefault("RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS", "0")
    import mlflow
    import ray
    from ray import tune
    from ray.air.integrations.mlflow import MLflowLoggerCallback
    from ray.tune.search import ConcurrencyLimiter
    from ray.tune.search.optuna import OptunaSearch

    uri = f"sqlite:///{folder}/mlflow.db"
    # a Ray of its own, whatever else was started on this machine
    ray.init(address="local", num_cpus=2, include_dashboard=False, logging_level="ERROR")
    points = [dict(zip(SPACE, values, strict=True)) for values in itertools.product(*SPACE.values())]
    tuner = tune.Tuner(
        tune.with_resources(train, {"cpu": 1}),
        param_space={name: tune.choice(values) for name, values in SPACE.items()},
        tune_config=tune.TuneConfig(
            metric="validation_loss",
            mode="min",
            num_samples=len(points),
            search_alg=ConcurrencyLimiter(OptunaSearch(points_to_evaluate=points), max_concurrent=2),
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            storage_path=str(folder / "ray"),
            callbacks=[MLflowLoggerCallback(tracking_uri=uri, experiment_name="usual", save_artifact=False)],
            verbose=0,
        ),
    )
    results = tuner.fit()
    assert not results.errors, results.errors
    ray.shutdown()
    seconds = time.perf_counter() - begun
    client = mlflow.MlflowClient(uri)
    runs = client.search_runs([client.get_experiment_by_name("usual").experiment_id], max_results=100)
    recorded = sum(len(client.get_metric_history(run.info.run_id, key)) for run in runs for key in run.data.metrics)
    print(json.dumps({"seconds": seconds, "trials": len(runs), "points": recorded}))


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
