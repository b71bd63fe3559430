"""What a check can find: every code, what it means, and how `--repair` mends it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Group = Literal["lab", "mlflow", "files"]


@dataclass(frozen=True)
class Kind:
    """One kind of finding.

    Args:
        group: where it lies. means: what is wrong. mend: what `--repair` does; None: it cannot be mended.
        behind: while a sweep runs this may be nothing but lag.
    """

    group: Group
    means: str
    mend: str | None
    behind: bool = False


FROM_LAB = "written again from the lab database"
FROM_CURVES = "made again from the lab database and the kept curves"
NO_POINT = "MLflow deletes no point"
"""Why what stands in a metric stays."""
KINDS: dict[str, Kind] = {
    "sweep-lost": Kind("lab", "its driver died", "marked as stopped"),
    "trial-running": Kind("lab", "a trial runs in a sweep that does not", "marked as interrupted"),
    "trials-missing": Kind("lab", "it has finished without all trials", "marked as stopped, so that it can be resumed"),
    "replicates-wrong": Kind("lab", "a trial that ended lacks replicates, or has others", None),
    "lab-not-finite": Kind("lab", "NaN or infinity in the lab database", None),
    "block-missing": Kind("lab", "a trial's block is not there", "made again from the spec"),
    "reports-wrong": Kind("lab", "reports that no trial tells", None),
    "experiment-missing": Kind("mlflow", "no experiment", "made", behind=True),
    "experiment-deleted": Kind("mlflow", "a person deleted it", "restored"),
    "experiments-several": Kind("mlflow", "more than one experiment is tagged with this sweep", None),
    "experiment-id": Kind(
        "mlflow", "the lab database names another experiment", "the lab database is told", behind=True
    ),
    "run-missing": Kind("mlflow", "no run", FROM_CURVES, behind=True),
    "run-deleted": Kind("mlflow", "a person deleted it", "restored"),
    "runs-several": Kind("mlflow", "more than one run", "all but one are deleted; `mlflow runs restore` undoes it"),
    "run-stray": Kind("mlflow", "a run of no trial in the lab database", None),
    "run-id": Kind("mlflow", "the lab database names another run", "the lab database is told", behind=True),
    "status": Kind("mlflow", "the run's status is not the trial's", FROM_LAB, behind=True),
    "tags": Kind("mlflow", "tags differ", FROM_LAB, behind=True),
    "params-missing": Kind("mlflow", "params are missing", FROM_LAB, behind=True),
    "params-wrong": Kind("mlflow", "params differ, and MLflow changes none", None),
    "finals-missing": Kind("mlflow", "final metrics are missing", FROM_LAB, behind=True),
    "finals-wrong": Kind("mlflow", f"final metrics differ, and {NO_POINT}", None),
    "finals-early": Kind("mlflow", f"final metrics of a trial that has not ended, and {NO_POINT}", None),
    "score-missing": Kind("mlflow", "reported scores are missing", FROM_LAB, behind=True),
    "score-wrong": Kind("mlflow", f"scores are not those reported, and {NO_POINT}", None),
    "report-missing": Kind("mlflow", "scores that the lab database has no report of", "reported as MLflow has them"),
    "points-missing": Kind("mlflow", "points of updates that were recorded are lost", None, behind=True),
    "points-doubled": Kind("mlflow", f"one step more than once, and {NO_POINT}", None),
    "mlflow-not-finite": Kind("mlflow", f"NaN or infinity, and {NO_POINT}", None),
    "charts-missing": Kind("mlflow", "no metrics of the curves", FROM_CURVES, behind=True),
    "artifacts-missing": Kind("mlflow", "artifacts are missing", FROM_CURVES, behind=True),
    "spool-waiting": Kind("files", "messages wait for MLflow", "written to MLflow", behind=True),
    "spool-aside": Kind("files", "messages that could not be read or that MLflow refused", None),
    "open-left": Kind("files", "a trial that ended is still open", "removed", behind=True),
    "open-missing": Kind("files", "curves so far, which a resumed sweep needs, are not open", FROM_CURVES, behind=True),
    "curves-missing": Kind("files", "its curves are not in its folder", "fetched from MLflow", behind=True),
    "probes-missing": Kind("files", "curves of updates that were probed are lost", None, behind=True),
    "checkpoint-left": Kind("files", "a checkpoint of a trial that ended", "removed", behind=True),
    "folder-left": Kind("files", "left by a driver that died", "removed"),
    "folder-stray": Kind("files", "a folder of no trial in the lab database", None),
    "summary-missing": Kind("files", "parts of the report are missing", "the report is made again"),
}
"""Code -> what it means."""


@dataclass(frozen=True)
class Finding:
    """One difference.

    Args:
        code: of `KINDS`. trial: which; None: the sweep as a whole. wanted: what must be. found: what is.
        lag: MLflow is only behind, for the sweep runs. lost: what would mend it is gone. mended: it was there.
        detail: for the one who mends: names, ids.
    """

    code: str
    trial: int | None
    wanted: str
    found: str
    lag: bool = False
    lost: bool = False
    mended: bool = False
    detail: tuple[str, ...] = ()

    @property
    def kind(self) -> Kind:
        """What it means."""
        return KINDS[self.code]

    @property
    def mend(self) -> str | None:
        """How `--repair` mends it, if it can."""
        return None if self.lost else self.kind.mend

    @property
    def where(self) -> str:
        """The trial, or the sweep."""
        return "sweep" if self.trial is None else f"trial {self.trial}"

    @property
    def key(self) -> tuple[str, int | None]:
        """What makes two findings the same one."""
        return self.code, self.trial

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        plain = asdict(self)
        plain.pop("detail")
        plain.pop("lost")
        return {"group": self.kind.group, **plain, "means": self.kind.means, "mend": self.mend}
