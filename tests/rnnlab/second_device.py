"""A second device for machines that have none: its tensors lie in the CPU's memory, and refuse to meet the CPU's.

Run as a program with trial specs as JSON lines on its input; for each, trains it there and on the CPU, and prints one
line: what differed, or what was raised. A program of its own, since what torch is told of a device stays.

What it cannot show is the other device's arithmetic, its memory, and kernels that it lacks.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing

from rnnlab.recorder import MemoryRecorder
from rnnlab.spec import TrialSpec
from rnnlab.training.stack import Stack

NAME = "lazy"
"""A device that torch knows and has no kernels for; its backward pass runs in the thread that asks for it."""
MEET = ("aten::_to_copy", "aten::copy_", "aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_")
"""Operations that take tensors of two devices: copies, and indices, which CUDA takes from the CPU too."""

AT_ONCE = {"aten::_conj": torch.conj_physical, "aten::_neg_view": torch.neg}
"""Views whose numbers only a flag turns, which would be lost on the way; a device may make new numbers."""


class There(Tensor):
    """A tensor of the second device; `here` holds its numbers."""

    here: Tensor

    @staticmethod
    def __new__(cls, here: Tensor) -> There:
        return torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined,no-any-return]
            cls,
            here.shape,
            strides=here.stride(),
            storage_offset=here.storage_offset(),
            dtype=here.dtype,
            device=torch.device(NAME, 0),
        )

    def __init__(self, here: Tensor) -> None:
        self.here = here

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {})


class Everywhere(TorchDispatchMode):
    """Sees what makes new tensors, too."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {})


def run(func: Any, args: Any, kwargs: Any) -> Any:
    """One operation, on the CPU's memory, where its tensors are all on one device."""
    name, asked = func._schema.name, kwargs.get("device")
    given = list(_tensors((*args, *kwargs.values())))
    there = any(isinstance(one, There) for one in given)
    if there and name not in MEET:
        # numbers without an axis are taken from the CPU everywhere
        strangers = [tuple(one.shape) for one in given if not isinstance(one, There) and one.ndim]
        if strangers:
            raise RuntimeError(f"{name} was given tensors of two devices; on the CPU: {strangers}")
    if asked is not None:
        kwargs = {**kwargs, "device": torch.device("cpu")}
        there = torch.device(asked).type == NAME
    if there and name in AT_ONCE:
        return There(AT_ONCE[name](_plain(args[0])))
    found = func(*_mapped(_plain, args), **{key: _mapped(_plain, value) for key, value in kwargs.items()})
    if not there or name == "aten::_local_scalar_dense":
        return found
    found = _mapped(lambda one: There(one) if isinstance(one, Tensor) else one, found)
    if any(argument.alias_info for argument in func._schema.arguments):
        return return_and_correct_aliasing(func, args, kwargs, found)
    return found


def _tensors(values: Any) -> Iterator[Tensor]:
    """Those among an operation's arguments, which are lists at the deepest: torch's own walk takes longer."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)


def _mapped(change: Any, value: Any) -> Any:
    return type(value)(_mapped(change, one) for one in value) if isinstance(value, list | tuple) else change(value)


def _plain(value: Any) -> Any:
    return value.here if isinstance(value, There) else value


def trained(specs: list[TrialSpec], device: str) -> tuple[list[Any], list[MemoryRecorder]]:
    """Results without times, and all that was recorded."""
    recorders = [MemoryRecorder() for _ in specs]
    stack = Stack(specs, recorders, device=device)
    while stack.running:
        stack.train_on()
    results = [result.as_dict() for result in stack.results]
    return [{k: v for k, v in one.items() if not k.endswith("seconds")} for one in results], recorders


def compare(specs: list[TrialSpec]) -> str:
    """What differs between the two devices; nothing where they agree to rounding."""
    ours, told = trained(specs, "cpu")
    with Everywhere():
        theirs, heard = trained(specs, f"{NAME}:0")
    for mine, other in zip(told, heard, strict=True):
        ours += [[update, dict(values)] for update, values in mine.scalars_seen]
        theirs += [[update, dict(values)] for update, values in other.scalars_seen]
        ours += [[curve.name, curve.values_SK] for curve in mine.curves_seen]
        theirs += [[curve.name, curve.values_SK] for curve in other.curves_seen]
    return _differing("", ours, theirs)


def _differing(where: str, one: Any, other: Any) -> str:
    """Where two results differ by more than rounding, and how; nothing where they do not."""
    if isinstance(one, dict | list):
        pairs = one.items() if isinstance(one, dict) else enumerate(one)
        if len(one) != len(other):
            return f"{where}: {len(one)} and {len(other)} entries"
        return next(filter(None, (_differing(f"{where}/{key}", value, other[key]) for key, value in pairs)), "")
    if one is None or isinstance(one, str):
        return "" if one == other else f"{where}: {one} and {other}"
    a, b = (np.asarray(value, dtype=np.float64) for value in (one, other))
    # a condition number is as good as float64's rounding leaves it
    a, b = (np.clip(np.nan_to_num(value), -1e6, 1e6) for value in (a, b))
    return "" if np.allclose(a, b, rtol=1e-4, atol=1e-7) else f"{where}: {one} and {other}"


def _empty(size: Any, dtype: Any = None, **_: Any) -> Tensor:
    """What torch's own code asks for where an index was a list."""
    return There(torch.empty(size, dtype=dtype))


def _empty_strided(size: Any, stride: Any, dtype: Any = None, **_: Any) -> Tensor:
    """The same."""
    return There(torch.empty_strided(size, stride, dtype=dtype))


def _copy(source: Tensor, target: Tensor, non_blocking: bool = False) -> Tensor:
    """What fills it."""
    _plain(target).copy_(_plain(source))
    return target


def main() -> None:
    library = torch.library.Library("aten", "IMPL")
    library.impl("empty.memory_format", _empty, "Lazy")
    library.impl("empty_strided", _empty_strided, "Lazy")
    library.impl("_copy_from", _copy, "Lazy")
    for line in sys.stdin:
        specs = [TrialSpec.model_validate(one) for one in json.loads(line)]
        try:
            said = compare(specs)
        except Exception:
            said = traceback.format_exc()
        print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main()
