"""Training a trial: all replicates side by side, probes and evaluations on their schedules."""

from __future__ import annotations

from collections.abc import Callable

import torch

from rnnlab.recorder import Recorder
from rnnlab.spec import TrialSpec
from rnnlab.training.outcome import TrialResult
from rnnlab.training.stack import Stack


class Trainer(Stack):
    """One trial in training: a stack of one. `advance` goes on to the next evaluation.

    Args:
        spec: what to train. recorder: who is told. stop, device: as a `Stack` has them.
    """

    def __init__(
        self,
        spec: TrialSpec,
        recorder: Recorder | None = None,
        stop: Callable[[], bool] | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__([spec], None if recorder is None else [recorder], stop, device)

    @property
    def spec(self) -> TrialSpec:
        """What is trained."""
        return self.shared

    @property
    def result(self) -> TrialResult:
        """What the trial has come to so far."""
        return self.results[0]

    def advance(self) -> TrialResult:
        """Train to the next evaluation, or to the end; the result so far."""
        self.train_on()
        return self.result


def train(spec: TrialSpec, recorder: Recorder | None = None, stop: Callable[[], bool] | None = None) -> TrialResult:
    """Train a trial to its end: every replicate's outcome, score and verdict.

    Args:
        spec: what to train. recorder: who is told. stop: asked before every update whether to stop early.
    """
    trainer = Trainer(spec, recorder, stop)
    while not trainer.advance().done:
        pass
    return trainer.result
