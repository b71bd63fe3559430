"""h_t = a_t h_(t-1) + b_t at all timesteps, for cells whose recurrence is linear in the state, entry by entry."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def linear_scan(a_TSBH: Tensor, b_TSBH: Tensor, begin_SBH: Tensor | None = None) -> Tensor:
    """h (T, S, B, H) with h_t = a_t h_(t-1) + b_t, h_(-1) = 0 or `begin`; real or complex, differentiable once.

    The gradient at b_t is the exact total dL/dh_t. A GPU computes it in log2 T rounds over all timesteps
    (`doubled`), a CPU in T steps (`stepped`), which is less work for one thread (T = 1,000, S B H = 2,048: 9 ms against
    207 ms). Sources: Hillis & Steele 1986 for the rounds; Martin & Cundy 2018 for their use in a recurrent network.
    """
    if begin_SBH is not None:
        b_TSBH = torch.cat([torch.addcmul(b_TSBH[:1], a_TSBH[:1], begin_SBH[None]), b_TSBH[1:]])
    return _LinearScan.apply(a_TSBH, b_TSBH)  # type: ignore[no-any-return,no-untyped-call]


def stepped(a: Tensor, b: Tensor) -> Tensor:
    """The recurrence along the first axis, in T steps."""
    h = b.clone(memory_format=torch.contiguous_format)
    steps = h.unbind(0)
    for t in range(1, len(steps)):
        steps[t].addcmul_(a[t], steps[t - 1])
    return h


def doubled(a: Tensor, b: Tensor) -> Tensor:
    """The recurrence along the first axis, in log2 T rounds: after each, h_t counts twice as many b before it."""
    a, h, reach = a.clone(memory_format=torch.contiguous_format), b, 1
    while reach < len(h):
        h = torch.cat([h[:reach], torch.addcmul(h[reach:], a[reach:], h[:-reach])])
        a = torch.cat([a[:reach], a[reach:] * a[:-reach]])
        reach *= 2
    return h


class _LinearScan(torch.autograd.Function):
    """The adjoint of the recurrence is the same recurrence backwards in time."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        h = (doubled if a.is_cuda else stepped)(a, b)
        ctx.save_for_backward(a, h)
        return h

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, direct: Tensor) -> tuple[Tensor, Tensor]:
        a, h = ctx.saved_tensors
        # backwards, b_t is followed by a_(t+1); the first factor is not read
        after = torch.cat([a[:1], a[1:].flip(0)]).conj().resolve_conj()
        total = (doubled if a.is_cuda else stepped)(after, direct.flip(0)).flip(0)
        before = torch.cat([torch.zeros_like(h[:1]), h[:-1]])
        return total * before.conj(), total
