"""Findings in words, made from the numbers: a sentence says no more than its interval carries.

A difference is claimed where its Holm p is below .05 and its interval leaves out 0. "No difference" is said only
where the whole interval lies within `MARGIN`; else the sentence says that it is undecided. Health and success are told
side by side, never one as the reason of the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Literal

from sweeps.analysis.results import SHARES, Arm, Auc, Contrast, Cross, Finding, Interaction
from sweeps.analysis.sentences import (
    ALPHA,
    CELLS,
    Context,
    Told,
    alike,
    claimed,
    clause,
    factor,
    in_full,
    shares_in_words,
    subject_of,
)

Kind = Literal["effect", "no effect", "undecided"]


def findings_of(
    contrasts: Sequence[Contrast],
    interactions: Sequence[Interaction],
    health: Sequence[Cross],
    signals: Sequence[Auc],
    arms: Sequence[Arm],
    told: Told,
) -> list[Finding]:
    """All findings, strongest first."""
    paired = [contrast for contrast in contrasts if contrast.evidence == "paired"]
    together = [one for one in interactions if one.p_holm is not None and one.p_holm < ALPHA and one.outcome in CLAIMS]
    found = [_level(list(group), together, told) for group in _by_level(paired)]
    found += _interactions(together)
    found += [_confirmed(list(group), told) for group in _by_level([c for c in contrasts if c.evidence == "confirmed"])]
    found += _health(health, signals)
    if not paired:
        found += _descriptive(arms)
    return sorted(found, key=lambda finding: -finding.strength)


def _by_level(contrasts: Sequence[Contrast]) -> list[list[Contrast]]:
    def key(contrast: Contrast) -> tuple[str, str]:
        return contrast.axis, contrast.level

    return [list(group) for _, group in groupby(sorted(contrasts, key=key), key=key)]


def _level(contrasts: list[Contrast], together: Sequence[Interaction], told: Told) -> Finding:
    """One level of one axis: the strongest context in full, the others in a clause each."""
    contexts: dict[Context, dict[str, Contrast]] = {}
    for contrast in contrasts:
        contexts.setdefault(tuple(sorted(contrast.within.items())), {})[contrast.outcome] = contrast
    any_one = contrasts[0]
    chosen = _contexts(any_one.axis, contexts, together, told)
    ranked = sorted(chosen, key=lambda key: -_strength(chosen[key].values()))
    first = ranked[0]
    text = [f"{subject_of(any_one)} {in_full(chosen[first], first, told)}"]
    text += [clause(chosen[key], key, told) for key in ranked[1:]]
    used = [contrast for key in ranked for contrast in chosen[key].values()]
    kind: Kind = "undecided"
    if any(claimed(contrast) for contrast in used if contrast.outcome in CLAIMS):
        kind = "effect"
    elif all(alike(contrast) for contrast in used if contrast.outcome in ("healthy", "solved")):
        kind = "no effect"
    strength = max(_strength(chosen[key].values()) for key in ranked)
    return Finding(
        text=" ".join(part for part in text if part),
        strength={"effect": 10.0, "no effect": 2.0, "undecided": 1.0}[kind] + strength,
        kind=kind,
        contrasts=used,
        caveats=sorted({contrast.note for contrast in used if contrast.note and contrast.outcome in MAIN}),
    )


def _contexts(
    axis: str, contexts: dict[Context, dict[str, Contrast]], together: Sequence[Interaction], told: Told
) -> dict[Context, dict[str, Contrast]]:
    """The contexts that a level is told in: each cell, where there are several, since their mean speaks of none; and
    each level of an axis that it acts together with, since the mean over them does not either."""
    partners = {one.by if one.axis == axis else one.axis for one in together if axis in (one.axis, one.by)}
    by: dict[str, dict[Context, dict[str, Contrast]]] = {}
    for key, seen in contexts.items():
        if len(key) == 1:
            by.setdefault(key[0][0], {})[key] = seen
    cells = by.get("cell", {})
    inside = [other for other in by if other in partners and other != "cell"]
    if len(cells) > 1:
        chosen = dict(cells)
        for other in inside:
            whole = (("cell", told.cell_of.get(other, "")),)
            if whole in chosen:
                del chosen[whole]
                chosen |= by[other]
        return chosen
    if inside:
        return by[inside[0]]
    return {(): contexts[()]} if () in contexts else contexts


CLAIMS = ("healthy_init", "healthy", "solved", "exploded", "test_score")
"""Outcomes of which one makes a finding an effect."""
MAIN = (*CLAIMS, "cpu_per_update")
"""Outcomes that a finding puts in words."""


def _strength(contrasts: Iterable[Contrast]) -> float:
    """Sum of the absolute claimed differences of health and success, and a little of what is not claimed."""
    total = 0.0
    for contrast in contrasts:
        if contrast.outcome == "healthy_init" and claimed(contrast):
            total += 0.5 * abs(contrast.effect.value)
        elif contrast.outcome in ("healthy", "solved", "exploded"):
            total += abs(contrast.effect.value) * (1.0 if claimed(contrast) else 0.1)
        elif contrast.outcome == "test_score" and claimed(contrast):
            total += min(1.0, abs(contrast.effect.value))
    return total


def _interactions(together: Sequence[Interaction]) -> list[Finding]:
    """Which axes act together, once for each pair of axes."""
    found = []
    pairs = dict.fromkeys((one.axis, one.by) for one in together)
    for axis, by in pairs:
        mine = [one for one in together if (one.axis, one.by) == (axis, by)]
        strongest = max(mine, key=lambda one: abs(one.effect.value))
        outcomes = ", ".join(f"`{name}`" for name in dict.fromkeys(one.outcome for one in mine))
        unit, what = (100, "points") if strongest.outcome in SHARES else (1, "")
        value, low, high = (
            unit * number for number in (strongest.effect.value, strongest.effect.low, strongest.effect.high)
        )
        found.append(
            Finding(
                text=f"What {axis} does depends on {by}, in {outcomes}. Most so: the effect of `{strongest.level}` "
                f"instead of `{strongest.baseline}` on `{strongest.outcome}` differs by {value:+.3g} {what} between "
                f"`{strongest.by_level}` and `{strongest.by_baseline}` (95% interval {low:.3g} to {high:.3g}, Holm p "
                f"{'< 0.001' if (strongest.p_holm or 0) < 0.001 else f'= {strongest.p_holm:.2g}'}). Read the effects "
                "for each, not on average.".replace("  ", " "),
                strength=4.0 + min(1.0, abs(strongest.effect.value)),
                kind="interaction",
            )
        )
    return found


def _confirmed(contrasts: list[Contrast], told: Told) -> Finding:
    seen = {contrast.outcome: contrast for contrast in contrasts}
    any_one = contrasts[0]
    text = f"Confirmed on {any_one.units} fresh {told.unit}s, each arm at its own best nuisance values: "
    text += f"`{any_one.level}` against the baseline `{any_one.baseline}` "
    parts = [
        shares_in_words(seen[name], word, told)
        for name, word in (("solved", "solved"), ("healthy", "healthy"))
        if name in seen
    ]
    if "test_score" in seen:
        one = seen["test_score"]
        better = one.effect.value < 0
        parts.append(f"test loss {'lower' if better else 'higher'} by {factor(one, better)}")
    return Finding(
        text=text + "; ".join(parts) + ".",
        strength=8.0 + _strength(contrasts),
        kind="confirmed",
        contrasts=contrasts,
        caveats=sorted({contrast.note for contrast in contrasts if contrast.note}),
    )


def _health(health: Sequence[Cross], signals: Sequence[Auc]) -> list[Finding]:
    """Health against success, and what tells early who solves: told side by side."""
    found = []
    whole = next((cross for cross in health if cross.group == "all"), None)
    if whole is not None and whole.solved_if_healthy is not None and whole.solved_if_sick is not None:
        text = (
            "Of the replicates whose gradient was healthy at the end, "
            f"{_share_of(whole.healthy_solved, whole.healthy_unsolved)} solved the task; of the others, "
            f"{_share_of(whole.sick_solved, whole.sick_unsolved)}."
        )
        for cross in health:
            healthy, sick = cross.healthy_solved + cross.healthy_unsolved, cross.sick_solved + cross.sick_unsolved
            if cross.group != "all" and healthy and sick:
                text += (
                    f" {CELLS.get(cross.group, cross.group)}: {_share_of(cross.healthy_solved, cross.healthy_unsolved)}"
                    f" against {_share_of(cross.sick_solved, cross.sick_unsolved)}."
                )
        found.append(
            Finding(
                text=text,
                strength=3.5,
                kind="health",
                caveats=["This is how often both occur together, not that one brings the other."],
            )
        )
    at = [auc for auc in signals if auc.group == "all" and auc.percent == 5]
    loss = next((auc for auc in at if auc.signal == "loss"), None)
    others = [auc for auc in at if auc.signal not in ("loss", "healthy")]
    if loss is not None and others:
        best = max(others, key=lambda auc: abs(auc.auc.value - 0.5))
        found.append(
            Finding(
                text=f"After 5% of the budget the training loss tells who will solve the task with an AUC of "
                f"{_apart(loss)}; the best gradient signal, `{best.signal}`, with {_apart(best)}.",
                strength=3.0,
                kind="health",
                caveats=[
                    f"The best of {len(others)} gradient signals looks better than it is; docs/prediction.md judges "
                    "them on sweeps that they were not fitted on."
                ],
            )
        )
    return found


def _share_of(yes: int, no: int) -> str:
    return f"{yes} of {yes + no}"


def _apart(auc: Auc) -> str:
    """An AUC the right way round, with its interval."""
    one = auc.auc
    ends = (one.value, one.low, one.high) if one.value >= 0.5 else (1 - one.value, 1 - one.high, 1 - one.low)
    return f"{ends[0]:.2f} (95% interval {ends[1]:.2f} to {ends[2]:.2f})"


def _descriptive(arms: Sequence[Arm]) -> list[Finding]:
    """What can be said where nothing is paired: the best arm that was seen, and no claim."""
    scored = [arm for arm in arms if "test_score" in arm.means]
    if not scored:
        return []
    best = min(scored, key=lambda arm: arm.means["test_score"].value)
    if all(arm.counts.get("diverged", 0) == arm.replicates for arm in scored):
        dead = sum(arm.replicates for arm in scored)
        return [
            Finding(
                text=f"No arm that was tried trained: all {dead} replicates diverged.",
                strength=0.5,
                kind="descriptive",
                caveats=["Nothing follows about any level."],
            )
        ]
    found = "The best arm that was tried"
    if best.means["test_score"].value >= 0:
        found = "No arm that was tried beat a trivial guess; the nearest to one"
    return [
        Finding(
            text=f"{found} is {best.label}: log10(test loss / trivial baseline) "
            f"{best.means['test_score'].value:+.2f} over {best.replicates} replicates.",
            strength=0.5,
            kind="descriptive",
            caveats=[
                "Its configurations were picked by looking at scores, or no block was shared by two arms: no claim "
                "about a level follows. A `design: screen` compares them."
            ],
        )
    ]
