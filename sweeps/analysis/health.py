"""Health against success: how often the two occur together, not that one brings the other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sweeps.analysis.data import SweepData
from sweeps.analysis.resampling import draws, groups_of, share, units_of
from sweeps.analysis.results import Cross, Interval


def crosses(data: SweepData) -> list[Cross]:
    """Replicates by healthy (at the end, nothing exploded) and solved, for each cell type where there are several, then
    for all. Every complete trial counts, of all stages; one that diverged is neither healthy nor solved.
    """
    healthy, solved = (data.frame[name].to_numpy(dtype=bool) for name in ("healthy", "solved"))
    units = units_of(data).to_numpy()
    return [_cross(name, healthy[rows], solved[rows], units[rows]) for name, rows in groups_of(data) if rows.any()]


def _cross(name: str, healthy: NDArray[np.bool_], solved: NDArray[np.bool_], units: NDArray[np.object_]) -> Cross:
    names, places = np.unique(units, return_inverse=True)
    drawn = draws(len(names))

    def solved_if(rows: NDArray[np.bool_]) -> Interval | None:
        return share(solved[rows], places[rows], drawn) if rows.any() else None

    return Cross(
        group=name,
        healthy_solved=int((healthy & solved).sum()),
        healthy_unsolved=int((healthy & ~solved).sum()),
        sick_solved=int((~healthy & solved).sum()),
        sick_unsolved=int((~healthy & ~solved).sum()),
        solved_if_healthy=solved_if(healthy),
        solved_if_sick=solved_if(~healthy),
    )
