"""The recorder: one Ray actor a sweep, which spools what workers send, writes MLflow and draws pictures.

Importing it loads no MLflow, which takes seconds: the recorder's own thread does, while `put` takes messages already.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from rnnlab.errors import PlaceError
from sweeps.recording.grouping import WINDOW, due
from sweeps.recording.lag import Lag, keep
from sweeps.recording.messages import Message, SweepOver, TrainingOver, TrialBegun, TrialMessage, TrialOver
from sweeps.recording.open_trials import Undrawn
from sweeps.recording.refusals import LONGEST_CAUSE, cause_of, is_refusal
from sweeps.recording.spool import Spool, Waiting
from sweeps.recording.weights import best_of, files_in, forget_all_but_best, load_weights

if TYPE_CHECKING:
    from sweeps.home import Home
    from sweeps.recording.mlflow_writer import MlflowWriter, OpenRun
    from sweeps.spec import SweepSpec

logger = logging.getLogger(__name__)

RETRY_AFTER = 1.0
"""Seconds before a store that refused is tried again."""
TRIES = 10
"""How often a message, or a part of the sweep's end, is tried on a store that answers and will not have it."""
LOADS_WITHIN = 5.0
"""Seconds after which a recorder loads MLflow; before that it does once a worker has told something. On a machine that
has as many workers as processors their own loading goes first, and with it the first result."""
THREADS = 3
"""Trials that are written to a server at a time; a SQLite file takes one after another."""
SWITCH = 0.0005
"""Seconds after which threads of the recorder take turns (Python's own: 0.005): a worker waits for `put`."""
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # a server that hangs is noticed after this; MLflow's own would be 120 s, seven times, with breaks that double
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
}
"""What MLflow's client is told, where a person has not. Trying again is the recorder's, which looks before it does."""
RECORDING_LOCK = "recording.lock"
"""In a sweep's folder: held by whoever records a sweep that has ended."""


@dataclass(frozen=True)
class RecorderStatus:
    """How far recording is.

    Args:
        waiting: messages spooled and not yet in MLflow. pictures: runs whose picture is not drawn yet.
        points: metric points written. run_ids: trial -> MLflow run. error: why writing waits, if it does.
        since: when it began to wait, ISO 8601. refused: messages that MLflow would not have. spoilt: unreadable ones.
    """

    experiment_id: str | None
    parent_id: str | None
    waiting: int
    pictures: int
    points: int
    run_ids: dict[int, str]
    error: str | None
    since: str | None = None
    refused: int = 0
    spoilt: int = 0

    @property
    def settled(self) -> bool:
        """Whether nothing waits."""
        return not self.waiting and not self.pictures

    @property
    def lag(self) -> Lag:
        """What is not in MLflow."""
        return Lag(self.waiting + self.pictures, self.since, self.error, self.refused, self.spoilt)


