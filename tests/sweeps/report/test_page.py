"""The report's words, tables and plots, read back from its three files; what a browser makes of it is elsewhere."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
from reported import DESCRIPTION, STEPS, VERSIONS, Case, contrast, curves_at

from rnnlab.theory import theory_of
from sweeps.analysis.results import Analysis, Interval
from sweeps.recording.arrays import CurveArchive
from sweeps.report.page import write_report
from sweeps.report.page.curves import ARMS_READ, TRIALS_READ, TaskFacts, curves_of, trial_of
from sweeps.report.page.gradient_plots import gradient_curves, heatmaps
from sweeps.report.page.render import inline, prose
from sweeps.report.page.result_plots import forest, kind_of
from sweeps.report.page.subject import Subject
from sweeps.report.page.tables import arms as arm_table

Cases = Callable[..., Case]
SECTIONS = [
    "findings", "arms", "gradients", "heatmaps", "loss", "effects", "health", "cost", "importance", "failed",
    "sensitivity", "reproduction",
]  # fmt: skip


class Page(HTMLParser):
    """Elements of a page: their tags and attributes, and the text of every script."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self._inside = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = tag == "script"
        if self._inside:
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.scripts[-1] += data

    @property
    def plots(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.scripts[0])
        return found


def written(case: Case, **more: Any) -> tuple[str, str, dict[str, Any]]:
    """The page, the Markdown and the JSON."""
    page, markdown, values = write_report(case.analysis, case.data, case.folder, **case.told, **more)
    return page.read_text(), markdown.read_text(), json.loads(values.read_text(), parse_constant=pytest.fail)


def subject_of(case: Case) -> Subject:
    return Subject(case.analysis, case.data, case.folder, **case.told, running=False)


def cells(line: str) -> list[str]:
    """Of one row of a Markdown table."""
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def test_the_three_files_are_returned_and_nothing_else_is_left(case_of: Cases) -> None:
    case = case_of()
    paths = write_report(case.analysis, case.data, case.folder, **case.told)
    assert [path.name for path in paths] == ["report.html", "report.md", "report.json"]
    assert sorted(case.folder.iterdir()) == sorted(paths)
    write_report(case.analysis, case.data, case.folder, **case.told)
    assert sorted(case.folder.iterdir()) == sorted(paths)


def test_a_file_that_cannot_be_replaced_leaves_no_half_of_it(case_of: Cases) -> None:
    case = case_of()
    (case.folder / "report.md" / "in-the-way").mkdir(parents=True)
    with pytest.raises(OSError, match=r"report\.md"):
        write_report(case.analysis, case.data, case.folder, **case.told)
    assert sorted(path.name for path in case.folder.iterdir()) == ["report.html", "report.md"]


def test_json_is_the_analysis_with_its_spec_and_versions(case_of: Cases) -> None:
    case = case_of()
    values = written(case, running=True)[2]
    assert Analysis.model_validate(values["analysis"]) == case.analysis
    assert type(case.data.spec).model_validate(values["spec"]) == case.data.spec
    assert values["versions"] == VERSIONS
    assert values["running"] is True
    assert values["content_hash"] == case.data.spec.content_hash


def test_numbers_that_are_not_finite_are_null_in_json_and_a_dash_on_the_page(case_of: Cases) -> None:
    case = case_of()
    unknown = Interval(value=math.nan, low=math.nan, high=math.inf, method="t on block means")
    first = case.analysis.arms[0].model_copy(update={"means": {"test_score": unknown, "cpu_per_update": unknown}})
    endless = contrast("solved", effect=Interval(value=0.5, low=-math.inf, high=math.inf, method="Newcombe"))
    changes = {"arms": [first, *case.analysis.arms[1:]], "contrasts": [endless]}
    page, markdown, values = written(replace(case, analysis=case.analysis.model_copy(update=changes)))
    assert values["analysis"]["arms"][0]["means"]["test_score"]["value"] is None
    assert "NaN" not in Page(page).scripts[0]
    assert "nan" not in markdown.lower()


