"""The recurrences of torch's three cells as machine code, made by this machine's C compiler when they are first needed.

An update of a small network is hundreds of small operations, and a call of torch costs as much as many of them compute.
`kernel.c` runs all timesteps of all lanes in one call. Where there is no compiler, cells run as before, on torch's
operations, with the same numbers up to rounding.
"""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from rnnlab.compiled.making import COMPILER, library

__all__ = ["COMPILER", "backward", "before", "forward", "library", "pieced", "strided", "takes"]

SMALL = 2048
"""B times H up to which one thread runs a compiled step at least as fast as two run torch's (measured: .4 to .9 of the
time at B=32, H=64; 1.2 for an LSTM at H=128)."""


class Shape(ctypes.Structure):
    """T, S, B, H and I, as kernel.c has them."""

    _fields_ = [(name, ctypes.c_long) for name in ("steps", "lanes", "batch", "hidden", "inputs")]


class Strided(ctypes.Structure):
    """A tensor (T, S, B, ·) of which a timestep of a lane stands in one piece, as kernel.c has it."""

    _fields_ = [("at", ctypes.c_void_p), ("by_step", ctypes.c_long), ("by_lane", ctypes.c_long)]


class Given(ctypes.Structure):
    """Inputs and weights, as kernel.c has them."""

    _fields_ = [("x", Strided), *((name, ctypes.c_void_p) for name in ("w_ih", "bias", "w_hh"))]


def takes(x_TSBI: Tensor, hidden: int) -> bool:
    """Whether the recurrence over these inputs runs compiled. Several threads share torch's products, not these: then
    only where a step is too small to be shared."""
    return (
        x_TSBI.device.type == "cpu"
        and x_TSBI.dtype in (torch.float32, torch.float64)
        and (torch.get_num_threads() == 1 or x_TSBI.shape[2] * hidden <= SMALL)
        and library(x_TSBI.dtype) is not None
    )


ROWS = {"rnn": (1, 1, 1), "lstm": (4, 4, 4), "gru": (3, 3, 4)}
"""Rows of W_ih, of W_hh and of the bias that kernel.c reads, times H."""


def forward(
    kind: str,
    h_STBH: Tensor,
    x_TSBI: Tensor,
    w_ih: Tensor,
    bias_SG: Tensor,
    w_hh: Tensor,
    *arguments: Tensor | int | None,
) -> None:
    """Run a forward pass of kernel.c into h. Inputs and weights may stand anyhow.

    Raises:
        ValueError: weights that do not fit the inputs or each other: kernel.c would read beyond them.
    """
    lanes, inputs, hidden = x_TSBI.shape[1], x_TSBI.shape[-1], w_hh.shape[-1]
    into, back, biases = (rows * hidden for rows in ROWS[kind])
    wanted = ((lanes, into, inputs), (lanes, biases), (lanes, back, hidden))
    for name, weight, shape in zip(("W_ih", "bias", "W_hh"), (w_ih, bias_SG, w_hh), wanted, strict=True):
        if weight.shape != shape or weight.dtype != x_TSBI.dtype or weight.device != x_TSBI.device:
            raise ValueError(
                f"{name} of {kind} must be {shape}, {x_TSBI.dtype} on {x_TSBI.device} as the inputs are, but is "
                f"{tuple(weight.shape)}, {weight.dtype} on {weight.device}"
            )
    x_TSBI = pieced(x_TSBI)
    weights = [weight.contiguous() for weight in (w_ih, bias_SG, w_hh)]  # held until the call is over
    _run(f"{kind}_forward", h_STBH, inputs, Given(strided(x_TSBI), *map(_address, weights)), *arguments)


def before(begin_SBH: Tensor | None, x_TSBI: Tensor, hidden: int) -> Tensor | None:
    """The state before the first step, contiguous.

    Raises:
        ValueError: it is not that of these inputs.
    """
    if begin_SBH is None:
        return None
    shape = (*x_TSBI.shape[1:3], hidden)
    if begin_SBH.shape != shape or begin_SBH.dtype != x_TSBI.dtype:
        raise ValueError(
            f"the state before the first step must be {shape}, {x_TSBI.dtype}, but is {tuple(begin_SBH.shape)}, "
            f"{begin_SBH.dtype}"
        )
    return begin_SBH.contiguous()


def backward(name: str, h_STBH: Tensor, *arguments: Tensor | Strided | int | None) -> None:
    """Run a backward pass of kernel.c over states that have the shape of `h_STBH`."""
    _run(name, h_STBH, 0, *arguments)


def pieced(full_TSBH: Tensor) -> Tensor:
    """The same, copied where a timestep of a lane does not stand in one piece."""
    return full_TSBH if full_TSBH.stride()[2:] == (full_TSBH.shape[-1], 1) else full_TSBH.contiguous()


def strided(full_TSBH: Tensor | None) -> Strided:
    """A `pieced` tensor, which must live until the call is over; None: absent."""
    return Strided() if full_TSBH is None else Strided(full_TSBH.data_ptr(), *full_TSBH.stride()[:2])


def _run(name: str, h_STBH: Tensor, inputs: int, *arguments: Tensor | ctypes.Structure | int | None) -> None:
    lanes, steps, batch, hidden = h_STBH.shape
    found = library(h_STBH.dtype)
    assert found is not None
    passed = [ctypes.c_void_p(_address(one)) if isinstance(one, Tensor) else one for one in arguments]
    if getattr(found, name)(Shape(steps, lanes, batch, hidden, inputs), *passed):
        raise MemoryError(f"not enough memory for the weights of {name} at H = {hidden}")


def _address(tensor: Tensor) -> int:
    if not tensor.is_contiguous():
        raise ValueError(f"a contiguous tensor is required, but got strides {tensor.stride()}")
    return tensor.data_ptr()
