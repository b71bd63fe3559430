"""Making kernel.c with this machine's C compiler, and keeping what it made."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import platform
import shlex
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from uuid import uuid4

import torch

SOURCE = Path(__file__).with_name("kernel.c")
INCLUDED = SOURCE.with_name("parts.h")
COMPILER = "RNNLAB_CC"
"""Environment variable that names the C compiler; `cc` where it is not set, none at all where it is empty."""
EVERYWHERE = ("-O3", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC")
FOR_THIS_MACHINE = (("-march=native", "-mprefer-vector-width=512"), ("-march=native",), ("-mcpu=native",))
"""Tried in this order, since compilers differ. Code that any processor of a kind takes would be the slower way."""
PATIENCE = 60
"""Seconds that a compiler gets; it takes one."""

DIGEST = hashlib.sha256().digest_size
"""Bytes that follow a library in its file."""


@cache
def library(dtype: torch.dtype) -> ctypes.CDLL | None:
    """The functions of kernel.c for float32 or float64; None where they cannot be made."""
    with contextlib.suppress(ValueError):  # quotes that do not close
        compiler = shlex.split(os.environ.get(COMPILER, "cc"))
        if compiler and os.name == "posix" and (said := _version(compiler)):
            double = int(dtype is torch.float64)
            source = SOURCE.read_text() + INCLUDED.read_text()
            parts = [source, *compiler, said, *EVERYWHERE, str(FOR_THIS_MACHINE), _processor()]
            key = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
            for folder in _folders():
                with contextlib.suppress(OSError):
                    return _loaded(_owned(folder) / f"recurrence-{key}-{64 if double else 32}.so", compiler, double)
    return None


def _version(compiler: list[str]) -> str:
    """What a compiler says of itself; nothing where there is none."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        command = [*compiler, "--version"]
        done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=PATIENCE, check=True)
        return done.stdout.decode(errors="replace")
    return ""


def _loaded(made: Path, compiler: list[str], double: int) -> ctypes.CDLL | None:
    """The library at this place, made where it is missing or spoilt: to load half a file kills a process.

    Raises:
        OSError: the place cannot be used.
    """
    if not _whole(made) and not _make(made, compiler, double):
        return None
    return ctypes.CDLL(str(made))


def _whole(made: Path) -> bool:
    """Whether a library is there and ends in the digest of what stands before it."""
    if not made.exists():
        return False
    content = made.read_bytes()
    return content[-DIGEST:] == hashlib.sha256(content[:-DIGEST]).digest()


def _make(made: Path, compiler: list[str], double: int) -> bool:
    """Compile into place; False where the compiler refuses. Two processes may do it at once.

    Raises:
        OSError: the folder cannot be written.
    """
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
                content = part.read_bytes()
                with part.open("ab") as file:  # a loader does not look beyond what the head of a library names
                    file.write(hashlib.sha256(content).digest())
                    file.flush()
                    os.fsync(file.fileno())
                part.replace(made)
                return True
        return False
    finally:
        part.unlink(missing_ok=True)


def _folders() -> Iterator[Path]:
    """Where compiled code may be kept: the user's cache, else a folder of the user's own among temporary files."""
    with contextlib.suppress(RuntimeError):  # a user without a home
        yield Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rnnlab"
    with contextlib.suppress(OSError):  # no folder for temporary files
        yield Path(tempfile.gettempdir()) / f"rnnlab-{os.getuid()}"


def _owned(folder: Path) -> Path:
    """A folder that nobody else can write to, made where it is missing.

    Raises:
        OSError: it cannot be made, or somebody else could put code there.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise PermissionError(f"{folder} must be a folder of this user alone")
    return folder


def _processor() -> str:
    """What tells this machine's processor from others that may share the cache."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return "\n".join(dict.fromkeys(line for line in lines if line.startswith(("model name", "flags", "Features"))))
    return f"{platform.machine()} {platform.processor()}"
