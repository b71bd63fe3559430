"""A plan for a page: `rnnlab sweep plan` in a process beside the service, one at a time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import tempfile
from pathlib import Path

from services.api.errors import Refused
from sweeps.spec import SweepSpec

WITHIN = 60.0
"""Seconds that a plan may take: it trains a few updates to measure them."""
_one = asyncio.Semaphore(1)


async def planned(spec: SweepSpec, home: Path) -> str:
    """What the command prints.

    Raises:
        Refused: it takes too long, or what it plans for cannot be read.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "spec.yaml"
        path.write_text(spec.to_yaml())
        words = [sys.executable, "-m", "services.cli.app", "sweep", "plan", str(path)]
        async with _one:
            process = await asyncio.create_subprocess_exec(
                *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
                env={**os.environ, "RNNLAB_HOME": str(home), "COLUMNS": "100", "OMP_NUM_THREADS": "1"},
            )  # fmt: skip
            try:
                out, err = await asyncio.wait_for(process.communicate(), WITHIN)
            except TimeoutError:
                raise Refused(
                    503, f"the plan took longer than {WITHIN:.0f} s; `rnnlab sweep plan` has no limit"
                ) from None
            finally:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
    if process.returncode:
        raise Refused(422, err.decode(errors="replace").strip().removeprefix("error: ") or "no plan could be made")
    return out.decode(errors="replace")
