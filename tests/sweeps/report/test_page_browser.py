"""The report's page in a real browser without a network."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from reported import Case

from sweeps.report.page import write_report

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

Cases = Callable[..., Case]
READY = "html[data-ready=yes]"


@dataclass
class Opened:
    """A page that was opened from its file, and what it asked for and complained of."""

    page: Page
    asked: list[str]
    complaints: list[str]


def opened(browser: Browser, path: Path, width: int = 1366, height: int = 900, scheme: Any = "light") -> Opened:
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, offline=True)
    found = Opened(context.new_page(), [], [])
    found.page.on("request", lambda request: found.asked.append(request.url))
    found.page.on("console", lambda message: found.complaints.append(f"{message.type}: {message.text}"))
    found.page.on("pageerror", lambda error: found.complaints.append(str(error)))
    found.page.goto(path.as_uri())
    found.page.wait_for_selector(READY, timeout=60_000)
    return found


@pytest.fixture(scope="module")
def report(case_of: Cases) -> Path:
    """The page of a sweep of six arms with curves."""
    case = case_of(curves=True)
    return write_report(case.analysis, case.data, case.folder, **case.told)[0]


@pytest.fixture(scope="module")
def laptop(browser: Browser, report: Path) -> Iterator[Opened]:
    """It on a laptop's light screen."""
    found = opened(browser, report)
    yield found
    found.page.context.close()


def test_it_asks_for_nothing_but_itself_and_complains_of_nothing(laptop: Opened, report: Path) -> None:
    assert [url for url in laptop.asked if not url.startswith("data:")] == [report.as_uri()]
    assert laptop.complaints == []


def test_every_plot_that_is_shown_is_drawn(laptop: Opened) -> None:
    shown, drawn = laptop.page.locator(".plot:visible"), laptop.page.locator(".plot:visible > .plot-container")
    assert shown.count() == drawn.count() > 15
    empty = laptop.page.evaluate(
        "[...document.querySelectorAll('.plot .xtitle')].filter((one) => !one.textContent.trim()).length"
    )
    assert empty == 0


def until(page: Page, expression: str, good: Callable[[Any], bool]) -> bool:
    """Whether an expression gets a good value within 10 seconds; playwright's own wait needs eval, which the page
    forbids."""
    for _ in range(100):
        if good(page.evaluate(expression)):
            return True
        page.wait_for_timeout(100)
    return False


def column(page: Page, number: int) -> list[str]:
    """Texts of a column of the arms' table."""
    cells = page.locator(f"#table-arms tbody tr > :nth-child({number})")
    return [text.split("[")[0].strip() for text in cells.all_text_contents()]


def test_a_click_on_a_head_sorts_and_a_second_turns_it_round(laptop: Opened) -> None:
    solved = laptop.page.get_by_role("button", name="P(solved)").first
    before = column(laptop.page, 6)
    solved.click()
    up = [float(text) for text in column(laptop.page, 6)]
    assert up == sorted(up)
    assert [f"{value:.2f}" for value in up] != before
    solved.click()
    down = [float(text) for text in column(laptop.page, 6)]
    assert down == sorted(down, reverse=True)
    assert laptop.page.locator("#table-arms th[aria-sort=descending]").inner_text().startswith("P(solved)")
    arm = laptop.page.locator("#table-arms thead button").first
    arm.click()
    assert column(laptop.page, 1) == sorted(column(laptop.page, 1))


def test_the_heatmap_follows_its_dropdown(laptop: Opened) -> None:
    page, section = laptop.page, laptop.page.locator("#heatmaps")
    names = page.locator("#pick-maps option").all_text_contents()
    first = section.locator("figure:visible figcaption").all_text_contents()
    values = "document.querySelector('#heatmaps [data-choice]:not([hidden]) .plot').data[0].z[6][60]"
    before = page.evaluate(values)
    page.select_option("#pick-maps", index=2)
    after = section.locator("figure:visible figcaption").all_text_contents()
    assert len(after) == len(first) == 2
    assert after != first
    assert names[2].split(":")[0] in after[0]
    assert until(page, values, lambda value: value not in (None, before))
    assert section.locator(".plot:visible > .plot-container").count() == 2


