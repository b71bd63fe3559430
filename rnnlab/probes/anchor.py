"""G2: how one anchor in the top layer's last state feels every earlier state. Verdicts read it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from rnnlab.curve import Curve, rms_norm
from rnnlab.errors import SpecError
from rnnlab.model import Network, from_torch
from rnnlab.probes.context import Passed, ProbeContext, passed
from rnnlab.probes.renormalised import anchor_log10_norms
from rnnlab.training.seeding import generator_for

SMALL = 1e-200
"""A lane with a norm below this is measured again in the log domain. An exact 0 that follows a larger norm is none
of float64's making (a step would have to shrink it by 1e-124) and stays 0. What overflows stays an overflow: that it
exploded is all that a verdict needs."""


def anchor_curves(context: ProbeContext) -> list[Curve]:
    """Norm of d<v, s_T>/ds_(T-k) by lag k, for every layer and state, float64, evaluation mode.

    s is the top layer's h, for an LSTM its c; v is one random unit vector a sequence from a fixed stream, so
    that the curve does not depend on where losses sit or how large they are. Where norms fall below float64's
    range the curve is still right in `log10_SK`. Sources: Hochreiter 1991, Pascanu 2013. Cost: cheap, one backward
    pass of the probe batch; full where norms fall below `SMALL` (see `renormalised`).
    """
    network = context.network
    state = network.cell.anchor_state
    last_B = _last_of(context.x_TSBI, None)
    return _curves(network, context.x_TSBI, context.theta_SP, last_B, state, 0, context.update, context.passed)


def anchor_gradients(
    network: Network,
    x_TSBI: Tensor,
    theta_SP: Tensor,
    *,
    state: str,
    seed: int = 0,
    last_B: Tensor | None = None,
    v_BH: Tensor | None = None,
    run: Passed | None = None,
) -> list[dict[str, Tensor]]:
    """d<v_b, s_T>/ds_t for every layer and state, each (T, S, B, H); s_T is the top layer's last `state`.

    Args:
        last_B: timestep of each sequence's anchor; None: the last one.
        v_BH: the directions v; None: `directions` of the seed.
        run: a forward pass of x with these parameters, which is kept; None: one is made.
    """
    again, run = run is not None, run or passed(network, x_TSBI, theta_SP)
    last_B = _last_of(x_TSBI, None) if last_B is None else last_B
    last_SBH = run.states[-1][state][last_B, :, torch.arange(len(last_B))].transpose(0, 1)
    v_BH = (directions(len(last_B), network.hidden, seed) if v_BH is None else v_BH).to(last_SBH)
    # a state that nothing reads (the last c of a lower layer, h of an LRU) has a gradient of 0
    summed = (last_SBH * v_BH).sum()
    found = torch.autograd.grad(summed, run.flat, retain_graph=again, materialize_grads=True)
    return run.by_state(iter(found))


def directions(batch: int, size: int, seed: int) -> Tensor:
    """One random unit vector a sequence (B, H), float64, the same for the same seed."""
    v_BH = torch.randn((batch, size), dtype=torch.float64, generator=generator_for("anchor", seed))
    unit_BH: Tensor = v_BH / v_BH.norm(dim=1, keepdim=True)
    return unit_BH


def gradient_curve(
    model: Network | nn.RNN | nn.LSTM | nn.GRU,
    x: Tensor,
    anchor: int = -1,
    layer: int = -1,
    state: str = "h",
    seed: int = 0,
    lengths: Sequence[int] | Tensor | None = None,
) -> Curve:
    """The G2 curve of any network on any input: norm of d<v, s_anchor>/ds_(anchor-k) by lag k, in float64.

    Args:
        model: a `Network`, or torch's own module (its `batch_first` is respected).
        x: inputs (T, B, I) time first; a Network with lanes also takes (T, S, B, I).
        anchor: timestep of the anchor, which sits in the top layer; negative counts from the end.
        layer: where the gradient is measured; -1 is the top layer.
        state: `h`, or `c` of an LSTM; at the anchor and along the curve.
        seed: of the random unit vectors v, one a sequence.
        lengths: timesteps of each sequence, (B,), of a ragged batch: each is anchored at its own last step, what
            is padded after it is not read, and lag k is taken over the sequences with more than k steps.

    Returns:
        A curve over lags 0 ... anchor (of a ragged batch, of its longest sequence), a row a lane.

    Raises:
        SpecError: an anchor, a layer, a state or lengths that do not fit, or inputs of a wrong shape.
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
    if lengths is not None and anchor != -1:
        raise SpecError(f"with lengths each sequence is anchored at its own last step; leave anchor={anchor} out")
    x_TSBI = x_TSBI[: anchor % steps + 1].detach().double().expand(-1, model.lanes, -1, -1)
    last_B = _last_of(x_TSBI, lengths)
    if lengths is not None:
        x_TSBI = x_TSBI[: int(last_B.max()) + 1]
        padded_TB = torch.arange(len(x_TSBI))[:, None] > last_B
        x_TSBI = x_TSBI.masked_fill(padded_TB[:, None, :, None], 0.0)
    curves = _curves(model, x_TSBI, model.theta.detach().double(), last_B, state, seed)
    return next(curve for curve in curves if (curve.layer, curve.state) == (layer % model.depth, state))