class RecorderProcess:
    """Takes messages at once and writes them in order in a thread of its own; made a Ray actor by `start`.

    What it must not forget is on disk, so that another one may go on in its folder whenever it dies.

    Args:
        folder: the sweep's; the spool lies in it, and pictures are left there too.
        writer: arguments of `MlflowWriter`.
    """

    def __init__(self, folder: str, writer: dict[str, Any]) -> None:
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        sys.setswitchinterval(SWITCH)
        gc.freeze()  # MLflow makes objects by the thousand, and each collection would look through all that is imported
        self.folder = Path(folder)
        self.spool = Spool(self.folder / "spool")
        self.undrawn = Undrawn(self.folder)
        self.writer: MlflowWriter | None = None
        self._weights = files_in(self.folder)
        self._arguments = writer
        self._wanted, self._stopping = threading.Event(), threading.Event()
        self._error: str | None = None
        self._since: str | None = None
        self._away = False
        self._tries = 0
        self._one_by_one = False
        """Whether messages are written singly, to find the one that MLflow refuses."""
        self._said: Lag | None = None
        self._not_begun = {one.trial for one in self.spool.aside() if isinstance(one, TrialBegun)}
        """Trials whose beginning MLflow would not have: what comes of them is set aside too."""
        self._say()
        sqlite = writer["tracking_uri"].startswith("sqlite:")
        # pictures and MLflow yield to training when the machine is full; on Linux this is for the thread alone
        self._at_once = 1 if sqlite else THREADS
        self._pool = ThreadPoolExecutor(self._at_once, "mlflow", initializer=os.nice, initargs=(5,))
        self._thread = threading.Thread(target=self._background, name="mlflow-writer", daemon=True)
        self._thread.start()

    def put(self, *messages: Message) -> None:
        """Take messages of one trial, or one of the sweep; they are on disk when this returns."""
        self.spool.put(*messages)
        if not all(isinstance(message, TrialBegun) for message in messages):
            self._wanted.set()

    def status(self) -> RecorderStatus:
        """How far recording is."""
        writer = self.writer
        return RecorderStatus(
            writer.experiment_id if writer else None,
            writer.parent_id if writer else None,
            len(self.spool),
            len(self.undrawn),
            writer.points if writer else 0,
            dict(writer.run_ids) if writer else {},
            self._error,
            self._since,
            self.spool.refused,
            self.spool.spoilt,
        )

    def finish(self) -> RecorderStatus:
        """Write what waits, draw what is left, and take no more; the last status. Waits for a store that is away."""
        self._stopping.set()
        self._wanted.set()
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

        Comes after `finish`. Again with the same changes nothing, with other values it replaces them. Arguments as
        of `SweepOver`.
        """
        self.put(SweepOver(status, tuple(files), description, tables or {}))
        self._work()
        return self.status()

    def _background(self) -> None:
        os.nice(5)
        if not len(self.spool):  # of an earlier process
            self._wanted.wait(LOADS_WITHIN)
        self._work()

    def _work(self) -> None:
        while self.writer is None or not (self._stopping.is_set() and self.status().settled):
            try:
                if self.writer is None:
                    from sweeps.recording.mlflow_writer import MlflowWriter
                    from sweeps.recording.new_store import make_store

                    make_store(self._arguments["tracking_uri"])
                if self._away:
                    self._look()
                if self.writer is None:
                    self.writer = MlflowWriter(**self._arguments, folder=self.folder, undrawn=self.undrawn)
                self._some(self.writer)
                self._error, self._since, self._tries = None, None, 0
            except Exception as error:  # the store may be away for a while: what waits is on disk
                self._failed(error)
            self._say()

    def _look(self) -> None:
        """Raises where the store is still away. One that hung may now do what it was asked then: give it time."""
        from mlflow.tracking import MlflowClient

        client = self.writer.client if self.writer else MlflowClient(tracking_uri=self._arguments["tracking_uri"])
        client.search_experiments(max_results=1)
        time.sleep(RETRY_AFTER)
        self._away = False

    def _failed(self, error: Exception) -> None:
        """Wait, or set aside what a store that answers has refused `TRIES` times."""
        cause = cause_of(error)
        if cause != self._error:
            logger.warning("recording waits: %s", cause)
        self._error, self._since = cause, self._since or datetime.now().astimezone().isoformat(timespec="seconds")
        refusal = is_refusal(error)
        self._away = not refusal
        self._tries = self._tries + 1 if refusal and self.writer is not None and self._one_by_one else 0
        self._one_by_one = refusal
        if self._tries >= TRIES and self._parent_is_there():
            self._tries = 0
            self._set_aside(cause)
        else:
            time.sleep(RETRY_AFTER)

    def _parent_is_there(self) -> bool:
        """Whether the store answers, and is still the one that the sweep began in."""
        assert self.writer is not None
        try:
            return bool(self.writer.client.get_run(self.writer.parent_id).info.lifecycle_stage == "active")
        except Exception:
            return False

    def _set_aside(self, cause: str) -> None:
        """Refuse what was tried last, which is the first: of a group each is tried alone."""
        self._one_by_one = False
        if entries := self.spool.look(1):
            (one,) = entries
            for message in one.messages:
                if isinstance(message, TrialBegun):
                    self._not_begun.add(message.trial)
            logger.error("a message is set aside in %s: %s", self.spool.refuse(one), cause)
        elif (run := self.undrawn.first()) is not None:
            logger.error("trial %d has no picture: %s", run.begun.trial, cause)
            self.undrawn.done(run.begun.trial)

    def _say(self) -> None:
        """Tell other processes, where it is news; a disk that is full has worse to tell."""
        lag = Lag(0, self._since, self._error, self.spool.refused, self.spool.spoilt)
        if lag != self._said:
            with contextlib.suppress(OSError):
                keep(self.folder, lag)
                self._said = lag

    def _some(self, writer: MlflowWriter) -> None:
        """Write what is due, else draw a picture, else wait for more."""
        entries = self.spool.look(1 if self._one_by_one else WINDOW)
        hurry = self._one_by_one or self._stopping.is_set()
        groups = due(entries, time.monotonic(), hurry, self._at_once)
        if len(groups) == 1:
            self._take(writer, groups[0])
        elif groups:
            tasks = [self._pool.submit(self._take, writer, group) for group in groups]
            errors = [error for task in tasks if (error := task.exception()) is not None]
            if errors:
                raise errors[0]
        elif (run := self.undrawn.first()) is not None:
            self._picture(writer, run)
            self.undrawn.done(run.begun.trial)
        else:
            self.spool.wait(0.2)
        if not groups:
            self._one_by_one = False

    def _take(self, writer: MlflowWriter, group: Sequence[Waiting]) -> None:
        """Write messages of one trial, or the sweep's end, and drop them."""
        messages = [message for one in group for message in one.messages]
        first, trial = messages[0], group[0].trial
        if isinstance(first, SweepOver):
            self._end(writer, first)
        elif isinstance(first, TrainingOver):
            with contextlib.suppress(Exception):  # the sweep's end tries again, and says what is missing
                self._log_best(writer)
        elif trial in self._not_begun and not isinstance(first, TrialBegun):
            for one in group:
                self.spool.refuse(one)
            return
        else:
            writer.write(*(message for message in messages if isinstance(message, TrialMessage)))
            self._not_begun.discard(first.trial)
            for message in messages:
                if isinstance(message, TrialOver):
                    self._forget(message)
        self.spool.done(group)

    def _picture(self, writer: MlflowWriter, run: OpenRun) -> None:
        from sweeps.recording.pictures import draw_run

        try:
            path = draw_run(run, self.folder)
        except Exception as error:
            if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
                raise  # of the disk: tried again
            # a bug, or curves that somebody removed: it would come again each time, and the sweep must not wait for it
            logger.exception("trial %d has no picture", run.begun.trial)
            return
        writer.log_picture(run, path)

    def _forget(self, over: TrialOver) -> None:
        try:
            complete = over.status == "FINISHED"
            self._weights = forget_all_but_best(self.folder, self._weights, over.trial, complete)
        except Exception:  # weights are an extra: nothing waits for them
            logger.exception("weights of trials that are not the best may be left")

    def _end(self, writer: MlflowWriter, over: SweepOver) -> None:
        """Give the parent run what the sweep as a whole has, and end it; its page says what could not be logged."""
        lost: list[str] = []
        for path in over.files:
            self._try(writer, lost, Path(path).name, partial(writer.log_file, Path(path)))
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
                cause = f"{what}: {cause_of(error)}"
                logger.warning("not logged: %s", cause)
            writer.client.get_run(writer.parent_id)
            if left:
                time.sleep(RETRY_AFTER)
        lost.append(cause[:LONGEST_CAUSE])
        return None