def test_markup_that_a_person_wrote_stays_text(browser: Browser, case_of: Cases) -> None:
    case = case_of(curves=True, hostile=True)
    found = opened(browser, write_report(case.analysis, case.data, case.folder, **case.told)[0])
    for select in found.page.locator("select").all():
        select.select_option(index=1)
    assert found.page.evaluate("window.hacked") is None
    assert not [url for url in found.asked if "evil" in url]
    assert found.complaints == []
    assert "<script>window.hacked" in found.page.locator("p.asked").inner_text()
    drawn = found.page.locator("#forest-solved, [data-plot=forest-solved] .ytick").all_text_contents()
    assert any("<script>" in text for text in drawn)
    found.page.context.close()


def test_a_narrow_screen_scrolls_tables_in_their_own_box_and_never_the_page(browser: Browser, report: Path) -> None:
    found = opened(browser, report, 400, 800)
    page = found.page
    assert page.evaluate("document.documentElement.scrollWidth") == 400
    assert page.evaluate("document.querySelector('#arms .scroll').scrollWidth > 400")
    beyond = page.evaluate(
        "[...document.querySelectorAll('.plot text')].filter((one) => one.textContent.trim() && "
        "(one.getBoundingClientRect().right > 401 || one.getBoundingClientRect().left < -1))"
        ".map((one) => one.textContent)"
    )
    assert beyond == []
    page.context.close()


def luminance(colour: str) -> float:
    """Relative, of WCAG 2."""
    channels = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_and_lines_stand_out_on_light_and_dark(browser: Browser, report: Path, scheme: str) -> None:
    found = opened(browser, report, scheme=scheme)
    style = "(one, name) => getComputedStyle(one)[name]"
    paper = found.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (luminance(paper) < 0.1) == (scheme == "dark")

    def contrast(selector: str, name: str) -> float:
        worst = 99.0
        for one in found.page.locator(selector).all():
            light, dark = sorted((luminance(one.evaluate(style, name)), luminance(paper)), reverse=True)
            worst = min(worst, (light + 0.05) / (dark + 0.05))
        return worst

    assert contrast("h1, .how >> nth=0, .caveat >> nth=0, tr.weak td >> nth=0", "color") >= 4.5
    assert contrast("#gradients .plot >> nth=0 >> .xtick text", "fill") >= 4.5
    edges = "[style*='stroke-width: 0px']"  # of bands: not drawn
    assert contrast(f"#gradients .plot >> nth=0 >> .js-line:not({edges})", "stroke") >= 3
    opaque = "[...document.querySelectorAll('.plot .main-svg')].filter((one) => "
    opaque += "getComputedStyle(one).backgroundColor !== 'rgba(0, 0, 0, 0)').length"
    assert found.page.evaluate(opaque) == 0
    found.page.context.close()


def test_a_screen_that_turns_dark_repaints_its_plots(laptop: Opened) -> None:
    colour = "getComputedStyle(document.querySelector('#gradients .xtick text')).fill"
    before = laptop.page.evaluate(colour)
    laptop.page.emulate_media(color_scheme="dark")
    assert until(laptop.page, colour, lambda value: value != before)
    laptop.page.emulate_media(color_scheme="light")


def test_a_legend_covers_no_data(laptop: Opened) -> None:
    covered = laptop.page.evaluate(
        """[...document.querySelectorAll('.plot')].filter((plot) => {
          const legend = plot.querySelector('.legend .bg'), area = plot.querySelector('.nsewdrag');
          return legend && legend.getBoundingClientRect().bottom > area.getBoundingClientRect().top + 1;
        }).length"""
    )
    assert covered == 0
