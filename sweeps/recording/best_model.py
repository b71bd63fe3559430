"""The best trial's network in MLflow: one logged model a sweep, an output of that trial's run.

Made with the client and explicit ids, since `mlflow.pytorch.log_model` reads MLflow's global state.
Shapes: B sequences, T timesteps, I inputs, O outputs.
"""

from __future__ import annotations

import hashlib
import logging
import tempfile
import warnings
from pathlib import Path

from mlflow.entities import LoggedModelOutput, LoggedModelStatus
from mlflow.tracking import MlflowClient

from sweeps.recording import names
from sweeps.recording.weights import Weights

MEANING = {
    "mse": "the numbers themselves",
    "cross_entropy": "logits of the {outputs} classes",
    "binary": "the logit of yes",
}
"""What outputs are, by the task's objective."""
AT = {"every": "every timestep", "last": "the last timestep"}


def log_best_model(client: MlflowClient, experiment_id: str, run_id: str, weights: Weights) -> str:
    """Log a network as the experiment's only model, unless it is there; its address, `models:/ID`.

    Any other model of the experiment is deleted: what an earlier end of the sweep found best, or half a one.

    Args:
        run_id: of the trial. weights: what to log.
    """
    digest = hashlib.sha256(weights.theta_P.tobytes()).hexdigest()[:16]
    wanted = {names.TRIAL: str(weights.trial), "replicate": str(weights.replicate), "weights_sha256": digest}
    there = None
    for model in client.search_logged_models([experiment_id]):
        if there is None and model.status == LoggedModelStatus.READY and wanted.items() <= model.tags.items():
            there = model.model_id
        else:
            client.delete_logged_model(model.model_id)
    return f"models:/{there or _log(client, experiment_id, run_id, weights, wanted)}"


def _log(client: MlflowClient, experiment_id: str, run_id: str, weights: Weights, tags: dict[str, str]) -> str:
    """Save and upload; the model's id."""
    params = client.get_run(run_id).data.params
    logged = client.create_logged_model(experiment_id, names.MODEL, run_id, tags, params, "recurrent network")
    model_id = str(logged.model_id)
    with tempfile.TemporaryDirectory() as folder:
        _save(Path(folder) / names.MODEL, weights, run_id, model_id)
        client.log_model_artifacts(model_id, str(Path(folder) / names.MODEL))
    client.set_logged_model_tags(model_id, {names.DESCRIPTION: account(weights, f"models:/{model_id}")})
    client.finalize_logged_model(model_id, LoggedModelStatus.READY)
    client.log_outputs(run_id, [LoggedModelOutput(model_id, step=0)])
    return model_id


def _save(folder: Path, weights: Weights, run_id: str, model_id: str) -> None:
    """Write MLflow's files of a model, with its signature and an input example."""
    logging.getLogger("mlflow.pytorch").setLevel(logging.ERROR)  # pickle is meant: pt2 would fix T
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of MLflow, about its own type hints
        import mlflow.pytorch
        import numpy as np
        from mlflow.models import Model, ModelSignature
        from mlflow.types import Schema, TensorSpec

        kind = np.dtype(np.float32)
        mlflow.pytorch.save_model(
            weights.module(),
            str(folder),
            mlflow_model=Model(run_id=run_id, model_id=model_id, model_uuid=model_id),
            signature=ModelSignature(
                inputs=Schema([TensorSpec(kind, (-1, -1, weights.inputs))]),
                outputs=Schema([TensorSpec(kind, (-1, -1, weights.outputs))]),
            ),
            input_example=weights.example_BTI,
            pip_requirements=mlflow.pytorch.get_default_pip_requirements(),
            serialization_format="pickle",
        )


def account(weights: Weights, uri: str) -> str:
    """Which network this is, what it takes and gives, and how to load it, in Markdown."""
    from rnnlab.exported import needs_rnnlab

    needs = (
        "torch has no such cell, so it is a module of rnnlab's, which must be installed to load it."
        if needs_rnnlab(weights.module())
        else "It is made of torch's own modules: torch and mlflow are all that loading needs."
    )
    meaning = MEANING[weights.objective].format(outputs=weights.outputs)
    return (
        f"Trial {weights.trial} has the lowest validation score of the trials that used their budget "
        f"({weights.score:+.2f}, the mean over its replicates); the weights are those of its replicate "
        f"{weights.replicate} ({weights.replicate_score:+.2f}).\n\n"
        "```python\n"
        "import mlflow, torch\n"
        'mlflow.set_tracking_uri("http://127.0.0.1:5000")  # where `rnnlab ui` listens\n'
        f'model = mlflow.pytorch.load_model("{uri}")\n'
        f"outputs = model(torch.zeros(4, 100, {weights.inputs}))  # (4, 100, {weights.outputs})\n"
        "```\n\n"
        f"Float32 sequences (B, T, {weights.inputs}), sequences first, of any length T, prepared as the task prepares "
        f"them; outputs (B, T, {weights.outputs}) at every timestep are {meaning}; trained with the loss at "
        f"{AT.get(weights.at, f'timesteps {weights.at}')}. {needs}\n"
    )
