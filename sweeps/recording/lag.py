"""How far recording lags behind, told from a sweep's folder by any process, whether its recorder lives or not."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

STATUS_FILE = "status.json"
"""What a recorder says of itself, in the spool's folder."""
UNDRAWN = "undrawn"
"""Folder, in the sweep's, of runs whose picture waits, a file each."""


@dataclass(frozen=True)
class Lag:
    """What is not in MLflow.

    Args:
        waiting: messages and pictures on disk that are not sent. since: when sending began to fail, ISO 8601.
        why: the store's last answer. refused: messages that MLflow would not have. spoilt: unreadable ones.
    """

    waiting: int
    since: str | None = None
    why: str | None = None
    refused: int = 0
    spoilt: int = 0

    def as_dict(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)

    def words(self) -> str:
        """In one line; empty where nothing lags."""
        parts = []
        if self.waiting:
            since = f" since {datetime.fromisoformat(self.since):%H:%M:%S}" if self.since else ""
            why = f" ({self.why})" if self.why else ""
            waiting = "1 message waits" if self.waiting == 1 else f"{self.waiting} messages wait"
            parts.append(f"recording lags{since}: {waiting}{why}")
        return "; ".join([*parts, *self.lost])

    @property
    def lost(self) -> list[str]:
        """What will not reach MLflow."""
        said = []
        for count, what in ((self.refused, "refused by MLflow"), (self.spoilt, "unreadable")):
            if count:
                said.append(f"1 message was {what}" if count == 1 else f"{count} messages were {what}")
        return said


def lag_of(sweep_folder: Path, *, running: bool) -> Lag | None:
    """What lags in a sweep; None where nothing does. While it runs, what waits without an error is on its way."""
    spool = sweep_folder / "spool"
    if not spool.is_dir():
        return None
    said: dict[str, Any] = {}
    if (spool / STATUS_FILE).is_file():
        said = json.loads((spool / STATUS_FILE).read_text())
    lag = Lag(waiting_in(sweep_folder), **said)
    if running and lag.why is None:
        lag = Lag(0, refused=lag.refused, spoilt=lag.spoilt)
    return lag if lag.words() else None


def waiting_in(sweep_folder: Path) -> int:
    """Messages and pictures that wait on disk."""
    folders = (sweep_folder / "spool", sweep_folder / UNDRAWN)
    return sum(name.endswith(".pkl") for folder in folders if folder.is_dir() for name in os.listdir(folder))


def keep(sweep_folder: Path, lag: Lag) -> None:
    """Leave a recorder's word for other processes, whole or not at all."""
    said = {name: value for name, value in asdict(lag).items() if name != "waiting"}
    part = sweep_folder / "spool" / f"{STATUS_FILE}.part"
    part.write_text(json.dumps(said))
    os.replace(part, part.with_suffix(""))
