"""`watch`: the exact gradient at every timestep of somebody's own nn.RNN, nn.LSTM or nn.GRU.

The module runs as it is, on torch's own kernels. Hooks keep copies of what goes in and out and of the gradients
that arrive at its outputs; the recurrence is replayed with our cells only when a gradient is asked for.
"""

from __future__ import annotations

from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torch.utils.hooks import RemovableHandle

from rnnlab.curve import Curve, rms_norm
from rnnlab.errors import SpecError
from rnnlab.watched_call import TOLERANCE, Call, Place, Recurrent, keep

if TYPE_CHECKING:
    import pandas as pd

KINDS = (nn.RNN, nn.LSTM, nn.GRU)


def watch(module: nn.Module, *, dtype: torch.dtype = torch.float64) -> Watched:
    """A context manager under which backward leaves the exact total gradient at every hidden state of `module`.

    `with rnnlab.watch(lstm) as seen: loss_of(lstm).backward()`, then `seen.hidden_gradients(layer=0)`. The
    module's outputs and its parameters' gradients are bit by bit those without.

    Cost: inside the context, copies of each call's weights, input and output; on the first question about a
    call, one forward and backward of the recurrence in `dtype`. Before and after the context nothing.

    Args:
        module: an nn.RNN, nn.LSTM or nn.GRU, or any nn.Module that contains some.
        dtype: in which the recurrence is replayed, float64 or float32 (for a device that lacks float64).

    Raises:
        SpecError: a scripted or traced module; none of the three inside; one with proj_size; dropout between
            layers in training mode elsewhere than on a CPU, since its masks are drawn inside the kernel.

    Sources: SCIENCE.md section 0 (trap 1: `output.grad` is the direct part only) and section 5 (G1, G2).
    """
    if dtype not in TOLERANCE:
        raise SpecError(f"dtype must be torch.float64 or torch.float32, but got {dtype}")
    if not isinstance(module, nn.Module):
        raise SpecError(f"watch takes an nn.Module, but got {type(module).__name__}")
    found: dict[str, Recurrent] = {}
    for name, part in module.named_modules():
        told = name or type(part).__name__
        if isinstance(part, torch.jit.ScriptModule):
            if part is module or part.original_name in {kind.__name__ for kind in KINDS}:
                raise SpecError(
                    f"watch takes a module that is not scripted or traced, but {told!r} is: watch the module it was "
                    "made from"
                )
        elif isinstance(part, KINDS):
            if part.proj_size:
                raise SpecError(f"watch takes no proj_size, but {told!r} has proj_size={part.proj_size}")
            _refuse_hidden_dropout(part, told)
            found[told] = part
    if not found:
        raise SpecError(
            f"watch takes an nn.RNN, nn.LSTM or nn.GRU or a module that contains one, but found none in "
            f"{type(module).__name__} (single-step cells such as nn.LSTMCell are not watched)"
        )
    return Watched(found, dtype)


