"""What the tests of a report share: a sweep that nobody trained, with an analysis made by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from reported import DESCRIPTION, HOSTILE, Case, analysis_of, contrast, truth, write_curves
from simulated import simulate, simulated_spec

from sweeps.analysis.data import SweepData
from sweeps.analysis.results import Finding, Importance


@pytest.fixture(scope="session")
def simulated_data() -> SweepData:
    """24 blocks of six arms that nobody trained."""
    space = {
        "cell": ["rnn", "lstm"],
        "activation": {"choices": ["tanh", "relu"], "when": {"cell": "rnn"}},
        "init": ["default", "orthogonal"],
        "lr": {"low": 1e-4, "high": 1e-2, "log": True},
    }
    data = simulate(simulated_spec(blocks=24, space=space), truth)
    return replace(data, spec=data.spec.model_copy(update={"description": DESCRIPTION}))


@pytest.fixture(scope="session")
def case_of(simulated_data: SweepData, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Case]:
    """Makes the sweep's case; `curves` writes its curves first, `hostile` puts markup in all that a person wrote."""

    def make(*, curves: bool = False, hostile: bool = False) -> Case:
        data, analysis = simulated_data, analysis_of(simulated_data)
        if hostile:
            spec = data.spec.model_copy(update={"description": HOSTILE})
            frame = data.frame.assign(label=HOSTILE)
            data = replace(data, spec=spec, frame=frame)
            first, *others = analysis.arms
            told = Finding(text=HOSTILE, strength=9, kind="effect", caveats=[HOSTILE])
            said = contrast("solved", within={"cell": HOSTILE}, note=HOSTILE)
            analysis = analysis.model_copy(
                update={
                    "arms": [first.model_copy(update={"label": HOSTILE}), *others],
                    "findings": [told, *analysis.findings],
                    "contrasts": [said, *analysis.contrasts],
                    "sensitivity": {r: {HOSTILE: 0.5, **by_arm} for r, by_arm in analysis.sensitivity.items()},
                    "caveats": [HOSTILE],
                    "importance": [Importance(evaluator="fANOVA", outcome="score", shares={HOSTILE: 1.0}, trials=9)],
                }
            )
        folder = tmp_path_factory.mktemp("sweep")
        if curves:
            write_curves(data, folder)
        return Case(analysis, data, folder)

    return make
