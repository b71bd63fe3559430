"""Trials of one shape side by side, on a GPU where there is one: trials an hour, against one at a time by torch's kernels.

    python tests/benchmarks/stacks.py --keep          # a GPU if torch has one, else the CPU, one thread
    python tests/benchmarks/stacks.py --device cpu

The adding problem, T=100, batches of 32, H=64, Adam. Ours is whole trials of one replicate: updates with clip, the
probes and evaluations of their schedule, a recorder that forgets. Torch's is updates alone: `nn.LSTM` and its like (cuDNN
on a GPU), a linear readout, `torch.optim.Adam`; its data are drawn by the same code. So the ratio flatters torch.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from updates import machine

from rnnlab.spec import TrialSpec
from rnnlab.training.seeding import generator_for
from rnnlab.training.stack import Stack, load_task
from rnnlab.written import validated

UPDATES = 300
SIZES = {"cpu": (1, 2, 4, 8, 16), "cuda": (1, 8, 32, 128, 256)}
WANTED = {"cpu": "-", "cuda": "at least 20"}
MODULES: dict[str, Callable[[], nn.RNN | nn.LSTM | nn.GRU]] = {
    "rnn": lambda: nn.RNN(2, 64),
    "gru": lambda: nn.GRU(2, 64),
    "lstm": lambda: nn.LSTM(2, 64),
}


def spec(cell: str, number: int, updates: int) -> TrialSpec:
    """One trial of a sweep over learning rates."""
    return validated(
        TrialSpec,
        {
            "task": {"kind": "adding", "length": 100},
            "model": {"cell": cell, "hidden": 64},
            "optim": {"batch": 32, "lr": 10 ** (-2 - number % 16 / 8), "clip": {"norm": 1.0}},
            "budget": {"updates": updates, "evaluations": 2},
            "replicates": 1,
            "seed": number,
        },
    )


def waited(device: str) -> float:
    """The time, once a device has done what it was asked to."""
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def ours(cell: str, size: int, updates: int, device: str) -> float:
    """Seconds of whole trials side by side."""
    began = waited(device)
    stack = Stack([spec(cell, number, updates) for number in range(size)], device=device)
    while stack.running:
        stack.train_on()
    return waited(device) - began


def torchs(cell: str, updates: int, device: str) -> float:
    """Seconds of one trial's updates by torch's own kernels and optimiser."""
    task = load_task(spec(cell, 0, updates))
    module, readout = MODULES[cell]().to(device), nn.Linear(64, 1).to(device)
    parameters = [*module.parameters(), *readout.parameters()]
    optimiser, stream = torch.optim.Adam(parameters, lr=1e-3), generator_for("data", 0)
    began = waited(device)
    for _ in range(updates):
        batch = task.draw(stream, 32).to(torch.device(device))
        loss = (readout(module(batch.x_TNI)[0][-1]) - batch.y_TN[-1]).square().mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
    return waited(device) - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", action="store_true", help="write the table beside this file")
    parser.add_argument("--device", choices=list(SIZES), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--updates", type=int, default=UPDATES, help="of a trial")
    parser.add_argument(
        "--repeats", type=int, default=3, help="of each figure, in turns with torch's; the median counts"
    )
    asked = parser.parse_args()
    device, updates = asked.device, asked.updates
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    where = torch.cuda.get_device_name() if device == "cuda" else machine()
    heads = ("cell", "trials side by side", "trials an hour", "torch's, one at a time", "ratio", "wanted")
    rows = []
    for cell in MODULES:
        ours(cell, 2, 4, device), torchs(cell, 4, device)  # what is loaded and made once
        for size in SIZES[device]:
            pairs = [(ours(cell, size, updates, device), torchs(cell, updates, device)) for _ in range(asked.repeats)]
            mine, other = (statistics.median(pair[i] for pair in pairs) for i in (0, 1))
            ratio = statistics.median(size * b / a for a, b in pairs)
            hour = 3600 * size / mine, 3600 / other
            rows.append((cell, str(size), f"{hour[0]:,.0f}", f"{hour[1]:,.0f}", f"{ratio:.2f}", WANTED[device]))
            print(rows[-1], flush=True)
    title = f"{where}; trials of {updates} updates, T=100, B=32, H=64"
    table = Table(*heads, title=title)
    for row in rows:
        table.add_row(*row)
    Console(width=130).print(table)
    if asked.keep:
        lines = [f"Machine: {title}. Command: `python tests/benchmarks/stacks.py --keep`.", ""]
        lines += [
            "| " + " | ".join(heads) + " |",
            "|---" * len(heads) + "|",
            *("| " + " | ".join(r) + " |" for r in rows),
        ]
        name = "stacks.md" if device == "cpu" else "stacks-gpu.md"
        Path(__file__).with_name(name).write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
