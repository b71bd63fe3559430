"""The table of configurations: one row a trial, as text for a terminal, Markdown and JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from rnnlab.inits import GATED
from rnnlab.spec import ModelSpec, OptimSpec
from rnnlab.training.scale import HIGHEST
from sweeps.recording.names import MITIGATIONS
from sweeps.store import ReplicateRecord, TrialRecord
from sweeps.store.queries import OF_THE_ROW, TrialLine

NONE = "-"
"""Stands where a mitigation does not apply, or where nothing was measured."""


@dataclass(frozen=True)
class Row:
    """One configuration with its result.

    Args:
        trial: number. state: complete, pruned, interrupted, failed or running.
        cell to depth: levels of the mitigation axes, `-` where one does not apply.
        others: further picks of the space, such as lr.
        score, score_sd: log10(validation loss / trivial baseline), mean and spread over replicates; None unknown.
        test_score, test_accuracy: on the test split, means over replicates that did not diverge for accuracy.
        verdict_init, verdict: most frequent over replicates, at update 0 and at the last probe.
        decades_init, decades: median D over the task's lag, powers of ten; negative vanishes.
        exploded, diverged, solved, healthy: replicates, of `replicates`.
    """

    trial: int
    label: str
    state: str
    cell: str
    activation: str
    init: str
    bias_init: str
    clip: str
    depth: int
    others: dict[str, Any]
    score: float | None
    score_sd: float | None
    test_score: float | None
    test_accuracy: float | None
    verdict_init: str | None
    verdict: str | None
    decades_init: float | None
    decades: float | None
    exploded: int
    diverged: int
    solved: int
    healthy: int
    replicates: int
    updates: int
    seconds: float | None
    cause: str | None

    def as_dict(self) -> dict[str, Any]:
        """Plain values for `--json`."""
        return dict(vars(self))


def rows_of(trials: Iterable[TrialRecord], replicates: Iterable[ReplicateRecord], *, running: bool = True) -> list[Row]:
    """Rows from what the lab database holds, in trial order.

    Args:
        running: whether the sweep's driver lives; else a trial that still says so is `lost`.
    """
    by_trial: dict[int, list[ReplicateRecord]] = {}
    for replicate in replicates:
        by_trial.setdefault(replicate.trial, []).append(replicate)
    return lines_as_rows((_line(trial, by_trial.get(trial.number, [])) for trial in trials), running=running)


def lines_as_rows(lines: Iterable[TrialLine], *, running: bool = True) -> list[Row]:
    """Rows from lines of the lab database, in their order. Arguments as `rows_of`."""
    lines = list(lines)
    repeated = Counter(line.config_hash for line in lines)
    rows = []
    for line in lines:
        others = {name: value for name, value in line.params.items() if name not in MITIGATIONS}
        if repeated[line.config_hash] > 1:  # a design that is repeated by block
            others["block"] = line.block
        state = "lost" if line.state == "running" and not running else line.state
        rows.append(_row(line, state, others))
    return rows


def _line(trial: TrialRecord, replicates: Sequence[ReplicateRecord]) -> TrialLine:
    accuracies = [r.accuracy for r in replicates if r.accuracy is not None and r.test_score is not None]
    clip = trial.spec["optim"]["clip"]
    return TrialLine(
        **{name: getattr(trial, name) for name in OF_THE_ROW},
        model=json.dumps(trial.spec["model"]),
        clip=clip if isinstance(clip, str) else json.dumps(clip),
        planned=trial.spec["replicates"],
        replicates=len(replicates),
        diverged=sum(r.outcome == "diverged" for r in replicates),
        accuracy=sum(accuracies) / len(accuracies) if accuracies else None,
    )


@lru_cache(maxsize=4096)  # thousands of trials have some tens of models
def _model(plain: str) -> ModelSpec:
    return ModelSpec.model_validate_json(plain)


@lru_cache(maxsize=4096)
def _clip(plain: str) -> str:
    return OptimSpec.model_validate({"clip": json.loads(plain) if plain.startswith("{") else plain}).clip.label


def _row(trial: TrialLine, state: str, others: dict[str, Any]) -> Row:
    model = _model(trial.model)
    return Row(
        trial=trial.number,
        label=trial.label,
        state=state,
        cell=model.cell.label,
        activation=model.activation.label if model.activation else NONE,
        init=model.init.label,
        bias_init=model.bias_init.label if model.cell.kind in GATED else NONE,
        clip=_clip(trial.clip),
        depth=model.depth,
        others=others,
        score=trial.score,
        score_sd=trial.score_sd,
        test_score=trial.test_score,
        test_accuracy=trial.accuracy,
        verdict_init=trial.verdict_init,
        verdict=trial.verdict,
        decades_init=None if trial.verdict_init == "too_short" else trial.decades_init,
        decades=None if trial.verdict == "too_short" else trial.decades,
        exploded=trial.exploded,
        diverged=trial.diverged,
        solved=trial.solved,
        healthy=trial.healthy,
        replicates=trial.replicates or trial.planned,
        updates=trial.updates,
        seconds=trial.seconds,
        cause=trial.cause,
    )


HEADS = (
    "#", "cell", "activation", "init", "clip", "depth", "score ± sd", "test acc.",
    "verdict: init → end", "decades", "exploded", "other",
)  # fmt: skip
"""Heads of the table for people."""


def cells_of(row: Row) -> tuple[str, ...]:
    """A row as text, a cell a head."""
    return (
        str(row.trial), row.cell, row.activation, _init_text(row), row.clip, str(row.depth),
        score_text(row), NONE if row.test_accuracy is None else f"{row.test_accuracy:.2f}",
        " → ".join(verdicts_of(row)),
        f"{_decades(row.decades_init)} → {_decades(row.decades)}",
        f"{row.exploded}/{row.replicates}" if row.exploded else "no", _others(row),
    )  # fmt: skip


def score_text(row: Row) -> str:
    """`-0.85 ± 0.02`, `diverged` where every replicate did, or the state of a trial without a score."""
    if row.score is None:
        return row.state
    if row.diverged == row.replicates:
        return "diverged"
    note = f" ({row.diverged} div.)" if row.diverged else ""
    spread = f" ± {row.score_sd or 0:.2f}" if row.replicates > 1 else ""
    return f"{row.score:+.2f}{spread}{note}"


def verdicts_of(row: Row) -> tuple[str, str]:
    """The verdict at initialisation and the last one; `diverged` where every replicate did, else the state."""
    first, last = row.verdict_init or NONE, row.verdict or row.state
    if row.diverged == row.replicates:
        last = "diverged"
    elif row.verdict and row.state not in ("complete", "running"):
        last = f"{last} ({row.state} at {row.updates})"
    return first, last


def _init_text(row: Row) -> str:
    """`orthogonal(1)`, `chrono`, or both; `default` where neither was changed."""
    changed = [level for level in (row.init, row.bias_init) if level not in ("default", NONE)]
    return ", ".join(changed) or "default"


def _others(row: Row) -> str:
    """`lr 0.0044`; further picks of the space."""
    shown = (
        f"{name} {value:.2g}" if isinstance(value, float) else f"{name} {value}" for name, value in row.others.items()
    )
    return ", ".join(shown).replace("optimiser ", "")


def _decades(value: float | None) -> str:
    if value is None:
        return NONE
    return "< -300" if value < -300 else f"{value:+.1f}"


def plain(rows: Sequence[Row]) -> str:
    """The table as aligned text, for thousands of rows."""
    lines = [HEADS, *(cells_of(row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def markdown(rows: Sequence[Row]) -> str:
    """The table in Markdown."""
    lines = ["| " + " | ".join(HEADS) + " |", "|" + "---|" * len(HEADS)]
    lines += ["| " + " | ".join(cells_of(row)) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def observations(rows: Sequence[Row], lag: int) -> list[str]:
    """What the table shows, in sentences: counts and pairs as they are, no inference."""
    judged = [row for row in rows if row.verdict_init is not None]
    if not judged:
        return ["No trial was measured."]
    lines = []
    by_verdict: dict[str, list[str]] = {}
    alike = {(row.label, str({**row.others, "block": None})): row for row in judged}  # blocks are not configurations
    for row in alike.values():
        by_verdict.setdefault(row.verdict_init or NONE, []).append(row.label)
    told = "; ".join(f"{len(labels)} {name} ({_listed(labels)})" for name, labels in by_verdict.items())
    lines.append(
        f"At initialisation, over the task's lag of {lag} steps, the gradient of the {len(alike)} configurations is: "
        f"{told}."
    )
    tame: dict[str, list[Row]] = {}
    for row in judged:
        if row.clip != "none" and not row.exploded:
            tame.setdefault(_but_for_clip(row), []).append(row)
    for row in judged:
        wild = row.exploded and row.clip == "none"
        for twin in tame.get(_but_for_clip(row), ()) if wild else ():
            lines.append(
                f"#{row.trial} exploded in {row.exploded} of {row.replicates} replicates ({row.label}); its twin "
                f"#{twin.trial} with clip {twin.clip} in none."
            )
    done = [row for row in judged if row.test_score is not None and row.test_score < HIGHEST]
    if done:
        best = min(done, key=lambda row: HIGHEST if row.score is None else row.score)
        accuracy = "" if best.test_accuracy is None else f", test accuracy {best.test_accuracy:.2f}"
        lines.append(
            f"Best on the validation split: #{best.trial}, {best.label} (test score {best.test_score:+.2f}{accuracy})."
        )
    return lines


def _but_for_clip(row: Row) -> str:
    """The same for two rows that differ in the clip alone."""
    same = [getattr(row, name) for name in MITIGATIONS if name != "clip"]
    return str((same, sorted(row.others.items())))


def _listed(labels: Sequence[str], most: int = 4) -> str:
    if not labels:
        return "none"
    unique = list(dict.fromkeys(labels))
    more = f", and {len(unique) - most} more" if len(unique) > most else ""
    return "; ".join(unique[:most]) + more