def test_the_page_has_its_sections_in_order_and_plotly_once(case_of: Cases) -> None:
    page = Page(written(case_of())[0])
    assert [dict(attrs)["id"] for tag, attrs in page.elements if tag == "section"] == SECTIONS
    assert sum("plotly.js v" in script for script in page.scripts) == 1
    assert ("html", {"lang": "en"}) in page.elements
    assert all(attrs.get("scope") in ("col", "row") for tag, attrs in page.elements if tag == "th")


def test_nothing_outside_the_file_is_named_as_a_source(case_of: Cases) -> None:
    page = Page(written(case_of(curves=True))[0])
    sources = [attrs[name] or "" for _, attrs in page.elements for name in ("src", "href", "srcset") if name in attrs]
    assert sources
    assert all(source.startswith(("#", "data:")) for source in sources)


def test_what_a_person_wrote_is_escaped_everywhere(case_of: Cases) -> None:
    page, markdown, _ = written(case_of(hostile=True))
    read = Page(page)
    assert len(read.scripts) == 3
    assert not any("hacked" in str(attrs) for tag, attrs in read.elements if tag == "script")
    assert "img" not in {tag for tag, _ in read.elements}
    assert not any(name.startswith("on") for _, attrs in read.elements for name in attrs)
    shown = re.sub(r"````yaml.*````", "", markdown, flags=re.DOTALL)  # in a fence nothing means anything
    assert "<script" not in shown
    assert "<img" not in shown
    plots = json.dumps(read.plots)
    assert "&lt;script" in plots
    assert "<script" not in plots
    assert "<img" not in plots


def test_plotly_knows_every_property_of_every_plot(case_of: Cases) -> None:
    plots = Page(written(case_of(curves=True))[0]).plots
    kinds = {name.rpartition("-")[0] or name for name in plots}
    assert kinds == {
        "gradients", "lags", "steps", "loss", "forest", "signals", "cost", "importance", "sensitivity",
    }  # fmt: skip
    for plot in plots.values():
        figure = go.Figure(json.loads(re.sub(r"var\(--[a-z-]+\)", "#123456", json.dumps(plot))))
        assert figure.layout.xaxis.title.text
        assert figure.data


def test_findings_stand_strongest_first_with_their_caveats(case_of: Cases) -> None:
    case = case_of()
    page, markdown, _ = written(case)
    ranked = sorted(case.analysis.findings, key=lambda one: -one.strength)
    for text in (page, markdown.replace("\\", "")):
        places = [text.index(one.text) for one in ranked]
        assert places == sorted(places)
        assert text.index(ranked[0].caveats[0]) < places[1]


def test_markdown_tables_agree_with_the_analysis(case_of: Cases) -> None:
    case = case_of()
    markdown = written(case)[1]
    lines = markdown.splitlines()
    widths = [len(cells(line)) for line in lines if line.startswith("|")]
    tables = [line for at, line in enumerate(lines) if line.startswith("|") and not lines[at - 1].startswith("|")]
    assert len(widths) > 30
    for head in tables:
        rows = lines[lines.index(head) :]
        ends = next((at for at, line in enumerate(rows) if not line.startswith("|")), len(rows))
        assert {len(cells(line)) for line in rows[:ends]} == {len(cells(head))}
    for one in case.analysis.arms:
        row = next(line for line in lines if line.startswith(f"| {one.label}"))
        solved = one.shares["solved"]
        assert f"{solved.value:.2f} \\[{solved.low:.2f}, {solved.high:.2f}]" in row
    assert sum("vs default, within cell = rnn" in line and line.startswith("|") for line in lines) == 3
    assert "fANOVA" in markdown
    assert "PED-ANOVA" in markdown
    assert f"```yaml\n{case.data.spec.to_yaml().rstrip()}\n```" in markdown


