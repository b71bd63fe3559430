"""A character model: which character comes next, at every step."""

from __future__ import annotations

import hashlib
import platform
import warnings
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rnnlab.errors import DataError
from rnnlab.spec import LossSpec, TaskSpec
from rnnlab.tasks.base import Batch, Split, Success, one_hot
from rnnlab.tasks.reading import must_be_file
from rnnlab.tasks.stored import PARTS, Part, WindowedTask, Windows, evenly

KNOWN = 255
"""Characters that have a number of their own; all others share the number 0."""
HELD_OUT = 0.1
"""Share of the text that validates, and share that tests."""
HELP = "55f2a26a44b7cc28aee45af941a72cfa4caa9f0379cca6a2e9cafd658a09116c"
"""SHA-256 of what `help_texts` gives in Python 3.11.7, which the published numbers were made with."""


class Characters(WindowedTask):
    """From the characters so far, which is the next? Windows of `length` characters of one long text.

    The text is a file of the reader's (`path`, UTF-8), or the help texts of Python's standard library
    (`pydoc_data.topics`, in the order of their names, each paragraph once: 373,215 characters in Python 3.11.7;
    another Python's differ, and a warning says so). The first 80% of it trains, the next 10% validates,
    the last 10% tests. Training windows begin at every character; held-out ones follow each other, at most 1,000 evenly
    spread. Inputs are one-hot; the 255 most frequent characters of the training part have a number, any other is
    "other", number 0.

    Cross-entropy at every step, in nats (bits are that over ln 2). Trivial baseline: the characters' frequencies in the
    training part, each count one higher, as constant probabilities; their cross-entropy measured on the split. Lag
    T - 1: a text has no exact one. Success is the project's: half of the trivial loss.

    Raises:
        DataError: no such file, not UTF-8, or too short for a window in every part.
    """

    objective = "cross_entropy"
    natural_loss = LossSpec(at="every", combine="mean")
    success = Success("relative_loss", 0.5, "project")

    def __init__(self, spec: TaskSpec) -> None:
        super().__init__(spec)
        self.length = spec.options["length"]
        self.lag = self.length - 1
        path: str | None = spec.options["path"]
        text = help_texts() if path is None else _read(Path(path))
        held = int(HELD_OUT * len(text))
        ends = (0, len(text) - 2 * held, len(text) - held, len(text))
        self._bounds = dict(zip(PARTS, pairwise(ends), strict=True))
        if held <= self.length:
            raise DataError(
                f"{path or 'the help texts'}: length {self.length} requires more than {self.length} characters in each "
                f"held-out tenth, but the text has {len(text):,} in all; use a shorter length or a longer text"
            )
        points_R = np.frombuffer(text.encode("utf-32-le"), np.uint32)
        kinds, counts = np.unique(points_R[slice(*self._bounds["training"])], return_counts=True)
        # by frequency, then by code point, so that ties are no accident
        self.alphabet = "".join(map(chr, kinds[np.lexsort((kinds, -counts))][:KNOWN]))
        number_of = np.zeros(int(points_R.max()) + 1, np.int16)
        number_of[[ord(character) for character in self.alphabet]] = np.arange(1, len(self.alphabet) + 1)
        self._codes_R = torch.from_numpy(number_of[points_R].astype(np.int64))
        self.inputs = self.outputs = len(self.alphabet) + 1

    @cached_property
    def _starts(self) -> dict[Part, Tensor]:
        found = {}
        for part, (first, stop) in self._bounds.items():
            # a window's last target is the character after it
            found[part] = torch.arange(first, stop - self.length, 1 if part == "training" else self.length)
        return {part: starts if part == "training" else evenly(starts) for part, starts in found.items()}

    def windows_of(self, part: Part) -> Windows:
        return _Coded(self._codes_R, self._codes_R.roll(-1), self._starts[part], self.length, self.inputs)

    def baseline_by_timestep(self, split: Split) -> Tensor:
        training = self._codes_R[slice(*self._bounds["training"])]
        count_O = torch.bincount(training, minlength=self.outputs).double() + 1
        y_TN = (self.validation if split == "validation" else self.test).y_TN
        return -(count_O / count_O.sum()).log()[y_TN].mean(1)


@dataclass(frozen=True)
class _Coded(Windows):
    """Windows of character numbers, one-hot only once cut: a row of a text takes 8 bytes and not a thousand."""

    kinds: int

    def cut(self, starts_N: Tensor) -> Batch:
        rows_TN = torch.arange(self.length)[:, None] + starts_N
        return Batch(one_hot(self.x_RI[rows_TN], self.kinds), self.y_R[rows_TN])


def help_texts() -> str:
    """Python's own help texts, each paragraph once; warns where they are not those of Python 3.11.7.

    Topics repeat each other: of windows of 50 characters in the held-out parts of the whole texts every tenth stands
    in the training part word for word; so one in fifty does.
    """
    from pydoc_data.topics import topics

    paragraphs = (paragraph.strip("\n") for name in sorted(topics) for paragraph in topics[name].split("\n\n"))
    text = "\n\n".join(dict.fromkeys(paragraphs))
    found = hashlib.sha256(text.encode()).hexdigest()
    if found != HELP:
        warnings.warn(
            f"the help texts of Python {platform.python_version()} (SHA-256 {found[:12]}) are not those of 3.11.7 "
            f"({HELP[:12]}): compare task 'characters' between machines only where this number is the same, or give "
            f"a file with `path`",
            UserWarning,
            stacklevel=3,
        )
    return text


def _read(source: Path) -> str:
    source = source.expanduser()
    must_be_file(source, "text", "text")
    try:
        return source.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{source} is not text in UTF-8 (byte {error.start + 1:,}); save it in UTF-8") from None
    except OSError as error:
        raise DataError(f"{source} cannot be read: {error.strerror}; allow reading it") from None
