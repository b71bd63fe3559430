"""`rnnlab probe`: one configuration or two, their curves in the terminal, their verdicts and a picture."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import median, median_low
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.options import JsonOption

if TYPE_CHECKING:
    from rich.table import Table

    from rnnlab.training.outcome import ReplicateResult
    from sweeps.report.text_chart import TextLine
    from sweeps.running.single import Probed, Single

MARKS = (("-", "○", "●"), ("=", "△", "▲"))
"""Of each configuration in a chart: theory, at initialisation, and at the last probe."""
FITS = {"exponential": "an exponential", "power_law": "a power law", "none": "neither law"}
"""What a verdict's `fit` is called."""
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
    if probed:
        written: list[str] = []
        try:  # the numbers first: a picture can be made again
            for write, path in ((keep, files["npz"]), (draw, files["picture"])):
                write(probed, path)
                written.append(str(path))
        except KeyboardInterrupt:
            typer.echo(f"interrupted while writing; written: {' '.join(written) or 'nothing'}", err=True)
            raise typer.Exit(130) from None
    if as_json:
        rows = [{"spec": str(one.single.path), **row.as_dict()} for one in probed for row in one.result.replicates]
        typer.echo(json.dumps(rows))
    elif probed:
        screen = console()
        for one in probed:
            screen.print(_table(one, titled=len(probed) > 1))
            screen.print(*beside(one.result.replicates), "", sep="\n", soft_wrap=True)
        screen.print(_chart(probed), markup=False, soft_wrap=True)
        screen.print(f"\nPicture     {files['picture']}\nCurves      {files['npz']}", soft_wrap=True)
    if len(probed) < len(singles) or any(one.interrupted for one in probed):
        typer.echo(_cut_short(singles, probed), err=True)
        raise typer.Exit(130)


def _cut_short(singles: Sequence[Single], probed: Sequence[Probed]) -> str:
    """How far each configuration came before Ctrl-C."""
    by_name = {one.single.name: one for one in probed}
    told = []
    for single in singles:
        one = by_name.get(single.name)
        if one is None:
            told.append(f"{single.name} was not measured")
        elif one.interrupted:
            measured = f"measured at update {', '.join(f'{update:,.0f}' for update in one.side.arrays['updates'])}"
            told.append(f"{single.name} stopped after update {one.result.updates:,} of {_budget(single):,}, {measured}")
        else:
            told.append(f"{single.name} was done")
    return f"interrupted: {'; '.join(told)}" + ("" if probed else "; nothing was written")


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


def beside(replicates: Sequence[ReplicateResult]) -> list[str]:
    """Lines: how much the last probe's verdict hangs on its threshold, and which law the curve follows."""
    rows = [row for row in replicates if row.verdict_by_r]
    if not rows:
        return []
    thresholds = list(rows[0].verdict_by_r)
    verdicts = [_counted([row.verdict_by_r[r] for row in rows]) for r in thresholds]
    horizons = [_lag_of([row.horizon_by_r[r] for row in rows]) for r in thresholds]
    powers = [row.power for row in rows if row.fit == "power_law"]
    fits = _counted([FITS[row.fit] for row in rows])
    law = f" (median k^{median(powers):.2f})" if powers else ""
    by_r = f"by threshold r = {', '.join(thresholds)} decades:"
    return [
        f" verdict {by_r} {' | '.join(verdicts)}",
        f" median horizon {by_r} {' | '.join(horizons)}",
        f" the curve by lag k is nearer to {fits}{law}",
    ]


def _counted(names: Sequence[str]) -> str:
    """`vanishing`, or `2 vanishing, 1 healthy`, the most frequent first."""
    counts = Counter(names).most_common()
    return counts[0][0] if len(counts) == 1 else ", ".join(f"{count} {name}" for name, count in counts)


def _lag_of(horizons: Sequence[int | None]) -> str:
    """The lower median of the replicates' horizons; a dash where the norm stays above."""
    lag = median_low(math.inf if lag is None else lag for lag in horizons)
    return "-" if lag == math.inf else f"{lag} steps"


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
    from sweeps.report.figure_parts import spread
    from sweeps.report.text_chart import TextLine

    side, lines = probed.side, []
    if side.theory is not None:
        lines.append(
            TextLine(f"{prefix}theory at update 0: {side.theory.label}", marks[0], expected(side.theory, side.steps))
        )
    rows = side.ends
    middle_UK = spread(side.relative_USK[rows]).middle_UK
    for row, mark, middle_K in zip(rows, marks[1:], middle_UK, strict=False):
        lines.append(TextLine(f"{prefix}update {side.arrays['updates'][row]:,.0f}", mark, middle_K))
    return lines