def test_the_arm_that_solved_most_often_and_the_baseline_come_first(case_of: Cases) -> None:
    subject = subject_of(case_of())
    names = [row[0].line for row in arm_table(subject).rows]
    assert names[0] == "rnn, tanh, orthogonal(1) (solved most often)"
    assert names[1].startswith("rnn, tanh, default (baseline")


def test_arms_without_a_claim_are_marked(case_of: Cases) -> None:
    rows = arm_table(subject_of(case_of())).rows
    weak = [row for row in rows if row[0].tone == "weak"]
    assert [row[1].text for row in weak] == ["adaptive: no claim"]


def test_status_and_description_are_said(case_of: Cases) -> None:
    case = case_of()
    page = written(case)[0]
    assert "Ended: 144 of 144 trials have ended (143 complete, 1 failed)" in page
    assert DESCRIPTION in page
    assert "What stands here may still change" not in page
    ongoing = replace(case, analysis=case.analysis.model_copy(update={"trials": {"complete": 3, "running": 2}}))
    assert "Running: 3 of 144 trials have ended (3 complete, 2 running)" in written(ongoing, running=True)[0]


def test_a_sweep_of_which_nothing_has_ended_has_a_report(case_of: Cases) -> None:
    case = case_of()
    nothing = Analysis(
        sweep_id="simulated", units=0, unit="block", trials={"running": 2}, axes={}, arms=[], contrasts=[],
        interactions=[], health=[], signals=[], importance=[], findings=[], sensitivity={}, caveats=[],
    )  # fmt: skip
    empty = replace(case, analysis=nothing, data=replace(case.data, frame=case.data.frame.iloc[:0]))
    page, markdown, _ = written(empty, running=True)
    assert "No finding yet" in page
    assert "No finding yet" in markdown
    assert "No curve has been recorded" in page


def test_contrasts_are_drawn_as_what_they_support() -> None:
    lower = Interval(value=-0.4, low=-0.5, high=-0.3, method="Newcombe")
    assert kind_of(contrast("solved")) == "better"
    assert kind_of(contrast("solved", effect=lower)) == "worse"
    assert kind_of(contrast("test_score", effect=lower)) == "better"
    assert kind_of(contrast("solved", p=0.2)) == "open"
    assert kind_of(contrast("solved", p=None)) == "none"
    assert kind_of(contrast("solved", evidence="adaptive")) == "none"


def test_a_forest_shows_the_effect_with_its_interval_and_simple_effects_below_it(case_of: Cases) -> None:
    figure = forest(case_of().analysis.contrasts, "solved")
    assert figure is not None
    better = next(trace for trace in figure.plot["data"] if trace["marker"]["symbol"] == "circle")
    assert better["x"][0] == 0.65
    assert better["error_x"]["arrayminus"][0] == pytest.approx(0.65 - 0.44)
    assert better["error_x"]["array"][0] == pytest.approx(0.80 - 0.65)
    names = figure.plot["layout"]["yaxis"]["ticktext"]
    assert ["within" in name for name in names] == [False, True, True, False, False]
    places = figure.plot["layout"]["yaxis"]["tickvals"]
    assert places == sorted(places, reverse=True)


