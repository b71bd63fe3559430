"""The curves of an arm over its trials, from their npz files: medians and bands, thinned and in decades.

Shapes: U probed updates, S replicates, K lags or timesteps, as everywhere.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rnnlab.cells import CELLS
from rnnlab.choices import choose
from rnnlab.errors import DataError, SpecError
from rnnlab.spec import ModelSpec, TrialSpec
from rnnlab.theory import theory_of
from sweeps.analysis.data import ABSENT, axis_names, nuisance_names, text_of
from sweeps.recording.arrays import LOG10, Arrays, complete, measured
from sweeps.recording.names import CURVES_FILE
from sweeps.report.curve_lines import expected, held
from sweeps.report.figure_parts import Array, logs, relative, thinned
from sweeps.report.page.subject import Subject
from sweeps.spec import SweepSpec

TRIALS_READ = 12
"""Trials of an arm whose curves are read: the first of its blocks, whose values are drawn at random."""
ARMS_READ = 32
"""Arms whose curves are read."""
POINTS = 100
"""Lags or timesteps of a curve that are drawn, evenly spaced."""


@dataclass(frozen=True)
class Band:
    """10%, median and 90% over replicates, each (K,); up to 6 replicates: the smallest and the largest."""

    low_K: Array
    middle_K: Array
    high_K: Array


@dataclass(frozen=True)
class Ends:
    """The same curve at initialisation and at the last probe, at the places `at_K`."""

    at_K: list[int]
    first: Band
    last: Band


@dataclass(frozen=True)
class Map:
    """Medians by update and place, (U, K)."""

    updates_U: list[int]
    at_K: list[int]
    values_UK: Array


@dataclass(frozen=True)
class ArmCurves:
    """What was measured of one arm.

    Args:
        place: of the arm in the analysis. state: that its verdict reads. depth: layers; the top one is shown.
        trials, of: read, and those that the arm has. replicates: in the trials read.
        last: smallest and largest update of the last probe.
        anchor: G2 in decades relative to lag 5. loss: at each timestep. anchor_map, total_map: G2, and log10 of G1.
        trained_everywhere: False where the loss by timestep is that of a readout which is not trained at every t.
        theory_K: of G2 at initialisation, at the places of `anchor`; None: there is none. theory: its name.
    """

    place: int
    state: str
    depth: int
    trials: int
    of: int
    replicates: int
    last: tuple[int, int]
    anchor: Ends
    anchor_map: Map
    total_map: Map | None = None
    loss: Ends | None = None
    trained_everywhere: bool = False
    theory_K: Array | None = None
    theory: str = ""


@dataclass
class _Probes:
    """One kind of curve of all trials read: (S, K) by update, and those of both ends."""

    by_update: dict[int, list[Array]] = field(default_factory=dict)
    first: list[Array] = field(default_factory=list)
    last: list[Array] = field(default_factory=list)

    def add(self, updates_U: Array, values_USK: Array, rows: list[int]) -> None:
        if self.first and self.first[0].shape[1] != values_USK.shape[2]:
            return  # another length of the task: its lags do not line up
        self.first.append(values_USK[rows[0]])
        self.last.append(values_USK[rows[-1]])
        for update, values_SK in zip(updates_U, values_USK, strict=True):
            self.by_update.setdefault(int(update), []).append(values_SK)

    def ends(self) -> Ends | None:
        if not self.first:
            return None
        at = thinned(self.first[0].shape[1], POINTS)
        return Ends(at, _band(np.concatenate(self.first)[:, at]), _band(np.concatenate(self.last)[:, at]))

    def map(self) -> Map | None:
        if not self.first:
            return None
        at = thinned(self.first[0].shape[1], POINTS)
        updates = sorted(self.by_update)
        rows = [_band(np.concatenate(self.by_update[update])[:, at]).middle_K for update in updates]
        return Map(updates, at, np.stack(rows))


class TaskFacts:
    """What theory needs of a task, read once for each: its inputs, the second moment of what is fed in, its loss."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, float, int, str] | None] = {}

    def of(self, spec: TrialSpec) -> tuple[int, float, int, str] | None:
        """I, mean of x^2 over the probe batch, T, and the objective; None where the task cannot be read here."""
        key = spec.task.model_dump_json()
        if key not in self._known:
            from rnnlab.training.stack import load_task

            try:
                task = load_task(spec)
                x_TNI = task.validation.x_TNI[:, : spec.probe.batch].double()
                self._known[key] = (task.inputs, float(x_TNI.square().mean()), task.length, task.objective)
            except (DataError, SpecError, OSError):
                self._known[key] = None
        return self._known[key]


