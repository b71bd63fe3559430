"""Numbers and states as people read them, in the tables, the figures and the sentences alike."""

from __future__ import annotations

import math

from sweeps.analysis.results import Analysis, Arm, Contrast, Interval
from sweeps.report.page.subject import Subject

NONE = "–"
"""Stands where nothing was measured or nothing can be said."""
EVIDENCE = {
    "paired": "paired",
    "confirmed": "confirmed on fresh seeds",
    "adaptive": "adaptive: no claim",
    "none": "no evidence",
}
"""Where a number comes from, short."""
EVIDENCE_LONG = {
    "paired": "every arm ran in the same blocks, so that differences are taken within a block",
    "confirmed": "picked on other data, then run again on fresh seeds",
    "adaptive": "its trials were picked by looking at scores: good for finding a configuration, no basis for a claim "
    "about a level",
    "none": "too few trials for any claim",
}
"""The same, in a sentence."""
OUTCOME_NAMES = {
    "healthy": "P(healthy)",
    "healthy_init": "P(healthy at initialisation)",
    "vanished": "P(vanished)",
    "exploded": "P(exploded)",
    "solved": "P(solved)",
    "test_score": "test score",
    "decades": "decades D at the end",
    "decades_init": "decades D at initialisation",
    "updates_to_solve": "updates to solve",
    "cpu_per_update": "CPU seconds per update",
}
"""Outcome -> its name at an axis or in a column."""
BETTER = {"healthy": 1, "healthy_init": 1, "solved": 1, "vanished": -1, "exploded": -1, "test_score": -1,
          "updates_to_solve": -1, "cpu_per_update": -1}  # fmt: skip
"""Outcome -> 1 where more is better, -1 where less is. Of decades neither: 0 is kept."""
ALPHA = 0.05
"""Holm's p below which a contrast is shown as clear."""


def number(value: float | None, digits: int = 2) -> str:
    """`0.83`, `−1.20`; `–` for what is not finite."""
    if value is None or not math.isfinite(value):
        return NONE
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "−")


def short(value: float | None) -> str:
    """Three significant digits: `0.00123`, `1230`."""
    if value is None or not math.isfinite(value):
        return NONE
    text = f"{value:.3g}"
    return (f"{value:.0f}" if "e+" in text else text).replace("-", "−")


def interval(one: Interval | None, digits: int = 2) -> str:
    """`0.83 [0.66, 0.93]`."""
    return f"{number(None if one is None else one.value, digits)} {ends(one, digits)}".rstrip()


def ends(one: Interval | None, digits: int = 2) -> str:
    """`[0.66, 0.93]`; nothing where there is none."""
    if one is None or not all(map(math.isfinite, (one.value, one.low, one.high))):
        return ""
    return f"[{number(one.low, digits)}, {number(one.high, digits)}]"


def p_value(p: float | None) -> str:
    """`0.031`, `< 0.001`; `–` where no claim is made."""
    if p is None or not math.isfinite(p):
        return NONE
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def clear(one: Contrast) -> bool:
    """Whether a contrast stays below `ALPHA` after Holm."""
    return one.p_holm is not None and one.p_holm < ALPHA


def better(one: Contrast) -> bool | None:
    """Whether the level did better than the baseline; None where that has no direction."""
    direction = BETTER.get(one.outcome)
    if direction is None:
        return None
    reference = 1.0 if one.outcome == "cpu_per_update" else 0.0
    return (one.effect.value - reference) * direction > 0


def contrast_name(one: Contrast) -> str:
    """`init: orthogonal vs default, within cell = lstm`."""
    within = ", ".join(f"{axis} = {level}" for axis, level in one.within.items())
    return f"{one.axis}: {one.level} vs {one.baseline}" + (f", within {within}" if within else "")


def names_of(analysis: Analysis) -> list[str]:
    """One name an arm, none twice: where a label occurs again, its evidence stands behind it."""
    labels = [arm.label for arm in analysis.arms]
    names: list[str] = []
    for arm in analysis.arms:
        name = arm.label if labels.count(arm.label) == 1 else f"{arm.label} ({EVIDENCE[arm.evidence]})"
        repeated = sum(other == name or other.startswith(f"{name} #") for other in names)
        names.append(f"{name} #{repeated + 1}" if repeated else name)
    return names


def unit_words(subject: Subject) -> str:
    """What a unit is, in a sentence."""
    analysis = subject.analysis
    if not analysis.units:
        return "No seeds or blocks are shared by all arms yet: differences between arms are not paired."
    if analysis.unit == "seed":
        return (
            f"{counted(analysis.units, 'unit')}. A unit is a seed: data stream and initial draws, shared by all arms, "
            "so that arms are compared within it."
        )
    drawn = ", ".join(subject.data.nuisance)
    nuisance = f" and one draw of the nuisance values ({drawn})" if drawn else ""
    return (
        f"{counted(analysis.units, 'unit')}. A unit is a block: its seeds{nuisance}, shared by all arms, so that arms "
        f"are compared within it; it holds {counted(subject.data.spec.replicates, 'replicate')} of each arm."
    )


def status(subject: Subject) -> str:
    """`Ended: 24 of 24 trials (22 complete, 2 failed)`."""
    by_state = subject.analysis.trials
    ended = sum(count for state, count in by_state.items() if state != "running")
    states = ", ".join(f"{count} {state}" for state, count in sorted(by_state.items()) if count) or "none yet"
    word = "Running" if subject.running else "Ended"
    return f"{word}: {ended} of {subject.data.spec.trials} trials have ended ({states})."


def kept(arm: Arm, name: str) -> float:
    """A share or mean of an arm; NaN where there is none."""
    found = arm.shares.get(name) or arm.means.get(name)
    return found.value if found is not None else math.nan


def counted(count: int, noun: str) -> str:
    """`1 unit`, `24 units`."""
    return f"{count} {noun}" + ("" if count == 1 else "s")
