"""Writes simulated records into a real lab database, as a driver would."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from simulated import Truth, World, records

from rnnlab.training.seeding import seed_of
from sweeps.space.dimensions import Picks
from sweeps.spec import SweepSpec
from sweeps.store import Lab, TrialResult, TrialState


def store_sweep(
    lab: Lab,
    spec: SweepSpec,
    truth: Callable[[Picks], Truth],
    world: World | None = None,
    states: Mapping[int, TrialState] | None = None,
) -> str:
    """Keep a sweep whose screen ran; its id.

    Args:
        states: of trials that did not use their budget: pruned after two of three reports, failed, interrupted or
            running; without a test score.
    """
    states = states or {}
    plain = spec.model_dump(mode="json", exclude_defaults=True)
    id = lab.create_sweep(spec.name, plain, spec.content_hash).id
    trials, replicates = records(spec, truth, world)
    for trial in trials:
        slot = spec.stages.slot(trial.number)
        lab.add_block(id, trial.block, seed_of("block", spec.search.seed, trial.block), spec.stages.nuisance(slot))
        lab.start_trial(
            id, trial.number, block=trial.block, config_hash=trial.config_hash, label=trial.label, params=trial.params,
            spec=trial.spec,
        )  # fmt: skip
        state: TrialState = states.get(trial.number, "complete")
        assert trial.score is not None
        for part in (1, 2, 3)[: 3 if state == "complete" else 2]:
            lab.report(id, trial.number, 100 * part, trial.score + (3 - part) * 0.25)
        if state == "running":
            continue
        result = TrialResult.model_validate(trial.model_dump(include=set(TrialResult.model_fields)))
        mine = [one for one in replicates if one.trial == trial.number]
        if state != "complete":
            result = result.model_copy(update={"score": trial.score + 0.25, "test_score": None, "updates": 200})
            mine = [one.model_copy(update={"outcome": state, "test_score": None, "update": 200}) for one in mine]
        lab.end_trial(id, trial.number, state, result, mine)
    lab.event(id, "finished", "all trials ended")
    return id
