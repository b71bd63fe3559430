"""What code of others must keep to is tried on a few numbers before anything is created.

Only plug-ins are tried; for what is ours this costs a look at a path. Sizes: T=2 timesteps, S=2 lanes, B=2 sequences,
I=3 inputs, H=4 hidden units.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from rnnlab.choices import choose
from rnnlab.errors import RnnlabError, SpecError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from rnnlab.model import Network
    from rnnlab.spec import ModelSpec, TrialSpec

STEPS, LANES, BATCH, INPUTS, HIDDEN = 2, 2, 2, 3, 4


def check_model(spec: ModelSpec) -> None:
    """Try the cell, the activation, the inits and the connection of a model, where one is a plug-in.

    Raises:
        SpecError: a method does not give what it promises; the message names it and the shapes.
    """
    from rnnlab.activations import ACTIVATIONS
    from rnnlab.between import BETWEEN
    from rnnlab.cells import CELLS
    from rnnlab.inits import BIAS_INITS, INITS

    parts = ((CELLS, spec.cell), (ACTIVATIONS, spec.activation), (INITS, spec.init), (BIAS_INITS, spec.bias_init),
             (BETWEEN, spec.between))  # fmt: skip
    own = [f"{table.noun} {choice.kind!r}" for table, choice in parts if choice and choose(table, choice.kind).own]
    if own:
        small = spec.model_copy(update={"hidden": HIDDEN, "depth": 2, "truncate": None, "dilation": 1})
        _try_model(small.model_dump_json(), " with ".join(own), lambda: small)


def check_trial(spec: TrialSpec) -> None:
    """Try the task, the clip and the regulariser of a trial, where one is a plug-in.

    Raises:
        SpecError: as `check_model`.
    """
    from rnnlab.clipping import CLIPS
    from rnnlab.regularisers import REGULARISERS
    from rnnlab.tasks import TASKS

    if choose(TASKS, spec.task.kind).own:
        _try_task(spec.task.model_dump_json(), lambda: spec.task)
    optim = spec.optim
    for table, choice, trial in ((CLIPS, optim.clip, _try_clip), (REGULARISERS, optim.regulariser, _try_regulariser)):
        if choose(table, choice.kind).own:
            with _blaming(f"{table.noun} {choice.kind!r}", "__init__"):
                made = choose(table, choice.kind).load()(**choice.options)
            trial(f"{table.noun} {choice.kind!r}", made)


@contextmanager
def _blaming(said: str, method: str) -> Iterator[None]:
    """An error of code of others is theirs, and says where."""
    try:
        yield
    except RnnlabError:
        raise
    except Exception as error:
        raise SpecError(f"{said}: its {method} raised {type(error).__name__}: {error}") from error


def _shaped(said: str, what: str, found: Any, shape: tuple[int, ...], letters: str) -> None:
    """Raises:
    SpecError: what a method returned is no tensor of this shape.
    """
    import torch

    got = f"the shape {tuple(found.shape)}" if isinstance(found, torch.Tensor) else f"{type(found).__name__}"
    if not isinstance(found, torch.Tensor) or tuple(found.shape) != shape:
        raise SpecError(f"{said}: {what} must be a tensor {letters} = {shape}, but it is of {got}")


class _By:
    """A key of the cache that stands for what makes the thing to be tried."""

    def __init__(self, key: str, make: Callable[[], Any]) -> None:
        self.key, self.make = key, make

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _By) and self.key == other.key


def _try_model(key: str, said: str, make: Callable[[], ModelSpec]) -> None:
    _model_tried(said, _By(key, make))


@cache
def _model_tried(said: str, by: _By) -> None:
    import torch

    from rnnlab.cells.base import loop
    from rnnlab.model import build, load_cell

    spec: ModelSpec = by.make()
    with _blaming(said, "__init__"):
        cell = load_cell(spec.cell, spec.activation)
    for name in ("gates", "states"):
        names = getattr(cell, name, None)
        if not (isinstance(names, tuple) and names and all(isinstance(one, str) for one in names)):
            raise SpecError(f'{said}: its `{name}` must be a tuple of names such as ("h",), but is {names!r}')
    if cell.states[0] != "h" or cell.anchor_state not in cell.states:
        raise SpecError(
            f"{said}: its `states` must begin with 'h' and hold its `anchor_state`, but are {cell.states!r} and "
            f"{cell.anchor_state!r}"
        )
    with _blaming(said, "init"):
        network = build(spec, INPUTS, None, STEPS, range(LANES)).double()
    x = torch.linspace(-1, 1, STEPS * LANES * BATCH * INPUTS, dtype=torch.float64).view(STEPS, LANES, BATCH, INPUTS)
    _try_steps(said, network, x)
    probes = {name: torch.zeros(STEPS, LANES, BATCH, HIDDEN, dtype=torch.float64) for name in cell.states}
    for probe in probes.values():
        probe.requires_grad_()
    weights, found = network.layers()[0], {}
    with _blaming(said, "scan"):
        seen = network.cell.scan(weights, x, probes)
    if not isinstance(seen, dict) or tuple(seen) != tuple(cell.states):
        raise SpecError(f"{said}: its scan must return a dict of {', '.join(cell.states)}, but returned {seen!r:.200}")
    for name, state in seen.items():
        _shaped(said, f"state {name!r} that its scan returns", state, (STEPS, LANES, BATCH, HIDDEN), "(T, S, B, H)")
    looped = loop(network.cell, weights, x, probes)
    for lane in range(LANES):
        own = sum((state[:, lane].sin().sum() for state in looped.values()), start=torch.zeros(()))
        (g_SP,) = torch.autograd.grad(own, [network.theta], retain_graph=True, materialize_grads=True)
        if bool(torch.cat([g_SP[:lane], g_SP[lane + 1 :]]).any()):
            raise SpecError(
                f"{said}: in its step a lane must see nothing of the others, but lane {lane} depends on another's "
                "weights; act on the first axis, S, as on that of a batch"
            )
    for run, states in (("scan", seen), ("step", looped)):
        total = sum((state.sin().sum() for state in states.values()), start=torch.zeros(()))
        with _blaming(said, run):
            found[run] = torch.autograd.grad(total, [network.theta, *probes.values()], materialize_grads=True)
    for ours, theirs in zip(found["scan"], found["step"], strict=True):
        if not torch.allclose(ours, theirs, rtol=1e-6, atol=1e-9):
            raise SpecError(
                f"{said}: its scan has other gradients than a loop over its step; leave scan out, or mend it"
            )
    with _blaming(said, "forward pass"):
        _shaped(said, "what its network gives", network(x), (STEPS, LANES, BATCH, HIDDEN), "(T, S, B, H)")


def _try_steps(said: str, network: Network, x_TSBI: Tensor) -> None:
    """One step of the cell."""
    cell, zero = network.cell, x_TSBI.new_zeros(LANES, BATCH, HIDDEN)
    shape, letters = (LANES, BATCH, HIDDEN), "(S, B, H)"
    with _blaming(said, "step"):
        after = cell.step(network.layers()[0], x_TSBI[0], tuple(zero for _ in cell.states))
    if not isinstance(after, tuple) or len(after) != len(cell.states):
        many = f"{len(after)} of them" if isinstance(after, tuple) else type(after).__name__
        raise SpecError(
            f"{said}: its step must return a tuple of {len(cell.states)} tensors {letters} = {shape}, one a state "
            f"({', '.join(cell.states)}), but returned {many}"
        )
    for name, state in zip(cell.states, after, strict=True):
        _shaped(said, f"state {name!r} that its step returns", state, shape, letters)


def _small() -> Network:
    from rnnlab.model import build
    from rnnlab.spec import ModelSpec

    return build(ModelSpec(hidden=HIDDEN), INPUTS, 1, STEPS, range(LANES))


def _try_clip(said: str, clip: Any) -> None:
    import torch

    network = _small()
    g_SP = torch.linspace(-1, 1, network.theta.numel()).view_as(network.theta)
    with _blaming(said, "attach"):
        clip.attach(network)
        limit = clip.limit()
    if limit is not None and not callable(limit):
        raise SpecError(f"{said}: its limit must return None or a function, but returned {limit!r}")
    norm_S = g_SP.double().norm(dim=1)
    with _blaming(said, "__call__"):
        after = clip(g_SP.clone(), norm_S)
    _shaped(said, "what its __call__ returns", after, tuple(g_SP.shape), "(S, P)")
    with _blaming(said, "kept"):
        kept_S = clip.kept(norm_S, after.double().norm(dim=1))
    _shaped(said, "what its kept returns", kept_S, (LANES,), "(S,)")


def _try_regulariser(said: str, regulariser: Any) -> None:
    import torch

    from rnnlab.regularisers.base import Seen

    network = _small()
    x = torch.linspace(-1, 1, STEPS * LANES * BATCH * INPUTS).view(STEPS, LANES, BATCH, INPUTS)
    hidden, _ = network.run(x)
    with _blaming(said, "penalty"):
        penalty = regulariser.penalty(hidden)
    if penalty is not None:
        _shaped(said, "what its penalty returns", penalty, (LANES,), "(S,)")
    seen = Seen(network, x, [h.detach() for h in hidden], [torch.ones_like(h) for h in hidden], 1)
    with _blaming(said, "gradient"):
        added = regulariser.gradient(seen)
    if added is None:
        return
    if not isinstance(added, tuple) or len(added) != 2:
        raise SpecError(f"{said}: its gradient must return None or a value (S,) and a gradient (S, P), but did not")
    _shaped(said, "the value that its gradient returns", added[0], (LANES,), "(S,)")
    _shaped(said, "what its gradient adds", added[1], tuple(network.theta.shape), "(S, P)")


def _try_task(key: str, make: Callable[[], Any]) -> None:
    _task_tried(_By(key, make))


@cache
def _task_tried(by: _By) -> None:
    from rnnlab.tasks import TASKS
    from rnnlab.training.seeding import generator_for

    spec = by.make()
    said = f"task {spec.kind!r}"
    with _blaming(said, "__init__"):
        task = choose(TASKS, spec.kind).load()(spec)
    for name in ("length", "inputs", "outputs", "lag", "objective", "natural_loss", "success"):
        if not hasattr(task, name):
            raise SpecError(f"{said} lacks the attribute {name!r}; set it in its __init__")
    with _blaming(said, "draw"):
        batch = task.draw(generator_for("plug-in"), BATCH)
    shape: tuple[int, ...] = (task.length, BATCH, task.inputs)
    _shaped(said, "x_TNI that its draw returns", getattr(batch, "x_TNI", batch), shape, "(T, N, I)")
    shape = (task.length, BATCH, task.outputs) if task.objective == "mse" else (task.length, BATCH)
    _shaped(said, "y_TN that its draw returns", batch.y_TN, shape, "(T, N, O)" if len(shape) == 3 else "(T, N)")
