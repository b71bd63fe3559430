"""The recurrences of torch's three cells as machine code, made by this machine's C compiler when they are first needed.

An update of a small network is hundreds of small operations, and a call of torch costs as much as many of them compute.
`kernel.c` runs all timesteps of all lanes in one call. Where there is no compiler, cells run as before, on torch's
operations, with the same numbers up to rounding.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import platform
import shlex
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from uuid import uuid4

import torch
from torch import Tensor

SOURCE = Path(__file__).with_name("kernel.c")
COMPILER = "RNNLAB_CC"
"""Environment variable that names the C compiler; `cc` where it is not set, none at all where it is empty."""
EVERYWHERE = ("-O3", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC")
FOR_THIS_MACHINE = (("-march=native", "-mprefer-vector-width=512"), ("-march=native",), ("-mcpu=native",))
"""Tried in this order, since compilers differ. Code that any processor of a kind takes would be the slower way."""
PATIENCE = 60
"""Seconds that a compiler gets; it takes one."""

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


def forward(
    name: str,
    h_STBH: Tensor,
    x_TSBI: Tensor,
    w_ih: Tensor,
    bias_SG: Tensor,
    w_hh: Tensor,
    *arguments: Tensor | int | None,
) -> None:
    """Run a forward pass of kernel.c into h. Inputs and weights may stand anyhow."""
    x_TSBI = pieced(x_TSBI)
    weights = [weight.contiguous() for weight in (w_ih, bias_SG, w_hh)]  # held until the call is over
    _run(name, h_STBH, x_TSBI.shape[-1], Given(strided(x_TSBI), *map(_address, weights)), *arguments)


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
    assert tensor.is_contiguous()
    return tensor.data_ptr()


@cache
def library(dtype: torch.dtype) -> ctypes.CDLL | None:
    """The functions of kernel.c for float32 or float64; None where they cannot be made."""
    compiler = shlex.split(os.environ.get(COMPILER, "cc"))
    if not compiler:
        return None
    double = int(dtype is torch.float64)
    key = hashlib.sha256("\n".join([SOURCE.read_text(), *compiler, _processor()]).encode()).hexdigest()[:16]
    for folder in _folders():
        made = folder / f"recurrence-{key}-{64 if double else 32}.so"
        with contextlib.suppress(OSError):
            if not made.exists() and not _make(made, compiler, double):
                return None
            return ctypes.CDLL(str(made))
    return None


def _make(made: Path, compiler: list[str], double: int) -> bool:
    """Compile into place; False where the compiler is missing or refuses. Two processes may do it at once.

    Raises:
        OSError: the folder cannot be written.
    """
    made.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = made.with_name(f".{made.name}.{uuid4().hex}.part")
    part.touch()
    try:
        for flags in FOR_THIS_MACHINE:
            command = [*compiler, *EVERYWHERE, *flags, f"-DDOUBLE={double}", str(SOURCE), "-o", str(part)]
            try:
                done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=PATIENCE)
            except (OSError, subprocess.TimeoutExpired):
                return False
            if done.returncode == 0:
                part.replace(made)
                return True
        return False
    finally:
        part.unlink(missing_ok=True)


def _folders() -> list[Path]:
    """Where compiled code is kept: the user's cache, else a folder of the user's own among temporary files."""
    found = [Path(tempfile.gettempdir()) / f"rnnlab-{os.getuid()}"]
    with contextlib.suppress(RuntimeError):  # a user without a home
        found.insert(0, Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rnnlab")
    return [folder for folder in found if not folder.exists() or folder.stat().st_uid == os.getuid()]


def _processor() -> str:
    """What tells this machine's processor from others that may share the cache."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return "\n".join(dict.fromkeys(line for line in lines if line.startswith(("model name", "flags", "Features"))))
    return f"{platform.machine()} {platform.processor()}"
