"""How to read each section, in plain sentences, and what is said of the sweep as a whole."""

from __future__ import annotations

import shlex

from rnnlab.spec import VerdictSpec
from sweeps.analysis.results import Analysis, Finding
from sweeps.report.page.curves import ARMS_READ, TRIALS_READ, ArmCurves
from sweeps.report.page.subject import Subject

R = VerdictSpec().decades
KINDS = {
    "effect": "effect",
    "no effect": "no effect worth noting",
    "interaction": "it depends",
    "health": "health and success",
    "undecided": "undecided",
    "descriptive": "description, no claim",
    "confirmed": "confirmed on fresh seeds",
}
"""Kind of a finding, in words."""
FINDINGS = (
    "The strongest comes first. An effect is a level less the baseline level with everything else equal; brackets hold "
    "its 95% interval, p is two-sided and, after Holm, accounts for all contrasts of that outcome."
)
GLANCE = (
    "Three arms to keep in mind below. The first was picked as the best on these very data, so its number flatters it; "
    "whether a mitigation helps is said by the findings, not by this table."
)
TABLE = (
    "A row an arm: one configuration over all its units, n replicates in all. Healthy: the gradient neither vanished "
    "nor exploded over the task's lag. D: powers of ten that it gained or lost over it; 0 keeps all, below "
    f"−{R:g} is vanishing. Test score: log10(test loss / trivial baseline), lower is better, 0 is a trivial guess. "
    "Rows marked adaptive or no evidence support no claim."
)
EFFECTS = (
    "A dot is the difference that a level makes against the baseline level of its axis, everything else equal; the "
    "line is its 95% interval. Filled: still clear after Holm. Open and grey: these data do not tell it from 0, "
    "which does not show that there is none. Rows marked “within” hold inside one level of another axis alone."
)
HEALTH = (
    "A living gradient does not by itself mean that a task is learned: compare the two shares of each table. Solved "
    "is judged on the test split, healthy at the last probe."
)
SIGNALS = (
    "A dot is how well a number seen early tells who will solve the task: the chance that a replicate that solved it "
    "has the higher value than one that did not. On the dashed line at 0.5 it tells nothing; below, low values "
    "speak for success. The early loss is the predictor to beat."
)
COST = "Processor time of one update, of all replicates of a trial divided by their number; it does not count waiting."
IMPORTANCE = (
    "How much of the differences between trials a param explains by the evaluator named. It is neither a direction "
    "nor a cause; read it beside the effects. PED-ANOVA asks which params set the best tenth of trials apart, fANOVA "
    "which params explain the outcome over the whole space."
)
SENSITIVITY = (
    f"Healthy means that the gradient keeps within r decades over the lag; r is {R:g} everywhere else on this page. "
    "Where the shares of an arm move much with r, its verdict hangs on that choice."
)
REPRODUCTION = "The same spec with the same seed and versions asks and trains the same."


def ranked(analysis: Analysis) -> list[Finding]:
    """Findings, the strongest first."""
    return sorted(analysis.findings, key=lambda one: -one.strength)


def gradient_words(curves: list[ArmCurves], arms: int) -> str:
    """How to read the gradients by lag, and what of them was read."""
    if not curves:
        return "No curve has been recorded in this sweep's folder yet."
    read = (
        "How much of the gradient of the last state is left k timesteps back (G2), in decades: 0 is all of what "
        f"there was at lag 5, −{R:g} a thousandth, below that the verdict is vanishing (dotted line); the dashed "
        "upright line is the task's lag. Lines are medians over replicates, bands hold the middle 80% (10% to 90%; of "
        "up to 6 replicates all of them). A line that leaves its panel below has reached an exact 0 or nearly so."
    )
    capped = []
    if any(one.trials < one.of for one in curves):
        capped.append(
            f" Of an arm the curves of at most its first {TRIALS_READ} trials are read; how many stands above it"
        )
    if len(curves) < arms:
        most = f"at most {ARMS_READ} arms are drawn, the most telling first" if len(curves) == ARMS_READ else ""
        reason = most or "the others have no curves here"
        capped.append(f" {len(curves)} of {arms} arms are shown: {reason}")
    return read + "".join(f"{one}." for one in capped)


def failed_words(subject: Subject, shown: int, count: int) -> str:
    """How many did not finish, and how many exploded."""
    exploded = int(subject.data.frame["exploded"].sum())
    rows = len(subject.data.frame)
    told = (
        f"{count} failed trials or replicates that did not finish"
        + (f", of which {shown} are listed" if shown < count else "")
        if count
        else "No trial failed and every replicate finished"
    )
    return (
        f"{told}. A replicate that diverged had a non-finite state, loss or gradient; it stays in every analysis with "
        f"the worst score. Of the {rows} replicates of complete trials {exploded} exploded at some point, "
        "which does not always end one."
    )


def reproduction(subject: Subject) -> list[tuple[str, str]]:
    """What identifies the sweep and runs it again."""
    spec = subject.data.spec
    file = f"{spec.name}.yaml"
    return [
        ("sweep", subject.analysis.sweep_id),
        ("hash of the spec", spec.content_hash),
        ("seed of the sweep", str(spec.search.seed)),
        ("seed of a replicate", "hash(sweep seed, block, replicate)"),
        ("command, with the spec below saved as that file", f"rnnlab sweep run {shlex.quote(file)}"),
    ]
