"""Trials at a time, as nodes join a cluster and leave it."""

from __future__ import annotations

import time
from typing import Any

from ray import tune
from ray.tune.search import ConcurrencyLimiter

from sweeps.running.books import Books
from sweeps.running.nodes import alive
from sweeps.running.resources import ResourcesSpec

LOOK_EVERY = 2.0
"""Seconds between two looks at the cluster's nodes."""


class Slots(tune.Callback):  # type: ignore[misc]
    """Lets a searcher ask for as many trials as the cluster has room for.

    Trials that lose their node wait until there is room again; one that has none at all waits for a node that joins.

    Args:
        limiter: whose limit is kept. resources: of a trial. limit: at most so many; None: no such limit.
    """

    def __init__(self, limiter: ConcurrencyLimiter, resources: ResourcesSpec, limit: int | None, books: Books) -> None:
        self._limiter, self._resources, self._limit, self._books = limiter, resources, limit, books
        self._looked = time.monotonic()
        self._nodes: set[str] | None = None

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        now = time.monotonic()
        if now - self._looked < LOOK_EVERY:
            return
        self._looked = now
        nodes = alive()
        ids = {node["NodeID"] for node in nodes}
        if ids == self._nodes:
            return
        room = sum(self._resources.fitting(node["Resources"]) for node in nodes)
        slots = min(self._limit or room, room)
        self._limiter.max_concurrent = max(1, slots)
        if self._nodes is not None:
            joined, left = len(ids - self._nodes), len(self._nodes - ids)
            said = f"{joined} nodes joined, {left} left: {slots} trials at a time"
            self._books.lab.event(self._books.sweep_id, "nodes", said, joined=joined, left=left, slots=slots)
            self._books.progress.notice = said if slots else "no node has room for a trial; waiting for one to join"
            self._books.watcher.changed(self._books.progress)
        self._nodes = ids
