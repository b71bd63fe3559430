"""Search: who picks the next configuration, and who ends one early. Its tables load nothing."""

from pydantic import Field

from rnnlab.choices import Line, Table

SAMPLERS = Table(
    "sampler",
    {
        "random": Line("sweeps.search.samplers:random", "independent draws over the space", "Bergstra 2012"),
        "tpe": Line(
            "sweeps.search.samplers:tpe",
            "tree-structured Parzen estimator, multivariate and grouped under conditions",
            "Bergstra 2011; Falkner 2018",
            {"startup": (int, Field(10, ge=0, description="random trials before the estimator is used"))},
        ),
        "grid": Line("sweeps.search.samplers:random", "every configuration once, for each block", "-"),
    },
)

PRUNERS = Table(
    "pruner",
    {
        "none": Line("sweeps.search.pruners:Never", "every trial uses its whole budget", "-"),
        "asha": Line(
            "sweeps.search.pruners:Asha",
            "asynchronous successive halving by updates (Ray's scheduler)",
            "Li 2020",
            {
                "reduction": (float, Field(3.0, gt=1, description="share 1/reduction goes on at each rung")),
                "grace": (
                    int | None,
                    Field(None, ge=1, description="updates before a trial may end; budget / 9"),
                ),
            },
        ),
        "median": Line(
            "sweeps.search.pruners:Median",
            "ends a trial whose best score is worse than the median of the others' averages up to the same update",
            "Golovin 2017",
            {
                "grace": (
                    int | None,
                    Field(None, ge=1, description="updates before a trial may end; budget / 9"),
                ),
                "min_samples": (int, Field(3, ge=1, description="other trials that a median needs")),
            },
        ),
    },
)
