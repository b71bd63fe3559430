"""Findings in words, made from the numbers: a sentence says no more than its interval carries.

A difference is claimed where its Holm p is below .05 and its interval leaves out 0. "No difference" is said only
where the whole interval lies within `MARGIN`; else the sentence says that it is undecided. Health and success are told
side by side, never one as the reason of the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from sweeps.analysis.results import Arm, Auc, Contrast, Cross, Finding, Interaction

ALPHA = 0.05
"""Of Holm's p, over all contrasts of an outcome."""
MARGIN = 0.2
"""Difference of a share, below which levels count as alike."""
ENOUGH = 6
"""Pairs from which a two-sided p below .05 is possible by signs alone (2 * 2^-n)."""
NAMES = {
    "init": "Initialisation",
    "bias_init": "Gate bias",
    "activation": "Activation",
    "clip": "Clipping",
    "cell": "Cell",
    "depth": "Depth",
    "optimiser": "Optimiser",
    "task.length": "Length",
    "arm": "",
}
"""How a sentence begins."""
CELLS = {"rnn": "plain RNN", "lstm": "LSTM", "gru": "GRU"}


Context = tuple[tuple[str, str], ...]
"""Axes and levels inside which an effect is taken."""
Kind = Literal["effect", "no effect", "undecided"]


@dataclass(frozen=True)
class Told:
    """What surrounds the numbers.

    Args:
        lag: K of the task. unit: `block` or `seed`. fixed: cells, where all arms have one, as `plain RNN`.
    """

    lag: int
    unit: str
    fixed: str = "network"


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
    found = [_level(list(group), told) for group in _by_level(paired)]
    found += [_interaction(one) for one in interactions if one.p_holm is not None and one.p_holm < ALPHA]
    found += [_confirmed(list(group), told) for group in _by_level([c for c in contrasts if c.evidence == "confirmed"])]
    found += _health(health, signals)
    if not paired:
        found += _descriptive(arms)
    return sorted(found, key=lambda finding: -finding.strength)


def _by_level(contrasts: Sequence[Contrast]) -> list[list[Contrast]]:
    def key(contrast: Contrast) -> tuple[str, str]:
        return contrast.axis, contrast.level

    return [list(group) for _, group in groupby(sorted(contrasts, key=key), key=key)]


def claimed(contrast: Contrast) -> bool:
    """Whether the numbers carry a difference."""
    one = 1.0 if contrast.outcome == "cpu_per_update" else 0.0
    apart = contrast.effect.low > one or contrast.effect.high < one
    return apart and contrast.p_holm is not None and contrast.p_holm < ALPHA


def alike(contrast: Contrast) -> bool:
    """Whether the numbers carry that there is no difference that matters; of shares only."""
    return contrast.effect.low > -MARGIN and contrast.effect.high < MARGIN


def _level(contrasts: list[Contrast], told: Told) -> Finding:
    """One level of one axis: the strongest context in full, the others in a clause each."""
    contexts: dict[Context, dict[str, Contrast]] = {}
    for contrast in contrasts:
        contexts.setdefault(tuple(sorted(contrast.within.items())), {})[contrast.outcome] = contrast
    overall = contexts.get((), {})
    # where cells differ their mean speaks of none of them
    by_cell = {key: value for key, value in contexts.items() if [name for name, _ in key] == ["cell"]}
    chosen: dict[Context, dict[str, Contrast]] = {(): overall} if overall else contexts
    if len(by_cell) > 1:
        chosen = by_cell
    ranked = sorted(chosen, key=lambda key: -_strength(chosen[key].values()))
    first = ranked[0]
    any_one = contrasts[0]
    text = [f"{_subject(any_one)} {_in_full(chosen[first], first, told)}"]
    text += [_clause(chosen[key], key) for key in ranked[1:]]
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


CLAIMS = ("healthy", "solved", "exploded", "test_score")
"""Outcomes of which one makes a finding an effect."""
MAIN = (*CLAIMS, "cpu_per_update")
"""Outcomes that a finding puts in words."""


def _strength(contrasts: Iterable[Contrast]) -> float:
    """Sum of the absolute claimed differences of health and success, and a little of what is not claimed."""
    total = 0.0
    for contrast in contrasts:
        if contrast.outcome in ("healthy", "solved", "exploded"):
            total += abs(contrast.effect.value) * (1.0 if claimed(contrast) else 0.1)
        elif contrast.outcome == "test_score" and claimed(contrast):
            total += min(1.0, abs(contrast.effect.value))
    return total


def _subject(contrast: Contrast) -> str:
    name = NAMES.get(contrast.axis, f"`{contrast.axis}`")
    return f"{name} `{contrast.level}` instead of `{contrast.baseline}`".strip()


def _whom(context: Context, told: Told) -> str:
    if not context:
        return f"the {told.fixed}"
    shown = [f"the {CELLS.get(level, level)}" if axis == "cell" else f"{axis} `{level}`" for axis, level in context]
    return ", ".join(shown)