def test_medians_bands_and_theory_of_a_gradient(case_of: Cases) -> None:
    case = case_of()
    subject = subject_of(case)
    place = subject.baseline
    assert place is not None
    numbers = subject.rows(case.analysis.arms[place])["trial"].tolist()
    for at, number in enumerate(numbers[:10]):
        archive = CurveArchive()
        for update, per_lag in ((0, -0.01 * (at + 1)), (300, -0.002 * (at + 1))):
            anchor_SK = 10 ** (per_lag * np.arange(STEPS))[None]
            archive.add(update, curves_at(update, "h", anchor_SK, np.full((1, STEPS), 2.0)))
        home = case.folder / "trials" / f"{number:04}"
        home.mkdir(parents=True)
        archive.save(home / "curves.npz")
    (one,) = curves_of(subject, TaskFacts())
    assert (one.place, one.trials, one.of, one.replicates) == (place, 10, 24, 10)
    assert one.anchor.at_K == list(range(STEPS))
    lags = np.arange(STEPS) - 5
    np.testing.assert_allclose(one.anchor.first.middle_K, -0.055 * lags, atol=1e-9)
    np.testing.assert_allclose(one.anchor.first.low_K[6:], -0.09 * lags[6:], atol=1e-9)  # rank 1 of 0..9
    np.testing.assert_allclose(one.anchor.last.high_K[6:], -0.004 * lags[6:], atol=1e-9)
    assert one.anchor_map.updates_U == [0, 300]
    model = trial_of(case.data.spec, subject.rows(case.analysis.arms[place]).iloc[0].to_dict()).model
    expected = theory_of(model, 1, 0.2, STEPS)
    assert expected is not None
    assert one.theory_K is not None
    assert one.theory_K[5] == 0
    assert one.theory_K[-1] == pytest.approx(expected.log10_K[-1] - expected.log10_K[5], rel=0.2)


def test_an_exact_zero_leaves_the_panel_and_stays_json(case_of: Cases) -> None:
    case = case_of()
    subject = subject_of(case)
    number = int(subject.rows(case.analysis.arms[subject.order[0]])["trial"].iloc[0])
    archive = CurveArchive()
    dead_SK = np.where(np.arange(STEPS) < 20, 1.0, 0.0)[None]
    archive.add(0, curves_at(0, "h", dead_SK, np.full((1, STEPS), 2.0)))
    home = case.folder / "trials" / f"{number:04}"
    home.mkdir(parents=True)
    archive.save(home / "curves.npz")
    curves = curves_of(subject, TaskFacts())
    (figure,) = gradient_curves(subject, curves)
    drawn = next(trace for trace in figure.plot["data"] if trace.get("name") == "at initialisation")["y"]
    assert drawn[19] == 0
    assert drawn[20] == -99
    assert figure.plot["layout"]["yaxis"]["range"][0] > -10
    assert heatmaps(subject, curves)[0][0].plot["data"][0]["z"][0][20] == -99
    json.dumps(figure.plot, allow_nan=False)


def test_only_some_trials_of_an_arm_are_read_and_the_page_says_so(case_of: Cases) -> None:
    case = case_of(curves=True)
    source = next(case.folder.glob("trials/*/curves.npz")).read_bytes()
    subject = subject_of(case)
    place = subject.order[0]
    for number in subject.rows(case.analysis.arms[place])["trial"]:
        home = case.folder / "trials" / f"{number:04}"
        home.mkdir(exist_ok=True)
        if not (home / "curves.npz").exists():
            (home / "curves.npz").write_bytes(source)
    first = next(one for one in curves_of(subject, TaskFacts()) if one.place == place)
    assert (first.trials, first.of) == (TRIALS_READ, 24)
    assert f"at most its first {TRIALS_READ} trials are read" in written(case)[0]


def test_many_arms_are_picked_from_a_list_and_the_rest_is_said(case_of: Cases) -> None:
    case = case_of(curves=True)
    arms = [one.model_copy(update={"label": f"{one.label} {at}"}) for at in range(7) for one in case.analysis.arms]
    page = written(replace(case, analysis=case.analysis.model_copy(update={"arms": arms})))[0]
    assert f"{ARMS_READ} of {len(arms)} arms are shown: at most {ARMS_READ} arms are drawn" in page
    elements = Page(page).elements
    side_by_side = sum(str(attrs.get("data-plot", "")).startswith("gradients-") for _, attrs in elements)
    assert side_by_side == ARMS_READ
    assert any(attrs.get("data-slots") == "gradients" for _, attrs in elements)


