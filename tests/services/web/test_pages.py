"""What a person does on the pages, in a real browser."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import httpx2 as httpx
import pytest
from browsing import Opened, opened
from jobs import SPEC

from services.web.rendering import POLICY, WITH_CHARTS
from sweeps.store.tokens import Tokens

if TYPE_CHECKING:
    from labs import Lab
    from playwright.sync_api import Browser, Page

WIDTHS = {"laptop": {"width": 1280, "height": 800}, "phone": {"width": 390, "height": 800}}
DRAWN = "() => document.querySelectorAll('#gradients .panel .main-svg').length > 0"
CHARTED = "() => document.querySelector('#loss .main-svg') !== null"


def swept(lab: Lab) -> str:
    """A sweep that ran: two configurations in two blocks each."""
    id = lab.launched(SPEC.replace("sampler: grid", "sampler: random, trials: 4"))
    lab.begun(id)
    for number, (label, score, decades) in enumerate(
        [("rnn tanh", 0.4, -6.0), ("gru", -1.0, -0.5), ("rnn tanh", 0.2, -5.0), ("gru", -0.8, -0.4)]
    ):
        lab.trained(id, number, label, score, decades)
    lab.finished(id)
    return id


def traces(page: Page, chart: str) -> list[str]:
    found: list[str] = page.evaluate(f"document.getElementById('{chart}').data.map((one) => one.name)")
    return found


def title(page: Page, chart: str, axis: str) -> str:
    found: str = page.evaluate(f"document.getElementById('{chart}').layout.{axis}.title.text")
    return found


@pytest.mark.parametrize(
    ("width", "scheme"),
    [
        ("laptop", "light"),
        ("phone", "dark"),
        # neither is new by itself
        pytest.param("laptop", "dark", marks=pytest.mark.slow),
        pytest.param("phone", "light", marks=pytest.mark.slow),
    ],
)
def test_every_page_keeps_its_own_policy_and_fits_its_window(
    browser: Browser, lab: Lab, address: str, width: str, scheme: str
) -> None:
    id = swept(lab)
    pages = {
        "/": "table",
        f"/sweeps/{id}": DRAWN,
        f"/sweeps/{id}/trials": "table",
        f"/sweeps/{id}/trials/1": CHARTED,
        "/launch": "#go:enabled",
        "/login": "#token",
    }
    with browser.new_context(viewport=WIDTHS[width], color_scheme=scheme) as context:  # type: ignore[arg-type]
        for path, ready in pages.items():
            seen = opened(context, address + path)
            if ready.startswith("()"):
                seen.page.wait_for_function(ready)
            else:
                seen.page.wait_for_selector(ready)
            assert seen.complaints == [], path
            assert seen.page.evaluate("document.documentElement.scrollWidth") <= WIDTHS[width]["width"], path
            assert seen.page.locator("h1").count() == 1
            seen.page.close()


def test_only_pages_with_charts_may_have_styles_of_their_own(browser: Browser, lab: Lab, address: str) -> None:
    id = swept(lab)
    with browser.new_context() as context:
        for path, policy in (("/", POLICY), ("/launch", POLICY), ("/login", POLICY), (f"/sweeps/{id}", WITH_CHARTS)):
            assert context.request.get(address + path).headers["content-security-policy"] == policy
    assert WITH_CHARTS.count("unsafe") == 1
    assert "script-src 'self';" in WITH_CHARTS


def test_the_form_says_what_is_wrong_and_launches_what_is_right(browser: Browser, lab: Lab, address: str) -> None:
    with browser.new_context() as context:
        seen = opened(context, f"{address}/launch")
        page, go, said = seen.page, seen.page.get_by_role("button", name="Launch"), seen.page.get_by_role("status")
        page.wait_for_selector("#go:enabled")
        page.get_by_label("Start from").select_option("forget_bias")
        page.wait_for_function("() => document.getElementById('yaml').value.includes('name: forget-bias')")
        page.get_by_label("Spec").fill(SPEC.replace("gru", "grru"))
        page.wait_for_selector("#go:disabled")
        page.wait_for_selector("#said.error")
        assert "did you mean 'gru'" in said.inner_text()
        assert page.get_by_label("Spec").get_attribute("aria-invalid") == "true"
        page.get_by_label("Spec").fill(SPEC)
        page.wait_for_selector("#go:enabled")
        assert said.inner_text() == "valid: 2 trials of 2 replicates, 30 updates each"
        go.click()
        page.wait_for_url(f"{address}/sweeps/tiny")
        assert page.get_by_role("heading", level=1).inner_text() == "tiny"
    assert [sweep.status for sweep in lab.queue.sweeps()] == ["queued"]
    assert [one for one in seen.complaints if "422" not in one] == []  # the answer that says what was wrong


@pytest.mark.slow  # it trains a few updates to measure them
def test_the_form_shows_the_plan_and_its_cost(browser: Browser, lab: Lab, address: str) -> None:
    with browser.new_context() as context:
        page = opened(context, f"{address}/launch").page
        page.get_by_label("Spec").fill(SPEC)
        page.get_by_role("button", name="Show the plan and its cost").click()
        page.wait_for_function("() => /2 trials/.test(document.getElementById('planned').textContent)")


def test_a_running_sweeps_page_follows_it_and_stays_where_the_reader_is(
    browser: Browser, lab: Lab, address: str
) -> None:
    id = lab.launched()
    with browser.new_context(viewport={"width": 390, "height": 500}) as context:
        seen = opened(context, f"{address}/sweeps/{id}", until="domcontentloaded")  # its stream stays open
        page = seen.page
        page.wait_for_selector(".status.queued")
        lab.begun(id)
        lab.trained(id, 0, "rnn tanh", 0.4, -6.0)
        page.wait_for_selector("text=1/2")
        page.wait_for_selector("table >> text=rnn tanh")
        page.get_by_text("What happened").click()
        page.get_by_role("link", name=re.compile("^trial 0")).focus()
        page.evaluate("document.querySelector('.wide').scrollLeft = 60; scrollBy(0, 120)")
        before = page.evaluate("[document.querySelector('.wide').scrollLeft, scrollY]")
        lab.trained(id, 1, "gru", -1.0, -0.5)
        page.wait_for_selector("text=2/2")
        page.wait_for_selector("table >> text=gru")
        assert page.evaluate("document.activeElement.getAttribute('href')") == f"/sweeps/{id}/trials/0"
        assert page.evaluate("document.querySelector('[data-part=events] details').open")
        after = page.evaluate("[document.querySelector('.wide').scrollLeft, scrollY]")
        assert after[0] == before[0] > 0
        assert after[1] == pytest.approx(before[1], abs=80)  # a row of the table came above it
        lab.finished(id)
        page.wait_for_selector(".status.finished")
        page.wait_for_function("() => document.getElementById('spoken').textContent.startsWith('finished')")
        page.wait_for_selector(".findings")  # the report comes last
        page.wait_for_function("() => document.querySelectorAll('#gradients .panel .main-svg').length > 1")
    assert seen.complaints == []


def test_stop_and_resume(browser: Browser, lab: Lab, address: str) -> None:
    id = lab.launched()
    with browser.new_context() as context:
        page = opened(context, f"{address}/sweeps/{id}", until="domcontentloaded").page
        page.get_by_role("button", name="Stop").click()
        page.wait_for_selector(".status.stopped")
        assert lab.queue.sweep(id).status == "stopped"
        page.get_by_role("button", name="Resume").click()
        page.wait_for_selector(".status.queued")
        assert page.evaluate("document.activeElement.dataset.do") == "stop"  # focus is where the button was
    assert lab.queue.sweep(id).status == "queued"


def test_findings_configurations_and_the_report(browser: Browser, lab: Lab, address: str) -> None:
    id = swept(lab)
    with browser.new_context() as context:
        seen = opened(context, f"{address}/sweeps/{id}")
        page = seen.page
        finding = page.locator(".findings li")
        assert finding.locator("code").all_inner_texts() == ["gru", "rnn"]
        assert "<b>helps</b>" in finding.inner_text()  # what people wrote is text
        assert "costs 10% more" not in finding.inner_text()
        finding.get_by_text("in full").click()
        assert "costs 10% more" in finding.inner_text()
        rows = page.locator("tbody tr").all_inner_texts()
        cells = [row.split("\t") for row in rows]
        assert [(row[0], row[1], row[3]) for row in cells] == [
            ("gru", "-0.90", "healthy 0 → 2 of 2"),
            ("rnn tanh", "+0.30", "healthy 0 → 0 of 2"),
        ]
        page.wait_for_function("() => document.querySelectorAll('#gradients .panel .main-svg').length > 1")
        labels = [panel.get_attribute("aria-label") for panel in page.locator("#gradients .panel").all()]
        assert labels[0] == "gru: -4.4 decades at the largest lag at update 0, -0.2 at update 30"
        assert seen.complaints == []
        page.get_by_role("link", name="Report").click()
        page.wait_for_selector("text=ran")  # its script runs, but without an origin
        asked = "() => fetch('/api/sweeps').then((answer) => answer.status, () => 'refused')"
        assert page.evaluate("origin") == "null"
        assert page.evaluate(asked) == "refused"


def test_trials_of_one_verdict_in_one_list(browser: Browser, lab: Lab, address: str) -> None:
    id = swept(lab)
    with browser.new_context() as context:
        seen = opened(context, f"{address}/sweeps/{id}")
        page = seen.page
        page.get_by_role("link", name="vanishing 2").click()
        page.wait_for_url(f"{address}/sweeps/{id}/trials?verdict=vanishing")
        assert page.locator("tbody th").all_inner_texts() == ["0", "2"]
        page.get_by_label("Verdict").select_option("healthy")
        page.get_by_label("Lowest first by").select_option("score")
        page.get_by_role("button", name="Show").click()
        page.wait_for_url("**verdict=healthy**")
        assert page.locator("tbody th").all_inner_texts() == ["1", "3"]
        assert page.get_by_label("Verdict").input_value() == "healthy"
        page.get_by_label("Verdict").select_option("exploding")
        page.get_by_role("button", name="Show").click()
        page.wait_for_selector("text=No trial is like that.")
        page.goto(f"{address}/sweeps/{id}/trials")
        page.get_by_role("link", name="3", exact=True).click()
        page.wait_for_function(CHARTED)
        assert seen.complaints == []


def test_the_drawing_library_is_sent_small(address: str) -> None:
    whole = httpx.get(f"{address}/static/plotly.js", headers={"Accept-Encoding": "identity"})
    small = httpx.get(f"{address}/static/plotly.js", headers={"Accept-Encoding": "gzip"})
    assert whole.content == small.content
    assert "content-encoding" not in whole.headers
    assert int(small.headers["content-length"]) < int(whole.headers["content-length"]) / 2.5


def test_a_trials_charts(browser: Browser, lab: Lab, address: str) -> None:
    id = swept(lab)
    with browser.new_context() as context:
        seen = opened(context, f"{address}/sweeps/{id}/trials/1")
        page = seen.page
        page.wait_for_function(CHARTED)
        assert traces(page, "gradient") == ["update 0", "update 15", "update 30"]
        assert title(page, "gradient", "xaxis") == "lag k (steps back from the end)"
        assert title(page, "gradient", "yaxis") == "log10 norm"
        values = page.evaluate("document.getElementById('gradient').data[0].y")
        assert (values[0], values[-1]) == (0, pytest.approx(-8))
        assert page.evaluate("document.getElementById('heat').data[0].z.length") == 3
        assert title(page, "loss", "yaxis") == "loss (mean squared error)"
        assert title(page, "loss", "xaxis") == "timestep t (steps)"
        assert traces(page, "loss") == ["update 0", "update 15", "update 30"]
        page.get_by_role("slider", name="Update").press("ArrowLeft")
        assert page.locator("#at").inner_text() == "15"
        assert page.get_by_role("slider", name="Update").get_attribute("aria-valuetext") == "update 15"
        assert traces(page, "gradient") == ["update 0", "update 15"]
        assert page.evaluate("document.getElementById('heat').layout.shapes[0].y0") == 0.5
        page.get_by_label("Curve").select_option("total_h_l0")
        page.wait_for_function(
            "() => document.getElementById('gradient').layout.xaxis.title.text.startsWith('timestep')"
        )
        page.get_by_label("Curve").select_option("saturation_h_l0")
        page.wait_for_function("() => document.getElementById('gradient').layout.yaxis.title.text === 'share'")
        assert seen.complaints == []


def test_login_logout_and_what_a_viewer_sees(browser: Browser, lab: Lab, guarded: str) -> None:
    id = lab.launched()
    tokens = Tokens(lab.queue.engine)
    vera, ann = tokens.make("vera", "viewer"), tokens.make("ann", "launcher")

    def enter(seen: Opened, secret: str) -> None:
        seen.page.get_by_label("Token").fill(secret)
        seen.page.get_by_role("button", name="Log in").click()

    with browser.new_context() as context:
        seen = opened(context, f"{guarded}/sweeps/{id}")
        page = seen.page
        assert page.url == f"{guarded}/login?next=/sweeps/{id}"
        enter(seen, "rnnlab_wrong")
        assert "not valid" in page.get_by_role("alert").inner_text()
        seen.page.wait_for_load_state()
        assert [one for one in seen.complaints if "401" not in one] == []
        enter(seen, vera)
        page.wait_for_url(f"{guarded}/sweeps/{id}", wait_until="domcontentloaded")
        assert page.get_by_text("vera, viewer").is_visible()
        assert page.get_by_role("link", name="Launch").count() == 0
        assert page.get_by_role("button", name="Stop").count() == 0
        assert context.request.get(f"{guarded}/launch").status == 403
        page.get_by_role("button", name="Log out").click()
        page.wait_for_url(f"{guarded}/login")
        assert context.cookies() == []
        enter(seen, ann)
        page.wait_for_url(f"{guarded}/")
        assert page.get_by_role("link", name="Launch").count() == 1
