"""`rnnlab sweep plan`: what a sweep would run, tell and cost; nothing is started or created."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.options import NightlyOption, QuickOption

if TYPE_CHECKING:
    from rich.console import Console

    from sweeps.report.plan import Plan


def plan(
    what: Annotated[str, typer.Argument(metavar="SPEC.yaml|RECIPE", help="A spec file, or the name of a recipe.")],
    quick: QuickOption = False,
    nightly: NightlyOption = False,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Trials at a time that the wall time is for (default: the CPUs there are)."),
    ] = None,
    measure: Annotated[
        bool, typer.Option(help="Train a few updates of each shape here, some seconds in all, to estimate the cost.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array instead of sentences.")] = False,
) -> None:
    """Say what a sweep would run, what it could tell and what it would cost; nothing is started or created.

    Examples: rnnlab sweep plan first;  rnnlab sweep plan mine.yaml --workers 8 --no-measure
    """
    from services.cli.screen import console
    from services.cli.sweep import spec_of

    spec = spec_of(what, quick, nightly)
    from sweeps.report.plan import plan_of, sampled, sentences

    told = plan_of(spec)
    if measure:
        from sweeps.running.cost import cost_of

        with console(stderr=True).status("training a few updates of each shape ..."):
            told = told.model_copy(update={"cost": cost_of(sampled(spec), workers)})
    if as_json:
        typer.echo(json.dumps([told.model_dump(mode="json")]))
        return
    screen = console()
    screen.print(f"Sweep {told.name} ({told.hash}): nothing has been started.", markup=False)
    if told.description:
        screen.print(told.description, markup=False, style="dim")
    _tables(told, screen)
    screen.print(*sentences(told), sep="\n", markup=False, soft_wrap=True)
    if not measure:
        screen.print("Its cost was not measured (--no-measure).", style="dim")
    budget = " --quick" if quick else " --nightly" if nightly else ""
    screen.print(f"\nRun it: rnnlab sweep run {what}{budget}", style="dim", markup=False)


def _tables(told: Plan, screen: Console) -> None:
    """Stages, then arms by name or the balance of levels, then shapes and what one trial of each costs."""
    from rich.table import Table

    stages = Table("stage", "trials", "arms", "blocks", "what for", box=None, header_style="bold", pad_edge=False)
    for stage in told.stages:
        arms, blocks = ("-" if count is None else str(count) for count in (stage.arms, stage.blocks))
        stages.add_row(stage.stage, f"{stage.trials:,}", arms, blocks, stage.meaning)
    screen.print("", stages, "", sep="\n")
    if told.listed:
        arms_table = Table("arm", *told.levels, box=None, header_style="bold", pad_edge=False)
        for arm in told.listed:
            name = f"{arm.label} (baseline)" if arm.baseline else arm.label
            arms_table.add_row(name, *arm.levels.values())
        screen.print(arms_table, "", sep="\n")
    elif told.levels:
        head = ("axis", "arms at each level") if told.designed else ("axis", "levels")
        balance = Table(*head, box=None, header_style="bold", pad_edge=False)
        for axis, counts in told.levels.items():
            shown = (f"{level} x {count}" if told.designed else level for level, count in counts.items())
            balance.add_row(axis, ", ".join(shown))
        screen.print(balance, "", sep="\n")
    if told.cost is not None:
        costs = Table("shape", "trials", "an update", "a trial", box=None, header_style="bold", pad_edge=False)
        for one in sorted(told.cost.shapes, key=lambda one: -one.trials * one.trial_seconds)[:12]:
            shape = ", ".join(f"{name} {value}" for name, value in one.shape.items() if name != "task")
            note = "" if one.measured else " (mean of the others)"
            update, trial = f"{one.update_seconds * 1e3:.1f} ms", f"{one.trial_seconds:.1f} s{note}"
            costs.add_row(f"{shape}; {one.shape['task']}", f"{one.trials:g}", update, trial)
        screen.print(costs, "", sep="\n")
        if len(told.cost.shapes) > 12:
            screen.print(f"... and {len(told.cost.shapes) - 12} shapes that cost less", style="dim")
