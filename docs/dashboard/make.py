"""Takes the pictures of docs/dashboard.md from MLflow's real page: `python docs/dashboard/make.py ADDRESS SWEEP`.

ADDRESS is where `rnnlab ui` listens, SWEEP a finished design with the spec of the page. Needs playwright and Chromium.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from urllib.parse import quote

from mlflow.tracking import MlflowClient
from playwright.sync_api import Page, sync_playwright

HERE = Path(__file__).parent
SIZE = {"width": 1440, "height": 900}
COLUMNS = ["params.`cell`", "params.`init`", "params.`bias_init`", "tags.`verdict`", "metrics.`test_score`"]
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def settings(experiment: str, parent: str) -> str:
    """What a person clicks once: `Model training`, the assistant closed, the columns to see, the sweep unfolded."""
    table = {"selectedColumns": COLUMNS, "runsExpanded": {parent: True}}
    kept = {
        "mlflow.workflowType_v1": '"machine_learning"',
        "mlflow.assistant.panelOpen_v1": "false",
        "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": "true",
        f'MLflowLocalStorage-1.1-ExperimentPage-["{experiment}"]-ReactComponentState': json.dumps(table),
    }
    return f"for (const [k, v] of Object.entries({json.dumps(kept)})) localStorage.setItem(k, v)"


def shoot(page: Page, name: str, wait: int = 8000) -> None:
    """Save what the page shows once its requests are answered."""
    page.wait_for_timeout(wait)
    page.screenshot(path=str(HERE / f"{name}.png"))


def main(address: str, sweep: str) -> None:
    client = MlflowClient(address)
    found = client.get_experiment_by_name(sweep)
    assert found is not None, f"no sweep {sweep} at {address}"
    experiment = found.experiment_id
    runs = client.search_runs([experiment], order_by=["attributes.start_time"])
    parent = next(run for run in runs if run.data.tags["trial"] == "all")
    arms = {run.data.tags["arm"]: run.info.run_id for run in reversed(runs) if run.data.tags.get("block") == "0"}
    home = f"{address}/#/experiments/{experiment}/runs"
    compared = [arms[arm] for arm in ("lstm", "lstm, chrono", "gru", "gru, chrono")]
    healthy, first_block = quote("tags.verdict = 'healthy'"), quote("tags.block = '0'")
    pages = {
        "runs": home,
        "healthy": f"{home}?searchFilter={healthy}",
        "grouped": home,
        "compare": f"{address}/#/compare-runs?runs={quote(json.dumps(compared))}"
        f"&experiments={quote(json.dumps([experiment]))}",
        "curves": f"{home}?compareRunsMode=CHART&searchFilter={first_block}",
        "sweep": f"{home}/{parent.info.run_id}",
        "report": f"{home}/{parent.info.run_id}/artifacts",
        "model": f"{address}/#/experiments/{experiment}/models",
    }
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        for name, url in pages.items():
            if len(sys.argv) > 3 and name not in sys.argv[3:]:
                continue
            context = browser.new_context(viewport=SIZE)
            context.add_init_script(settings(experiment, parent.info.run_id))
            page = context.new_page()
            page.goto(url)
            if name == "grouped":
                page.get_by_role("button", name="Group by").click(timeout=30000)
                page.get_by_role("menuitemcheckbox", name="init", exact=True).click(timeout=30000)
            if name == "curves":
                page.get_by_placeholder("Search metric charts").fill("total_h", timeout=30000)
            if name == "report":
                page.get_by_text("report.html", exact=True).first.click(timeout=30000)
            shoot(page, name)
            context.close()
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
