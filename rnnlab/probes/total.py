"""G1: the total gradient at each timestep."""

from __future__ import annotations

from rnnlab.curve import Curve, rms_norm
from rnnlab.probes.context import ProbeContext


def total_curves(context: ProbeContext) -> list[Curve]:
    """Norm of the exact total dL/dh_t (and dL/dc_t) by timestep, a curve for every layer and state.

    All later losses count: this is what training sees, and with a loss at every step it hides vanishing
    (SCIENCE.md, trap 2). `output.grad` of nn.RNN is only its direct part (trap 1).
    Source: Arjovsky 2016. Cost: cheap, one forward and backward pass of the probe batch, shared by loss and inputs.
    """
    return [
        Curve("total", "timestep", rms_norm(gradient), state, layer, context.update)
        for layer, by_state in enumerate(context.gradients.states)
        for state, gradient in by_state.items()
    ]
