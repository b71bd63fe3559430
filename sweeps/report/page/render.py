"""The report as one HTML file: the template, its plots as JSON, and plotly.js, all inlined."""

from __future__ import annotations

import json
import re
import secrets
from datetime import UTC, datetime
from functools import cache
from typing import Any

import jinja2
from markupsafe import Markup, escape

from sweeps.analysis.results import OUTCOMES
from sweeps.report.page import result_plots, sentences, tables
from sweeps.report.page.curves import TaskFacts, curves_of, trial_of
from sweeps.report.page.failures import failures_of
from sweeps.report.page.gradient_plots import gradient_curves, heatmaps, losses
from sweeps.report.page.subject import Subject
from sweeps.report.page.words import status, unit_words

PANELS = 16
"""Arms whose gradients stand side by side; the others are picked from a list."""
LOSSES = 3
"""Arms whose losses stand side by side."""


def html_of(subject: Subject) -> str:
    """The whole page. Whatever a person wrote is escaped, and no address outside the file is ever asked."""
    analysis = subject.analysis
    tasks = TaskFacts()
    curves = curves_of(subject, tasks)
    objective = _objective(subject, tasks) if curves else None
    gradients, maps, by_step = (
        gradient_curves(subject, curves),
        heatmaps(subject, curves),
        losses(subject, curves, objective),
    )
    forests = [one for one in (result_plots.forest(analysis.contrasts, o) for o in result_plots.FOREST) if one]
    groups = list(dict.fromkeys(one.group for one in analysis.signals))
    groups.sort(key=lambda group: group != "all")
    early = [result_plots.signals(analysis.signals, group) for group in groups]
    shares, costs = result_plots.importance(subject), result_plots.cost(subject)
    thresholds = result_plots.sensitivity(subject)
    failed, count = failures_of(subject)
    single = [costs, thresholds]
    figures = [*gradients, *by_step, *forests, *early, *shares, *(one for one in single if one)]
    figures += [one for pair in maps for one in pair if one]
    values: dict[str, Any] = {
        "subject": subject,
        "analysis": analysis,
        "spec": subject.data.spec,
        "status": status(subject),
        "units": unit_words(subject),
        "written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "findings": sentences.ranked(analysis),
        "numbers": tables.numbers,
        "words": sentences,
        "tables": tables,
        "glance": tables.glance(subject),
        "arms": tables.arms(subject),
        "gradients": gradients,
        "panels": PANELS,
        "gradient_words": sentences.gradient_words(curves, len(analysis.arms)),
        "theories": any(one.theory_K is not None for one in curves),
        "maps": maps,
        "losses": by_step,
        "losses_shown": LOSSES,
        "forests": forests,
        "forest_kinds": [kind for kind in result_plots.KINDS if _occurs(subject, kind[0])],
        "effects": tables.effects(subject),
        "interactions": tables.interactions(subject, result_plots.FOREST),
        "other_interactions": tables.interactions(subject, [o for o in OUTCOMES if o not in result_plots.FOREST]),
        "crosses": [tables.cross(one) for one in sorted(analysis.health, key=lambda one: one.group != "all")],
        "signals": early,
        "cost": costs,
        "costs": tables.costs(subject),
        "ratios": tables.cost_ratios(subject),
        "shares": shares,
        "failures": tables.failures(failed),
        "failed_words": sentences.failed_words(subject, len(failed), count),
        "sensitivity": thresholds,
        "thresholds": tables.sensitivity(subject),
        "reproduction": sentences.reproduction(subject),
        "versions": tables.versions(subject),
        "plots": inline({figure.id: figure.plot for figure in figures}),
        "plotly": _plotly(),
        "nonce": secrets.token_urlsafe(16),
    }
    return _environment().get_template("page.html.j2").render(values)


def _objective(subject: Subject, tasks: TaskFacts) -> str | None:
    """What the task's loss is."""
    facts = tasks.of(trial_of(subject.data.spec, subject.data.frame.iloc[0].to_dict()))
    return facts[3] if facts else None


def _occurs(subject: Subject, kind: str) -> bool:
    drawn = (one for one in subject.analysis.contrasts if one.outcome in result_plots.FOREST)
    return any(result_plots.kind_of(one) == kind for one in drawn)


def inline(plots: dict[str, Any]) -> Markup:
    """JSON that can stand inside a script element."""
    text = json.dumps(plots, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def prose(text: str) -> Markup:
    """Text, escaped, whose words between backquotes are code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


@cache
def _plotly() -> Markup:
    from plotly.offline import get_plotlyjs  # type: ignore[import-untyped]

    return Markup(get_plotlyjs())


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("sweeps.report.page", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["prose"] = prose
    return environment
