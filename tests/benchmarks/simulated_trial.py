"""A trial that nobody trains: results and curves of the right shape, sent the way that real ones are."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from rnnlab.curve import Curve
from rnnlab.spec import TrialSpec
from rnnlab.training.outcome import Outcome, ReplicateResult, TrialResult
from rnnlab.training.scale import HIGHEST
from rnnlab.training.seeding import replicate_seed
from sweeps.home import CHECKPOINT_FILE, trial_folder
from sweeps.running.trainable import TrialTrainable

SIGNALS = {"decades": -1.0, "decades_change": 0.0, "horizon": 0.5, "healthy": 1.0}


class SimulatedTrial(TrialTrainable):
    """A trial of two evaluations: the first at half of its budget, the second at its end.

    Its checkpoint lies where a real one's would; its weights are left out, since they need a network.
    """

    def _advance(self) -> list[dict[str, Any]]:
        number = self._config["number"]
        if self._groups is None:
            self._groups, self._done = [[number]], 0
            self._spec = TrialSpec.model_validate_json(self._config["spec"])
            self._draw = np.random.default_rng(number)
            self._send(0)
        self._done += math.ceil(self._spec.budget.updates / 2)
        done = self._done >= self._spec.budget.updates
        self._send(self._done)
        self.recorders[number].flush()
        (trial_folder(Path(self._config["folder"]), number) / CHECKPOINT_FILE).write_bytes(b"\0" * 4096)
        if done:
            self._groups.clear()
        result = self._result(done)
        part = {
            "number": number,
            "score": result.score,
            "updates": result.updates,
            "over": done,
            "interrupted": False,
            "verdict": result.verdict,
            "decades": result.decades,
            "probed": result.probed,
            "in_a_row": result.in_a_row,
            "worker": f"simulated:{os.getpid()}",
            "trial_result": json.dumps(result.as_dict()),
        }
        return [part]

    def _send(self, update: int) -> None:
        """What a probe of an `rnn` of one layer gives, and the scalars of one update."""
        lanes, t_K = self._spec.replicates, np.arange(self._spec.task.options["length"])
        rate_S1 = self._draw.uniform(0.01, 0.3, (lanes, 1))
        falls_SK = 10.0 ** (-rate_S1 * t_K)
        curves = [
            Curve("anytime_loss", "timestep", falls_SK + 0.1, update=update),
            Curve("total", "timestep", falls_SK[:, ::-1], "h", 0, update),
            Curve("inputs", "timestep", falls_SK[:, ::-1] / 2, update=update),
            Curve("anchor", "lag", falls_SK, "h", 0, update),
        ]
        recorder = self.recorders[self._config["number"]]
        recorder.curves(update, curves)
        if update:
            names = (
                "train_loss",
                "validation_loss",
                "score",
                "gradient_norm",
                "clip_rate",
                "clip_coefficient",
                "decades",
            )
            recorder.scalars(update, {name: self._draw.uniform(0.1, 0.9, lanes) for name in names})

    def _result(self, done: bool) -> TrialResult:
        spec, draw = self._spec, self._draw
        off = abs(math.log10(spec.optim.lr) + 2)
        replicates = []
        for number in range(spec.replicates):
            diverged = bool(draw.uniform() < 0.03)
            verdict = str(draw.choice(["healthy", "vanishing", "exploding"], p=[0.5, 0.4, 0.1]))
            score = HIGHEST if diverged else float(np.clip(draw.normal(off - 2, 0.3), -4, 2))
            ended = Outcome.DIVERGED if diverged else Outcome.FINISHED
            replicates.append(
                ReplicateResult(
                    number, replicate_seed(spec.seed, spec.block, number), ended if done else Outcome.RUNNING,
                    "gradient" if done and diverged else None, self._done, score, score if done else None,
                    solved=score < -2, verdict=verdict, verdict_init=verdict, decades=float(draw.normal(-3, 1)),
                    decades_init=float(draw.normal(-3, 1)), horizon=20, exploded=diverged, healthy_share=0.5,
                    verdict_by_r={"2": verdict, "3": verdict, "5": verdict},
                    horizon_by_r={"2": 12, "3": 20, "5": None}, fit="exponential",
                    signals={share: dict(SIGNALS) for share in ("0", "2", "5", "10")},
                )
            )  # fmt: skip
        return TrialResult(replicates, self._done, 1.0, 1.0, done)
