"""A trained lane as a module of its own: the network's outputs, at any length, in torch's classes where it can be."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from rnnlab.activations import ACTIVATIONS
from rnnlab.cells import CELLS
from rnnlab.exported import OneLane, exported, needs_rnnlab
from rnnlab.model import Network, build
from rnnlab.spec import ModelSpec
from rnnlab.written import validated

GATED = [(cell, None) for cell in CELLS if cell != "rnn"]
PAIRS = [("rnn", activation) for activation in ACTIVATIONS] + GATED
IN_TORCH = {("rnn", "tanh"): nn.RNN, ("rnn", "relu"): nn.RNN, ("lstm", None): nn.LSTM, ("gru", None): nn.GRU}


def network(cell: str, activation: str | None, depth: int = 2) -> Network:
    """Three lanes, I = 3, H = 8, O = 2."""
    spec = {"cell": cell, "activation": activation, "hidden": 8, "depth": depth}
    return build(validated(ModelSpec, spec), 3, 2, 10, seeds=[5, 6, 7])


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize(("cell", "activation"), PAIRS)
def test_outputs_are_the_networks_at_any_length(cell: str, activation: str | None, depth: int) -> None:
    lanes = network(cell, activation, depth)
    module = exported(lanes, 1)
    for steps in (10, 37):
        x_TBI = torch.randn(steps, 4, 3, generator=torch.Generator().manual_seed(steps))
        out_BTO = module(x_TBI.transpose(0, 1))
        wanted_TBO = lanes(x_TBI.unsqueeze(1))[:, 1]
        assert out_BTO.shape == (4, steps, 2)
        # float32 rounding over 37 steps; the next lane's outputs are 0.1 away
        torch.testing.assert_close(out_BTO.transpose(0, 1), wanted_TBO, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("cell", "activation"), PAIRS)
def test_it_is_torchs_own_module_where_torch_has_it(cell: str, activation: str | None) -> None:
    module = exported(network(cell, activation), 0)
    wanted = IN_TORCH.get((cell, activation))
    assert needs_rnnlab(module) == (wanted is None)
    if wanted is None:
        assert isinstance(module, OneLane)
    else:
        assert type(module.recurrent) is wanted
        assert type(module.readout) is nn.Linear
        assert {type(part).__module__.partition(".")[0] for part in module.modules()} == {"torch"}


def test_it_is_a_copy_that_can_be_trained_further() -> None:
    for activation in ("tanh", "sin"):
        lanes = network("rnn", activation)
        before = lanes.theta.detach().clone()
        module = exported(lanes, 2)
        module(torch.ones(1, 5, 3)).sum().backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters())
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.zero_()
        torch.testing.assert_close(lanes.theta.detach(), before, rtol=0, atol=0)


def test_its_pickle_loads_where_rnnlab_is_not(tmp_path: Path) -> None:
    module = exported(network("lstm", None), 0)
    x = torch.randn(2, 9, 3, generator=torch.Generator().manual_seed(0))
    torch.save(module, tmp_path / "module.pt")
    torch.save((x, module(x).detach()), tmp_path / "both.pt")
    alone = (
        "import sys; sys.modules['rnnlab'] = None\n"  # importing it now raises
        "import torch\n"
        "module = torch.load('module.pt', weights_only=False)\n"
        "x, wanted = torch.load('both.pt')\n"
        "torch.testing.assert_close(module(x), wanted, rtol=0, atol=1e-6)\n"
    )
    done = subprocess.run([sys.executable, "-c", alone], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