class Watched:
    """What a `watch` has seen: gradients, curves, a picture and a table, by module, call, layer and direction.

    In every method `module` is a name of `modules` (may be left out where there is one), `call` a forward call
    of it inside the context (negative: from the end; only calls with gradients enabled count), `layer` 0 the
    bottom one (negative: from the top), `direction` 0 forward in time and 1 backward, `state` h or, for an LSTM, c.
    At c the gradient is that of the split state: the path from c_t through h_t is counted at h_t.
    """

    def __init__(self, found: dict[str, Recurrent], dtype: torch.dtype) -> None:
        self._found, self._dtype = found, dtype
        self._calls: dict[str, list[Call]] = {name: [] for name in found}
        self._rng: dict[str, Tensor] = {}
        self._handles: list[RemovableHandle] = []

    def __enter__(self) -> Watched:
        if self._handles:
            raise SpecError("a watch can be entered once at a time, but this one is open: make another")
        self._calls = {name: [] for name in self._found}
        for name, module in self._found.items():
            self._handles += [
                module.register_forward_pre_hook(partial(self._before, name)),
                # first of all forward hooks: the output as the kernel gave it
                module.register_forward_hook(partial(self._after, name), with_kwargs=True, prepend=True),
            ]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._rng.clear()

    def _before(self, name: str, module: nn.Module, args: Any) -> None:
        assert isinstance(module, KINDS)
        _refuse_hidden_dropout(module, name)
        if _drops(module):
            self._rng[name] = torch.get_rng_state()

    def _after(self, name: str, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        rng = self._rng.pop(name, None)
        if not isinstance(output, tuple) or len(output) != 2:
            raise SpecError(
                f"{name!r} must give an output and its last states as torch's does, but its forward does not"
            )
        told = output[0].data if isinstance(output[0], PackedSequence) else output[0]
        if not told.requires_grad:  # under no_grad, or nothing to learn: no gradient can ever arrive
            return
        assert isinstance(module, KINDS)
        calls = self._calls[name]
        call = keep(module, name, rng, self._dtype, args, kwargs, output, calls[-1] if calls else None)
        ends = output[1] if isinstance(output[1], tuple) else (output[1],)
        for at, tensor in zip(("output", "h", "c"), (told, *ends), strict=False):
            if tensor.requires_grad:
                self._handles.append(tensor.register_hook(partial(call.arrive, at)))
        calls.append(call)

    @property
    def modules(self) -> tuple[str, ...]:
        """Paths of the watched modules; a module that was given itself is named by its class."""
        return tuple(self._found)

    def calls(self, module: str | None = None) -> int:
        """How many forward calls with gradients enabled were seen."""
        return len(self._calls[self._name(module)])

    @property
    def lengths(self) -> Tensor:
        """Timesteps of each sequence of the last call, (B,) int64; where several modules are watched `lengths_of`."""
        return self.lengths_of()

    def lengths_of(self, module: str | None = None, call: int = -1) -> Tensor:
        """Timesteps of each sequence, (B,) int64, in the caller's order."""
        return self._call(module, call).lengths_B.clone()

    def drift(self, module: str | None = None, call: int = -1) -> float:
        """Largest difference of the replayed output from the module's own, as a share of the largest output.

        Rounding of the module's dtype: about 1e-7 in float32, 1e-2 under autocast; above 1e-3 (0.1 in half
        types, 1e-8 in float64) the first question about the call warns.

        Raises:
            SpecError: no gradient has arrived.
        """
        seen = self._call(module, call)
        seen.gradients()
        assert seen.drift is not None
        return seen.drift

    def hidden_gradients(
        self, layer: int = 0, direction: int = 0, state: str = "h", module: str | None = None, call: int = -1
    ) -> Tensor:
        """The exact total dL/ds_t (T, B, H), time first whatever `batch_first`; L is the loss as given.

        Zeros where a sequence has ended. Backward passes through one call add up, as in `.grad`.

        Raises:
            SpecError: no such module, call, layer, direction or state; a module that was not called; before
                backward; or the replay gives other outputs than the module.
        """
        seen = self._call(module, call)
        return seen.gradients()[_place(seen, layer, direction, state)].clone()

    def curve(
        self, layer: int = 0, direction: int = 0, state: str = "h", module: str | None = None, call: int = -1
    ) -> Curve:
        """G1 of the loss as given, norms by timestep: root mean square over the sequences that reach timestep t.

        A loss averaged over B or T is not undone. Its `verdict()` raises: a loss at every step hides vanishing.

        Raises:
            SpecError: as `hidden_gradients`.
        """
        seen = self._call(module, call)
        place = _place(seen, layer, direction, state)
        return Curve("total", "timestep", _norms(seen, seen.gradients()[place]), state, place[0])

    def anchor_curve(
        self,
        layer: int = 0,
        direction: int = 0,
        state: str | None = None,
        module: str | None = None,
        call: int = -1,
        seed: int = 0,
    ) -> Curve:
        """G2 on the same input, weights and initial states, without dropout: norm of d<v, s_end>/ds by lag.

        s_end is the top layer's state in `direction` after each sequence's own last step as that direction reads
        (timestep 0 for direction 1), and lag k is k steps before it in that order. The derivative counts every
        path: in a bidirectional stack a lower layer is heard through both directions of the layers above it.
        Norms are root mean squares over the sequences that are longer than k. No backward is needed before.

        Args:
            state: at the anchor and along the curve; None for the one that verdicts read (c of an LSTM, else h).
            seed: of the random unit vectors v, one a sequence.

        Raises:
            SpecError: no such module, call, layer, direction or state, or a module that was not called.

        Sources: Hochreiter 1991, Pascanu 2013.
        """
        seen = self._call(module, call)
        place = _place(seen, layer, direction, seen.cell.anchor_state if state is None else state)
        gradient = seen.anchored(place, seed)
        return Curve("anchor", "lag", _norms(seen, gradient), place[2], place[0])

    def to_frame(self, call: int = -1) -> pd.DataFrame:
        """One row a module, layer, direction, state and timestep, with `norm` as in `curve`.

        Modules to which no gradient came are left out.

        Raises:
            SpecError: a gradient came to none.
        """
        import pandas as pd

        rows = [
            (name, layer, direction, state, t, norm)
            for name, (layer, direction, state), norms in self.norms(call)
            for t, norm in enumerate(norms)
        ]
        return pd.DataFrame(rows, columns=["module", "layer", "direction", "state", "timestep", "norm"])

    def plot(self, call: int = -1) -> Any:
        """A matplotlib Figure: log10 of the norms of `curve` by timestep, a line a module, layer, direction, state.

        Modules to which no gradient came are left out, and a norm of exactly 0 is a gap.

        Raises:
            SpecError: a gradient came to none.
        """
        from rnnlab.watched_figure import draw

        return draw(self.norms(call))

    def norms(self, call: int = -1) -> list[tuple[str, Place, NDArray[np.float64]]]:
        """Module, (layer, direction, state) and norms (T,) of every curve of the modules that a gradient reached.

        Raises:
            SpecError: a gradient came to none.
        """
        reached = [(name, calls[call]) for name, calls in self._calls.items() if -len(calls) <= call < len(calls)]
        found = [
            (name, place, _norms(seen, gradient)[0])
            for name, seen in reached
            if seen.arrived
            for place, gradient in seen.gradients().items()
        ]
        if not found:
            self._call(self.modules[0], call).gradients()  # says what is missing
        return found

    def _name(self, module: str | None) -> str:
        if module is None and len(self._found) == 1:
            return next(iter(self._found))
        if module not in self._found:
            raise SpecError(f"module must be one of {', '.join(self._found)}, but got {module!r}")
        return module

    def _call(self, module: str | None, call: int) -> Call:
        name = self._name(module)
        calls = self._calls[name]
        if not calls:
            raise SpecError(
                f"the module must have been called inside the with block with gradients enabled, but {name!r} was not"
            )
        if not -len(calls) <= call < len(calls):
            raise SpecError(f"call must be below {len(calls)}, the calls of {name!r}, but got {call}")
        return calls[call]


def _place(seen: Call, layer: int, direction: int, state: str) -> Place:
    if not -seen.depth <= layer < seen.depth:
        raise SpecError(f"layer must be below {seen.depth}, the layers of {seen.name!r}, but got {layer}")
    if not 0 <= direction < seen.directions:
        raise SpecError(f"direction must be below {seen.directions}, those of {seen.name!r}, but got {direction}")
    if state not in seen.cell.states:
        raise SpecError(f"state must be one of {', '.join(seen.cell.states)}, but got {state!r}")
    return layer % seen.depth, direction, state


def _norms(seen: Call, gradient_TBH: Tensor) -> NDArray[np.float64]:
    """Root mean square over the sequences alive at t of per-sample norms, (1, T) float64."""
    over_batch = rms_norm(gradient_TBH[:, None].cpu())
    alive_T = seen.alive_TB.sum(1).double().numpy()
    return np.asarray(over_batch * np.sqrt(len(seen.lengths_B) / alive_T), dtype=np.float64)


def _drops(module: Recurrent) -> bool:
    return bool(module.training and module.dropout and module.num_layers > 1)


def _refuse_hidden_dropout(module: Recurrent, name: str) -> None:
    where = next(module.parameters()).device.type
    if where != "cpu" and _drops(module):
        raise SpecError(
            f"dropout between layers in training mode can be watched on a CPU only, but {name!r} has "
            f"dropout={module.dropout} on {where}, where the masks are drawn inside the kernel: call eval() or "
            "set its dropout to 0 for this update"
        )
