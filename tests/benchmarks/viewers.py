"""Viewers of a sweep while it runs: how long they wait, and whether anything goes wrong.

    python tests/benchmarks/viewers.py --viewers 50 --seconds 60 --keep

`rnnlab serve` on a new home, its own Ray and MLflow, a sweep that trains all the while. Each viewer holds the stream of the
sweep open, as its page does, and asks every two seconds for something that the pages ask for. All on one machine: viewers,
service, Ray and training share its processors. The table goes to the screen and, with `--keep`, beside this file.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import httpx2 as httpx
import psutil

from services.client import Client
from services.jobs.embedded import free_port

SPEC = """
name: watched
task: {kind: adding, length: 40}
model: {hidden: 16}
space: {cell: [rnn, gru], lr: {low: 1.0e-3, high: 1.0e-2, log: true}}
search: {sampler: random, trials: 200}
replicates: 2
budget: {updates: 200, evaluations: 10}
"""
EVERY = 2.0
"""Seconds between two questions of a viewer."""
ASKED = {
    "the changing part of a sweep's page": "/sweeps/watched/now",
    "a sweep": "/api/sweeps/watched",
    "sweeps": "/api/sweeps",
    "trials by score": "/api/sweeps/watched/trials?sort=score&limit=25",
    "a trial's page": "/sweeps/watched/trials/0",
    "a trial's curves": "/api/sweeps/watched/trials/0/curves?log10=true",
    "findings": "/api/sweeps/watched/findings",
    "MLflow's experiments": "/mlflow/ajax-api/2.0/mlflow/experiments/get-by-name?experiment_name=watched",
}


class Seen:
    """What the viewers met: seconds of each answer, news of streams, and what went wrong."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.news = 0
        self.wrong: list[str] = []


async def stream(http: httpx.AsyncClient, seen: Seen, until: float) -> None:
    """Hold the stream open until then; its end before that is an error."""
    try:
        async with http.stream("GET", "/api/sweeps/watched/stream", timeout=httpx.Timeout(30, read=None)) as answer:
            if answer.status_code != 200:
                seen.wrong.append(f"stream: {answer.status_code}")
            async for line in answer.aiter_lines():
                seen.news += line.startswith("event:")
                if time.monotonic() > until:
                    return
        seen.wrong.append("stream: ended")
    except httpx.HTTPError as error:
        seen.wrong.append(f"stream: {type(error).__name__}")


async def poll(http: httpx.AsyncClient, seen: Seen, until: float) -> None:
    """Ask for one thing after the other."""
    await asyncio.sleep(random.uniform(0, EVERY))
    while time.monotonic() < until:
        name = random.choice(list(ASKED))
        began = time.monotonic()
        try:
            answer = await http.get(ASKED[name])
            if answer.status_code != 200:
                seen.wrong.append(f"{name}: {answer.status_code}")
        except httpx.HTTPError as error:
            seen.wrong.append(f"{name}: {type(error).__name__}")
        seen.seconds[name].append(time.monotonic() - began)
        await asyncio.sleep(max(0.0, EVERY - (time.monotonic() - began)))


async def watched(address: str, viewers: int, seconds: float) -> Seen:
    """So many viewers for so long."""
    seen, until = Seen(), time.monotonic() + seconds
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=address, timeout=60, limits=limits) as http:
        streams = [asyncio.create_task(stream(http, seen, until)) for _ in range(viewers)]
        await asyncio.gather(*(poll(http, seen, until) for _ in range(viewers)))
        for task in streams:
            task.cancel()
        await asyncio.gather(*streams, return_exceptions=True)
    return seen


def table(seen: Seen) -> str:
    """Milliseconds by what was asked for."""
    lines = ["| asked for | answers | median ms | p95 ms | longest ms |", "| --- | --- | --- | --- | --- |"]
    every = [one for found in seen.seconds.values() for one in found]
    for name, found in [*seen.seconds.items(), ("everything", every)]:
        p95 = statistics.quantiles(found, n=20)[-1]
        lines.append(
            f"| {name} | {len(found)} | {statistics.median(found) * 1e3:.0f} | {p95 * 1e3:.0f} | {max(found) * 1e3:.0f} |"
        )
    return "\n".join(lines)


def main() -> int:
    """Exit code: 0 where nothing went wrong."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--viewers", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as folder:
        words = [
            sys.executable,
            "-m",
            "services.cli.app",
            "serve",
            "--home",
            folder,
            "--port",
            str(port),
            "--workers",
            "1",
        ]
        service = subprocess.Popen(words, start_new_session=True)
        try:
            with Client(address, timeout=60) as client:
                _wait(lambda: httpx.get(f"{address}/api/ready", timeout=30).status_code == 200)
                client.launch(SPEC)
                _wait(lambda: client.sweep("watched").ended >= 2)
                cpu = psutil.Process(service.pid).cpu_times()
                seen = asyncio.run(watched(address, options.viewers, options.seconds))
                after = psutil.Process(service.pid).cpu_times()
                status = client.sweep("watched")
        finally:
            service.send_signal(signal.SIGINT)
            service.wait(180)
    spent = (after.user + after.system - cpu.user - cpu.system) / options.seconds
    text = (
        f"# {options.viewers} viewers of a sweep that runs\n\n{os.cpu_count()} processors, load "
        f"{os.getloadavg()[0]:.1f} at the end; {options.seconds:.0f} s, each viewer with an open stream and a question "
        f"every {EVERY:.0f} s. The sweep was {status.status} and had ended {status.ended} trials by then. The service "
        f"used {spent:.0%} of a processor; {seen.news} news came over the streams; errors: {len(seen.wrong)}.\n\n"
        f"{table(seen)}\n"
    )
    print(text, *seen.wrong[:10], sep="\n")
    if options.keep:
        Path(__file__).with_suffix(".md").write_text(text)
    return 1 if seen.wrong else 0


def _wait(ready: object, seconds: float = 400) -> None:
    assert callable(ready)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if ready():
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.5)
    raise SystemExit("the service or its sweep did not begin")


if __name__ == "__main__":
    sys.exit(main())
