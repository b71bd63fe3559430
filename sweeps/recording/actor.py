"""The recorder: one Ray actor a sweep, which spools what workers send, writes MLflow and draws pictures."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from rnnlab.curve import Curve
from rnnlab.recorder import Scalars
from sweeps.recording.messages import Message, SweepOver, TrialOver, UpdateCurves, UpdateScalars
from sweeps.recording.mlflow_writer import MlflowWriter, OpenRun
from sweeps.recording.pictures import draw_run
from sweeps.recording.spool import Spool
from sweeps.recording.weights import best_of, forget_all_but_best, load_weights

logger = logging.getLogger(__name__)

RETRY_AFTER = 1.0
"""Seconds before a store that refused is tried again."""
TRIES = 10
"""How often a part of the sweep's end is tried on a store that answers: it ends without it rather than never."""
LONGEST_CAUSE = 500
"""Characters of an error that the parent's page shows."""


@dataclass(frozen=True)
class RecorderStatus:
    """How far recording is.

    Args:
        waiting: messages spooled and not yet in MLflow. pictures: runs whose picture is not drawn yet.
        points: metric points written. run_ids: trial -> MLflow run. error: why writing waits, if it does.
    """

    experiment_id: str | None
    parent_id: str | None
    waiting: int
    pictures: int
    points: int
    run_ids: dict[int, str]
    error: str | None


class RecorderProcess:
    """Takes messages at once and writes them in order in a thread of its own; made a Ray actor by `start`.

    Args:
        folder: the sweep's; the spool lies in it, and pictures are left there too.
        writer: arguments of `MlflowWriter`.
    """

    def __init__(self, folder: str, writer: dict[str, Any]) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        self.folder = Path(folder)
        self.spool = Spool(self.folder / "spool")
        self.writer: MlflowWriter | None = None
        self._arguments = writer
        self._pictures: deque[OpenRun] = deque()
        self._stopping = threading.Event()
        self._error: str | None = None
        self._thread = threading.Thread(target=self._background, name="mlflow-writer", daemon=True)
        self._thread.start()

    def put(self, message: Message) -> None:
        """Take a message; it is on disk when this returns."""
        self.spool.put(message)

    def status(self) -> RecorderStatus:
        """How far recording is."""
        writer = self.writer
        return RecorderStatus(
            writer.experiment_id if writer else None,
            writer.parent_id if writer else None,
            len(self.spool),
            len(self._pictures),
            writer.points if writer else 0,
            dict(writer.run_ids) if writer else {},
            self._error,
        )

    def finish(self) -> RecorderStatus:
        """Write what waits and draw what is left; the last status."""
        self._stopping.set()
        self._thread.join()
        return self.status()

    def close(
        self,
        status: str,
        files: Sequence[str],
        description: str = "",
        tables: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    ) -> RecorderStatus:
        """Give the parent run what the sweep has as a whole, log the best model, and end it; the last status.

        Comes after `finish`. Again with the same changes nothing, with other values it replaces them.

        Args:
            status: MLflow's. files: paths that become artifacts. description: Markdown, the findings.
            tables: artifact (`arms.json`) -> its rows.
        """
        self.put(SweepOver(status, tuple(files), description, tables or {}))
        self._work()
        return self.status()

    def _background(self) -> None:
        # pictures and MLflow yield to training when the machine is full; on Linux this is for the thread alone
        os.nice(5)
        self._work()

    def _work(self) -> None:
        while self.writer is None or not (self._stopping.is_set() and not len(self.spool) and not self._pictures):
            try:
                if self.writer is None:
                    self.writer = MlflowWriter(**self._arguments, folder=self.folder)
                self._one(self.writer)
                self._error = None
            except Exception as error:  # the store may be away for a while: what waits is on disk
                self._error = f"{type(error).__name__}: {error}"
                logger.warning("recording waits: %s", self._error)
                time.sleep(RETRY_AFTER)

    def _one(self, writer: MlflowWriter) -> None:
        message = self.spool.peek(0.0 if self._pictures else 0.2)
        if isinstance(message, SweepOver):
            self._end(writer, message)
            self.spool.done()
        elif message is not None:
            ended = writer.write(message)
            if isinstance(message, TrialOver):
                self._forget(message)
            self.spool.done()
            if ended is not None:
                self._pictures.append(ended)
        elif self._pictures:
            self._picture(writer, self._pictures[0])
            self._pictures.popleft()

    def _picture(self, writer: MlflowWriter, run: OpenRun) -> None:
        try:
            path = draw_run(run, self.folder)
        except OSError:  # of the disk: tried again
            raise
        except Exception:  # a bug, which would come again each time: the sweep must not wait for it
            logger.exception("trial %d has no picture", run.begun.trial)
            return
        writer.log_file(run.run_id, path)

    def _forget(self, over: TrialOver) -> None:
        try:
            forget_all_but_best(self.folder, over.trial, complete=over.status == "FINISHED")
        except Exception:  # weights are an extra: nothing waits for them
            logger.exception("weights of trials that are not the best may be left")

    def _end(self, writer: MlflowWriter, over: SweepOver) -> None:
        """Give the parent run what the sweep as a whole has, and end it; its page says what could not be logged."""
        lost: list[str] = []
        for path in over.files:
            self._try(writer, lost, Path(path).name, partial(writer.log_file, writer.parent_id, Path(path)))
        for name, rows in over.tables.items():
            self._try(writer, lost, name, partial(writer.log_table, name, rows))
        model = self._try(writer, lost, "the best model", partial(self._log_best, writer))
        below = f"## Best model\n{model}\n" if model else ""
        below += "".join(f"\n_Not logged: {part}_\n" for part in lost)
        self._try(writer, lost, "the findings", partial(writer.describe, over.description, below))
        writer.close(over.status)

    def _log_best(self, writer: MlflowWriter) -> str | None:
        path = best_of(self.folder)
        return None if path is None else writer.log_model(load_weights(path))

    def _try(self, writer: MlflowWriter, lost: list[str], what: str, part: Callable[[], str | None]) -> str | None:
        """Do a part, `TRIES` times at most, then note in `lost` what is missing; raises where the store is away."""
        for left in reversed(range(TRIES)):
            try:
                return part()
            except Exception as error:
                cause = f"{what}: {type(error).__name__}: {error}"
                logger.warning("not logged: %s", cause)
            writer.client.get_run(writer.parent_id)
            if left:
                time.sleep(RETRY_AFTER)
        lost.append(cause[:LONGEST_CAUSE])
        return None