def _last_of(x_TSBI: Tensor, lengths: Sequence[int] | Tensor | None) -> Tensor:
    """Timestep of each sequence's anchor, (B,)."""
    steps, _, batch, _ = x_TSBI.shape
    if lengths is None:
        return torch.full((batch,), steps - 1)
    lengths_B = torch.as_tensor(lengths).cpu()
    whole = not lengths_B.is_floating_point() and lengths_B.shape == (batch,)
    if not whole or int(lengths_B.min()) < 1 or int(lengths_B.max()) > steps:
        raise SpecError(f"lengths must be {batch} whole numbers of 1 to {steps}, but got {lengths_B.tolist()}")
    return lengths_B.long() - 1


def _curves(
    network: Network,
    x_TSBI: Tensor,
    theta_SP: Tensor,
    last_B: Tensor,
    state: str,
    seed: int,
    update: int = 0,
    run: Passed | None = None,
) -> list[Curve]:
    """The curve of every layer and state, in the log domain where float64's range does not hold them."""
    gradients = anchor_gradients(network, x_TSBI, theta_SP, state=state, seed=seed, last_B=last_B, run=run)
    # lag k of sequence b is its timestep last - k; those that are shorter have none and count 0 of K
    times_KB = last_B - torch.arange(int(last_B.max()) + 1)[:, None]
    here_KB = times_KB >= 0
    times_KB, columns = times_KB.clamp(min=0), torch.arange(len(last_B))
    share_K = here_KB.double().mean(1).numpy()

    def by_lag(found_TSBN: Tensor, missing: float) -> Tensor:
        found_KSBN = found_TSBN[times_KB, :, columns].transpose(1, 2)
        return found_KSBN.masked_fill(~here_KB[:, None, :, None].to(found_KSBN.device), missing)

    values = [{name: rms_norm(by_lag(g, 0.0)) / np.sqrt(share_K) for name, g in layer.items()} for layer in gradients]
    # of each lane, whether a norm came so near to the end of float64 that later ones may have passed it
    every_CSK = np.stack([found for layer in values for found in layer.values()])
    faint_S = np.asarray(((every_CSK > 0) & (every_CSK < SMALL)).any((0, 2)))
    logs: list[dict[str, Tensor]] | None = None
    if faint_S.any():
        v_BH = directions(len(last_B), network.hidden, seed)
        logs = anchor_log10_norms(network, x_TSBI, theta_SP, v_BH, last_B, state=state)
    curves = []
    for layer, by_state in enumerate(values):
        for name, values_SK in by_state.items():
            log10_SK = None
            if logs is not None:
                logs_KSB = by_lag(logs[layer][name].unsqueeze(-1), -torch.inf).squeeze(-1).cpu()
                ln_KS = torch.logsumexp(2 * np.log(10) * logs_KSB, 2) / 2
                mean_KS = ln_KS / np.log(10) - 0.5 * here_KB.sum(1, keepdim=True).double().log10()
                with np.errstate(divide="ignore", invalid="ignore"):
                    again_SK = faint_S[:, None] & (values_SK < SMALL)
                    log10_SK = np.where(again_SK, mean_KS.T.numpy(), np.log10(values_SK))
            curves.append(Curve("anchor", "lag", values_SK, name, layer, update, log10_SK))
    return curves
