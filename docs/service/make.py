"""Takes the pictures of docs/service.md from the real pages: `python docs/service/make.py ADDRESS SWEEP`.

ADDRESS is where `rnnlab serve` listens, SWEEP a finished design. Needs playwright and Chromium.
"""

from __future__ import annotations

import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

HERE = Path(__file__).parent
SIZE = {"width": 1100, "height": 700}
FLAGS = ["--no-sandbox", "--disable-gpu"]
DRAWN = "() => document.querySelectorAll('#gradients .panel .main-svg').length > 3"


def main(address: str, sweep: str) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        page = browser.new_page(viewport=SIZE)
        page.set_default_timeout(120_000)
        page.goto(f"{address}/launch")
        page.wait_for_selector("#go:enabled")
        page.screenshot(path=HERE / "launch.png", full_page=True)
        page.goto(f"{address}/sweeps/{sweep}")
        page.wait_for_function(DRAWN)
        page.wait_for_timeout(1000)  # the last panels
        page.screenshot(path=HERE / "sweep.png", full_page=True)
        page.goto(f"{address}/sweeps/{sweep}/trials?verdict=vanishing&sort=score")
        page.screenshot(path=HERE / "trials.png")
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