def actor_name(sweep_id: str) -> str:
    """The name by which workers find the recorder of a sweep."""
    return f"rnnlab-recorder-{sweep_id}"


def writer_arguments(home: Home, sweep_id: str, spec: SweepSpec) -> dict[str, Any]:
    """What a recorder's writer is made with."""
    return {
        "tracking_uri": home.mlflow_uri,
        "sweep_id": sweep_id,
        "description": spec.description,
        "artifact_folder": home.artifact_folder(sweep_id),
        "spec_yaml": spec.to_yaml(),
    }


def start(folder: Path, writer: Mapping[str, Any]) -> Any:
    """Start the recorder of a sweep on the driver's node, taking no CPU from trials; its handle.

    Args:
        folder: the sweep's. writer: as `writer_arguments` makes them.

    Raises:
        PlaceError: `rnnlab sweep record` records it at this moment.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    sweep_id = writer["sweep_id"]
    try:
        FileLock(folder / RECORDING_LOCK, timeout=0).acquire().lock.release()
    except Timeout:
        raise PlaceError(f"`rnnlab sweep record {sweep_id}` is at it; wait until it has ended") from None
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return (
        ray.remote(RecorderProcess)
        # one that dies is started again on its spool, and what it had not acknowledged is sent to it again
        .options(name=actor_name(sweep_id), num_cpus=0, scheduling_strategy=here, max_restarts=-1, max_task_retries=-1)
        .remote(str(folder), dict(writer))
    )
