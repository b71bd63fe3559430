"""Sentences of findings: what one contrast, or all of one context, says in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sweeps.analysis.results import Contrast

ALPHA = 0.05
"""Of Holm's p, over all contrasts of an outcome."""
MARGIN = 0.2
"""Difference of a share, below which levels count as alike."""
ENOUGH = 6
"""Pairs from which a two-sided p below .05 is possible by signs alone (2 * 2^-n)."""
UNTOLD = 100
"""Percentage points of an interval of a cost beyond which it says nothing."""
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
CELLS = {
    "rnn": "plain RNN", "lstm": "LSTM", "gru": "GRU", "peephole": "peephole LSTM", "cifg": "coupled-gate LSTM",
    "nfg": "LSTM without a forget gate", "janet": "JANET", "ur_lstm": "UR-LSTM", "slstm": "sLSTM",
    "ln_lstm": "LayerNorm LSTM", "gru_v1": "GRU v1",
    "ln_gru": "LayerNorm GRU", "mgu": "MGU", "mingru": "minGRU", "minlstm": "minLSTM", "ln_rnn": "LayerNorm RNN",
    "leaky": "leaky RNN", "multiscale": "multi-timescale RNN", "antisymmetric": "antisymmetric RNN",
    "orthogonal": "orthogonal RNN", "indrnn": "IndRNN", "cornn": "coRNN", "lru": "LRU",
}  # fmt: skip
"""What a sentence calls a cell; one that is not here by its name in the table."""


Context = tuple[tuple[str, str], ...]
"""Axes and levels inside which an effect is taken."""


@dataclass(frozen=True)
class Told:
    """What surrounds the numbers.

    Args:
        lag: K of the task. unit: `block` or `seed`. fixed: the cell, where all arms have one, as `plain RNN`.
        cell_of: axes that one cell alone has, as activation -> rnn.
    """

    lag: int
    unit: str
    fixed: str = "network"
    cell_of: Mapping[str, str] = field(default_factory=dict)


def claimed(contrast: Contrast) -> bool:
    """Whether the numbers carry a difference."""
    one = 1.0 if contrast.outcome == "cpu_per_update" else 0.0
    apart = contrast.effect.low > one or contrast.effect.high < one
    return apart and contrast.p_holm is not None and contrast.p_holm < ALPHA


def alike(contrast: Contrast) -> bool:
    """Whether the numbers carry that there is no difference that matters; of shares only."""
    return contrast.effect.low > -MARGIN and contrast.effect.high < MARGIN


def subject_of(contrast: Contrast) -> str:
    name = NAMES.get(contrast.axis, f"`{contrast.axis}`")
    return f"{name} `{contrast.level}` instead of `{contrast.baseline}`".strip()


def whom(context: Context, told: Told, axis: str) -> str:
    own = told.cell_of.get(axis)
    fixed = CELLS.get(own, own) if own else told.fixed
    if not context:
        return f"the {fixed}"
    parts = []
    for name, level in context:
        if name == "cell":
            parts.append(f"the {CELLS.get(level, level)}")
        else:
            cell = told.cell_of.get(name)
            parts.append(f"the {CELLS.get(cell, cell) if cell else fixed} with {name} `{level}`")
    return ", ".join(parts)


