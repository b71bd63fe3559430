"""`rnnlab probe`: one configuration or two, their curves in the terminal, their verdicts and a picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.options import JsonOption

if TYPE_CHECKING:
    from rich.table import Table

    from sweeps.report.text_chart import TextLine
    from sweeps.running.single import Probed, Single

MARKS = (("-", "○", "●"), ("=", "△", "▲"))
"""Of each configuration in a chart: theory, at initialisation, and at the last probe."""
HEADS = ("replicate", "score", "verdict: init → end", "decades", "factor a step", "horizon", "exploded", "outcome")


def probe(
    spec: Annotated[Path, typer.Argument(help="A spec without `space`: one configuration.")],
    updates: Annotated[
        int | None,
        typer.Option(min=0, help="Train this long instead of the spec's budget; 0: at initialisation only."),
    ] = None,
    against: Annotated[Path | None, typer.Option(help="A second configuration, laid over the first.")] = None,
    picture: Annotated[
        Path | None,
        typer.Option(help="Where the picture goes (default: NAME-probe.png, of two NAME-vs-NAME2-probe.png)."),
    ] = None,
    npz: Annotated[Path | None, typer.Option(help="Where the curves go (default: as the picture, .npz).")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show how a configuration's gradient travels through time, at initialisation and after training it here.

    Needs neither Ray nor stores. Example: rnnlab probe one.yaml --updates 100 --against other.yaml
    """
    from sweeps.running.single import check_places, draw, keep, probe_all, read_pair, read_single

    singles = read_pair(spec, against, updates) if against else [read_single(spec, updates)]
    name = "-vs-".join(single.name for single in singles)
    files = {"picture": picture or Path(f"{name}-probe.png"), "npz": npz or Path(f"{name}-probe.npz")}
    check_places(**files)
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from services.cli.screen import console

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console(stderr=True), transient=True) as bar:
        tasks = [bar.add_task(f"{single.name}: updates", total=_budget(single)) for single in singles]
        probed = probe_all(singles, lambda number, done: bar.update(tasks[number], completed=done))
    draw(probed, files["picture"])
    keep(probed, files["npz"])
    if as_json:
        rows = [{"spec": str(one.single.path), **row.as_dict()} for one in probed for row in one.result.replicates]
        typer.echo(json.dumps(rows))
        return
    screen = console()
    for one in probed:
        screen.print(_table(one, titled=len(probed) > 1), "")
    screen.print(_chart(probed), markup=False, soft_wrap=True)
    screen.print(f"\nPicture     {files['picture']}\nCurves      {files['npz']}", soft_wrap=True)
    if any(one.result.replicates[0].outcome == "interrupted" for one in probed):
        raise typer.Exit(130)


def _budget(single: Single) -> int:
    return single.trial.budget.updates if single.trained else 0


def _table(probed: Probed, *, titled: bool) -> Table:
    from rich.table import Table

    title = f"{probed.single.name}: {probed.label}" if titled else probed.label
    table = Table(*HEADS, box=None, header_style="bold", title=title, title_justify="left")
    for row in probed.result.replicates:
        table.add_row(
            str(row.number), f"{row.score:+.2f}", f"{row.verdict_init} → {row.verdict}",
            f"{row.decades_init:+.1f} → {row.decades:+.1f}", f"{probed.factor(row):.3f}",
            "-" if row.horizon is None else f"{row.horizon} steps",
            f"at {row.exploded_at}" if row.exploded else "no", row.outcome.value,
        )  # fmt: skip
    return table


def _chart(probed: Sequence[Probed]) -> str:
    """G2 by lag at the first and the last probe, median over replicates, and what theory says of the first."""
    from sweeps.report.text_chart import text_chart

    lines: list[TextLine] = []
    for one, marks in zip(probed, MARKS, strict=False):
        lines += _lines(one, marks, f"{one.single.name}, " if len(probed) > 1 else "")
    states = " and ".join(dict.fromkeys(one.side.state for one in probed))
    return text_chart(
        lines,
        x="lag, steps back from the end",
        y=f"log10 of the gradient of the last {states} by lag, relative to lag 5 (dotted: 0 and the verdict's -3)",
        rules=(0.0, -3.0),
    )


def _lines(probed: Probed, marks: tuple[str, str, str], prefix: str) -> list[TextLine]:
    from sweeps.report.curve_lines import expected
    from sweeps.report.figure_parts import relative, spread
    from sweeps.report.text_chart import TextLine

    side, lines = probed.side, []
    if side.theory is not None:
        lines.append(
            TextLine(f"{prefix}theory at update 0: {side.theory.label}", marks[0], expected(side.theory, side.steps))
        )
    rows = side.ends
    middle_UK = spread(relative(side.anchor_USK)[rows]).middle_UK
    for row, mark, middle_K in zip(rows, marks[1:], middle_UK, strict=False):
        lines.append(TextLine(f"{prefix}update {side.arrays['updates'][row]:,.0f}", mark, middle_K))
    return lines
