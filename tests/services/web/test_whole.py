"""The pages on the real thing: `rnnlab serve` with its own Ray and MLflow."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2 as httpx
import pytest
from browsing import opened

from services.jobs.embedded import free_port

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.slow  # two sweeps, a Ray and an MLflow server
LONG = 400_000
"""Milliseconds for a sweep's start or end: Ray's job starts Python anew, and so does each trial."""
TINY = """
name: tiny
task: {kind: adding, length: 12}
model: {hidden: 8}
space: {cell: [rnn, gru]}
search: {sampler: grid}
replicates: 2
budget: {updates: 30, evaluations: 3}
"""


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[str]:
    """The address of a service on a new home."""
    port = free_port()
    words = [sys.executable, "-m", "services.cli.app", "serve", "--home", str(tmp_path / "home"), "--port", str(port)]
    log = tmp_path / "serve.log"
    with log.open("w") as said:
        process = subprocess.Popen([*words, "--workers", "2"], stdout=said, stderr=said, env=dict(os.environ))
    address = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + 300
        while True:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            try:
                if httpx.get(f"{address}/api/ready", timeout=5).status_code == 200:
                    break
            except httpx.HTTPError:
                pass
            time.sleep(0.5)
        yield address
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=150)


@pytest.mark.timeout(1800)
def test_a_sweep_from_the_form_to_its_run_in_mlflow(browser: Browser, serving: str) -> None:
    with browser.new_context(viewport={"width": 1280, "height": 900}) as context:
        seen = opened(context, f"{serving}/launch")
        page = seen.page
        page.set_default_timeout(LONG)
        page.get_by_label("Spec").fill(TINY)
        page.wait_for_selector("#said:has-text('2 trials of 2 replicates')")
        page.get_by_role("button", name="Launch").click()
        page.wait_for_url(f"{serving}/sweeps/tiny", wait_until="domcontentloaded")
        page.wait_for_selector(".status.finished")
        page.wait_for_selector("tbody tr:nth-child(2)")
        page.wait_for_function("() => document.querySelectorAll('#gradients .panel .main-svg').length > 1")
        page.get_by_role("link", name=re.compile("^trial [01]: ")).first.click()
        page.wait_for_selector("#loss .main-svg")
        assert seen.complaints == []
        run = page.get_by_role("link", name="MLflow run").get_attribute("href")
        assert run is not None
        assert run.startswith("/mlflow/")
        mlflow = opened(context, serving + run)
        mlflow.page.set_default_timeout(LONG)
        mlflow.page.get_by_text("final_score", exact=True).first.wait_for()
        failed = [one for one in mlflow.complaints if re.match(r"\d{3} ", one)]
        # MLflow's pages ask for this in order to learn whether MLflow has users of its own: 404 says no
        assert [one for one in failed if not re.fullmatch(r"404 .*/mlflow/users/current", one)] == []
        mlflow.page.close()

        page.goto(f"{serving}/launch")
        page.get_by_label("Spec").fill(
            TINY.replace("updates: 30", "updates: 200000").replace("name: tiny", "name: long")
        )
        page.wait_for_selector("#go:enabled")
        page.get_by_role("button", name="Launch").click()
        page.wait_for_selector(".status.running")
        page.get_by_role("button", name="Stop").click()
        page.wait_for_selector(".status.stopped")
        assert page.get_by_role("button", name="Resume").is_visible()
