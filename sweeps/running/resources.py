"""What a trial asks of the node that it runs on, and what of it is held there. Loads neither torch nor Ray."""

from __future__ import annotations

import contextlib
import errno
import resource
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import ByteSize, Field, PlainSerializer

from rnnlab.errors import PlaceError
from rnnlab.spec import Spec

UNITS = {"TB": 10**12, "GB": 10**9, "MB": 10**6, "KB": 10**3}
NO_MEMORY = ("can't allocate memory", "cannot allocate memory", "not enough memory", "bad_alloc")
"""What torch's and the C++ library's errors say where an allocation was refused."""


def size_text(size: int) -> str:
    """Bytes as a person writes them, `512 MB`, exact: in the largest unit that divides them."""
    unit = next((unit for unit, length in UNITS.items() if size and size % length == 0), "")
    return f"{size // UNITS.get(unit, 1)} {unit or 'B'}"


Size = Annotated[ByteSize, PlainSerializer(size_text, return_type=str)]


class ResourcesSpec(Spec):
    """What every trial of a sweep is given in one process on one node, alone or with those of its stack.

    No part of a sweep's content hash: it says where a trial is trained, not what. Its last digits may show it: a sum
    over several threads, over more lanes or on a GPU is taken in another order.
    """

    cpus: int = Field(1, ge=1)
    """Processors, and torch's threads."""
    gpus: float = Field(0.0, ge=0)
    """GPUs or a fraction of one, on which a trial then trains; 0: on the CPU."""
    memory: Size | None = Field(None, ge=10**6)
    """Reserved by Ray, and held: a trial that asks for more than this, beside what an idle worker has, fails.
    Written with its unit, `512MB` or `2GiB`; None: neither. Where a trial has a GPU it is reserved alone."""
    stack: int = Field(1, ge=1, le=1000)
    """Trials of one shape that share a process and its `cpus` and `gpus`, as lanes of one network: what fills a GPU."""

    @property
    def asked(self) -> dict[str, float]:
        """As Tune names them."""
        named = {"cpu": self.cpus, "gpu": self.gpus, "memory": int(self.memory or 0)}
        return {name: amount for name, amount in named.items() if amount}

    def fitting(self, node: Mapping[str, float]) -> int:
        """Trials that a node has room for at a time, by its resources as Ray names them."""
        return min(int(node.get(_of_ray(name), 0) / amount) for name, amount in self.asked.items())

    def check_fits(self, nodes: Sequence[Mapping[str, Any]]) -> None:
        """Refuse what no node could ever run.

        Args:
            nodes: those that are alive, as `ray.nodes()` has them.

        Raises:
            PlaceError: none is large enough; Ray itself would wait for ever.
        """
        if any(self.fitting(node["Resources"]) for node in nodes):
            return
        lacking = [name for name in self.asked if not any(_has(node, name) >= self.asked[name] for node in nodes)]
        names = lacking or list(self.asked)
        wanted = ", ".join(_amount(name, self.asked[name]) for name in names)
        largest = max(nodes, key=lambda node: _has(node, names[0]))
        there = ", ".join(_amount(name, _has(largest, name)) for name in names)
        raise PlaceError(
            f"a trial asks for {wanted} (resources), but no node has room for that: the largest, "
            f"{node_name(largest)}, has {there}; ask for less, or add a node that has it"
        )


def node_name(node: Mapping[str, Any]) -> str:
    """A node as a person finds it: its name, its address and the beginning of its id."""
    name, address = node["NodeName"], node["NodeManagerAddress"]
    return f"{'' if name == address else f'{name}, '}{address} (node {node['NodeID'][:8]})"


class HeldMemory:
    """A limit of this process' own memory, held around what may ask for too much.

    Counted is what an allocation adds (the kernel's RLIMIT_DATA), from what the process has when this is made: torch,
    Ray and their threads are not charged to a trial. Where the kernel does not tell that, nothing is held.

    Args:
        memory: bytes. None: no limit.
    """

    def __init__(self, memory: int | None) -> None:
        self.memory = memory
        now = _data_bytes() if memory else None
        self.limit = None if memory is None or now is None else now + memory

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """What is allocated within is held to the limit; what asks for more raises, and the process lives on."""
        if self.limit is None:
            yield
            return
        soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
        limit = self.limit if hard == resource.RLIM_INFINITY else min(self.limit, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))

    def cause(self, error: BaseException) -> str | None:
        """What a trial that ran out of memory says of it; None of any other error, and where none was held."""
        said = str(error).lower()
        ran_out = (
            isinstance(error, MemoryError)
            or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
            or (isinstance(error, RuntimeError) and any(sign in said for sign in NO_MEMORY))
        )
        if not ran_out or self.memory is None:
            return None
        return f"ran out of memory: asked for more than {size_text(self.memory)} (resources.memory)"


def _data_bytes() -> int | None:
    """Private memory that this process may write to, as the kernel counts it for RLIMIT_DATA."""
    status = Path("/proc/self/status")
    if not status.is_file():
        return None
    lines = status.read_text().splitlines()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmData:")), None)


def _of_ray(name: str) -> str:
    return name if name == "memory" else name.upper()


def _has(node: Mapping[str, Any], name: str) -> float:
    return float(node["Resources"].get(_of_ray(name), 0))


def _amount(name: str, amount: float) -> str:
    if name == "memory":
        return f"{amount / 1e9:.3g} GB of memory"
    return f"{amount:g} {name}{'' if amount == 1 else 's'}"
