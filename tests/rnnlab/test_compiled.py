"""The compiled recurrences against torch's operations, where sizes do not fit registers and numbers are extreme."""

from __future__ import annotations

import contextlib
import ctypes
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from rnnlab import compiled
from rnnlab.activations.relu import ReLU
from rnnlab.activations.tanh import Tanh
from rnnlab.cells.base import Cell, Weights
from rnnlab.cells.gru import GRU
from rnnlab.cells.lstm import LSTM
from rnnlab.cells.rnn import RNN
from rnnlab.training.seeding import generator_for
from rnnlab.training.subnormal import SMALLEST, flushed

pytestmark = pytest.mark.skipif(compiled.library(torch.float32) is None, reason="no C compiler here (cc)")

CELLS: dict[str, Callable[[], Cell]] = {
    "tanh": lambda: RNN(Tanh()),
    "relu": lambda: RNN(ReLU()),
    "lstm": lambda: LSTM(None),
    "gru": lambda: GRU(None),
}
SIZES = [
    (5, 1, 1, 1, 1),
    (4, 2, 3, 3, 15),
    (4, 1, 8, 1, 16),
    (3, 3, 13, 2, 33),
    (3, 1, 33, 5, 64),
    (2, 2, 65, 40, 31),
    (2, 1, 70, 2, 130),
]
"""T, S, B, I, H on both sides of a register's width, of the rows of a product and of a block of sequences."""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    compiled.library.cache_clear()


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Use another compiler from here on; an empty name: none."""

    def use(name: str) -> None:
        monkeypatch.setenv(compiled.COMPILER, name)
        compiled.library.cache_clear()

    return use


def weights_of(cell: Cell, size: tuple[int, ...], dtype: torch.dtype = torch.float64) -> tuple[Weights, Tensor]:
    """Weights whose gradients are wanted, and inputs."""
    steps, lanes, batch, inputs, hidden = size
    draw, rows = generator_for("compiled", str(size)), len(cell.gates) * hidden

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draw, dtype=torch.float64).to(dtype).requires_grad_()

    w_hh = (normal(lanes, rows, hidden).detach() / hidden**0.5).requires_grad_()
    return Weights(normal(lanes, rows, inputs), w_hh, normal(lanes, rows), normal(lanes, rows)), normal(
        steps, lanes, batch, inputs
    )


def measured(cell: Cell, size: tuple[int, ...], dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """Every state, and the gradients at weights, inputs and every state at every timestep."""
    weights, x = weights_of(cell, size, dtype)
    shape = (*size[:3], size[4])
    probes = {name: x.detach().new_zeros(shape).requires_grad_() for name in cell.states}
    seen = cell.scan(weights, x, probes)
    loss = sum(((state + state.square()).sum() for state in seen.values()), start=torch.zeros((), dtype=dtype))
    found = torch.autograd.grad(loss, [x, *weights[:4], *probes.values()])
    return [*(state.detach() for state in seen.values()), *found]


def used(cell: Cell, size: tuple[int, ...] = (2, 1, 1, 1, 1)) -> bool:
    """Whether this cell now runs compiled."""
    weights, x = weights_of(cell, size)
    return type(cell.fast(weights, x).grad_fn).__name__ in ("PlainScanBackward", "LSTMScanBackward", "GRUScanBackward")


@pytest.mark.parametrize("how", ["cc", "cc -mno-avx512f", "cc -mno-avx"])
@pytest.mark.parametrize("kind", CELLS)
def test_every_size_and_register_gives_the_numbers_of_torchs_operations(
    kind: str, how: str, compiler: Callable[[str], None]
) -> None:
    cell = CELLS[kind]()
    compiler(how)
    if compiled.library(torch.float64) is None:
        pytest.skip(f"{how!r} compiles nothing here")
    assert used(cell)
    ours = [measured(cell, size) for size in SIZES]
    compiler("")
    assert not used(cell)
    for size, found in zip(SIZES, ours, strict=True):
        for mine, theirs in zip(found, measured(cell, size), strict=True):
            # float64 rounds at 1e-16, and sums are of up to a thousand terms
            torch.testing.assert_close(mine, theirs, rtol=1e-11, atol=1e-11, msg=lambda text, s=size: f"{s}: {text}")


@pytest.mark.parametrize("kind", CELLS)
def test_float32_is_as_near_to_float64_as_torchs(kind: str, compiler: Callable[[str], None]) -> None:
    cell, size = CELLS[kind](), (60, 2, 32, 2, 64)
    exact = measured(cell, size)
    ours = measured(cell, size, torch.float32)
    compiler("")
    theirs = measured(cell, size, torch.float32)

    def worst(found: list[Tensor]) -> list[float]:
        return [float((f.double() - e).norm() / e.norm()) for f, e in zip(found, exact, strict=True)]

    # a relu decides at a kink what becomes of a rounding, and either may have the better luck
    for mine, other in zip(worst(ours), worst(theirs), strict=True):
        assert mine <= 2 * other + 1e-6


@pytest.mark.parametrize("kind", CELLS)
def test_without_a_graph_the_states_are_the_same(kind: str) -> None:
    cell = CELLS[kind]()
    weights, x = weights_of(cell, SIZES[3])
    with torch.no_grad():
        alone = cell.scan(weights, x)
    for name, state in cell.scan(weights, x).items():
        assert torch.equal(state, alone[name])
        assert not alone[name].requires_grad


def through(a: Tensor, kind: str) -> Tensor:
    """tanh or sigmoid of numbers, by a cell of one unit."""
    one, x = a.new_ones(1, 1, 1), a[None, None, :, None]
    if kind == "tanh":
        zero = a.new_zeros(1, 1)
        return RNN(Tanh()).fast(Weights(one, 0 * one, zero, zero), x).flatten()
    # h = o tanh c with c = 1 where i and g are 1 and the only input goes to o
    w_ih = torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=a.dtype).view(1, 4, 1)
    bias = torch.tensor([80.0, 0.0, 80.0, 0.0], dtype=a.dtype).view(1, 4)
    return LSTM(None).fast(Weights(w_ih, 0 * w_ih, bias, 0 * bias), x).flatten() / torch.ones((), dtype=a.dtype).tanh()


@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 5e-7), (torch.float64, 1e-15)])
@pytest.mark.parametrize("kind", ["tanh", "sigmoid"])
def test_nonlinearities_to_a_few_last_digits_relative_even_where_small(
    kind: str, dtype: torch.dtype, close: float
) -> None:
    # 5e-7 and 1e-15 are four to eight units of the last place
    wide = torch.linspace(-86, 86, 100_001, dtype=dtype)
    near = torch.logspace(-30, 0, 10_001, dtype=dtype)
    a = torch.cat([wide, near, -near, torch.tensor([-1e30, 1e30, 0.0], dtype=dtype)])
    exact = a.double().tanh() if kind == "tanh" else 1 / (1 + (-a.double()).exp())
    found = through(a, kind).double()
    # beyond -87 a sigmoid is no smaller than that of -87, 1.6e-38: float32's smallest number is 1.2e-38
    torch.testing.assert_close(found, exact, rtol=close, atol=2e-38 if dtype == torch.float32 else 1e-307)


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf, 3e38])
def test_what_is_not_finite_stays_so_where_torch_has_it(kind: str, bad: float, compiler: Callable[[str], None]) -> None:
    cell = CELLS[kind]()
    seen = []
    for how in ("cc", ""):
        compiler(how)
        weights, x = weights_of(cell, (4, 2, 5, 2, 17), torch.float32)
        with torch.no_grad():
            x[1, 0, 3] = bad
        probe = torch.zeros(4, 2, 5, 17, requires_grad=True)
        h = cell.fast(weights, x, probe)
        found = torch.autograd.grad(h.square().sum(), [*weights[:4], probe])
        seen.append([h.detach().isfinite(), *(f.isfinite() for f in found)])
    for ours, theirs in zip(*seen, strict=True):
        assert torch.equal(ours.flatten(2).all(2) if ours.ndim == 4 else ours.flatten(1).all(1),
                           theirs.flatten(2).all(2) if theirs.ndim == 4 else theirs.flatten(1).all(1))  # fmt: skip


def test_subnormal_numbers_are_0_where_an_update_flushes_them_and_kept_elsewhere() -> None:
    one, zero = torch.ones(1, 1, 1), torch.zeros(1, 1)
    gradients = []
    for around in (contextlib.nullcontext, flushed):
        probe = torch.zeros(2, 1, 1, 1, requires_grad=True)
        h = RNN(Tanh()).fast(Weights(one, 0.5 * one, zero, zero), torch.zeros(2, 1, 1, 1), probe)
        loss = h[-1].sum() * SMALLEST
        with around():
            gradients.append(float(torch.autograd.grad(loss, probe)[0][0]))
    assert gradients == [0.5 * SMALLEST, 0.0]


def test_several_threads_share_torchs_products_where_they_are_large_enough() -> None:
    large = (1, 1, 33, 1, 64)
    assert used(LSTM(None), large)
    torch.set_num_threads(2)
    assert not used(LSTM(None), large)
    assert used(LSTM(None), (1, 1, 32, 1, 64))


@pytest.mark.parametrize("how", ["", "no-such-compiler", "false", "cc -no-such-flag", "'cc"])
def test_without_a_compiler_cells_run_on_torchs_operations(how: str, compiler: Callable[[str], None]) -> None:
    compiler(how)
    for make in CELLS.values():
        cell = make()
        assert not used(cell)
        assert all(found.isfinite().all() for found in measured(cell, SIZES[1]))


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache and a folder for temporary files of our own."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "tmp"))
    compiled.library.cache_clear()
    return tmp_path


def place_of(found: object) -> Path:
    assert isinstance(found, ctypes.CDLL)
    return Path(found._name)


@pytest.mark.parametrize("how", ["a file in the way", "anybody may write there", "a link"])
def test_a_cache_that_must_not_be_used_is_gone_round(how: str, elsewhere: Path) -> None:
    cache = elsewhere / "cache"
    if how == "a file in the way":
        cache.write_text("")
    else:
        cache.mkdir()
        (elsewhere / "other").mkdir()
        if how == "a link":
            (cache / "rnnlab").symlink_to(elsewhere / "other")
        else:
            (cache / "rnnlab").mkdir()
            (cache / "rnnlab").chmod(0o777)
    assert place_of(compiled.library(torch.float32)).is_relative_to(elsewhere / "tmp")


def test_a_cut_library_is_made_again(elsewhere: Path) -> None:
    made = place_of(compiled.library(torch.float32))
    whole = made.read_bytes()
    for left in (0, 4000, len(whole) - 1):
        # another file, since this process has the old one mapped
        made.unlink()
        made.write_bytes(whole[:left])
        compiled.library.cache_clear()
        assert place_of(compiled.library(torch.float32)) == made
        assert len(made.read_bytes()) == len(whole)


def test_a_home_that_cannot_be_read_and_no_temporary_folder(tmp_path: Path) -> None:
    code = """
