"""`rnnlab sweep predict`: which early signal tells best who will solve the task, on sweeps it was not fitted on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.options import HomeOption, home_at

if TYPE_CHECKING:
    from rich.table import Table

    from sweeps.analysis.prediction import Prediction


def predict(
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Of sweeps; `rnnlab sweep list` knows them.")],
    write: Annotated[
        Path | None, typer.Option(help="Write a Markdown page here, and its picture beside it as .png.")
    ] = None,
    home: HomeOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")] = False,
) -> None:
    """Ask which early signal tells who will solve the task: fitted on some sweeps, judged on others.

    With one sweep its blocks are left out in groups. Example: rnnlab sweep predict first second --write prediction.md
    """
    place = home_at(home)
    place.must_exist()
    if write is not None:
        _check(write)
    from sweeps.analysis.data import load
    from sweeps.analysis.prediction import predict as judge
    from sweeps.store import Lab

    with Lab.open(place.lab_url) as lab:
        for id in ids:  # an unknown one is told before the data of the others is loaded
            lab.sweep(id)
        # the lag stands in no prediction, and reading it would load each task's data
        found = judge([load(lab, id, lag=0) for id in ids])
    if write is not None:
        _write(found, write)
    from sweeps.analysis.prediction_page import answer, caveats

    if as_json:
        said = {"answer": answer(found), "caveats": caveats(found)}
        typer.echo(json.dumps(found.model_dump(mode="json") | said))
        return
    from rich.markdown import Markdown

    from services.cli.screen import console

    screen = console()
    screen.print(_table(found), "")
    for paragraph in answer(found):
        screen.print(Markdown(paragraph), "")
    for caveat in caveats(found):
        screen.print(f"- {caveat}", markup=False, style="dim", soft_wrap=True)
    if write is not None:
        screen.print(f"\nPage        {write}\nPicture     {_picture(write)}", soft_wrap=True)


def _table(found: Prediction) -> Table:
    from rich.markup import escape
    from rich.table import Table

    from sweeps.analysis.prediction_page import cells_of

    several = found.across and len(found.sweeps) > 1
    ids = [sample.sweep_id for sample in found.sweeps]
    table = Table(
        "at", "model", "AUC", "gain over the early loss (at 0% over chance)", *(ids if several else ()),
        title=f"Who will solve the task? {', '.join(ids)}", title_justify="left", box=None, header_style="bold",
    )  # fmt: skip
    last = None
    for one in found.judged:
        if last is not None and one.percent != last:
            table.add_section()
        model, auc, gain, *_ = cells_of(one, several=False)
        each = [f"{one.by_sweep[id]:.2f}" if id in one.by_sweep else "" for id in ids if several]
        style = "bold" if gain.startswith("**") else None
        cells = (model, auc, gain.replace("**", ""), *each)
        table.add_row("" if one.percent == last else f"{one.percent}%", *map(escape, cells), style=style)
        last = one.percent
    return table


def _picture(page: Path) -> Path:
    return page.with_suffix(".png")


def _check(page: Path) -> None:
    """Raises:
    PlaceError: a page cannot be written there.
    """
    from rnnlab.errors import PlaceError

    if page.suffix != ".md" or page.is_dir() or not page.parent.is_dir():
        raise PlaceError(f"--write takes a file that ends in .md in a folder that is there, but got {page}")


def _write(found: Prediction, page: Path) -> None:
    """Raises:
    PlaceError: the page or its picture cannot be written.
    """
    from rnnlab.errors import PlaceError
    from sweeps.analysis import prediction_page
    from sweeps.report.figures import save

    picture = _picture(page)
    try:
        save(prediction_page.draw(found), picture)
        page.write_text(prediction_page.page(found, picture.name, str(page)), encoding="utf-8")
    except OSError as error:
        raise PlaceError(f"the page {page} and its picture must be written, but: {error.strerror}") from None
