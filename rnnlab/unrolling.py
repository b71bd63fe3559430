"""Two ways to run a layer other than from its first timestep to its last: strided, and in windows.

**Strided** (skip in time): h_t follows from h_(t-d). The d interleaved sequences know nothing of each other, so they
stand beside each other as a batch of d B sequences of T/d steps, and every scan of a cell does them as it is. Source:
Chang 2017, section 3.3.

**Windows** (truncated backpropagation): after every k1 timesteps the losses of those k1 go back through the last k2.
Every such window is run again from states that are cut off, all windows beside each other as a batch.

Shapes: T timesteps, S lanes, B sequences, N entries, H hidden units, W windows, K = k2 timesteps of a window.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional

from rnnlab.cells.base import Cell, States, Weights
from rnnlab.cells.zoneout import Zoneout


def interleaved(value_TSBN: Tensor, stride: int) -> Tensor:
    """Every `stride`-th timestep as a sequence of its own: (ceil(T / d), S, B d, N), zeros where T ends before.

    A stride beyond T is one of T: no timestep follows from another.
    """
    steps, lanes, batch, size = value_TSBN.shape
    stride = min(stride, steps)
    rows = -(-steps // stride)
    padded = functional.pad(value_TSBN, (0, 0, 0, 0, 0, 0, 0, rows * stride - steps))
    parts = padded.reshape(rows, stride, lanes, batch, size).permute(0, 2, 3, 1, 4)
    return parts.reshape(rows, lanes, batch * stride, size)


def restored(value: Tensor, stride: int, steps: int) -> Tensor:
    """What `interleaved` was given, (T, S, B, N)."""
    stride = min(stride, steps)
    rows, lanes, batch, size = value.shape
    parts = value.reshape(rows, lanes, batch // stride, stride, size).permute(0, 3, 1, 2, 4)
    return parts.reshape(rows * stride, lanes, batch // stride, size)[:steps]


@dataclass(frozen=True)
class Windows:
    """The windows of truncated backpropagation over T timesteps: they end after k1, 2 k1, ... and after T.

    What a window gives are its last k1 timesteps (the last one: those that are left), from where gradients go back to
    its first, k2 - 1 timesteps before its last: a loss reaches states at lags 0 ... k2 - 1 at most.
    """

    steps: int
    k1: int
    k2: int

    @cached_property
    def ends_W(self) -> Tensor:
        """The timestep after each window's last."""
        return torch.tensor([*range(self.k1, self.steps, self.k1), self.steps])

    @cached_property
    def times_KW(self) -> Tensor:
        """The timesteps of every window; negative before the sequence begins."""
        return self.ends_W - self.k2 + torch.arange(self.k2)[:, None]

    def reached(self, last_B: Tensor) -> Tensor:
        """The first timestep that a loss at `last_B` reaches, (B,); may be negative."""
        return self.ends_W[last_B // self.k1] - self.k2

    def cut(self, value_TSBN: Tensor) -> Tensor:
        """The values of every window, (K, S, W B, N); before the sequence those of its first timestep."""
        parts = value_TSBN[self.times_KW.clamp(min=0)]  # (K, W, S, B, N)
        return parts.transpose(1, 2).flatten(2, 3)

    def joined(self, value: Tensor, batch: int) -> Tensor:
        """The last k1 timesteps of every window in order: (K, S, W B, N) -> (T, S, B, N)."""
        times_T = torch.arange(self.steps)
        window_T = times_T // self.k1
        row_T = times_T - self.ends_W[window_T] + self.k2
        parts = value.reshape(*value.shape[:2], -1, batch, value.shape[-1])  # (K, S, W, B, N)
        return parts.transpose(1, 2)[row_T, window_T]

    def run(
        self,
        cell: Cell,
        weights: Weights,
        x: Tensor,
        whole: Mapping[str, Tensor],
        stride: int = 1,
        probes: Mapping[str, Tensor] | None = None,
        masks: Sequence[Tensor] | None = None,
    ) -> States:
        """All states of every window, (K, S, W B, H), through autograd of `cell.step`.

        Args:
            x: what the layer reads in the windows, (K, S, W B, I).
            whole: the layer's states over all timesteps, (T, S, B, H), from which windows begin; no gradient passes.
            stride: d, where h_t follows from h_(t-d).
            probes: zeros by state (T, S, B, H): what each window gives to their gradients adds up.
            masks: of a zoneout in training, one a state, (T, S, B, H).
        """
        batch = whole["h"].shape[2]
        probes_K = {name: self.cut(probe) for name, probe in (probes or {}).items()}
        masks_K = None if masks is None else [self.cut(mask) for mask in masks]
        here_KM11 = (self.times_KW >= 0).repeat_interleave(batch, 1)[..., None].to(x.device)
        seen = [self._before(cell, whole, row - stride) for row in range(stride)]
        for k, x_SMI in enumerate(x):
            if masks_K is None:
                state = cell.step(weights, x_SMI, seen[k])
            else:
                assert isinstance(cell, Zoneout)
                state = cell.mixed(weights, x_SMI, seen[k], [mask[k].to(x_SMI) for mask in masks_K])
            # before the sequence begins there are zeros, as in any scan
            state = tuple(torch.where(here_KM11[k], s, 0.0) for s in state)
            if probes_K:
                state = tuple(
                    s + probes_K[name][k] * here_KM11[k] if name in probes_K else s
                    for name, s in zip(cell.states, state, strict=True)
                )
            seen.append(state)
        return {name: torch.stack([s[i] for s in seen[stride:]]) for i, name in enumerate(cell.states)}

    def _before(self, cell: Cell, whole: Mapping[str, Tensor], row: int) -> tuple[Tensor, ...]:
        """The states at row `row`, negative, of every window: cut off, zeros before the sequence."""
        times_W = self.times_KW[0] + row
        here_W111 = (times_W >= 0)[:, None, None, None].to(whole["h"].device)
        found = []
        for name in cell.states:
            parts_WSBH = torch.where(here_W111, whole[name].detach()[times_W.clamp(min=0)], 0.0)
            found.append(parts_WSBH.transpose(0, 1).flatten(1, 2))
        return tuple(found)