class ActorRecorder:
    """The port that training writes to, on a worker's side: sends to the recorder and does not wait.

    Args:
        actor: handle of the recorder. trial: number within the sweep.
    """

    def __init__(self, actor: Any, trial: int) -> None:
        self.actor, self.trial = actor, trial
        self._sent: list[Any] = []

    def scalars(self, update: int, values: Scalars) -> None:
        plain = {name: np.asarray(value, dtype=np.float64) for name, value in values.items()}
        self._send(UpdateScalars(self.trial, update, plain))

    def curves(self, update: int, curves: Sequence[Curve]) -> None:
        self._send(UpdateCurves(self.trial, update, tuple(curves)))

    def flush(self) -> None:
        """Wait until all that was sent is on the recorder's disk."""
        import ray

        ray.get(self._sent)
        self._sent.clear()

    def _send(self, message: Message) -> None:
        self._sent.append(self.actor.put.remote(message))


def actor_name(sweep_id: str) -> str:
    """The name by which workers find the recorder of a sweep."""
    return f"rnnlab-recorder-{sweep_id}"


def start(sweep_id: str, folder: Path, **writer: Any) -> Any:
    """Start the recorder of a sweep on the driver's node, taking no CPU from trials; its handle."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return (
        ray.remote(RecorderProcess)
        # one that dies is started again on its spool, and what it had not acknowledged is sent to it again
        .options(name=actor_name(sweep_id), num_cpus=0, scheduling_strategy=here, max_restarts=-1, max_task_retries=-1)
        .remote(str(folder), {"sweep_id": sweep_id, **writer})
    )
