"""Names and shapes of a network's parameters, in the order in which `theta` holds them."""

from __future__ import annotations

from rnnlab.architecture import Architecture

WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "vectors")
"""torch's names of one layer's parameters, and of the vectors that a cell may have, followed by `_l0`, `_l1`, ..."""


def parameter_shapes(
    gates: int,
    inputs: int,
    hidden: int,
    depth: int,
    outputs: int | None,
    recurrent: int | None = None,
    vectors: int = 0,
) -> dict[str, tuple[int, ...]]:
    """Names and shapes of one lane's parameters, in the order in which `theta` holds them; empty ones are left out.

    Args:
        gates: H-row blocks of W_ih. recurrent: of W_hh; None: as many. vectors: V.
    """
    rows, back = gates * hidden, (gates if recurrent is None else recurrent) * hidden
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in range(depth):
        wide = ((rows, hidden if layer else inputs), (back, hidden), (rows,), (back,), (vectors, hidden))
        shapes |= {f"{name}_l{layer}": shape for name, shape in zip(WEIGHTS, wide, strict=True) if shape[0]}
    if outputs is not None:
        shapes |= {"readout.weight": (outputs, hidden), "readout.bias": (outputs,)}
    return shapes


def between_shapes(architecture: Architecture, hidden: int, depth: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of one lane's connections between layers, which stand after everything else."""
    shapes = architecture.between.shapes(hidden)
    return {f"between.{name}_l{layer}": shape for layer in range(1, depth) for name, shape in shapes.items()}
