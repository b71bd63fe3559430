"""Every name that a reviewer meets in MLflow, in one list: params, tags, metrics, artifacts.

Charts get slow with many keys, so a run has about 40 metric keys at most: scalars by update, finals, and the
per-timestep curves of the top layer at three updates, whose step axis is the timestep or the lag. Each point costs the
store 0.12 ms and 330 bytes, so it is written where somebody looks at it (docs/performance.md).
"""

from __future__ import annotations

from rnnlab.activations import ACTIVATIONS
from rnnlab.between import BETWEEN
from rnnlab.cells import CELLS
from rnnlab.choices import Table
from rnnlab.clipping import CLIPS
from rnnlab.inits import BIAS_INITS, INITS
from rnnlab.regularisers import REGULARISERS
from rnnlab.training import OPTIMISERS

PARAMS: dict[str, tuple[str, str]] = {
    "cell": ("model", "cell"),
    "activation": ("model", "activation"),
    "init": ("model", "init"),
    "bias_init": ("model", "bias_init"),
    "hidden": ("model", "hidden"),
    "depth": ("model", "depth"),
    "optimiser": ("optim", "kind"),
    "lr": ("optim", "lr"),
    "batch": ("optim", "batch"),
    "momentum": ("optim", "momentum"),
    "decay": ("optim", "decay"),
    "beta1": ("optim", "beta1"),
    "beta2": ("optim", "beta2"),
    "clip": ("optim", "clip"),
    "between": ("model", "between"),
    "zoneout_h": ("model", "zoneout_h"),
    "zoneout_c": ("model", "zoneout_c"),
    "dropout": ("model", "dropout"),
    "dilation": ("model", "dilation"),
    "dilation_start": ("model", "dilation_start"),
    "regulariser": ("optim", "regulariser"),
}
"""Names that a space may search over, and MLflow's params: where each lies in a `TrialSpec`. Options of the
task are searched as `task.length` and so on."""

REAL = frozenset({"lr", "momentum", "decay", "beta1", "beta2", "zoneout_h", "zoneout_c", "dropout"})
"""Params that take any number, also where their range is written with whole ones."""

TABLES: dict[str, Table] = {
    "cell": CELLS,
    "activation": ACTIVATIONS,
    "init": INITS,
    "bias_init": BIAS_INITS,
    "optimiser": OPTIMISERS,
    "clip": CLIPS,
    "between": BETWEEN,
    "regulariser": REGULARISERS,
}
"""Params whose values are choices from a table."""

MITIGATIONS = ("cell", "activation", "init", "bias_init", "clip", "depth")
"""Params that a table of configurations shows first."""

# tags of a run
SWEEP_ID, TRIAL, BLOCK, CONFIG_HASH = "sweep_id", "trial", "block", "config_hash"
VERDICT, VERDICT_INIT, OUTCOME, CAUSE, SEEDS = "verdict", "verdict_init", "outcome", "cause", "seeds"
EXPLODED, WORKER = "exploded", "worker"
STAGE, ARM, NUISANCE = "stage", "arm", "nuisance"
"""Of a design: what a trial is for, its configuration in words, and the values that its block or stage drew."""
BEST_TRIAL, BEST_MODEL = "best_trial", "best_model"
"""Of the parent run: the trial whose network is logged, and the model's address."""
DESCRIPTION = "mlflow.note.content"
"""Of an experiment or a run: Markdown that its page shows."""
EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}
"""So that MLflow's page opens on training runs, not on its views for language models."""

# metrics by update: the median over replicates (score: the mean, as Optuna hears it)
BY_UPDATE = {
    "train_loss": "train_loss",
    "validation_loss": "validation_loss",
    "accuracy": "validation_accuracy",
    "score": "score",
    "gradient_norm": "gradient_norm_log10",
    "clip_rate": "clip_rate",
    "clip_coefficient": "clip_coefficient",
    "decades": "decades",
    "regulariser": "regulariser",
}
"""rnnlab's scalar -> metric. `gradient_norm_log10` is the global norm before clipping."""
LOGGED = frozenset({"gradient_norm"})
"""Scalars recorded as log10."""
NORM_MAX = "gradient_norm_max_log10"
"""Metric by update: the largest norm among the replicates, where an explosion shows first."""
ALIVE = "replicates_alive"
"""Metric by update: replicates that had not diverged; at evaluations, and wherever one is missing."""
EVALUATED = "validation_loss"
"""The scalar that tells an evaluation."""
AT_EVALUATIONS = frozenset({"clip_rate", "clip_coefficient", "regulariser"})
"""Scalars that are told at every record and charted at evaluations alone: they change slowly."""

# metrics at the end, one point each
FINALS = (
    "final_score", "final_score_sd", "test_score", "test_accuracy", "solved", "healthy", "exploded",
    "diverged", "spikes", "decades_init", "decades_end", "seconds",
)  # fmt: skip
"""Of a trial: means over replicates (decades: median) and counts of replicates."""

WHEN = ("1_first", "2_middle", "3_last")
"""The three probed updates whose curves are charted; their numbers sort in the page's order."""


MOST_TIMESTEPS, MOST_LAGS = 320, 20
"""Points of a charted curve at most: as many as MLflow draws, and what a curve that starts steep and flattens needs."""


def charted(depth: int, state: str) -> list[str]:
    """The curves that become metrics, by their names in an archive, where they are measured.

    The loss by timestep (one of the two, by task), G1 of h, which all cells have, and the G2 that verdicts read, of the
    top layer. Everything else is in the npz alone.
    """
    return ["loss", "anytime_loss", f"total_h_l{depth - 1}", f"anchor_{state}_l{depth - 1}"]


def steps(curve: str, length: int) -> list[int]:
    """The timesteps or lags of a charted curve: all timesteps up to `MOST_TIMESTEPS`, else as many, evenly; lags ever
    further apart. The first and the last are always there."""
    lags = curve.startswith("anchor")
    most = MOST_LAGS if lags else MOST_TIMESTEPS
    if length <= most:
        return list(range(length))
    if not lags:
        return sorted({round(place * (length - 1) / (most - 1)) for place in range(most)})
    found: set[int] = {0}
    while len(found) < most:  # each as far beyond the one before as lets the rest grow by one factor
        before, left = max(found), most - len(found)
        found.add(max(before + 1, round(max(before, 1) * ((length - 1) / max(before, 1)) ** (1 / left))))
    return sorted(found)


def by_step(curve: str, when: str) -> str:
    """The metric of a curve, `by_timestep/log10_total_h/3_last`: step = the timestep, or the lag of an anchor.

    Losses are as they are; norms are log10.
    """
    axis = "by_lag" if curve.startswith("anchor") else "by_timestep"
    return f"{axis}/{curve if curve.endswith('loss') else f'log10_{curve}'}/{when}"


# artifacts of a run
CURVES_FILE, HEATMAP_FILE, SPEC_FILE, RESULT_FILE = "curves.npz", "heatmap.png", "trial.yaml", "result.json"
MODEL = "model"
"""The best trial's network: a logged model of its run."""

# in a trial's folder
WEIGHTS_FILE = "weights.npz"
