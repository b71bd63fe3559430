"""A trained lane as a module of its own, to be used without lanes: sequences first, of any length.

Shapes: B sequences, T timesteps, I inputs, H hidden, O outputs, P parameters of a lane.
"""

from __future__ import annotations

from operator import getitem

import torch
from torch import Tensor, fx, nn

from rnnlab.errors import SpecError
from rnnlab.model import Network


class OneLane(nn.Module):
    """One lane of a network whose cell or activation torch does not have: (B, T, I) -> (B, T, O).

    To be unpickled it needs rnnlab.
    """

    def __init__(self, network: Network, replicate: int) -> None:
        super().__init__()
        theta_SP = network.theta.detach()[replicate : replicate + 1].clone()
        self.network = Network(
            getattr(network.cell, "inner", network.cell),
            network.inputs,
            network.hidden,
            network.depth,
            network.outputs,
            theta_SP,
            network.architecture,
        )

    def forward(self, x_BTI: Tensor) -> Tensor:
        """Outputs at every timestep."""
        out_T1BO: Tensor = self.network(x_BTI.transpose(0, 1).unsqueeze(1))
        return out_T1BO[:, 0].transpose(0, 1)


def exported(network: Network, replicate: int) -> nn.Module:
    """One lane of a network as a module (B, T, I) -> (B, T, O), T any; its outputs are the network's, to rounding.

    Where torch has the cell and its activation, the module is made of torch's own classes (`recurrent`: nn.RNN,
    nn.LSTM or nn.GRU, batch first; `readout`: nn.Linear; joined by a torch.fx graph), so that its pickle loads where
    only torch is installed. Otherwise it is a `OneLane`. States begin at zero.
    """
    assert network.outputs is not None
    try:
        recurrent = network.to_torch(replicate)
    except SpecError:
        return OneLane(network, replicate)
    recurrent.batch_first = True
    readout = nn.Linear(network.hidden, network.outputs, dtype=network.theta.dtype)
    with torch.no_grad():
        for name, parameter in readout.named_parameters():
            parameter.copy_(network.named()[f"readout.{name}"][replicate])
    graph = fx.Graph()
    states = graph.call_module("recurrent", (graph.placeholder("x"),))
    graph.output(graph.call_module("readout", (graph.call_function(getitem, (states, 0)),)))
    return fx.GraphModule({"recurrent": recurrent, "readout": readout}, graph, "RecurrentNetwork")


def needs_rnnlab(module: nn.Module) -> bool:
    """Whether an exported module can be loaded only where rnnlab is installed."""
    return isinstance(module, OneLane)
