"""Loss at each timestep."""

from __future__ import annotations

from rnnlab.curve import Curve
from rnnlab.probes.context import ProbeContext


def loss_curve(context: ProbeContext) -> list[Curve]:
    """L_1, L_2, ..., L_T: the mean over the probe batch of the readout's loss at every timestep.

    Where the task's loss does not look at every timestep, this is the anytime readout (the readout applied at
    every t, never trained there) and the curve is named `anytime_loss`. Source: ours. Cost: free beside `total`.
    """
    every = len(context.task.positions) == context.task.length
    values = context.gradients.loss_TSB.mean(2).T.cpu().numpy()
    return [Curve("loss" if every else "anytime_loss", "timestep", values, update=context.update)]
