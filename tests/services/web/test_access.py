"""Keyboard, screen reader and contrast."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browsing import opened
from test_pages import CHARTED, DRAWN, swept

from services.web.rendering import HERE

if TYPE_CHECKING:
    from labs import Lab
    from playwright.sync_api import Browser

TEXT = (
    "ink",
    "quiet",
    "link",
    "healthy",
    "vanishing",
    "exploding",
    "transient",
    "too_short",
    "first",
    "middle",
    "last",
)
GROUNDS = ("ground", "raised")


def palettes() -> dict[str, dict[str, str]]:
    """Light and dark: name -> colour, as the browser takes them."""
    css = (HERE / "static" / "style.css").read_text(encoding="utf-8")
    light, dark = (
        dict(re.findall(r"--(\w+): (#\w+)", block)) for block in re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    )
    return {"light": light, "dark": light | dark}


def luminance(colour: str) -> float:
    """WCAG 2's relative luminance."""
    digits = colour[1:] if len(colour) == 7 else "".join(digit * 2 for digit in colour[1:])
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """WCAG 2's ratio, 1 to 21."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_reckoned_as_wcag_does() -> None:
    assert contrast("#000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#fff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_can_be_read(scheme: str) -> None:
    colours = palettes()[scheme]
    for ground in GROUNDS:
        for name in TEXT:
            assert contrast(colours[name], colours[ground]) >= 4.5, (scheme, name, ground)
    assert contrast("#ffffff", colours["button"]) >= 4.5


def test_the_keyboard_reaches_everything_and_shows_where_it_is(browser: Browser, lab: Lab, address: str) -> None:
    with browser.new_context() as context:
        page = opened(context, f"{address}/launch").page
        page.wait_for_selector("#go:enabled")
        page.keyboard.press("Tab")
        skip = page.evaluate(
            "[document.activeElement.textContent, document.activeElement.getBoundingClientRect().left]"
        )
        assert skip[0] == "Skip to the content"
        assert skip[1] >= 0
        page.keyboard.press("Enter")
        order = []
        for _ in range(5):
            page.keyboard.press("Tab")
            order.append(page.evaluate("document.activeElement.id"))
            width = page.evaluate("parseFloat(getComputedStyle(document.activeElement).outlineWidth)")
            assert width >= 2, order[-1]
        assert order == ["recipe", "yaml", "workers", "plan", "go"]


def test_a_screen_reader_hears_names_and_states(browser: Browser, lab: Lab, address: str) -> None:
    id = swept(lab)
    with browser.new_context() as context:
        page = opened(context, f"{address}/sweeps/{id}").page
        page.wait_for_function(DRAWN)
        assert page.get_by_role("progressbar", name="4 of 4 trials ended").count() == 1
        assert page.get_by_role("region", name="Table of the best configurations").count() == 1
        assert page.get_by_role("link", name="trial 3: gru").count() == 1
        assert page.get_by_role("img", name=re.compile("^gru: ")).count() == 1
        assert page.get_by_role("rowheader", name="gru").count() == 1
        page.goto(f"{address}/sweeps/{id}/trials/1")
        page.wait_for_function(CHARTED)
        assert page.get_by_role("slider", name="Update").count() == 1
        assert page.get_by_role("combobox", name="Curve").count() == 1
        assert page.get_by_role("group", name="Loss by timestep").count() == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(browser: Browser, lab: Lab, address: str, scheme: str) -> None:
    program = Path(os.environ.get("AXE_CORE", "node_modules/axe-core/axe.min.js"))
    if not program.is_file():
        pytest.skip("axe-core is not there: `npm install --no-save axe-core`, or AXE_CORE names axe.min.js")
    id = swept(lab)
    with browser.new_context(color_scheme=scheme) as context:  # type: ignore[arg-type]
        for path, ready in {
            "/": None,
            f"/sweeps/{id}": DRAWN,
            f"/sweeps/{id}/trials/1": CHARTED,
            "/launch": None,
            "/login": None,
        }.items():
            page = opened(context, address + path).page
            if ready:
                page.wait_for_function(ready)
            page.evaluate(program.read_text(encoding="utf-8"))
            found = page.evaluate("() => axe.run()")
            told = [(one["id"], [node["target"] for node in one["nodes"]]) for one in found["violations"]]
            assert told == [], path
            page.close()
