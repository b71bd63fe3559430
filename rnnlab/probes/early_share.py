"""How much of the gradient at the inputs comes from early timesteps."""

from __future__ import annotations

import numpy as np

from rnnlab.curve import Curve, rms_norm
from rnnlab.probes.context import ProbeContext


def early_share_curve(context: ProbeContext) -> list[Curve]:
    """Share of the summed norms of dL/dx_t that timesteps 0 ... t hold, by t: rises from 0 to 1.

    Where all steps count alike it is (t + 1) / T; where the gradient vanishes it stays at 0 until the end.
    A total of 0 gives 0. Source: ours, from the norms of `inputs`. Cost: free, a by-product of `inputs`.
    """
    norm_ST = rms_norm(context.gradients.inputs_TSBI)
    total_S1 = norm_ST.sum(1, keepdims=True)
    share_ST = np.divide(norm_ST.cumsum(1), total_S1, out=np.zeros_like(norm_ST), where=total_S1 > 0)
    return [Curve("early_share", "timestep", share_ST, update=context.update)]
