"""What an update costs, as ratios to torch and to the usual way, measured in the same run.

    make bench

One thread; every figure is the median of paired repeats (ours, torch, ours, torch, ...) in processor time, so that
another process on the machine does not count. The table goes to the screen and, with `--keep`, beside this file.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# as workers have it: large activations are kept between updates
if os.environ.get("MALLOC_TRIM_THRESHOLD_") is None:
    os.environ |= {
        "MALLOC_MMAP_THRESHOLD_": "4294967296",
        "MALLOC_TRIM_THRESHOLD_": "4294967296",
        "OMP_NUM_THREADS": "1",
    }
    os.execv(sys.executable, [sys.executable, *sys.argv])

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from rnnlab.model import Network, from_torch
from rnnlab.probes.context import zero_probes
from rnnlab.probes.schedule import probe_updates
from rnnlab.spec import TrialSpec
from rnnlab.training.loop import Trainer
from rnnlab.written import validated

torch.set_flush_denormal(True)  # for torch's kernels, too: an update of ours does so itself, and they would be slow

SIZES = ((100, 32, 64), (400, 32, 64), (100, 32, 128), (784, 64, 128))
KINDS: dict[str, Callable[[int, int], nn.RNN | nn.LSTM | nn.GRU]] = {
    "rnn tanh": lambda inputs, hidden: nn.RNN(inputs, hidden),
    "rnn relu": lambda inputs, hidden: nn.RNN(inputs, hidden, nonlinearity="relu"),
    "lstm": lambda inputs, hidden: nn.LSTM(inputs, hidden),
    "gru": lambda inputs, hidden: nn.GRU(inputs, hidden),
}
INPUTS = 2


def paired(ours: Callable[[], Any], other: Callable[[], Any], repeats: int) -> tuple[float, float, float]:
    """Milliseconds of both, and the ratio, medians over pairs."""
    ours(), other()
    pairs = []
    for _ in range(repeats):
        start = time.process_time()
        ours()
        middle = time.process_time()
        other()
        pairs.append((middle - start, time.process_time() - middle))
    first, second = (statistics.median(pair[i] for pair in pairs) * 1e3 for i in (0, 1))
    return first, second, statistics.median(a / b for a, b in pairs)


def repeats_for(steps: int) -> int:
    return 15 if steps <= 100 else 7 if steps <= 400 else 3


def last_step_update(network: Network, x_TSBI: Tensor) -> Callable[[], None]:
    """Forward and backward of a loss on the last state."""

    def run() -> None:
        loss = network.top(x_TSBI)[-1].square().mean()
        torch.autograd.grad(loss, [network.theta])

    return run


def torch_update(module: nn.Module, x_TBI: Tensor) -> Callable[[], None]:
    def run() -> None:
        loss = module(x_TBI)[0][-1].square().mean()
        torch.autograd.grad(loss, list(module.parameters()))

    return run


def with_total(network: Network, x_TSBI: Tensor, states: tuple[str, ...]) -> Callable[[], None]:
    """The same update with the exact total gradient at every state kept; of h alone, on the fast path."""

    def run() -> None:
        probes = [{name: probe[name] for name in states} for probe in zero_probes(network, x_TSBI)]
        if states == ("h",):
            h_TSBH = network.top(x_TSBI, None, [probe["h"] for probe in probes])
        else:
            h_TSBH = network.states(x_TSBI, None, probes)[-1]["h"]
        loss = h_TSBH[-1].square().mean()
        torch.autograd.grad(loss, [network.theta, *(p for layer in probes for p in layer.values())])

    return run


def retain_grad_loop(kind: str, module: nn.Module, x_TBI: Tensor) -> Callable[[], None]:
    """The usual way: a loop over torch's own cell, with retain_grad on every state."""
    hidden = module.hidden_size
    name = kind.split()[0]
    options = {"nonlinearity": kind.split()[1]} if name == "rnn" else {}
    cell = {"rnn": nn.RNNCell, "lstm": nn.LSTMCell, "gru": nn.GRUCell}[name](INPUTS, hidden, **options)

    def run() -> None:
        zero = x_TBI.new_zeros(x_TBI.shape[1], hidden)
        state: Any = (zero, zero) if name == "lstm" else zero
        seen = []
        for x_BI in x_TBI:
            state = cell(x_BI, state)
            h = state[0] if name == "lstm" else state
            h.retain_grad()
            seen.append(h)
        cell.zero_grad()
        seen[-1].square().mean().backward()
        torch.stack([h.grad for h in seen]).norm(dim=2)

    return run


def lanes_of(module: nn.Module, lanes: int) -> Network:
    one = from_torch(module)  # type: ignore[arg-type]
    return Network(one.cell, one.inputs, one.hidden, one.depth, None, one.theta.detach().repeat(lanes, 1))


def training(updates: int, **probe: Any) -> Trainer:
    """A trial of a plain RNN on the adding problem, 100 timesteps and batches of 32."""
    spec = {
        "task": {"kind": "adding", "length": 100},
        "optim": {"batch": 32, "clip": {"norm": 1.0}},
        "budget": {"updates": updates, "evaluations": 1},
        "replicates": 1,
        "probe": probe,
    }
    return Trainer(validated(TrialSpec, spec))


