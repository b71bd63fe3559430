"""`rnnlab sweep compare`: two sweeps over the arms that both have."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.options import HomeOption, JsonOption, home_at

if TYPE_CHECKING:
    from rich.table import Table

    from sweeps.analysis.compare import Comparison
    from sweeps.analysis.results import Interval

HEADS = {"healthy": "P(healthy)", "solved": "P(solved)", "test_score": "test score", "decades": "decades"}
"""What the outcomes are called."""


def compare(
    first: Annotated[str, typer.Argument(help="Id of a sweep; `rnnlab sweep list` knows them.")],
    second: Annotated[str, typer.Argument(help="Id of another.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare two sweeps over the arms that both have: each outcome in both, and the second less the first.

    Arms are the same where all that either sweep varies has equal values; what one of them fixes counts by its value.

    Example: rnnlab sweep compare clipping-by-depth clipping-by-depth-2
    """
    place = home_at(home)
    place.must_exist()
    from rnnlab.errors import SpecError
    from sweeps.store import Lab

    if first == second:
        raise SpecError(f"compare takes two sweeps, but got {first!r} twice; `rnnlab sweep list` shows all")
    with Lab.open(place.lab_url) as lab:
        for id in (first, second):
            lab.sweep(id)
        from sweeps.analysis.compare import compare as compared
        from sweeps.analysis.data import load

        told = compared(load(lab, first, lag=0), load(lab, second, lag=0))
    if as_json:
        typer.echo(json.dumps([told.model_dump(mode="json")]))
        return
    from services.cli.screen import console

    screen = console()
    if told.arms:
        screen.print(_table(told), "", sep="\n")
    else:
        screen.print(f"{first} and {second} share no arm (matched by {', '.join(told.axes)}).", markup=False)
    for id, labels in ((first, told.only_first), (second, told.only_second)):
        if labels:
            more = f" and {len(labels) - 8} more" if len(labels) > 8 else ""
            screen.print(f"Only in {id}: {'; '.join(labels[:8])}{more}.", markup=False, soft_wrap=True)
    for warning in told.warnings:
        screen.print(f"- {warning}", markup=False, soft_wrap=True)


def _table(told: Comparison) -> Table:
    from rich.table import Table

    table = Table(
        "arm", "n", "outcome", told.first, told.second, "difference (second less first)", "interval of it",
        box=None, header_style="bold", pad_edge=False, title="mean and 95% interval", title_justify="left",
    )  # fmt: skip
    for arm in told.arms:
        for row, one in enumerate(arm.outcomes):
            head = (arm.label, f"{arm.replicates[0]}, {arm.replicates[1]}") if not row else ("", "")
            gap = one.difference
            method = "" if gap is None else f"{gap.method}, {one.pairs} pairs" if one.pairs else gap.method
            sure = gap is not None and (gap.low > 0 or gap.high < 0)
            shown = f"[bold]{_shown(gap, sign=True)}[/bold]" if sure else _shown(gap, sign=True)
            table.add_row(*head, HEADS[one.outcome], _shown(one.first), _shown(one.second), shown, method)
    return table


def _shown(number: Interval | None, *, sign: bool = False) -> str:
    """`0.80 (0.49 to 0.94)`."""
    if number is None:
        return "-"
    plus = "+" if sign else ""
    return f"{number.value:{plus}.2f} ({number.low:{plus}.2f} to {number.high:{plus}.2f})"
