"""Seeds as hashes of what they are for, so that every random draw can be made again alone."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def seed_of(*parts: str | int) -> int:
    """A 63-bit seed that depends on every part and nothing else; the same on every machine."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def generator_for(*parts: str | int) -> torch.Generator:
    """A CPU generator seeded with `seed_of(*parts)`."""
    import torch  # a sweep's spec draws seeds too, and must not load torch

    return torch.Generator().manual_seed(seed_of(*parts))


def replicate_seed(seed: int, block: int, replicate: int) -> int:
    """The seed of one replicate: the same for every arm of a block, different between blocks."""
    return seed_of("replicate", seed, block, replicate)