def _in_full(seen: dict[str, Contrast], context: Context, told: Told) -> str:
    parts = []
    whom = _whom(context, told)
    if "healthy" in seen:
        one = seen["healthy"]
        if claimed(one):
            verb = (
                "keeps the gradient of {} alive more often" if one.effect.value > 0 else "costs {} its living gradient"
            )
            parts.append(f"{verb.format(whom)} over {told.lag} steps: {_shares(one, 'healthy', told)}.")
        elif alike(one):
            parts.append(
                f"makes no difference to how often the gradient of {whom} stays alive: {_shares(one, 'healthy', told)}."
            )
        else:
            parts.append(
                f"leaves open whether the gradient of {whom} stays alive more often: {_shares(one, 'healthy', told)}."
            )
    else:
        parts.append(f"was measured on {whom}.")
    if "exploded" in seen and claimed(seen["exploded"]):
        one = seen["exploded"]
        parts.append(
            f"It explodes {'less' if one.effect.value < 0 else 'more'} often: {_shares(one, 'exploded', told)}."
        )
    if "solved" in seen:
        parts.append(_solved(seen["solved"], told))
    if "test_score" in seen and claimed(seen["test_score"]):
        one = seen["test_score"]
        better = one.effect.value < 0
        parts.append(f"Its test loss is {'lower' if better else 'higher'}, by {_factor(one, better)}.")
    if "cpu_per_update" in seen:
        parts.append(_cost(seen["cpu_per_update"]))
    return " ".join(parts)


def _solved(one: Contrast, told: Told) -> str:
    if one.at_level == one.at_baseline == 0:
        return "Nobody solved the task either way within this budget."
    shares = _shares(one, "solved", told)
    if claimed(one):
        return f"The task is solved {'more' if one.effect.value > 0 else 'less'} often: {shares}."
    if alike(one):
        return f"How often the task is solved does not change: {shares}."
    return f"Whether the task is solved more often is undecided: {shares}."


def _clause(seen: dict[str, Contrast], context: Context) -> str:
    """What another context says, in one sentence."""
    whom = _whom(context, Told(0, ""))
    said = []
    for outcome, name in (("healthy", "healthy"), ("solved", "solved")):
        if outcome not in seen:
            continue
        one = seen[outcome]
        word = "more often" if one.effect.value > 0 else "less often"
        verdict = word if claimed(one) else "no more and no less often" if alike(one) else "undecided"
        said.append(f"{name} {verdict} ({_points(one)})")
    return f"For {whom}: {', '.join(said)}." if said else ""


def _shares(one: Contrast, word: str, told: Told) -> str:
    if one.counts is not None:
        level, base, pairs = one.counts
        what = f"{word} in {level} of {pairs} paired runs against {base} of {pairs}"
    else:
        what = f"{word} in {one.at_level:.0%} of the runs against {one.at_baseline:.0%}, over {one.units} {told.unit}s"
    p = "" if one.p_holm is None else ", Holm p " + ("< 0.001" if one.p_holm < 0.001 else f"= {one.p_holm:.2g}")
    return f"{what} (difference {_points(one)}{p})"


def _points(one: Contrast) -> str:
    value, low, high = (round(100 * number) for number in (one.effect.value, one.effect.low, one.effect.high))
    return f"{value:+d} points, 95% interval {low:d} to {high:d}"


def _factor(one: Contrast, better: bool) -> str:
    sign = -1 if better else 1
    value, *ends = (10 ** (sign * number) for number in (one.effect.value, one.effect.low, one.effect.high))
    low, high = sorted(ends)
    return f"a factor of {value:.3g} (95% interval {low:.3g} to {high:.3g})"


def _cost(one: Contrast) -> str:
    value, low, high = (100 * (number - 1) for number in (one.effect.value, one.effect.low, one.effect.high))
    if low < 0 < high:
        return f"An update costs the same within the noise (95% interval {low:+.0f}% to {high:+.0f}%)."
    word = "more" if value > 0 else "less"
    low, high = sorted((abs(low), abs(high)))
    return f"An update costs {abs(value):.0f}% {word} processor time (95% interval {low:.0f} to {high:.0f})."


def _interaction(one: Interaction) -> Finding:
    value, low, high = one.effect.value, one.effect.low, one.effect.high
    unit = 100 if one.outcome in ("healthy", "healthy_init", "solved", "vanished", "exploded") else 1
    points = " points" if unit == 100 else ""
    return Finding(
        text=f"What {one.axis} `{one.level}` instead of `{one.baseline}` does depends on {one.by}: its effect on "
        f"`{one.outcome}` is {unit * value:+.3g}{points} {'larger' if value > 0 else 'smaller'} at `{one.by_level}` "
        f"than at `{one.by_baseline}` (95% interval {unit * low:.3g} to {unit * high:.3g}, Holm p = {one.p_holm:.2g}); "
        "read its effect for each, not on average.".replace("+-", "-"),
        strength=4.0 + min(1.0, abs(value)),
        kind="interaction",
    )


def _confirmed(contrasts: list[Contrast], told: Told) -> Finding:
    seen = {contrast.outcome: contrast for contrast in contrasts}
    any_one = contrasts[0]
    text = f"Confirmed on {any_one.units} fresh {told.unit}s, each arm at its own best nuisance values: "
    text += f"`{any_one.level}` against the baseline `{any_one.baseline}` "
    parts = [
        _shares(seen[name], word, told) for name, word in (("solved", "solved"), ("healthy", "healthy")) if name in seen
    ]
    if "test_score" in seen:
        one = seen["test_score"]
        better = one.effect.value < 0
        parts.append(f"test loss {'lower' if better else 'higher'} by {_factor(one, better)}")
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
    return [
        Finding(
            text=f"The best arm that was tried is {best.label}: log10(test loss / trivial baseline) "
            f"{best.means['test_score'].value:+.2f} over {best.replicates} replicates.",
            strength=0.5,
            kind="descriptive",
            caveats=[
                "Its configurations were picked by looking at scores, or no block was shared by two arms: no claim "
                "about a level follows. A `design: screen` compares them."
            ],
        )
    ]
