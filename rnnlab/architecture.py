"""What a network is beside its cells and its size: between layers, through time, and in training.

The defaults are a plain stack; what is off costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from rnnlab.between.base import Between
from rnnlab.between.plain import Plain
from rnnlab.cells.base import Cell, Weights
from rnnlab.cells.zoneout import Zoneout
from rnnlab.choices import choose
from rnnlab.errors import SpecError
from rnnlab.spec import ModelSpec
from rnnlab.training.seeding import generator_for


@dataclass(frozen=True)
class Architecture:
    """How layers are joined and how they run through time.

    Args:
        between: what a layer's h becomes before the next one reads it.
        keep: p of a zoneout by state (`h`, `c`); empty: none.
        dropout: p of the recurrent dropout; 0: none.
        strides: d of every layer, bottom first: h_t follows from h_(t-d); empty: 1 everywhere.
        truncate: k1 and k2 of truncated backpropagation; None: through all timesteps.
    """

    between: Between = field(default_factory=Plain)
    keep: tuple[tuple[str, float], ...] = ()
    dropout: float = 0.0
    strides: tuple[int, ...] = ()
    truncate: tuple[int, int] | None = None

    @property
    def noisy(self) -> bool:
        """Whether training draws masks."""
        return bool(self.keep) or self.dropout > 0

    @property
    def known_to_torch(self) -> bool:
        """Whether torch's own modules, in evaluation, are such networks."""
        return isinstance(self.between, Plain) and not self.keep and not any(d > 1 for d in self.strides)

    def stride(self, layer: int) -> int:
        """d of one layer."""
        return self.strides[layer] if self.strides else 1

    def around(self, cell: Cell) -> Cell:
        """The cell as the network runs it."""
        if not self.keep:
            return cell
        keep = dict(self.keep)
        return Zoneout(cell, [keep.get(state, 0.0) for state in cell.states])

    def dropped(self, weights: Weights, generators: Sequence[torch.Generator]) -> Weights:
        """The weights with columns of W_hh left out: h_(t-1) m / (1 - p), m of 0 and 1 the same for all t.

        One mask a layer, lane and update, for all sequences of the batch (Gal 2016 draws one a sequence): so it is a
        mask of weights, and a cell's fastest path stays. A unit's own path in a gated cell (z h, f c) is not dropped.
        Source: Gal & Ghahramani 2016.
        """
        if not self.dropout:
            return weights
        w_hh = weights.w_hh_SGH
        mask_SH = torch.stack([torch.rand(w_hh.shape[-1], generator=g) >= self.dropout for g in generators])
        return weights._replace(w_hh_SGH=w_hh * (mask_SH.to(w_hh) / (1 - self.dropout))[:, None])


PLAIN = Architecture()


def load_architecture(spec: ModelSpec) -> Architecture:
    """What a spec says.

    Raises:
        SpecError: a zoneout of c, or a dropout, with a cell that has no such thing.
    """
    from rnnlab.between import BETWEEN

    between = choose(BETWEEN, spec.between.kind).load()(**spec.between.options)
    keep = tuple((name, p) for name, p in (("h", spec.zoneout_h), ("c", spec.zoneout_c)) if p)
    strides = tuple(spec.dilation_start * spec.dilation**layer for layer in range(spec.depth))
    return Architecture(
        between=between,
        keep=keep,
        dropout=spec.dropout,
        strides=strides if any(d > 1 for d in strides) else (),
        truncate=(spec.truncate.k1, spec.truncate.k2) if spec.truncate else None,
    )


def check_cell(spec: ModelSpec) -> None:
    """Raises:
    SpecError: a zoneout of c, or a dropout, with a cell that has no such thing.
    """
    from rnnlab.cells import CELLS

    cell = choose(CELLS, spec.cell.kind).load()
    if spec.zoneout_c and "c" not in cell.states:
        raise SpecError(
            f"zoneout_c requires a cell with a state c, but the cell {spec.cell.kind!r} has {', '.join(cell.states)}; "
            "leave it out, or in a space add `when: {cell: lstm}`"
        )
    if spec.dropout and not getattr(cell, "reads_h", True):
        raise SpecError(
            f"dropout requires a cell whose steps take W_hh h, but the cell {spec.cell.kind!r} does not; leave it out"
        )
    if spec.dropout and getattr(cell, "makes_matrix", False):
        raise SpecError(
            f"dropout requires a cell whose steps take W_hh h, but the cell {spec.cell.kind!r} makes another matrix of "
            "W_hh; leave it out"
        )


def noise(seeds: Sequence[int], update: int) -> list[torch.Generator]:
    """What one update's masks are drawn from, a generator a lane: of its seed and the update alone, so that training
    that is taken up again draws the same."""
    return [generator_for("noise", seed, update) for seed in seeds]


def drawn(cell: Cell, x_TSBI: Tensor, hidden: int, generators: Sequence[torch.Generator]) -> list[Tensor] | None:
    """A zoneout's masks of one layer that reads x, (T, S, B, H) a state; None where the cell has none."""
    if not isinstance(cell, Zoneout):
        return None
    steps, _, batch, _ = x_TSBI.shape
    return [mask.to(x_TSBI.device) for mask in cell.masks(steps, batch, hidden, generators)]
