"""Writing a sweep's report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

from sweeps.analysis.data import SweepData
from sweeps.analysis.results import Analysis
from sweeps.report.page.markdown import markdown_of
from sweeps.report.page.render import html_of
from sweeps.report.page.subject import Subject

REPORT_HTML, REPORT_MD, REPORT_JSON = "report.html", "report.md", "report.json"


def write_report(
    analysis: Analysis,
    data: SweepData,
    folder: Path,
    *,
    spec_yaml: str,
    versions: dict[str, str],
    running: bool = False,
) -> list[Path]:
    """Write a sweep's report: a page that opens without a network, and the same as Markdown and JSON.

    A reader of one of the files sees the old one or the whole new one, so that it can be refreshed while a sweep runs.
    Curves are read from `folder/trials/NNNN/curves.npz` where they exist.

    Args:
        analysis: what is said. data: what it is said of. folder: the sweep's.
        spec_yaml: the spec as it can be run again. versions: package -> version.
        running: whether the sweep has not ended.

    Returns:
        The paths of report.html, report.md and report.json.

    Raises:
        OSError: the folder is missing or full; nothing is left behind.
    """
    subject = Subject(analysis, data, folder, spec_yaml, versions, running)
    texts = {
        REPORT_HTML: html_of(subject),
        REPORT_MD: markdown_of(subject),
        REPORT_JSON: json.dumps(as_values(subject), indent=1, allow_nan=False) + "\n",
    }
    return [_replace(folder / name, text) for name, text in texts.items()]


def as_values(subject: Subject) -> dict[str, Any]:
    """The report as plain values; a number that is not finite is null."""
    spec = subject.data.spec
    return {
        "sweep_id": subject.analysis.sweep_id,
        "running": subject.running,
        "planned_trials": spec.trials,
        "lag": subject.data.lag,
        "content_hash": spec.content_hash,
        "analysis": json.loads(subject.analysis.model_dump_json()),
        "spec": spec.model_dump(mode="json", exclude_defaults=True),
        "spec_yaml": subject.spec_yaml,
        "versions": subject.versions,
    }


def _replace(path: Path, text: str) -> Path:
    part = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return path