def in_full(seen: dict[str, Contrast], context: Context, told: Told) -> str:
    parts = []
    who = whom(context, told, next(iter(seen.values())).axis)
    first = seen.get("healthy_init")
    early = first is not None and claimed(first)
    if first is not None and early:
        more = first.effect.value > 0
        verb = (
            "gives {} a living gradient at initialisation more often"
            if more
            else "takes the living gradient of {} away at initialisation"
        )
        parts.append(f"{verb.format(who)}, over {told.lag} steps: {shares_in_words(first, 'healthy', told)}.")
    if "healthy" in seen:
        one = seen["healthy"]
        shares = shares_in_words(one, "healthy", told)
        if claimed(one):
            verb = (
                "keeps the gradient of {} alive more often" if one.effect.value > 0 else "costs {} its living gradient"
            )
            said = f"{verb.format(who)} over {told.lag} steps: {shares}."
        elif alike(one):
            said = f"makes no difference to how often the gradient of {who} is alive at the end: {shares}."
        else:
            said = f"leaves open whether the gradient of {who} is alive at the end more often: {shares}."
        parts.append(f"After training it {said.replace(f'the gradient of {who}', 'it')}" if early else said)
    elif not parts:
        parts.append(f"was measured on {who}.")
    if "exploded" in seen and claimed(seen["exploded"]):
        one = seen["exploded"]
        parts.append(
            f"It explodes {'less' if one.effect.value < 0 else 'more'} often: {shares_in_words(one, 'exploded', told)}."
        )
    if "solved" in seen:
        parts.append(solved_in_words(seen["solved"], told))
    if "test_score" in seen and claimed(seen["test_score"]):
        one = seen["test_score"]
        better = one.effect.value < 0
        parts.append(f"Its test loss is {'lower' if better else 'higher'}, by {factor(one, better)}.")
    if "cpu_per_update" in seen:
        parts.append(cost_in_words(seen["cpu_per_update"]))
    return " ".join(parts)


def solved_in_words(one: Contrast, told: Told) -> str:
    if one.at_level == one.at_baseline == 0:
        return "Nobody solved the task either way within this budget."
    shares = shares_in_words(one, "solved", told)
    if claimed(one):
        return f"The task is solved {'more' if one.effect.value > 0 else 'less'} often: {shares}."
    if alike(one):
        return f"How often the task is solved does not change: {shares}."
    return f"Whether the task is solved more often is undecided: {shares}."


def clause(seen: dict[str, Contrast], context: Context, told: Told) -> str:
    """What another context says, in one sentence."""
    who = whom(context, told, next(iter(seen.values())).axis)
    said = []
    for outcome, name in (
        ("healthy_init", "healthy at first"),
        ("healthy", "healthy at the end"),
        ("solved", "solved"),
    ):
        if outcome not in seen or (outcome == "healthy_init" and not claimed(seen[outcome])):
            continue
        one = seen[outcome]
        word = "more often" if one.effect.value > 0 else "less often"
        verdict = word if claimed(one) else "no more and no less often" if alike(one) else "undecided"
        said.append(f"{name} {verdict} ({points(one)})")
    return f"For {who}: {', '.join(said)}." if said else ""


def shares_in_words(one: Contrast, word: str, told: Told) -> str:
    if one.counts is not None:
        level, base, pairs = one.counts
        what = f"{word} in {level} of {pairs} paired runs against {base} of {pairs}"
    else:
        what = f"{word} in {one.at_level:.0%} of the runs against {one.at_baseline:.0%}, over {one.units} {told.unit}s"
    p = "" if one.p_holm is None else ", Holm p " + ("< 0.001" if one.p_holm < 0.001 else f"= {one.p_holm:.2g}")
    return f"{what} (difference {points(one)}{p})"


def points(one: Contrast) -> str:
    value, low, high = (round(100 * number) for number in (one.effect.value, one.effect.low, one.effect.high))
    return f"{value:+d} points, 95% interval {low:d} to {high:d}"


def factor(one: Contrast, better: bool) -> str:
    sign = -1 if better else 1
    value, *ends = (10 ** (sign * number) for number in (one.effect.value, one.effect.low, one.effect.high))
    low, high = sorted(ends)
    return f"a factor of {value:.3g} (95% interval {low:.3g} to {high:.3g})"


def cost_in_words(one: Contrast) -> str:
    value, low, high = (100 * (number - 1) for number in (one.effect.value, one.effect.low, one.effect.high))
    if low < 0 < high and high - low > UNTOLD:
        return f"What an update costs is left open (95% interval {low:+.0f}% to {high:+.0f}%)."
    if low < 0 < high:
        return f"An update costs the same within the noise (95% interval {low:+.0f}% to {high:+.0f}%)."
    word = "more" if value > 0 else "less"
    low, high = sorted((abs(low), abs(high)))
    return f"An update costs {abs(value):.0f}% {word} processor time (95% interval {low:.0f} to {high:.0f})."
