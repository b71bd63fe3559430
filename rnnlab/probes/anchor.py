"""G2: how one anchor in the top layer's last state feels every earlier state. Verdicts read it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rnnlab.curve import Curve, rms_norm
from rnnlab.errors import SpecError
from rnnlab.model import Network, from_torch
from rnnlab.probes.context import ProbeContext, zero_probes
from rnnlab.training.seeding import generator_for


def anchor_curves(context: ProbeContext) -> list[Curve]:
    """Norm of d<v, s_T>/ds_(T-k) by lag k, for every layer and state, float64, evaluation mode.

    s is the top layer's h, for an LSTM its c; v is one random unit vector a sequence from a fixed stream, so
    that the curve does not depend on where losses sit or how large they are. Sources: Hochreiter 1991,
    Pascanu 2013.
    """
    by_layer = anchor_gradients(
        context.network, context.x_TSBI, context.theta_SP, state=context.network.cell.anchor_state
    )
    return [
        Curve("anchor", "lag", rms_norm(gradient.flip(0)), state, layer, context.update)
        for layer, by_state in enumerate(by_layer)
        for state, gradient in by_state.items()
    ]


def anchor_gradients(
    network: Network, x_TSBI: Tensor, theta_SP: Tensor, *, state: str, seed: int = 0
) -> list[dict[str, Tensor]]:
    """d<v_b, s_T>/ds_t for every layer and state, each (T, S, B, H); s_T is the top layer's last `state`."""
    probes = zero_probes(network, x_TSBI)
    seen = network.states(x_TSBI, theta_SP, probes)
    last_SBH = seen[-1][state][-1]
    v_BH = torch.randn(last_SBH.shape[1:], dtype=torch.float64, generator=generator_for("anchor", seed)).to(
        last_SBH.dtype
    )
    v_BH = v_BH / v_BH.norm(dim=1, keepdim=True)
    flat = [probe for layer in probes for probe in layer.values()]
    found = iter(torch.autograd.grad((last_SBH * v_BH).sum(), flat))
    return [{name: next(found) for name in layer} for layer in probes]


def gradient_curve(
    model: Network | nn.RNN | nn.LSTM | nn.GRU,
    x: Tensor,
    anchor: int = -1,
    layer: int = -1,
    state: str = "h",
    seed: int = 0,
) -> Curve:
    """The G2 curve of any network on any input: norm of d<v, s_anchor>/ds_(anchor-k) by lag k, in float64.

    Args:
        model: a `Network`, or torch's own module (its `batch_first` is respected).
        x: inputs (T, B, I) time first; a Network with lanes also takes (T, S, B, I).
        anchor: timestep of the anchor, which sits in the top layer; negative counts from the end.
        layer: where the gradient is measured; -1 is the top layer.
        state: `h`, or `c` of an LSTM; at the anchor and along the curve.
        seed: of the random unit vectors v, one a sequence.

    Returns:
        A curve over lags 0 ... anchor, a row a lane.

    Raises:
        SpecError: an anchor, a layer or a state that the model does not have, or inputs of a wrong shape.
    """
    if not isinstance(model, Network):
        network = from_torch(model)
        if model.batch_first and x.dim() == 3:
            x = x.transpose(0, 1)
        model = network
    x_TSBI = x[:, None] if x.dim() == 3 else x
    fits = x_TSBI.dim() == 4 and x_TSBI.shape[-1] == model.inputs and x_TSBI.shape[1] in (1, model.lanes)
    if not fits or not x_TSBI.numel():
        raise SpecError(
            f"x must be (T, B, {model.inputs}) or (T, S, B, {model.inputs}) with S = {model.lanes} and at least one "
            f"timestep and sequence, but is {tuple(x.shape)}"
        )
    steps = len(x_TSBI)
    if not -steps <= anchor < steps:
        raise SpecError(f"anchor must be a timestep of 0 to {steps - 1} or negative, but got {anchor}")
    if not -model.depth <= layer < model.depth:
        raise SpecError(f"layer must be below the depth {model.depth}, but got {layer}")
    if state not in model.cell.states:
        raise SpecError(f"state must be one of {', '.join(model.cell.states)}, but got {state!r}")
    until = anchor % steps + 1
    x_TSBI = x_TSBI[:until].detach().double().expand(-1, model.lanes, -1, -1)
    gradients = anchor_gradients(model, x_TSBI, model.theta.detach().double(), state=state, seed=seed)
    layer %= model.depth
    return Curve("anchor", "lag", rms_norm(gradients[layer][state].flip(0)), state, layer)
