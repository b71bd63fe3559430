"""How an update's time and memory grow with T, and what share of a matrix product's speed it reaches by size.

    python tests/benchmarks/growth.py [--keep]

One thread; times are processor time, medians of repeats. Memory is the most that tensors hold at once in one update
beyond its batch, as torch's allocator counts (compiled recurrences take the weights of a layer and a timestep more); at the longest T also the rise of a new process's largest resident set (about 0 where the
update fits into what making the data has left free).
An update is the trainer's own, on the adding problem (loss at the last timestep), one layer. Exponents are slopes of
least squares in logarithms, of time over all T and of memory over all T. About 2 minutes; with `--keep` the tables go
beside this file too.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from updates import machine  # also starts this anew with the workers' settings of malloc, where they are not set

from rnnlab.spec import TrialSpec
from rnnlab.training.loop import Trainer
from rnnlab.training.step import update
from rnnlab.written import validated

CELLS = {"rnn": 1, "lstm": 4, "gru": 3}
"""Blocks of W_hh."""
LENGTHS = (50, 100, 200, 400, 800, 1600, 3200)
MODES = (None, "sqrt")
BATCH, HIDDEN, INPUTS = 32, 64, 2
SHORT = 100
"""T of the table by size."""
WITH_SUBNORMALS = (100, 200, 800)
"""T of the table of subnormal numbers."""
SIZES = (
    *((hidden, 32, 1) for hidden in (32, 64, 128, 256, 512)),
    *((64, 32, lanes) for lanes in (4, 10, 32)),
    (64, 16, 1), (64, 256, 1), (512, 16, 1), (512, 256, 1), (32, 16, 32), (32, 256, 10), (128, 64, 10), (256, 16, 4),
)  # fmt: skip
"""H, B, lanes: each axis by itself, and some corners."""


def trainer(cell: str, steps: int, mode: Any, hidden: int = HIDDEN, batch: int = BATCH, lanes: int = 1) -> Trainer:
    spec = {
        "task": {"kind": "adding", "length": steps},
        "model": {"cell": cell, "hidden": hidden},
        "optim": {"batch": batch, "gradient_checkpointing": mode},
        "replicates": lanes,
    }
    return Trainer(validated(TrialSpec, spec))


def one_update(made: Trainer) -> Callable[[], object]:
    """An update of a batch that is there already."""
    batches = [made.task.draw(stream, made.spec.optim.batch) for stream in made.streams]
    mode = made.spec.optim.gradient_checkpointing
    return lambda: update(made.network, made.task, made.optimiser, made.clip, batches, made.alive_S, checkpointing=mode)


def seconds(run: Callable[[], object], least: float = 0.15, most: int = 25) -> float:
    """Processor time, the median of 3 to `most` repeats that fill `least` seconds."""
    run()
    found: list[float] = []
    while len(found) < 3 or (sum(found) < least and len(found) < most):
        start = time.process_time()
        run()
        found.append(time.process_time() - start)
    return statistics.median(found)


def peak_bytes(run: Callable[[], object]) -> int:
    """The most that tensors allocated in `run` hold at once."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        run()
    assert seen.profiler is not None
    held = most = 0
    for event in seen.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            most = max(most, held)
    return most


RESIDENT = """
import sys
sys.path.insert(0, sys.argv[1])
from growth import one_update, torch, trainer
torch.set_num_threads(1)
cell, steps, mode = sys.argv[2], int(sys.argv[3]), sys.argv[4] if len(sys.argv) > 4 else None

def kilobytes(name):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name))

one_update(trainer(cell, 50, mode))()
run = one_update(trainer(cell, steps, mode))
before = kilobytes("VmRSS")
open("/proc/self/clear_refs", "w").write("5")  # forget the peak so far
for _ in range(2):
    run()
print(kilobytes("VmHWM") - before)
"""


def resident(cell: str, steps: int, mode: str | None) -> float:
    """Megabytes by which two updates raise the largest resident set of a new process."""
    command = [sys.executable, "-c", RESIDENT, str(Path(__file__).parent), cell, str(steps), *([mode] if mode else [])]
    return int(subprocess.check_output(command, stderr=subprocess.DEVNULL)) / 1024


def exponent(steps: Sequence[float], values: Sequence[float]) -> float:
    return float(np.polyfit(np.log(steps), np.log(values), 1)[0])


def subnormals() -> list[tuple[str, ...]]:
    """A row a T: an update of an untrained network with float32's subnormal numbers, and with 0 in their place."""
    rows = []
    torch.set_flush_denormal(False)  # `updates` lets torch's own modules gain by it
    for steps in WITH_SUBNORMALS:
        row = [str(steps)]
        for cell in CELLS:
            made = trainer(cell, steps, None)
            made.optimiser.lr_S1.zero_()  # untrained it stays
            batches = [made.task.draw(stream, BATCH) for stream in made.streams]
            given = (made.network, made.task, made.optimiser, made.clip, batches, made.alive_S)
            kept, flushed = (seconds(partial(way, *given)) for way in (update.__wrapped__, update))
            row.append(f"{kept * 1e3:.1f}, {flushed * 1e3:.1f} ms")
        rows.append(tuple(row))
        print(rows[-1], flush=True)
    torch.set_flush_denormal(True)
    return rows


