"""What the API takes and gives. Lists have one shape, `Page`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from sweeps.store import SweepStatus, TrialState

T = TypeVar("T")
Verdict = Literal["healthy", "vanishing", "exploding", "transient", "too_short"]


class Model(BaseModel):
    """Frozen, and refuses extra keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Page(Model, Generic[T]):
    """Some of a list."""

    items: list[T]
    total: int = Field(description="of the whole list, filters applied")
    offset: int
    limit: int


class Span(BaseModel):
    """Which part of a list is wanted; a route's own filters stand beside it."""

    offset: int = Field(0, ge=0, le=10_000_000)
    limit: int = Field(50, ge=1, le=500)


Wanted = Annotated[Span, Query()]


class Launch(Model):
    """What to run: one of `spec`, `yaml` and `recipe`."""

    spec: dict[str, Any] | None = Field(None, description="a sweep spec")
    yaml: str | None = Field(None, description="a sweep spec as YAML text", max_length=1_000_000)
    recipe: str | None = Field(None, description="the name of a recipe", max_length=100)
    workers: int | None = Field(None, ge=1, le=100_000, description="trials at a time; default: what Ray has")


class Checked(Model):
    """What a spec means."""

    name: str
    hash: str
    trials: int
    replicates: int
    updates: int
    yaml: str = Field(description="the same spec, defaults left out")


class SweepSeen(Model):
    """A sweep as the API shows it."""

    id: str
    name: str
    description: str
    status: SweepStatus
    lost: bool = Field(description="its driver died; the service queues it again by itself")
    launched_by: str | None
    trials: int = Field(description="that it will have")
    ended: int = Field(description="trials that have ended")
    running: int = Field(description="trials that run now")
    by_verdict: dict[str, int] = Field(description="ended trials by their last probe's verdict")
    by_state: dict[str, int]
    best_score: float | None = Field(description="log10(validation loss / trivial baseline); lower is better")
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    seconds: float | None = Field(description="since it started, until it ended")
    eta_seconds: float | None = Field(description="left, at the rate of the trials that have ended")
    stop_requested: bool
    message: str | None
    recording: str | None = Field(description="why MLflow lags, if it does")
    mlflow: str | None = Field(description="its page in the dashboard")
    workers: int | None
    attempts: int


class TrialSeen(Model):
    """A trial as the API shows it."""

    number: int
    label: str
    state: TrialState
    params: dict[str, Any]
    block: int
    score: float | None
    score_sd: float | None
    test_score: float | None
    verdict: str | None
    verdict_init: str | None
    decades: float | None
    decades_init: float | None
    solved: int
    healthy: int
    exploded: int
    updates: int
    seconds: float | None
    cause: str | None
    worker: str | None
    started_at: datetime
    ended_at: datetime | None
    mlflow: str | None = Field(description="its run in the dashboard")


class EventSeen(Model):
    """Something that happened to a sweep."""

    id: int
    at: datetime
    kind: str
    message: str
    data: dict[str, Any]


class CurvesSeen(Model):
    """Curves of a trial: medians over replicates, or one replicate's."""

    trial: int
    updates: list[int] = Field(description="at which probes were made")
    names: list[str] = Field(description="curves that there are")
    name: str
    values: list[list[float | None]] = Field(description="a row an update, a column a timestep or lag; null: none")
    axis: Literal["timestep", "lag", "index"] = Field(description="what a column is; index: a place in a list")
    log10: bool = Field(description="whether values are log10")
    replicate: int | None


class TableLine(Model):
    """One alternative."""

    name: str
    summary: str
    source: str
    options: list[str]
    cells: list[str] | None


class Health(Model):
    """How the service is."""

    status: Literal["ok", "degraded"]
    lab: str
    engine: str
    mlflow: str


class Version(Model):
    """What runs here."""

    rnnlab: str
    api: str = "1"
    python: str
    packages: dict[str, str]
