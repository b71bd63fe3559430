"""`rnnlab sweep report`, and the findings that other commands print."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from services.cli import remote
from services.cli.options import HomeOption, JsonOption, SweepArgument, home_at

REPORT = "report.json"
SHOWN = 6
"""Findings that a command prints; the report has all."""


def report(
    id: SweepArgument,
    home: HomeOption = None,
    open_it: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    server: remote.ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Analyse a sweep as far as it is, write its report (HTML, Markdown, JSON) and print its findings.

    The page opens without a network. It is also made at the end of every sweep and refreshed while one runs.
    Example: rnnlab sweep report first --open
    """
    if server and home is None:
        remote.report(server, id, as_json=as_json)
        return
    place = home_at(home)
    place.must_exist()
    from sweeps.report.whole import write_whole
    from sweeps.store import Lab

    with Lab.open(place.lab_url) as lab:
        running = lab.sweep(id).status == "running"
        folder = place.sweep_folder(id)
        folder.mkdir(parents=True, exist_ok=True)
        analysis, files = write_whole(lab, id, folder, running=running)
    if as_json:
        typer.echo(json.dumps([finding.model_dump(mode="json") for finding in analysis.findings]))
    else:
        show_arms(folder)
        show_findings(folder, everything=True)
        from services.cli.screen import console

        console().print("\n" + "\n".join(f"{path.suffix[1:]:<11} {path}" for path in files), soft_wrap=True)
    if open_it:
        import webbrowser

        webbrowser.open(files[0].as_uri())


def show_arms(folder: Path) -> bool:
    """Print the arms of the report in a sweep's folder, healthiest first; False where there is no report yet."""
    from rich.table import Table

    from services.cli.screen import console

    path = folder / REPORT
    if not path.is_file():
        return False
    analysis = json.loads(path.read_text())["analysis"]
    heads = (
        "arm",
        f"{analysis['unit']}s",
        "healthy",
        "solved",
        "exploded",
        "decades: init → end",
        "to solve",
        "test score",
    )
    table = Table(*heads, "ms an update", "evidence", box=None, header_style="bold", pad_edge=False)
    for column in table.columns[1:-1]:
        column.justify = "right"
    order = sorted(analysis["arms"], key=lambda arm: -arm["shares"].get("healthy", {"value": -1.0})["value"])
    for arm in order:
        shares, means, counts = arm["shares"], arm["means"], arm["counts"]
        exploded = counts.get("exploded", 0)
        solve = arm["median_updates_to_solve"]
        table.add_row(
            arm["label"], str(arm["units"]), _share(shares, "healthy"), _share(shares, "solved"),
            f"{exploded}/{arm['replicates']}" if exploded else "no",
            f"{_mean(means, 'decades_init', '+.1f')} → {_mean(means, 'decades', '+.1f')}",
            "-" if solve is None else f"{solve:.0f}", _mean(means, "test_score", "+.2f"),
            _mean(means, "cpu_per_update", ".1f", 1000), arm["evidence"],
        )  # fmt: skip
    console().print(table)
    return True


def _mean(means: dict[str, Any], name: str, form: str, unit: float = 1.0) -> str:
    """A mean in a table; `-` of an arm that has none, as an update's time where every replicate diverged."""
    return format(unit * means[name]["value"], form) if name in means else "-"


def _share(shares: dict[str, Any], name: str) -> str:
    if name not in shares:
        return "-"
    one = shares[name]
    return f"{one['value']:.0%} [{100 * one['low']:.0f}, {100 * one['high']:.0f}]"


def findings_in(folder: Path) -> list[dict[str, Any]]:
    """The findings of the report in a sweep's folder; none where there is no report yet."""
    path = folder / REPORT
    if not path.is_file():
        return []
    found: list[dict[str, Any]] = json.loads(path.read_text())["analysis"]["findings"]
    return found


def show_findings(folder: Path, *, everything: bool = False) -> None:
    """Print what a sweep found, strongest first."""
    from services.cli.screen import console

    found = findings_in(folder)
    if not found:
        return
    screen = console()
    screen.print("\nFindings", style="bold")
    for number, finding in enumerate(found[: None if everything else SHOWN], 1):
        screen.print(f"{number}. {finding['text']}", markup=False, soft_wrap=True)
        for caveat in finding["caveats"] if everything else ():
            screen.print(f"   {caveat}", style="dim", markup=False, soft_wrap=True)
    if not everything and len(found) > SHOWN:
        screen.print(f"... and {len(found) - SHOWN} more in report.html", style="dim")