def curves_of(subject: Subject, tasks: TaskFacts) -> list[ArmCurves]:
    """Curves of the first `ARMS_READ` arms that have any, the most telling arm first."""
    found: list[ArmCurves] = []
    for place in subject.order:
        if len(found) == ARMS_READ:
            break
        rows = subject.rows(subject.analysis.arms[place])
        one = _arm(subject, place, rows, tasks) if len(rows) else None
        if one is not None:
            found.append(one)
    return found


def _arm(subject: Subject, place: int, rows: pd.DataFrame, tasks: TaskFacts) -> ArmCurves | None:
    spec = subject.data.spec
    trials = rows.drop_duplicates("trial").to_dict("records")
    first = trial_of(spec, trials[0])
    state, depth = choose(CELLS, first.model.cell.kind).load().anchor_state, first.model.depth
    names = {
        "anchor": f"anchor_{state}_l{depth - 1}",
        "total": f"total_h_l{depth - 1}",
        "loss": "loss",
        "anytime": "anytime_loss",
    }
    probes = {kind: _Probes() for kind in names}
    read, replicates, ends = 0, 0, []
    for arrays in _files(subject.folder, [int(row["trial"]) for row in trials], names.values()):
        if names["anchor"] not in arrays or not len(arrays["updates"]):
            continue
        seen_US = measured(arrays[names["anchor"]])
        counted = complete(seen_US)
        if not counted:
            continue
        updates_U = arrays["updates"]
        for kind, name in names.items():
            if name in arrays:
                probes[kind].add(updates_U, _shown(arrays, name, kind), counted)
        read, replicates = read + 1, replicates + seen_US.shape[1]
        ends.append(int(updates_U[counted[-1]]))
    anchor, anchor_map = probes["anchor"].ends(), probes["anchor"].map()
    if anchor is None or anchor_map is None:
        return None
    trained = probes["loss"].ends()
    theory_K, theory = _theory(first.model, tasks.of(first), anchor)
    return ArmCurves(
        place, state, depth, read, len(trials), replicates, (min(ends), max(ends)), anchor, anchor_map,
        probes["total"].map(), trained or probes["anytime"].ends(), trained is not None, theory_K, theory,
    )  # fmt: skip


def trial_of(spec: SweepSpec, row: Mapping[Any, Any]) -> TrialSpec:
    """The trial that a row of the table came from."""
    picks: dict[str, Any] = {}
    for name in axis_names(spec):
        if row[name] != ABSENT:
            offered = (v for d in spec.parsed_space.dimensions if d.name == name for v in d.grid or ())
            picks[name] = next(value for value in offered if text_of(value) == row[name])
    for name in nuisance_names(spec):
        if not pd.isna(row[name]):
            picks[name] = row[name]
    return spec.trial(int(row["trial"]), picks)


def _files(folder: Path, trials: list[int], wanted: Iterable[str]) -> Iterator[Arrays]:
    """What is wanted of at most `TRIALS_READ` files."""
    names = {"updates", *wanted, *(name + LOG10 for name in wanted)}
    given = 0
    for number in trials:
        path = folder / "trials" / f"{number:04}" / CURVES_FILE
        try:
            with path.open("rb") as file, np.load(file) as stored:
                arrays = {name: stored[name] for name in stored.files if name in names}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error):
            continue  # not written, or just being written
        yield arrays
        given += 1
        if given == TRIALS_READ:
            return


def _shown(arrays: Mapping[str, Array], name: str, kind: str) -> Array:
    if kind == "anchor":
        return relative(logs(arrays, name))
    if kind == "total":
        return logs(arrays, name)
    return held(arrays[name])


def _theory(model: ModelSpec, facts: tuple[int, float, int, str] | None, anchor: Ends) -> tuple[Array | None, str]:
    found = theory_of(model, *facts[:3]) if facts else None
    if found is None or anchor.at_K[-1] >= len(found.log10_K):
        return None, ""
    return expected(found, anchor.at_K[-1] + 1)[anchor.at_K], found.label


def _band(values_SK: Array) -> Band:
    """By rank, so that an exact 0 (a very low number) stays one."""
    ordered_SK = np.sort(values_SK, axis=0)  # NaN comes last
    count_K = np.sum(~np.isnan(values_SK), axis=0)

    def pick(place_K: Array) -> Array:
        at_K = np.maximum(np.rint(place_K).astype(int), 0)
        picked: Array = np.take_along_axis(ordered_SK, at_K[None], axis=0)[0]
        return picked

    last_K = count_K - 1.0
    middle_K = (pick(np.floor(last_K / 2)) + pick(np.ceil(last_K / 2))) / 2
    return Band(pick(0.1 * last_K), middle_K, pick(0.9 * last_K))