def test_a_file_that_is_being_written_is_passed_over(case_of: Cases) -> None:
    case = case_of(curves=True)
    before = {one.place: one.trials for one in curves_of(subject_of(case), TaskFacts())}
    broken = next(case.folder.glob("trials/*/curves.npz"))
    broken.write_bytes(broken.read_bytes()[:-200])
    after = {one.place: one.trials for one in curves_of(subject_of(case), TaskFacts())}
    assert sum(after.values()) == sum(before.values()) - 1


def test_diverged_and_failed_runs_are_listed_with_their_cause(case_of: Cases) -> None:
    case = case_of()
    frame = case.data.frame
    ill = frame[frame["outcome"] == "diverged"].iloc[0]
    case = replace(case, data=replace(case.data, frame=frame.assign(cause=np.where(frame["diverged"], "loss", None))))
    home = case.folder / "trials" / "9999"
    home.mkdir(parents=True)
    (home / "error.txt").write_text("Traceback:\n  here\nDataError: the table has no rows\n")
    markdown = written(case)[1]
    rows = [cells(line) for line in markdown.splitlines() if line.startswith("| ")]
    assert [str(ill["trial"]), str(ill["replicate"]), ill["label"], "diverged", "loss", "300"] in rows
    assert ["9999", "–", "–", "failed", "DataError: the table has no rows", "–"] in rows


def test_words_between_backquotes_are_code_and_markup_in_them_stays_text() -> None:
    assert prose("`a_b` is <b>") == "<code>a_b</code> is &lt;b&gt;"
    assert prose("`<script>`") == "<code>&lt;script&gt;</code>"


def test_json_in_the_page_ends_no_script() -> None:
    text = inline({"label": "</script><!-- & "})
    assert not set("<>&") & set(text)
    assert json.loads(text) == {"label": "</script><!-- & "}


def test_backquotes_survive_in_markdown(case_of: Cases) -> None:
    case = case_of()
    said = "Init `ortho_gonal(1)` instead of `default` *helps* by [1, 2] | <b>."
    finding = case.analysis.findings[0].model_copy(update={"text": said, "strength": 99})
    changed = case.analysis.model_copy(update={"findings": [finding]})
    line = next(line for line in written(replace(case, analysis=changed))[1].splitlines() if line.startswith("1."))
    assert "`ortho_gonal(1)` instead of `default` \\*helps\\* by \\[1, 2] \\| &lt;b&gt;" in line


def test_where_nobody_solved_the_task_no_arm_is_said_to_have_solved_most_often(case_of: Cases) -> None:
    case = case_of()
    never = Interval(value=0.0, low=0.0, high=0.1, method="Wilson")
    arms = [one.model_copy(update={"shares": {**one.shares, "solved": never}}) for one in case.analysis.arms]
    text = written(replace(case, analysis=case.analysis.model_copy(update={"arms": arms})))[0]
    assert "lowest test score" in text
    assert "solved most often" not in text


def test_large_sweeps_have_figures_of_a_readable_height(case_of: Cases) -> None:
    case = case_of()
    many = [contrast("solved", p=place / 100, within={"cell": f"kind {place}"}) for place in range(90)]
    figure = forest([contrast("solved"), *many], "solved")
    assert figure is not None
    names = figure.plot["layout"]["yaxis"]["ticktext"]
    assert len(names) == 40
    assert "within" not in names[0]
    assert figure.note == "40 of 91; the table has all"
    changed = case.analysis.model_copy(update={"contrasts": many})
    assert written(replace(case, analysis=changed))[0].count("kind 89") >= 1


def test_versions_seed_hash_and_command_are_given(case_of: Cases) -> None:
    case = case_of()
    for text in written(case)[:2]:
        assert "rnnlab sweep run simulated.yaml" in text
        assert case.data.spec.content_hash in text
        assert all(version in text for version in VERSIONS.values())


def test_the_templates_lie_beside_the_code() -> None:
    import sweeps.report.page

    folder = Path(sweeps.report.page.__file__).parent / "templates"
    assert sorted(path.name for path in folder.iterdir()) == ["page.css", "page.html.j2", "page.js", "parts.html.j2"]
