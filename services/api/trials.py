"""Routes of trials and their curves."""

from __future__ import annotations

import contextlib
from pathlib import Path as FilePath
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from fastapi.responses import FileResponse

from services.api.errors import RESPONSES, Refused
from services.api.models import CurvesSeen, Page, TrialSeen, Verdict, Wanted
from services.api.security import Here, Viewer
from services.api.seeing import trial_seen
from services.api.service import Service
from sweeps.recording.arrays import LOG10, Arrays, load_curves, log10_of, over_replicates
from sweeps.store import TrialState
from sweeps.store.paging import Paging, SortKey

router = APIRouter(prefix="/api/sweeps/{id}/trials", tags=["trials"], responses=RESPONSES)
Number = Annotated[int, Path(ge=0, le=10_000_000)]


@router.get("")
def trials(
    service: Here,
    caller: Viewer,
    id: str,
    span: Wanted,
    state: TrialState | None = None,
    verdict: Verdict | None = None,
    sort: SortKey = "number",
    descending: bool = False,
) -> Page[TrialSeen]:
    """Trials of a sweep that have begun; those without a value to sort by come last."""
    sweep = service.queue.sweep(id)
    found, total = Paging(service.queue.engine).trials_page(
        id, state=state, verdict=verdict, sort=sort, descending=descending, offset=span.offset, limit=span.limit
    )
    items = [trial_seen(service, sweep, trial) for trial in found]
    return Page(items=items, total=total, offset=span.offset, limit=span.limit)


@router.get("/{number}")
def trial(service: Here, caller: Viewer, id: str, number: Number) -> TrialSeen:
    """One trial."""
    found = Paging(service.queue.engine).trial(id, number)
    if found is None:
        raise Refused(404, f"sweep {id!r} has no trial {number}, or it has not begun")
    return trial_seen(service, service.queue.sweep(id), found)


@router.get("/{number}/curves")
def curves(
    service: Here,
    caller: Viewer,
    id: str,
    number: Number,
    name: Annotated[str | None, Query(max_length=100, description="one of `names`; default: the anchor's")] = None,
    replicate: Annotated[int | None, Query(ge=0, le=10_000, description="default: the median over them")] = None,
    log10: Annotated[bool, Query(description="log10 of the values, also of those below float64's range")] = False,
) -> CurvesSeen:
    """Curves at every probe: gradient norms by timestep or lag, loss by timestep."""
    import numpy as np

    arrays = _arrays(service, id, number)
    names = [one for one in arrays if one != "updates" and not one.endswith(LOG10)]
    chosen = name or _verdicts_own(names)
    if chosen not in names:
        raise Refused(404, f"trial {number} has no curve {chosen!r} (curves: {', '.join(names)})")
    if log10:
        arrays = {**arrays, chosen: log10_of(arrays, chosen)}
    values_USK = arrays[chosen]
    if replicate is not None and replicate >= values_USK.shape[1]:
        raise Refused(404, f"trial {number} has the replicates 0 to {values_USK.shape[1] - 1}, but got {replicate}")
    values_UK = over_replicates(arrays, chosen) if replicate is None else values_USK[:, replicate]
    rows = [[float(v) if np.isfinite(v) else None for v in row] for row in values_UK]
    return CurvesSeen(
        trial=number,
        updates=[int(update) for update in arrays["updates"]],
        names=names,
        name=chosen,
        values=rows,
        axis=_axis(chosen),
        log10=log10,
        replicate=replicate,
    )


@router.get("/{number}/curves.npz", response_class=FileResponse)
def curves_file(service: Here, caller: Viewer, id: str, number: Number) -> FileResponse:
    """All curves as a NumPy file: arrays (updates, replicates, timesteps or lags). After the trial has ended."""
    return FileResponse(_file(service, id, number, "curves.npz"), media_type="application/octet-stream",
                        filename=f"{id}-{number:04}-curves.npz")  # fmt: skip


@router.get("/{number}/heatmap.png", response_class=FileResponse)
def heatmap(service: Here, caller: Viewer, id: str, number: Number) -> FileResponse:
    """The picture that MLflow has of it, too."""
    return FileResponse(_file(service, id, number, "heatmap.png"), media_type="image/png")


def _verdicts_own(names: list[str]) -> str:
    """The curve that a verdict reads: G2 of the top layer, at the memory `c` where a cell has one."""
    anchors = [name for name in names if name.startswith("anchor")]
    return max(anchors, key=lambda name: (int(name.rpartition("_l")[2]), "_c_" in name), default=next(iter(names), ""))


def _axis(name: str) -> Literal["timestep", "lag", "index"]:
    """What a curve's columns count, as its probe made it."""
    return "lag" if name.startswith("anchor") else "index" if name.startswith(("jacobian", "lyapunov")) else "timestep"


def _file(service: Service, id: str, number: int, name: str) -> FilePath:
    path = service.folder(id) / "trials" / f"{number:04}" / name
    if not path.is_file():
        raise Refused(404, f"trial {number} of sweep {id!r} has no {name} (yet): it is made when a trial has ended")
    return path


def _arrays(service: Service, id: str, number: int) -> Arrays:
    """Of a trial that has ended its file; of one that runs what the recorder has of it."""
    folder = service.folder(id)
    for _ in range(2):  # the recorder may move them between two looks
        with contextlib.suppress(FileNotFoundError):
            arrays = _found(folder, number)
            if arrays is not None:
                return arrays
    raise Refused(404, f"trial {number} of sweep {id!r} has no curves (yet)")


def _found(folder: FilePath, number: int) -> Arrays | None:
    from sweeps.recording.open_trials import OpenTrials

    path = folder / "trials" / f"{number:04}" / "curves.npz"
    if path.is_file():
        return load_curves(path)
    running = OpenTrials(folder)
    return None if running.begun(number) is None else running.curves(number).arrays
