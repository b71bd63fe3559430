"""Numbers too small for float32's full precision, and what a processor makes of them.

Below 1.2e-38 a float32 is subnormal, and many processors compute with such numbers ten times as slowly and more.
Nowhere are there as many as in the backward pass of a network whose gradients vanish: at T=200 and beyond, an update of
an untrained plain RNN takes 2.5 to 6 times as long with them, one of an LSTM 10 times (measured on an Intel Xeon). An
update takes them for 0; probes, which are float64 and look for exactly such gradients, do not.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

SMALLEST = torch.finfo(torch.float32).tiny
"""The smallest float32 that is not subnormal, 1.2e-38."""


def flushes() -> bool:
    """Whether this thread takes subnormal numbers for 0 now; torch tells nobody."""
    return bool((torch.full((1,), SMALLEST) * 0.5).item() == 0)


@contextlib.contextmanager
def flushed() -> Iterator[None]:
    """Take subnormal numbers for 0 in the body, in this thread, where the processor can; then as it was before.

    torch's other threads, where it has some, keep their own way: a trial of several processors gains less.
    """
    if flushes():
        yield
        return
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
