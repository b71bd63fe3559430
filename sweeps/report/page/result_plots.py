"""Plots of results: effects, early signals, cost, importance, sensitivity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sweeps.analysis.results import Arm, Auc, Contrast
from sweeps.report.page.plots import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, Figure, axis, error, escaped, layout, rule
from sweeps.report.page.plots import significant as rounded
from sweeps.report.page.subject import Subject
from sweeps.report.page.words import (
    BETTER,
    OUTCOME_NAMES,
    better,
    clear,
    interval,
    names_of,
    p_value,
    short,
)

MOST = 40
"""Rows of a figure; the tables hold all."""
FOREST = ("healthy_init", "healthy", "solved", "test_score")
"""Outcomes of the forest plots."""
PERCENTS = {0: (GREY, "circle"), 2: (SKY, "square"), 5: (ORANGE, "diamond"), 10: (PURPLE, "triangle-up")}
"""Percent of the budget -> colour and shape of its dots."""
KINDS = (
    ("better", "clear after Holm, better than the baseline", BLUE, "circle"),
    ("worse", "clear after Holm, worse than the baseline", ORANGE, "square"),
    ("clear", "clear after Holm", GREEN, "circle"),
    ("open", "not clear after Holm", GREY, "circle-open"),
    ("none", "adaptive or too few: no claim", GREY, "x-thin"),
)
"""How a contrast is drawn: kind, legend, colour, shape."""
ROW, WIDE_ROW = 20, 30
"""Height of a line of text, and of a row, pixels."""


def forest(contrasts: Sequence[Contrast], outcome: str) -> Figure | None:
    """Level less baseline of one outcome, a row a contrast: main effects first, then effects within a level."""
    rows = [one for one in contrasts if one.outcome == outcome]
    if not rows:
        return None
    total, axes = len(rows), list(dict.fromkeys(one.axis for one in contrasts))
    rows = sorted(rows, key=lambda one: (bool(one.within), 1.0 if one.p is None else one.p))[:MOST]
    rows.sort(key=lambda one: (axes.index(one.axis), one.level, bool(one.within)))
    names = [_row_name(one) for one in rows]
    heights = [ROW * (1 + name.count("<br>")) for name in names]
    places = [-(sum(heights[:at]) + height / 2) for at, height in enumerate(heights)]
    traces = []
    for kind, _, colour, shape in KINDS:
        chosen = [(place, one) for place, one in zip(places, rows, strict=True) if kind_of(one) == kind]
        if not chosen:
            continue
        ones = [one for _, one in chosen]
        values = [one.effect.value for one in ones]
        bars = error([one.effect.low for one in ones], values, [one.effect.high for one in ones], colour)
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "x": rounded(values),
                "y": [place for place, _ in chosen],
                "error_x": bars,
                "marker": {"color": colour, "symbol": shape, "size": 10, "line": {"color": colour, "width": 2}},
                "text": [_hover(one) for one in ones],
                "hovertemplate": "%{text}<extra></extra>",
                "showlegend": False,
            }
        )
    more = {1: "  (→ better)", -1: "  (better ←)"}.get(BETTER.get(outcome, 0), "")
    y: dict[str, Any] = {
        "tickvals": places,
        "ticktext": names,
        "range": [-sum(heights), 0],
        "zeroline": False,
        "automargin": True,
        "showgrid": False,
    }
    x = axis(f"difference{more}", zeroline=False, nticks=6)
    plot = {"data": traces, "layout": layout(x, y, 70 + sum(heights), shapes=[rule(x=0, dash="solid")])}
    name = OUTCOME_NAMES[outcome]
    return Figure(f"forest-{outcome}", f"Difference in {name}: level less baseline", plot, _capped(len(rows), total))


def _capped(shown: int, total: int) -> str:
    return f"{shown} of {total}; the table has all" if shown < total else ""


def kind_of(one: Contrast) -> str:
    """Which of `KINDS` a contrast is."""
    if one.p is None or one.evidence in ("adaptive", "none"):
        return "none"
    if not clear(one):
        return "open"
    return {True: "better", False: "worse", None: "clear"}[better(one)]


def _row_name(one: Contrast) -> str:
    name = f"{escaped(one.axis)}: <b>{escaped(one.level)}</b> vs {escaped(one.baseline)}"
    if len(one.axis) + len(one.level) + len(one.baseline) > 20:
        name = f"{escaped(one.axis)}: <b>{escaped(one.level)}</b><br>vs {escaped(one.baseline)}"
    within = ", ".join(f"{axis} = {level}" for axis, level in one.within.items())
    return name + (f"<br><i>within {escaped(within)}</i>" if within else "")


def _hover(one: Contrast) -> str:
    said = [
        _row_name(one).replace("<br>", " "),
        f"{interval(one.effect)} ({one.effect.method})",
        f"{short(one.at_level)} against {short(one.at_baseline)}, {one.units} pairs",
        f"p after Holm {p_value(one.p_holm)}",
    ]
    return "<br>".join([*said, *([escaped(one.note, 50)] if one.note else [])])


def signals(aucs: Sequence[Auc], group: str) -> Figure:
    """AUC of each signal of one group with its interval, by percent of the budget."""
    chosen = [one for one in aucs if one.group == group]
    strongest: dict[str, float] = {}
    for one in chosen:
        strongest[one.signal] = max(strongest.get(one.signal, 0.0), abs(one.auc.value - 0.5))
    names = sorted(strongest, key=lambda name: strongest[name])
    percents = sorted({one.percent for one in chosen})
    traces = []
    for at, percent in enumerate(percents):
        ones = [one for one in chosen if one.percent == percent]
        colour, shape = PERCENTS.get(percent, (GREEN, "star"))
        values = [one.auc.value for one in ones]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": f"{percent}% of the budget",
                "x": rounded(values),
                "y": [names.index(one.signal) + 0.16 * ((len(percents) - 1) / 2 - at) for one in ones],
                "error_x": error([one.auc.low for one in ones], values, [one.auc.high for one in ones], colour),
                "marker": {"color": colour, "symbol": shape, "size": 9},
                "text": [f"{escaped(one.signal)} at {percent}%: AUC {interval(one.auc)}" for one in ones],
                "hovertemplate": "%{text}<extra></extra>",
            }
        )
    y: dict[str, Any] = {
        "tickvals": list(range(len(names))),
        "ticktext": [escaped(name.replace("_", " ")) for name in names],
        "range": [-0.6, len(names) - 0.4],
        "zeroline": False,
        "automargin": True,
    }
    x = axis("AUC", range=[-0.02, 1.02], zeroline=False)
    n = chosen[0]
    plot = {
        "data": traces,
        "layout": layout(x, y, 130 + 50 * len(names), shapes=[rule(x=0.5, dash="dash")]),
    }
    title = "all cells" if group == "all" else f"cell {group}"
    return Figure(f"signals-{group}", f"{title}: {n.solved} solved, {n.unsolved} not", plot)


def cost(subject: Subject) -> Figure | None:
    """Processor time of an update, a row an arm, the cheapest at the top."""
    names = names_of(subject.analysis)
    known = [(name, arm) for name, arm in zip(names, subject.analysis.arms, strict=True) if _cost(arm) > 0]
    if not known:
        return None
    total, known = len(known), sorted(known, key=lambda one: -_cost(one[1]))[-MOST:]
    means = [arm.means["cpu_per_update"] for _, arm in known]
    values = [1000 * mean.value for mean in means]
    first = subject.baseline
    baseline = None if first is None else _cost(subject.analysis.arms[first])
    trace = {
        "type": "scatter",
        "mode": "markers",
        "x": rounded(values),
        "y": list(range(len(known))),
        "error_x": error([1000 * mean.low for mean in means], values, [1000 * mean.high for mean in means], BLUE),
        "marker": {"color": BLUE, "size": 9},
        "showlegend": False,
        "hovertemplate": "%{x} ms<extra></extra>",
    }
    spread = max(values) / min(values) > 20
    y: dict[str, Any] = {
        "tickvals": list(range(len(known))),
        "ticktext": [escaped(name, 26) for name, _ in known],
        "range": [-0.6, len(known) - 0.4],
        "zeroline": False,
        "automargin": True,
    }
    x = axis("CPU milliseconds per update", **({"type": "log"} if spread else {"rangemode": "tozero"}))
    plot = {
        "data": [trace],
        "layout": layout(
            x, y, 90 + WIDE_ROW * len(known), shapes=[rule(x=1000 * baseline, dash="dash")] if baseline else []
        ),
    }
    return Figure(
        "cost", "Processor time of an update by arm; dashed: the baseline arm", plot, _capped(len(known), total)
    )


def _cost(arm: Arm) -> float:
    mean = arm.means.get("cpu_per_update")
    return mean.value if mean is not None and mean.value > 0 else 0.0


def importance(subject: Subject) -> list[Figure]:
    """Shares of the params, a figure for each evaluator and outcome."""
    figures = []
    for number, one in enumerate(subject.analysis.importance):
        ranked = sorted(one.shares, key=lambda name: one.shares[name])
        trace: dict[str, Any] = {
            "type": "bar",
            "orientation": "h",
            "x": rounded([one.shares[name] for name in ranked]),
            "y": list(range(len(ranked))),
            "marker": {"color": SKY},
            "hovertemplate": "%{x:.2f}<extra></extra>",
        }
        y: dict[str, Any] = {"tickvals": list(range(len(ranked))), "ticktext": [escaped(name, 22) for name in ranked]}
        plot = {
            "data": [trace],
            "layout": layout(axis("share (sums to 1)", range=[0, 1]), {**y, "automargin": True}, 90 + 28 * len(ranked)),
        }
        caption = f"{one.evaluator} for {one.outcome}, {one.trials} trials"
        figures.append(Figure(f"importance-{number}", caption, plot, one.note))
    return figures


def sensitivity(subject: Subject) -> Figure | None:
    """Share healthy at the end by the threshold r, a line an arm."""
    by_r = subject.analysis.sensitivity
    if not by_r:
        return None
    labels = list(dict.fromkeys(label for shares in by_r.values() for label in shares))
    told = [subject.analysis.arms[place].label for place in subject.order]
    total = len(labels)
    labels = sorted(labels, key=lambda label: told.index(label) if label in told else len(told))[:MOST]
    labels.sort(key=lambda label: max(shares.get(label, 0.0) for shares in by_r.values()))
    traces = []
    shapes = {"2": ("circle", SKY), "3": ("diamond", ORANGE), "5": ("square", PURPLE)}
    for at, (r, shares) in enumerate(by_r.items()):
        shape, colour = shapes.get(r, ("star", GREEN))
        known = [(n, shares[label]) for n, label in enumerate(labels) if label in shares]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": f"r = {r} decades",
                "x": rounded([share for _, share in known]),
                "y": [n + 0.18 * ((len(by_r) - 1) / 2 - at) for n, _ in known],
                "marker": {"size": 10, "symbol": shape, "color": colour},
                "hovertemplate": f"r = {escaped(r)}: %{{x:.2f}}<extra></extra>",
            }
        )
    y: dict[str, Any] = {
        "tickvals": list(range(len(labels))),
        "ticktext": [escaped(label, 26) for label in labels],
        "range": [-0.6, len(labels) - 0.4],
        "automargin": True,
        "zeroline": False,
    }
    x = axis("share healthy at the end", range=[-0.03, 1.03], zeroline=False)
    plot = {"data": traces, "layout": layout(x, y, 110 + WIDE_ROW * len(labels))}
    return Figure("sensitivity", "Share healthy by threshold", plot, _capped(len(labels), total))
