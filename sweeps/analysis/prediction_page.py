"""What predictions say in words: the answer, its caveats, the page and its picture. Claims are read off intervals."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sweeps.analysis.data import SweepData
from sweeps.analysis.prediction import (
    CELL,
    CONTROLS,
    FOLDS,
    LOSS,
    LOSS_CELL,
    ONE,
    REST,
    REST_LOSS,
    REST_LOSS_CELL,
    Judged,
    Prediction,
    Sample,
    predict,
)
from sweeps.analysis.results import Interval
from sweeps.analysis.signals import FEW, READ
from sweeps.recipes import RECIPES
from sweeps.report.figure_parts import MEDIUM, SMALL, dress, new_figure

PLACE = "docs/prediction.md"
"""Where this project keeps the page."""
UNEVEN = 0.2
"""Difference in the share solved between sweeps that is told."""
# Okabe and Ito: colours that colour-blind people tell apart; a marker each, for print
LINES = {
    LOSS: ("#000000", "o"),
    "decades": ("#0072B2", "s"),
    "change of decades": ("#56B4E9", "^"),
    "horizon": ("#009E73", "v"),
    "condition number": ("#D55E00", "D"),
    "saturation": ("#CC79A7", "P"),
    "early share": ("#E69F00", "X"),
    REST: ("#0072B2", "s"),
    REST_LOSS: ("#D55E00", "D"),
    CELL: ("#999999", "v"),
    LOSS_CELL: ("#009E73", "^"),
    REST_LOSS_CELL: ("#CC79A7", "P"),
}
"""Model -> colour and marker."""
PANELS = {
    "One signal": tuple(ONE),
    "Several, and controls": (LOSS, REST, REST_LOSS, CELL, LOSS_CELL, REST_LOSS_CELL),
}


def prediction_page(datas: Sequence[SweepData], picture: str = "prediction.png") -> str:
    """The page docs/prediction.md, as Markdown.

    Args:
        picture: what `draw` wrote, as the page links to it.

    Raises:
        SpecError: as `predict`.
    """
    return page(predict(datas), picture)


def page(found: Prediction, picture: str = "prediction.png", place: str = PLACE) -> str:
    """The page from what was found; `place` is where it will lie, as its last line says."""
    ids = " ".join(sample.sweep_id for sample in found.sweeps)
    parts = [
        "# What predicts success early?",
        "The gradient's health at the start, or its change, or something else: which number, taken at the start or at "
        "2, 5 or 10% of the budget, tells best which replicate will solve its task? The early training loss is free, "
        "so it is what the others have to beat.",
        "## Answer",
        *answer(found),
        f"![AUC by percent of the budget]({picture})",
        "## Method",
        "\n".join(f"{number}. {line}" for number, line in enumerate(_method(found), 1)),
        "## Sweeps",
        _table(
            ["sweep", "task", "cells", "replicates", "blocks or seeds", "solved", "diverged by 2, 5, 10%"],
            [_sample_cells(sample) for sample in found.sweeps],
        ),
        "## What each model came to",
        "AUC: the chance that of a solved and an unsolved replicate of one sweep the solved one is ranked higher; 0.5 "
        "is chance. In brackets 95% intervals. A gain in bold is one whose interval excludes 0.",
        *(_percent_table(found, percent) for percent in dict.fromkeys(one.percent for one in found.judged)),
        "What the models read:",
        "\n".join(f"- `{signal}`: {READ[signal]}" for signal in _read(found)),
        "## Caveats",
        "\n".join(f"- {line}" for line in caveats(found)),
        "## Make this page",
        "```\n" + "\n".join([*_runs(found), f"rnnlab sweep predict {ids} --write {place}"]) + "\n```",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _runs(found: Prediction) -> list[str]:
    """Commands that make those of the sweeps that are recipes."""
    by_name = {name.replace("_", "-"): name for name in RECIPES}
    return [f"rnnlab sweep run {by_name[one.sweep_id]}" for one in found.sweeps if one.sweep_id in by_name]


def answer(found: Prediction) -> list[str]:
    """The answer, a paragraph a string."""
    rivals = [one for one in found.judged if one.against == LOSS and one.model not in CONTROLS]
    said = []
    if not any(one.model == LOSS for one in found.judged):
        said.append("**Not asked: no early loss was measured**, so nothing can be compared with it.")
    elif not rivals:
        said.append("**Not asked: no signal but the early loss was measured.**")
    else:
        said += [_headline(rivals, found), _loss_itself(found)]
    at_start = [one for one in found.judged if one.percent == 0 and one.model not in CONTROLS]
    if at_start:
        said.append(_at_start(at_start))
    beyond = [one for one in found.judged if one.model == REST_LOSS_CELL and one.gain and one.percent]
    if beyond:
        said.append(_beyond(beyond))
    return said


def _headline(rivals: Sequence[Judged], found: Prediction) -> str:
    better = sorted((one for one in rivals if _beats(one)), key=_value, reverse=True)
    worse = [one for one in rivals if one.gain is not None and one.gain.high < 0]
    where = f"{_listed(sorted({one.percent for one in rivals}))}% of the budget of "
    where += f"these {len(found.sweeps)} sweeps" if found.across else "this sweep"
    if better:
        text = f"**Yes: {len(better)} of {len(rivals)} comparisons with the early loss at {where} are won.** "
        for one in better[:3]:
            text += f"{_named(one)}: AUC {_shown(one.auc)}, a gain of {_signed(one.gain)}. "
        if len(better) > 3:
            text += f"The others stand in the tables ({_by_model(better[3:])}). "
        if all("loss" in one.signals for one in better):
            text += "All of these read the loss too: nothing beats it without reading it. "
        if known := [one for one in found.judged if one.model == CELL and one.against == LOSS and _beats(one)]:
            text += f"So does the cell type alone ({_by_model(known)}), which a signal may merely stand for. "
    else:
        most = max(rivals, key=_value)
        text = (
            f"**No: in none of {len(rivals)} comparisons at {where} does anything predict better than the "
            f"early loss.** The largest gain is {_signed(most.gain)}, of {_named(most)}; "
            "that it beats the loss is not shown, that it does not is not shown either. "
            if most.gain is not None and most.gain.high > 0
            else f"**No: all {len(rivals)} comparisons with the early loss at {where} are lost.** "
        )
    if worse:
        text += f"Worse than the early loss: {_by_model(worse)}."
    return text.strip()


def _loss_itself(found: Prediction) -> str:
    losses = [one for one in found.judged if one.model == LOSS]
    text = "The early loss alone: AUC " + ", ".join(f"{_shown(one.auc)} at {one.percent}%" for one in losses) + "."
    dumb = [one.percent for one in losses if one.auc.low <= 0.5]
    if dumb:
        text += f" At {_listed(dumb)}% it is itself not shown to be better than chance."
    return text


def _at_start(at_start: Sequence[Judged]) -> str:
    telling = sorted((one for one in at_start if _beats(one)), key=_value, reverse=True)
    if not telling:
        most = max(at_start, key=_value)
        return (
            f"Before training, where there is no loss yet, none of {len(at_start)} is shown to be better than chance; "
            f"the highest AUC is {_shown(most.auc)}, of {_named(most)}."
        )
    shown = ", ".join(f"{one.model} {_shown(one.auc)}" for one in telling)
    return f"Before training, where there is no loss yet, better than chance: {shown}."


def _beyond(beyond: Sequence[Judged]) -> str:
    parts = ", ".join(f"{_signed(one.gain)} at {one.percent}%" for one in beyond)
    won = [one.percent for one in beyond if _beats(one)]
    says = f"shown to help at {_listed(won)}%" if won else "not shown to help"
    return (
        f"With the cell type known, adding all other signals to the loss is {says}: the AUC changes by {parts}. (A "
        "signal may predict only because it tells an LSTM from a plain RNN; this takes that away.)"
    )


def caveats(found: Prediction) -> list[str]:
    """What the numbers do not say."""
    said = []
    if not found.across:
        said.append(
            f"One sweep alone: units are left out in {FOLDS} groups, but their arms and task were seen in the others. "
            "Nothing is said of another task or another space; name two or more sweeps for that."
        )
    else:
        said.append(
            f"Intervals resample the blocks of these {len(found.sweeps)} sweeps; they do not say how much other sweeps "
            "would differ."
        )
    said.append("Models stay as they were fitted while units are resampled, so intervals are a little too narrow.")
    shares = {sample.sweep_id: sample.solved / sample.replicates for sample in found.sweeps}
    if max(shares.values()) - min(shares.values()) > UNEVEN:
        told = ", ".join(f"{sweep} {share:.0%}" for sweep, share in shares.items())
        said.append(
            f"The sweeps differ in how many solve the task ({told}). AUCs compare inside a sweep, so this neither "
            "helps nor harms a model, but a sweep with few of one outcome tells less."
        )
    for percent in (2, 5, 10):
        gone = {sample.sweep_id: sample.gone[percent] for sample in found.sweeps if sample.gone[percent]}
        if gone:
            told = ", ".join(f"{count} of {sweep}" for sweep, count in gone.items())
            said.append(f"Not asked at {percent}%: replicates that had diverged by then ({told}).")
    for percent in dict.fromkeys(one.percent for one in found.judged):
        judged = next(one for one in found.judged if one.percent == percent).by_sweep
        missing = [sample.sweep_id for sample in found.sweeps if sample.sweep_id not in judged]
        if missing:
            said.append(f"At {percent}% without {', '.join(missing)}: fewer than {FEW} solved or unsolved measured.")
    if found.unread:
        said.append(
            f"Not read, since a sweep did not measure it or it never varied: {', '.join(found.unread)} "
            "(`probe.measure: signals` measures all)."
        )
    adaptive = [sample.sweep_id for sample in found.sweeps if sample.adaptive]
    if adaptive:
        said.append(f"In {', '.join(adaptive)} a sampler picked trials by their scores; they stand for what it tried.")
    said.append("That a signal predicts success does not say that changing it brings success.")
    return said


def draw(found: Prediction) -> Figure:
    """AUC by percent of the budget, a line a model, 95% intervals as bars, the early loss in black in both panels."""
    across = f"leave one of {len(found.sweeps)} sweeps out" if found.across else "leave groups of units out"
    figure = new_figure(11, 5.4, f"Who will solve the task? Out-of-sample AUC ({across}), 95% intervals")
    panels: list[Axes] = list(figure.subplots(1, 2, sharex=True, sharey=True))
    percents = sorted({one.percent for one in found.judged})
    for axes, (title, models) in zip(panels, PANELS.items(), strict=True):
        there = [name for name in models if any(one.model == name for one in found.judged)]
        for place, name in enumerate(there):
            _line(axes, [one for one in found.judged if one.model == name], percents, place, len(there))
        axes.axhline(0.5, color="0.5", linewidth=1, linestyle=":")
        axes.set_xticks(range(len(percents)), [str(percent) for percent in percents])
        dress(axes, title=title, x="percent of the budget", y="AUC (dotted: chance)" if axes is panels[0] else "")
        axes.legend(fontsize=SMALL, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
        axes.title.set_fontsize(MEDIUM)
    return figure


def _line(axes: Axes, judged: Sequence[Judged], percents: Sequence[int], place: int, of: int) -> None:
    colour, marker = LINES[judged[0].model]
    x = [percents.index(one.percent) + (place - (of - 1) / 2) * 0.09 for one in judged]
    y = [one.auc.value for one in judged]
    below, above = [one.auc.value - one.auc.low for one in judged], [one.auc.high - one.auc.value for one in judged]
    width = 2.2 if judged[0].model == LOSS else 1.2
    axes.errorbar(
        x, y, yerr=[below, above], color=colour, marker=marker, markersize=6, linewidth=width, elinewidth=1, capsize=2,
        label=judged[0].model,
    )  # fmt: skip


def _method(found: Prediction) -> list[str]:
    judged = (
        "Each sweep in turn is judged by models fitted on the other sweeps alone"
        if found.across
        else f"The blocks (or seeds) of the one sweep are left out in {FOLDS} groups, each judged by models of the rest"
    )
    return [
        "A row is a replicate; what is predicted is whether it solves the task on the test split at the end. "
        "Replicates that had diverged by a percent are no question there.",
        "A model is a logistic regression (L2, C = 1) of standardised signals of that percent; a missing one is the "
        "median, with a flag. Solved and unsolved, and all sweeps, weigh the same.",
        f"{judged}; the AUC is taken inside a sweep{'' if found.across else ' and group'}, "
        "and where it varies the task inside one task"
        f"{', then the mean over sweeps' if found.across else ''}.",
        "Intervals come from 1,000 resamples of blocks (t on the logit), the same resamples for all models, so that "
        "differences are paired.",
        "Intervals of gains hold together over all comparisons with the same rival (max-t): one that excludes 0 is no "
        "chance find among many.",
    ]


def _percent_table(found: Prediction, percent: int) -> str:
    judged = [one for one in found.judged if one.percent == percent]
    several = len(judged[0].by_sweep) > 1
    gain = "gain over chance" if percent == 0 else "gain over the early loss"
    heads = ["model", "AUC", gain, *(judged[0].by_sweep if several else ())]
    return f"### At {percent}% of the budget\n\n" + _table(heads, [cells_of(one, several) for one in judged])


def cells_of(one: Judged, several: bool) -> list[str]:
    """A row of a table: model, AUC, gain, and the AUC in each sweep where there are several."""
    gain = "" if one.gain is None else _signed(one.gain)
    if one.gain is not None and (one.gain.low > 0 or one.gain.high < 0):
        gain = f"**{gain}**"
    if one.against == LOSS_CELL:
        gain += " (over loss and cell type)"
    return [one.model, _shown(one.auc), gain, *(f"{auc:.2f}" for auc in one.by_sweep.values() if several)]


def _sample_cells(sample: Sample) -> list[str]:
    share = f"{sample.solved} ({sample.solved / sample.replicates:.0%})"
    gone = ", ".join(str(sample.gone[percent]) for percent in (2, 5, 10))
    return [
        sample.sweep_id, sample.task, ", ".join(sample.cells), str(sample.replicates), str(sample.units), share, gone,
    ]  # fmt: skip


def _read(found: Prediction) -> list[str]:
    return [signal for signal in READ if any(signal in one.signals for one in found.judged)]


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _beats(one: Judged) -> bool:
    return one.gain is not None and one.gain.low > 0


def _value(one: Judged) -> float:
    return one.gain.value if one.gain is not None else 0.0


def _named(one: Judged) -> str:
    return f'"{one.model}" at {one.percent}%'


def _by_model(judged: Sequence[Judged]) -> str:
    """`decades at 2, 5 and 10%; horizon at 5%`."""
    percents: dict[str, list[int]] = {}
    for one in judged:
        percents.setdefault(one.model, []).append(one.percent)
    return "; ".join(f"{model} at {_listed(sorted(at))}%" for model, at in percents.items())


def _listed(numbers: Sequence[int]) -> str:
    shown = [str(number) for number in numbers]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def _shown(found: Interval) -> str:
    return f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"


def _signed(found: Interval | None) -> str:
    return "" if found is None else f"{found.value:+.2f} [{found.low:+.2f}, {found.high:+.2f}]"
