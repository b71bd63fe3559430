"""The gradient at the inputs."""

from __future__ import annotations

from rnnlab.curve import Curve, rms_norm
from rnnlab.probes.context import ProbeContext


def input_curve(context: ProbeContext) -> list[Curve]:
    """Norm of dL/dx_t by timestep: how much the loss feels what was read at t, through all layers.

    Source: Pascanu 2013. Cost: free beside `total`.
    """
    return [Curve("inputs", "timestep", rms_norm(context.gradients.inputs_TSBI), update=context.update)]
