"""Stopping Tune where a place can no longer be used."""

from __future__ import annotations

from typing import Any

from ray import tune

from sweeps.search.searcher import AskTell


class Places(tune.Callback):  # type: ignore[misc]
    """Raises what a searcher met: an error in a callback ends Tune's run, one in a searcher is a trial's failure."""

    def __init__(self, searcher: AskTell) -> None:
        self._searcher = searcher

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        if self._searcher.place is not None:
            raise self._searcher.place
