"""rnnlab: gradients through time in recurrent networks, measured exactly.

Importing the package loads no torch; the first use of a name does.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rnnlab.curve import Curve as Curve
    from rnnlab.errors import RnnlabError as RnnlabError
    from rnnlab.model import Network as Network
    from rnnlab.model import from_torch as from_torch
    from rnnlab.probes.anchor import gradient_curve as gradient_curve
    from rnnlab.spec import TrialSpec as TrialSpec
    from rnnlab.training.loop import train as train
    from rnnlab.verdict import Verdict as Verdict
    from rnnlab.watching import watch as watch

_HOMES = {
    "Curve": "rnnlab.curve",
    "Network": "rnnlab.model",
    "RnnlabError": "rnnlab.errors",
    "TrialSpec": "rnnlab.spec",
    "Verdict": "rnnlab.verdict",
    "from_torch": "rnnlab.model",
    "gradient_curve": "rnnlab.probes.anchor",
    "train": "rnnlab.training.loop",
    "watch": "rnnlab.watching",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'rnnlab' has no attribute {name!r}")