def probed_training(updates: int) -> tuple[float, float, float]:
    """All updates with the default schedule's probes, all updates alone, and their ratio.

    An update and a pass of all default probes are timed in turn, in runs too short for the whole trial to be hit
    by one disturbance; the real schedule says how many of each a trial has.
    """
    plain, probed = training(updates, schedule=[0], measure=["anchor"], batch=1), training(updates)
    passes = len(probe_updates("log", updates))
    every = probed.alive_S

    def fifty() -> None:
        for _ in range(50):
            plain._update()

    one_probe, fifty_updates, _ = paired(lambda: probed._probe(every), fifty, 9)
    alone = fifty_updates / 50 * updates
    return alone + passes * one_probe, alone, 1 + passes * one_probe / alone


PEAK = """
import sys, torch
from torch import nn
from rnnlab.model import Network, from_torch
torch.set_num_threads(1)
kind, lanes = sys.argv[1], int(sys.argv[2])
one = from_torch(getattr(nn, kind)(2, 64))
x_TSBI = torch.randn(400, 1, 32, 2)

def kilobytes(name):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name))

def update(network, x_TSBI):
    torch.autograd.grad(network.top(x_TSBI)[-1].square().mean(), [network.theta])

update(one, x_TSBI[:2])
before = kilobytes("VmRSS")
open("/proc/self/clear_refs", "w").write("5")  # forget the peak so far: a process inherits that of its parent
network = Network(one.cell, one.inputs, one.hidden, one.depth, None, one.theta.detach().repeat(lanes, 1))
for _ in range(3):
    update(network, x_TSBI)
print(kilobytes("VmHWM") - before)
"""


def peak(kind: str, lanes: int) -> float:
    """Megabytes, VmHWM, by which three updates raise the largest resident set of a new process."""
    command = [sys.executable, "-c", PEAK, kind, str(lanes)]
    return statistics.median(int(subprocess.check_output(command)) for _ in range(3)) / 1024


def rows() -> list[tuple[str, str, str, str, str, str]]:
    """Every figure: what, size, ours, against, ratio, wanted."""
    found: list[tuple[str, str, str, str, str, str]] = []

    def add(what: str, size: str, figures: tuple[float, float, float], wanted: str, unit: str = "ms") -> None:
        ours, other, ratio = figures
        found.append((what, size, f"{ours:.2f} {unit}", f"{other:.2f} {unit}", f"{ratio:.2f}", wanted))
        print(found[-1], flush=True)

    for kind, build in KINDS.items():
        for steps, batch, hidden in SIZES:
            size = f"{steps},{batch},{hidden}"
            module, repeats = build(INPUTS, hidden), repeats_for(steps)
            x_TBI = torch.randn(steps, batch, INPUTS)
            network, x_TSBI = from_torch(module), x_TBI[:, None]
            plain = last_step_update(network, x_TSBI)
            wanted = "1.1" if kind == "lstm" else "0.6" if size == "100,32,64" else "0.9"
            add(f"{kind}: update / torch's", size, paired(plain, torch_update(module, x_TBI), repeats), wanted)
            traced = with_total(network, x_TSBI, ("h",))
            add(f"{kind}: with G1 of h / without", size, paired(traced, plain, repeats), "1.5")
            if kind == "lstm":
                both = with_total(network, x_TSBI, ("h", "c"))
                add("lstm: with G1 of h and c / without", size, paired(both, plain, repeats), "2.0")
            loop = retain_grad_loop(kind, module, x_TBI)
            add(f"{kind}: cell loop with retain_grad / update", size, paired(loop, plain, repeats), "-")
            if size != "784,64,128":
                ten = last_step_update(lanes_of(module, 10), x_TSBI)
                wanted = "10.5" if kind == "lstm" else "8" if size == "100,32,64" else "10"
                add(f"{kind}: 10 lanes / 1", size, paired(ten, plain, max(3, repeats // 2)), wanted)
    for name in ("RNN", "LSTM", "GRU"):
        ten_lanes, one_lane = peak(name, 10) / 10, peak(name, 1)
        figures = (ten_lanes, one_lane, ten_lanes / one_lane)
        add(f"{name.lower()}: peak memory a lane (VmHWM), 10 lanes / 1", "400,32,64", figures, "1.2", "MB")
    add("rnn tanh: 1,000 updates, default probes / none", "100,32,64", probed_training(1000), "1.05")
    return found


def machine() -> str:
    """What the figures were measured on, in words."""
    return f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}, 1 thread"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="write the table beside this file")
    keep = parser.parse_args().keep
    torch.set_num_threads(1)
    torch.manual_seed(0)
    heads = ("what", "T,B,H", "first", "second", "ratio", "wanted at most")
    found = rows()
    table = Table(*heads, title=machine())
    for row in found:
        table.add_row(*row)
    Console(width=130).print(table)
    if keep:
        lines = [f"Machine: {machine()}. Command: `make bench`.", "", "| " + " | ".join(heads) + " |", "|---" * 6 + "|"]
        lines += ["| " + " | ".join(row) + " |" for row in found]
        Path(__file__).with_name("updates.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