def by_length() -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
    """A row a cell and T; and a row a cell and mode: how it grows."""
    rows, growth = [], []
    for cell in CELLS:
        found: dict[Any, list[tuple[float, float]]] = {mode: [] for mode in MODES}
        for steps in LENGTHS:
            beyond = steps * BATCH * (INPUTS + 1) * 4
            for mode in MODES:
                run = one_update(trainer(cell, steps, mode))
                found[mode].append((seconds(run), (peak_bytes(run) - beyond) / 2**20))
            (plain, kept), (again, held) = found[None][-1], found["sqrt"][-1]
            rows.append((
                cell, str(steps), f"{plain * 1e3:.1f} ms", f"{plain / steps * 1e6:.0f} µs", f"{kept:.2f} MB",
                f"{again * 1e3:.1f} ms", f"{again / plain:.2f}", f"{held:.2f} MB", f"{kept / held:.1f}",
            ))  # fmt: skip
            print(rows[-1], flush=True)
        for mode in MODES:
            times, peaks = zip(*found[mode], strict=True)
            rose = resident(cell, LENGTHS[-1], mode)
            growth.append((
                cell, mode or "plain", f"{exponent(LENGTHS, times):.2f}", f"{exponent(LENGTHS[1:], times[1:]):.2f}",
                f"{exponent(LENGTHS, peaks):.2f}", f"{rose:.0f} MB",
            ))  # fmt: skip
            print(growth[-1], flush=True)
    return rows, growth


def product(hidden: int, batch: int, lanes: int, blocks: int) -> float:
    """FLOP/s of one timestep's recurrent product, (S, B, H) times (S, H, G), float32; the better of both layouts."""
    h_SBH, w_SGH = torch.randn(lanes, batch, hidden), torch.randn(lanes, blocks * hidden, hidden)
    out_SBG = torch.zeros(lanes, batch, blocks * hidden)
    transposed = w_SGH.transpose(1, 2)
    flops = 2 * lanes * batch * hidden * blocks * hidden
    times = max(1, int(2e8 / flops))

    def run(w_SHG: Tensor) -> None:
        for _ in range(times):
            torch.bmm(h_SBH, w_SHG, out=out_SBG)

    return times * flops / min(seconds(partial(run, w), 0.05) for w in (transposed, transposed.contiguous()))


def by_size() -> list[tuple[str, ...]]:
    """A row a size: of each cell an update's time, GFLOP/s of its products, and that as a share of one product's."""
    rows = []
    for hidden, batch, lanes in SIZES:
        row = [str(hidden), str(batch), str(lanes)]
        for cell, blocks in CELLS.items():
            run = one_update(trainer(cell, SHORT, None, hidden, batch, lanes))
            # three products with W_hh's size a timestep and two with W_ih's: forward, back, and the weights' gradient
            flops = 2 * SHORT * lanes * batch * blocks * hidden * (3 * hidden + 2 * INPUTS)
            reached, alone = flops / seconds(run), product(hidden, batch, lanes, blocks)
            row.append(
                f"{flops / reached * 1e3:.1f} ms, {reached / 1e9:.0f} / {alone / 1e9:.0f} = {reached / alone:.0%}"
            )
        rows.append(tuple(row))
        print(rows[-1], flush=True)
    return rows


TITLES = (
    (
        f"Time and memory of an update by T (B={BATCH}, H={HIDDEN}, 1 lane); checkpointed: gradient_checkpointing: sqrt",
        ("cell", "T", "plain", "a timestep", "memory", "checkpointed", "/ plain", "memory", "plain /"),
    ),
    (
        f"How both grow: exponents in T (1: linear, 0.5: the root), and resident memory at T={LENGTHS[-1]}",
        ("cell", "mode", "time", "time from T=100", "memory", "VmHWM"),
    ),
    (
        f"GFLOP/s of an update's products / of one timestep's recurrent product alone, by size (T={SHORT})",
        ("H", "B", "lanes", *CELLS),
    ),
    (
        f"An update of an untrained network with float32's subnormal numbers, and as it is, with 0 for them (B={BATCH}, "
        f"H={HIDDEN})",
        ("T", *CELLS),
    ),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="write the tables beside this file")
    keep = parser.parse_args().keep
    torch.set_num_threads(1)
    torch.manual_seed(0)
    lines = [f"Machine: {machine()}. Command: `python tests/benchmarks/growth.py --keep`."]
    for (title, heads), rows in zip(TITLES, (*by_length(), by_size(), subnormals()), strict=True):
        table = Table(*heads, title=title)
        for row in rows:
            table.add_row(*row)
        Console(width=130).print(table)
        lines += ["", f"{title}:", "", "| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
        lines += ["| " + " | ".join(row) + " |" for row in rows]
    if keep:
        Path(__file__).with_name("growth.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
