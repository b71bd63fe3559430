"""The report as Markdown: everything but the curves."""

from __future__ import annotations

import html
from collections.abc import Sequence

from sweeps.analysis.results import OUTCOMES
from sweeps.report.page import tables
from sweeps.report.page.failures import failures_of
from sweeps.report.page.sentences import (
    COST,
    EFFECTS,
    HEALTH,
    IMPORTANCE,
    KINDS,
    SENSITIVITY,
    TABLE,
    failed_words,
    ranked,
    reproduction,
)
from sweeps.report.page.subject import Subject
from sweeps.report.page.tables import Table
from sweeps.report.page.words import status, unit_words


def markdown_of(subject: Subject) -> str:
    """The whole report; user text is escaped."""
    analysis, spec = subject.analysis, subject.data.spec
    failed, count = failures_of(subject)
    lines = [f"# Report of the sweep {_text(analysis.sweep_id)}", ""]
    lines += [_text(spec.description), ""] if spec.description else []
    lines += [_text(status(subject)), "", _text(unit_words(subject)), ""]
    lines += _list([_prose(caveat) for caveat in analysis.caveats])
    lines += ["## Findings", "", *_findings(subject)]
    lines += ["## Arms", "", TABLE, "", *_table(tables.arms(subject))]
    lines += ["## Effects", "", EFFECTS, "", *_table(tables.effects(subject))]
    if analysis.interactions:
        lines += ["### Interactions", "", *_table(tables.interactions(subject, list(OUTCOMES)))]
    lines += ["## Health against success", "", HEALTH, ""]
    for one in analysis.health:
        table = tables.cross(one)
        lines += [f"**{_text(table.caption)}**", "", *_table(table)]
    lines += ["## Cost", "", COST, "", *_table(tables.costs(subject)), *_table(tables.cost_ratios(subject))]
    lines += ["## Importance", "", IMPORTANCE, "", *_table(tables.importance(subject))]
    lines += ["## Failed and diverged runs", "", _text(failed_words(subject, len(failed), count)), ""]
    lines += _table(tables.failures(failed))
    lines += ["## Sensitivity to the threshold", "", SENSITIVITY, "", *_table(tables.sensitivity(subject))]
    lines += ["## Reproduction", "", *_list([f"{name}: `{value}`" for name, value in reproduction(subject)])]
    fence = "`" * 4
    lines += [f"{fence}yaml", subject.spec_yaml.rstrip().replace(fence, "'" * 4), fence, ""]
    lines += _table(tables.versions(subject))
    return "\n".join(lines)


def _findings(subject: Subject) -> list[str]:
    lines = []
    for place, finding in enumerate(ranked(subject.analysis), 1):
        lines.append(f"{place}. **{_prose(finding.text)}** ({KINDS[finding.kind]})")
        lines += [f"   - {_text(one)}" for one in tables.numbers(finding.contrasts)]
        lines += [f"   - Caveat: {_prose(caveat)}" for caveat in finding.caveats]
    return [*(lines or ["No finding yet."]), ""]


def _table(table: Table) -> list[str]:
    if not table.rows:
        return []
    lines = ["| " + " | ".join(map(_text, table.heads)) + " |", "|" + "---|" * len(table.heads)]
    lines += ["| " + " | ".join(_text(cell.line) for cell in row) + " |" for row in table.rows]
    return [*lines, ""]


def _list(items: Sequence[str]) -> list[str]:
    return [*(f"- {item}" for item in items), ""] if items else []


def _prose(text: str) -> str:
    """Text whose words between backquotes stay code."""
    parts = " ".join(text.split()).split("`")
    if len(parts) % 2 == 0:
        return _text(text)
    return "".join(f"`{part}`" if at % 2 and part else _escaped(part) for at, part in enumerate(parts))


def _text(text: str) -> str:
    """Text of the user's on one line, without meaning to Markdown or HTML."""
    return _escaped(" ".join(text.split()))


def _escaped(text: str) -> str:
    plain = html.escape(text, quote=False)
    for sign in ("\\", "`", "*", "_", "[", "|"):
        plain = plain.replace(sign, "\\" + sign)
    return plain
