"""The table of results, from records."""

from __future__ import annotations

from simulated import Truth, World, simulate, simulated_spec


def test_a_row_a_replicate_and_the_block_is_the_unit() -> None:
    data = simulate(simulated_spec(blocks=3, replicates=2), lambda picks: Truth())
    assert len(data.frame) == 3 * 6 * 2
    assert data.axes == ("cell", "activation", "init")
    assert set(data.frame["unit"]) == {"0", "1", "2"}
    # lr is drawn for a block and shared by its arms
    assert (data.frame.groupby("block")["lr"].nunique() == 1).all()
    assert data.frame["lr"].nunique() == 3


def test_without_a_nuisance_every_replicate_is_a_unit() -> None:
    space = {"cell": ["rnn", "lstm"]}
    data = simulate(simulated_spec(blocks=2, replicates=3, space=space, nuisance=[]), lambda picks: Truth())
    assert set(data.frame["unit"]) == {f"{block}.{replicate}" for block in (0, 1) for replicate in (0, 1, 2)}


def test_the_baseline_level_comes_first() -> None:
    spec = simulated_spec(blocks=2, baseline={"init": "orthogonal", "cell": "lstm"})
    data = simulate(spec, lambda picks: Truth())
    assert data.levels("init") == ["orthogonal(1)", "default"]
    assert data.levels("cell") == ["lstm", "rnn"]
    assert data.levels("activation", data.frame[data.frame["cell"] == "lstm"]) == []


def test_an_exploded_replicate_is_not_healthy() -> None:
    data = simulate(simulated_spec(blocks=4), lambda picks: Truth(healthy=1.0, exploded=1.0), World(seed=1))
    assert not data.frame["healthy"].any()
    assert data.frame["exploded"].all()
