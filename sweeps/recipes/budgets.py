"""How much of a claim's recipe runs."""

from typing import Any, Literal

from pydantic import Field

from rnnlab.choices import Options

Budget = Literal["quick", "full", "nightly"]
"""`quick`: seconds, to see that it runs. `full`: under half an hour on two cores. `nightly`: nearer to the paper."""

BUDGETS: Options = {"budget": (Budget, Field("full", description="quick, full or nightly"))}
"""The option of a recipe that has them."""


def budget_of(quick: bool, nightly: bool) -> dict[str, Any]:
    """The option that two flags of a command mean."""
    return {"budget": "quick"} if quick else {"budget": "nightly"} if nightly else {}
