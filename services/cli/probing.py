"""`rnnlab probe`: one configuration, its curves, its verdict and a picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from services.cli.options import JsonOption


def probe(
    spec: Annotated[Path, typer.Argument(help="A spec without `space`: one configuration.")],
    updates: Annotated[int | None, typer.Option(min=1, help="Train this long instead of the spec's budget.")] = None,
    picture: Annotated[
        Path | None, typer.Option(help="Where the picture goes (default: NAME-probe.png beside you).")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Train one configuration here and show how its gradient travels through time.

    Needs neither Ray nor stores. Example: rnnlab probe one.yaml --updates 100
    """
    from sweeps.running.single import probe_one, read_single

    trial = read_single(spec, updates)
    path = picture or Path(f"{spec.stem}-probe.png")
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.table import Table

    from services.cli.screen import console

    columns = (TextColumn("updates"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console(stderr=True), transient=True) as bar:
        task = bar.add_task("training", total=trial.budget.updates)
        probed = probe_one(trial, path, lambda done: bar.update(task, completed=done))
    if as_json:
        typer.echo(json.dumps([row.as_dict() for row in probed.result.replicates]))
        return
    heads = (
        "replicate",
        "score",
        "verdict: init → end",
        "decades",
        "factor a step",
        "horizon",
        "exploded",
        "outcome",
    )
    table = Table(*heads, box=None, header_style="bold", title=probed.label, title_justify="left")
    for row in probed.result.replicates:
        table.add_row(
            str(row.number), f"{row.score:+.2f}", f"{row.verdict_init} → {row.verdict}",
            f"{row.decades_init:+.1f} → {row.decades:+.1f}", f"{probed.factor(row):.3f}",
            "-" if row.horizon is None else f"{row.horizon} steps",
            f"at {row.exploded_at}" if row.exploded else "no", row.outcome.value,
        )  # fmt: skip
    screen = console()
    screen.print(table)
    screen.print(f"\nPicture     {path}", soft_wrap=True)
    if probed.result.replicates[0].outcome == "interrupted":
        raise typer.Exit(130)
