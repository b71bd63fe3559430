"""G6: how far each loss reaches back through time."""

from __future__ import annotations

from rnnlab.curve import Curve, rms_norm
from rnnlab.probes.context import ProbeContext

POSITIONS = 8
"""Loss positions tau that are told, spread evenly over the task's and with its first and last."""


def reach_curves(context: ProbeContext) -> list[Curve]:
    """Norms of dL_tau/ds_t and dL_tau/dx_t by timestep t, a curve for each tau: rows of a matrix tau x t.

    `reach_t19_h_l0` is how the loss at timestep 19 alone feels h_t of layer 0, exactly 0 for t > 19;
    `reach_t19_inputs` how it feels what was read at t. Over all tau of the loss the gradients (not their norms)
    add up to G1. Sources: Pascanu 2013 (dE_t/dx_k), Hochreiter 1991. Cost: full, a backward pass for
    each of at most 8 tau.
    """
    curves = []
    for tau in reach_positions(context.task.positions):
        found = context.gradients_of([tau])
        part = f"t{tau % context.task.length}"
        curves += [
            Curve("reach", "timestep", rms_norm(gradient), state, layer, context.update, part=part)
            for layer, by_state in enumerate(found.states)
            for state, gradient in by_state.items()
        ]
        values = rms_norm(found.inputs_TSBI)
        curves.append(Curve("reach", "timestep", values, update=context.update, part=f"{part}_inputs"))
    return curves


def reach_positions(positions: list[int]) -> list[int]:
    """At most 8 of the task's loss positions, evenly spaced, the first and the last among them."""
    ordered = sorted(positions)
    if len(ordered) <= POSITIONS:
        return ordered
    return [ordered[round(i * (len(ordered) - 1) / (POSITIONS - 1))] for i in range(POSITIONS)]