import os, tempfile, torch
from rnnlab import compiled
os.getuid() or os.setresuid(65534, 65534, 65534)
def none(): raise FileNotFoundError("no usable temporary directory")
tempfile.gettempdir = none
assert compiled.library(torch.float32) is None
"""
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o000)
    environment = {"HOME": str(locked), "PATH": "/usr/local/bin:/usr/bin:/bin"}
    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("wrong", ["inputs", "lanes", "dtype", "state"])
def test_what_does_not_fit_is_refused_before_it_is_read(kind: str, wrong: str) -> None:
    cell = CELLS[kind]()
    weights, x = weights_of(cell, (3, 2, 4, 2, 5))
    state = tuple(x.new_zeros(2, 4, 5) for _ in cell.states)
    if wrong == "inputs":
        x = x.new_zeros(3, 2, 4, 3)
    elif wrong == "lanes":
        weights = Weights(*(weight[:1] for weight in weights[:4]))
    elif wrong == "dtype":
        x = x.detach().float()
        state = tuple(one.float() for one in state)
    else:
        state = tuple(one[:1] for one in state)
    with pytest.raises(ValueError, match="must be"):
        cell.onward(weights, x, state)


def test_processes_that_compile_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    code = "import torch; from rnnlab import compiled; assert compiled.library(torch.float32) is not None"
    environment = {"XDG_CACHE_HOME": str(tmp_path), "PATH": "/usr/local/bin:/usr/bin:/bin"}
    running = [subprocess.Popen([sys.executable, "-c", code], env=environment) for _ in range(3)]
    assert [one.wait(120) for one in running] == [0, 0, 0]
    assert [path.suffix for path in (tmp_path / "rnnlab").iterdir()] == [".so"]
